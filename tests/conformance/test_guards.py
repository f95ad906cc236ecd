"""What `check_guard` asks of a guard: the shipped ones keep its promises, and each broken one is caught."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from holdfast.core.artifact import digest_bytes
from holdfast.core.guard import Answer, Call, Guard, Refusal
from holdfast.core.routes import Credential
from holdfast.core.schema import Field, Signature
from holdfast.core.signed_request import NONCE, SIGNATURE, TIMESTAMP, request_signature
from holdfast.maths.nearness import Space, fit_space
from holdfast.serve import GUARDS
from holdfast.serve.credentials import CredentialTable, hash_api_key
from holdfast.serve.guards.surroundings import LocalCells, Surroundings
from holdfast.testing import BrokenPromiseError, SettableClock, check_guard
from holdfast.testing.conformance import SECRET

KEY = "hf_" + "A" * 43
SALT = bytes(32)
RELEASE = digest_bytes(b"release")
CLOCK = SettableClock()
BODY = b'{"inputs":[{"name":"input","shape":[2,2],"datatype":"FP64","data":[0.5,0.5,0.25,0.5]}]}'
SETTINGS: dict[str, dict[str, Any]] = {
    "within-size": {"max_bytes": 1000},
    "authenticated": {},
    "fresh-request": {"window_s": 60.0},
    "within-rate": {"rate_per_s": 100.0, "burst": 100},
    "within-concurrency": {"most": 1},
    "looked-up-features": {"views": {}},
    "valid-input": {"max_rows": 4},
    "within-quota": {"rows": 1_000_000},
    "within-spend": {"per_call": 0.01, "cap": 1e6},
    "coarse-output": {"decimals": 2},
    "clean-request": {},
    "noised-output": {"epsilon": 1.0, "budget": 1e6},
    "grouped-output": {"smallest": 2},
    "squeezed-input": {"levels": 64},
    "stream-anomaly": {},
    "query-sequence": {},
    "adversarial-input": {},
    "extraction": {"rows": 1_000_000},
    "prompt-injection": {},
    "text-content": {},
    "within-bounds": {"values": {"no": 0.0, "yes": 1.0}, "lowest": 0.0, "highest": 1.0},
}


class Forgetful:
    """Remembers no nonce: `check_guard` asks with one call again and again, which is a replay."""

    since = 0.0

    def remember(self, nonce: str, *, until: float, now: float) -> bool:
        return True


def surroundings() -> Surroundings:
    """What the shipped guards may know."""
    credential = Credential(
        id="bob", hash=hash_api_key(SALT, KEY), models=("tiny",), expires=CLOCK.now() + timedelta(days=1)
    )
    signature = Signature(
        inputs=(Field(name="a", minimum=0, maximum=1), Field(name="b", minimum=0, maximum=1)), classes=("no", "yes")
    )
    return Surroundings(
        credentials=CredentialTable(SALT, (credential,)),
        signatures={RELEASE: signature},
        cells=LocalCells(),
        nonces=Forgetful(),
        clock=CLOCK,
        monotonic=lambda: 1000.0,
        spaces={RELEASE: space()},
    )


def space() -> Space:
    """How the rows lay that the release learned from."""
    draw = np.random.default_rng(0)
    rows = draw.random((400, 2)).astype(np.float32)
    return fit_space(rows, (rows[:, 0] > 0.5).astype(np.int64), classes=2, alarm=13.8, chain=16)


def call() -> Call:
    """A good call, as it is when access has been checked and a release was chosen."""
    timestamp, nonce = str(int(CLOCK.now().timestamp())), "A" * 22
    path = "/v2/models/tiny/infer"
    signature = request_signature(KEY, method="POST", path=path, body=BODY, timestamp=timestamp, nonce=nonce)
    return Call(
        model="tiny",
        headers={"authorization": f"Bearer {KEY}", TIMESTAMP: timestamp, NONCE: nonce, SIGNATURE: signature},
        body=BODY,
        method="POST",
        path=path,
        correlation="c",
        received_s=1000.0,
        client="bob",
        release=RELEASE,
        rows=np.array([[0.5, 0.5], [0.25, 0.5]], dtype=np.float32),
    )


def answer() -> Answer:
    """A good answer to it."""
    probabilities = np.array([[0.251, 0.749], [0.6, 0.4]])
    return Answer(probabilities=probabilities, labels=np.array([1, 0]), flags=("stale",))


@pytest.mark.guarantee("G11")
@pytest.mark.parametrize("kind", GUARDS, ids=lambda kind: kind.name)
def test_the_shipped_guards_keep_their_promises(kind: Any) -> None:
    """Each guard that a route table may name lets good calls pass and refuses bad ones without a word too many."""
    guard = kind.build(kind.settings(**SETTINGS[kind.name]), surroundings())
    check_guard(guard, call, answer)


@dataclass
class Mine:
    """A guard of one's own."""

    name: str = "mine"
    admits: Callable[[Call], Any] = lambda passing: passing
    releases: Callable[[Answer], Any] = lambda passing: passing

    def admit(self, call: Call) -> Any:
        return self.admits(call)

    def release(self, call: Call, answer: Answer) -> Any:
        return self.releases(answer)


