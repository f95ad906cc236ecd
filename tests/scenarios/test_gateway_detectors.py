"""Callers who probe: what detectors notice, what follows, and that honest callers meet nothing of it."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.routes import GuardSpec
from holdfast.core.work_proof import PROOF, prove
from holdfast.maths.cusum import alarm_at
from holdfast.maths.nearness import CHAIN, FALSE_ALARMS, HONEST, Space, fit_space
from holdfast.serve import HttpResponse
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
    return fit_space(rows, answers(rows), alarm=alarm_at(FALSE_ALARMS, HONEST), chain=CHAIN)


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


def walk(serving: Serving, queries: int) -> list[HttpResponse]:
    """Walk along the boundary for some queries."""
    return [ask(serving, row) for row, _ in zip(bisecting(), range(queries), strict=False)]


def detections(serving: Serving) -> Mapping[tuple[str, str], int]:
    """What detectors have counted."""
    return serving.loader.ground.watched.counts


@pytest.mark.requirement("GATE-12", by="holdfast.serve.guards.sequence:QuerySequence._learn")
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
