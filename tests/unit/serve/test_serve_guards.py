"""Guards one by one, the way a body is read, and how a call finds its release."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.allowances import Rate
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.schema import Signature
from holdfast.serve import GUARDS, HttpRequest, HttpResponse
from holdfast.serve.asgi import DRAINED, MAX_BODY, asgi
from holdfast.serve.credentials import CredentialTable, hash_api_key, presented
from holdfast.serve.encoding import encode_infer
from holdfast.serve.guards.limits import WithinRate
from holdfast.serve.guards.outputs import CoarseOutput
from holdfast.serve.guards.size import WithinSize, depth
from holdfast.serve.guards.surroundings import LocalCells
from holdfast.serve.plain import decode_rows
from holdfast.serve.protocol import Malformed, Operation, target
from holdfast.serve.refusals import OVERLOADED, SAYINGS, TOO_LARGE, TOO_SLOW, Saying
from holdfast.serve.state import Release, Route
from holdfast.testing.carried import Ticks
from holdfast.testing.world import CREDENTIAL_KEY, World


def call(client: str = "bob", body: bytes = b"") -> Call:
    """A call as far as access guards look at it."""
    return Call(model="m", headers={}, body=body, correlation="c", received_s=0.0, client=client)


def within_rate(rate_per_s: float, burst: int) -> tuple[WithinRate, Ticks]:
    """The guard, and the clock it reads."""
    ticks = Ticks(0.0)
    interval = 1 / rate_per_s
    rate = Rate(interval_s=interval, tolerance_s=(burst - 1) * interval)
    return WithinRate(rate=rate, cells=LocalCells(), monotonic=ticks), ticks


@given(rate=st.floats(0.1, 100), burst=st.integers(1, 20), gaps=st.lists(st.floats(0, 3), min_size=1, max_size=200))
def test_no_window_ever_holds_more_than_the_burst_and_the_rate(rate: float, burst: int, gaps: Sequence[float]) -> None:
    """For any pattern of calls and any window of t seconds, at most burst + rate × t calls pass."""
    guard, ticks = within_rate(rate, burst)
    passed = []
    for gap in gaps:
        ticks.seconds += gap
        if isinstance(guard.admit(call()), Call):
            passed.append(ticks.seconds)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            span = passed[last] - passed[first]
            assert last - first + 1 <= burst + rate * span + 1e-6


@given(rate=st.floats(0.1, 100), burst=st.integers(1, 20), count=st.integers(1, 60))
def test_whoever_waits_as_long_as_told_is_let_in(rate: float, burst: int, count: int) -> None:
    """Retry-After tells the truth, and refused calls cost nothing."""
    guard, ticks = within_rate(rate, burst)
    answer = [guard.admit(call()) for _ in range(count)][-1]
    if isinstance(answer, Refusal):
        assert answer.retry_after_s is not None
        ticks.seconds += answer.retry_after_s + 1e-6
        assert isinstance(guard.admit(call()), Call)


@given(
    st.recursive(
        st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_depth_is_that_of_the_document(document: object) -> None:
    """Brackets in strings do not count, brackets around values do."""

    def deep(value: object) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inner is None else 1 + max(map(deep, inner), default=0)

    assert depth(json.dumps(document, ensure_ascii=False).encode()) == deep(document)


@given(st.binary(max_size=300))
def test_depth_of_anything_is_a_number(body: bytes) -> None:
    """Also of what is no JSON."""
    assert depth(body) >= 0


@pytest.mark.parametrize("levels", [1, 5, 8, 9, 100, 10_000])
def test_a_body_deeper_than_allowed_is_refused(levels: int) -> None:
    """Eight levels pass, nine do not, whatever stands in them."""
    guard = WithinSize(max_bytes=1 << 20, max_depth=8)
    answer = guard.admit(call(body=b"[" * levels + b'"[[[["' + b"]" * levels))
    assert isinstance(answer, Call) is (levels <= 8)


def test_a_shallow_body_with_many_brackets_passes() -> None:
    """Counting brackets is only the first look."""
    assert isinstance(WithinSize(max_bytes=1 << 20, max_depth=3).admit(call(body=b"[" + b"[[]]," * 500 + b"[]]")), Call)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.integers(0, 9))
def test_rounded_probabilities_hold_no_further_digits(values: list[float], decimals: int) -> None:
    """Two values that agree to so many decimals are told as one."""
    answer = Answer(probabilities=np.array([values]), labels=np.array([0]))
    coarse = CoarseOutput(scale=10.0**decimals, label_only=False).release(call(), answer)
    assert isinstance(coarse, Answer)
    assert coarse.probabilities == pytest.approx(np.array([values]), abs=0.5 * 10.0**-decimals + 1e-12)
    assert all(float(value) == round(float(value), decimals) for value in coarse.probabilities.ravel())


def test_every_guard_has_a_name_of_its_own_and_the_two_that_nobody_may_leave_out() -> None:
    """The table is what a route table may name."""
    names = [kind.name for kind in GUARDS]
    assert len(set(names)) == len(names)
    assert [kind.name for kind in GUARDS if kind.required] == ["authenticated", "valid-input"]


def test_every_refusal_has_a_code_of_its_own_and_words_that_tell_nothing() -> None:
    """One code, one meaning; only 503 among the 5xx."""
    assert len({saying.code for saying in SAYINGS}) == len(SAYINGS)
    assert {saying.status for saying in SAYINGS if saying.status >= 500} == {503}
    assert not any(word in saying.public for saying in SAYINGS for word in ("/", "sha256", "Error", "holdfast"))


def test_a_credential_table_knows_hashes_and_no_keys() -> None:
    """A key is found by its keyed hash; two entries of one hash are refused."""
    world = World()
    credential = world.credential("hf_secret")
    table = CredentialTable(CREDENTIAL_KEY, [credential])
    assert table.find("hf_secret", world.clock.now()) == credential
    assert table.find("hf_other", world.clock.now()) is None
    assert table.find("", world.clock.now()) is None
    assert table.find("\udcff", world.clock.now()) is None
    assert "hf_secret" not in str(credential)
    for key in (b"k" * 32, b"k" * 64, b"k" * 200):
        for api_key in ("", "hf_secret", "hf_" + "a" * 500):
            hashed = msgspec.structs.replace(credential, hash=hash_api_key(key, api_key))
            assert CredentialTable(key, [hashed]).find(api_key, world.clock.now()) == hashed
    assert hash_api_key(b"k" * 32, "hf_secret") != hash_api_key(b"l" * 32, "hf_secret")
    with pytest.raises(Exception, match="share a hash"):
        CredentialTable(CREDENTIAL_KEY, [credential, credential])
    with pytest.raises(Exception, match="credential key of 31 bytes"):
        CredentialTable(b"k" * 31, [])


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, ""),
        ({"authorization": "Bearer hf_a"}, "hf_a"),
        ({"authorization": "BEARER hf_a"}, "hf_a"),
        ({"authorization": "Bearer hf_a "}, "hf_a"),
        ({"authorization": "Bearer"}, ""),
        ({"authorization": "Basic hf_a"}, ""),
        ({"authorization": "Bearer sk_a"}, ""),
        ({"x-api-key": "hf_a"}, "hf_a"),
        ({"x-api-key": "Bearer hf_a"}, ""),
        ({"x-api-key": "hf_" + "a" * 200}, ""),
        ({"x-api-key": "hf_a", "authorization": "Bearer hf_a"}, ""),
    ],
)
def test_a_key_is_presented_in_one_of_two_ways_and_not_in_both(headers: dict[str, str], key: str) -> None:
    """Anything else is no key."""
    assert presented(headers) == key


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/v2", (Operation.SERVER, "", "")),
        ("/v2/models/a.b-c_9", (Operation.METADATA, "a.b-c_9", "")),
        ("/v2/models/a/ready", (Operation.MODEL_READY, "a", "")),
        ("/v2/models/a/infer", (Operation.INFER, "a", "")),
        ("/v2/models/a/openapi.json", (Operation.OPENAPI, "a", "")),
        ("/v2/models/a/versions/0a1b", (Operation.METADATA, "a", "0a1b")),
        ("/v2/models/a/versions/0a1b/ready", (Operation.MODEL_READY, "a", "0a1b")),
        ("/v2/models/a/versions/0a1b/infer", (Operation.INFER, "a", "0a1b")),
        ("/v2/models/a/versions/infer", (Operation.METADATA, "a", "infer")),
        ("/v2/models/a/versions", None),
        ("/v2/models/a/versions/1/2/infer", None),
        ("/v2/models/a/versions//infer", None),
        ("/v2/repository/index", (Operation.INDEX, "", "")),
        ("/predict/a", (Operation.PREDICT, "a", "")),
        ("/predict/a/", None),
        ("/predict/", None),
        ("/predict/a/infer", None),
        ("/v2/models/a/infer\n", None),
        ("/v2/models/-a/infer", None),
        ("/v2/models/" + "a" * 64 + "/infer", None),
        ("/v2/models/ä/infer", None),
        ("/v2/models/a/../b/infer", None),
        ("/v2/", None),
    ],
)
def test_a_path_asks_for_one_thing_or_for_nothing(path: str, found: object) -> None:
    """Paths are matched whole, in one spelling."""
    assert target(path) == found


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5, unique=True), st.integers(1, 4))
def test_rows_of_any_names_are_read_in_the_models_order(names: list[str], count: int) -> None:
    """Names with colons, quotes, backslashes or letters of any script; and a name given twice is refused."""
    rows = [{name: float(row * 10 + column) for column, name in enumerate(names)} for row in range(count)]
    body = json.dumps({"rows": [dict(reversed(row.items())) for row in rows]}, ensure_ascii=False).encode()
    assert decode_rows(body, names) == [row[name] for row in rows for name in names]
    twice = body[:-3] + b"," + json.dumps(names[0]).encode() + b":1}]}"
    with pytest.raises(Malformed, match="twice"):
        decode_rows(twice, names)


def test_rows_of_other_names_are_refused_with_a_name_that_is_missing() -> None:
    """One from the model's signature; of what the caller wrote, only how much of it is unknown."""
    with pytest.raises(Malformed, match=r"1 inputs are missing and 2 are unknown, the first missing is 'b'$"):
        decode_rows(b'{"rows": [{"a": 1, "x": 2, "y": 3}]}', ["a", "b"])
    with pytest.raises(Malformed, match=r"0 inputs are missing and 1 are unknown$"):
        decode_rows(b'{"rows": [{"a": 1, "b": 1, "x": 2}]}', ["a", "b"])


