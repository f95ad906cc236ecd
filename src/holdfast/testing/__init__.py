"""The shipped test kit: simulators that implement the ports, so that tests need no stand-ins of our own code."""

from holdfast.testing.clock import SettableClock

__all__ = ["SettableClock"]
