"""A model that fails: rules answer in its place and say so; a gateway that is not whole is in its safe state."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.scenarios.disk_world import DiskWorld

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.errors import HoldfastError, InvalidInput
from holdfast.core.project import parse_project
from holdfast.core.resilience import (
    BreakerSettings,
    Fallback,
    Resilience,
    Rule,
    SafeState,
    check_resilience,
)
from holdfast.core.routes import GuardSpec, RouteTable
from holdfast.edge.assembly import assemble
from holdfast.edge.safety import SAFE_NAME, safe_memory, share_safe_state
from holdfast.serve import HttpResponse
from holdfast.serve.resilience import labels_of
from holdfast.testing.tiny import SIGNATURE, tiny_model
from holdfast.testing.world import GUARDS, WITH_KEY, Serving, World

RULES = Fallback(
    otherwise="benign",
    rules=(
        Rule(label="malignant", at_least={"mean radius": 20.0}),
        Rule(label="benign", at_most={"age": 30.0}),
        Rule(label="malignant", at_least={"age": 70.0, "trend": 0.0}),
    ),
)
BREAKER = BreakerSettings(failures=2, window=4, open_s=30.0, probes=2)
ALL = Resilience(breaker=BREAKER, fallback=RULES, safe_state="rules")


class Fails:
    """A model that can be told to fail, or to be slow."""

    def __init__(self, real: Any, ticks: Any) -> None:
        self.real, self.ticks = real, ticks
        self.broken, self.seconds, self.calls = False, 0.0, 0

    def run(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Answer, or do not."""
        self.calls += 1
        self.ticks.seconds += self.seconds
        if self.broken:
            raise RuntimeError("no")
        found: tuple[NDArray[np.int64], NDArray[np.float64]] = self.real.run(rows)
        return found


class Faulty:
    """A runtime whose models can be told to fail."""

    def __init__(self) -> None:
        self.ticks: Any = None
        self.models: list[Fails] = []

    def load(self, model: bytes, *, features: int, classes: int) -> Fails:
        """Load it for real."""
        self.models.append(Fails(OnnxRuntime().load(model, features=features, classes=classes), self.ticks))
        return self.models[-1]


def table(world: World, declared: Resilience | None, **changes: Any) -> RouteTable:
    """A table of a good release with this declaration."""
    made = world.table(world.release(), **changes)
    return msgspec.structs.replace(made, models=(msgspec.structs.replace(made.models[0], resilience=declared),))


class Stage:
    """A gateway whose model can be told to fail."""

    def __init__(self, declared: Resilience | None, **changes: Any) -> None:
        self.world, self.runtime = World(), Faulty()
        self.table = self.world.publish(table(self.world, declared, **changes))
        self.serving: Serving = self.world.serving(self.runtime)
        self.runtime.ticks = self.serving.ticks
        self.serving.look()

    @property
    def model(self) -> Fails:
        """The model that answers."""
        return self.runtime.models[-1]

    def ask(self, *row: float, rows: int = 1) -> HttpResponse:
        """One call; by default of a row that no rule but the last speaks of."""
        data = list(row or (50.0, 15.0, 0.1)) * rows
        body = {"inputs": [{"name": "input", "shape": [rows, 3], "datatype": "FP64", "data": data}]}
        return self.serving.call(WITH_KEY, body=json.dumps(body).encode())

    def serving_models(self) -> tuple[Fails, Fails]:
        """The models of baseline and candidate."""
        state = self.serving.gateway.state
        assert state is not None
        route = state.routes["tiny"]
        assert route.candidate is not None
        found = (route.baseline.model, route.candidate.model)
        assert isinstance(found[0], Fails)
        assert isinstance(found[1], Fails)
        return found[0], found[1]

    def metrics(self) -> str:
        """What a scrape says."""
        return self.serving.call((), path="/metrics", method="GET", body=b"").body.decode()


@pytest.fixture
def stage() -> Stage:
    """With breaker, rules, and rules as its safe state."""
    return Stage(ALL)


def label(response: HttpResponse) -> str:
    """The label of the first row."""
    found: str = json.loads(response.body)["outputs"][0]["data"][0]
    return found


def reason(response: HttpResponse) -> str:
    """Why rules answered; "" where the model did."""
    return (response.header(b"x-holdfast-fallback") or b"").decode()


