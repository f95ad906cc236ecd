"""Callers without leave: what they try, and the little they learn from it."""

import json
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest

from holdfast.adapters.cells import SharedCells
from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.routes import GuardSpec
from holdfast.engines.repository import ROUTES_NAME
from holdfast.testing.world import API_KEY, GUARDS, INFER, MODEL, ROW, Serving, World, with_key

OTHER_KEY = "hf_" + "B" * 43


@pytest.fixture
def world() -> World:
    """A small signed world."""
    return World()


WITHOUT_LEAVE = [
    pytest.param((), id="no key"),
    pytest.param(with_key(OTHER_KEY), id="a key nobody issued"),
    pytest.param(with_key(API_KEY[:-1]), id="a key cut short"),
    pytest.param(with_key(API_KEY + "A"), id="a key with more"),
    pytest.param(with_key(API_KEY.swapcase()), id="a key in other letters"),
    pytest.param(with_key(""), id="an empty key"),
    pytest.param(with_key("hf_" + "A" * 100_000), id="an enormous key"),
    pytest.param(((b"authorization", b"Basic " + API_KEY.encode()),), id="another scheme"),
    pytest.param(((b"authorization", API_KEY.encode()),), id="no scheme"),
    pytest.param(((b"x-api-key", b"\xff\xfe\x00"),), id="bytes that are no text"),
    pytest.param((*with_key(), (b"x-api-key", OTHER_KEY.encode())), id="two keys, one of them good"),
    pytest.param((*with_key(), (b"x-api-key", API_KEY.encode())), id="the same key twice over"),
    pytest.param(((b"cookie", b"key=" + API_KEY.encode()),), id="a key in a cookie"),
]


@pytest.mark.requirement("GATE-01", by="holdfast.serve.guards.access:Authenticated.admit")
@pytest.mark.parametrize("headers", WITHOUT_LEAVE)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", INFER),
        ("POST", f"/predict/{MODEL}"),
        ("GET", f"/v2/models/{MODEL}"),
        ("GET", f"/v2/models/{MODEL}/ready"),
    ],
)
@pytest.mark.guarantee("G10")
def test_a_request_without_a_valid_key_is_refused(
    world: World, headers: tuple[tuple[bytes, bytes], ...], method: str, path: str
) -> None:
    """No key, a wrong one, an ambiguous one: the same answer, word for word, for everything about a model."""
    response = world.serve(OnnxRuntime()).call(headers, method=method, path=path)
    assert response.status == 401
    assert response.body == b'{"error":"a valid API key, token or certificate is required"}'
    assert response.header(b"www-authenticate") == b"Bearer"


