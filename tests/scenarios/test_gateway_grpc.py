"""gRPC in front of the gateway: the same core, guards and records, whatever a client sends."""

import asyncio
import hashlib
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scenarios.test_gateway_process import Process
from tests.unit.core.test_spiffe import Authority

from holdfast.adapters import grpc_server
from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.resilience import Resilience
from holdfast.core.routes import GuardSpec
from holdfast.core.signed_request import request_signature
from holdfast.serve.exchange import HttpRequest, HttpResponse
from holdfast.serve.grpc_face import CODES, METHODS, Asked, Face, Reply, answer, turned_away
from holdfast.serve.grpc_messages import HEALTH, SERVICE, message
from holdfast.serve.refusals import SAYINGS, TOO_SLOW
from holdfast.serve.turns import MOST_WAITING
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import API_KEY, GUARDS, MODEL, Serving, World

KEY = (("authorization", f"Bearer {API_KEY}"),)
INFER = f"/{SERVICE}/ModelInfer"
ROW = (50.0, 15.0, 0.1)


@pytest.fixture(scope="module")
def gateway() -> Serving:
    """A gateway whose calls are not limited; no test here changes what it serves."""
    limit = GuardSpec(name="within-rate", configuration={"rate_per_s": 1e6, "burst": 1_000_000})
    return World().serve(OnnxRuntime(), guards=(*GUARDS[:2], limit, *GUARDS[3:]))


def asked(method: str, body: bytes = b"", metadata: Any = KEY, **more: Any) -> Asked:
    """A call; by default with a good key."""
    return Asked(
        method=f"/{SERVICE}/{method}" if "/" not in method else method, message=body, metadata=metadata, **more
    )


def inference(*, model: str = MODEL, version: str = "", raw: bool = True, **changes: Any) -> Any:
    """A good inference, with changes."""
    made = message("ModelInferRequest")(model_name=model, model_version=version)
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 3]} | changes
    made.inputs.add(**tensor)
    if raw:
        made.raw_input_contents.append(struct.pack("<3f", *ROW))
    return made


def told(reply: Reply, name: str) -> Any:
    """Return the message in a good answer."""
    assert reply.code == "OK", reply
    return message(name).FromString(reply.message)


def labels(reply: Reply) -> list[str]:
    """Return the labels in a good answer to an inference."""
    found = told(reply, "ModelInferResponse")
    data = found.raw_output_contents[[output.name for output in found.outputs].index("label")]
    names = []
    while data:
        (length,) = struct.unpack_from("<I", data)
        names.append(data[4 : 4 + length].decode())
        data = data[4 + length :]
    return names


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("SERV-01", by="holdfast.serve.grpc_face:answer")
def test_the_answer_is_that_of_the_same_request_over_http(gateway: Serving) -> None:
    """Labels, probabilities, version and id: the protocol changes, and nothing else."""
    made = inference()
    made.id = "42"
    found = told(answer(gateway.gateway, asked("ModelInfer", made.SerializeToString())), "ModelInferResponse")
    over_http = json.loads(gateway.call().body)
    assert (found.model_name, found.model_version, found.id) == (MODEL, over_http["model_version"], "42")
    assert [output.name for output in found.outputs] == ["label", "probabilities"]
    assert list(found.outputs[1].shape) == over_http["outputs"][1]["shape"]
    assert list(struct.unpack("<2d", found.raw_output_contents[1])) == over_http["outputs"][1]["data"]


CONTENTS = [
    ("FP32", {"fp32_contents": ROW}),
    ("FP64", {"fp64_contents": ROW}),
    ("INT64", {"int64_contents": (50, 15, 1)}),
    ("INT8", {"int_contents": (50, 15, 1)}),
    ("UINT16", {"uint_contents": (50, 15, 1)}),
    ("UINT64", {"uint64_contents": (50, 15, 1)}),
]


@pytest.mark.parametrize(("datatype", "contents"), CONTENTS, ids=[datatype for datatype, _ in CONTENTS])
def test_elements_may_stand_in_the_message(gateway: Serving, datatype: str, contents: dict[str, Any]) -> None:
    """Typed contents, each in the field of its datatype."""
    made = inference(raw=False, datatype=datatype, contents=contents)
    assert len(labels(answer(gateway.gateway, asked("ModelInfer", made.SerializeToString())))) == 1


