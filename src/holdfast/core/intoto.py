"""In-toto Statements v1: what is said of which files, as every envelope of ours carries it and every reader takes it.

Decides their form alone; who may say what of which kind of thing is `seal`'s, `attestation`'s and each predicate's.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from holdfast.core.artifact import canonical
from holdfast.core.dsse import STATEMENT_TYPE


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a statement is about."""

    digest: dict[str, str]
    name: str = ""


class Statement(
    msgspec.Struct, frozen=True, kw_only=True, rename={"type_": "_type", "predicate_type": "predicateType"}
):
    """A statement as it is read, whatever its predicate; nothing of it is checked."""

    type_: str
    subject: tuple[Subject, ...]
    predicate_type: str
    predicate: dict[str, Any]


def statement(about: Iterable[tuple[str, str]], uri: str, predicate: Mapping[str, Any] | msgspec.Struct) -> bytes:
    """Return a statement as canonical JSON.

    Args:
        about: Name and digest (`sha256:…` or its digits alone) of each subject.
        uri: The type of the predicate.
        predicate: What is said.
    """
    subjects = [{"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}} for name, digest in about]
    return canonical({"_type": STATEMENT_TYPE, "subject": subjects, "predicateType": uri, "predicate": predicate})
