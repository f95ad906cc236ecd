"""Features that a gateway looks up itself: a call names an entity, and its features come from the online store.

Stands before `valid-input`, and adds to what the call gives (`serve.given`) the numbers that it leaves out; the whole
is then checked like any other. What the caller gives is not looked up. Each row may be about an entity of its own: the
store is asked once for each view.

Where a feature is missing, stale, late, or was changed in the store, the table's rule decides: the call is refused, the
project's rules answer in the model's place, or the model answers with the declared default (of a stale value: the
value) and the answer says so, in a header, in its parameters and in an event. There is no answer that hides it.

Time is bounded: a store that fails or is late three times in a row is left alone for a second.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

import msgspec

from holdfast.core import places
from holdfast.core.errors import InvalidInput, NotVerified, Unavailable
from holdfast.core.feature import full_name
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.schema import Online, Signature
from holdfast.engines.expressions import check_zone, parse
from holdfast.engines.online import (
    MISSING,
    STALE,
    Looked,
    Lookup,
    Lying,
    Store,
    Vault,
    fetch,
    lacking_all,
    looked_up,
    meta_in,
)
from holdfast.serve.given import ENTITY, GIVEN, MOMENT, Given, decode, given_in, names_entity
from holdfast.serve.guards.surroundings import Surroundings
from holdfast.serve.protocol import Malformed, Operation
from holdfast.serve.refusals import INVALID_INPUT, LACKING, MALFORMED, UNKNOWN, Saying
from holdfast.serve.spoiled import SPOILED, of_body
from holdfast.serve.takes import Takes

LOOKED_UP: Final = "looked-up-features"
DEGRADED: Final = "degraded-features"  # the flag in the body
FEATURES_MISSING: Final = "features-missing"  # why rules answer, in the header
LATE: Final = "late"
CHANGED: Final = "changed"  # it does not open: somebody else wrote it
NO_NUMBER: Final = "no-number"
_PASSING: Final = frozenset({LATE, CHANGED, STALE})
FAILURES: Final = 3  # in a row, after which the store is left alone
REST_S: Final = 1.0
AHEAD: Final = timedelta(minutes=1)  # by which a caller's clock may be ahead of ours
MAX_ENTITY: Final = 512  # characters of one part of an entity's name
MOST_ROWS: Final = 1000  # of one call by entity: opening so many records takes some 20 ms
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MARK: Final = b'"entity.'
_NUMBER: Final = (int, float)  # a truth value is one too
_NAME: Final = (str, int)

Asks: TypeAlias = Sequence[tuple[str, int]]  # an entity and a moment for each row
Rule: TypeAlias = Literal["refuse", "fallback", "degrade"]


class ViewSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What it takes to look a version of a view up: all of it was registered, and is signed with the table."""

    view: str
    entity: tuple[str, ...]
    ttl_us: int = 0
    zone: str = "UTC"
    stored: tuple[str, ...] = ()  # its row features, in the order of a record's values
    request: dict[str, str] = {}  # code of the features that are computed at request


class LookedUpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is done where features are missing, how long a look-up may take, and the views by version."""

    missing: Rule = "refuse"
    budget_ms: float = 5.0
    views: dict[str, ViewSettings]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a gateway looks features up."""

    store: Store
    vault: Vault


@dataclass(frozen=True, slots=True)
class Wanted:
    """The inputs of one release that come from one view."""

    lookup: Lookup
    entity: tuple[str, ...]
    fields: Mapping[str, tuple[str, Online]]  # feature to the input's name, and what the signature says of it


@dataclass(slots=True, kw_only=True)
class Found:
    """What was found for one call: reads to be counted, what is lacking and why, and whether rules must answer."""

    rows: int
    reads: tuple[str, ...] = ()  # features, each of which was read once for each row
    lacking: dict[str, dict[int, str]] = field(default_factory=dict)  # input to row to reason
    whole: bool = True  # something stands in for whatever is lacking
    passing: bool = False  # some of it may be there at the next try: the store did not say that it has none
    instead: bool = False
    began_s: float = 0.0  # by the gateway's clock
    ended_s: float = 0.0

    @property
    def saying(self) -> Saying:
        """How a call is refused for what is lacking: as the service's matter, or as one that no further try changes."""
        return LACKING if self.passing else UNKNOWN

    @property
    def header(self) -> bytes:
        """What is lacking, as a header says it."""
        said = (f"{name}={why}" for name, by_row in self.lacking.items() for why in dict.fromkeys(by_row.values()))
        return ", ".join(said).encode("ascii", "replace")[:1024]

    @property
    def places(self) -> bytes:
        """The rows of which something is lacking, as a header says them: of as many as there may be, all."""
        return places.said(row for by_row in self.lacking.values() for row in by_row)

    def take(self, name: str, online: Online, looked: Sequence[Looked]) -> list[float]:
        """Return the column of an input, one value for each row, and write down what is lacking of it."""
        column, feature = [], online.feature
        for row, each in enumerate(looked):
            why, value = each.lacking.get(feature, ""), each.values.get(feature)
            if not why and not (isinstance(value, _NUMBER) and math.isfinite(value)):
                why = NO_NUMBER
            if not why and online.fresh_s and each.age_s is not None and each.age_s > online.fresh_s:
                why = STALE
            if why:
                self.lacking.setdefault(name, {})[row] = why
                self.passing = self.passing or why in _PASSING or each.age_s is None
            if why and why != STALE:
                value = online.default
                self.whole = self.whole and value is not None
            column.append(math.nan if value is None else float(value))
        return column