def test_the_server_and_its_models_describe_themselves(gateway: Serving) -> None:
    """Live, ready, metadata and index say what they say over HTTP."""
    core, about = gateway.gateway, message("ModelMetadataRequest")(name=MODEL).SerializeToString()
    assert told(answer(core, asked("ServerLive", metadata=())), "ServerLiveResponse").live
    assert told(answer(core, asked("ServerReady", metadata=())), "ServerReadyResponse").ready
    assert "binary_tensor_data" in told(answer(core, asked("ServerMetadata")), "ServerMetadataResponse").extensions
    assert told(answer(core, asked("ModelReady", about)), "ModelReadyResponse").ready
    described = told(answer(core, asked("ModelMetadata", about)), "ModelMetadataResponse")
    assert (described.name, described.platform, list(described.inputs[0].shape)) == (MODEL, "onnx", [-1, 3])
    (row,) = told(answer(core, asked("RepositoryIndex")), "RepositoryIndexResponse").models
    assert (row.name, row.version, row.state) == (MODEL, described.versions[0], "READY")
    assert told(answer(core, asked(f"/{HEALTH}/Check", metadata=())), "HealthCheckResponse").status == 1


def test_a_gateway_without_a_state_is_alive_and_not_ready() -> None:
    """Readiness is an answer, not an error; an inference is refused until there is something to ask."""
    core = World().serving(OnnxRuntime()).gateway
    assert told(answer(core, asked("ServerLive")), "ServerLiveResponse").live
    assert not told(answer(core, asked("ServerReady")), "ServerReadyResponse").ready
    assert told(answer(core, asked(f"/{HEALTH}/Check")), "HealthCheckResponse").status == 2
    assert answer(core, asked("ModelInfer", inference().SerializeToString())).code == "UNAVAILABLE"


def test_a_version_may_be_named(gateway: Serving) -> None:
    """The version that answers; another one is not found."""
    version = json.loads(gateway.call().body)["model_version"]
    core = gateway.gateway
    assert answer(core, asked("ModelInfer", inference(version=version).SerializeToString())).code == "OK"
    assert answer(core, asked("ModelInfer", inference(version="1").SerializeToString())).code == "NOT_FOUND"


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────


def crooked(**changes: Any) -> bytes:
    """An inference with something wrong."""
    made = inference(**changes)
    return bytes(made.SerializeToString())


def raws(*parts: bytes) -> bytes:
    """A good inference with these bytes in place of its own."""
    made = inference(raw=False)
    made.raw_input_contents.extend(parts)
    return bytes(made.SerializeToString())


CROOKED = {
    "no message": b"\xff",
    "cut off": crooked()[:-1],
    "empty": b"",
    "a name with a slash": crooked(model=f"{MODEL}/versions/x"),
    "a name with dots": crooked(model=f"../{MODEL}"),
    "too few bytes": raws(b"\0" * 11),
    "too many bytes": raws(b"\0" * 13),
    "more tensors than inputs": raws(b"\0" * 12, b"\0" * 12),
    "no contents": raws(),
    "contents and bytes": crooked(contents={"fp32_contents": ROW}),
    "contents of another datatype": crooked(raw=False, datatype="FP64", contents={"fp32_contents": ROW}),
    "an INT8 of 128": crooked(raw=False, datatype="INT8", contents={"int_contents": (128, 15, 1)}),
    "texts": crooked(raw=False, datatype="BYTES", contents={"bytes_contents": (b"a", b"b", b"c")}),
    "a datatype that is none": crooked(raw=False, datatype="FP8", contents={"fp32_contents": ROW}),
    "NaN": raws(struct.pack("<3f", float("nan"), 15.0, 0.1)),
    "big-endian": raws(struct.pack(">3f", 50.1, 15.0, 0.1)),
    "a negative shape": crooked(shape=[-1, -3]),
    "a shape that overflows": crooked(shape=[2**62, 12]),
}


