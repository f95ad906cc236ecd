"""The guards: every condition on a call or an answer that a route table may name.

To add one: a file here, one line in `GUARDS`. Which of them run, in which order and how configured, the signed route
table says; a table that names a guard which is not here, or a setting that a guard does not know, is refused whole.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Chain, Guard
from holdfast.core.routes import GuardSpec
from holdfast.serve.guards.access import Authenticated, AuthenticatedSettings, authenticated
from holdfast.serve.guards.commands import WithinBoundsSettings, within_bounds
from holdfast.serve.guards.extraction import ExtractionSettings, extraction
from holdfast.serve.guards.freshness import FreshRequestSettings, fresh_request
from holdfast.serve.guards.hygiene import CleanRequestSettings, clean_request
from holdfast.serve.guards.inputs import ValidInputSettings, valid_input
from holdfast.serve.guards.limits import (
    WithinConcurrencySettings,
    WithinQuotaSettings,
    WithinRateSettings,
    WithinSpendSettings,
    within_concurrency,
    within_quota,
    within_rate,
    within_spend,
)
from holdfast.serve.guards.lookup import LookedUpSettings, looked_up_features
from holdfast.serve.guards.outputs import CoarseOutputSettings, coarse_output
from holdfast.serve.guards.privacy import (
    GroupedOutputSettings,
    NoisedOutputSettings,
    grouped_output,
    noised_output,
)
from holdfast.serve.guards.sequence import QuerySequenceSettings, query_sequence
from holdfast.serve.guards.size import WithinSizeSettings, within_size
from holdfast.serve.guards.strangeness import (
    AdversarialInputSettings,
    SqueezedInputSettings,
    adversarial_input,
    squeezed_input,
)
from holdfast.serve.guards.stream import StreamAnomalySettings, stream_anomaly
from holdfast.serve.guards.surroundings import Surroundings
from holdfast.serve.guards.wording import (
    PromptInjectionSettings,
    TextContentSettings,
    prompt_injection,
    text_content,
)

Settings = TypeVar("Settings")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardKind(Generic[Settings]):
    """A guard by name: its settings, how it is built, and whether calls that run no model pass it too."""

    name: str
    settings: type[Settings]
    build: Callable[[Settings, Surroundings], Guard]
    everywhere: bool = False
    required: bool = False
    after: str = ""  # which guard must stand before it


_KNOWN: Final = "authenticated"  # before it nobody knows who calls
_VALID: Final = "valid-input"  # before it nobody knows what is asked
_COARSE: Final = "coarse-output"  # on the way out it comes later, and sees what is left
_NOISED: Final = "noised-output"  # the same
_BOUNDED: Final = "within-bounds"  # of the model's own answer; what is said in its place for privacy moves no machine
_PRIVATE: Final = frozenset({_NOISED, "grouped-output"})

GUARDS: Final[tuple[GuardKind[Any], ...]] = (
    GuardKind(name="within-size", settings=WithinSizeSettings, build=within_size),
    GuardKind(name="clean-request", settings=CleanRequestSettings, build=clean_request, everywhere=True),
    GuardKind(
        name="authenticated", settings=AuthenticatedSettings, build=authenticated, everywhere=True, required=True
    ),
    GuardKind(name="fresh-request", settings=FreshRequestSettings, build=fresh_request, after=_KNOWN),
    GuardKind(name="within-rate", settings=WithinRateSettings, build=within_rate, everywhere=True, after=_KNOWN),
    GuardKind(name="stream-anomaly", settings=StreamAnomalySettings, build=stream_anomaly, after=_KNOWN),
    GuardKind(name="within-concurrency", settings=WithinConcurrencySettings, build=within_concurrency, after=_KNOWN),
    GuardKind(name="looked-up-features", settings=LookedUpSettings, build=looked_up_features, after=_KNOWN),
    GuardKind(name="valid-input", settings=ValidInputSettings, build=valid_input, required=True, after=_KNOWN),
    GuardKind(name="prompt-injection", settings=PromptInjectionSettings, build=prompt_injection, after=_VALID),
    GuardKind(name="text-content", settings=TextContentSettings, build=text_content, after=_VALID),
    GuardKind(name="within-quota", settings=WithinQuotaSettings, build=within_quota, after=_VALID),
    GuardKind(name="within-spend", settings=WithinSpendSettings, build=within_spend, after=_VALID),
    GuardKind(name="query-sequence", settings=QuerySequenceSettings, build=query_sequence, after=_VALID),
    GuardKind(name="extraction", settings=ExtractionSettings, build=extraction, after=_VALID),
    GuardKind(name="adversarial-input", settings=AdversarialInputSettings, build=adversarial_input, after=_VALID),
    GuardKind(name="squeezed-input", settings=SqueezedInputSettings, build=squeezed_input, after=_VALID),
    GuardKind(name="coarse-output", settings=CoarseOutputSettings, build=coarse_output),
    GuardKind(name="noised-output", settings=NoisedOutputSettings, build=noised_output, after=_COARSE),
    GuardKind(name="grouped-output", settings=GroupedOutputSettings, build=grouped_output, after=_NOISED),
    GuardKind(name="within-bounds", settings=WithinBoundsSettings, build=within_bounds, after=_COARSE),
)
"""Cheap ones first, which is also the order a table should have."""

_KINDS: Final = {kind.name: kind for kind in GUARDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """The guards of one route table: all of them for a call of a model, the access guards for a look at it."""

    call: Chain
    look: Chain


def build_chains(specs: Sequence[GuardSpec], surroundings: Surroundings) -> Chains:
    """Return the guards that a route table lists, in its order.

    Raises:
        InvalidInput: A name or setting nobody knows, a guard listed twice, a required one missing, or one that needs to
            know the caller before the caller is known.
    """
    built: list[tuple[GuardKind[Any], Guard]] = []
    for spec in specs:
        kind = _KINDS.get(spec.name)
        if kind is None:  # an unknown guard is a control that somebody counts on
            raise InvalidInput(f"no guard is called {spec.name[:80]!r}", place="routes", expected=", ".join(_KINDS))
        try:
            settings = msgspec.convert(spec.configuration, kind.settings)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"{spec.name} cannot be set so: {error}", place="routes") from error
        built.append((kind, kind.build(settings, surroundings)))
    _check_order([kind.name for kind, _ in built])
    call = Chain(tuple(guard for _, guard in built))
    return Chains(call=call, look=Chain(tuple(guard for kind, guard in built if kind.everywhere)))


def readmitted(chains: Chains, surroundings: Surroundings) -> Chains:
    """Return guards that are as they were, but know the callers of these surroundings, and nobody else."""
    known = authenticated(AuthenticatedSettings(), surroundings)

    def exchanged(chain: Chain) -> Chain:
        return Chain(tuple(known if isinstance(guard, Authenticated) else guard for guard in chain.guards))

    return Chains(call=exchanged(chains.call), look=exchanged(chains.look))


def _check_order(names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise InvalidInput("a guard is listed twice", place="routes", expected="each guard once")
    for kind in GUARDS:
        if kind.required and kind.name not in names:  # without these two nothing is known of caller or input
            raise InvalidInput(f"the guard {kind.name} is missing", place="routes", expected="it in every table")
        if kind.name == _BOUNDED and not _PRIVATE.isdisjoint(names) and kind.name in names:
            raise InvalidInput(
                f"{_BOUNDED} stands beside {' and '.join(sorted(_PRIVATE & set(names)))}",
                place="routes",
                expected="a command is compared with the model's own answer: noise or a group would be another",
            )
        if kind.name in names and kind.after in names and names.index(kind.name) < names.index(kind.after):
            raise InvalidInput(
                f"{kind.name} stands before {kind.after}", place="routes", expected=f"{kind.after} before it"
            )