@pytest.mark.parametrize(
    "headers", [with_key(), ((b"x-api-key", API_KEY.encode()),), ((b"authorization", b"bearer  " + API_KEY.encode()),)]
)
def test_a_request_with_a_valid_key_is_answered(world: World, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """Both ways of presenting a key work; the scheme's letters may be of any case."""
    assert world.serve(OnnxRuntime()).call(headers).status == 200


@pytest.mark.requirement("GATE-01", by="holdfast.serve.credentials:CredentialTable.find")
def test_an_expired_key_is_refused_in_the_words_of_an_unknown_one(world: World) -> None:
    """Nobody can tell keys that once were from keys that never were."""
    gateway = world.serve(OnnxRuntime(), credentials=(world.credential(lasts_s=60),))
    assert gateway.call().status == 200
    world.clock.advance(timedelta(seconds=60))
    expired, unknown = gateway.call(), gateway.call(with_key(OTHER_KEY))
    assert (expired.status, expired.body) == (unknown.status, unknown.body) == (401, unknown.body)


@pytest.mark.guarantee("G10")
def test_a_key_for_another_model_is_refused_and_learns_nothing_of_which_models_exist(world: World) -> None:
    """A model that exists and one that does not are refused alike."""
    gateway = world.serve(OnnxRuntime(), credentials=(world.credential(models=("another",)),))
    existing, invented = gateway.call(), gateway.call(path="/v2/models/invented/infer")
    assert (existing.status, existing.body) == (403, b'{"error":"this client may not ask this of this model"}')
    assert (invented.status, invented.body) == (existing.status, existing.body)


def test_a_model_that_a_key_may_call_and_nobody_serves_is_not_found(world: World) -> None:
    """Its owner may know that it is gone."""
    gateway = world.serve(OnnxRuntime(), credentials=(world.credential(models=("another", MODEL)),))
    for method, path in (("POST", "/v2/models/another/infer"), ("GET", "/v2/models/another")):
        assert gateway.call(path=path, method=method).status == 404


def test_a_key_of_another_gateway_is_no_key_here(world: World) -> None:
    """The table holds hashes under another gateway's credential key: they match nothing here."""
    gateway = world.serve(OnnxRuntime())
    hashes = {entry.hash for entry in world.table(None).credentials}
    assert not any(API_KEY in value for value in hashes)
    ground = gateway.loader.ground
    gateway.loader.ground = type(ground)(
        clock=ground.clock, monotonic=ground.monotonic, credential_key=b"x" * 32, version="0", log=ground.log
    )
    world.publish(world.table(world.release()))
    gateway.look()
    assert gateway.call().status == 401


@pytest.mark.requirement("GATE-20", by="holdfast.serve.credentials:CredentialTable.find")
def test_a_revoked_key_fails_on_its_next_call_on_every_worker_however_well_it_was_known(world: World) -> None:
    """What is kept of equal headers is kept for one table: with the next one the very same bytes are a stranger's."""
    key = world.credential(OTHER_KEY, client="carol")
    world.publish(world.table(world.release(), credentials=(world.credential(), key)))
    workers = [world.serving(OnnxRuntime()) for _ in range(2)]
    for worker in workers:
        worker.look()
        assert [worker.call(with_key(OTHER_KEY)).status for _ in range(3)] == [200] * 3
    world.publish(world.table(world.release()))
    for worker in workers:
        worker.look()
        assert [worker.call(with_key(OTHER_KEY)).status, worker.call().status] == [401, 200]


@pytest.mark.requirement("GATE-20", by="holdfast.serve.guards.access:Authenticated.admit")
def test_a_key_that_has_ended_is_refused_although_its_headers_are_known(world: World) -> None:
    """Time is looked at each time."""
    gateway = world.serve(OnnxRuntime(), credentials=(world.credential(lasts_s=60),))
    assert [gateway.call().status for _ in range(2)] == [200, 200]
    world.clock.advance(timedelta(seconds=61))
    assert gateway.call().status == 401


@pytest.mark.requirement("GATE-03", by="holdfast.serve.guards.limits:WithinRate.admit")
@pytest.mark.guarantee("G12")
def test_a_burst_beyond_the_limit_is_refused_and_told_when_to_come_back(world: World) -> None:
    """Ten at once, then five a second: the eleventh is refused, and waiting as long as told helps."""
    limit = GuardSpec(name="within-rate", configuration={"rate_per_s": 5.0, "burst": 10})
    gateway = world.serve(OnnxRuntime(), guards=(*GUARDS[:2], limit, *GUARDS[3:]))
    gateway.ticks.seconds = 5000.0
    assert [gateway.call().status for _ in range(12)] == [200] * 10 + [429] * 2
    refused = gateway.call()
    assert refused.body == b'{"error":"too many requests"}'
    wait = int(refused.header(b"retry-after") or 0)
    assert wait == 1
    gateway.ticks.seconds += wait
    assert [gateway.call().status for _ in range(6)] == [200] * 5 + [429]


@pytest.mark.requirement("GATE-03", by="holdfast.serve.guards.limits:WithinRate.admit")
def test_harvesting_over_an_hour_gets_no_more_than_the_rate_and_one_burst(world: World) -> None:
    """A client that never stops gets the sustained rate, and refused calls cost it nothing further."""
    limit = GuardSpec(name="within-rate", configuration={"rate_per_s": 2.0, "burst": 5})
    gateway = world.serve(OnnxRuntime(), guards=(*GUARDS[:2], limit, *GUARDS[3:]))
    answered = 0
    for _ in range(3600):
        gateway.ticks.seconds += 0.125  # eight calls a second for seven and a half minutes
        answered += gateway.call().status == 200
    assert answered == pytest.approx(2.0 * 450 + 5, abs=2)


@pytest.mark.requirement("GATE-05", by="holdfast.serve.guards.limits:within_rate")
def test_an_honest_spike_within_the_allowance_is_answered_whole(world: World) -> None:
    """A client that was quiet may send its whole burst at once, again and again, as long as its rate allows it."""
    limit = GuardSpec(name="within-rate", configuration={"rate_per_s": 1.0, "burst": 30})
    gateway = world.serve(OnnxRuntime(), guards=(*GUARDS[:2], limit, *GUARDS[3:]))
    for _ in range(3):
        gateway.ticks.seconds += 30.0
        assert {gateway.call().status for _ in range(30)} == {200}


def test_one_client_cannot_use_up_anothers_limit(world: World) -> None:
    """Limits are per client, and two keys of one client share one."""
    limit = GuardSpec(name="within-rate", configuration={"rate_per_s": 1.0, "burst": 2})
    keys = (
        world.credential(API_KEY, client="bob"),
        world.credential(OTHER_KEY, client="bob"),
        world.credential("hf_" + "C" * 43, client="carol"),
    )
    gateway = world.serve(OnnxRuntime(), guards=(*GUARDS[:2], limit, *GUARDS[3:]), credentials=keys)
    assert [gateway.call(with_key(key)).status for key in (API_KEY, OTHER_KEY, API_KEY)] == [200, 200, 429]
    assert gateway.call(with_key("hf_" + "C" * 43)).status == 200


def test_a_new_route_table_gives_nobody_a_fresh_burst(world: World) -> None:
    """Renewing the lease every few minutes must not reset the limits."""
    limit = GuardSpec(name="within-rate", configuration={"rate_per_s": 0.001, "burst": 3})
    guards = (*GUARDS[:2], limit, *GUARDS[3:])
    gateway = world.serve(OnnxRuntime(), guards=guards)
    assert [gateway.call().status for _ in range(4)] == [200, 200, 200, 429]
    world.publish(world.table(world.release(), guards=guards))
    gateway.look()
    assert gateway.call().status == 429


@pytest.mark.guarantee("G12")
def test_workers_that_share_an_endpoint_give_exactly_its_limit(world: World, tmp_path: Path) -> None:
    """Whichever workers the kernel hands calls to: together they give the burst, then the rate, and no call more."""
    limit = GuardSpec(name="within-rate", configuration={"rate_per_s": 8.0, "burst": 40})
    world.publish(world.table(world.release(), guards=(*GUARDS[:2], limit, *GUARDS[3:])))
    cells = [SharedCells(tmp_path / "limits.cells", worker=number) for number in range(4)]
    workers = [world.serving(OnnxRuntime(), cells=each) for each in cells]
    for worker in workers:
        worker.look()
    answers = [workers[number % 3 if number < 30 else 3].call().status for number in range(42)]
    assert answers == [200] * 40 + [429] * 2
    for worker in workers:
        worker.ticks.seconds += 1.0
    assert [worker.call().status for worker in workers * 3].count(200) == 8


def test_metrics_are_told_to_this_machine_only(world: World) -> None:
    """/metrics names models and traffic: to a caller from elsewhere, also through a proxy here, it does not exist."""
    gateway = world.serve(OnnxRuntime())
    near = gateway.call((), path="/metrics", method="GET")
    assert near.status == 200
    for headers, peer in (((), "203.0.113.7"), (((b"x-forwarded-for", b"203.0.113.7"),), "127.0.0.1")):
        far = gateway.call(headers, path="/metrics", method="GET", peer=peer)
        assert (far.status, far.body) == (404, gateway.call(path="/nothing").body)


def scraped(gateway: Serving) -> dict[str, float]:
    """Every sample of /metrics by its name and labels."""
    text = gateway.call((), path="/metrics", method="GET", body=b"").body.decode()
    samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


@pytest.mark.requirement("MON-10", by="holdfast.serve.metrics:render")
def test_response_time_errors_resources_and_throughput_can_be_scraped(world: World) -> None:
    """The four measures of a service's health, per model and release, as they change."""
    gateway = world.serve(OnnxRuntime())
    before = scraped(gateway)
    for _ in range(3):
        gateway.call()
    gateway.call(())
    state = gateway.gateway.state
    assert state is not None
    release = state.routes[MODEL].baseline
    labels = f'model="{MODEL}",release="{release.short}"'
    after = scraped(gateway)

    def grew(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grew(f"holdfast_requests_total{{{labels}}}") == 3  # throughput
    assert grew(f'holdfast_request_seconds_bucket{{{labels},le="+Inf"}}') == 3  # response time
    assert grew(f'holdfast_responses_total{{model="{MODEL}",code="200"}}') == 3
    assert grew(f'holdfast_responses_total{{model="{MODEL}",code="401"}}') == 1  # errors
    assert grew('holdfast_refusals_total{guard="authenticated",code="HF241"}') == 1
    assert after["process_cpu_seconds_total"] > before["process_cpu_seconds_total"]  # resources
    assert after["process_max_resident_memory_bytes"] > 1e6


def test_no_caller_can_add_a_series_or_read_what_another_sent(world: World) -> None:
    """Names that callers make up become no labels: the number of series does not grow with them."""
    gateway = world.serve(OnnxRuntime())
    gateway.call((), path="/v2/models/first/infer")
    scraped(gateway)  # a scrape is a response too
    before = set(scraped(gateway))
    for number in range(50):
        gateway.call((), path=f"/v2/models/guess-{number}/infer")
        gateway.call(with_key(f"hf_{number}"), path=f"/{number}", method=f"M{number}", peer=f"10.0.0.{number}")
    added = set(scraped(gateway)) - before
    assert added <= {
        'holdfast_responses_total{model="",code="404"}',
        'holdfast_refusals_total{guard="protocol",code="HF246"}',
    }


SECRETS = (API_KEY.encode(), b"sha256", b"holdfast.", b"Error", b"Traceback", b"/", b"\\", b"onnx", b"python", b"0x")
PATHS = (
    "",
    "/",
    "*",
    "//v2/models",
    "/v2/models/../../etc/passwd/infer",
    f"/v2/models/{MODEL}/infer/",
    f"/V2/models/{MODEL}/infer",
    f"/v2/models/{MODEL}%00/infer",
    f"/v2/models/{MODEL}/versions/1/infer",
    "/v2/models/" + "a" * 10_000 + "/infer",
    "/v2/repository/index/",
    "/metrics/../v2",
    INFER,
    f"/predict/{MODEL}",
)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:40])
@pytest.mark.guarantee("G11")
def test_no_error_reveals_anything_of_the_inside(world: World, path: str) -> None:
    """Every refusal is the protocol's error object with plain words: no path, digest, class or key ever shows."""
    gateway = world.serve(OnnxRuntime())
    methods = ("GET", "POST", "PUT", "DELETE", "TRACE", "", "G E T")
    for method, headers, body in product(
        methods, ((), with_key(), with_key(OTHER_KEY)), (b"", b"{", b"null", b"\x00\xff")
    ):
        response = gateway.call(headers, path=path, method=method, body=body)
        assert 400 <= response.status < 500
        assert list(json.loads(response.body)) == ["error"]
        assert not any(secret in response.body for secret in SECRETS), response.body
        assert response.header(b"content-type") == b"application/json"


