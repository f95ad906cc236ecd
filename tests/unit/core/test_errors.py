"""Errors are an interface: stable codes and exits, one line for people, and nothing of the inside for callers."""

from collections.abc import Iterator

import pytest

from holdfast.core import errors
from holdfast.core.errors import HoldfastError, PolicyDenied, in_words


def tree(root: type[HoldfastError] = HoldfastError) -> Iterator[type[HoldfastError]]:
    """Every class of the tree."""
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


CODES = {
    "HoldfastError": ("HF000", 70),
    "UsageError": ("HF100", 2),
    "InvalidInput": ("HF200", 3),
    "InvalidProject": ("HF210", 3),
    "InvalidData": ("HF220", 3),
    "InvalidRecipe": ("HF230", 3),
    "InvalidRequest": ("HF240", 3),
    "TooLarge": ("HF251", 3),
    "NotJson": ("HF252", 3),
    "NoSuchMethod": ("HF253", 3),
    "NotFound": ("HF300", 3),
    "Refused": ("HF400", 1),
    "PolicyDenied": ("HF410", 1),
    "Unauthenticated": ("HF420", 1),
    "TooMany": ("HF430", 1),
    "QuotaExceeded": ("HF440", 1),
    "IntakeClosed": ("HF450", 1),
    "NotVerified": ("HF500", 4),
    "LedgerBroken": ("HF510", 4),
    "Conflict": ("HF600", 6),
    "Unavailable": ("HF700", 5),
    "SandboxUnavailable": ("HF710", 5),
    "MissingExtra": ("HF720", 5),
    "StageFailed": ("HF800", 7),
}
"""What scripts rely on: a code or an exit that changes here breaks somebody's automation."""


def test_codes_and_exits_are_what_scripts_rely_on() -> None:
    """Each class has one code of its own and the documented exit."""
    assert {kind.__name__: (kind.code, kind.exit_code) for kind in tree()} == CODES
    assert len({kind.code for kind in tree()}) == len(CODES)


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: kind.__name__)
def test_every_class_is_drawn_at_the_head_and_says_what_to_do(kind: type[HoldfastError]) -> None:
    """The drawing at the head of the module names each class; each has a status, an exit and a remedy."""
    assert kind.__name__ in (errors.__doc__ or "")
    assert 400 <= kind.http_status < 600
    assert 0 < kind.exit_code < 128
    assert kind.default_remedy.endswith(".")


def test_an_error_is_one_line_with_everything_an_operator_needs() -> None:
    """Code, place, what was found, what was expected, and what to do."""
    error = errors.InvalidData("row 3 is short", place="rows.csv:4", expected="5 fields", remedy="Mend the file.")
    assert str(error) == "HF220 rows.csv:4: row 3 is short; expected 5 fields. Mend the file."
    assert error.document() == {
        "code": "HF220",
        "error": "row 3 is short",
        "place": "rows.csv:4",
        "expected": "5 fields",
        "remedy": "Mend the file.",
    }
    assert str(errors.NotFound("no such model")) == f"HF300 no such model. {errors.NotFound.default_remedy}"


def test_a_caller_from_outside_learns_code_and_message_only() -> None:
    """Places, digests and remedies are the operator's."""
    error = errors.NotVerified("the file was changed", place="blobs/sha256/ab", remedy="Look at host 10.0.0.7.")
    assert error.public() == {"code": "HF500", "error": "the file was changed"}


def test_a_denial_keeps_every_reason() -> None:
    """The reasons are data for programs and one string for people."""
    error = PolicyDenied("no", reasons=("[a] first", "[b] second"), place="sha256:0")
    assert error.reasons == ("[a] first", "[b] second")
    assert error.document()["reasons"] == "[a] first; [b] second"


def test_an_exception_is_told_even_where_its_message_cannot_be_had() -> None:
    """Type and message, or the type alone."""

    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert in_words(ValueError("no")) == "ValueError: no"
    assert in_words(UnspeakableError()) == "UnspeakableError"
