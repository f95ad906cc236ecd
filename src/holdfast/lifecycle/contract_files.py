"""Files beside a project file that belong to it: its contract, and the tables that checks refer to.

Decides what a project file says in full: columns and checks of its contract, and the digest of every reference, are
written out at its end. Whoever keeps those bytes needs no other file to know what was declared.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.checks import Check
from holdfast.core.errors import InvalidData, InvalidInput, InvalidProject
from holdfast.core.project import MAX_PROJECT, Project
from holdfast.core.schema import Column, ColumnType, Use

if TYPE_CHECKING:
    import polars as pl

MAX_REFERENCE: Final = 256 << 20  # bytes of a table that checks refer to: it is held in memory
_CATEGORIES: Final = frozenset({Use.LABEL, Use.SLICE, Use.PROTECTED})


def written_out(text: bytes, folder: Path) -> bytes:
    """Return a project file with what its contract and its references say at its end.

    Raises:
        InvalidProject: The contract or a reference cannot be read, or contradicts the file.
    """
    if len(text) > MAX_PROJECT or (b"contract" not in text and b"against" not in text):
        return text
    try:
        data = msgspec.toml.decode(text)["data"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return text  # whoever parses it says what is wrong, with the line
    if not isinstance(data, dict):
        return text
    if "checked_against" in data:
        words = "the digest of a contract is not declared"
        raise InvalidProject(words, place="[data.checked_against]", expected="nothing there")
    parts = [text.rstrip(b"\n") + b"\n"]
    checks = data.get("checks", [])
    if isinstance(name := data.get("contract"), str) and name:
        columns, more, formats, digest = _from_contract(name, data, folder)
        from holdfast.engines.odcs_writing import write_tables

        if formats and not data.get("timestamp_formats"):
            words = f"the contract's timestamps have the formats {', '.join(formats)}, and the project declares none"
            raise InvalidProject(words, place="[data]", expected=f"timestamp_formats = {list(formats)}")
        parts.append(f"\n# From {name}:\n".encode() + write_tables(columns, more).encode())
        parts.append(f'\n[data.checked_against]\n{_quoted(name)} = "{digest}"\n'.encode())
        checks = [*checks, *({"against": check.against} for check in more)] if isinstance(checks, list) else checks
    parts += _digests(checks, data, folder)
    return b"".join(parts)


def _from_contract(
    name: str, data: Mapping[str, Any], folder: Path
) -> tuple[dict[str, Column], tuple[Check, ...], tuple[str, ...], Digest]:
    from holdfast.engines.odcs import MAX_CONTRACT, read_contract

    if "columns" in data:
        words = "the columns are declared twice: by the contract, and under [data.columns]"
        raise InvalidProject(
            words, place="[data]", expected="one of them; [data.uses] says what a contract's columns are for"
        )
    try:
        document = _beside(folder, name, MAX_CONTRACT + 1)
        contract = read_contract(document)
    except InvalidInput as error:
        remedy = "Correct the contract; `holdfast contract check` says what is understood of it."
        raise InvalidProject(error.message, place=name, expected=error.expected, remedy=remedy) from error
    columns = dict(contract.columns)
    uses = data.get("uses", {})
    for column, use in uses.items() if isinstance(uses, dict) else ():
        if column not in columns or use not in set(Use):
            raise InvalidProject(
                f"{column!r} cannot be used as {use!r}", place="[data.uses]", expected="the contract's columns"
            )
        kind = columns[column].type
        if kind is ColumnType.STRING and Use(use) in _CATEGORIES:
            kind = ColumnType.CATEGORY
        columns[column] = msgspec.structs.replace(columns[column], use=Use(use), type=kind)
    return columns, contract.checks, contract.timestamp_formats, digest_bytes(document)


def _digests(checks: Any, data: Mapping[str, Any], folder: Path) -> list[bytes]:
    """Return the table of digests of everything that checks refer to."""
    rows = (check for check in (checks if isinstance(checks, list) else ()) if isinstance(check, dict))
    named = dict.fromkeys(name for check in rows if isinstance(name := check.get("against"), str) and name)
    if not named:
        return []
    if "references" in data:
        raise InvalidProject(
            "digests of references are not declared", place="[data.references]", expected="nothing there"
        )
    lines = [f'{_quoted(name)} = "{digest_bytes(_beside(folder, name, MAX_REFERENCE + 1))}"' for name in named]
    return [("\n[data.references]\n" + "\n".join(lines) + "\n").encode()]


def _quoted(name: str) -> str:
    return msgspec.json.encode(name).decode()


def _beside(folder: Path, name: str, limit: int) -> bytes:
    """Return the bytes of a file of the project.

    Raises:
        InvalidProject: It lies outside, is missing, too long, or cannot be read.
    """
    from holdfast.lifecycle.inputs import read_given

    path = folder / name
    if not name.isprintable() or not path.resolve().is_relative_to(folder.resolve()):
        raise InvalidProject(
            f"{name[:80]!r} lies outside the project", place="[data]", expected="a file of the project"
        )
    try:
        found = read_given(path, limit=limit, what=f"the file {name!r}")
    except InvalidInput as error:
        raise InvalidProject(error.message, place=name, expected=error.expected) from error
    if len(found) >= limit:
        raise InvalidProject(f"{name!r} is too long", place=name, expected=f"less than {limit} bytes")
    return found


def references_of(project: Project, folder: Path) -> "dict[str, pl.DataFrame]":
    """Return the tables that a project's checks refer to, as they were when the project file was read.

    Raises:
        InvalidData: One was changed meanwhile, or cannot be read as a table.
        InvalidProject: One is missing.
    """
    from holdfast.ingest.references import typed

    found = {}
    for name, digest in project.data.references.items():
        document = _beside(folder, name, MAX_REFERENCE + 1)
        if digest_bytes(document) != digest:
            raise InvalidData("the reference was changed while the run began", place=name, expected=digest)
        found[name] = typed(document, name, project.data)
    return found