@given(st.floats(0, 1), st.integers(0, 400))
def test_a_route_chooses_the_same_release_for_the_same_id(share: float, number: int) -> None:
    """And more of the candidate for a larger share: whoever met it once goes on to meet it as its share rises."""
    baseline, candidate = cast("Release", "baseline"), cast("Release", "candidate")
    route = Route(name="m", baseline=baseline, candidate=candidate, share=share)
    chosen = route.choose(f"id-{number}")
    assert chosen == route.choose(f"id-{number}")
    if chosen == candidate:
        wider = Route(name="m", baseline=baseline, candidate=candidate, share=min(1.0, share * 1.5))
        assert wider.choose(f"id-{number}") == candidate
    assert Route(name="m", baseline=baseline, candidate=candidate, share=0.0).choose(f"id-{number}") == baseline
    assert Route(name="m", baseline=baseline, candidate=candidate, share=1.0).choose(f"id-{number}") == candidate


def test_flags_stand_in_the_answer() -> None:
    """A caller reads that an input was out of range."""
    answer = Answer(probabilities=np.array([[0.5, 0.5]]), labels=np.array([1]), flags=("out-of-range",))
    body, _ = encode_infer(
        answer, Signature(inputs=(), classes=("a", "b")), model="m", version="1", request_id="", outputs=()
    )
    assert json.loads(body)["parameters"] == {"flags": "out-of-range"}


