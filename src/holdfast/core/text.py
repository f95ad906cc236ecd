"""Texts that a model takes: how a column of text becomes inputs, as a project declares it and a release promises it.

Decides what must be known of a text column; leaves the arithmetic to `engines.texts`.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

MOST_BUCKETS: Final = 2048  # of all texts of one model: each is an input that is watched like any other
MARK: Final = "#"  # between the name of a text and the number of its bucket


class Hashing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a text is hashed: which n-grams, into how many buckets, and how long it may be."""

    grams: Literal["words", "characters"] = "words"
    shortest: Annotated[int, Meta(ge=1, le=5)] = 1
    longest: Annotated[int, Meta(ge=1, le=5)] = 2
    buckets: Annotated[int, Meta(ge=8, le=1024)] = 256
    most_characters: Annotated[int, Meta(ge=1, le=16_384)] = 4096  # of one text; more is a document


class TextInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a signature says of a text: its inputs are the `buckets` from the one at `at` on.

    `unicode` is the version of the tables that letters were folded by in training: with others the same text could
    become other numbers.
    """

    name: str
    at: int
    hashing: Hashing
    unicode: str
    version: Literal[1] = 1  # of the arithmetic of `engines.texts`: it rises when a text would give other numbers

    @property
    def end(self) -> int:
        """The place behind its last input."""
        return self.at + self.hashing.buckets


def bucket_name(text: str, bucket: int) -> str:
    """Return the name of one of the inputs that a text becomes.

    >>> bucket_name("message", 7)
    'message#7'
    """
    return f"{text}{MARK}{bucket}"


def text_faults(texts: Mapping[str, Hashing]) -> Iterator[tuple[str, str, str]]:
    """Yield what types cannot say of declared texts: the key that is wrong, how, and what would be right."""
    for name, hashing in texts.items():
        if hashing.longest < hashing.shortest:
            yield f"features.texts.{name}", "longest below shortest", "shortest <= longest"
    total = sum(hashing.buckets for hashing in texts.values())
    if total > MOST_BUCKETS:
        yield "features.texts", f"{total} buckets", f"at most {MOST_BUCKETS} in all"
