"""Handing published files to gateways on other hosts, behind any ASGI server.

Nothing is believed: models and passports go out encrypted for the gateways, as they lie, and gateways verify what they
fetch. Who may ask is `serve.reception`'s to say, where others than this machine can. Whether a name may be asked for is
decided by whoever reads.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeAlias

from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import HoldfastError

Read: TypeAlias = Callable[[str], bytes | None]
Asgi: TypeAlias = Callable[[dict[str, Any], Any, Callable[[dict[str, Any]], Awaitable[None]]], Awaitable[None]]
MAX_NAME: Final = 256  # characters of a path; the longest real one has 102
CHANGES: Final = ("timestamp.json", "shelf.json", "index/")  # whose content changes under its name, or what begins so


def distribution(read: Read) -> Asgi:
    """Return an application that answers GET and HEAD for published files.

    Args:
        read: Returns a file by name, or None where there is none that may be had.
    """

    async def app(scope: dict[str, Any], _receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        if scope["type"] != "http":
            return
        name = scope["path"].removeprefix("/")
        if scope["method"] not in {"GET", "HEAD"}:
            await _answer(send, 405, b"", ((b"allow", b"GET, HEAD"),))
            return
        try:
            data = read(name) if len(name) <= MAX_NAME else None
        except HoldfastError as error:
            await _answer(send, 503, b"", ((b"x-holdfast-code", error.code.encode()),))
            return
        if data is None:
            await _answer(send, 404, b"")
            return
        tag = f'"{digest_bytes(data)}"'.encode()
        kept = b"no-cache" if name.startswith(CHANGES) else b"public, max-age=31536000, immutable"
        headers = ((b"etag", tag), (b"cache-control", kept), (b"x-content-type-options", b"nosniff"))
        if (b"if-none-match", tag) in [(key.lower(), value) for key, value in scope["headers"]]:
            await _answer(send, 304, b"", headers)
        else:
            await _answer(send, 200, data, headers, body=scope["method"] == "GET")

    return app


async def _answer(
    send: Callable[[dict[str, Any]], Awaitable[None]],
    status: int,
    data: bytes,
    headers: Iterable[tuple[bytes, bytes]] = (),
    *,
    body: bool = True,
) -> None:
    size = ((b"content-length", str(len(data)).encode()),) if status != 304 else ()  # noqa: PLR2004 - RFC 9110 15.4.5
    kind = ((b"content-type", b"application/octet-stream"),) if status == 200 else ()  # noqa: PLR2004 - RFC 9110 15.3.1
    await send({"type": "http.response.start", "status": status, "headers": [*kind, *size, *headers]})
    await send({"type": "http.response.body", "body": data if body else b""})