# ── reading a body ──────────────────────────────────────────────────────────────────────────────────────────────────


class Core:
    """Answers with what it was given."""

    def __init__(self) -> None:
        self.handled: list[HttpRequest] = []
        self.turned_away: list[Saying] = []

    def handle(self, request: HttpRequest) -> HttpResponse:
        self.handled.append(request)
        return HttpResponse(status=200, headers=(), body=b"fine")

    def handle_together(self, requests: Sequence[HttpRequest]) -> list[HttpResponse]:
        return [self.handle(request) for request in requests]

    def shed(self) -> HttpResponse:
        raise AssertionError

    def turn_away(self, _: HttpRequest, saying: Saying) -> HttpResponse:
        self.turned_away.append(saying)
        return HttpResponse(status=saying.status, headers=(), body=b"no")


def drive(messages: list[dict[str, Any]], *, stall: bool = False) -> tuple[Core, list[dict[str, Any]]]:
    """Runs the application over these messages; afterwards the client says nothing more, or is gone."""
    core, sent = Core(), list[dict[str, Any]]()
    rest = iter(messages)

    async def receive() -> dict[str, Any]:
        found = next(rest, None)
        if found is None and stall:
            await asyncio.sleep(3600)
        return found or {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {"type": "http", "method": "POST", "path": "/predict/m", "headers": [(b"a", b"b")], "client": ("peer", 1)}
    asyncio.run(cast("Any", asgi(core)(scope, receive, send)))
    return core, sent


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    """One piece of a body."""
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize("pieces", [[b"whole"], [b"wh", b"ole"], [b"", b"whole", b""], [b"w", b"h", b"o", b"l", b"e"]])
def test_a_body_arrives_whole_in_however_many_pieces(pieces: list[bytes]) -> None:
    """The core sees one body, and the peer it came from."""
    messages = [part(piece, more=number < len(pieces) - 1) for number, piece in enumerate(pieces)]
    core, sent = drive(messages)
    assert [(request.body, request.peer, request.path) for request in core.handled] == [
        (b"whole", "peer", "/predict/m")
    ]
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[1]["body"] == b"fine"


def test_a_body_that_is_too_long_is_read_no_further_than_its_bound() -> None:
    """The caller is told why, and the connection is closed."""
    piece = b" " * (1 << 20)
    endless = [part(piece, more=True) for _ in range(64)]
    core, sent = drive(endless)
    assert (core.handled, core.turned_away) == ([], [TOO_LARGE])
    assert (b"connection", b"close") in sent[0]["headers"]
    assert (MAX_BODY + DRAINED) // len(piece) < 64


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that stops in the middle is told that it took too long."""
    monkeypatch.setattr("holdfast.serve.asgi.BODY_TIMEOUT_S", 0.05)
    core, sent = drive([part(b"half", more=True)], stall=True)
    assert (core.handled, core.turned_away, sent[0]["status"]) == ([], [TOO_SLOW], 408)


def test_a_client_that_is_gone_before_its_body_is_answered_nothing_or_turned_away() -> None:
    """Neither is an error of ours."""
    assert drive([])[1] == []
    core, _ = drive([part(b"half", more=True)])
    assert (core.handled, core.turned_away) == ([], [TOO_SLOW])


def test_bodies_that_arrive_all_at_once_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is within its own limit; what is beyond the limit of all together is refused, and later ones are not."""
    monkeypatch.setattr("holdfast.serve.asgi.MAX_HELD", 100)
    core = Core()
    app = asgi(core)
    gate = asyncio.Event()

    async def request(pieces: list[bytes], *, wait: bool) -> None:
        rest = iter([part(piece, more=number < len(pieces) - 1) for number, piece in enumerate(pieces)])

        async def receive() -> dict[str, Any]:
            message = next(rest)
            if wait and not message["more_body"]:
                await gate.wait()
            return message

        async def send(_: Any) -> None:
            pass

        scope = {"type": "http", "method": "POST", "path": "/predict/m", "headers": [], "client": ("peer", 1)}
        await cast("Any", app(scope, receive, send))

    async def both() -> None:
        slow = asyncio.ensure_future(request([b"", b"x" * 90, b"y"], wait=True))
        await asyncio.sleep(0)
        await request([b"", b"z" * 20, b""], wait=False)
        assert core.turned_away == [OVERLOADED]
        gate.set()
        await slow
        await request([b"", b"z" * 95, b""], wait=False)

    asyncio.run(both())
    assert [len(each.body) for each in core.handled] == [91, 95]


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_nothing_but_http_is_spoken(kind: str) -> None:
    """The application returns at once."""
    core = Core()

    async def never(*_: object) -> Any:
        raise AssertionError

    asyncio.run(cast("Any", asgi(core)({"type": kind}, never, never)))
    assert core.handled == []
