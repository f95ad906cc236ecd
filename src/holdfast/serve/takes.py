"""What a release takes from callers by name, and what of its inputs the gateway makes or adds itself.

An input is one of three: a number that callers give; a number that may be looked up where the caller names the entity
instead; or one of those that a text becomes. Texts are hashed by `engines.texts`, the code that training ran. A call
gives texts as texts: the inputs that they become can be given by nobody, because who could give them would pass by
every guard that reads texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import InvalidData, InvalidInput
from holdfast.core.guard import Call
from holdfast.core.schema import Online, Signature, numbers_of, texts_of
from holdfast.core.text import TextInput
from holdfast.engines.texts import hashed
from holdfast.serve.values import side_by_side

MOST_CHARACTERS: Final = 1 << 16  # of all texts of one call: hashing them takes some 0.2 s at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Takes:
    """What a release takes: numbers and texts by name, which inputs they become, and which numbers can be looked up."""

    width: int
    numbers: tuple[str, ...]
    places: NDArray[np.int64]  # of the numbers among the inputs
    texts: tuple[TextInput, ...]
    looked_up: frozenset[str]  # those of the numbers that whoever names an entity may leave out
    names: tuple[str, ...] = field(init=False)  # of the texts
    own: tuple[str, ...] = field(init=False)  # the numbers that nobody but the caller can give
    known: frozenset[str] = field(init=False)  # all of these names

    def __post_init__(self) -> None:
        """Keep what each call is compared with."""
        object.__setattr__(self, "names", tuple(text.name for text in self.texts))
        object.__setattr__(self, "own", tuple(name for name in self.numbers if name not in self.looked_up))
        object.__setattr__(self, "known", frozenset((*self.numbers, *self.names)))

    @classmethod
    def of(cls, signature: Signature) -> "Takes | None":
        """Return what a release takes; None where that is every input as a number, and nothing else."""
        places = numbers_of(signature)
        numbers = [signature.inputs[place] for place in places]
        looked_up = frozenset(each.name for each in numbers if isinstance(each.online, Online))
        if not texts_of(signature) and not looked_up:
            return None
        return cls(
            width=len(signature.inputs),
            numbers=tuple(each.name for each in numbers),
            places=np.array(places, dtype=np.int64),
            texts=texts_of(signature),
            looked_up=looked_up,
        )

    def rows(
        self,
        count: int,
        numbers: Mapping[str, list[float] | NDArray[Any]],
        texts: Mapping[str, Sequence[str]],
    ) -> NDArray[np.float32]:
        """Return the inputs, shape (count, width), of `count` numbers and texts of each name.

        Raises:
            InvalidInput: A number is missing, or the texts are too long, alone or together.
        """
        lacking = [name for name in self.numbers if name not in numbers]
        if lacking:
            raise InvalidInput(f"{len(lacking)} inputs are missing, the first missing is {lacking[0]!r}")
        if sum(len(each) for given in texts.values() for each in given) > MOST_CHARACTERS:
            raise InvalidInput(f"the texts of a call have more than {MOST_CHARACTERS} characters")
        columns = [numbers[name] for name in self.numbers]
        if not self.texts:
            return side_by_side(columns, count)
        found = np.empty((count, self.width), dtype=np.float32)
        if columns:
            found[:, self.places] = side_by_side(columns, count)
        for text in self.texts:
            self._write(found, text, texts[text.name])
        return found

    def written(self, rows: NDArray[np.float32], changed: Mapping[str, Sequence[str]]) -> NDArray[np.float32]:
        """Return rows with other texts in them; those that are not named stay."""
        found = rows.copy()
        for text in self.texts:
            if text.name in changed:
                self._write(found, text, changed[text.name])
        return found

    def _write(self, rows: NDArray[np.float32], text: TextInput, given: Sequence[str]) -> None:
        try:
            rows[:, text.at : text.end] = hashed(text.hashing, given)
        except InvalidData as error:
            most = text.hashing.most_characters
            raise InvalidInput(f"input {text.name!r} holds a text of more than {most} characters") from error


def change(call: Call, takes: Takes, changed: dict[str, list[str]]) -> None:
    """Put other texts in the place of a call's, and what they become in the place of its rows."""
    if call.rows is None:
        raise InvalidInput("a call without rows")  # the chain refuses: it fails closed
    call.rows = takes.written(call.rows, changed)
    call.texts = call.texts | changed
