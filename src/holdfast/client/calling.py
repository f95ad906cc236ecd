"""A caller of a gateway that waits for each answer, over one connection that is kept open."""

import http.client
import ssl
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from holdfast.client.messages import (
    MAX_ANSWER,
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
    too_long,
    unreachable,
)
from holdfast.client.retries import OK, PATIENCE_S, RETRIES, Attempts, Patience, RetryBudget
from holdfast.core.errors import Unavailable
from holdfast.core.exposure import check_secure

TIMEOUT_S: Final = 10.0  # for one attempt


class Client:
    """A caller of one gateway; one connection, kept open; not for use by several threads at once."""

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
        sleep: Callable[[float], None] = time.sleep,
        sign: bool = True,
        as_bytes: bool | None = None,
    ) -> None:
        """Remember where to call and as whom; nothing is sent yet.

        Args:
            url: Of the gateway, with what a proxy in front wants before the gateway's own paths.
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
        check_secure(url, "a gateway")
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            secure = http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)
            self._connection: http.client.HTTPConnection = secure
        else:
            self._connection = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
        self._prefix = parts.path.rstrip("/")
        self._sign, self._as_bytes, self._api_key, self._sleep = sign, as_bytes, api_key, sleep
        self._patience = Patience(retries=retries, patience_s=patience_s, budget=budget or RetryBudget())

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

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

    def metadata(self, model: str) -> dict[str, Any]:
        """Return what a model takes and gives; the names and ranges of its inputs stand under `parameters`.

        Raises:
            HoldfastError: As `infer` does.
        """
        return self._call(metadata(model)).document()

    def ready(self) -> bool:
        """Say whether the gateway answers now."""
        try:
            return self._attempt(READY, {}).status == OK
        except Unavailable:
            return False

    def _call(self, asked: Asked) -> Received:
        """Call until there is an answer, a refusal that waiting does not change, or no patience left."""
        attempts = Attempts(self._patience)
        while True:
            received = self._attempt(asked, attempt_headers(asked, self._api_key, sign=self._sign))
            pause_s = attempts.pause_s(received)
            if received.status == OK:
                return received
            if pause_s is None:
                raise error_of(received)
            self._sleep(pause_s)

    def _attempt(self, asked: Asked, headers: dict[str, str]) -> Received:
        """Make one attempt, on a new connection if the gateway has closed the old one meanwhile."""
        kept = self._connection.sock is not None
        try:
            self._connection.request(asked.method, self._prefix + asked.path, asked.body, headers)
            response = self._connection.getresponse()
            content = response.read(MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            # Only what idled too long is tried again at once: predictions change nothing, so asking twice is no harm.
            if kept and not isinstance(error, TimeoutError):
                again = attempt_headers(asked, self._api_key, sign=self._sign) if headers else headers
                return self._attempt(asked, again)
            raise unreachable(error, f"{self._connection.host}:{self._connection.port}") from error
        if len(content) > MAX_ANSWER:
            self._connection.close()
            raise too_long()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Received(status=response.status, headers=names, content=content)
