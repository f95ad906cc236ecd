"""`holdfast loadtest`: good calls and attacks together against one gateway, and what it promised held against it."""

import asyncio
import json
import math
import random
import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from holdfast.adapters import load
from holdfast.adapters.durable import read_private
from holdfast.adapters.published import read_bounded
from holdfast.core.errors import InvalidInput, NotFound, Refused
from holdfast.core.exposure import check_secure
from holdfast.core.signed_request import NONCE, SIGNATURE, TIMESTAMP, request_signature
from holdfast.lifecycle.reply import Progress, Reply, Table
from holdfast.rollout import load_texts
from holdfast.rollout.load import (
    FAR,
    GOOD,
    OVERSIZED,
    PATTERNS,
    REPLAY,
    Due,
    Outcome,
    Pattern,
    Report,
    Slo,
    report,
    rows_body,
    schedule,
)

MAX_KEY: Final = 4096  # bytes
MAX_TEXTS: Final = 16 << 20  # bytes of the file of good texts, or of entities
MAX_ENTITY: Final = 512  # characters, as gateways take them
MOST_RATE: Final = 20_000.0  # calls a second; one process of Python makes fewer
LONGEST_S: Final = 3600.0
NOBODY: Final = f"hf_{secrets.token_urlsafe(32)}"  # a key that nobody issued