def test_a_model_that_crashes_reveals_nothing(world: World) -> None:
    """Whatever a model raises, the caller reads that it could not answer, and the operator reads why."""
    gateway = world.serve(OnnxRuntime())

    class Broken:
        def run(self, rows: object) -> object:
            raise RuntimeError("/secret/path holds sha256:abc")

    state = gateway.gateway.state
    assert state is not None
    object.__setattr__(state.routes[MODEL].baseline, "model", Broken())
    gateway.events()
    response = gateway.call()
    assert (response.status, response.body) == (503, b'{"error":"the model could not answer"}')
    assert response.header(b"x-holdfast-code") == b"HF763"
    events = gateway.events()
    assert [(event.kind, event.detail) for event in events] == [
        ("refused.model.HF763", "RuntimeError: /secret/path holds sha256:abc")
    ]


@pytest.mark.parametrize("labels", [[7], [-1]])
def test_an_answer_that_is_none_of_the_classes_is_not_given(world: World, labels: list[int]) -> None:
    """A model that names a class beyond its signature, or NaN as a probability, could not answer."""
    import numpy as np

    gateway = world.serve(OnnxRuntime())
    state = gateway.gateway.state
    assert state is not None

    class Odd:
        def __init__(self, labels: list[int], probabilities: list[list[float]]) -> None:
            self.answer = (np.array(labels), np.array(probabilities))

        def run(self, rows: object) -> object:
            return self.answer

    for answer in (
        (labels, [[0.5, 0.5]]),
        ([0], [[float("nan"), 0.5]]),
        ([0], [[float("inf"), 0.5]]),
        ([0], [[1.0]]),
        ([0, 0], [[0.5, 0.5]]),
    ):
        object.__setattr__(state.routes[MODEL].baseline, "model", Odd(*answer))
        assert gateway.call().status == 503


