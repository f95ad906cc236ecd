"""Other services over HTTPS: asked with a limit on time and size, and never led elsewhere by a redirect.

Plain HTTP is spoken with this machine only, where nobody listens in between. The addresses come from what the root key
has accepted or from documents of such a service, so what is limited here is what a broken or hostile one can do.
"""

import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from holdfast.core.errors import MissingExtra, Unavailable
from holdfast.core.exposure import check_secure

TIMEOUT_S: Final = 10.0  # for connecting and for each read
WHOLE_S: Final = 20.0  # for a whole answer, however slowly it drips
MAX_ANSWER: Final = 1 << 20  # bytes; key sets and discovery documents have a hundredth of it


class BoundedWeb:
    """Asks other services (port `Web`)."""

    def get(self, url: str) -> tuple[int, bytes]:
        """Return status and body of a GET.

        Raises:
            InvalidInput: The address is neither HTTPS nor this machine.
            Unavailable: Nobody answers, too late, or too much.
        """
        return _ask("GET", url, None)

    def post(self, url: str, fields: Mapping[str, str]) -> tuple[int, bytes]:
        """Return status and body of a POST of form fields.

        Raises:
            InvalidInput: The address is neither HTTPS nor this machine.
            Unavailable: Nobody answers, too late, or too much.
        """
        return _ask("POST", url, fields)

    def tell(self, url: str, document: bytes) -> tuple[int, bytes]:
        """Return status and body of a POST of a JSON document.

        Raises:
            InvalidInput: The address is neither HTTPS nor this machine.
            Unavailable: Nobody answers, too late, or too much.
        """
        return _ask("POST", url, None, document)


def _ask(method: str, url: str, fields: Mapping[str, str] | None, document: bytes | None = None) -> tuple[int, bytes]:
    check_secure(url, "a service")
    try:
        import httpx
    except ImportError as error:
        raise MissingExtra("asking other services needs httpx", remedy="pip install 'holdfast[server]'") from error
    ends, body = time.monotonic() + WHOLE_S, b""
    place = urlsplit(url)._replace(query="", fragment="").geturl()  # a query may hold what is nobody else's
    headers = {
        "accept": "application/json",
        "accept-encoding": "identity",
    }  # a small answer must not unfold into a large one
    headers |= {"content-type": "application/json"} if document is not None else {}
    data = dict(fields) if fields is not None else None
    try:
        with (
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
            client.stream(method, url, data=data, content=document, headers=headers) as answer,
        ):
            for chunk in answer.iter_raw():
                body += chunk
                if len(body) > MAX_ANSWER or time.monotonic() > ends:
                    raise Unavailable("the service answers too much or too slowly", place=place)
            return answer.status_code, body
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(f"the service does not answer: {type(error).__name__}", place=place) from error
