"""Records: what a release has become, as the fold of all that the ledger holds on it.

Decides what an entry is worth. Evidence, approvals and routings count only if the envelope that the entry names unseals
by the trust, at the time the ledger witnessed; a person's word is needed to lift a quarantine and to end a release. So
an entry that somebody forged stands in the history, and changes nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import InvalidInput, NotFound, NotVerified
from holdfast.core.evidence import Evidence
from holdfast.core.ledger import Entry
from holdfast.core.passport import AUTHORIZED, FILED, RECORDED, REVOKED, STARTED
from holdfast.core.ports import Blobs
from holdfast.core.restatement import RESTATED, unseal_restated, void
from holdfast.core.routes import RouteTable
from holdfast.core.seal import AUTHORIZATION, EVIDENCE, ROUTES, Authorization, Predicate, unseal
from holdfast.core.trust import Trust
from holdfast.registry.proofs import GATES, Proofs, low_of
from holdfast.registry.states import ANSWERING, LADDER, LIFECYCLE, Signal, State

T = TypeVar("T")

ROUTED: Final = "endpoint.routed"  # body: table, an envelope
STAGED: Final = "endpoint.staged"  # the same, of the staging environment
QUARANTINED: Final = "release.quarantined"  # body: reason; anybody may ask for a second look
CLEARED: Final = "release.cleared"  # body: reason, envelope
RETIRED: Final = "release.retired"  # body: reason, envelope
PURGED: Final = "release.purged"  # body: reason, envelope, tombstone
HELD: Final = "release.held"  # body: reason
UNHELD: Final = "release.unheld"  # body: reason, envelope
ARCHIVED: Final = "release.archived"  # body: reason, bundle
RESTORED: Final = "release.restored"  # body: reason

PLACES: Final = {ROUTED: "production", STAGED: "staging"}
"""Which environment a routing entry must be about."""

RULES: Final = {
    CLEARED: "registry.clear",
    RETIRED: "registry.retire",
    PURGED: "registry.purge",
    UNHELD: "registry.unhold",
}
"""What a person must have signed for an entry of this kind to count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One transition: which entry led where."""

    position: int
    time: str
    actor: str
    signal: Signal
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What one release has become."""

    release: Digest
    state: State
    trail: tuple[Moved, ...]
    ignored: tuple[int, ...]  # positions of entries that claim more than is proved
    held: tuple[str, ...]  # reasons of the legal holds in force
    archived: str  # digest of the bundle's list; empty while its bytes are here
    measured: Mapping[str, Evidence]  # the newest verified evidence of each control, of the whole closure
    approvals: Mapping[str, tuple[str, ...]]  # role to the persons who approved in it
    reason: str  # of a quarantine, revocation, retirement or purge

    @property
    def since(self) -> str:
        """When it came into its present state; empty where no entry moved it."""
        return self.trail[-1].time if self.trail else ""


class Opener:
    """Opens the envelopes that entries name; what has verified once is remembered, since it can never change."""

    def __init__(self, blobs: Blobs, trust: Trust) -> None:
        """Read from these blobs, and believe this trust."""
        self._blobs, self._trust = blobs, trust
        self._known: dict[tuple[str, str, str, str], Any] = {}

    @property
    def trust(self) -> Trust:
        """Whom it believes."""
        return self._trust

    def open(
        self, entry: Entry, predicate: Predicate[T], key: str = "envelope", *, again: Entry | None = None
    ) -> T | None:
        """Return what the envelope that an entry names says, or None if it proves nothing.

        Args:
            entry: It names the envelope.
            predicate: What the envelope says.
            key: Under this key of its body.
            again: The entry by which somebody entitled has stated the same again, where its key was revoked.
        """
        named = entry.body.get(key)
        if not isinstance(named, str):
            return None
        newer = str(again.body.get("envelope")) if again is not None else ""
        place = (named, predicate.uri, entry.time, newer)
        if place not in self._known:
            try:
                old = self._blobs.get(Digest(named))
                if again is None or not void(old, self._trust):
                    found = unseal(old, predicate, self._trust, at=entry.moment)
                else:
                    new = self._blobs.get(Digest(newer))
                    found = unseal_restated(old, new, predicate, self._trust, at=again.moment)
            except (NotVerified, NotFound, InvalidInput):  # what does not verify proves nothing: it moves no state
                return None
            self._known[place] = found.value
        value: T = self._known[place]
        return value