@pytest.mark.requirement("GATE-09", by="holdfast.serve.grpc_face:answer")
@pytest.mark.parametrize("name", CROOKED)
def test_a_crooked_message_is_refused_and_on_record(name: str) -> None:
    """INVALID_ARGUMENT or NOT_FOUND, in plain words, and a security event as for every refusal."""
    serving = World().serve(OnnxRuntime())
    serving.events()
    reply = answer(serving.gateway, asked("ModelInfer", CROOKED[name]))
    assert reply.code in {"INVALID_ARGUMENT", "NOT_FOUND"}
    assert reply.words
    assert sum(event.count for event in serving.events() if event.kind.startswith("refused.")) == 1


@pytest.mark.requirement("GATE-01", by="holdfast.serve.grpc_face:answer")
@pytest.mark.parametrize(
    "metadata",
    [(), (("authorization", "Bearer hf_" + "Z" * 43),), (("authorization", API_KEY),), (*KEY, ("x-api-key", API_KEY))],
    ids=["no key", "an unknown key", "no scheme", "two keys"],
)
def test_without_a_valid_key_nothing_is_answered(gateway: Serving, metadata: Any) -> None:
    """UNAUTHENTICATED, whatever was asked of a model."""
    for method, body in (("ModelInfer", crooked()), ("RepositoryIndex", b""), ("ModelReady", b"\x0a\x04tiny")):
        assert answer(gateway.gateway, asked(method, body, metadata)).code == "UNAUTHENTICATED"


def test_metadata_that_is_a_header_of_http_means_nothing(gateway: Serving) -> None:
    """How long the head is, this face says; a caller cannot say it again."""
    metadata = (*KEY, ("inference-header-content-length", "3"), ("content-encoding", "gzip"))
    assert answer(gateway.gateway, asked("ModelInfer", crooked(), metadata)).code == "OK"
    twice = (*KEY, ("x-correlation-id", "a"), ("x-correlation-id", "b"))
    assert answer(gateway.gateway, asked("ModelInfer", crooked(), twice)).code == "INVALID_ARGUMENT"


def test_limits_and_errors_have_their_codes_and_say_who_to_ask_for() -> None:
    """A refusal carries its code and the correlation id; a limit, when to come back."""
    world = World()
    slow = GuardSpec(name="within-rate", configuration={"rate_per_s": 0.1, "burst": 1})
    serving = world.serve(OnnxRuntime(), guards=(*GUARDS[:2], slow, *GUARDS[3:]))
    replies = [answer(serving.gateway, asked("ModelInfer", crooked())) for _ in range(2)]
    assert [reply.code for reply in replies] == ["OK", "RESOURCE_EXHAUSTED"]
    trailers = dict(replies[1].trailers)
    assert trailers["x-holdfast-code"] == "HF243"
    assert int(trailers["retry-after"]) >= 9
    assert trailers["x-correlation-id"] != dict(replies[0].trailers)["x-correlation-id"]


@pytest.mark.requirement("ROLL-12", by="holdfast.serve.grpc_face:answer")
def test_an_answer_of_the_safe_state_says_so_here_too() -> None:
    """Marked by the same names as over HTTP, whether something is answered or refused."""
    declared = Resilience(safe_state="answer", safe_answer="benign")
    world = World()
    table = world.table(world.release(tiny_model()))
    (route,) = table.models
    for resilience, code in ((declared, "OK"), (None, "UNAVAILABLE")):
        models = (msgspec.structs.replace(route, resilience=resilience),)
        world.publish(msgspec.structs.replace(table, models=models))
        serving = world.serving(OnnxRuntime())
        serving.look()
        serving.gateway.make_safe("a test")
        reply = answer(serving.gateway, asked("ModelInfer", crooked()))
        trailers = dict(reply.trailers)
        assert (reply.code, trailers["x-holdfast-safe-state"]) == (code, "true")
        assert trailers.get("x-holdfast-fallback") == ("safe-state" if code == "OK" else None)


def test_every_refusal_of_the_core_has_a_code() -> None:
    """None is UNKNOWN."""
    assert {saying.status for saying in SAYINGS} <= CODES.keys()


