"""Rollout: a candidate takes over from the baseline step by step, and returns to it at the first breach.

The plan is a state machine read from a table (`holdfast.core.machine`); the analysis is an anytime-valid test, so that
it may be looked at after every request without raising the rate of false alarms.
"""

from holdfast.rollout.canary import PROMOTED, RETURNED, Canary, Share, Verdict, analyse, canary

__all__ = ["PROMOTED", "RETURNED", "Canary", "Share", "Verdict", "analyse", "canary"]
