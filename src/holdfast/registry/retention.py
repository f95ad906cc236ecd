"""Retention: what must be kept, what may go, and what has become old. Pure: bytes are moved by `lifecycle`.

What may go is decided from the side of what must stay: everything that the ledger mentions is kept, and everything
that a kept document mentions, except what belongs to releases that are gone and to nothing else. A blob that no rule
knows is garbage only if nothing names it.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from holdfast.core.artifact import Digest, Kind
from holdfast.core.bill import LISTED, PARTS
from holdfast.core.errors import NotVerified
from holdfast.core.ledger import Entry
from holdfast.core.passport import RECORDED
from holdfast.core.seal import open_envelope
from holdfast.registry.record import ARCHIVED, PURGED, Record
from holdfast.registry.states import ANSWERING, State

MAX_READ: Final = 64 << 20  # bytes of a document that is searched for digests; passports are the largest
_DIGEST: Final = re.compile(rb"sha256:[0-9a-f]{64}")
_EXPLAINS: Final = frozenset({Kind.PROJECT, Kind.RECIPE})  # kept: a tombstone must still say what it was made by
_BESIDE: Final = frozenset({Kind.BASELINE, Kind.METRICS, Kind.QUARANTINE, Kind.SPLIT})  # derive, and lead nowhere
_INDEX: Final = frozenset({PARTS, LISTED})  # bills of materials, by what stands in them: to find, not to keep
_LISTS: Final = {PURGED: "tombstone", ARCHIVED: "bundle"}  # blobs that name what is gone, and keep none of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Every artifact on record, and what it derives from."""

    kinds: Mapping[str, Kind]
    parents: Mapping[str, frozenset[str]]

    def ancestors(self, roots: Iterable[str]) -> set[str]:
        """Return these artifacts and everything they derive from."""
        found, waiting = set[str](), list(roots)
        while waiting:
            digest = waiting.pop()
            if digest not in found:
                found.add(digest)
                waiting += self.parents.get(digest, ())
        return found

    def made_with(self, release: str) -> set[str]:
        """Return a release, everything it derives from, and what was made beside that."""
        found = self.ancestors([release])
        beside = {digest for digest, kind in self.kinds.items() if kind in _BESIDE and self.parents[digest]}
        return found | {digest for digest in beside if self.parents[digest] <= found}


def family(entries: Iterable[Entry]) -> Family:
    """Return every artifact that these entries record."""
    kinds: dict[str, Kind] = {}
    parents: dict[str, set[str]] = {}
    for entry in entries:
        if entry.kind == RECORDED:
            kinds[entry.stream] = Kind(entry.body["kind"])
            parents.setdefault(entry.stream, set()).update(str(each["digest"]) for each in entry.body["parents"])
    return Family(kinds=kinds, parents={digest: frozenset(found) for digest, found in parents.items()})


def doomed(known: Family, gone: Collection[str]) -> frozenset[str]:
    """Return the artifacts that belong to releases that are gone, and to no other release or model.

    A model that was not released yet keeps what it derives from: its run may still be going on.
    """
    if not gone:
        return frozenset()
    released = {
        parent for digest, kind in known.kinds.items() if kind is Kind.RELEASE for parent in known.parents[digest]
    }
    roots = [
        digest
        for digest, kind in known.kinds.items()
        if (kind is Kind.RELEASE and digest not in gone) or (kind is Kind.MODEL and digest not in released)
    ]
    living = known.ancestors(roots)
    found = known.ancestors(gone) - living
    beside = {digest for digest, kind in known.kinds.items() if kind in _BESIDE and digest not in living}
    found |= {digest for digest in beside if known.parents[digest] & found}
    return frozenset(digest for digest in found if known.kinds.get(digest) not in _EXPLAINS)


def mentions(document: bytes) -> frozenset[str]:
    """Return every digest that a document names, also inside the payload of an envelope."""
    found = {match.decode() for match in _DIGEST.findall(document)}
    try:
        payload, _ = open_envelope(document)
    except NotVerified:
        return frozenset(found)
    return frozenset(found | {match.decode() for match in _DIGEST.findall(payload)})


def kept(entries: Iterable[Entry], dead: Collection[str], read: Callable[[str], bytes | None]) -> frozenset[str]:
    """Return the digest of every blob that must stay.

    Args:
        entries: The whole ledger.
        dead: Artifacts that may go, from `doomed`.
        read: Returns a blob's bytes if it may name others, None if it is no document or not there.
    """
    lists, waiting = set[str](), set[str]()
    for entry in entries:
        if entry.kind in _INDEX:
            continue
        waiting |= mentions(entry.document)
        if entry.kind in _LISTS:
            lists.add(str(entry.body[_LISTS[entry.kind]]))
        about = entry.stream.rpartition("/")[2]  # attestations have streams of their own beside the release's
        if about in dead:  # what was said of it stays; what that names goes with it
            lists |= {str(entry.body[key]) for key in ("envelope", "bundle") if key in entry.body}
    found = set[str]()
    while waiting:
        digest = waiting.pop()
        if digest in found or digest in dead:
            continue
        found.add(digest)
        document = read(digest) if digest not in lists else None
        if document is not None:
            waiting |= mentions(document) - found
    return frozenset(found)


class Age(StrEnum):
    """What a release's age asks for."""

    FRESH = "fresh"
    STALE = "stale"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long releases are kept that nobody uses; a term that is None never ends."""

    stale_after: timedelta | None
    archive_after: timedelta | None


def age(record: Record, last_used: datetime, now: datetime, terms: Terms, *, pinned: bool) -> Age:
    """Return what a release's age asks for: nothing as long as it answers, is held, or something points to it."""
    if pinned or record.held or record.state in ANSWERING or record.state is State.PURGED or record.archived:
        return Age.FRESH
    unused = now - last_used
    if terms.archive_after is not None and unused >= terms.archive_after:
        return Age.EXPIRED
    if terms.stale_after is not None and unused >= terms.stale_after:
        return Age.STALE
    return Age.FRESH


def garbage(held: Iterable[Digest], keep: Collection[str]) -> Iterator[Digest]:
    """Yield the blobs that nothing names."""
    return (digest for digest in held if digest not in keep)