@pytest.mark.parametrize("method", ["/inference.GRPCInferenceService/Train", "/other/ModelInfer", "/", ""])
def test_a_method_that_there_is_not_is_refused_on_record(method: str) -> None:
    """UNIMPLEMENTED, as gRPC demands, and a security event."""
    serving = World().serve(OnnxRuntime())
    serving.events()
    assert answer(serving.gateway, asked(method or "/x")).code == "UNIMPLEMENTED"
    assert [event.kind for event in serving.events()] == ["refused.protocol.HF246"]


def test_a_method_that_there_is_not_waits_for_its_turn_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes such calls gets no way past the line: under overload they are shed, and cost next to nothing."""

    @dataclass
    class Busy:
        """A core that notes what it handles."""

        handled: list[str] = field(default_factory=list)

        def handle(self, request: HttpRequest) -> HttpResponse:
            self.handled.append(request.path)
            return HttpResponse(status=404, headers=(), body=b'{"error": "no"}')

        def handle_together(self, requests: Sequence[HttpRequest]) -> list[HttpResponse]:
            return [self.handle(request) for request in requests]

        def shed(self) -> HttpResponse:
            return HttpResponse(status=503, headers=(), body=b'{"error": "busy"}')

        def turn_away(self, request: HttpRequest, saying: Any) -> HttpResponse:
            raise AssertionError(request, saying)

    async def run() -> list[Reply]:
        core = Busy()
        face = Face(core)
        monkeypatch.setattr(face._turns, "free", lambda _: False)  # others are before it
        calls = [asyncio.ensure_future(face.answer(asked("/x"))) for _ in range(MOST_WAITING + 1)]
        await asyncio.sleep(0)
        assert core.handled == []
        first = await calls[0]
        for call in calls[1:]:
            call.cancel()
        return [first]

    assert [reply.code for reply in asyncio.run(run())] == ["UNAVAILABLE"]


def test_a_message_that_did_not_arrive_is_refused_on_record(gateway: Serving) -> None:
    """DEADLINE_EXCEEDED, and a security event."""
    assert turned_away(gateway.gateway, asked("ModelInfer"), TOO_SLOW).code == "DEADLINE_EXCEEDED"


@settings(max_examples=150, deadline=None)
@given(
    method=st.sampled_from(sorted(METHODS)), body=st.binary(max_size=80), whole=st.booleans(), cut=st.integers(0, 60)
)
def test_no_message_crashes_the_gateway(gateway: Serving, method: str, body: bytes, whole: bool, cut: int) -> None:
    """Random bytes, and good messages with something behind or missing: an answer or a refusal of ours."""
    data = body if whole else crooked()[:cut] + body
    assert answer(gateway.gateway, asked(method, data)).code in {
        "OK",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "PERMISSION_DENIED",
    }


def signed(body: bytes, now: datetime, nonce: str) -> tuple[tuple[str, str], ...]:
    """Return metadata that signs a message."""
    moment = str(int(now.timestamp()))
    signature = request_signature(API_KEY, method="POST", path=INFER, body=body, timestamp=moment, nonce=nonce)
    return (
        *KEY,
        ("x-holdfast-timestamp", moment),
        ("x-holdfast-nonce", nonce),
        ("x-holdfast-signature", signature),
    )


@pytest.mark.requirement("GATE-01", by="holdfast.serve.guards.freshness:FreshRequest.admit")
def test_a_signed_message_counts_once() -> None:
    """What is signed is the message as sent, under the method's full name."""
    fresh = GuardSpec(name="fresh-request", configuration={"window_s": 60.0})
    serving = World().serve(OnnxRuntime(), guards=(*GUARDS[:2], fresh, *GUARDS[2:]))
    body, now = crooked(), serving.world.clock.now()
    metadata = signed(body, now, "A" * 22)
    core = serving.gateway
    assert [answer(core, asked("ModelInfer", body, metadata)).code for _ in range(2)] == ["OK", "PERMISSION_DENIED"]
    other = crooked(shape=[1, 3], parameters={"a": message("InferParameter")(bool_param=True)})
    assert answer(core, asked("ModelInfer", other, signed(body, now, "B" * 22))).code == "PERMISSION_DENIED"


def test_messages_share_a_process_with_others_of_the_same_name() -> None:
    """They are built in a pool of their own: nothing is registered where other packages register theirs."""
    from google.protobuf import descriptor_pool

    message("ModelInferRequest")
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")


