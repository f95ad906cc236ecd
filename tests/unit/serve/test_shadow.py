"""The shadow and the split at the gateway: who answers, who never does, and what is counted."""

import threading
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.client.messages import on_behalf_of
from holdfast.core.errors import HoldfastError, InvalidInput, NotVerified
from holdfast.serve.exposure import pseudonym
from holdfast.serve.refusals import WITHDRAWN
from holdfast.serve.shadow import ROOM
from holdfast.serve.state import Release, Route
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import CREDENTIAL_KEY, MODEL, WITH_KEY, Serving, World


class Slow:
    """A model that waits until it is let go."""

    def __init__(self, model: Any) -> None:
        self.model, self.go = model, threading.Event()

    def run(self, rows: NDArray[np.float32]) -> Any:
        """Answer, once let go."""
        self.go.wait()
        return self.model.run(rows)


class Broken:
    """A model that raises."""

    def run(self, rows: NDArray[np.float32]) -> Any:
        """Raise."""
        raise RuntimeError(f"no answer to {rows.shape}")


def beside(plan: str, share: float = 0.0, **terms: Any) -> tuple[Serving, Route]:
    """A gateway whose route has a candidate by a plan."""
    world = World()
    first, second = world.release(tiny_model(bias=-2.0)), world.release(tiny_model(bias=2.0))
    table = world.table(first, candidate=second, share=share)
    (route,) = table.models
    changed = msgspec.structs.replace(route, plan=plan, **terms)
    world.publish(msgspec.structs.replace(table, models=(changed,)))
    serving = world.serving(OnnxRuntime())
    serving.look()
    state = serving.gateway.state
    if state is None:
        raise serving.complaints[-1]
    return serving, state.routes[MODEL]


def put(serving: Serving, release: Release, model: Any) -> None:
    """Put another model in place of a release's."""
    object.__setattr__(release, "model", model)
    assert any(each is release for each in serving.gateway.state.releases.values())  # type: ignore[union-attr]


def windows(serving: Serving) -> dict[str, Any]:
    """What the gateway has counted, by release."""
    return {digest: window for digest, window, _ in serving.gateway.untold()}


@pytest.mark.guarantee("G79")
@pytest.mark.requirement("ROLL-04", by="holdfast.serve.shadow:Shadow.offer")
def test_a_shadow_that_hangs_slows_nobody_and_loses_copies_that_are_counted() -> None:
    """The queue is bounded: beyond it copies are dropped, and every call is answered by the baseline."""
    serving, route = beside("shadow", mirrored=1.0)
    assert route.candidate is not None
    slow = Slow(route.candidate.model)
    put(serving, route.candidate, slow)
    calls = ROOM + 20
    for _ in range(calls):
        response = serving.call()
        assert response.status == 200
        assert response.header(b"x-holdfast-release") == route.baseline.short.encode()
    slow.go.set()
    serving.gateway.shadow.wait()
    found = windows(serving)[route.candidate.digest]
    assert found.shadow.dropped in {calls - ROOM, calls - ROOM - 1}  # one may be out of the queue already
    assert found.requests + found.shadow.dropped == calls
    assert windows(serving)[route.baseline.digest].requests == calls


def test_a_shadow_that_raises_fails_alone() -> None:
    """Callers see nothing of it; it is counted as the shadow's failure."""
    serving, route = beside("shadow", mirrored=1.0)
    assert route.candidate is not None
    put(serving, route.candidate, Broken())
    assert serving.call().status == 200
    serving.gateway.shadow.wait()
    found = windows(serving)[route.candidate.digest]
    assert (found.requests, found.failures) == (1, 1)
    assert windows(serving)[route.baseline.digest].failures == 0


def test_a_shadow_that_disagrees_is_measured() -> None:
    """Its bias turns the label around: no agreement, and scores far apart."""
    serving, route = beside("shadow", mirrored=1.0)
    body = b'{"inputs":[{"name":"input","shape":[2,3],"datatype":"FP64","data":[50,5,0.1,50,5,0.1]}]}'
    assert serving.call(body=body).status == 200
    serving.gateway.shadow.wait()
    assert route.candidate is not None
    found = windows(serving)[route.candidate.digest].shadow
    assert (found.rows, found.agreed, found.dropped) == (2, 0, 0)
    assert sum(found.distance[4:]) == 2


@pytest.mark.guarantee("G79")
@pytest.mark.parametrize(
    ("plan", "share", "terms"),
    [
        ("shadow", 0.5, {}),
        ("standby", 0.1, {}),
        ("surprise", 0.1, {}),
        ("canary", 0.1, {"salt": "no key"}),
        ("shadow", 0.0, {"mirrored": 1.5}),
    ],
    ids=["shadow", "standby", "plan", "salt", "mirrored"],
)
def test_a_signed_table_that_says_something_impossible_is_refused(
    plan: str, share: float, terms: dict[str, Any]
) -> None:
    """A shadow that answers is none, whoever signed it."""
    with pytest.raises(HoldfastError) as error:
        beside(plan, share, **terms)
    assert isinstance(error.value, NotVerified)


