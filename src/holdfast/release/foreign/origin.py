"""Origin: what a person states of where something foreign comes from, as evidence.

The statement is a document of four answers, each in the person's own words; its digest stands in the word that the
person signed. That it is true is the person's to answer for: evidence is that it was said, by whom, and in full.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from holdfast.core.artifact import Digest, canonical, digest_bytes
from holdfast.core.authorship import VOUCHED
from holdfast.core.control import Control, Report
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.evidence import exactly
from holdfast.core.seal import Authorization, Verified

ABOUT: Final = VOUCHED  # what the person's word is about
MAX_ANSWER: Final = 500  # characters
NOTHING: Final = frozenset({"", "-", "?", "n/a", "na", "none", "unknown", "todo", "tbd"})
"""Answers that say nothing: whoever has no better one leaves the thing in its quarantine."""


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where something foreign comes from: source, licence, how it was made, how it was validated."""

    source: str
    licence: str
    method: str
    validation: str

    @property
    def document(self) -> bytes:
        """The bytes that are stored, and whose digest is signed."""
        return canonical(self)


def check_origin(origin: Origin) -> Origin:
    """Return the statement if each of its four answers says something.

    Raises:
        InvalidInput: One is empty, too long, or says that nothing is known.
    """
    for name in Origin.__struct_fields__:
        answer = getattr(origin, name).strip()
        if answer.lower() in NOTHING or len(answer) > MAX_ANSWER or not answer.isprintable():
            raise InvalidInput(
                f"the {name} is not stated",
                place=f"--{name}",
                expected=f"an answer of up to {MAX_ANSWER} characters; what nobody knows stays in quarantine",
            )
    return origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A statement with the word that signs it."""

    document: bytes
    word: Verified[Authorization]


def says(digest: Digest) -> str:
    """Return what a person signs about a statement of this digest."""
    return f"origin statement {digest}"


def _measure(stated: Stated) -> Report:
    word = stated.word.value
    if word.rule != ABOUT or word.reason != says(digest_bytes(stated.document)):
        raise NotVerified("the signed word is about another statement", place=stated.word.envelope)
    origin = check_origin(msgspec.json.decode(stated.document, type=Origin))
    facts = {name: str(getattr(origin, name)) for name in Origin.__struct_fields__}
    return Report(
        measures=(exactly("statements", len(facts)),),
        facts=facts | {"person": word.person, "role": word.role, "word": stated.word.envelope},
    )


ORIGIN: Final[Control[Stated]] = Control(name="release.origin/1", measure=_measure)
