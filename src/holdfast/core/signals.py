"""Signals: what watching tells responding, by name; stages that must not know each other share these words."""

from dataclasses import dataclass
from enum import StrEnum


class Signal(StrEnum):
    """Something that a playbook has a row for."""

    INTEGRITY_FAILURE = "integrity-failure"
    DRIFT = "drift"
    ERRORS = "error-rate"
    LATENCY = "latency"
    UNAUTHORISED = "unauthorised-fetch"
    EMERGENCY = "emergency"  # a person put another release in place of what answered
    STALE_FEATURES = "stale-features"  # online values are older than their view promises
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """A signal with its reason in words and what it is about."""

    signal: Signal
    subject: str
    words: str
