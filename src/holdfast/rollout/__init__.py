"""Rollout: a candidate comes beside the baseline by a plan, and the first breach leads back to the baseline.

A plan is a state machine read from a table (`plans`); the analysis is anytime-valid (`analysis`, `experiment`), so that
it may be looked at after every request without raising the rate of false alarms.
"""

from holdfast.rollout.analysis import Analysis, Canary, Rules, Verdict, analyse
from holdfast.rollout.controls import CONTROLS
from holdfast.rollout.experiment import Declared, Exposure, Judged, Outcome, Winner, judge
from holdfast.rollout.plans import PROMOTED, RETURNED, Exchange, Plan, Share, canary, standby, trial

__all__ = [
    "CONTROLS",
    "PROMOTED",
    "RETURNED",
    "Analysis",
    "Canary",
    "Declared",
    "Exchange",
    "Exposure",
    "Judged",
    "Outcome",
    "Plan",
    "Rules",
    "Share",
    "Verdict",
    "Winner",
    "analyse",
    "canary",
    "judge",
    "standby",
    "trial",
]