@dataclass(slots=True, kw_only=True)
class _Account:
    """What a release has become so far, while its history is read entry by entry."""

    release: Digest
    opener: Opener
    proofs: Proofs
    state: State | None = None
    epochs: dict[str, int] = field(default_factory=dict)
    holds: dict[str, None] = field(default_factory=dict)
    archived: str = ""
    reason: str = ""
    trail: list[Moved] = field(default_factory=list)
    ignored: list[int] = field(default_factory=list)
    measured: dict[str, Evidence] = field(default_factory=dict)
    restated: Mapping[str, Entry] = field(default_factory=dict)  # by the envelope of old

    def take(self, entry: Entry) -> None:
        """Take in one entry: note what it proves, then see how far that leads."""
        read = _READERS.get(entry.kind)
        if read is None:
            return
        if read(self, entry):
            self._settle(entry)
        else:
            self.ignored.append(entry.position)

    def step(self, entry: Entry, signal: Signal) -> bool:
        """Take the transition of a signal, if the table has one."""
        if self.state is None or (self.state, signal) not in LIFECYCLE.table:
            return False
        self.state, _ = LIFECYCLE.step(self.state, signal)
        moved = Moved(position=entry.position, time=entry.time, actor=entry.actor, signal=signal, state=self.state)
        self.trail.append(moved)
        return True

    def _settle(self, entry: Entry) -> None:
        """Fall where what it stood on does not hold, then climb as far as the evidence proves."""
        facts = self.proofs.facts(self.opener.trust)
        rungs = [state for state, _ in LADDER]
        if self.state in rungs or self.state is State.STAGING:
            height = rungs.index(self.state) if self.state in rungs else len(facts)
            if not all(facts[:height]):
                self.step(entry, Signal.SPOILED)
        for holds, (state, signal) in zip(facts, LADDER, strict=False):
            if self.state is state and holds:
                self.step(entry, signal)

    # How each kind of entry is read. Each returns whether the entry proved what it claims.

    def recorded(self, entry: Entry) -> bool:
        try:
            kind = Kind(str(entry.body.get("kind")))
        except ValueError:
            return False
        if self.proofs.kinds.setdefault(entry.stream, kind) is not kind:
            return False
        if entry.stream == self.release and self.state is None and kind is Kind.RELEASE:
            self.state = LIFECYCLE.initial
            if self.reason:  # something that it derives from was revoked before
                self.step(entry, Signal.REVOKED)
        return True

    def started(self, entry: Entry) -> bool:
        self.proofs.open_runs.add(_run(entry))
        return True

    def evidence(self, entry: Entry) -> bool:
        found = self.opener.open(entry, EVIDENCE, again=self.restated.get(str(entry.body.get("envelope"))))
        if found is None or found.subject != entry.stream or found.control != entry.body.get("control"):
            return False
        if found.kind is not self.proofs.kinds.get(entry.stream):
            return False
        self.proofs.open_runs.discard(_run(entry))
        self.proofs.filed[entry.stream, found.control].append(found)
        self.measured[found.control] = found
        if found.control == GATES and entry.stream == self.release:
            self.proofs.gates = found
        return True

    def authorized(self, entry: Entry) -> bool:
        word = self.opener.open(entry, AUTHORIZATION)
        if word is None or word.subject != self.release or entry.stream != self.release:
            return False
        if word.action == "reject":
            self.proofs.rejected.add(word.person)
        elif word.action == "approve" and not word.rule:  # a word of something else, such as a review, is no approval
            if self.opener.trust.granted(word.person, word.role, entry.moment) is None or entry.moment >= word.until:
                return False
            self.proofs.approvals[word.role][word.person] = None
        return True

    def revoked(self, entry: Entry) -> bool:
        self.reason = str(entry.body.get("reason") or "revoked")
        self.step(entry, Signal.REVOKED)
        return True

    def routed(self, entry: Entry) -> bool:
        table = self.opener.open(entry, ROUTES, "table")
        place = PLACES[entry.kind]
        if table is None or table.environment != place or table.epoch <= self.epochs.get(place, -1):  # fenced off
            return False
        self.epochs[place] = table.epoch
        signal = _routing(table, self.release, entry.kind)
        if signal is None:
            here = (State.STAGING,) if entry.kind == STAGED else ANSWERING
            if self.state in here:
                self.step(entry, Signal.RETURNED)
            return True
        return self.step(entry, signal)

    def quarantined(self, entry: Entry) -> bool:
        self.reason = str(entry.body.get("reason") or "quarantined")
        return self.step(entry, Signal.QUARANTINED)

    def cleared(self, entry: Entry) -> bool:
        if self._word(entry) is None or not self.step(entry, Signal.CLEARED):
            return False
        self.proofs.begin_anew()
        self.reason = ""
        return True

    def retired(self, entry: Entry) -> bool:
        return self._ended(entry, Signal.RETIRED)

    def purged(self, entry: Entry) -> bool:
        return not self.holds and self._ended(entry, Signal.PURGED)

    def held(self, entry: Entry) -> bool:
        self.holds[str(entry.body.get("reason") or "held")] = None
        return True

    def unheld(self, entry: Entry) -> bool:
        if self._word(entry) is None:
            return False
        self.holds.clear()
        return True

    def archived_at(self, entry: Entry) -> bool:
        self.archived = str(entry.body.get("bundle") or "")
        return True

    def restored(self, _: Entry) -> bool:
        self.archived = ""
        return True

    def _ended(self, entry: Entry, signal: Signal) -> bool:
        if self._word(entry) is None or not self.step(entry, signal):
            return False
        self.reason = str(entry.body.get("reason") or signal)
        return True

    def _word(self, entry: Entry) -> Authorization | None:
        """Return the signed word of a person that an entry rests on, if it is about just this."""
        word = self.opener.open(entry, AUTHORIZATION)
        wanted = ("grant", RULES[entry.kind], self.release)
        about = word is not None and (word.action, word.rule, word.subject) == wanted
        return word if about and entry.stream == self.release else None


