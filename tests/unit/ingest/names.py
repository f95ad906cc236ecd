"""A recogniser that knows some names by heart: it implements the port, and shows how it was asked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from holdfast.core.ports import Recognised

NAMES: Final = {"Ada Lovelace": "person", "Grace Hopper": "person", "Paris": "location", "Elm Street 4": "address"}


@dataclass
class Names:
    """Knows names and nothing else; `turns` are texts in which it sees something only when another thing is masked."""

    known: Mapping[str, str] = field(default_factory=lambda: dict(NAMES))
    skips: frozenset[str] = frozenset()
    reads_digits: bool = False
    score: float = 0.85
    turns: Mapping[str, str] = field(default_factory=dict)  # what it sees once this stands in the text
    asked: list[tuple[Sequence[str], Sequence[str]]] = field(default_factory=list)

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.known.values(), "person"]))

    @property
    def made_with(self) -> Mapping[str, str]:
        return {"pipeline": "names 1"}

    def find(self, texts: Sequence[str], about: Sequence[str]) -> list[list[Recognised]]:
        self.asked.append((texts, about))
        return [self._find(text) for text in texts]

    def _find(self, text: str) -> list[Recognised]:
        seen = dict(self.known) | {name: "person" for mark, name in self.turns.items() if mark in text}
        return [
            Recognised(kind=kind, start=found.start(), stop=found.end(), score=self.score)
            for name, kind in seen.items()
            for found in re.finditer(re.escape(name), text)
        ]
