"""The shipped test kit: simulators that implement the ports, and the checks that the author of a plug-in runs."""

from holdfast.testing.clock import SettableClock
from holdfast.testing.conformance import BrokenPromiseError, check_control, check_guard

__all__ = ["BrokenPromiseError", "SettableClock", "check_control", "check_guard"]