@pytest.mark.requirement("GATE-06", by="holdfast.serve.guards.outputs:CoarseOutput.release")
@pytest.mark.parametrize("decimals", [0, 1, 2, 3])
def test_scores_are_rounded_as_the_signed_table_says(world: World, decimals: int) -> None:
    """The caller sees as many digits as the policy of the table allows, on both ways of asking."""
    coarse = GuardSpec(name="coarse-output", configuration={"decimals": decimals})
    gateway = world.serve(OnnxRuntime(), guards=(*GUARDS[:4], coarse))
    given = json.loads(gateway.call().body)["outputs"][1]["data"]
    exact = [0.3543436937742045, 0.6456563062257955]  # 1 / (1 + exp(0.6)) and the rest
    assert given == [round(value, decimals) for value in exact]
    body = b'{"rows":[{"age":50,"mean radius":15,"trend":0.1}]}'
    plain = json.loads(gateway.call(path=f"/predict/{MODEL}", body=body).body)["predictions"][0]
    assert list(plain["probabilities"].values()) == given


@pytest.mark.requirement("GATE-06", by="holdfast.serve.guards.outputs:CoarseOutput.release")
def test_scores_are_withheld_where_the_signed_table_says_label_only(world: World) -> None:
    """Label-only endpoints tell no probability, even if it is asked for by name."""
    coarse = GuardSpec(name="coarse-output", configuration={"label_only": True})
    gateway = world.serve(OnnxRuntime(), guards=(*GUARDS[:4], coarse))
    outputs = json.loads(gateway.call().body)["outputs"]
    assert [output["name"] for output in outputs] == ["label"]
    wanted = ROW[:-1] + b',"outputs":[{"name":"probabilities"}]}'
    assert json.loads(gateway.call(body=wanted).body)["outputs"] == []
    body = b'{"rows":[{"age":50,"mean radius":15,"trend":0.1}]}'
    assert json.loads(gateway.call(path=f"/predict/{MODEL}", body=body).body)["predictions"] == [{"label": "malignant"}]


