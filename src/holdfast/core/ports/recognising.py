"""The port of recognisers: what finds kinds of personal data in texts that no pattern of ours knows, such as names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from holdfast.core.dlp import Presidio
from holdfast.core.errors import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """Something in a text: its kind, characters `start` to `stop`, and how sure the recogniser is, 0 to 1."""

    kind: str
    start: int
    stop: int
    score: float


class Recogniser(Protocol):
    """What looks through texts. The same texts give the same answer, whatever stands in others."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds that it is asked for."""
        ...

    @property
    def reads_digits(self) -> bool:
        """Whether a text without any letter may hold what it is asked for."""
        ...

    @property
    def skips(self) -> frozenset[str]:
        """Columns that it is not to read."""
        ...

    @property
    def made_with(self) -> Mapping[str, str]:
        """All that its answers depend on, for evidence: versions, digests, settings."""
        ...

    def find(self, texts: Sequence[str], about: Sequence[str]) -> Sequence[Sequence[Recognised]]:
        """Return what is in each text, in no order; stretches may overlap.

        Args:
            texts: Each short enough to be read at once.
            about: Words that stand beside every text, such as the name of its column.

        Raises:
            Unavailable: It failed, with none of the text in the error.
        """
        ...


def no_recogniser(_: Presidio) -> Recogniser:
    """Refuse: what is declared to be searched for must not go unsearched because nobody lent the means.

    Raises:
        Refused: Always.
    """
    raise Refused("texts may not be looked through by Presidio here", place="[dlp.presidio]")
