"""A gateway in its small world that looks features up: what it does by each rule, and within which time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.batch import Scored
from holdfast.core.errors import Unavailable
from holdfast.core.feature import FeatureCode, FeatureView
from holdfast.core.resilience import Fallback, Resilience, Rule
from holdfast.core.routes import GuardSpec
from holdfast.core.schema import Field, Online, Signature
from holdfast.core.text import TextInput, bucket_name
from holdfast.engines.online import Meta, Record, Vault, encode_meta, encode_record, meta_place
from holdfast.serve import HttpResponse
from holdfast.serve.guards.lookup import Source
from holdfast.serve.scoring import Scorer
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import API_KEY, CREDENTIAL_KEY, GUARDS, INFER, Serving, World, with_key

DAY = 86_400 * 1_000_000
VIEW = FeatureView(
    owner="Dana",
    description="measurements",
    source="m.csv",
    entity=("patient",),
    event_time="at",
    columns={"patient": "string", "at": "timestamp", "radius": "float"},
    features={
        "radius": FeatureCode(code="radius", type="float", default=15.0),
        "earlier": FeatureCode(code="earlier_events()", type="int"),
    },
    fresh="1d",
)
VAULT = Vault.of(CREDENTIAL_KEY)


@dataclass
class MemoryStore:
    """A store that can be slow, or gone."""

    world: World
    items: dict[str, bytes] = field(default_factory=dict)
    gone: bool = False
    slow_s: float = 0.0
    asked: int = 0
    ticks: Any = None

    def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        self.asked += 1
        self.ticks.seconds += self.slow_s
        if self.gone:
            raise Unavailable("gone")
        return [self.items.get(key) for key in keys]

    def replace(self, prefix: str, items: Mapping[str, bytes]) -> None:
        self.items = {key: value for key, value in self.items.items() if not key.startswith(prefix)} | dict(items)

    def close(self) -> None:
        """Nothing to let go."""


class Looking:
    """A gateway whose model takes one feature from the store, one from the entity's history, and one by itself."""

    def __init__(
        self,
        missing: str,
        *,
        default: float | None = 15.0,
        rules: bool = True,
        traced: float = 0.0,
        text: TextInput | None = None,
        weights: Sequence[float] = (0.02, 0.1, 1.0),
        behind: Sequence[GuardSpec] = (),
    ) -> None:
        self.world = World()
        about: dict[str, Any] = {"view": "visits", "version": VIEW.digest, "entity": VIEW.entity}
        buckets = range(text.hashing.buckets if text is not None else 0)
        signature = Signature(
            inputs=(
                Field(name="age", minimum=0.0, maximum=100.0),
                *(Field(name=bucket_name("message", each), minimum=-1.0, maximum=1.0) for each in buckets),
                Field(name="mean radius", minimum=0.0, maximum=30.0, online=Online(
                    feature="radius", default=default, fresh_s=86_400, **about)),
                Field(name="trend", online=Online(feature="earlier", default=0.0, **about)),
            ),
            classes=("benign", "malignant"),
            texts=(text,) if text is not None else msgspec.UNSET,
        )  # fmt: skip
        configuration = {
            "missing": missing,
            "views": {
                VIEW.digest: {
                    "view": "visits",
                    "entity": ["patient"],
                    "stored": ["radius"],
                    "request": {"earlier": "earlier_events()"},
                }
            },
        }
        looking = GuardSpec(name="looked-up-features", configuration=configuration)
        guards = (*GUARDS[:3], looking, GUARDS[3], *behind, *GUARDS[4:])
        table = self.world.table(self.world.release(tiny_model(weights, -2.0), signature=signature), guards=guards)
        if rules:
            fallback = Fallback(otherwise="benign", rules=(Rule(label="malignant", at_least={"mean radius": 0.0}),))
            (route,) = table.models
            route = msgspec.structs.replace(route, resilience=Resilience(fallback=fallback))
            table = msgspec.structs.replace(table, models=(route,))
        self.world.publish(table)
        self.store = MemoryStore(self.world)
        source = Source(store=self.store, vault=VAULT)
        self.serving: Serving = self.world.serving(OnnxRuntime(), features=source, traced=traced)
        self.store.ticks = self.serving.ticks
        self.serving.look()
        assert self.serving.gateway.state is not None, self.serving.complaints
        self.now = int(self.world.clock.now().timestamp() * 1_000_000)
        self.fill(self.now - 60_000_000)

    def fill(self, event: int, radius: float | None = 12.0, patient: str = "p1") -> None:
        """Put one patient's record into the store, and nobody else's unless it is there already."""
        place = VAULT.place("visits", VIEW.digest, patient)
        last = ((event, event + 1), (event, event + 1), (event, event + 1))
        record = Record(written=event, event=event, created=event, values=(radius,), last=last)
        meta = Meta(view="visits", version=VIEW.digest, source="", written=event, newest=event, entities=1, events=3)
        about = meta_place(VAULT, "visits", VIEW.digest)
        self.store.items |= {
            place: VAULT.seal(place, encode_record(record), bytes(12)),
            about: VAULT.seal(about, encode_meta(meta), b"1" * 12),
        }

    def call(self, document: object, *more: tuple[bytes, bytes], path: str = INFER) -> HttpResponse:
        """A call with this body."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.serving.call((*with_key(), *more), path=path, body=body)

    def ask(self, patient: str = "p1", *more: tuple[bytes, bytes]) -> HttpResponse:
        """A call by patient, with more headers."""
        age = {"name": "age", "shape": [1], "datatype": "FP64", "data": [50]}
        return self.call({"inputs": [age], "parameters": {"entity.patient": patient}}, *more)


def said(response: HttpResponse) -> tuple[str, str]:
    """The label and the flags of an answer."""
    document = json.loads(response.body)
    return document["outputs"][0]["data"][0], document.get("parameters", {}).get("flags", "")


@pytest.mark.requirement("FEAT-09")
def test_each_rule_is_obeyed_and_what_is_whole_is_not_marked() -> None:
    """Whole: unmarked. Missing: refused with a code of its own, ruled, or answered with the default, as declared."""
    for missing in ("refuse", "fallback", "degrade"):
        it = Looking(missing)
        whole = it.ask()
        assert whole.status == 200
        assert whole.header(b"x-holdfast-degraded") is None
        assert "degraded" not in said(whole)[1]
        lacking = it.ask("nobody")
        if missing == "refuse":
            assert (lacking.status, lacking.header(b"x-holdfast-code")) == (400, b"HF277")
            continue
        assert lacking.status == 200
        assert lacking.header(b"x-holdfast-degraded") == b"mean radius=missing"
        assert "degraded-features" in said(lacking)[1]
        if missing == "fallback":  # the rule is about the very input that nobody knows: it fits nobody
            assert lacking.header(b"x-holdfast-fallback") == b"features-missing"
            assert said(lacking)[0] == "benign"
            assert "fallback" in said(lacking)[1]


def score(it: Looking, patients: list[str], ages: list[float], more: dict[str, list[float]]) -> list[Scored]:
    """What a batch says of rows by patient, with more numbers."""
    state = it.serving.gateway.state
    assert state is not None
    release = state.routes["tiny"].baseline
    scorer = Scorer(
        handle=it.serving.gateway.handle,
        model="tiny",
        key=API_KEY,
        signature=release.signature,
        inputs=("age", *more),
        release=release.short,
        clock=it.world.clock,
        wait=lambda _: None,
        rows_per_call=100,
    )
    return scorer.score(np.array([ages, *more.values()]).T, {"entity.patient": patients})


@pytest.mark.requirement("FEAT-09")
@pytest.mark.requirement("SERV-02", by="holdfast.serve.scoring:Scorer._asked")
def test_in_a_batch_rules_answer_for_the_rows_that_lack_features_alone() -> None:
    """One call is answered by rules as a whole; a batch asks again by halves, so that the model answers the others."""
    patients = ["p1", "p1", "nobody", "p1", "p1"]
    scored = score(Looking("fallback"), patients, [50.0] * 5, {})
    assert [each.outcome for each in scored] == ["answered", "answered", "fallback", "answered", "answered"]
    assert [bool(each.flags) for each in scored] == [False, False, True, False, False]
    assert "degraded-features" in scored[2].flags


def test_in_a_batch_each_row_has_the_flags_that_are_its_own() -> None:
    """Whether a value that was looked up or one that was given is out of range, and whether a feature is lacking."""
    it = Looking("degrade")
    it.fill(it.now - 60_000_000, radius=33.0, patient="far")  # 30 is the most that was declared, and the margin 15
    scored = score(it, ["p1", "far", "nobody", "p1"], [50.0, 50.0, 50.0, 110.0], {})
    assert [each.flags for each in scored] == [(), ("out-of-range",), ("degraded-features",), ("out-of-range",)]
    given = score(it, ["nobody", "p1"], [50.0, 50.0], {"mean radius": [31.0, 9.0]})
    assert [each.flags for each in given] == [("out-of-range",), ()]


@pytest.mark.requirement("FEAT-09")
def test_nothing_stands_in_where_nothing_was_declared() -> None:
    """An input without a default is refused by every rule; so are rules that the route does not have."""
    for it in (Looking("degrade", default=None), Looking("fallback", rules=False)):
        assert it.ask("nobody").header(b"x-holdfast-code") == b"HF277"


@pytest.mark.requirement("FEAT-09", by="holdfast.serve.guards.lookup:Found.saying")
def test_only_what_may_be_there_at_the_next_try_is_the_services_matter() -> None:
    """A store that is gone, or a view that nobody has filled: 503, so that clients and streams try again."""
    it = Looking("refuse")
    assert it.ask("nobody").status == 400
    it.store.gone = True
    assert (it.ask("nobody").status, it.ask().header(b"x-holdfast-code")) == (503, b"HF767")
    empty = Looking("refuse")
    empty.store.items.clear()
    assert empty.ask().header(b"x-holdfast-code") == b"HF767"


@pytest.mark.requirement("FEAT-09")
@pytest.mark.requirement("FEAT-06", by="holdfast.serve.guards.lookup:LookedUpFeatures.admit")
def test_a_stale_value_is_used_and_marked() -> None:
    """Older than the view promises: the value itself answers, and the answer says so."""
    it = Looking("degrade")
    it.fill(it.now - 3 * DAY)
    response = it.ask()
    assert response.header(b"x-holdfast-degraded") == b"mean radius=stale"
    assert "degraded-features" in said(response)[1]


@pytest.mark.requirement("FEAT-09")
def test_a_store_that_is_late_or_gone_costs_bounded_time_and_is_left_alone() -> None:
    """After three failures in a row nobody asks it for a second; then it is asked again, and answers are whole."""
    it = Looking("degrade")
    it.store.slow_s = 0.006
    for _ in range(3):
        assert b"=late" in (it.ask().header(b"x-holdfast-degraded") or b"")
    asked = it.store.asked
    it.store.slow_s = 0.0
    assert b"=late" in (it.ask().header(b"x-holdfast-degraded") or b"")
    assert it.store.asked == asked
    it.serving.ticks.seconds += 1.1
    assert it.ask().header(b"x-holdfast-degraded") is None
    it.store.gone = True
    assert it.ask().status == 200
    assert b"=late" in (it.ask().header(b"x-holdfast-degraded") or b"")


def test_a_value_that_is_no_number_is_missing() -> None:
    """Infinity, NaN and nothing reach no model."""
    for value in (float("nan"), float("inf"), None):
        it = Looking("degrade")
        it.fill(it.now - 60_000_000, value)
        assert b"mean radius=" in (it.ask().header(b"x-holdfast-degraded") or b"")