def test_one_correlation_id_goes_through_answer_refusal_and_record(world: World) -> None:
    """The id a caller gives comes back with the answer and with a refusal, and stands in the security event."""
    gateway = world.serve(OnnxRuntime())
    gateway.events()
    given = (b"x-correlation-id", b"order-4711.retry_2")
    assert gateway.call((*with_key(), given)).header(b"x-correlation-id") == given[1]
    assert gateway.call((given,)).header(b"x-correlation-id") == given[1]
    assert [event.correlation for event in gateway.events()] == ["order-4711.retry_2"]


def test_a_correlation_id_is_made_where_none_is_given(world: World) -> None:
    """Each answer has one, and no two share it."""
    gateway = world.serve(OnnxRuntime())
    made = [gateway.call().header(b"x-correlation-id") for _ in range(10)]
    assert len(set(made)) == 10
    assert all(one is not None and len(one) == 32 for one in made)


@pytest.mark.parametrize(
    "given", [b"", b"a" * 65, b"a b", b"a\r\nset-cookie: x=1", b"\xff", b"<script>", b"a/b", b"a\x00"]
)
def test_a_correlation_id_that_could_forge_a_log_line_is_refused(world: World, given: bytes) -> None:
    """Nothing of it comes back, not even in the refusal."""
    response = world.serve(OnnxRuntime()).call((*with_key(), (b"x-correlation-id", given)))
    assert response.status == 400
    assert response.header(b"x-correlation-id") != given
    assert len(response.header(b"x-correlation-id") or b"") == 32