# ── over sockets ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A gateway that speaks both protocols."""
    running = Process(tmp_path_factory.mktemp("grpc"), grpc_port=0)
    try:
        yield running.ready()
    finally:
        running.end()


def call(channel: Any, method: str, body: bytes, metadata: Any = KEY) -> bytes:
    """Make one call over a channel."""
    found: bytes = channel.unary_unary(f"/{SERVICE}/{method}")(body, metadata=metadata, timeout=60)
    return found


@pytest.mark.requirement("SERV-01")
def test_a_process_of_its_own_answers_grpc_beside_http(process: Process) -> None:
    """One table, one release, two doors; refusals arrive with their codes and their correlation ids."""
    with grpc.insecure_channel(process.said["grpc"]) as channel:
        data = call(channel, "ModelInfer", crooked())
        version = message("ModelInferResponse").FromString(data).model_version
        assert version == process.infer().release
        with pytest.raises(grpc.RpcError) as refused:
            call(channel, "ModelInfer", crooked(), metadata=(("x-correlation-id", "mine"),))
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert dict(refused.value.trailing_metadata())["x-correlation-id"] == "mine"
        with pytest.raises(grpc.RpcError) as unknown:
            call(channel, "Train", b"")
        assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_two_messages_in_one_call_and_one_that_is_too_large_are_refused(process: Process) -> None:
    """A call is one message, and no longer than a body may be; the server answers on."""
    with grpc.insecure_channel(process.said["grpc"], options=[("grpc.max_send_message_length", -1)]) as channel:
        with pytest.raises(grpc.RpcError) as twice:
            channel.stream_unary(INFER)(iter([crooked(), crooked()]), metadata=KEY, timeout=60)
        assert twice.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as large:
            call(channel, "ModelInfer", b"\0" * (3 << 20))
        assert large.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.RpcError) as packed:
            channel.unary_unary(INFER)(crooked(), metadata=KEY, compression=grpc.Compression.Gzip, timeout=60)
        assert packed.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert call(channel, "ModelInfer", crooked())


class Silent:
    """A call whose client says nothing, or something that is not one message."""

    def __init__(self, *messages: bytes) -> None:
        self.messages, self.code, self.trailers = list(messages), "", ()

    async def read(self) -> Any:
        if self.messages:
            return self.messages.pop(0)
        await asyncio.sleep(60)
        return grpc.aio.EOF

    def invocation_metadata(self) -> Any:
        return ()

    def peer(self) -> str:
        return "ipv6:%5B::1%5D:50000"

    def auth_context(self) -> dict[str, Any]:
        return {}

    def set_trailing_metadata(self, trailers: Any) -> None:
        self.trailers = trailers

    def set_code(self, code: Any) -> None:
        self.code = code.name

    def set_details(self, words: str) -> None:
        assert words


@pytest.mark.parametrize("messages", [(), (b"half",)], ids=["nothing", "no end"])
def test_a_message_that_never_ends_is_given_up(
    gateway: Serving, monkeypatch: pytest.MonkeyPatch, messages: tuple[bytes, ...]
) -> None:
    """A client that opens calls and sends nothing holds no place for long; it stays on record."""
    monkeypatch.setattr(grpc_server, "MESSAGE_TIMEOUT_S", 0.01)
    face, silent, received = Face(gateway.gateway), Silent(*messages), []

    async def answered(call: grpc_server.Received) -> Reply:
        received.append(call)
        return face.turned_away(asked(call.method), TOO_SLOW)

    assert asyncio.run(grpc_server._answered(answered, INFER, silent)) == b""
    (call_,) = received
    assert (call_.message, call_.slow, call_.peer, silent.code) == (None, True, "::1", "DEADLINE_EXCEEDED")
    assert "x-holdfast-code" in dict(silent.trailers)


def test_calls_beyond_what_can_be_answered_are_shed() -> None:
    """In turn, as over HTTP: whoever cannot be answered in time is told so at once, and nobody waits without end."""
    limit = GuardSpec(name="within-rate", configuration={"rate_per_s": 1e6, "burst": 1_000_000})
    serving = World().serve(OnnxRuntime(), guards=(*GUARDS[:2], limit, *GUARDS[3:]))
    call_ = asked("ModelInfer", crooked())

    async def ask() -> list[Reply]:
        face = Face(serving.gateway)
        return await asyncio.gather(*(face.answer(call_) for _ in range(3000)))

    codes = [reply.code for reply in asyncio.run(ask())]
    assert set(codes) == {"OK", "UNAVAILABLE"}  # no more than 1,024 wait at once


