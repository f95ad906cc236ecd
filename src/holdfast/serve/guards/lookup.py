"""Features that a gateway looks up itself: a call names an entity, and its features come from the online store.

Stands before `valid-input`, which then checks the whole row like any other. What the caller gives is not looked up.
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

from holdfast.core.errors import InvalidInput, NotVerified, Unavailable
from holdfast.core.feature import full_name
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.schema import Field, Online, Signature
from holdfast.engines.expressions import check_zone, parse
from holdfast.engines.online import MISSING, STALE, Lookup, Store, Vault, look_up
from holdfast.serve.guards.surroundings import Surroundings
from holdfast.serve.protocol import INPUT, InferRequest, Malformed, Operation, decode_infer
from holdfast.serve.refusals import LACKING, MALFORMED

LOOKED_UP: Final = "looked-up-features"
DEGRADED: Final = "degraded-features"  # the flag in the body
FEATURES_MISSING: Final = "features-missing"  # why rules answer, in the header
LATE: Final = "late"
CHANGED: Final = "changed"  # it does not open: somebody else wrote it
NO_NUMBER: Final = "no-number"
ENTITY: Final = "entity."  # begins the parameter that names an entity: `entity.user`
MOMENT: Final = "event_time"  # the parameter that says when it happened; now if left out
FAILURES: Final = 3  # in a row, after which the store is left alone
REST_S: Final = 1.0
AHEAD: Final = timedelta(minutes=1)  # by which a caller's clock may be ahead of ours
MAX_ENTITY: Final = 512  # characters of one part of an entity's name
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MARK: Final = b'"entity.'

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


@dataclass(slots=True)
class Looked:
    """What was found for one call: reads to be counted, what is lacking and why, and whether rules must answer."""

    reads: tuple[str, ...] = ()
    lacking: dict[str, str] = field(default_factory=dict)  # input to reason
    instead: bool = False
    began_s: float = 0.0  # by the gateway's clock
    ended_s: float = 0.0

    @property
    def header(self) -> bytes:
        """What is lacking, as a header says it."""
        return ", ".join(f"{name}={why}" for name, why in self.lacking.items()).encode("ascii", "replace")[:1024]


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
    inputs: Mapping[str, tuple[Field, ...]]  # by digest of the release
    wanted: Mapping[str, tuple[Wanted, ...]]
    source: Source | None
    monotonic: Callable[[], float]
    tell: Callable[[str, str, str, str], None]
    rest: Rest = field(default_factory=Rest)

    def admit(self, call: Call) -> Call | Refusal:
        """Look the call's entity up and write the whole row; a call without an entity brings its row itself."""
        wanted = self.wanted.get(call.release)
        if not wanted or call.operation != Operation.INFER or _MARK not in call.text:
            return call
        try:
            if call.head is not None:
                raise Malformed("a call that names an entity gives its tensors as JSON")  # noqa: TRY301 - as the others
            request = decode_infer(call.body)
            given = _given(request)
            began_s = self.monotonic()
            looked, values = self._look(call, request, wanted, given)
            looked.began_s, looked.ended_s = began_s, self.monotonic()
        except Malformed as finding:
            return MALFORMED.refusal(self.name, str(finding), public=str(finding))
        call.notes[LOOKED_UP] = looked
        if looked.lacking:
            self.tell("features.lacking", call.client, looked.header.decode(), call.correlation)
            if self.missing == "refuse" or not self._filled(call.release, looked, values):
                return LACKING.refusal(self.name, looked.header.decode())
            looked.instead = self.missing == "fallback"
        try:
            call.body = _row(request, given | values, self.inputs[call.release])
        except Malformed as finding:
            return MALFORMED.refusal(self.name, str(finding), public=str(finding))
        return call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:
        """Let the answer out, and say what it was made without."""
        looked = call.notes.get(LOOKED_UP)
        if looked is not None and looked.lacking and DEGRADED not in answer.flags:
            answer.flags = (*answer.flags, DEGRADED)
        return answer

    def _look(
        self, call: Call, request: InferRequest, wanted: Sequence[Wanted], given: Mapping[str, float]
    ) -> tuple[Looked, dict[str, float]]:
        """Return what was found of every wanted view, and why the rest was not.

        Raises:
            Malformed: The call names no entity of a view, or no moment.
        """
        parameters, moment = request.parameters or {}, _moment(request, call)
        looked, values = Looked(), dict[str, float]()
        for each in wanted:
            asked = {feature: at for feature, at in each.fields.items() if at[0] not in given}
            if not asked:
                continue
            entity = "\x1f".join(_part(parameters, key) for key in each.entity)
            looked.reads += tuple(full_name(each.lookup.view, feature) for feature in asked)
            found, lacking, age_s = self._ask(each.lookup, entity, moment)
            for feature, (name, online) in asked.items():
                why = lacking.get(feature, "")
                value = found.get(feature)
                if not why and (not isinstance(value, bool | int | float) or not math.isfinite(value)):
                    why = NO_NUMBER
                if not why and online.fresh_s and age_s is not None and age_s > online.fresh_s:
                    why = STALE
                if why:
                    looked.lacking[name] = why
                if not why or why == STALE:
                    values[name] = float(value)  # type: ignore[arg-type]
        return looked, values

    def _ask(
        self, lookup: Lookup, entity: str, moment: int
    ) -> tuple[Mapping[str, object], Mapping[str, str], float | None]:
        """Ask the store, unless it rests; what fails, or comes too late, is lacking."""
        began = self.monotonic()
        if self.source is None or began < self.rest.until:
            return {}, dict.fromkeys(lookup.code, LATE if self.source is not None else MISSING), None
        try:
            found = look_up(self.source.store, self.source.vault, lookup, entity, moment)
        except Unavailable:
            self.rest.tell(self.monotonic(), failed=True)
            return {}, dict.fromkeys(lookup.code, LATE), None
        except NotVerified as error:
            self.tell("features.changed", "gateway", error.place, "")
            return {}, dict.fromkeys(lookup.code, CHANGED), None
        late = self.monotonic() - began > self.budget_s
        self.rest.tell(self.monotonic(), failed=late)
        if late:
            return {}, dict.fromkeys(lookup.code, LATE), None
        return found.values, found.lacking, found.age_s

    def _filled(self, release: str, looked: Looked, values: dict[str, float]) -> bool:
        """Put what may stand in for what is lacking into its place; say whether there is something for each."""
        defaults = {name: online.default for each in self.wanted[release] for name, online in each.fields.values()}
        for name in looked.lacking:
            default = defaults[name]
            if name not in values:
                if default is None:
                    return False
                values[name] = default
        return True


