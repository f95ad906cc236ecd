"""Aliases: names for releases, moved by a person's signed word and never by an edit.

Decides which release a name means. `resolve` is what callers ask all day: as long as nothing was appended to a stream
that its answer rests on, one or two indexed queries say so; as soon as something was, everything is verified again
before anything is answered.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from holdfast.core.artifact import Digest, parse_digest
from holdfast.core.errors import InvalidInput, NotFound, Refused
from holdfast.core.ledger import Entry, Heads
from holdfast.core.ports import Blobs, Ledger
from holdfast.core.seal import AUTHORIZATION
from holdfast.core.trust import Trust
from holdfast.registry.admission import closure
from holdfast.registry.record import Opener, fold
from holdfast.registry.states import BARRED

ALIASED: Final = "alias.moved"  # body: pointer, reason, envelope
MAX_KNOWN: Final = 4096  # aliases whose answer is remembered; a workspace with more asks the ledger more often
_NAME: Final = re.compile(r"[a-z][a-z0-9.-]{0,62}")


def alias_stream(name: str) -> str:
    """Return the name of the stream that holds an alias's moves.

    Raises:
        InvalidInput: This cannot be an alias.
    """
    if not _NAME.fullmatch(name):
        expected = "a-z, 0-9, dot and -, beginning with a letter, up to 63"
        raise InvalidInput(f"alias {name[:80]!r}", expected=expected)
    return f"alias/{name}"


def alias_rule(name: str) -> str:
    """Return what a person must have signed to move an alias."""
    return f"alias:{name}"


def pointed(name: str, entries: Iterable[Entry], opener: Opener) -> Digest | None:
    """Return the release that an alias means: the newest move that somebody entitled has signed.

    A move that nobody signed, or that somebody signed for another name or release, moves nothing.
    """
    target = None
    for entry in entries:
        pointer = entry.body.get("pointer")
        word = opener.open(entry, AUTHORIZATION) if entry.kind == ALIASED and isinstance(pointer, dict) else None
        if word is None or not isinstance(pointer, dict):
            continue
        said = (word.action, word.rule, word.subject)
        if said == ("grant", alias_rule(name), pointer.get("digest")):
            target = parse_digest(word.subject)
    return target


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    size: int  # of the ledger before the answer was verified
    heads: Heads
    trust: int
    answer: Digest


class Resolver:
    """Answers which release a name means; safe to ask from many threads, each answer is verified or remembered."""

    def __init__(self, ledger: Ledger, blobs: Blobs, trust: Callable[[], Trust]) -> None:
        """Read from these, and believe this trust as it is when asked."""
        self._ledger, self._blobs, self._trust = ledger, blobs, trust
        self._known: dict[str, _Known] = {}

    def resolve(self, name: str) -> Digest:
        """Return the release that an alias means.

        Raises:
            NotFound: Nobody has pointed it anywhere.
            Refused: The release it means is quarantined, revoked, retired or purged.
            LedgerBroken: History does not fit its hashes.
        """
        known, trust, size = self._known.get(name), self._trust(), self._ledger.size()
        if known is None or known.trust != trust.version:
            return self._anew(name, trust, size)
        if known.size != size:  # something was said; was it about this?
            if self._ledger.heads(list(known.heads)) != known.heads:
                return self._anew(name, trust, size)
            self._known[name] = replace(known, size=size)
        return known.answer

    def _anew(self, name: str, trust: Trust, size: int) -> Digest:
        """Verify everything that the answer rests on, and remember the heads of it as they were before."""
        self._known.pop(name, None)
        stream = alias_stream(name)
        opener = Opener(self._blobs, trust)
        head = dict(self._ledger.heads([stream]))
        release = pointed(name, self._ledger.stream(stream), opener)
        if release is None:
            raise NotFound(f"the alias {name!r} points nowhere", remedy="Set it with `holdfast registry alias`.")
        first = closure(self._ledger, release, self._ledger.size())
        heads = head | dict(self._ledger.heads(sorted({entry.stream for entry in first})))
        entries = closure(self._ledger, release, self._ledger.size())  # again: nothing may slip in between
        record = fold(release, entries, opener)
        if record.state in BARRED:
            words = f"the alias {name!r} means a release that is {record.state}: {record.reason}"
            raise Refused(words, place=release, remedy="Point it to another release.")
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[name] = _Known(size=size, heads=heads, trust=trust.version, answer=release)
        return release