def refusing(**changes: Any) -> Callable[[Call], Any]:
    """A guard that refuses calls without a key in its own way."""
    usual = Refusal(guard="mine", status=401, code="M1", public="a key is required")

    def admit(passing: Call) -> Any:
        if passing.headers.get("authorization", "") == f"Bearer {KEY}":
            return passing
        told = {name: text(passing) if callable(text) else text for name, text in changes.items()}
        return replace(usual, **told)

    return admit


def test_a_guard_of_ones_own_keeps_its_promises() -> None:
    """One that looks at nothing, and one that refuses whoever has no key."""
    check_guard(Mine(), call, answer)
    check_guard(Mine(admits=refusing()), call, answer)
    fill: Guard = Mine(admits=lambda passing: replace(passing, flags=(*passing.flags, "seen"), request_id="7"))
    check_guard(fill, call, answer)


def header(passing: Call) -> str:
    """What the caller sent."""
    return passing.headers.get("authorization", "") or "nothing"


def crash(_: object) -> Any:
    """A guard with a defect."""
    raise KeyError("authorization")


@pytest.mark.parametrize(
    ("guard", "words"),
    [
        (Mine(name=" "), "without a name"),
        (Mine(admits=crash), "refused a good call: KeyError"),
        (Mine(admits=lambda _: None), "refused a good call: TypeError"),
        (Mine(admits=lambda passing: replace(passing, model="other")), "changed the call's model"),
        (Mine(admits=lambda passing: replace(passing, body=b"")), "changed the call's body"),
        (Mine(admits=lambda passing: replace(passing, headers={})), "changed the call's headers"),
        (Mine(admits=lambda passing: replace(passing, client="root")), "changed the call's client"),
        (Mine(admits=lambda passing: replace(passing, release="sha256:0")), "changed the call's release"),
        (Mine(admits=lambda passing: passing.headers["authorization"] and passing), "broke on no headers"),
        (Mine(admits=refusing(guard="authenticated")), "in the name of authenticated"),
        (Mine(admits=refusing(status=200)), "with status 200"),
        (Mine(admits=refusing(code="")), "and code ''"),
        (Mine(admits=refusing(public="")), "words that are empty"),
        (Mine(admits=refusing(public="x" * 1000)), "words that are empty, endless"),
        (Mine(admits=refusing(public="a\nb")), "unprintable"),
        (Mine(admits=refusing(public="KeyError() at /usr/lib/python3/site-packages/x.py")), "about the inside"),
        (Mine(admits=refusing(public=lambda passing: header(passing).replace("\udcff", ""))), "secret back"),
        (Mine(admits=refusing(detail=header)), "secret into the log"),
        (Mine(releases=crash), "refused a good answer: KeyError"),
        (Mine(releases=lambda _: None), "refused a good answer: TypeError"),
        (Mine(releases=lambda passing: replace(passing, probabilities=passing.probabilities[:, :1])), "the shape"),
        (Mine(releases=lambda passing: replace(passing, labels=np.array([1, 1, 1]))), "the shape"),
        (Mine(releases=lambda passing: replace(passing, probabilities=passing.probabilities * 2)), "no probabilities"),
        (Mine(releases=lambda passing: replace(passing, probabilities=passing.probabilities / 0)), "no probabilities"),
        (Mine(releases=lambda passing: replace(passing, flags=())), "took away a flag of the answer"),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_broken_promise_is_named(guard: Mine, words: str) -> None:
    """Guards that break, change what is not theirs, refuse in a strange way or talk too much are told apart."""
    assert SECRET not in words
    with pytest.raises(BrokenPromiseError, match=words):
        check_guard(guard, call, answer)


def test_a_flag_that_another_guard_set_must_stay() -> None:
    """What the answer must say about its input is not for a later guard to drop."""

    def flagged() -> Call:
        return replace(call(), flags=("out-of-range",))

    with pytest.raises(BrokenPromiseError, match="took away a flag that the answer must carry"):
        check_guard(Mine(admits=lambda passing: replace(passing, flags=())), flagged, answer)
