"""Scoring rows in bulk: the same gateway, guards, model and telemetry as a request, called without a socket.

Decides how rows become calls and answers become rows again: exactly one for each. A refusal that is about the input is
narrowed down to the rows it is about, by halves; one that is about the caller, or about the service, ends the run.
"""

import math
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core import places
from holdfast.core.batch import Outcome, Scored
from holdfast.core.errors import HoldfastError, Refused, Unavailable
from holdfast.core.ports import Clock
from holdfast.core.schema import Signature
from holdfast.core.signed_request import NONCE, SIGNATURE, TIMESTAMP, request_signature
from holdfast.serve.exchange import HttpRequest, HttpResponse
from holdfast.serve.guards.inputs import OUT_OF_RANGE
from holdfast.serve.guards.lookup import FEATURES_MISSING
from holdfast.serve.protocol import INPUT, LABEL, PROBABILITIES
from holdfast.serve.refusals import MALFORMED
from holdfast.serve.resilience import FALLBACK
from holdfast.serve.takes import MOST_CHARACTERS
from holdfast.serve.tensors import BYTES

Texts: TypeAlias = Mapping[str, Sequence[str]]
NO_TEXTS: Final[Texts] = {}
NO_ROWS: Final[Mapping[int, str]] = {}
PEER: Final = ""  # the other end of no socket
FLAGS: Final = "flags"
MAX_WAITS: Final = 120  # for one call, of at least a second each: a limit that never lets it pass is no limit of rate
MAX_WAIT_S: Final = 60.0  # longer than this a process does not stand still: it ends, and is started again later
CALLER: Final = frozenset({401, 403, 404})  # the key, what it may call, or whether that is served
NAMED: Final = 3  # inputs of a row that hold no number
_TOO_LARGE, _TOO_FAST, _SERVER, _UNAVAILABLE = 413, 429, 500, 503
_FALLBACK: Final = b"x-holdfast-fallback"
_ENCODER: Final = msgspec.json.Encoder()


class Interrupted(Unavailable):
    """The service may not answer now; what is done stays done, and the run can go on later."""


