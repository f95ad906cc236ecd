"""Asks a server which models it answers for, in the Open Inference Protocol and its common extensions.

1. `GET /v2` says whether it is such a server. 2. `POST /v2/repository/index` and `GET /v2/models` list models where the
server has them. 3. `GET /v2/models/{name}` is asked for each name that somebody expects. Nothing it says is believed
further than that it said so.
"""

import http.client
import json
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, urlsplit

from holdfast.core.errors import InvalidInput, Unavailable
from holdfast.core.exposure import check_secure

TIMEOUT_S: Final = 5.0  # for one question
MAX_ANSWER: Final = 1 << 20  # bytes; a list of some thousand models fits
MAX_MODELS: Final = 1000  # of one server; more is a server that wants to be heard
MAX_TEXT: Final = 200  # characters of a name or version


def ask_models(url: str, names: Sequence[str], key: str = "") -> tuple[tuple[str, str], ...]:
    """Return name and version of each model that a server says it answers for; empty where it does not say.

    Args:
        url: The server, `http` or `https`.
        names: Names to ask for one by one.
        key: An API key to present, if there is one.

    Raises:
        InvalidInput: The address is none, or a key would be sent to another machine in clear.
        Unavailable: Nothing that speaks the protocol answers there.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput(f"{url[:80]!r} is not an address", expected="http://host:port") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise InvalidInput(f"{url[:80]!r} is not an address", expected="http://host:port")
    if key:  # it must not be read on the way; without one nothing is said that everybody may not hear
        check_secure(url, "a server that is shown a key")
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = make(host, port, timeout=TIMEOUT_S)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        server = _ask(connection, "GET", "/v2", headers)  # 1.
        if not isinstance(server, dict) or "name" not in server:
            raise Unavailable("what answers there does not speak the Open Inference Protocol", place=url)
        found = _listed(_ask(connection, "POST", "/v2/repository/index", headers))  # 2.
        found += _listed(_ask(connection, "GET", "/v2/models", headers))
        for name in names:  # 3.
            told = _ask(connection, "GET", f"/v2/models/{quote(name, safe='')}", headers)
            if isinstance(told, dict) and told.get("name") == name:
                versions = told.get("versions") or [""]
                found += [(name, _text(version)) for version in versions[:MAX_MODELS]]
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"nothing answers: {error}", place=url) from error
    finally:
        connection.close()
    return tuple(dict.fromkeys(found[:MAX_MODELS]))


def _ask(connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str]) -> Any:
    """Return the JSON of one answer, or None for anything but an answer in JSON."""
    body = b"{}" if method == "POST" else None
    connection.request(method, path, body=body, headers=headers | {"content-type": "application/json"})
    response = connection.getresponse()
    data = response.read(MAX_ANSWER + 1)
    if len(data) > MAX_ANSWER or response.will_close:
        connection.close()  # the next question opens another
    if response.status != http.client.OK or len(data) > MAX_ANSWER:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _listed(told: Any) -> list[tuple[str, str]]:
    """Return the models in a list as Triton's repository extension or a plain list of names gives it."""
    rows = told.get("models") if isinstance(told, dict) else told
    found = []
    for row in rows[:MAX_MODELS] if isinstance(rows, list) else ():
        if isinstance(row, str):
            found.append((_text(row), ""))
        elif isinstance(row, dict) and isinstance(row.get("name"), str) and row.get("state", "READY") == "READY":
            found.append((_text(row["name"]), _text(row.get("version", ""))))
    return found


def _text(value: object) -> str:
    """Return a name from outside as it may be shown and kept."""
    return "".join(char for char in str(value)[:MAX_TEXT] if char.isprintable())