@dataclass(slots=True)
class Rest:
    """Whether the store is left alone after failures in a row."""

    failures: int = 0
    until: float = -math.inf

    def tell(self, now: float, *, failed: bool) -> None:
        """Take in how a look-up went."""
        self.failures = self.failures + 1 if failed else 0
        if self.failures >= FAILURES:
            self.failures, self.until = 0, now + REST_S


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedUpFeatures:
    """A call that names an entity gets the features that its release was trained with."""

    name: str = LOOKED_UP
    missing: Rule
    budget_s: float
    takes: Mapping[str, Takes]  # by digest of the release
    wanted: Mapping[str, tuple[Wanted, ...]]
    source: Source | None
    monotonic: Callable[[], float]
    tell: Callable[[str, str, str, str], None]
    rest: Rest = field(default_factory=Rest)

    def admit(self, call: Call) -> Call | Refusal:
        """Look the entities of a call up and add what it leaves out; a call without an entity brings its row itself."""
        wanted = self.wanted.get(call.release)
        if not wanted or _MARK not in call.text:
            return call
        takes = self.takes[call.release]
        try:
            document = decode(call)
            if not names_entity(document, takes):  # a text talks about one
                return call
            given = given_in(document, takes)
            if given.rows > MOST_ROWS:
                words = f"{given.rows} rows, at most {MOST_ROWS} are allowed in one call that names entities"
                raise InvalidInput(words)  # noqa: TRY301 - as the others
            found = self._look(call, given, wanted)
        except Malformed as finding:
            if call.operation == Operation.PREDICT:
                call.notes[SPOILED] = of_body(call.body, takes.own)
            return MALFORMED.refusal(self.name, str(finding), public=str(finding))
        except InvalidInput as finding:
            words = f"{INVALID_INPUT.public}: {finding.message}"
            return INVALID_INPUT.refusal(self.name, finding.message, public=words)
        call.notes[LOOKED_UP] = found
        call.notes[GIVEN] = given
        if found.lacking:
            self.tell("features.lacking", call.client, found.header.decode(), call.correlation)
            if self.missing == "refuse" or not found.whole:
                return found.saying.refusal(self.name, found.header.decode())
            found.instead = self.missing == "fallback"
        return call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:
        """Let the answer out, and say what it was made without."""
        found = call.notes.get(LOOKED_UP)
        if found is not None and found.lacking and DEGRADED not in answer.flags:
            answer.flags = (*answer.flags, DEGRADED)
        return answer

    def _look(self, call: Call, given: Given, wanted: Sequence[Wanted]) -> Found:
        """Add to what is given the features that it leaves out; return what was found, and why the rest was not.

        Raises:
            Malformed: A row names no entity of a view, or no moment.
        """
        found = Found(rows=given.rows, began_s=self.monotonic())
        moments = _moments(given, call)
        for each in wanted:
            asked = {feature: at for feature, at in each.fields.items() if at[0] not in given.numbers}
            if not asked:
                continue
            found.reads += tuple(full_name(each.lookup.view, feature) for feature in asked)
            looked = self._ask(each.lookup, list(zip(_entities(given, each.entity), moments, strict=True)))
            for name, online in asked.values():
                given.numbers[name] = found.take(name, online, looked)
        found.ended_s = self.monotonic()
        return found

    def _ask(self, lookup: Lookup, asks: Asks) -> list[Looked]:
        """Return what the store holds of each row, nothing where it rests, fails or is late; it is asked once."""
        began = self.monotonic()
        if self.source is None or began < self.rest.until:
            return [lacking_all(lookup, LATE if self.source is not None else MISSING)] * len(asks)
        store, vault = self.source.store, self.source.vault
        entities = tuple(dict.fromkeys([who for who, _ in asks]))
        try:
            about, *fetched = fetch(store, vault, lookup, entities)
        except Unavailable:
            self.rest.tell(self.monotonic(), failed=True)
            return [lacking_all(lookup, LATE)] * len(asks)
        ended = self.monotonic()
        late = ended - began > self.budget_s
        self.rest.tell(ended, failed=late)
        if late:
            return [lacking_all(lookup, LATE)] * len(asks)
        known, changed = _opened(vault, lookup, about, dict(zip(entities, fetched, strict=True)), asks)
        if changed:
            self.tell("features.changed", "gateway", changed, "")
        return [known.get(ask) or lacking_all(lookup, CHANGED) for ask in asks]


