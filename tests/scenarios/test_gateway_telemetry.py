"""What a gateway tells: the required events, under fixed names, one id through all of it, traces of some calls."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.scenarios.test_gateway_access import scraped
from tests.scenarios.test_gateway_lookup import Looking
from tests.scenarios.test_gateway_process import Process, eventually

from holdfast.adapters.collector import Collector
from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.artifact import Kind, digest_bytes
from holdfast.core.conventions import (
    BY_NAME,
    EVENT_FIELDS,
    NONCONFORMING,
    RESOURCE_ATTRIBUTES,
    SPAN_ATTRIBUTES,
    SPANS,
    check_sample,
    is_event,
)
from holdfast.core.errors import InvalidInput, Unavailable
from holdfast.core.evidence import Evidence, MadeWith, Measure, Outcome
from holdfast.core.project import Slo
from holdfast.core.signals import Signal
from holdfast.serve.events import Event, Noted, SecurityLog
from holdfast.serve.metrics import _family
from holdfast.serve.otlp import export
from holdfast.serve.tracing import MOST_A_SECOND, MOST_WAITING, Tracing, parent_of
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import API_KEY, MODEL, Serving, World, with_key
from holdfast.watch import detect

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def world() -> World:
    """A small signed world."""
    return World()


def kinds(serving: Serving) -> set[str]:
    """The kinds of events noted since the last look."""
    return {each.kind for each in serving.events()}


# ── MON-01 ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("MON-01", by="holdfast.serve.loader:Loader._models")
def test_a_model_that_comes_and_one_that_goes_are_told_with_their_digests(world: World) -> None:
    """Also where the lease ends; and each time that what was published was verified, or was not."""
    serving = world.serve(OnnxRuntime())
    told = {each.kind: each for each in serving.events()}
    state = serving.gateway.state
    assert state is not None
    first = state.routes[MODEL].baseline
    assert (told["model.loaded"].model, told["model.loaded"].caller) == (MODEL, f"release:{first.short}")
    assert first.digest in told["model.loaded"].detail
    assert first.model_digest in told["model.loaded"].detail
    assert "signature.verified" in told
    world.publish(world.table(world.release(tiny_model(bias=5.0)), epoch=2))
    serving.look()
    told = {each.kind: each for each in serving.events()}
    assert first.digest in told["model.unloaded"].detail
    assert first.digest not in told["model.loaded"].detail
    world.clock.advance(timedelta(days=30))
    serving.look()
    assert {"model.unloaded", "state.lease-over"} <= kinds(serving)


@pytest.mark.requirement("MON-01", by="holdfast.serve.loader:Loader._refused")
def test_a_signature_that_is_none_is_told(world: World) -> None:
    """A table under a key of another role changes nothing, and is an event of its own."""
    serving = world.serve(OnnxRuntime())
    serving.events()
    world.publish(world.table(world.release()), signer="train")
    serving.look()
    assert "signature.refused" in kinds(serving)


@pytest.mark.requirement("MON-01", by="holdfast.serve.replies:Replies._note")
def test_requests_answers_and_failed_authentication_are_told_with_their_release(world: World) -> None:
    """Every answered call is in exactly one window of its release; each refused one is an event under its id."""
    serving = world.serve(OnnxRuntime())
    serving.events()
    for _ in range(3):
        serving.call()
    assert serving.call((*with_key("hf_" + "B" * 43), (b"x-correlation-id", b"attempt-1"))).status == 401
    ((release, window, _),) = serving.gateway.untold()
    state = serving.gateway.state
    assert state is not None
    assert (release, window.requests, window.rows) == (state.routes[MODEL].baseline.digest, 3, 3)
    (refused,) = serving.events()
    assert refused.kind.startswith("refused.authenticated.HF")
    assert refused.correlation == "attempt-1"


@pytest.mark.requirement("MON-01", by="holdfast.serve.telemetry:Meter.read")
def test_reads_of_features_are_told_by_feature_and_client() -> None:
    """And what was lacking is an event under the call's id."""
    looking = Looking("degrade", traced=1.0)
    looking.ask(patient="p1")
    ((_, window, _),) = looking.serving.gateway.untold()
    assert set(window.reads) == {"visits.radius", "visits.earlier"}
    looking.serving.events()
    looking.ask("nobody", (b"x-correlation-id", b"c-7"))
    (lacking,) = [each for each in looking.serving.events() if each.kind == "features.lacking"]
    assert lacking.correlation == "c-7"


@pytest.mark.requirement("MON-01", by="holdfast.watch.detect:signals")
def test_drift_is_told_as_a_signal() -> None:
    """By `watch`, from the windows that gateways tell."""
    drifted = Evidence(
        control="watch.drift/1",
        subject=digest_bytes(b"release"),
        kind=Kind.RELEASE,
        outcome=Outcome.MEASURED,
        made_with=MadeWith(code=digest_bytes(b"code"), configuration=""),
        measures=(Measure(name="psi:age", value=0.6, low=0.5, high=0.7, n=1000),),
    )
    assert [each.signal for each in detect.signals([drifted], Slo())] == [Signal.DRIFT]


