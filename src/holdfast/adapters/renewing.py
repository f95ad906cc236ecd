"""A gateway's certificate, renewed without anybody carrying a file: it asks its control plane for the newest one.

Taken is only what could have been carried here: a certificate of the pinned authority, inside its window, that says the
same SPIFFE id and belongs to the key that lies here. All else changes nothing.
"""

import http.client
import os
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from holdfast.adapters.peer import CERTIFICATE, KEY, Peer, connected, unreachable
from holdfast.adapters.published import replace_durably
from holdfast.core.certificates import MAX_CERTIFICATE, der_of, trust_domain
from holdfast.core.errors import NotVerified, Unavailable
from holdfast.core.spiffe import spiffe_id

EVERY_S: Final = 3600.0  # between two questions; a certificate is renewed weeks before its end
TIMEOUT_S: Final = 10.0
OWN: Final = "/own/client.crt.pem"


@dataclass(slots=True, kw_only=True)
class Renewal:
    """Looks from time to time whether there is a newer certificate."""

    url: str
    peer: Peer
    monotonic: Callable[[], float] = time.monotonic
    _due_s: float = field(default=-1.0)

    def look(self) -> bool:
        """Ask, if it is time; say whether another certificate lies here now.

        Raises:
            Unavailable: The control plane does not answer, or the file cannot be written.
            NotVerified: What came is not this gateway's certificate.
        """
        if self.monotonic() < self._due_s:
            return False
        self._due_s = self.monotonic() + EVERY_S
        newest = self._ask()
        path = self.peer.folder / CERTIFICATE
        if newest == path.read_bytes():
            return False
        self._check(newest)
        replace_durably(path, newest)
        return True

    def _ask(self) -> bytes:
        parts = urlsplit(self.url)
        place = f"{parts.hostname}: {OWN}"
        try:
            with closing(connected(self.url, self.peer, timeout_s=TIMEOUT_S)) as connection:
                connection.request("GET", f"{parts.path.rstrip('/')}{OWN}")
                response = connection.getresponse()
                found = response.read(MAX_CERTIFICATE)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise unreachable(error, place) from error
        if response.status != http.client.OK:
            raise Unavailable(f"the control plane answered {response.status}", place=place)
        return found

    def _check(self, newest: bytes) -> None:
        """Check that a certificate may take the present one's place.

        Raises:
            NotVerified: It may not.
        """
        now, domain = self.peer.now(), trust_domain(self.peer.workspace)
        bundle = [self.peer.authority()]
        before = der_of((self.peer.folder / CERTIFICATE).read_bytes())
        after = spiffe_id(der_of(newest), bundle, domain=domain, now=now)
        try:
            same = spiffe_id(before, bundle, domain=domain, now=now) == after
        except NotVerified as error:  # it has ended, so nothing can be asked by it any more
            raise NotVerified("this gateway's certificate has ended", place=CERTIFICATE) from error
        temporary = self.peer.folder / f".{CERTIFICATE}.{os.getpid()}.new"
        try:
            replace_durably(temporary, newest)
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(temporary, self.peer.folder / KEY)
        except ssl.SSLError as error:
            raise NotVerified("the newest certificate is of another key", place=CERTIFICATE) from error
        finally:
            temporary.unlink(missing_ok=True)
        if not same:
            raise NotVerified("the newest certificate says another name", place=after[:200])
