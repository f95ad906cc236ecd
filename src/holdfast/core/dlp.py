"""What a project declares about personal data: `[dlp]`, and what is to happen to each kind and column.

Decides which action a find gets; leaves finding to `engines.personal` and acting to `engines.dlp`. Nothing declared is
the strictest that lets a run go on: a column that holds personal data is dropped.
"""

from collections.abc import Container, Iterator
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta


class Entity(StrEnum):
    """What a value may give away. National ids are kinds of their own, each with its country."""

    EMAIL = "email"
    URL = "url"
    IBAN = "iban"
    CARD = "card"
    SSN = "us-ssn"
    IP = "ip"
    PHONE = "phone"
    BIRTH = "date-of-birth"
    SECRET = "secret"  # noqa: S105 - the name of a kind


class Action(StrEnum):
    """What happens to personal data that was found, strictest first."""

    BLOCK = "block"  # the run stops
    DROP = "drop"  # the column is left out
    MASK = "mask"  # each value gives way to the name of its kind
    PSEUDONYM = "pseudonym"  # to a keyed hash, which nobody can turn back
    TOKENISE = "tokenise"  # to a token of the same form, which `dlp reveal` can turn back
    ALLOW = "allow"  # it stays, and that is on record


NATIONAL: Final = "national-id"
"""What stands for the ids of all countries."""

STRICTEST: Final = tuple(Action)
KEYED: Final = frozenset({Action.PSEUDONYM, Action.TOKENISE})
_HARMLESS: Final = {"url": Action.ALLOW}
"""Kinds that are personal only sometimes: addresses of the web stay unless the project says otherwise."""


Label: TypeAlias = Annotated[
    str, Meta(pattern=r"\A[A-Za-z][A-Za-z0-9_]{0,39}\Z")
]  # as Presidio or a pipeline names a kind


class Presidio(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[dlp.presidio]` of a project: Presidio looks through texts as well, by a spaCy pipeline that is here already."""

    model: Annotated[str, Meta(min_length=1, max_length=4096)]  # an installed pipeline's name, or a folder
    language: Annotated[str, Meta(pattern=r"\A[a-z]{2,3}\Z")] = "en"  # of the texts, and of the pipeline
    entities: Annotated[tuple[Label, ...], Meta(min_length=1, max_length=100)] = ("PERSON", "LOCATION")
    score: Annotated[float, Meta(gt=0, le=1)] = 0.4  # from which on Presidio's documentation advises to act
    skip: tuple[str, ...] = ()  # columns that it does not read; what has a pattern is still found in them


class Dlp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[dlp]` of a project: what happens by default, to kinds, and to columns, which count most."""

    default: Action = Action.DROP
    entities: dict[str, Action] = {}  # kind → action; `national-id` covers every country's
    columns: dict[str, Action] = {}  # column → action, whatever kind is found in it
    presidio: Presidio | None = None  # names, places and what else has no pattern

    def on(self, column: str, entity: str) -> Action:
        """Return what happens to a kind that was found in a column."""
        if column in self.columns:
            return self.columns[column]
        general = NATIONAL if entity.startswith(f"{NATIONAL}-") else entity
        return self.entities.get(entity) or self.entities.get(general) or _HARMLESS.get(entity) or self.default

    @property
    def keyed(self) -> bool:
        """Whether anything declared here needs the data set's key."""
        return not KEYED.isdisjoint({self.default, *self.entities.values(), *self.columns.values()})


_OURS: Final = {
    "CREDIT_CARD": "card",
    "EMAIL": "email",
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "PHONE_NUMBER": "phone",
    "US_SSN": "us-ssn",
}
"""What Presidio calls kinds that are found here by pattern and check digits, too: one kind has one name."""


def kind_of(label: str) -> str:
    """Return what a kind of Presidio is called here.

    >>> kind_of("US_BANK_NUMBER"), kind_of("EMAIL_ADDRESS")
    ('us-bank-number', 'email')
    """
    return _OURS.get(label) or label.lower().replace("_", "-")


def dlp_faults(dlp: Dlp, columns: Container[str]) -> Iterator[tuple[str, str, str]]:
    """Yield where a declaration names what there is not, as place, what is wrong, and what is expected.

    Args:
        dlp: The declaration.
        columns: Names of the columns that a project declares, those of its views among them.
    """
    for name in dlp.columns:
        if name not in columns:
            yield "dlp.columns", f"{name!r} is not a declared column", "columns of [data.columns] or of a view"
    for name in dlp.presidio.skip if dlp.presidio is not None else ():
        if name not in columns:
            yield "dlp.presidio", f"{name!r} is not a declared column", "columns of [data.columns] or of a view"
    asked = () if dlp.presidio is None else dlp.presidio.entities
    known = [*Entity, NATIONAL, *sorted({kind_of(label) for label in asked} - set(Entity))]
    for kind in dlp.entities:  # a misspelt one would fall to the default without a word
        if kind not in known and not kind.startswith(f"{NATIONAL}-"):
            yield "dlp.entities", f"nothing looks for {kind!r}", f"one of {', '.join(known)}"


def strictest(actions: list[Action]) -> Action:
    """Return the strictest of some actions; of none, the strictest there is."""
    return min(actions, key=STRICTEST.index, default=Action.BLOCK)
