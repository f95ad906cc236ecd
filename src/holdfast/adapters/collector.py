"""An OpenTelemetry collector, told of spans over HTTP: over TLS or on this machine, within a second, never twice.

What it does not take is gone: traces are a sample, and a gateway keeps no memory for a collector that is away.
"""

import http.client
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from holdfast.core.errors import Unavailable
from holdfast.core.exposure import check_secure

TIMEOUT_S: Final = 1.0
PATH: Final = "/v1/traces"
MAX_ANSWER: Final = 64 << 10  # bytes


@dataclass(slots=True)
class Collector:
    """One collector, by the address before its paths."""

    url: str
    _connection: http.client.HTTPConnection = field(init=False)
    _prefix: str = field(init=False)

    def __post_init__(self) -> None:
        """Remember where it is.

        Raises:
            InvalidInput: The URL is neither `https://` with a host nor `http://` on this machine.
        """
        check_secure(self.url, "a collector")
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        self._prefix = parts.path.rstrip("/")

    def tell(self, body: bytes) -> None:
        """Send a body.

        Raises:
            Unavailable: It was not taken.
        """
        try:
            self._connection.request("POST", self._prefix + PATH, body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            response.read(MAX_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            words = f"the collector of traces cannot be reached: {type(error).__name__}"
            raise Unavailable(words, place="HOLDFAST_TRACES_URL", remedy="Start it, or unset the address.") from error
        if not 200 <= response.status < 300:  # noqa: PLR2004 - RFC 9110, 15.3
            self._connection.close()
            raise Unavailable(f"the collector of traces answered {response.status}", place="HOLDFAST_TRACES_URL")