@pytest.mark.guarantee("G75")
@pytest.mark.requirement("ROLL-09", by="holdfast.serve.resilience:Resilient._in_place")
def test_rules_answer_when_the_model_fails_and_say_so(stage: Stage) -> None:
    """In header and body, with labels alone: a rule has no probability. Without rules it is refused as before."""
    assert reason(stage.ask()) == ""
    stage.model.broken = True
    response = stage.ask(50, 25, 0)
    assert (response.status, reason(response), label(response)) == (200, "model-failed", "malignant")
    document = json.loads(response.body)
    assert document["parameters"]["flags"] == "fallback"
    assert [each["name"] for each in document["outputs"]] == ["label"]
    bare = Stage(None)
    bare.model.broken = True
    assert bare.ask().header(b"x-holdfast-code") == b"HF763"


def test_rules_answer_the_plain_way_too(stage: Stage) -> None:
    """`/predict` carries the same mark."""
    stage.model.broken = True
    row = {"age": 50, "mean radius": 25, "trend": 0}
    response = stage.serving.call(path="/predict/tiny", body=json.dumps({"rows": [row]}).encode())
    document = json.loads(response.body)
    assert (document["predictions"], document["flags"]) == ([{"label": "malignant"}], ["fallback"])


@pytest.mark.requirement("ROLL-09", by="holdfast.serve.resilience:labels_of")
def test_the_first_rule_that_fits_answers() -> None:
    """In order, with bounds included; and NaN is within none."""
    rows = np.array([[20, 20, 0], [20, 19, 0], [70, 10, 0], [70, 10, -0.1], [np.nan, 5, 5]], dtype=np.float32)
    names = [SIGNATURE.classes[label] for label in labels_of(RULES, SIGNATURE, rows)]
    assert names == ["malignant", "benign", "malignant", "benign", "benign"]


def test_what_rules_answer_counts_as_a_failure_of_the_model(stage: Stage) -> None:
    """So that a canary of a broken candidate fails although nobody was refused; no score of it reaches drift."""
    stage.model.broken = True
    stage.ask()
    ((_, window, _),) = stage.serving.gateway.untold()
    assert (window.requests, window.failures, window.rows) == (1, 1, 0)


@pytest.mark.requirement("ROLL-10", by="holdfast.serve.resilience:Resilient.answer")
def test_the_breaker_opens_probes_and_closes(stage: Stage) -> None:
    """While it is open the model is not asked at all; a probe finds out whether it is back."""
    stage.model.broken = True
    assert [reason(stage.ask()) for _ in range(3)] == ["model-failed", "model-failed", "breaker-open"]
    asked = stage.model.calls
    assert reason(stage.ask()) == "breaker-open"
    assert stage.model.calls == asked
    assert 'holdfast_breaker{model="tiny",release="' in stage.metrics()
    assert any('state="open"} 1' in line for line in stage.metrics().splitlines())
    stage.serving.ticks.seconds += 30
    assert reason(stage.ask()) == "model-failed"  # the probe
    assert reason(stage.ask()) == "breaker-open"
    stage.model.broken = False
    stage.serving.ticks.seconds += 30
    assert [reason(stage.ask()) for _ in range(3)] == ["", "", ""]
    assert any('state="closed"} 1' in line for line in stage.metrics().splitlines())


def test_an_open_breaker_without_rules_refuses_and_says_when_to_come_back() -> None:
    """503, and no burden on the model."""
    stage = Stage(Resilience(breaker=BREAKER))
    stage.model.broken = True
    codes = [stage.ask().header(b"x-holdfast-code") for _ in range(3)]
    assert codes == [b"HF763", b"HF763", b"HF765"]
    assert int(stage.ask().header(b"retry-after") or 0) == 30


@pytest.mark.requirement("ROLL-10", by="holdfast.serve.breaker:Breaker.tell")
def test_a_slow_model_opens_the_breaker() -> None:
    """Latency is measured around the model, not around the call."""
    settings = msgspec.structs.replace(BREAKER, latency_ms=500.0)
    stage = Stage(Resilience(breaker=settings, fallback=RULES))
    stage.model.seconds = 0.6
    assert [reason(stage.ask()) for _ in range(3)] == ["", "", "breaker-open"]


def test_a_renewed_table_keeps_the_breaker_as_it_stands() -> None:
    """Otherwise each lease would send the traffic back to a broken model."""
    stage = Stage(Resilience(breaker=msgspec.structs.replace(BREAKER, open_s=1000.0), fallback=RULES))
    stage.model.broken = True
    for _ in range(2):
        stage.ask()
    stage.world.publish(stage.table)
    stage.serving.look()
    assert reason(stage.ask()) == "breaker-open"