def _opened(
    vault: Vault, lookup: Lookup, about: Lying, fetched: Mapping[str, Lying], asks: Asks
) -> tuple[dict[tuple[str, int], Looked], str]:
    """Return what each entity's record says at each moment, without those that do not open; and where one does not."""
    known: dict[tuple[str, int], Looked] = {}
    changed = ""
    try:
        meta = meta_in(vault, *about)
    except NotVerified as error:
        return known, error.place
    for ask in dict.fromkeys(asks):
        try:
            known[ask] = looked_up(vault, lookup, meta, fetched[ask[0]], ask[1])
        except NotVerified as error:
            changed = changed or error.place
    return known, changed


def _entities(given: Given, columns: Sequence[str]) -> list[str]:
    """Return the entity of each row, as the store knows it.

    Raises:
        Malformed: A part of one is missing, or is none.
    """
    named = [given.entity.get(column, (None,) * given.rows) for column in columns]
    parts = [[_part(value, column) for value in values] for column, values in zip(columns, named, strict=True)]
    return ["\x1f".join(each) for each in zip(*parts, strict=True)]


def _part(value: object, column: str) -> str:
    if isinstance(value, bool) or not isinstance(value, _NAME) or not 0 < len(str(value)) <= MAX_ENTITY:
        raise Malformed(f"{ENTITY}{column} names no entity")
    return str(value)


def _moments(given: Given, call: Call) -> list[int]:
    """Return when what each row is about happened, in microseconds since 1970: as the caller says, or now.

    Raises:
        Malformed: It is no moment with a zone, or lies in the future.
    """
    now = call.now or datetime.now(UTC)
    if given.moments is None:
        return [(now - _EPOCH) // timedelta(microseconds=1)] * given.rows
    known = {said: _moment(said, now) for said in dict.fromkeys(given.moments)}
    return [known[said] for said in given.moments]


def _moment(said: object, now: datetime) -> int:
    try:
        moment = datetime.fromisoformat(str(said)[:40])
        if moment.tzinfo is None or moment > now + AHEAD:
            raise ValueError  # noqa: TRY301 - the same words for each of them
        return (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise Malformed(f"{MOMENT} is no moment with a zone, or lies in the future") from None


def looked_up_features(settings: LookedUpSettings, surroundings: Surroundings) -> LookedUpFeatures:
    """Build the guard for every release of the table.

    Raises:
        InvalidInput: A budget that is none, or code that is none.
    """
    if not 0 < settings.budget_ms <= 1000:  # noqa: PLR2004 - a second is no budget of a caller who waits
        raise InvalidInput(f"{LOOKED_UP} in {settings.budget_ms} ms", place="routes", expected="up to 1000 ms")
    wanted = {digest: _wanted(signature, settings) for digest, signature in surroundings.signatures.items()}
    made = {digest: Takes.of(signature) for digest, signature in surroundings.signatures.items()}
    return LookedUpFeatures(
        missing=settings.missing,
        budget_s=settings.budget_ms / 1000,
        takes={digest: takes for digest, takes in made.items() if takes is not None},
        wanted=wanted,
        source=surroundings.features,
        monotonic=surroundings.monotonic,
        tell=surroundings.tell,
    )


def _wanted(signature: Signature, settings: LookedUpSettings) -> tuple[Wanted, ...]:
    """Return what a release's inputs are looked up by; a version that the table does not hold is never found."""
    versions = dict.fromkeys(each.online.version for each in signature.inputs if isinstance(each.online, Online))
    found = []
    for version in versions:
        fields = {
            each.online.feature: (each.name, each.online)
            for each in signature.inputs
            if isinstance(each.online, Online) and each.online.version == version
        }
        view = settings.views.get(version)
        if view is None:
            raise InvalidInput("a release was trained with a view that the table does not hold", place="routes")
        check_zone(view.zone)
        unknown = [name for name in fields if name not in view.stored and name not in view.request]
        if unknown:
            raise InvalidInput(f"the view {view.view} has no feature {unknown[0]!r}", place="routes")
        code = {name: parse(view.request[name], {}) if name in view.request else None for name in fields}
        lookup = Lookup(
            view=view.view, version=version, ttl_us=view.ttl_us, zone=view.zone, names=view.stored, code=code
        )
        found.append(Wanted(lookup=lookup, entity=view.entity, fields=fields))
    return tuple(found)