def _given(request: InferRequest) -> dict[str, float]:
    """Return the inputs that the caller gives: of one row, each by its name.

    Raises:
        Malformed: A matrix, more than one row, or an input twice.
    """
    found: dict[str, float] = {}
    for tensor in request.inputs:
        if tensor.name == INPUT or len(tensor.data) != 1 or tensor.shape not in {(1,), (1, 1)}:
            raise Malformed("a call that names an entity gives each other input by name, one value of shape [1]")
        if tensor.name in found:
            raise Malformed("an input is given twice")
        found[tensor.name] = float(tensor.data[0])
    return found


def _part(parameters: Mapping[str, object], key: str) -> str:
    value = parameters.get(ENTITY + key)
    if isinstance(value, bool) or not isinstance(value, str | int) or not 0 < len(str(value)) <= MAX_ENTITY:
        raise Malformed(f"the parameter {ENTITY}{key} names no entity")
    return str(value)


def _moment(request: InferRequest, call: Call) -> int:
    """Return when what is asked about happened, in microseconds since 1970: as the caller says, or now.

    Raises:
        Malformed: It is no moment with a zone, or lies in the future.
    """
    now = call.now or datetime.now(UTC)
    said = (request.parameters or {}).get(MOMENT)
    if said is None:
        return (now - _EPOCH) // timedelta(microseconds=1)
    try:
        moment = datetime.fromisoformat(str(said)[:40])
        if moment.tzinfo is None or moment > now + AHEAD:
            raise ValueError  # noqa: TRY301 - the same words for each of them
        return (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise Malformed(f"the parameter {MOMENT} is no moment with a zone, or lies in the future") from None


def _row(request: InferRequest, values: Mapping[str, float], inputs: Sequence[Field]) -> bytes:
    """Return the request with its whole row in the one tensor that holds all inputs.

    Raises:
        Malformed: An input is missing or unknown.
    """
    names = [each.name for each in inputs]
    missing, unknown = [name for name in names if name not in values], len(values.keys() - set(names))
    if missing or unknown:
        such = f", the first missing is {missing[0]!r}" if missing else ""
        raise Malformed(f"{len(missing)} inputs are missing and {unknown} are unknown{such}")
    kept = {
        name: value
        for name, value in (request.parameters or {}).items()
        if not name.startswith(ENTITY) and name != MOMENT
    }
    tensor = {"name": INPUT, "shape": [1, len(names)], "datatype": "FP64", "data": [values[name] for name in names]}
    document: dict[str, object] = {"inputs": [tensor]}
    document |= {"id": request.id} if request.id is not None else {}
    document |= {"outputs": msgspec.to_builtins(request.outputs)} if request.outputs is not None else {}
    document |= {"parameters": kept} if kept else {}
    document |= {"model_name": request.model_name} if request.model_name is not None else {}
    return msgspec.json.encode(document)


def looked_up_features(settings: LookedUpSettings, surroundings: Surroundings) -> LookedUpFeatures:
    """Build the guard for every release of the table.

    Raises:
        InvalidInput: A budget that is none, or code that is none.
    """
    if not 0 < settings.budget_ms <= 1000:  # noqa: PLR2004 - a second is no budget of a caller who waits
        raise InvalidInput(f"{LOOKED_UP} in {settings.budget_ms} ms", place="routes", expected="up to 1000 ms")
    wanted = {digest: _wanted(signature, settings) for digest, signature in surroundings.signatures.items()}
    return LookedUpFeatures(
        missing=settings.missing,
        budget_s=settings.budget_ms / 1000,
        inputs={digest: signature.inputs for digest, signature in surroundings.signatures.items()},
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