@pytest.mark.requirement("ROLL-12", by="holdfast.serve.answering:answer")
@pytest.mark.parametrize(
    ("declared", "status", "answer"),
    [
        (None, 503, b"HF766"),
        (Resilience(), 503, b"HF766"),
        (Resilience(fallback=RULES), 503, b"HF766"),
        (ALL, 200, "malignant"),
        (Resilience(safe_state="answer", safe_answer="benign"), 200, "benign"),
    ],
    ids=["nothing", "refuse", "rules-elsewhere", "rules", "answer"],
)
def test_the_safe_state_is_the_declared_one(declared: Resilience | None, status: int, answer: Any) -> None:
    """Refusing where nothing is declared; the model is not asked; every answer says in which state it was given."""
    stage = Stage(declared)
    asked = stage.model.calls
    stage.serving.gateway.make_safe("a test")
    response = stage.ask(50, 25, 0)
    assert (response.status, response.header(b"x-holdfast-safe-state")) == (status, b"true")
    assert (response.header(b"x-holdfast-code") if status == 503 else label(response)) == answer
    assert stage.model.calls == asked
    ready = stage.serving.call((), path="/v2/health/ready", method="GET", body=b"")
    assert ready.status == status
    assert [event.kind for event in stage.serving.events()].count("safe-state.entered") == 1
    assert "holdfast_safe_state 1" in stage.metrics()


@pytest.mark.guarantee("G75")
@pytest.mark.requirement("ROLL-12", by="holdfast.core.resilience:SafeState.holds")
def test_only_a_newer_signed_table_leads_out_and_the_model_is_loaded_anew(stage: Stage) -> None:
    """Neither a renewal of the lease nor the same release in memory: whatever was wrong may be wrong with that."""
    stage.serving.gateway.make_safe("the weights changed")
    stage.world.publish(stage.table)
    stage.serving.look()
    assert reason(stage.ask()) == "safe-state"
    loaded = len(stage.runtime.models)
    stage.world.publish(table(stage.world, ALL))
    stage.serving.look()
    assert reason(stage.ask()) == ""
    assert len(stage.runtime.models) == loaded + 1


@pytest.mark.requirement("ROLL-12", by="holdfast.serve.gateway:Gateway._sense")
def test_a_broken_sensor_leads_into_the_safe_state() -> None:
    """Half of a known caller's last calls hold what cannot be; strangers cannot bring it about."""
    stage = Stage(msgspec.structs.replace(ALL, anomaly_share=0.5, anomaly_calls=8))
    for _ in range(20):
        stage.serving.call((), body=b'{"inputs":[{"name":"input","shape":[1,3],"datatype":"FP64","data":[1e9,0,0]}]}')
    for _ in range(5):
        stage.ask()
    for _ in range(3):
        stage.ask(1e9, 0, 0)
    assert not stage.serving.gateway.is_safe
    assert stage.ask(120, 15, 0).status == 200  # within the margin: flagged, and as impossible
    assert reason(stage.ask()) == "safe-state"
    assert "of the last 8 calls" in stage.serving.gateway.safe.reason


@pytest.mark.requirement("ROLL-12", by="holdfast.edge.safety:share_safe_state")
def test_the_safe_state_is_shared_by_workers_and_outlives_them(tmp_path: Path) -> None:
    """One worker enters it, the others find it, and the next process; a file that somebody changed holds too."""
    world = DiskWorld(tmp_path / "world")

    def worker(number: int) -> Any:
        gateway, loader, _ = assemble(world.config, number)
        loader.refresh()
        share_safe_state(gateway, safe_memory(world.config.home))
        return gateway

    one, other = worker(0), worker(1)
    assert not one.is_safe
    one.make_safe("a test")
    memory = safe_memory(world.config.home)
    share_safe_state(one, memory)
    assert not other.is_safe
    share_safe_state(other, memory)
    assert (other.is_safe, other.safe.reason) == (True, "a test")
    assert worker(0).is_safe
    world.publish(world.world.table(world.release))
    assert not worker(0).is_safe
    (world.config.home / SAFE_NAME).write_text("{}x")
    assert worker(0).is_safe