_BY_TEXTS: Final = frozenset(
    each.name for each in (*load_texts.TEXT_PATTERNS, load_texts.INJECTION, load_texts.NO_ENTITY)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What the operator names of good calls, a line each, and whether orders to the model are sent in texts."""

    texts: str = ""
    entities: str = ""
    injections: bool = False


NOTHING: Final = Named()


class Traffic:
    """Good calls and attacks for one model."""

    def __init__(
        self,
        sender: load.Sender,
        netloc: str,
        model: str,
        key: str,
        *,
        sign: bool,
        seed: int,
        named: Named = NOTHING,
    ) -> None:
        self.sender, self.netloc, self.model, self.key, self.sign = sender, netloc, model, key, sign
        self.rng = random.Random(seed)  # noqa: S311 - traffic, no secrets
        self.features: list[dict[str, Any]] = []
        self.takes: list[dict[str, Any]] = []  # the texts that the model reads
        self.named = named
        self.entity = ""  # what names the entity of a call, where calls name one
        self.who: tuple[str, ...] = ()
        self.corpus: tuple[str, ...] = ()
        self.patterns: tuple[Pattern, ...] = (*PATTERNS, REPLAY) if sign else PATTERNS

    @property
    def path(self) -> str:
        """Where the model is asked."""
        return f"/v2/models/{self.model}/infer"

    async def learn(self) -> None:
        """Ask what the model takes."""
        raw = load.request(self.netloc, f"/v2/models/{self.model}", (("x-api-key", self.key),), None, "GET")
        said = await self.sender.send(raw, due_s=time.perf_counter())
        if said.status in {load.NOTHING, load.LATE}:
            raise load.unreachable(self.netloc)
        if said.status in {401, 403}:
            raise Refused(f"the key may not look at {self.model[:64]}", place=said.code, remedy="Give another key.")
        if said.status != 200:  # noqa: PLR2004
            raise NotFound(f"no model {self.model[:64]!r} answers ({said.status} {said.code})", place=self.netloc)
        told = json.loads(said.body)["parameters"]
        self.features, self.takes = told["features"], told.get("texts", [])
        if self.named.entities:
            self._learn_entities(told.get("entities", []))
        if self.takes:
            self._learn_texts()
        elif self.named.texts or self.named.injections:
            raise InvalidInput("the model reads no texts", place=self.model, remedy="Leave out what is said of texts.")
        if not any(each.get(bound) is not None for each in self.features for bound in ("minimum", "maximum")):
            self.patterns = tuple(each for each in self.patterns if each.name != FAR)  # nothing is out of no range

    def _learn_entities(self, named: list[str]) -> None:
        """Leave out what can be looked up by the entity that each call names."""
        if len(named) != 1:
            words = f"the model looks features up by {len(named)} columns of entities"
            raise InvalidInput(words, place=self.model, expected="one, of which the file holds names")
        self.entity, self.who = f"entity.{named[0]}", load_texts.corpus(self.named.entities, MAX_ENTITY)
        self.features = [each for each in self.features if "online" not in each]
        without = load_texts.NUMBERLESS if not self.features else frozenset()
        self.patterns = (*(each for each in self.patterns if each.name not in without), load_texts.NO_ENTITY)

    def _learn_texts(self) -> None:
        most = min(int(each["most_characters"]) for each in self.takes)
        self.corpus = load_texts.corpus(self.named.texts or "\n".join(load_texts.PLAIN), most)
        without = load_texts.NUMBERLESS if not self.features else frozenset()
        more = (load_texts.INJECTION,) if self.named.injections else ()
        mine = tuple(each for each in self.patterns if each.name not in without)
        self.patterns = (*mine, *load_texts.TEXT_PATTERNS, *more)

    def body(self, *, far: bool = False, kind: str = GOOD) -> bytes:
        """Return the body of a good call, of one far outside of every range, or of an attack by texts or entities."""
        if not self.takes and not self.who:
            return rows_body(self.features, self.rng, far=far)
        good = {str(each["name"]): self.rng.choice(self.corpus) for each in self.takes}
        if self.who:
            good[self.entity] = "" if kind == load_texts.NO_ENTITY.name else self.rng.choice(self.who)
        if kind not in {GOOD, load_texts.NO_ENTITY.name}:
            return load_texts.attack(kind, self.features, self.takes, good, self.rng)
        return load_texts.body(load_texts.columns(self.features, good, self.rng, far=far))

    def call(
        self, body: bytes, *, key: str | None = None, path: str = "", more: tuple[tuple[str, str], ...] = ()
    ) -> bytes:
        """Return a call as a client would make it."""
        key = self.key if key is None else key
        path = path or self.path
        headers = [("x-api-key", key)] if key else []
        if self.sign and key:
            now, once = str(int(time.time())), secrets.token_urlsafe(18)
            signed = request_signature(key, method="POST", path=path, body=body, timestamp=now, nonce=once)
            headers += [(TIMESTAMP, now), (NONCE, once), (SIGNATURE, signed)]
        return load.request(self.netloc, path, (*headers, *more), body)

    def raw(self, kind: str) -> bytes:
        """Return the bytes of one call of a kind."""
        good = self.body()
        width = len(self.features)
        tensor = {"name": "input", "shape": [1, width], "datatype": "FP64", "data": [0.0] * (width + 1)}
        made: dict[str, Callable[[], bytes]] = {
            "no-key": lambda: self.call(good, key=""),
            "bad-key": lambda: self.call(good, key=NOBODY),
            "other-model": lambda: self.call(good, path="/v2/models/no-such-model-of-mine/infer"),
            "malformed": lambda: self.call(good[: len(good) // 2]),
            "nested": lambda: self.call(b"[" * 10_000 + b"]" * 10_000),
            "wrong-shape": lambda: self.call(json.dumps({"inputs": [tensor]}).encode()),
            FAR: lambda: self.call(self.body(far=True)),
            "no-number": lambda: self.call(good.replace(b'"data": [', b'"data": [NaN, ', 1)),
            "oversized": lambda: self.call(b" " * OVERSIZED),
            "two-keys": lambda: self.call(good, more=(("x-api-key", NOBODY),)),
            "no-http": lambda: b"\x16\x03\x01 who are you?\r\n\r\n",
            "half-open": lambda: self.call(good)[:60],
        }
        if kind in _BY_TEXTS:
            return self.call(self.body(kind=kind))
        return made.get(kind, lambda: self.call(good))()

    async def one(self, due: Due, due_s: float) -> Outcome:
        """Make one call when it is due."""
        raw, plain = self.raw(due.kind), due.kind in {GOOD, "burst", "replay"}
        said = await self.sender.send(raw, due_s=due_s, keep=plain, hold=due.kind == "half-open")
        if due.kind == "replay":
            said = await self.sender.send(raw, due_s=due_s)
        return Outcome(
            kind=due.kind,
            status=said.status,
            code=said.code,
            latency_s=said.ended_s - said.due_s,
            service_s=said.ended_s - said.sent_s,
        )

    async def run(self, *, rate: float, seconds: float, attack_share: float, slo: Slo) -> Report:
        """Play the schedule, and report."""
        try:
            return await self._run(rate=rate, seconds=seconds, attack_share=attack_share, slo=slo)
        finally:
            await self.sender.close()

    async def _run(self, *, rate: float, seconds: float, attack_share: float, slo: Slo) -> Report:
        await self.learn()
        planned = schedule(self.rng, rate=rate, seconds=seconds, attack_share=attack_share, patterns=self.patterns)

        def make(due: Due) -> Callable[[float], Any]:
            return lambda due_s: self.one(due, due_s)

        outcomes = await load.play([(each.at_s, make(each)) for each in planned])
        return report(outcomes, slo, seconds, self.patterns)


def loadtest(  # noqa: PLR0913 - one argument for each option of the command
    *,
    tell: Callable[[Progress], None],
    url: str,
    model: str,
    key_file: Path,
    rate: float = 20.0,
    seconds: float = 10.0,
    attack_share: float = 0.2,
    p99_ms: float = 200.0,
    goodput: float = 0.99,
    seed: int = 0,
    signed: bool = False,
    texts: Path | None = None,
    injections: bool = False,
    entities: Path | None = None,
    ca: Path | None = None,
) -> Reply:
    """Mix good calls with attacks, and say whether the objective holds; exit code 1 where it does not.

    Args:
        tell: Told how it goes.
        url: Address of the gateway: only ever this one is asked.
        model: Name of the model; its metadata say what good rows are.
        key_file: A file with an API key that may call it: who has none is not to test it.
        rate: Calls a second, on average; they come by chance, not in step.
        seconds: For how long.
        attack_share: Share of the calls that are attacks.
        p99_ms: The objective: milliseconds that 99 % of good calls do not exceed, from when they were due.
        goodput: And the share of good calls that are answered.
        seed: Of the schedule.
        signed: The route table demands signatures: sign every call, and replay some.
        texts: Good texts for a model that reads some, UTF-8, one a line; a few plain sentences if left out.
        injections: The route table refuses orders to the model in texts: send some.
        entities: Entities that are in the online store, UTF-8, one a line: each call names one of them, and leaves out
            what can be looked up by it. Whole rows are sent if left out.
        ca: Authority of the gateway's certificate, PEM.

    Raises:
        InvalidInput: An address in clear on a network, numbers that mean nothing, or texts or entities that the model
            does not take.
        Refused: The key may not call the model.
        Unavailable: The gateway does not answer.
    """
    check_secure(url, "a gateway")
    if not (0 < rate <= MOST_RATE and 0 < seconds <= LONGEST_S and 0 <= attack_share < 1 and 0 < goodput <= 1):
        expected = f"rate up to {MOST_RATE:g} a second, seconds up to {LONGEST_S:g}, shares from 0 to 1"
        raise InvalidInput("a load that means nothing", expected=expected)
    key = read_private(key_file, what="the file with the API key", limit=MAX_KEY).decode("ascii", "replace").strip()
    parts = urlsplit(url)
    tls = ssl.create_default_context(cafile=str(ca) if ca else None) if parts.scheme == "https" else None
    sender = load.Sender(host=parts.hostname or "", port=parts.port or (443 if tls else 80), tls=tls)
    tell(Progress(stage="loadtest", state="started", words=f"{rate:g} calls a second for {seconds:g} s"))
    named = Named(
        texts=_lines(texts, "good texts") if texts is not None else "",
        entities=_lines(entities, "entities") if entities is not None else "",
        injections=injections,
    )
    test = Traffic(sender, parts.netloc, model, key, sign=signed, seed=seed, named=named)
    slo = Slo(p99_ms=p99_ms, goodput=goodput)
    found = asyncio.run(test.run(rate=rate, seconds=seconds, attack_share=attack_share, slo=slo))
    return _reply(found)


def _lines(path: Path, what: str) -> str:
    try:
        return read_bounded(path, MAX_TEXTS, f"the file of {what}").decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the file of {what} is no UTF-8", place=str(path)) from error


def _reply(found: Report) -> Reply:
    attacks = sum(each["calls"] for each in found.attacks.values())
    says = f"{found.answered} of {found.good} good calls were answered beside {attacks} attacks"
    says += f": {'; '.join(found.breaches)}." if found.breaches else ": the objective holds."
    document = {
        "good": found.good,
        "answered": found.answered,
        "goodput_per_s": round(found.answered / found.seconds, 3),
        "latency_ms": {name: value if value != float("inf") else None for name, value in found.latency_ms.items()},
        "service_ms": found.service_ms,
        "refused_good": found.refused_good,
        "attacks": found.attacks,
        "unexpected": found.unexpected,
        "breaches": list(found.breaches),
    }
    rows = [(name, str(each["calls"]), str(each["unexpected"])) for name, each in found.attacks.items()]
    latency = [
        (name, f"{value:g} ms" if math.isfinite(value) else "not answered") for name, value in found.latency_ms.items()
    ]
    tables = (
        Table(title="Latency of good calls, from when they were due", columns=("", "at most"), rows=latency),
        Table(title="Attacks", columns=("kind", "calls", "got what they must not"), rows=rows),
    )
    return Reply(says=says, document=document, tables=tables, exit_code=1 if found.breaches else 0)