@pytest.mark.guarantee("G80")
@pytest.mark.requirement("ROLL-07", by="holdfast.serve.state:Route.chosen")
def test_a_call_that_the_candidate_fails_is_answered_by_the_baseline_and_counted_against_it() -> None:
    """By itself a gateway only moves traffic towards the signed baseline."""
    serving, route = beside("canary", 1.0)
    assert route.candidate is not None
    assert serving.call().header(b"x-holdfast-release") == route.candidate.short.encode()
    put(serving, route.candidate, Broken())
    assert serving.call().header(b"x-holdfast-release") == route.baseline.short.encode()
    found = windows(serving)[route.candidate.digest]
    assert (found.requests, found.failures) == (2, 1)
    serving.gateway.narrow(frozenset({route.candidate.digest}), None)  # it was revoked
    assert serving.call().header(b"x-holdfast-release") == route.baseline.short.encode()


@pytest.mark.requirement("ROLL-07", by="holdfast.serve.gateway:Gateway.handle")
def test_a_revoked_baseline_does_not_answer_for_a_candidate_that_fails() -> None:
    """Falling back is no way around a revocation."""
    serving, route = beside("canary", 1.0)
    assert route.candidate is not None
    put(serving, route.candidate, Broken())
    serving.gateway.narrow(frozenset({route.baseline.digest}), None)  # it was revoked
    response = serving.call()
    assert (response.status, response.header(b"x-holdfast-code")) == (503, WITHDRAWN.code.encode())
    assert route.baseline.digest not in windows(serving)


def test_a_revoked_shadow_gets_no_copies() -> None:
    """What was revoked is not run, not even where nobody hears its answers."""
    serving, route = beside("shadow", mirrored=1.0)
    assert route.candidate is not None
    serving.gateway.narrow(frozenset({route.candidate.digest}), None)
    assert serving.call().status == 200
    serving.gateway.shadow.wait()
    assert route.candidate.digest not in windows(serving)


def test_refusals_count_for_known_callers_only() -> None:
    """Strangers cannot make a candidate look bad."""
    serving, route = beside("canary", 1.0)
    assert route.candidate is not None
    assert serving.call(()).status == 401
    assert serving.call(body=b"{").status == 400
    found = windows(serving)[route.candidate.digest]
    assert (found.refused, found.requests) == (1, 0)


@pytest.mark.requirement("ROLL-01", by="holdfast.serve.exposure:pseudonym")
def test_an_experiment_tells_pseudonyms_once_and_only_of_named_units() -> None:
    """A unit meets one side; what is told is a keyed hash; what was told is not told again."""
    serving, route = beside("ab", 0.5, salt="00" * 16, experiment="checkout")
    assert route.candidate is not None
    units = [f"user-{number}" for number in range(30)]
    for unit in units + units:
        assert serving.call((*WITH_KEY, (b"x-holdfast-unit", unit.encode()))).status == 200
    assert serving.call().status == 200
    told = {digest: window.exposed.get("checkout", ()) for digest, window in windows(serving).items()}
    for release in (route.baseline, route.candidate):
        chosen = [unit for unit in units if route.choose("", {"x-holdfast-unit": unit}) is release]
        assert chosen
        assert sorted(told[release.digest]) == sorted(pseudonym(CREDENTIAL_KEY, "checkout", unit) for unit in chosen)
    for _, _, written in serving.gateway.untold():
        written()
    assert serving.call((*WITH_KEY, (b"x-holdfast-unit", b"user-1"))).status == 200
    again = [window.exposed.get("checkout", ()) for window in windows(serving).values()]
    assert sum(len(units) for units in again) == 1


def test_after_a_candidate_is_withdrawn_an_experiment_meets_nobody() -> None:
    """Its units are answered by the baseline, and are no units that the split gave to the baseline."""
    serving, route = beside("ab", 0.5, salt="00" * 16, experiment="checkout")
    assert route.candidate is not None
    serving.gateway.narrow(frozenset({route.candidate.digest}), None)
    for number in range(20):
        assert serving.call((*WITH_KEY, (b"x-holdfast-unit", f"user-{number}".encode()))).status == 200
    assert [window.exposed for window in windows(serving).values() if window.exposed] == []


@pytest.mark.requirement("ROLL-06", by="holdfast.serve.state:Route._point")
def test_a_unit_keeps_its_side_when_the_share_grows_and_another_rollout_splits_anew() -> None:
    """Sticky for one key of the split; who knows one split knows nothing of the next."""
    _, route = beside("flag", 0.3, salt="ab" * 16)
    units = [{"x-holdfast-unit": f"user-{number}"} for number in range(2000)]

    def met(route: Route) -> set[int]:
        return {n for n, unit in enumerate(units) if route.choose("", unit) is route.candidate}

    few, more, anew = met(route), met(replace(route, share=0.6)), met(replace(route, salt="cd" * 16))
    assert few < more
    assert 500 < len(few) < 700
    assert 100 < len(few & anew) < 260  # as chance would have it: 180


def test_the_sdk_names_a_unit_and_declares_attributes_and_nothing_that_could_be_read_twice() -> None:
    """As headers that the gateway reads; a mark that separates attributes is refused."""
    found = dict(on_behalf_of("user-1", {"country": "de", "plan": "pro"}))
    assert found == {"X-Holdfast-Unit": "user-1", "X-Holdfast-Attributes": "country=de; plan=pro"}
    assert on_behalf_of("", {}) == ()
    for unit, attributes in (("a\nb", {}), ("u", {"country": "de; plan=pro"}), ("u", {"a": "b\r"})):
        with pytest.raises(InvalidInput):
            on_behalf_of(unit, attributes)
