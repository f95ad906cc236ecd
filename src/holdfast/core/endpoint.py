"""`[serving]` of the project file: how its endpoint answers, to whom, how much, and how exactly."""

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4096)]  # characters; more is a document, not a value
Count: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000_000)]  # more rows or calls than anything here waits for
Most: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000_000)]  # the same, where 0 sets no limit
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Positive: TypeAlias = Annotated[float, Meta(gt=0, le=1_000_000_000)]  # finite: an infinite limit would be none
Price: TypeAlias = Annotated[float, Meta(ge=0, le=1_000_000_000)]
Bound: TypeAlias = Annotated[float, Meta(ge=-1e12, le=1e12)]  # finite


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is different for one known client; what is left out is as for everybody."""

    rate_per_s: Positive | None = None
    burst: Count | None = None
    rows: Most | None = None
    rows_ever: Most | None = None
    spend: Positive | None = None
    group: Text | None = None  # of callers who share one budget of different rows


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many rows each client may have answered; 0 sets no limit."""

    rows: Most = 0
    rows_ever: Most = 0
    period: str = "1d"


class Spend(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What answers cost, and how much each client may spend."""

    per_call: Price = 0.0
    per_row: Price = 0.0
    cap: Positive
    period: str = "30d"
    alert_at: Annotated[float, Meta(gt=0, le=1)] = 0.8  # of the cap


class Noise(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much answers may tell about any one record: differential privacy."""

    epsilon: Annotated[float, Meta(ge=0.001, le=100)]
    budget: Positive
    budget_all: Price = 0.0
    period: str = ""  # empty: for ever
    answer: Literal["label", "probabilities"] = "label"
    protects: Literal["model", "rows"] = "model"


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Answers about groups of rows only."""

    smallest: Annotated[int, Meta(ge=2, le=100_000)]
    apart: str = ""  # for how long a row may be in one group only; empty: it may be in any number


class Interlock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Commands that are never issued while an input lies above or below a bound."""

    never: tuple[Text, ...]
    input: Text
    above: Bound | None = None
    below: Bound | None = None


class Commands(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """For models that drive something: what each class commands, and within which bounds."""

    values: dict[str, Bound]
    lowest: Bound
    highest: Bound
    change_per_s: Price = 0.0
    least_probability: Share = 0.0
    interlocks: tuple[Interlock, ...] = ()
    safe: str = ""


class Online(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is done with a call that names an entity of which features are missing, stale or late."""

    missing: Literal["refuse", "fallback", "degrade"] = "refuse"
    budget_ms: Annotated[float, Meta(gt=0, le=1000)] = 5.0


Answered: TypeAlias = Literal["off", "alert", "flag", "coarsen", "slow", "challenge", "block"]


class Detectors(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which detectors stand before the model, and what follows when one of them suspects a client."""

    query_sequence: Answered = "off"
    extraction: Answered = "off"
    different_rows: Most = 0  # that a client may ask about in a period, as `extraction` counts; 0: any number
    period: str = "1d"
    adversarial_input: Literal["off", "alert", "flag", "coarsen", "block"] = "off"
    false_alarms: Literal["0.1", "0.05", "0.02", "0.01", "0.005", "0.002"] = "0.01"  # of `adversarial_input`
    stream_anomaly: Answered = "off"
    lasts: str = "15m"  # a suspicion
    squeeze_levels: Most = 0  # of each input with a declared range that the model gets to see; 0: all


Personal: TypeAlias = Literal[
    "email", "url", "iban", "card", "us-ssn", "ip", "phone", "date-of-birth", "secret", "national-id"
]


class Texts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What texts may say to a model that reads them, and answers may say back."""

    injection: Literal["off", "alert", "neutralise", "refuse"] = "refuse"
    threshold: Annotated[float, Meta(ge=0.5, le=50)] = 1.5
    content: Literal["off", "alert", "mask", "refuse"] = "refuse"
    answers: Literal["off", "alert", "mask", "refuse"] = "refuse"
    kinds: tuple[Personal, ...] = ("email", "iban", "card", "us-ssn", "ip", "phone", "date-of-birth", "secret")
    words: Annotated[tuple[Text, ...], Meta(max_length=5000)] = ()  # and phrases, that are unsafe


class Serving(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the gateway answers."""

    round_decimals: Annotated[int, Meta(ge=0, le=15)] = 2  # a double holds no more
    label_only: bool = False
    top_classes: Most = 0  # whose probability is told; 0: all
    rate_per_s: Positive = 50.0
    burst: Count = 100
    concurrent: Most = 0  # workers that one client may keep busy; 0: all
    max_rows: Count = 256
    lease: str = "15m"
    replay_window_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0  # of signed requests; 0 asks for no signature
    hosts: tuple[Text, ...] = ()  # under which the endpoint is called; none: any
    machines: Annotated[int, Meta(ge=1, le=1000)] = 1  # whose gateways share the limits
    apart: Literal["share", "refuse"] = "share"  # while they cannot reach each other
    quota: Quota | None = None
    spend: Spend | None = None
    noise: Noise | None = None
    group: Group | None = None
    commands: Commands | None = None
    detectors: Detectors | None = None
    online: Online = Online()
    texts: Texts | None = None
    clients: dict[str, Client] = {}


def durations(serving: Serving) -> Iterator[tuple[str, str]]:
    """Yield each duration that is set, with its key."""
    yield "serving.lease", serving.lease
    if serving.quota is not None:
        yield "serving.quota.period", serving.quota.period
    if serving.spend is not None:
        yield "serving.spend.period", serving.spend.period
    if serving.noise is not None and serving.noise.period:
        yield "serving.noise.period", serving.noise.period
    if serving.detectors is not None:
        yield "serving.detectors.period", serving.detectors.period
        yield "serving.detectors.lasts", serving.detectors.lasts
    if serving.group is not None and serving.group.apart:
        yield "serving.group.apart", serving.group.apart


def faults(serving: Serving) -> Iterator[tuple[str, str, str]]:
    """Yield what types cannot say: the key that is wrong, how, and what would be right."""
    quota, spend, noise, commands = serving.quota, serving.spend, serving.noise, serving.commands
    detectors = serving.detectors
    if detectors is not None and detectors.squeeze_levels == 1:
        yield "serving.detectors.squeeze_levels", "one level tells nothing", "0, or 2 and more"
    if detectors is not None and detectors.different_rows and detectors.extraction == "off":
        yield "serving.detectors.different_rows", "nobody counts them", "extraction"
    limited = quota is not None and (quota.rows or quota.rows_ever)
    if quota is not None and not limited:
        yield "serving.quota", "the quota sets no limit", "rows or rows_ever above 0"
    if spend is not None and not (spend.per_call or spend.per_row):
        yield "serving.spend", "nothing costs anything", "per_call or per_row above 0"
    if noise is not None and noise.budget < noise.epsilon:
        yield "serving.noise", "the budget is too small for one answer", "a budget of epsilon or more"
    if noise is not None and noise.protects == "rows" and serving.group is None:
        yield "serving.noise", 'protects = "rows" without groups', "[serving.group]"
    if commands is not None and (commands.lowest > commands.highest or not commands.values):
        yield "serving.commands", "the bounds leave no command", "lowest <= highest, and a value for each class"
    if commands is not None and (noise is not None or serving.group is not None or serving.label_only):
        yield "serving.commands", "a command is no noised, grouped or bare answer", "one or the other"
    yield from _faults_of_texts(serving.texts)
    yield from _faults_of_clients(serving, limited=bool(limited))


def _faults_of_clients(serving: Serving, *, limited: bool) -> Iterator[tuple[str, str, str]]:
    for name, own in serving.clients.items():
        if (own.rows is not None or own.rows_ever is not None) and not limited:
            yield f"serving.clients.{name}", f"client {name[:80]!r} has a quota and nobody else", "[serving.quota]"
        if own.spend is not None and serving.spend is None:
            yield f"serving.clients.{name}", f"client {name[:80]!r} has a cap and nothing costs", "[serving.spend]"
        if own.group is not None and not (serving.detectors is not None and serving.detectors.different_rows):
            words = f"client {name[:80]!r} is of a group, and there is no budget to share"
            yield f"serving.clients.{name}", words, "different_rows of [serving.detectors]"


def _faults_of_texts(texts: Texts | None) -> Iterator[tuple[str, str, str]]:
    if texts is None:
        return
    if not texts.kinds and not texts.words:  # empty means no
        yield "serving.texts.kinds", "nothing is looked for in texts", "kinds, words, or both"
    if texts.injection == texts.content == texts.answers == "off":
        yield "serving.texts", "nothing is done about texts", "injection, content or answers"
