"""The rows of a model that takes texts: what a call gives, and the inputs that its texts become.

Texts are hashed by `engines.texts`, the code that training ran. A call gives texts as texts: the inputs that they
become can be given by nobody, because who could give them would pass by every guard that reads texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import InvalidData, InvalidInput
from holdfast.core.guard import Call
from holdfast.core.schema import Signature, numbers_of, texts_of
from holdfast.core.text import TextInput
from holdfast.engines.texts import hashed

MOST_CHARACTERS: Final = 1 << 16  # of all texts of one call: hashing them takes some 0.2 s at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What a release takes from callers: numbers and texts by name, and which inputs they become."""

    width: int
    numbers: tuple[str, ...]
    places: NDArray[np.int64]  # of the numbers among the inputs
    texts: tuple[TextInput, ...]

    @classmethod
    def of(cls, signature: Signature) -> "Texts | None":
        """Return what a release takes; None where it takes no text."""
        if not texts_of(signature):
            return None
        places = numbers_of(signature)
        return cls(
            width=len(signature.inputs),
            numbers=tuple(signature.inputs[place].name for place in places),
            places=np.array(places, dtype=np.int64),
            texts=texts_of(signature),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the texts."""
        return tuple(text.name for text in self.texts)

    def rows(self, numbers: NDArray[np.float32], texts: Mapping[str, Sequence[str]]) -> NDArray[np.float32]:
        """Return the inputs, shape (n, width).

        Args:
            numbers: Shape (n, numbers), in order.
            texts: By name, n of each.

        Raises:
            InvalidInput: A text is too long, or all of them together are.
        """
        if sum(len(each) for given in texts.values() for each in given) > MOST_CHARACTERS:
            raise InvalidInput(f"the texts of a call have more than {MOST_CHARACTERS} characters")
        found = np.empty((len(numbers), self.width), dtype=np.float32)
        found[:, self.places] = numbers
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


def change(call: Call, takes: Texts, changed: dict[str, list[str]]) -> None:
    """Put other texts in the place of a call's, and what they become in the place of its rows."""
    if call.rows is None:
        raise InvalidInput("a call without rows")  # the chain refuses: it fails closed
    call.rows = takes.written(call.rows, changed)
    call.texts = call.texts | changed
