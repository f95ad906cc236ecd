"""A caller of a gateway for programs that do other things meanwhile: several calls at once, over a few connections."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from holdfast.client.calling import TIMEOUT_S
from holdfast.client.messages import (
    NO_ATTRIBUTES,
    READY,
    Asked,
    Credential,
    Prediction,
    Received,
    Rows,
    attempt_headers,
    error_of,
    inference,
    metadata,
    on_behalf_of,
    prediction,
    unreachable,
)
from holdfast.client.retries import OK, PATIENCE_S, RETRIES, Attempts, Patience, RetryBudget
from holdfast.client.streams import MAX_LINE, Broken, Connection, request_head
from holdfast.core.errors import InvalidInput, Unavailable
from holdfast.core.exposure import check_secure

CONNECTIONS: Final = 16  # open at once; more calls wait for one of them


class AsyncClient:
    """A caller of one gateway whose calls may overlap; use it within one event loop."""

    def __init__(  # noqa: PLR0913 - each is one thing that a caller may choose
        self,
        url: str,
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
        check_secure(url, "a gateway")
        if connections < 1:
            raise InvalidInput(f"{connections} connections", expected="at least 1")
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port or (443 if secure else 80)
        self._name, self._prefix = parts.netloc.rpartition("@")[2], parts.path.rstrip("/")
        self._context = (context or ssl.create_default_context()) if secure else None
        self._timeout_s, self._sign, self._as_bytes, self._api_key, self._sleep = (
            timeout_s,
            sign,
            as_bytes,
            api_key,
            sleep,
        )
        self._patience = Patience(retries=retries, patience_s=patience_s, budget=budget or RetryBudget())
        self._free, self._idle = asyncio.Semaphore(connections), list[Connection]()

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
        while self._idle:
            await self._idle.pop().aclose()

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

    async def metadata(self, model: str) -> dict[str, Any]:
        """Return what a model takes and gives; as `Client.metadata`.

        Raises:
            HoldfastError: As `Client.infer` does.
        """
        return (await self._call(metadata(model))).document()

    async def ready(self) -> bool:
        """Say whether the gateway answers now."""
        try:
            return (await self._attempt(READY, signed=False)).status == OK
        except Unavailable:
            return False

    async def _call(self, asked: Asked) -> Received:
        """Call until there is an answer, a refusal that waiting does not change, or no patience left."""
        attempts = Attempts(self._patience)
        while True:
            received = await self._attempt(asked)
            pause_s = attempts.pause_s(received)
            if received.status == OK:
                return received
            if pause_s is None:
                raise error_of(received)
            await self._sleep(pause_s)

    async def _attempt(self, asked: Asked, *, signed: bool = True) -> Received:
        """Make one attempt, on a new connection if the gateway has closed the old one meanwhile."""
        async with self._free:
            while self._idle:
                kept = self._idle.pop()
                try:
                    return await self._ask(kept, asked, signed=signed)
                except (OSError, Broken) as error:
                    if isinstance(error, TimeoutError):
                        raise unreachable(error, self._name) from error
                    # It idled too long: predictions change nothing, so asking twice is no harm.
            try:
                return await self._ask(await self._connected(), asked, signed=signed)
            except (OSError, Broken) as error:
                raise unreachable(error, self._name) from error

    async def _connected(self) -> Connection:
        name = self._host if self._context is not None else None
        async with asyncio.timeout(self._timeout_s):
            reader, writer = await asyncio.open_connection(
                self._host, self._port, ssl=self._context, server_hostname=name, limit=MAX_LINE
            )
        return Connection(reader, writer)

    async def _ask(self, connection: Connection, asked: Asked, *, signed: bool) -> Received:
        headers = attempt_headers(asked, self._api_key if signed else None, sign=self._sign)
        body = asked.body or b""
        head = request_head(asked.method, self._prefix + asked.path, self._name, headers, len(body))
        try:
            async with asyncio.timeout(self._timeout_s):
                return await connection.ask(head, body)
        finally:
            if connection.reusable:
                self._idle.append(connection)
            else:
                connection.close()
