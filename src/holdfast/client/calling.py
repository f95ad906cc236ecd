"""A caller of a gateway, or of several that are the same, that waits for each answer; its connections are kept open."""

import http.client
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from holdfast.client.addresses import PROBE_S, Spread, is_final, listed
from holdfast.client.messages import (
    MAX_ANSWER,
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
from holdfast.core.errors import Unavailable
from holdfast.core.exposure import check_secure

TIMEOUT_S: Final = 10.0  # for one attempt


@dataclass(slots=True)
class _Line:
    """The way to one gateway."""

    connection: http.client.HTTPConnection
    prefix: str

    @property
    def place(self) -> str:
        return f"{self.connection.host}:{self.connection.port}"


class Client:
    """A caller of one gateway or several, a connection to each; not for use by several threads at once."""

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
        sleep: Callable[[float], None] = time.sleep,
        sign: bool = True,
        as_bytes: bool | None = None,
    ) -> None:
        """Remember where to call and as whom; nothing is sent yet.

        Args:
            url: Of the gateway, with what a proxy in front wants before the gateway's own paths; or of several gateways
                that answer alike, over which calls are spread. One that fails is left out until it is ready again.
            api_key: An API key, or a function that returns the token of the moment: it is asked before each attempt.
                "" for who is known by a certificate in `context`.
            context: Whom to trust, where that is not whom the system trusts; and who calls, where that is shown by a
                certificate.
            timeout_s: For one attempt.
            retries: Attempts after the first, where the gateway was too busy or could not answer.
            patience_s: Spent waiting over all attempts of one call.
            budget: What all calls together may ask again; clients that share a process may share one. Its own if left
                out.
            sleep: Waits.
            sign: Whether each attempt is signed, so that a gateway which asks for fresh requests takes it, and takes it
                once; others ignore the signature.
            as_bytes: Whether rows and answers travel as bytes (binary tensor extension); None: where there are many.

        Raises:
            InvalidInput: The URL is neither `https://` with a host nor `http://` on this machine: the key travels with
                each call.
        """
        self._lines = [_line(each, context, timeout_s) for each in listed(url)]
        self._spread, self._timeout_s = Spread(len(self._lines)), timeout_s
        self._sign, self._as_bytes, self._api_key, self._sleep = sign, as_bytes, api_key, sleep
        self._patience = Patience(
            retries=retries, patience_s=patience_s, budget=budget or budget_for(len(self._lines), 1)
        )

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        for line in self._lines:
            line.connection.close()

    def infer(
        self,
        model: str,
        rows: Rows,
        *,
        correlation: str = "",
        unit: str = "",
        attributes: Mapping[str, str] = NO_ATTRIBUTES,
    ) -> Prediction:
        """Return what a model says about rows.

        Args:
            model: Its name.
            rows: Numbers, shape (n, features), in the order that `metadata` tells.
            correlation: An id for this call, kept over its retries; a new one if left out.
            unit: Whom the call is for, a user or a device: a rollout gives one unit one release.
            attributes: What segments of a flag may go by, as the project declares them.

        Raises:
            InvalidInput: The rows are none, ragged, or not finite.
            InvalidRequest: The gateway found the rows wrong; its words are the message.
            Refused: The key is not accepted, or not for this model, or calls too often.
            NotFound: The gateway serves no such model.
            Unavailable: It cannot be reached, or cannot answer now.
        """
        whom = on_behalf_of(unit, attributes)
        asked = inference(model, rows, correlation=correlation, as_bytes=self._as_bytes, whom=whom)
        return prediction(self._call(asked))

    def infer_columns(
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
        return prediction(self._call(asked))

    def metadata(self, model: str) -> dict[str, Any]:
        """Return what a model takes and gives; the names and ranges of its inputs stand under `parameters`.

        Raises:
            HoldfastError: As `infer` does.
        """
        return self._call(metadata(model)).document()

    def ready(self) -> bool:
        """Say whether the gateway answers now; of several, whether one does."""
        return any(self._is_ready(line) for line in self._lines)

    def _is_ready(self, line: _Line) -> bool:
        try:
            return self._attempt(line, READY, signed=False).status == OK
        except Unavailable:
            return False

    def _call(self, asked: Asked) -> Received:
        """Call until there is an answer, a refusal that waiting does not change, or no patience left."""
        attempts, tried = Attempts(self._patience), list[int]()
        self._probe()
        while True:
            which = self._spread.pick(tried)
            tried.append(which)
            received, lost = None, None
            try:
                received = self._attempt(self._lines[which], asked)
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
                self._sleep(pause_s)

    def _probe(self) -> None:
        """Ask an address that is out whether it is ready, where one is due."""
        which = self._spread.due()
        if which is None:
            return
        connection = self._lines[which].connection
        connection.close()
        connection.timeout = PROBE_S
        self._spread.probed(which, ready=self._is_ready(self._lines[which]))
        connection.timeout = self._timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(self._timeout_s)

    def _attempt(self, line: _Line, asked: Asked, *, signed: bool = True) -> Received:
        """Make one attempt, on a new connection if the gateway has closed the old one meanwhile."""
        headers = attempt_headers(asked, self._api_key if signed else None, sign=self._sign)
        connection = line.connection
        kept = connection.sock is not None
        try:
            connection.request(asked.method, line.prefix + asked.path, asked.body, headers)
            response = connection.getresponse()
            content = response.read(MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            # Only what idled too long is tried again at once: predictions change nothing, so asking twice is no harm.
            if kept and not isinstance(error, TimeoutError):
                return self._attempt(line, asked, signed=signed)
            raise unreachable(error, line.place) from error
        if len(content) > MAX_ANSWER:
            connection.close()
            raise too_long()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Received(status=response.status, headers=names, content=content)


def _line(url: str, context: ssl.SSLContext | None, timeout_s: float) -> _Line:
    check_secure(url, "a gateway")
    parts = urlsplit(url)
    host, prefix = parts.hostname or "", parts.path.rstrip("/")
    if parts.scheme == "https":
        secure = http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)
        return _Line(secure, prefix)
    return _Line(http.client.HTTPConnection(host, parts.port, timeout=timeout_s), prefix)
