"""The door: one thin ASGI application in front of everything; only what is unambiguous and known gets in.

In this order: 1. an id for the request. 2. its head, which must be readable in one way only. 3. public routes. 4.
who asks; before this nobody learns which routes there are. 5. how often. 6. how many at once. 7. the content. What
comes out gets the headers that keep browsers and caches from doing more with it than they should.
"""

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from holdfast.core.access import Presented
from holdfast.core.errors import HoldfastError, InvalidRequest, NoSuchMethod, TooLarge, Unauthenticated, Unavailable
from holdfast.core.ports import Answered
from holdfast.faces.http import strict
from holdfast.faces.http.allowance import Allowance
from holdfast.faces.http.desk import JSON, Asked, Desk, request_of
from holdfast.faces.http.offers import PREFIX, PUBLIC, Offer
from holdfast.faces.http.problems import DEFECT, problem

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_S: Final = 15.0  # for the content to arrive
LONGEST: Final = 2  # times the time for an answer that a request may be in the house
_CORRELATION: Final = re.compile(r"[A-Za-z0-9-]{8,64}")
_KEY: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_RESOLVE: Final = f"{PREFIX}/resolve/"
_SAFE: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the server asks of its callers; see `docs/reference/api.md`."""

    hosts: frozenset[str]
    tls: bool = False
    rate_per_s: float = 50.0  # of one principal
    burst: float = 200.0
    resolve_rate_per_s: float = 5000.0  # of one principal, for what costs next to nothing
    failures_per_s: float = 5.0  # of one address that presents nothing valid
    failure_burst: float = 100.0
    at_once: int = 64  # requests in the house
    timeout_s: float = 60.0  # for an answer; what has begun goes on, and its answer is kept for its idempotency key


class Door:
    """Lets in what may come in."""

    def __init__(
        self,
        inside: Application,
        desk: Desk,
        terms: Terms,
        *,
        resolving: Offer,
        pool: ThreadPoolExecutor,
        gate: ThreadPoolExecutor,
        monotonic: Callable[[], float],
    ) -> None:
        """Stand in front of an application."""
        self._inside, self._desk, self._terms, self._pool = inside, desk, terms, pool
        self._resolving, self._gate = resolving, gate  # slow commands must keep nobody from being recognised
        self._calls = Allowance(rate_per_s=terms.rate_per_s, burst=terms.burst, monotonic=monotonic)
        quick = terms.resolve_rate_per_s
        self._resolves = Allowance(rate_per_s=quick, burst=quick, monotonic=monotonic)
        failing = terms.failures_per_s
        self._failures = Allowance(rate_per_s=failing, burst=terms.failure_burst, monotonic=monotonic)
        self._quota = Allowance(rate_per_s=0, burst=0, monotonic=monotonic)  # of the whole workspace
        self._in_house = 0
        self._safe = (*_SAFE, *(((b"strict-transport-security", b"max-age=31536000"),) if terms.tls else ()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # no websockets, no lifespan
            return
        correlation = os.urandom(16).hex()  # 1.
        begun = False

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                own = (b"x-correlation-id", correlation.encode())
                message["headers"] = [*message.get("headers", ()), *self._safe, own]
            await send(message)

        try:
            head = strict.check_head(  # 2.
                raw_path=scope["raw_path"],
                query=scope["query_string"],
                headers=scope["headers"],
                hosts=self._terms.hosts,
            )
            if _CORRELATION.fullmatch(named := head.get("x-correlation-id")):
                correlation = named
            async with asyncio.timeout(LONGEST * self._terms.timeout_s + BODY_S):  # also for a caller who reads slowly
                await self._enter(scope, receive, sending, head, correlation)
        except HoldfastError as error:
            await respond(sending, problem(error, correlation), close=True)
        except TimeoutError:
            if begun:
                raise
            await respond(sending, problem(Unavailable("it took too long"), correlation), close=True)
        except Exception:  # the last frame: whatever it was, it is no news for a caller
            if begun:
                raise
            await respond(sending, problem(HoldfastError(DEFECT), correlation), close=True)

    async def _enter(self, scope: Scope, receive: Receive, send: Send, head: strict.Head, correlation: str) -> None:
        if head.path in PUBLIC:  # 3.
            await respond(send, await self._public(scope["method"], head.path))
            return
        client = scope.get("client")
        peer = str(client[0]) if client else ""
        presented = Presented(
            authorization=head.get("authorization"),
            peer=peer,
            nonce=head.get("x-nonce"),
            certificate=scope.get("extensions", {}).get("holdfast.tls", {}).get("certificate", b""),
        )
        if head.path.startswith(_RESOLVE) and await self._resolved(scope, send, head, presented):
            return
        if not self._desk.knows(presented):  # a flood of guesses from behind one proxy stops nobody who is known
            self._failures.check(peer)  # 4.
        try:
            principal = await self._in_thread(self._desk.authenticated, presented, pool=self._gate)
        except Unauthenticated:
            self._failures.spend(peer)
            raise
        self._calls.spend(principal.name)  # 5.
        await self._spend_quota()
        if self._in_house >= self._terms.at_once:  # 6.
            raise Unavailable("the server is busy", remedy="Ask again in a moment.")
        self._in_house += 1
        try:
            content = await self._content(scope, receive, head)  # 7.
            key = head.get("idempotency-key")
            if key and not _KEY.fullmatch(key):
                raise InvalidRequest("the idempotency key cannot be one", expected="1 to 128 of A-Z a-z 0-9 . _ : -")
            target = f"{head.path}?{scope['query_string'].decode('ascii', 'replace')}"
            asked = Asked(
                principal=principal,
                correlation=correlation,
                key=key,
                request=request_of(scope["method"], target, content),
            )
            # `raw_path` and `path` are one and the same from here on.
            inner = {**scope, "path": head.path, "state": {"asked": asked, "run": self._in_thread}}
            await self._inside(inner, _replaying(content, receive), send)
        finally:
            self._in_house -= 1

    async def _spend_quota(self) -> None:
        """Count one request against what the workspace may have answered.

        Raises:
            TooMany: It has had as many in this second as its quota allows.
        """
        rate = self._desk.known_rate()
        if rate is None:
            rate = await self._in_thread(self._desk.rate, pool=self._gate)
        if rate:
            self._quota.set_rate(rate)
            self._quota.spend("workspace")

    async def _in_thread(
        self, work: Callable[..., Any], *arguments: Any, pool: ThreadPoolExecutor | None = None
    ) -> Any:
        """Do something in a thread and wait for it as long as a request may take.

        Raises:
            Unavailable: It takes longer; it is not stopped.
        """
        going_on = asyncio.get_running_loop().run_in_executor(pool or self._pool, work, *arguments)
        try:
            return await asyncio.wait_for(asyncio.shield(going_on), self._terms.timeout_s)
        except TimeoutError as error:
            going_on.add_done_callback(lambda done: done.exception())  # nobody else asks how it ended
            words = f"there was no answer within {self._terms.timeout_s:g} s; what has begun goes on"
            raise Unavailable(words, remedy="Ask again with the same idempotency key.") from error

    async def _public(self, method: str, path: str) -> Answered:
        if method != "GET":
            raise NoSuchMethod("this route answers GET")
        if path == "/readyz" and (
            not await self._in_thread(self._desk.plant.ledger.size, pool=self._gate) or self._desk.known.state() is None
        ):
            raise Unavailable("not ready")
        return Answered(status=200, headers=JSON, body=json.dumps({"status": "ok"}).encode())

    async def _resolved(self, scope: Scope, send: Send, head: strict.Head, presented: Presented) -> bool:
        """Answer `GET /v1/resolve/{alias}` without the framework, by what was found out in this second, if it was."""
        length = head.get("content-length") or "0"
        if scope["method"] != "GET" or scope["query_string"] or presented.nonce or length != "0":
            return False
        key = (presented.authorization, presented.certificate, head.path)
        known = self._desk.known.recall(key)
        if known is not None:
            answer, name, ends = known
            if self._desk.plant.clock.now() < ends:
                self._resolves.spend(name)
                await self._spend_quota()
                await respond(send, answer)
                return True
        if not self._desk.knows(presented):
            self._failures.check(presented.peer)
        state = self._desk.known.state()
        try:
            principal = await self._in_thread(self._desk.authenticated, presented, pool=self._gate)
        except Unauthenticated:
            self._failures.spend(presented.peer)
            raise
        self._resolves.spend(principal.name)
        await self._spend_quota()
        self._calls.check(principal.name)  # a refusal goes on record: as many as there are of any other call
        asked = Asked(principal=principal, correlation=os.urandom(16).hex())
        alias = unquote(head.path.removeprefix(_RESOLVE))
        answer = await self._in_thread(self._desk.call, self._resolving, {"alias": alias}, asked)
        if answer.status == 200:  # noqa: PLR2004 - RFC 9110, 15.3.1
            ends = datetime.fromisoformat(json.loads(answer.body)["expires"])
            self._desk.known.keep(key, (answer, principal.name, ends), state)
        else:
            self._calls.spend(principal.name)
        await respond(send, answer)
        return True

    async def _content(self, scope: Scope, receive: Receive, head: strict.Head) -> bytes:
        """Return a request's content, which is a JSON object or nothing.

        Raises:
            InvalidRequest: It is something else, or arrives too slowly.
            TooLarge: It is longer than `strict.MAX_BODY`.
        """
        says = head.get("content-length") or "0"
        if not says.isdigit() or int(says) > strict.MAX_BODY:
            raise TooLarge("the content is too long", expected=f"at most {strict.MAX_BODY} bytes")
        try:
            content = await asyncio.wait_for(_read(receive), BODY_S)
        except TimeoutError as error:
            raise InvalidRequest("the content arrives too slowly", expected=f"all of it within {BODY_S:g} s") from error
        if not content:
            return content
        if scope["method"] != "POST":
            raise InvalidRequest("content where none is taken")
        strict.check_content_type(head)
        strict.parse(content)
        return content


async def _read(receive: Receive) -> bytes:
    found, length = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the caller has gone")
        found.append(message.get("body", b""))
        length += len(found[-1])
        if length > strict.MAX_BODY:
            raise TooLarge("the content is too long", expected=f"at most {strict.MAX_BODY} bytes")
        if not message.get("more_body", False):
            return b"".join(found)


def _replaying(content: bytes, receive: Receive) -> Receive:
    """Return a `receive` that hands over content which was read already."""
    given = False

    async def replay() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": content, "more_body": False}

    return replay


async def respond(send: Send, answer: Answered, *, close: bool = False) -> None:
    """Send an answer; `close` where content may still be on its way that nobody will read."""
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