# ── MON-02 ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("MON-02", by="holdfast.core.conventions:check_sample")
def test_every_sample_that_is_scraped_conforms(world: World) -> None:
    """Names, kinds and labels are those of the table, whatever has happened; and all of the table is told of."""
    serving = world.serving(OnnxRuntime(), traced=1.0)
    world.publish(world.table(world.release()))
    serving.look()
    serving.call()
    serving.call(())
    for sample in scraped(serving):
        name, _, labels = sample.partition("{")
        check_sample(name, [pair.partition("=")[0] for pair in labels.rstrip("}").split(",") if pair])
    text = serving.call((), path="/metrics", method="GET", body=b"").body.decode()
    assert {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")} == set(BY_NAME)


@pytest.mark.requirement("MON-02", by="holdfast.core.conventions:metric")
def test_a_metric_that_is_not_in_the_table_cannot_be_rendered() -> None:
    """Whoever adds one adds it to the table first."""
    with pytest.raises(InvalidInput, match="table of conventions"):
        list(_family("holdfast_made_up_total", [("", 1)]))


@pytest.mark.requirement("MON-02", by="holdfast.core.conventions:is_event")
def test_an_event_of_no_kind_is_kept_as_what_it_is(world: World) -> None:
    """Its name is refused, the fact is not lost; fields are those of the table."""
    log = SecurityLog()
    now = world.clock.now()
    log.note(Noted(time=now, kind="Refused By Whim", caller="c", detail="why"))
    (kept,) = log.collect(now)
    assert (kept.kind, kept.detail) == (NONCONFORMING, "Refused By Whim: why")
    assert Event.__struct_fields__ == EVENT_FIELDS
    assert not is_event("refused")
    assert not is_event("state.loaded.twice")


# ── MON-03, MON-05 ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("MON-03", by="holdfast.serve.tracing:Tracing.end")
def test_one_id_goes_through_gateway_features_model_events_and_trace() -> None:
    """The caller's correlation id is in the answer, in the event and in the trace; all spans are one trace."""
    looking = Looking("degrade", traced=1.0)
    looking.serving.events()
    answer = looking.ask("nobody", (b"x-correlation-id", b"c-9"), (b"traceparent", PARENT.encode()))
    assert dict(answer.headers)[b"x-correlation-id"] == b"c-9"
    (event,) = [each for each in looking.serving.events() if each.kind == "features.lacking"]
    assert event.correlation == "c-9"
    tracing = looking.serving.loader.ground.tracing
    assert tracing is not None
    spans = {each.name: each for each in tracing.take()}
    assert set(spans) == set(SPANS)
    assert {each.trace for each in spans.values()} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    root = spans["infer"]
    assert (root.parent, root.attributes["holdfast.correlation"]) == ("00f067aa0ba902b7", "c-9")
    assert {spans[name].parent for name in SPANS[1:]} == {root.span}
    for span in spans.values():
        assert root.begin_ns <= span.begin_ns <= span.end_ns <= root.end_ns


@pytest.mark.requirement("MON-05", by="holdfast.serve.replies:Replies._trace")
def test_spans_are_tagged_with_the_versions_of_model_and_features() -> None:
    """On every step, so that each can be found by what answered."""
    looking = Looking("degrade", traced=1.0)
    looking.ask(patient="p1")
    tracing, state = looking.serving.loader.ground.tracing, looking.serving.gateway.state
    assert tracing is not None
    assert state is not None
    release = state.routes[MODEL].baseline
    versions = [f"visits@{each.online.version}" for each in release.signature.inputs if each.online]
    for span in tracing.take():
        assert span.attributes["holdfast.release.digest"] == release.digest
        assert span.attributes["holdfast.model.digest"] == release.model_digest
        assert span.attributes["holdfast.feature.versions"] == sorted(set(versions))
        assert set(span.attributes) <= SPAN_ATTRIBUTES


@pytest.mark.requirement("MON-05", by="holdfast.serve.tracing:parent_of")
@pytest.mark.parametrize(
    "header",
    [
        PARENT.upper(),
        PARENT + "-more",
        PARENT[:-3],
        "ff" + PARENT[2:],
        "00-" + "0" * 32 + PARENT[35:],
        PARENT[:36] + "0" * 16 + "-01",
        PARENT + "\n",
        PARENT.replace("4b", "4g"),
        "",
    ],
)
def test_a_parent_that_is_not_well_formed_counts_as_none(world: World, header: str) -> None:
    """The trace begins here, under an id of our own."""
    assert parent_of(header) is None
    serving = traced(world)
    serving.call((*with_key(), (b"traceparent", header.encode())))
    tracing = serving.loader.ground.tracing
    assert tracing is not None
    spans = tracing.take()
    assert spans[0].parent == ""
    assert spans[0].trace not in header
    serving.call((*with_key(), *[(b"traceparent", PARENT.encode())] * 2))
    assert tracing.take()[0].parent == ""
    assert parent_of("01" + PARENT[2:] + "-more") is not None  # later versions may say more (3.2.2)


@given(st.text(max_size=80))
def test_no_header_does_more_than_be_ignored(header: str) -> None:
    """Whatever it holds; what is taken are two ids of the right form."""
    found = parent_of(header)
    assert found is None or (len(found[0]), len(found[1])) == (32, 16)


def traced(world: World, share: float = 1.0) -> Serving:
    """A gateway that traces."""
    serving = world.serving(OnnxRuntime(), traced=share)
    world.publish(world.table(world.release()))
    serving.look()
    return serving


@pytest.mark.requirement("MON-05", by="holdfast.serve.tracing:Tracing.begin")
def test_the_share_and_not_the_callers_flag_decides(world: World) -> None:
    """The same trace is chosen everywhere or nowhere; nobody makes a gateway trace more than its bound."""
    tracing = Tracing(share=0.1, monotonic=lambda: 0.0, offset_s=0.0)
    low, high = PARENT[:21] + "0" * 14 + PARENT[35:], PARENT[:21] + "f" * 14 + PARENT[35:]
    assert tracing.begin(high, 0.0) is None
    chosen = [tracing.begin(low, 1.0) for _ in range(10 * MOST_A_SECOND)]
    assert sum(each is not None for each in chosen) == MOST_A_SECOND
    assert tracing.dropped == 9 * MOST_A_SECOND
    for begun in range(10_000):
        tracing.begin("", 2.0 + begun / 50)
    assert 10_000 - tracing._begun > 8_000
    with pytest.raises(InvalidInput):
        Tracing(share=0.0, monotonic=lambda: 0.0, offset_s=0.0)
    serving = traced(world)
    for second in range(MOST_WAITING // MOST_A_SECOND + 2):
        serving.ticks.seconds += 1.0
        for _ in range(MOST_A_SECOND):
            serving.call()
        assert second < 100
    assert len({each.trace for each in serving.loader.ground.tracing.take()}) == MOST_WAITING  # type: ignore[union-attr]
    assert scraped(serving)['holdfast_spans_total{outcome="dropped"}'] > 0


class Receiver:
    """A collector: takes ExportTraceServiceRequest as JSON, and reads it with the protocol's own definition."""

    def __init__(self) -> None:
        receiver = self
        self.spans: list[tuple[dict[str, Any], Any]] = []
        self.status = 200

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if receiver.status == 200:
                    assert self.path == "/otel/v1/traces"
                    assert self.headers["content-type"] == "application/json"
                    receiver.take(json.loads(body))
                self.send_response(receiver.status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/otel"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def take(self, document: dict[str, Any]) -> None:
        """Read a request strictly: a name that the protocol has not raises."""
        for resource in document["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    for name in ("traceId", "spanId", "parentSpanId"):  # hexadecimal in OTLP, base64 in plain protobuf
                        if name in span:
                            span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
        request = ParseDict(document, ExportTraceServiceRequest())
        for resource in request.resource_spans:
            about = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert set(about) == RESOURCE_ATTRIBUTES
            self.spans += [(about, span) for scope in resource.scope_spans for span in scope.spans]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A collector on this machine."""
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.requirement("MON-05", by="holdfast.serve.otlp:export")
def test_a_gateway_tells_a_real_collector(tmp_path: Path, receiver: Receiver) -> None:
    """A process of its own, over HTTP: what arrives is OTLP by the protocol's definition, and nobody waits for it."""
    gateway = Process(tmp_path, traces_url=receiver.url, traces_share=1.0)
    try:
        gateway.ready()
        began_ns = time.time_ns()
        with gateway.client() as client:
            answer = client.infer(MODEL, [[50, 15, 0.1]], correlation="c-11")
        eventually(lambda: receiver.spans)
        by_name = {span.name: span for _, span in receiver.spans}
        about, root = next((about, span) for about, span in receiver.spans if span.name == "infer")
        told = {each.key: each.value for each in root.attributes}
        assert about["service.name"] == "holdfast-gateway"
        assert told["holdfast.correlation"].string_value == "c-11"
        assert answer.release in told["holdfast.release.digest"].string_value
        assert told["http.response.status_code"].int_value == 200
        assert (len(root.trace_id), len(root.span_id)) == (16, 8)
        assert root.kind == 2
        assert by_name["model"].parent_span_id == root.span_id
        assert began_ns - 10**9 < root.start_time_unix_nano <= root.end_time_unix_nano < time.time_ns() + 10**9
        receiver.status = 503
        assert gateway.infer(key=API_KEY).labels
        eventually(lambda: b"answered 503" in (gateway.folder / "errors.log").read_bytes())
        assert gateway.infer(key=API_KEY).labels
    finally:
        gateway.end()


def test_a_collector_is_told_over_tls_or_on_this_machine_and_its_absence_is_said() -> None:
    """Traces name callers and models: they do not travel in clear."""
    with pytest.raises(InvalidInput):
        Collector("http://collector.example:4318")
    with pytest.raises(Unavailable, match="cannot be reached"):
        Collector("http://127.0.0.1:9").tell(export([], {}, "0"))
