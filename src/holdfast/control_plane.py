"""The SDK for the control plane: commands by their words, errors by their codes, each request carried out once.

    with ControlPlane("https://plane.example:8440", key) as plane:
        job = plane.run()
        plane.wait(job["job"])
        plane.promote(reason="It is better.")

Speaks HTTP/1.1 with the standard library alone. A request that changes something carries an idempotency key, so that it
can be repeated when the connection was lost: only then, and where the server says 503, is it sent again, after a wait
that grows and is never the same for two callers.
"""

import http.client
import json
import os
import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlencode, urlsplit

from holdfast.core import errors
from holdfast.core.errors import HoldfastError, InvalidInput, PolicyDenied, StageFailed, Unavailable
from holdfast.core.exposure import check_secure

TIMEOUT_S: Final = 90.0  # for one attempt: the server answers within 60
RETRIES: Final = 4  # attempts after the first
FIRST_WAIT_S: Final = 0.2  # doubles with each attempt, and is drawn between half and all of it
LONGEST_WAIT_S: Final = 10.0
LOOK_S: Final = 0.5  # between two looks at a job
MAX_ANSWER: Final = 64 << 20  # bytes
ENDED: Final = frozenset({"done", "failed", "cancelled"})


class ControlPlane:
    """A caller of one control plane; one connection, kept open; not for use by several threads at once."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        context: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Remember where to call and as whom; nothing is sent yet.

        Args:
            url: `https://host:port`, or `http://` on this machine.
            api_key: A key or token of the control plane.
            context: Whom to trust, and the client's own certificate where the server demands one.
            timeout_s: For one attempt.
            retries: Attempts after the first.
            sleep: How to wait.
            draw: A number between two, for waits that differ between callers.

        Raises:
            InvalidInput: The URL is neither HTTPS nor this machine, or the key holds what a header may not.
        """
        check_secure(url, "a control plane")
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not api_key.isascii() or not api_key.isprintable():
            raise InvalidInput("the key holds characters that a header may not", expected="printable ASCII")
        if parts.scheme == "https":
            secure = http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)
            self._connection: http.client.HTTPConnection = secure
        else:
            self._connection = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
        self._api_key, self._retries, self._sleep, self._draw = api_key, retries, sleep, draw

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

    def get(self, words: str, **options: Any) -> dict[str, Any]:
        """Ask for what a command that changes nothing answers: `get("log", limit=5)`.

        Raises:
            HoldfastError: The error that the command raised, of its own class.
        """
        given = {name.replace("_", "-"): value for name, value in options.items() if value is not None}
        query = f"?{urlencode(given)}" if given else ""
        return self._call("GET", f"/v1/{_path(words)}{query}", None, "")

    def post(self, words: str, *, idempotency_key: str = "", **options: Any) -> dict[str, Any]:
        """Ask for a command that changes something: `post("ledger checkpoint")`.

        Args:
            words: The command's words, with a space between them.
            idempotency_key: One of your own, where another process may repeat the request; a new one if left out.
            options: The command's options.

        Raises:
            HoldfastError: The error that the command raised, of its own class.
        """
        given = {name.replace("_", "-"): value for name, value in options.items() if value is not None}
        return self._call("POST", f"/v1/{_path(words)}", given, idempotency_key or os.urandom(16).hex())

    def run(self, *, until: str | None = None) -> dict[str, Any]:
        """Ask a worker to carry the project from its rows to a release; return the job."""
        return self.post("run", until=until)

    def wait(self, job: str, *, patience_s: float = 3600.0) -> dict[str, Any]:
        """Wait until a job has ended, and return what came of it.

        Raises:
            StageFailed: It failed or was cancelled; the message is its own.
            Unavailable: It goes on for longer than `patience_s`.
        """
        waited = 0.0
        while True:
            found = self.get("job show", job=job)
            result: dict[str, Any] = found["result"]
            if found["state"] == "done":
                return result
            if found["state"] in ENDED:
                words = str(result.get("error") or f"the job is {found['state']}")
                raise _error(str(result.get("code", StageFailed.code)), words, {}) from None
            if waited > patience_s:
                raise Unavailable(f"the job goes on for longer than {patience_s:g} s", place=job)
            self._sleep(LOOK_S)
            waited += LOOK_S

    def promote(self, *, reason: str, release: str | None = None, canary: bool = False) -> dict[str, Any]:
        """Put a release into production, if the policy permits.

        Raises:
            PolicyDenied: With every reason.
            Conflict: Somebody else was faster.
        """
        return self.post("promote", reason=reason, release=release, canary=canary)

    def rollback(self, *, reason: str, model: str | None = None) -> dict[str, Any]:
        """Put the release before this one back into production."""
        return self.post("rollback", reason=reason, model=model)

    def resolve(self, alias: str) -> dict[str, Any]:
        """Return the release that answers under a name; quick, as often as you like."""
        return self._call("GET", f"/v1/resolve/{quote(alias, safe='@')}", None, "")

    def pages(self, words: str, *, limit: int | None = None, **options: Any) -> Iterator[dict[str, Any]]:
        """Yield the pages of an answer that has lists, each asked for when it is wanted: `pages("access users")`.

        Args:
            words: The command's words, with a space between them.
            limit: Rows of a page, all lists of the answer together; the server's own number if left out.
            options: The command's options.

        Raises:
            InvalidRequest: The walk took longer than a cursor is good for, or the row that it named is gone.
        """
        cursor = None
        while True:
            found = self.get(words, limit=limit, cursor=cursor, **options)
            yield found
            cursor = found.get("next")
            if cursor is None:
                return

    def rows(self, words: str, *, of: str = "", limit: int | None = None, **options: Any) -> Iterator[Any]:
        """Yield every row of a list, over all its pages: `rows("access users")`, `rows("toil", of="by_hand")`.

        Args:
            words: The command's words, with a space between them.
            of: Which of the answer's lists; may be left out where it has one.
            limit: Rows of a page.
            options: The command's options.

        Raises:
            InvalidInput: The answer has no such list, or several and none was named.
        """
        for page in self.pages(words, limit=limit, **options):
            lists = [name for name, value in page.items() if isinstance(value, list)]
            if of not in lists and (of or len(lists) != 1):
                raise InvalidInput(f"which list of `{words}`?", expected=", ".join(lists) or "a command that lists")
            yield from page[of or lists[0]]

    def log(self, *, about: str | None = None, page: int = 100) -> Iterator[dict[str, Any]]:
        """Yield the ledger's entries, newest first, page by page."""
        return self.rows("log", about=about, limit=page)

    def _call(self, method: str, target: str, options: Mapping[str, Any] | None, key: str) -> dict[str, Any]:
        """Call until there is an answer; repeat only what was not answered, or what the server had no time for."""
        headers = {"Authorization": f"Bearer {self._api_key}", "X-Correlation-Id": os.urandom(16).hex()}
        body = None
        if options is not None:
            body = json.dumps(dict(options)).encode()
            headers |= {"Content-Type": "application/json", "Idempotency-Key": key}
        wait_s = FIRST_WAIT_S
        for left in range(self._retries, -1, -1):
            try:
                status, answered, document = self._attempt(method, target, body, headers)
                if status < http.client.BAD_REQUEST:
                    return document
                error = _told(status, document)
                named = answered.get("retry-after", "")
                if status != http.client.SERVICE_UNAVAILABLE:
                    raise error
                wait_s = max(wait_s, float(named) if named.isdigit() else 0.0)
            except (OSError, http.client.HTTPException) as lost:
                self._connection.close()
                error = Unavailable(
                    f"the control plane cannot be reached: {type(lost).__name__}",
                    place=f"{self._connection.host}:{self._connection.port}",
                    remedy="Check that `holdfast up` runs there, and ask again.",
                )
            if left == 0:
                raise error
            self._sleep(self._draw(wait_s / 2, wait_s))
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        raise AssertionError("the last attempt has raised")

    def _attempt(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        self._connection.request(method, target, body, dict(headers))
        response = self._connection.getresponse()
        content = response.read(MAX_ANSWER + 1)
        if len(content) > MAX_ANSWER:
            self._connection.close()
            raise Unavailable("the answer is too long", expected=f"at most {MAX_ANSWER} bytes")
        try:
            document = json.loads(content)
        except ValueError:
            document = {}
        names = {name.lower(): value for name, value in response.getheaders()}
        return response.status, names, document if isinstance(document, dict) else {}


def _path(words: str) -> str:
    return "/".join(quote(word, safe="") for word in words.split())


def _told(status: int, document: Mapping[str, Any]) -> HoldfastError:
    """Return a problem as the error that was raised there."""
    words = str(document.get("detail") or f"the control plane answered {status}")[:2000]
    return _error(str(document.get("code", "")), words, document)


def _error(code: str, words: str, document: Mapping[str, Any]) -> HoldfastError:
    kind = next((each for each in _classes() if each.code == code), Unavailable)
    place = str(document.get("place") or document.get("instance") or "")
    if kind is PolicyDenied:
        return PolicyDenied(words, reasons=tuple(map(str, document.get("reasons", ()))), place=place)
    return kind(words, place=place, expected=str(document.get("expected", "")), remedy=str(document.get("remedy", "")))


def _classes() -> Iterator[type[HoldfastError]]:
    found = (value for value in vars(errors).values() if isinstance(value, type))
    return (each for each in found if issubclass(each, HoldfastError))
