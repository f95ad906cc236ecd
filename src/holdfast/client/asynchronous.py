"""A caller of a gateway for programs that do other things meanwhile: several calls at once, over a few connections."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from holdfast.client.addresses import PROBE_S, Spread, is_final, listed
from holdfast.client.calling import TIMEOUT_S
from holdfast.client.messages import (
    NO_ATTRIBUTES,
    READY,
    Asked,
    Columns,
    Credential,
    Prediction,
    Received,
    Rows,
    attempt_headers,
    error_of,
    inference,
    metadata,
    of_columns,
    on_behalf_of,
    prediction,
    too_long,
    unreachable,
)
from holdfast.client.retries import OK, PATIENCE_S, RETRIES, Attempts, Patience, RetryBudget, budget_for
from holdfast.client.streams import MAX_LINE, Broken, Connection, request_head
from holdfast.core.errors import InvalidInput, Unavailable
from holdfast.core.exposure import check_secure

CONNECTIONS: Final = 16  # open at once; more calls wait for one of them


@dataclass(slots=True)
class _Line:
    """The way to one gateway, and the connections to it that idle."""

    host: str
    port: int
    name: str
    prefix: str
    context: ssl.SSLContext | None
    idle: list[Connection] = field(default_factory=list)

    @classmethod
    def to(cls, url: str, context: ssl.SSLContext | None) -> "_Line":
        check_secure(url, "a gateway")
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        return cls(
            host=parts.hostname or "",
            port=parts.port or (443 if secure else 80),
            name=parts.netloc.rpartition("@")[2],
            prefix=parts.path.rstrip("/"),
            context=(context or ssl.create_default_context()) if secure else None,
        )


class AsyncClient:
    """A caller of one gateway or several, whose calls may overlap; use it within one event loop."""

    def __init__(  # noqa: PLR0913 - each is one thing that a caller may choose
        self,
        url: str | Sequence[str],
        api_key: Credential,
        *,
        context: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        patience_s: float = PATIENCE_S,
        budget: RetryBudget | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        sign: bool = True,
        as_bytes: bool | None = None,
        connections: int = CONNECTIONS,
    ) -> None:
        """Remember where to call and as whom; nothing is sent yet.

        Args:
            url: As for `Client`, like all but the last.
            api_key: The same.
            context: The same.
            timeout_s: The same.
            retries: The same.
            patience_s: The same.
            budget: The same.
            sleep: Waits.
            sign: The same.
            as_bytes: The same.
            connections: Open at once.

        Raises:
            InvalidInput: The URL is neither `https://` with a host nor `http://` on this machine, or there is to be no
                connection.
        """
        self._lines = [_Line.to(each, context) for each in listed(url)]
        if connections < 1:
            raise InvalidInput(f"{connections} connections", expected="at least 1")
        self._timeout_s, self._sign, self._as_bytes, self._api_key, self._sleep = (
            timeout_s,
            sign,
            as_bytes,
            api_key,
            sleep,
        )
        budget = budget or budget_for(len(self._lines), connections)
        self._patience = Patience(retries=retries, patience_s=patience_s, budget=budget)
        self._free, self._spread = asyncio.Semaphore(connections), Spread(len(self._lines))
        self._probes: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections that idle; calls under way end with their own."""
        for probe in list(self._probes):
            probe.cancel()
        for line in self._lines:
            while line.idle:
                await line.idle.pop().aclose()

    async def infer(
        self,
        model: str,
        rows: Rows,
        *,
        correlation: str = "",
        unit: str = "",
        attributes: Mapping[str, str] = NO_ATTRIBUTES,
    ) -> Prediction:
        """Return what a model says about rows, on behalf of a unit; as `Client.infer`.

        Raises:
            HoldfastError: As `Client.infer` does.
        """
        whom = on_behalf_of(unit, attributes)
        asked = inference(model, rows, correlation=correlation, as_bytes=self._as_bytes, whom=whom)
        return prediction(await self._call(asked))

    async def infer_columns(
        self,
        model: str,
        columns: Columns,
        *,
        correlation: str = "",
        unit: str = "",
        attributes: Mapping[str, str] = NO_ATTRIBUTES,
    ) -> Prediction:
        """Return what a model says about rows given by name: numbers, and texts where it takes such.

        Args:
            model: Its name.
            columns: n values of each input that `metadata` tells.
            correlation: As of `infer`, and so are the others.
            unit: The same.
            attributes: The same.

        Raises:
            HoldfastError: As `Client.infer` does.
        """
        whom = on_behalf_of(unit, attributes)
        asked = of_columns(model, columns, correlation=correlation, whom=whom)
        return prediction(await self._call(asked))

    async def metadata(self, model: str) -> dict[str, Any]:
        """Return what a model takes and gives; as `Client.metadata`.

        Raises:
            HoldfastError: As `Client.infer` does.
        """
        return (await self._call(metadata(model))).document()

    async def ready(self) -> bool:
        """Say whether the gateway answers now; of several, whether one does."""
        for line in self._lines:
            if await self._is_ready(line):
                return True
        return False

    async def _is_ready(self, line: _Line) -> bool:
        try:
            return (await self._attempt(line, READY, signed=False)).status == OK
        except Unavailable:
            return False

    async def _call(self, asked: Asked) -> Received:
        """Call until there is an answer, a refusal that waiting does not change, or no patience left."""
        attempts, tried = Attempts(self._patience), list[int]()
        self._probe()
        while True:
            which = self._spread.pick(tried)
            tried.append(which)
            received, lost = None, None
            try:
                received = await self._attempt(self._lines[which], asked)
            except Unavailable as error:
                lost = error
            self._spread.note(which, received)
            elsewhere = self._spread.elsewhere(tried)
            if lost is not None and is_final(lost, elsewhere=elsewhere):
                raise lost
            pause_s = attempts.pause_s(received, elsewhere=elsewhere)
            if received is not None and received.status == OK:
                return received
            if pause_s is None:
                raise error_of(received) if received is not None else lost or too_long()
            if pause_s:
                await self._sleep(pause_s)

    def _probe(self) -> None:
        """Let an address that is out be asked whether it is ready, where one is due; no call waits for that."""
        which = self._spread.due()
        if which is None:
            return

        async def ask() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(PROBE_S):
                    self._spread.probed(which, ready=await self._is_ready(self._lines[which]))

        probe = asyncio.get_running_loop().create_task(ask())
        self._probes.add(probe)
        probe.add_done_callback(self._probes.discard)

    async def _attempt(self, line: _Line, asked: Asked, *, signed: bool = True) -> Received:
        """Make one attempt, on a new connection if the gateway has closed the old one meanwhile."""
        async with self._free:
            while line.idle:
                kept = line.idle.pop()
                try:
                    return await self._ask(line, kept, asked, signed=signed)
                except (OSError, Broken) as error:
                    if isinstance(error, TimeoutError):
                        raise unreachable(error, line.name) from error
                    # It idled too long: predictions change nothing, so asking twice is no harm.
            try:
                return await self._ask(line, await self._connected(line), asked, signed=signed)
            except (OSError, Broken) as error:
                raise unreachable(error, line.name) from error

    async def _connected(self, line: _Line) -> Connection:
        name = line.host if line.context is not None else None
        async with asyncio.timeout(self._timeout_s):
            reader, writer = await asyncio.open_connection(
                line.host, line.port, ssl=line.context, server_hostname=name, limit=MAX_LINE
            )
        return Connection(reader, writer)

    async def _ask(self, line: _Line, connection: Connection, asked: Asked, *, signed: bool) -> Received:
        headers = attempt_headers(asked, self._api_key if signed else None, sign=self._sign)
        body = asked.body or b""
        head = request_head(asked.method, line.prefix + asked.path, line.name, headers, len(body))
        try:
            async with asyncio.timeout(self._timeout_s):
                return await connection.ask(head, body)
        finally:
            if connection.reusable:
                line.idle.append(connection)
            else:
                connection.close()