@pytest.mark.parametrize("name", [b"authorization", b"x-api-key", b"x-correlation-id", b"content-encoding"])
def test_a_header_given_twice_is_refused(world: World, name: bytes) -> None:
    """Two values are two stories, and whoever stands in front of us may have believed the other one."""
    response = world.serve(OnnxRuntime()).call(((name, b"one"), (name, b"one")))
    assert (response.status, response.body) == (400, b'{"error":"a header is given twice"}')


def test_refusals_are_recorded_one_by_one_and_repeats_are_counted_exactly(world: World) -> None:
    """A thousand guesses in a second are one first event and one count, and they add up to a thousand."""
    gateway = world.serve(OnnxRuntime())
    gateway.events()
    for _ in range(1000):
        gateway.call(with_key(OTHER_KEY), peer="198.51.100.9")
    gateway.call(with_key(OTHER_KEY), peer="198.51.100.10")
    events = gateway.events()
    assert all(event.kind == "refused.authenticated.HF241" for event in events)
    counts: dict[str, int] = {}
    for event in events:
        counts[event.caller] = counts.get(event.caller, 0) + event.count
    assert sorted(counts.values()) == [1, 1000]
    assert not any("198.51" in caller for caller in counts)  # a keyed pseudonym, no address


def test_a_gateway_that_cannot_keep_its_records_stops_answering(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attack that fills the disk must not go on unrecorded: fail closed, and say so."""
    monkeypatch.setattr("holdfast.serve.events.MAX_UNWRITTEN", 3)
    gateway = world.serve(OnnxRuntime())
    gateway.events()
    for number in range(5):
        gateway.call((), peer=f"198.51.100.{number}")
    response = gateway.call()
    assert (response.status, response.header(b"x-holdfast-code")) == (503, b"HF764")
    assert gateway.call((), path="/v2/health/ready", method="GET").status == 503
    gateway.events()
    assert gateway.call().status == 200


def test_the_table_is_what_decides_and_it_is_signed(world: World) -> None:
    """Changing which guards run takes the registry's key: an edited table is not obeyed."""
    gateway = world.serve(OnnxRuntime())
    document = world.published.documents[ROUTES_NAME]
    world.published.documents[ROUTES_NAME] = document[:-10] + bytes(reversed(document[-10:]))
    gateway.look()
    assert gateway.call(()).status == 401
