"""A control plane's published folder over HTTP, as a gateway on another host reads it.

Believes nothing: verifying is `holdfast.serve.loading`'s. What is decided here is how long and how much is waited for.
The timestamp is asked for every second or so with its entity tag, which costs a few hundred bytes while nothing
changes; everything else is named by a version or a digest, is read once, and blobs stay in a folder of the gateway's
own. A control plane that does not answer, or answers nonsense, makes the stamp differ: the gateway then finds out by
reading, says that it is stale, and goes on until its lease ends.
"""

import http.client
import random
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from holdfast.adapters.blobs import DiskBlobs
from holdfast.adapters.peer import Peer, check_plane_address, connected, unreachable
from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, NotVerified, Unavailable

POLL_S: Final = 1.0  # between two questions for the timestamp: a revocation is obeyed within 5 s
JITTER: Final = 0.2  # of that, so that a thousand gateways do not ask at one moment
TIMEOUT_S: Final = 2.0  # for a connection, and for each part of an answer to arrive
WHOLE_S: Final = 120.0  # for a whole file to arrive: 2 GiB at 17 MiB/s
CHUNK: Final = 1 << 20  # bytes read at once
SHARED: Final = "timestamp.json"


@dataclass(slots=True, kw_only=True)
class PublishedUrl:
    """What a control plane published (port `Published`), fetched from an address."""

    url: str
    cache: Path  # of blobs, verified when they are written and whenever they are read
    peer: Peer | None = None  # who this gateway is over TLS; without, only this machine is asked
    poll_s: float = POLL_S
    monotonic: Callable[[], float] = time.monotonic
    _due_s: float = -1.0
    _tag: str = ""
    _timestamp: bytes = b""
    _failed: str = ""
    _blobs: DiskBlobs = field(init=False)

    def __post_init__(self) -> None:
        """Check the address.

        Raises:
            InvalidInput: See `peer.check_plane_address`.
        """
        check_plane_address(self.url, self.peer)
        self._blobs = DiskBlobs(self.cache)

    def stamp(self, *names: str) -> object:
        """Return what differs when the timestamp was replaced, or the control plane stopped or began to answer."""
        del names  # whatever else changes, the timestamp does
        now = self.monotonic()
        if now >= self._due_s:
            self._due_s = now + self.poll_s * (1 + JITTER * (random.random() - 0.5))  # noqa: S311 - spreads load, hides nothing
            try:
                self._ask()
                self._failed = ""
            except HoldfastError as error:
                self._failed = error.message
        return self._failed or digest_bytes(self._timestamp)

    def document(self, name: str, limit: int) -> bytes:
        """Return a document.

        Raises:
            NotFound: It is not there.
            InvalidInput: It is longer than `limit`.
            Unavailable: The control plane does not answer, or not with a file.
        """
        if name == SHARED:  # the one whose content changes under its name: as it was when the stamp was taken
            if self._failed or not self._timestamp:
                self._ask()
                self._failed = ""
            if len(self._timestamp) > limit:
                raise InvalidInput(f"{name} is too long", expected=f"at most {limit} bytes")
            return self._timestamp
        data, _ = self._get(name, limit, {})
        if data is None:
            raise Unavailable("the control plane says that nothing has changed, and was not asked", place=name)
        return data

    def blob(self, digest: Digest, limit: int) -> bytes:
        """Return a blob, from the cache if it is there.

        Raises:
            HoldfastError: As `document`.
            NotVerified: What came has another digest.
        """
        hexadecimal = digest.removeprefix("sha256:")
        try:
            data = self._blobs.get(digest)
        except (NotFound, NotVerified) as error:  # never had, or damaged here: the control plane has a good one
            if isinstance(error, NotVerified):
                (self.cache / "sha256" / hexadecimal[:2] / hexadecimal[2:]).unlink(missing_ok=True)
            data = self.document(f"blobs/sha256/{hexadecimal[:2]}/{hexadecimal[2:]}", limit)
            if digest_bytes(data) != digest:
                raise NotVerified("a file was changed after it was signed", place=digest) from None
            self._blobs.put(data)
        if len(data) > limit:
            raise InvalidInput(f"a blob of {len(data)} bytes", place=digest, expected=f"at most {limit}")
        return data

    def _ask(self) -> None:
        """Ask for the timestamp, unless it is the one we have."""
        headers = {"If-None-Match": self._tag} if self._tag and self._timestamp else {}
        data, tag = self._get(SHARED, CHUNK, headers)
        if data is not None:
            self._timestamp, self._tag = data, tag

    def _get(self, name: str, limit: int, headers: Mapping[str, str]) -> tuple[bytes | None, str]:
        """Return a file with its entity tag; None where it is the one that `headers` names.

        Redirections are not followed: a control plane has one address.
        """
        parts = urlsplit(self.url)
        path, place = f"{parts.path.rstrip('/')}/{name}", f"{parts.hostname}: {name}"
        try:
            with closing(connected(self.url, self.peer, timeout_s=TIMEOUT_S)) as connection:
                connection.request("GET", path, headers={"Accept-Encoding": "identity", **headers})
                response = connection.getresponse()
                if response.status == http.client.NOT_MODIFIED and headers:
                    return None, ""
                if response.status == http.client.NOT_FOUND:
                    raise NotFound(
                        f"{name} is missing",
                        place=place,
                        remedy="Promote a release: that publishes. Or bring back what was taken away.",
                    )
                if response.status != http.client.OK:
                    raise Unavailable(f"the control plane answered {response.status}", place=place)
                return self._read(response, limit, place), response.getheader("ETag", "")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise unreachable(error, place) from error

    def _read(self, response: http.client.HTTPResponse, limit: int, place: str) -> bytes:
        """Return a body of at most `limit` bytes that arrives within the time."""
        read, length, deadline = [], 0, self.monotonic() + WHOLE_S
        while part := response.read(min(CHUNK, limit + 1 - length)):
            read.append(part)
            length += len(part)
            if length > limit:
                raise InvalidInput("the file is too long", place=place, expected=f"at most {limit} bytes")
            if self.monotonic() > deadline:
                raise Unavailable("the file takes too long to arrive", place=place)
        return b"".join(read)