def wrong() -> Iterator[tuple[str, Resilience]]:
    """Declarations that cannot be obeyed."""
    yield "label", Resilience(fallback=Fallback(otherwise="unsure"))
    yield "input", Resilience(fallback=Fallback(otherwise="benign", rules=(Rule(label="benign", at_most={"x": 1}),)))
    yield "bound", Resilience(fallback=Fallback(otherwise="benign", rules=(Rule(label="benign"),)))
    yield (
        "number",
        Resilience(fallback=Fallback(otherwise="benign", rules=(Rule(label="benign", at_most={"age": float("nan")}),))),
    )
    yield "none", Resilience(safe_state="rules")
    yield "safe_answer", Resilience(safe_state="answer")
    yield "safe_answer", Resilience(safe_answer="benign")
    yield "never opens", Resilience(breaker=BreakerSettings(failures=3, window=2))


@pytest.mark.requirement("ROLL-09", by="holdfast.core.resilience:check_resilience")
@pytest.mark.parametrize("number", range(8))
def test_what_cannot_be_obeyed_is_refused_before_it_is_needed(number: int) -> None:
    """By the check, and by a gateway that is handed a signed table with it: nothing of it is served."""
    words, declared = list(wrong())[number]
    with pytest.raises(InvalidInput, match=words):
        check_resilience(declared, SIGNATURE)
    if words == "number":  # has no canonical form: nobody could sign it
        return
    stage = Stage(declared)
    assert stage.serving.gateway.state is None
    assert isinstance(stage.serving.complaints[-1], HoldfastError)


def test_rules_pass_the_guards_on_the_way_out_like_a_model() -> None:
    """Noise that a caller's budget is charged for is on a rule's label too; the row it was given for may be private."""
    settings = {"epsilon": 0.001, "budget": 1000.0, "protects": "model", "answer": "label"}
    stage = Stage(ALL, guards=(*GUARDS, GuardSpec(name="noised-output", configuration=settings)))
    assert not stage.serving.complaints, stage.serving.complaints
    stage.model.broken = True
    response = stage.ask(50, 25, 0, rows=64)
    document = json.loads(response.body)
    assert set(document["parameters"]["flags"].split(",")) == {"fallback", "noised"}
    assert len(set(document["outputs"][0]["data"])) == 2  # all 64 are malignant by the rule


def test_a_candidate_that_fails_is_answered_for_by_the_baseline_and_not_by_rules() -> None:
    """Rules are the last resort; the candidate's breaker opens all the same."""
    stage = Stage(ALL)
    made = stage.world.table(stage.world.release(), candidate=stage.world.release(tiny_model(bias=5.0)), share=1.0)
    route = msgspec.structs.replace(made.models[0], resilience=ALL)
    stage.world.publish(msgspec.structs.replace(made, models=(route,)))
    stage.serving.look()
    assert not stage.serving.complaints, stage.serving.complaints
    baseline, candidate = stage.serving_models()
    candidate.broken = True
    for _ in range(4):
        response = stage.ask()
        assert (response.status, reason(response)) == (200, "")
        assert (response.header(b"x-holdfast-release") or b"").decode() == route.baseline.removeprefix("sha256:")[:12]
    asked = candidate.calls
    stage.ask()
    assert candidate.calls == asked
    baseline.broken = True
    assert reason(stage.ask()) == "model-failed"


def test_a_project_declares_it() -> None:
    """Under `[resilience]`, read as strictly as the rest."""
    text = (Path(__file__).parents[2] / "examples" / "breast-cancer" / "holdfast.toml").read_text()
    more = """
[resilience]
safe_state = "rules"
anomaly_share = 0.5
[resilience.breaker]
failures = 3
[resilience.fallback]
otherwise = "benign"
[[resilience.fallback.rules]]
label = "malignant"
at_least = { mean_radius = 17.0 }
"""
    project, _ = parse_project((text + more).encode())
    assert project.resilience.fallback is not None
    assert project.resilience.fallback.rules[0].at_least == {"mean_radius": 17.0}
    with pytest.raises(HoldfastError, match="there are none"):
        parse_project((text + '\n[resilience]\nsafe_state = "rules"\n').encode())


def test_two_safe_states_become_the_one_that_lasts() -> None:
    """The file is written by all workers."""
    one, later = SafeState(epoch=3, reason="one"), SafeState(epoch=4, reason="later")
    assert one.joined(later) == later.joined(one) == later
    assert one.joined(SafeState(epoch=3, reason="other")) == one
    assert not SafeState().holds(0)