def test_what_is_no_http2_is_closed(process: Process) -> None:
    """Half a preface, or HTTP/1.1: the connection ends, and the next caller is answered."""
    host, _, port = process.said["grpc"].rpartition(":")
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"\0" * 400):
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(noise)
            connection.settimeout(30)
            try:
                while connection.recv(4096):
                    pass
            except ConnectionResetError:
                continue
    with grpc.insecure_channel(process.said["grpc"]) as channel:
        assert call(channel, "ServerLive", b"")


SERVER = """
import hashlib, sys
from pathlib import Path
from holdfast.adapters import grpc_server
from holdfast.adapters.http_server import Tls
from holdfast.adapters.supervisor import bind
from holdfast.serve.grpc_face import Reply

folder = Path(sys.argv[1])
listening = bind("127.0.0.1", 0)
port = listening.getsockname()[1]
tls = Tls(certificate=folder / "server.pem", key=folder / "server.key", client_authority=folder / "authority.pem")

async def answer(call):
    return Reply(code="OK", message=hashlib.sha256(call.certificate).digest() + call.peer.encode())

grpc_server.run(answer, host="127.0.0.1", port=port, on_started=lambda: print(port, flush=True), tls=tls)
"""


def certified(authority: Authority, folder: Path, name: str, names: Sequence[x509.GeneralName], usage: Any) -> bytes:
    """Write a certificate of an authority with its key; return it, DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    end = now + timedelta(days=1)
    made = authority._built(subject, key.public_key(), now - timedelta(days=1), end, names=list(names), usage=[usage])
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{name}.key").write_bytes(private)
    (folder / f"{name}.pem").write_bytes(made.public_bytes(Encoding.PEM))
    return made.public_bytes(Encoding.DER)


def test_over_tls_the_certificate_that_was_verified_is_handed_on(tmp_path: Path) -> None:
    """TLS ends in the process: nobody gets in without a certificate of the authority, and the core is told whose it is.

    Files that are replaced are used from the next connection on.
    """
    ours = Authority(now=datetime.now(UTC))
    (tmp_path / "authority.pem").write_bytes(ours.certificate.public_bytes(Encoding.PEM))
    address = [x509.IPAddress(ip_address("127.0.0.1"))]
    certified(ours, tmp_path, "server", address, ExtendedKeyUsageOID.SERVER_AUTH)
    spiffe = [x509.UniformResourceIdentifier("spiffe://prod.example.com/caller")]
    shown = certified(ours, tmp_path, "client", spiffe, ExtendedKeyUsageOID.CLIENT_AUTH)
    certified(Authority("stranger", datetime.now(UTC)), tmp_path, "other", spiffe, ExtendedKeyUsageOID.CLIENT_AUTH)
    source = str(Path(sys.modules["holdfast"].__file__ or "").parents[1])
    command = [sys.executable, "-c", SERVER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": source}) as running:
        assert running.stdout is not None
        target = f"127.0.0.1:{int(running.stdout.readline())}"

        def ask(name: str) -> bytes:
            read = (tmp_path / f"{name}.key", tmp_path / f"{name}.pem") if name else ()
            pair = tuple(path.read_bytes() for path in read) or (None, None)
            credentials = grpc.ssl_channel_credentials((tmp_path / "authority.pem").read_bytes(), *pair)
            with grpc.secure_channel(target, credentials) as channel:
                return call(channel, "ServerLive", b"")

        try:
            assert ask("client") == hashlib.sha256(shown).digest() + b"127.0.0.1"
            for name in ("", "other"):
                with pytest.raises(grpc.RpcError):
                    ask(name)
            certified(ours, tmp_path, "server", address, ExtendedKeyUsageOID.SERVER_AUTH)
            assert ask("client") == hashlib.sha256(shown).digest() + b"127.0.0.1"
        finally:
            running.terminate()
            assert running.wait(60) == 0
