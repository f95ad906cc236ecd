"""Folds of bills of materials, of marks on artifacts, and of what endpoints answer with: what impact questions read.

As in `projections`, a fold is a pure function of one entry, and each change is a table with a whole row of it. Nothing
here is proof: `registry.fold` judges what an entry is worth, these tables say what the ledger says.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import Table

from holdfast.adapters.database import bills, endpoints, holds, marks, parts
from holdfast.core.bill import LISTED, PARTS, SUPPLIED, read_bill, read_parts, read_supplied
from holdfast.core.ledger import Entry
from holdfast.core.passport import REVOKED

Changes: TypeAlias = Sequence[tuple[Table, tuple[Any, ...]]]

ROUTED: Final = "endpoint.routed"
STAGED: Final = "endpoint.staged"
_SLASHES: Final = 2  # of an endpoint's stream: endpoint/ENVIRONMENT/MODEL
MARKING: Final = (
    REVOKED,
    "release.quarantined",
    "release.cleared",
    "release.retired",
    "release.purged",
    "release.archived",
    "release.restored",
)
"""Kinds of entries that say something of an artifact for good, or until another of them."""


def listed(entry: Entry, _: str) -> Changes:
    """Fold `bom.listed`: which model a release is of, and which lists its parts stand in."""
    bill = read_bill(entry.stream, entry.body)
    return (
        (bills, (entry.stream, bill.model, bill.serial, entry.position)),
        *((holds, (entry.stream, name)) for name in bill.lists),
    )


def supplied(entry: Entry, _: str) -> Changes:
    """Fold `bom.supplied`: the newest bill names the thing, and what any of its bills listed stays a hit."""
    bill = read_supplied(entry.stream, entry.body)
    return (
        (bills, (entry.stream, bill.model, bill.serial, entry.position)),
        *((holds, (entry.stream, name)) for name in bill.lists),
    )


def stood(entry: Entry, _: str) -> Changes:
    """Fold `bom.parts`: what stands in a list."""
    name = entry.stream.partition("/")[2]
    return [
        (parts, (name, place, each.kind, each.ecosystem, each.name, each.version, each.digest, each.licence))
        for place, each in enumerate(read_parts(entry.stream, entry.body))
    ]


def marked(entry: Entry, _: str) -> Changes:
    """Fold what marks an artifact: the newest entry of each kind."""
    return ((marks, (entry.stream, entry.kind, entry.position)),)


def routed(entry: Entry, _: str) -> Changes:
    """Fold `endpoint.routed`: what the endpoint answers with; what its readers will refuse moves nothing here."""
    standing = entry.body.get("standing")
    if not isinstance(standing, dict) or entry.stream.count("/") < _SLASHES:
        return ()
    share = standing.get("share", 0.0)
    if not isinstance(share, int | float):
        return ()
    rest = (("baseline", 1 - share), ("candidate", share))
    return [
        (endpoints, (entry.stream, place, str(standing.get(place, ""))[:80], f"{part:.6g}", entry.position))
        for place, part in rest
    ]


def staged(entry: Entry, _: str) -> Changes:
    """Fold `endpoint.staged`: the release that the staging endpoint answers with."""
    pointer = entry.body.get("pointer")
    if not isinstance(pointer, dict) or entry.stream.count("/") < _SLASHES:
        return ()
    return ((endpoints, (entry.stream, "baseline", str(pointer.get("digest", ""))[:80], "1", entry.position)),)


FOLDS: Final[Mapping[str, Any]] = {
    LISTED: listed,
    SUPPLIED: supplied,
    PARTS: stood,
    ROUTED: routed,
    STAGED: staged,
    **dict.fromkeys(MARKING, marked),
}
"""What entries of these kinds mean."""
