"""What a stream of events is to the gateway, whatever broker carries it."""

from dataclasses import dataclass
from typing import Literal

Where = Literal["answers", "dead letters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of the input; `sequence` rises, and names it for ever."""

    sequence: int
    key: str
    body: bytes
    named: str = ""  # by whoever published it


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """The last message of a subject: its place, and the event that it is about; 0 and 0 where there is none."""

    place: int = 0
    about: int = 0


class Outrun(Exception):
    """Another message is the last of the subject: somebody else published, or our own try was stored after all."""
