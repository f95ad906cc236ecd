"""Callers who probe: what detectors notice, what follows, and that honest callers meet nothing of it."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from holdfast.adapters.cells import SharedCells
from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.endpoint import Detectors, faults
from holdfast.core.endpoint import Serving as Asked
from holdfast.core.routes import GuardSpec
from holdfast.core.work_proof import PROOF, prove
from holdfast.lifecycle.guarding import named_guards
from holdfast.maths.cusum import alarm_at
from holdfast.maths.nearness import CHAIN, FALSE_ALARMS, HONEST, Space, fit_space
from holdfast.serve import HttpResponse
from holdfast.serve.guards.reactions import MAX_QUEUE, Watched
from holdfast.serve.guards.stream import HIGH, Measure
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import API_KEY, GUARDS, Serving, World, with_key

WEIGHTS, BIAS = (0.02, 0.1, 1.0), -2.0
FAST = GuardSpec(name="within-rate", configuration={"rate_per_s": 1e6, "burst": 1_000_000})


def drawn(count: int, seed: int) -> NDArray[np.float32]:
    """Rows as honest clients have them."""
    draw = np.random.default_rng(seed)
    return np.stack([draw.uniform(0, 100, count), draw.uniform(0, 30, count), draw.normal(0, 1, count)], axis=1).astype(
        np.float32
    )


def answers(rows: NDArray[np.float32]) -> NDArray[np.int64]:
    """What the tiny model says about them."""
    return (rows @ np.array(WEIGHTS) + BIAS > 0).astype(np.int64)


def fitted() -> Space:
    """How such rows lie."""
    rows = drawn(2000, 1)
    return fit_space(rows, answers(rows), classes=2, alarm=alarm_at(FALSE_ALARMS, HONEST), chain=CHAIN)


SPACE = fitted()


def key(number: int) -> str:
    """The API key of a client."""
    return "hf_" + f"{number:043d}"


def guarded(*guards: GuardSpec, clients: int = 1, space: Space | None = SPACE) -> Serving:
    """A gateway with these guards between validation and coarsening."""
    world = World()
    keys = tuple(world.credential(key(number), client=f"c{number}") for number in range(clients))
    listed = (*GUARDS[:2], FAST, GUARDS[3], *guards, GUARDS[4])
    world.publish(world.table(world.release(tiny_model(), space=space), guards=listed, credentials=keys))
    serving = world.serving(OnnxRuntime())
    serving.look()
    if serving.gateway.state is None:
        raise serving.complaints[-1]
    return serving


def sequence(action: str, **settings: Any) -> GuardSpec:
    """The guard against walks along the boundary."""
    return GuardSpec(name="query-sequence", configuration={"reaction": {"action": action}} | settings)


def body(*rows: NDArray[np.float32] | list[float]) -> bytes:
    """The body of a call about rows."""
    flat = [float(value) for row in rows for value in row]
    tensor = {"name": "input", "shape": [len(rows), 3], "datatype": "FP64", "data": flat}
    return json.dumps({"inputs": [tensor]}).encode()


def ask(serving: Serving, row: Any, client: int = 0, proof: str = "") -> HttpResponse:
    """Ask about one row."""
    headers = (*with_key(key(client)), *(((PROOF.encode(), proof.encode()),) if proof else ()))
    return serving.call(headers, body=body(row))


def label(response: HttpResponse) -> str:
    """The label in an answer."""
    return str(json.loads(response.body)["outputs"][0]["data"][0])


def bisecting(seed: int = 5) -> Iterator[NDArray[np.float32]]:
    """Rows close to the boundary, as the estimation of a gradient asks about them."""
    draw = np.random.default_rng(seed)
    foot = np.array([50.0, 10.0, 0.0], dtype=np.float32)
    while True:
        yield (foot + draw.normal(0, 1, 3) * np.array([0.3, 0.1, 0.01])).astype(np.float32)


def either_side() -> list[NDArray[np.float32]]:
    """Forty rows in pairs on both sides of the boundary, each pair next to itself and far from all others.

    The rows of a pair are so near that they share a cell under every key, so that nothing here depends on the draw.
    """
    feet = [(age, radius) for age in range(10, 91, 20) for radius in range(4, 23, 6)]
    return [
        np.array([age, radius, -BIAS - WEIGHTS[0] * age - WEIGHTS[1] * radius + beyond], dtype=np.float32)
        for age, radius in feet
        for beyond in (-0.001, 0.001)
    ]


def walk(serving: Serving, queries: int) -> list[HttpResponse]:
    """Walk along the boundary for some queries."""
    return [ask(serving, row) for row, _ in zip(bisecting(), range(queries), strict=False)]


def detections(serving: Serving) -> Mapping[tuple[str, str], int]:
    """What detectors have counted."""
    return serving.loader.ground.watched.counts


@pytest.mark.requirement("GATE-12", by="holdfast.serve.guards.sequence:QuerySequence._learn")
@pytest.mark.guarantee("G82")
def test_a_walk_along_the_boundary_is_stopped_before_its_fiftieth_query_and_on_record() -> None:
    """The client is refused, in words that tell nothing, and the security log says why."""
    serving = guarded(sequence("block"))
    responses = walk(serving, 60)
    first = next(number for number, response in enumerate(responses) if response.status != 200)
    assert first < 50
    assert {response.status for response in responses[first:]} == {403}
    assert responses[first].body == b'{"error":"calls of this kind are not answered now"}'
    kinds = [event.kind for event in serving.events()]
    assert "detected.query-sequence" in kinds
    assert "refused.query-sequence.HF272" in kinds
    assert detections(serving)[("query-sequence", "block")] >= 1
    assert (
        b'holdfast_detections_total{guard="query-sequence",action="block"}'
        in serving.call((), path="/metrics", method="GET").body
    )


@pytest.mark.requirement("VAL-22", by="holdfast.serve.guards.sequence:QuerySequence._learn")
@pytest.mark.parametrize(("honest", "most"), [(0, 50), (1, 60), (3, 90)])
def test_a_walk_that_is_low_and_slow_is_stopped_all_the_same(honest: int, most: int) -> None:
    """One query in five minutes for half a day, hidden among as many honest ones or three times as many.

    No limit of a rate or of a window sees it; what calls add up to is kept, through new route tables.
    """
    world = World()
    listed = (*GUARDS[:2], FAST, GUARDS[3], sequence("block"), GUARDS[4])
    keys, release = (world.credential(key(0), client="c0"),), world.release(tiny_model(), space=SPACE)
    serving = world.serving(OnnxRuntime())
    between, statuses = iter(drawn(1000, 7)), []
    for number, row in zip(range(most + 10), bisecting(), strict=False):
        if number % 2 == 0:  # before the lease of the last table ends
            world.publish(world.table(release, guards=listed, credentials=keys))
            serving.look()
        answered = [ask(serving, next(between)).status for _ in range(honest)]
        statuses.append(ask(serving, row).status)
        assert set(answered) <= {200, 403}
        world.clock.advance(timedelta(minutes=5))
    assert set(statuses) == {200, 403}
    assert statuses.index(403) <= most


def test_honest_clients_are_suspected_of_nothing() -> None:
    """Thousands of new rows, one row again and again, and rows that follow one another slowly."""
    serving = guarded(sequence("block"), clients=4)
    steady = np.repeat(drawn(1, 8), 500, axis=0)
    few = drawn(2, 9)[np.arange(500) % 2]
    for client, rows in enumerate((drawn(1000, 7), drawn(1000, 10), steady, few)):
        assert {ask(serving, row, client).status for row in rows} == {200}
    assert not detections(serving)


@pytest.mark.requirement("GATE-12", by="holdfast.serve.guards.sequence:QuerySequence._turn")
def test_a_walk_split_over_many_identities_closes_the_place_to_all_of_them() -> None:
    """Fifty keys take turns, so that none is suspected; rows far from the place are still answered to each."""
    serving = guarded(sequence("block"), clients=50)
    statuses = [ask(serving, row, number % 50).status for number, row in zip(range(150), bisecting(), strict=False)]
    assert statuses[:10] == [200] * 10
    assert statuses[-50:].count(403) >= 45
    assert ask(serving, [5.0, 25.0, 2.0], 3).status == 200


def together(first: Serving, cells: Path) -> tuple[Serving, Serving]:
    """Two workers of one gateway: each remembers rows for itself under its own keys, and they share their cells."""
    one, other = (
        first.world.serving(OnnxRuntime(), cells=SharedCells(cells, worker=number), seed=number) for number in range(2)
    )
    one.look()
    other.look()
    return one, other


@pytest.fixture
def workers(tmp_path: Path) -> tuple[Serving, Serving]:
    """Two workers that look out for walks."""
    return together(guarded(sequence("block")), tmp_path / "cells")


@pytest.mark.requirement("GATE-12", by="holdfast.serve.guards.sequence:QuerySequence._summed")
def test_a_walk_spread_over_workers_is_stopped_as_soon_as_over_one(workers: tuple[Serving, Serving]) -> None:
    """A client's sums are those of all workers; two that each count alone would let twice as many queries pass.

    A pair is asked at one worker, the next at the other one; whom one suspects, the other knows a pair later.
    """
    statuses = [ask(workers[number // 2 % 2], row).status for number, row in enumerate(either_side())]
    serving = guarded(sequence("block"))
    alone = [ask(serving, row).status for row in either_side()]
    assert statuses.index(403) <= alone.index(403) + 2 < len(alone) / 2


@pytest.mark.requirement("GATE-12", by="holdfast.serve.guards.reactions:Reactor.suspect")
def test_whom_one_worker_suspects_the_others_suspect_too(workers: tuple[Serving, Serving]) -> None:
    """Half a second later at the latest, and as long; a gateway that was started again knows it as well."""
    one, other = workers
    far = [90.0, 2.0, 1.0]
    assert ask(other, far).status == 200
    assert [each.status for each in walk(one, 60)][-1] == 403
    other.ticks.seconds += 1
    assert ask(other, far).status == 403
    again = one.world.serving(OnnxRuntime(), cells=one.loader.cells)
    again.ticks.seconds = other.ticks.seconds
    again.look()
    assert ask(again, far).status == 403
    other.ticks.seconds += 901
    other.look()
    assert ask(other, far).status == 200


@pytest.mark.guarantee("G82")
def test_suspicion_outlives_a_new_route_table_and_ends_by_itself() -> None:
    """Renewing the lease frees nobody; time does."""
    serving = guarded(sequence("block", reaction={"action": "block", "lasts_s": 900}))
    walk(serving, 60)
    far = [90.0, 2.0, 1.0]
    assert ask(serving, far).status == 403
    serving.loader.refresh()
    assert ask(serving, far).status == 403
    serving.ticks.seconds += 901
    serving.loader.refresh()
    assert ask(serving, far).status == 200


@pytest.mark.requirement("GATE-12", by="holdfast.serve.guards.reactions:Reactor.answer")
@pytest.mark.parametrize("action", ["alert", "flag", "coarsen", "slow", "challenge"])
def test_what_follows_is_what_the_table_says(action: str) -> None:
    """The same walk under each answer that is not a plain refusal."""
    serving = guarded(sequence(action))
    responses = walk(serving, 60)
    assert detections(serving)[("query-sequence", action)] >= 1
    last = responses[-1]
    told = json.loads(last.body)
    if action in {"slow", "challenge"}:
        assert (last.status, last.header(b"x-holdfast-code")) == (
            (429, b"HF270") if action == "slow" else (403, b"HF271")
        )
    else:
        assert last.status == 200
        assert ("suspected" in told.get("parameters", {}).get("flags", "")) == (action == "flag")
        assert (len(told["outputs"]) == 1) == (action == "coarsen")


def test_a_suspect_that_is_slowed_gets_one_answer_for_each_pause() -> None:
    """Waiting as long as told helps, once."""
    serving = guarded(sequence("slow", reaction={"action": "slow", "pause_s": 5.0}))
    refused = walk(serving, 60)[-1]
    serving.ticks.seconds += float(refused.header(b"retry-after") or 0)
    far = [90.0, 2.0, 1.0]
    assert [ask(serving, far).status for _ in range(2)] == [200, 429]


def test_a_challenge_is_met_by_work_on_this_very_body() -> None:
    """A proof for another body, or from long ago, is none."""
    serving = guarded(sequence("challenge", reaction={"action": "challenge", "bits": 8}))
    walk(serving, 60)
    row, now = [90.0, 2.0, 1.0], int(serving.world.clock.now().timestamp())
    proof = prove(body(row), bits=8, now=now)
    assert ask(serving, row).status == 403
    assert ask(serving, row, proof=proof).status == 200
    assert ask(serving, [91.0, 2.0, 1.0], proof=proof).status == 403
    serving.world.clock.advance(timedelta(minutes=5))
    assert ask(serving, row, proof=proof).status == 403


def test_rows_of_one_call_count_one_by_one() -> None:
    """Whoever asks about sixty rows at once has walked sixty steps."""
    serving = guarded(sequence("block"))
    rows = [row for row, _ in zip(bisecting(), range(60), strict=False)]
    assert serving.call(with_key(key(0)), body=body(*rows)).status == 200
    assert ask(serving, [90.0, 2.0, 1.0]).status == 403


@pytest.mark.guarantee("G82")
def test_a_release_that_does_not_say_what_is_near_is_not_served_behind_this_guard() -> None:
    """Fail closed: a detector that cannot look must not seem to."""
    with pytest.raises(Exception, match="needs a release that says what is near"):
        guarded(sequence("block"), space=None)


def test_what_was_seen_of_a_release_is_forgotten_with_it() -> None:
    """Memory is bounded by what is served."""
    serving = guarded(sequence("block"))
    walk(serving, 20)
    world, watched = serving.world, serving.loader.ground.watched
    assert len(watched.kept) == 1
    world.publish(world.table(None, guards=(*GUARDS[:2], FAST, GUARDS[3], GUARDS[4])))
    serving.look()
    assert not watched.kept


def test_the_key_of_the_first_client_is_the_world_s_own_form() -> None:
    """What this file calls a key is one."""
    assert len(key(0)) == len(API_KEY)


def guard(name: str, **settings: Any) -> GuardSpec:
    """A guard with its settings."""
    return GuardSpec(name=name, configuration=settings)


def made_up(count: int) -> NDArray[np.float32]:
    """Rows that spread evenly over far more than honest rows do, as a copier draws them."""
    draw = np.random.default_rng(11)
    return np.stack(
        [draw.uniform(-30, 130, count), draw.uniform(-8, 38, count), draw.uniform(-60, 60, count)], 1
    ).astype(np.float32)


LOOSE = guard("valid-input", max_rows=256, margin=9.0, outside="flag")


def loose(*guards: GuardSpec, clients: int = 1) -> Serving:
    """A gateway with these guards that refuses no row for its range."""
    world = World()
    keys = tuple(world.credential(key(number), client=f"c{number}") for number in range(clients))
    listed = (*GUARDS[:2], FAST, LOOSE, *guards, GUARDS[4])
    world.publish(world.table(world.release(tiny_model(), space=SPACE), guards=listed, credentials=keys))
    serving = world.serving(OnnxRuntime())
    serving.look()
    assert serving.gateway.state is not None, serving.complaints
    return serving


@pytest.mark.requirement("GATE-12", by="holdfast.serve.guards.extraction:Extraction._look")
@pytest.mark.requirement("GATE-19", by="holdfast.serve.guards.reactions:Watched.work")
def test_rows_that_a_method_has_made_are_noticed_off_the_request_path_and_count_from_then_on() -> None:
    """No call waits for it; after the next look the copier is refused, and an honest client is not."""
    serving = loose(guard("extraction", reaction={"action": "block"}), clients=2)
    for row in made_up(200):
        assert ask(serving, row, 0).status == 200
    for row in drawn(200, 12):
        assert ask(serving, row, 1).status == 200
    assert not detections(serving)
    work(serving)
    assert [ask(serving, drawn(1, 13)[0], client).status for client in (0, 1)] == [403, 200]
    assert detections(serving)[("extraction", "block")] == 1


def work(serving: Serving) -> None:
    """Let what waits be looked at to its end."""
    serving.loader.ground.watched.work(lambda: 0.0)


@pytest.mark.requirement("GATE-19", by="holdfast.serve.guards.reactions:Watched.offer")
@pytest.mark.guarantee("G82")
def test_what_waits_to_be_looked_at_is_bounded_and_what_is_dropped_is_counted() -> None:
    """A flood of calls costs looks, never memory, and answers do not wait."""
    serving = guarded(guard("extraction"))
    for _ in range(MAX_QUEUE + 30):
        assert ask(serving, [50.0, 15.0, 0.1]).status == 200
    watched = serving.loader.ground.watched
    assert len(watched.queue) == MAX_QUEUE
    assert watched.counts[("extraction", "dropped")] == 30


def test_a_look_that_fails_is_counted_and_the_next_one_is_made() -> None:
    """One bad call does not blind the detector, nor end the thread that looks."""
    watched, made = Watched(), []

    def fail() -> None:
        raise ValueError("a defect")

    watched.offer("extraction", fail)
    watched.offer("extraction", lambda: made.append(1))
    watched.work(lambda: 0.0)
    assert made == [1]
    assert watched.counts == {("extraction", "failed"): 1}


@pytest.mark.requirement("GATE-12", by="holdfast.serve.guards.extraction:Extraction._spend")
def test_a_group_of_clients_gets_answers_about_its_budget_of_different_rows_and_no_more() -> None:
    """Two keys of one group share it; rows that were paid for are answered again; a stranger has his own."""
    groups = {"c0": "both", "c1": "both"}
    serving = guarded(guard("extraction", rows=100, groups=groups, reaction={"action": "block"}), clients=3)
    rows = drawn(120, 14)
    statuses = [ask(serving, row, number % 2).status for number, row in enumerate(rows)]
    assert statuses == [200] * 100 + [403] * 20
    assert ask(serving, rows[0], 1).status == 200
    assert ask(serving, rows[110], 2).status == 200
    serving.ticks.seconds += 86400
    assert ask(serving, rows[110], 0).status == 200


@pytest.mark.requirement("GATE-12", by="holdfast.serve.guards.budget:Budget._charge")
def test_rows_spread_over_workers_are_charged_to_one_budget_and_those_paid_for_stay_free(tmp_path: Path) -> None:
    """Two workers that count alone would answer twice as many; a worker that is started again counts on."""
    one, other = together(guarded(guard("extraction", rows=100, reaction={"action": "block"})), tmp_path / "cells")
    rows = drawn(120, 14)
    statuses = [ask((one, other)[number % 2], row).status for number, row in enumerate(rows)]
    assert statuses == [200] * 100 + [403] * 20
    assert [ask(one, rows[0]).status, ask(other, rows[1]).status] == [200, 200]
    again = one.world.serving(OnnxRuntime(), cells=one.loader.cells)
    again.look()
    assert ask(again, rows[110]).status == 403
    for serving in (one, other):
        serving.ticks.seconds += 86400
    assert [ask(other, rows[110]).status, ask(one, rows[111]).status] == [200, 200]


@pytest.mark.requirement("GATE-12", by="holdfast.serve.guards.budget:Budget._sketch")
def test_an_honest_client_whose_rows_come_again_at_every_worker_pays_for_them_about_once(tmp_path: Path) -> None:
    """Sixty rows at each of two workers are sixty different ones, not a hundred and twenty."""
    one, other = together(guarded(guard("extraction", rows=100, reaction={"action": "block"})), tmp_path / "cells")
    assert {ask(serving, row).status for serving in (one, other) for row in drawn(60, 14)} == {200}
    statuses = [ask((one, other)[number % 2], row).status for number, row in enumerate(drawn(90, 15))]
    assert statuses[:5] == [200] * 5
    assert 403 in statuses[:70]


@pytest.mark.requirement("GATE-11", by="holdfast.serve.guards.strangeness:AdversarialInput.release")
def test_honest_rows_are_flagged_no_more_often_than_stated_and_strange_ones_are() -> None:
    """At 2 %, of 2,000 honest rows at most 3.1 % are flagged (three standard errors); far and misplaced ones are."""
    serving = loose(guard("adversarial-input", false_alarms=0.02, action="flag"))
    flagged = 0
    for row in drawn(2000, 15):
        flagged += "suspected" in json.loads(ask(serving, row).body).get("parameters", {}).get("flags", "")
    assert flagged <= 62
    assert detections(serving).get(("adversarial-input", "flag"), 0) == flagged
    strange = json.loads(ask(serving, [50.0, 15.0, 30.0]).body)
    assert "suspected" in strange["parameters"]["flags"]


@pytest.mark.parametrize(("action", "status", "outputs"), [("alert", 200, 2), ("coarsen", 200, 1), ("block", 400, 0)])
def test_what_follows_a_strange_row_is_what_the_table_says(action: str, status: int, outputs: int) -> None:
    """The answer as it is, without probabilities, or none at all; on record each time."""
    serving = loose(guard("adversarial-input", action=action))
    response = ask(serving, [50.0, 15.0, 30.0])
    assert response.status == status
    assert len(json.loads(response.body).get("outputs", ())) == outputs
    assert detections(serving) == {("adversarial-input", action): 1}


def test_a_rate_of_false_alarms_that_nobody_has_calibrated_is_refused() -> None:
    """Only the stated ones."""
    with pytest.raises(Exception, match="adversarial-input at"):
        guarded(guard("adversarial-input", false_alarms=0.03))


@pytest.mark.requirement("GATE-10", by="holdfast.serve.guards.strangeness:SqueezedInput.admit")
def test_small_changes_of_an_input_do_not_reach_the_model() -> None:
    """Rows that differ by less than half a level get one answer to the last digit; others do not."""
    exact = GuardSpec(name="coarse-output", configuration={"decimals": 9})
    world = World()
    listed = (*GUARDS[:2], FAST, GUARDS[3], guard("squeezed-input", levels=11), exact)
    serving = world.serve(OnnxRuntime(), guards=listed, credentials=(world.credential(key(0)),))

    def probabilities(row: list[float]) -> list[float]:
        return list(json.loads(ask(serving, row).body)["outputs"][1]["data"])

    assert probabilities([50.0, 15.0, 0.1]) == probabilities([53.0, 15.9, 0.1])
    assert probabilities([50.0, 15.0, 0.1]) != probabilities([59.0, 15.0, 0.1])
    assert probabilities([50.0, 15.0, 0.1]) != probabilities([50.0, 15.0, 0.2])  # no declared range, no levels


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"clip": False}, "does nothing"),
        ({"levels": 1}, "to 1 levels"),
        ({"median": 3, "height": 2, "width": 2}, "images that rows are not"),
    ],
    ids=["nothing", "one level", "another image"],
)
def test_a_transform_that_means_nothing_is_refused(settings: dict[str, Any], words: str) -> None:
    """The table is refused whole."""
    with pytest.raises(Exception, match=words):
        guarded(guard("squeezed-input", **settings))


@pytest.mark.requirement("GATE-13", by="holdfast.serve.guards.stream:StreamAnomaly.admit")
@pytest.mark.parametrize("measure", ["calls", "rows", "refused"])
def test_a_client_whose_calls_are_unlike_its_own_is_noticed_within_a_dozen_windows(measure: str) -> None:
    """Ten times as many calls, rows of one call, or refused calls."""
    stream = guard("stream-anomaly", window_s=10.0, reaction={"action": "block"})  # before what refuses
    world = World()
    listed = (*GUARDS[:2], FAST, stream, *GUARDS[3:])
    serving = world.serve(OnnxRuntime(), guards=listed, credentials=(world.credential(key(0), client="c0"),))
    draw = np.random.default_rng(16)

    def window(calls: int, rows: int, *, bad: bool = False) -> int:
        serving.ticks.seconds += 10.0
        sent = b"{}" if bad else body(*drawn(rows, 17))
        statuses = [serving.call(with_key(key(0)), body=sent).status for _ in range(calls)]
        return statuses[0]

    for _ in range(80):
        assert window(3 + int(draw.integers(5)), 2) == 200
    late = [
        window(50 if measure == "calls" else 5, 50 if measure == "rows" else 2, bad=measure == "refused")
        for _ in range(12)
    ]
    assert late[-1] == 403
    assert detections(serving)[("stream-anomaly", "block")] == 1


@pytest.mark.requirement("GATE-13", by="holdfast.serve.guards.stream:StreamAnomaly._count")
@pytest.mark.requirement("GATE-13", by="holdfast.serve.guards.stream:StreamAnomaly._add")
def test_a_client_that_goes_from_worker_to_worker_is_noticed_as_soon_as_at_one(tmp_path: Path) -> None:
    """Ten windows that are high, five at each of two workers, are ten; counted alone, it takes seven at one of them."""
    stream = guard("stream-anomaly", window_s=10.0, reaction={"action": "block"})
    workers = together(guarded(stream), tmp_path / "cells")
    draw, row = np.random.default_rng(16), drawn(1, 17)[0]

    def window(calls: int, turn: int, each: int) -> int:
        for worker in workers:
            worker.ticks.seconds += 10.0
        statuses = [ask(workers[(turn + each * number) % 2], row).status for number in range(calls)]
        return statuses[0]

    for number in range(70):
        assert window(3 + int(draw.integers(5)), number, 1) == 200
    assert [window(50, number, 0) for number in range(10)][-1] == 403
    assert sum(detections(worker).get(("stream-anomaly", "block"), 0) for worker in workers) == 1


def test_clients_that_are_like_themselves_are_not_suspected() -> None:
    """Sixty clients, a thousand windows each, with as many calls as chance has it: at most one is."""
    draw, suspected = np.random.default_rng(18), 0
    for _ in range(60):
        measure = Measure()
        unlike = np.array([measure.unlike(float(calls)) is True for calls in draw.poisson(20, 1000)])
        suspected += HIGH.highest(unlike) >= alarm_at(0.001 / 4, 1000)
    assert suspected <= 1


def test_detectors_of_a_project_stand_in_its_table_and_build() -> None:
    """What `[serving.detectors]` asks for is what the gateway gets, squeezing last."""
    asked = {
        "query_sequence": "block",
        "extraction": "coarsen",
        "different_rows": 1000,
        "adversarial_input": "flag",
        "stream_anomaly": "alert",
        "squeeze_levels": 64,
    }
    detectors = msgspec.convert(asked, Detectors)
    named = [
        (name, settings)
        for name, settings in named_guards(Asked(detectors=detectors), fine=True)
        if settings is not None
    ]
    names = [name for name, _ in named]
    wanted = ["query-sequence", "extraction", "adversarial-input", "squeezed-input"]
    assert [name for name in names if name in wanted] == wanted
    assert names.index("stream-anomaly") < names.index("valid-input")
    chosen = [guard(name, **settings) for name, settings in named if name in {*wanted, "stream-anomaly"}]
    serving = guarded(*chosen)
    assert ask(serving, [50.0, 15.0, 0.1]).status == 200


@pytest.mark.requirement("GATE-12", by="holdfast.lifecycle.guarding:_detectors")
def test_callers_whom_a_project_puts_into_one_group_share_one_budget() -> None:
    """Two of a group use it up together; one who is called like the group has a budget of his own."""
    clients = {"c0": {"group": "c2"}, "c1": {"group": "c2"}}
    detectors = {"extraction": "block", "different_rows": 100}
    asked = msgspec.convert({"detectors": detectors, "clients": clients}, Asked)
    ((_, settings),) = [each for each in named_guards(asked, fine=True) if each[0] == "extraction"]
    serving = guarded(guard("extraction", **(settings or {})), clients=3)
    rows = drawn(120, 14)
    assert [ask(serving, row, number % 2).status for number, row in enumerate(rows)] == [200] * 100 + [403] * 20
    assert ask(serving, rows[110], 2).status == 200
    (detail,) = {event.detail for event in serving.events() if event.kind == "detected.extraction"}
    assert detail == "group c2 has asked about 100 different rows"


def test_a_group_that_shares_no_budget_is_a_mistake() -> None:
    """Whoever puts a caller into one believes that something is counted."""
    grouped = {"clients": {"c0": {"group": "both"}}}
    ((key, words, expected),) = faults(msgspec.convert(grouped, Asked))
    assert (key, expected) == ("serving.clients.c0", "different_rows of [serving.detectors]")
    assert "no budget to share" in words
    counted = {"detectors": {"extraction": "alert", "different_rows": 10}}
    assert not list(faults(msgspec.convert(grouped | counted, Asked)))