_READERS: Final[Mapping[str, Callable[[_Account, Entry], bool]]] = {
    RECORDED: _Account.recorded,
    STARTED: _Account.started,
    FILED: _Account.evidence,
    AUTHORIZED: _Account.authorized,
    REVOKED: _Account.revoked,
    ROUTED: _Account.routed,
    STAGED: _Account.routed,
    QUARANTINED: _Account.quarantined,
    CLEARED: _Account.cleared,
    RETIRED: _Account.retired,
    PURGED: _Account.purged,
    HELD: _Account.held,
    UNHELD: _Account.unheld,
    ARCHIVED: _Account.archived_at,
    RESTORED: _Account.restored,
}
"""How each kind of entry is read; what is not here moves no state."""

OWN: Final = frozenset({QUARANTINED, CLEARED, RETIRED, PURGED, HELD, UNHELD, ARCHIVED, RESTORED})
"""Kinds that count only in the release's own stream."""


def fold(release: Digest, entries: Iterable[Entry], opener: Opener) -> Record:
    """Return what a release has become.

    Args:
        release: Its digest.
        entries: Every entry of its closure and of the endpoints it may have been routed to, in ledger order.
        opener: Opens what they name.

    Raises:
        NotFound: No entry records such a release.
    """
    known = tuple(entries)
    restated = {str(entry.body.get("restates")): entry for entry in known if entry.kind == RESTATED}
    account = _Account(release=release, opener=opener, proofs=Proofs(release=release), restated=restated)
    for entry in known:
        if entry.kind in OWN and entry.stream != release:
            continue  # about another release
        account.take(entry)
    if account.state is None:
        raise NotFound("the ledger knows no such release", place=release)
    return Record(
        release=release,
        state=account.state,
        trail=tuple(account.trail),
        ignored=tuple(account.ignored),
        held=tuple(account.holds),
        archived=account.archived,
        measured=dict(account.measured),
        approvals={role: tuple(persons) for role, persons in account.proofs.approvals.items()},
        reason=account.reason,
    )


def gated_under(record: Record, policy: str) -> bool:
    """Say whether the newest gate on record was passed under this policy, and still carries the release's state."""
    gates = record.measured.get(GATES)
    past = record.state not in {State.DRAFT, State.FINALISED, State.SCANNED, State.SIGNED, State.ASSESSED}
    return gates is not None and past and gates.facts.get("policy") == policy and low_of(gates, "unmet") == 0


def _routing(table: RouteTable, release: str, kind: str) -> Signal | None:
    """Return what a route table says of a release, None where it does not name it."""
    for model in table.models:
        if model.baseline == release:
            return Signal.STAGED if kind == STAGED else Signal.ROUTED
        if model.candidate == release:
            return Signal.SHARED
    return None


def _run(entry: Entry) -> tuple[str, str, str]:
    return entry.stream, str(entry.body.get("control")), str(entry.body.get("run"))