@dataclass(slots=True, kw_only=True)
class Scorer:
    """Asks a gateway about rows, as the client whose key it holds."""

    handle: Callable[[HttpRequest], HttpResponse]
    model: str
    key: str = field(repr=False)
    signature: Signature
    inputs: tuple[str, ...]  # the numbers that rows hold, in their order: of those that can be looked up, any or none
    release: str  # short digest of the release that must answer
    clock: Clock
    wait: Callable[[float], None]  # lets seconds pass
    rows_per_call: int
    host: str = ""  # a name under which the gateway may be called, where only some are let in
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    _calls: int = 0

    def score(
        self, rows: NDArray[np.float64], texts: Texts = NO_TEXTS, broken: Mapping[int, str] = NO_ROWS
    ) -> list[Scored]:
        """Return what became of each row, in order.

        Args:
            rows: Values of shape (n, inputs); NaN where the input holds no number.
            texts: By name, n of each, where the model takes texts or rows name entities.
            broken: Rows that are none and are not asked about, and why.

        Raises:
            Refused: The key is not valid, or may not call this model.
            Interrupted: The service may not answer now, or another release answers.
        """
        known = np.asarray(np.isfinite(rows).all(axis=1))
        known[list(broken)] = False
        found: list[Scored] = []
        start = 0
        while start < len(rows):
            if start in broken:
                found.append(Scored(outcome="refused", code=MALFORMED.code, reason=broken[start]))
                start += 1
                continue
            end, room = start + 1, MOST_CHARACTERS - _characters(texts, start)
            # What cannot be written as a number goes alone: it would take the rows beside it down with it.
            while known[start] and end < len(rows) and known[end] and end - start < self.rows_per_call:
                room -= _characters(texts, end)
                if room < 0:
                    break
                end += 1
            found += self._asked(rows[start:end], _part(texts, start, end))
            start = end
        return found

    def _asked(self, rows: NDArray[np.float64], texts: Texts) -> list[Scored]:
        response = self._answer(self._body(rows, texts))
        # Where a rule answers for rows whose features are lacking, it does so for the whole call: of the others the
        # model shall answer.
        by_rule = response.header(_FALLBACK) == FEATURES_MISSING.encode() and len(rows) > 1
        if response.status == 200 and not by_rule:  # noqa: PLR2004
            return self._read(response, rows)
        code, words = code_of(response), words_of(response)
        if response.status in CALLER:
            raise Refused(
                f"the gateway refuses: {words} ({code})",
                remedy="Give a key that may call this model, while this release of it answers.",
            )
        if response.status >= _SERVER and code != "HF763":  # a model that fails on a row has failed on that row
            raise Interrupted(f"the gateway cannot answer: {words} ({code})", remedy="Run the same command again.")
        if len(rows) == 1:
            # The row of the call, which is always the first, is no row of the table.
            reason = self._lacking(rows) if code == MALFORMED.code else ""
            return [Scored(outcome="refused", code=code, reason=reason or words.replace(" of row 0", ""))]
        if response.status == _TOO_LARGE:
            self.rows_per_call = max(1, min(self.rows_per_call, len(rows)) // 2)
        middle = len(rows) // 2
        first, second = _part(texts, 0, middle), _part(texts, middle, len(rows))
        return [*self._asked(rows[:middle], first), *self._asked(rows[middle:], second)]

    def _answer(self, body: bytes) -> HttpResponse:
        """Make one call, waiting as long as the rate limit says."""
        for _ in range(MAX_WAITS):
            response = self.handle(self.request(body))
            later = response.header(b"retry-after")
            if later is None or response.status not in {_TOO_FAST, _UNAVAILABLE}:
                return response
            if float(later) > MAX_WAIT_S:
                break
            self.wait(float(later))
        raise Interrupted("the gateway never lets this call pass", expected="a rate or budget that lets it")

    def _body(self, rows: NDArray[np.float64], texts: Texts) -> bytes:
        if not texts:
            data: Any = rows.ravel().tolist()
            tensor = {"name": INPUT, "shape": rows.shape, "datatype": "FP64", "data": data}
            return _ENCODER.encode({"inputs": [tensor]})
        columns = [(name, "FP64", rows[:, at].tolist()) for at, name in enumerate(self.inputs)]
        columns += [(name, BYTES, each) for name, each in texts.items()]
        shape = (len(rows),)
        tensors = [{"name": name, "shape": shape, "datatype": kind, "data": data} for name, kind, data in columns]
        return _ENCODER.encode({"inputs": tensors})

    def request(self, body: bytes) -> HttpRequest:
        """Return a signed call with this body."""
        self._calls += 1
        # By version: a candidate has no part in it, and where the release is served no more, nothing answers.
        path = f"/v2/models/{self.model}/versions/{self.release}/infer"
        named = f"{self.run}-{self._calls:x}"
        return signed(self.key, path, body, correlation=named, clock=self.clock, host=self.host)

    def _read(self, response: HttpResponse, rows: NDArray[np.float64]) -> list[Scored]:
        answered = (response.header(b"x-holdfast-release") or b"").decode()
        if answered != self.release:
            raise Interrupted(f"release {answered or '?'} answers, and the batch is by {self.release}")
        document = msgspec.json.decode(response.body)
        outputs = {each["name"]: each["data"] for each in document["outputs"]}
        labels: list[str] = outputs[LABEL]
        if len(labels) != len(rows):  # never so by this gateway; a plug-in guard could do it
            raise HoldfastError(f"{len(labels)} answers to {len(rows)} rows")
        width = len(self.signature.classes)
        flat: list[float] = outputs.get(PROBABILITIES, [])
        said = document.get("parameters", {}).get(FLAGS, "")
        flags = tuple(each for each in said.split(",") if each)
        of_rows = {flag: self._flagged(response, flag, rows) for flag in flags}
        ruled = FALLBACK in flags
        found = []
        for number, label in enumerate(labels):
            of_row = tuple(each for each in flags if number in of_rows[each])
            scores = tuple(flat[number * width : (number + 1) * width])
            outcome: Outcome = "fallback" if ruled else "answered"
            found.append(Scored(outcome=outcome, label=label, probabilities=scores, flags=of_row))
        return found

    def _lacking(self, rows: NDArray[np.float64]) -> str:
        """Say which inputs of one row hold no number, by their names in the table; "" where all do."""
        names = [name for name, value in zip(self.inputs, rows[0].tolist(), strict=True) if not math.isfinite(value)]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        return f"no number in {', '.join(map(repr, names[:NAMED]))}{more}" if names else ""

    def _flagged(self, response: HttpResponse, flag: str, rows: NDArray[np.float64]) -> Collection[int]:
        """Return which rows of a call a flag of its answer is about."""
        named = response.header(places.ROWS_OF[flag].encode()) if flag in places.ROWS_OF else None
        if named is not None:
            return places.read(named.decode(), len(rows))
        if flag == OUT_OF_RANGE and len(rows) > 1:
            return frozenset(np.flatnonzero(self._outside(rows)).tolist())
        return range(len(rows))

    def _outside(self, rows: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which rows hold a value outside its declared range, as the guard compares them: in float32."""
        known = {each.name: each for each in self.signature.inputs}
        fields = [known[name] for name in self.inputs]
        low = np.array([-np.inf if each.minimum is None else each.minimum for each in fields])
        high = np.array([np.inf if each.maximum is None else each.maximum for each in fields])
        values = rows.astype(np.float32)
        inside = (values >= low.astype(np.float32)) & (values <= high.astype(np.float32))
        return np.asarray(~inside.all(axis=1))


def signed(key: str, path: str, body: bytes, *, correlation: str, clock: Clock, host: str = "") -> HttpRequest:
    """Return a call as a client makes it that holds a key: signed, so that guards which ask for that let it pass."""
    now, nonce = str(math.floor(clock.now().timestamp())), secrets.token_urlsafe(18)
    headers = {
        "x-api-key": key,
        "x-correlation-id": correlation,
        TIMESTAMP: now,
        NONCE: nonce,
        SIGNATURE: request_signature(key, method="POST", path=path, body=body, timestamp=now, nonce=nonce),
    }
    headers |= {"host": host} if host else {}
    pairs = tuple((name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items())
    return HttpRequest(method="POST", path=path, headers=pairs, body=body, peer=PEER)


def _characters(texts: Texts, row: int) -> int:
    return sum(len(each[row]) for each in texts.values())


def _part(texts: Texts, start: int, end: int) -> Texts:
    return {name: each[start:end] for name, each in texts.items()}


def code_of(response: HttpResponse) -> str:
    """Return the code of a refusal; "" of an answer."""
    return (response.header(b"x-holdfast-code") or b"").decode()


def words_of(response: HttpResponse) -> str:
    """Return the words of a refusal, as a caller reads them."""
    try:
        return str(msgspec.json.decode(response.body)["error"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return f"status {response.status}"


def fastest(
    run: Callable[[int, int], float], *, most_rows: int, threads: Sequence[int]
) -> tuple[int, int, dict[str, float]]:
    """Return the rows of a call and the threads with which a model is fastest, and all that was measured.

    Args:
        run: Measures rows a second, given rows of a call and threads.
        most_rows: Rows that the guards let into one call.
        threads: Numbers of threads to try, the smallest first.

    Within 5 % of the fastest the fewer threads win, then the more rows of a call: what costs others least.

    >>> fastest(lambda rows, threads: rows / (1 + threads), most_rows=64, threads=(1, 2))[:2]
    (64, 1)
    """
    sizes = sorted({size for size in (16, 64, 256, 1024) if size < most_rows} | {most_rows})
    measured = {(size, count): run(size, count) for count in threads for size in sizes}
    limit = 0.95 * max(measured.values())
    size, count = min(
        (each for each, speed in measured.items() if speed >= limit), key=lambda each: (each[1], -each[0])
    )
    return size, count, {f"{rows} x {of}": round(speed, 1) for (rows, of), speed in measured.items()}
