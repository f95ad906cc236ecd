"""The courier: takes what a gateway on another host has to tell from its spool to the control plane.

1. Note which statements are there. 2. Hand over events to the end of each file: what those statements anchor goes
before them. 3. Hand over the statements, oldest first. What is acknowledged is removed here: a statement at once, a
file of events once a newer one has begun. A control plane that does not answer, or refuses, leaves everything where it
is.
"""

import http.client
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from holdfast.adapters.peer import Peer, check_plane_address, connected, unreachable
from holdfast.adapters.published import read_bounded
from holdfast.core.errors import Refused, Unavailable
from holdfast.core.spool import EVENTS, MAX_CHUNK, MAX_SEGMENT, MAX_STATEMENT, OFFSET, SIZE, STATEMENT

TIMEOUT_S: Final = 10.0  # for a connection, and for each part of an answer
PARTS: Final = 2 * (2 * MAX_SEGMENT // MAX_CHUNK)  # of one file in one round: twice what a file can take
AT_ONCE: Final = 500  # statements in one round; the next goes on
_TAKEN: Final = -1  # of a file that the control plane has drained to its end


@dataclass(slots=True, kw_only=True)
class Courier:
    """Delivers one gateway's spool."""

    spool: Path
    url: str
    peer: Peer | None
    _taken: dict[str, int] = field(default_factory=dict)  # bytes of each file of events that the control plane has

    def __post_init__(self) -> None:
        """Check the address.

        Raises:
            InvalidInput: See `peer.check_plane_address`.
        """
        check_plane_address(self.url, self.peer)

    def deliver(self) -> int:
        """Hand over what is there; return how many statements were taken.

        Raises:
            Unavailable: The control plane does not answer, or has no room now.
            Refused: It does not take what this gateway tells.
        """
        names = sorted(path.name for path in self.spool.iterdir()) if self.spool.is_dir() else []
        statements = [name for name in names if STATEMENT.fullmatch(name)][:AT_ONCE]  # 1.
        files = [name for name in names if EVENTS.fullmatch(name)]
        if not statements and all(self._size(name) == self._taken.get(name) for name in files):
            return 0  # nothing is new: no connection is made
        with closing(connected(self.url, self.peer, timeout_s=TIMEOUT_S)) as connection:
            refused = self._hand_over(connection, files)  # 2.
            for name, following in pairwise(files):
                if name.rpartition("-")[0] == following.rpartition("-")[0]:
                    self._forget(name)
            for name in statements:  # 3.
                document = read_bounded(self.spool / name, MAX_STATEMENT, name)
                self._send(connection, name, document, {})
                (self.spool / name).unlink(missing_ok=True)
        if refused is not None:
            raise refused
        return len(statements)

    def _hand_over(self, connection: http.client.HTTPConnection, files: Sequence[str]) -> Refused | None:
        """Hand over every file of events; return what was refused, which must not hold the statements up.

        They anchor the events: that some are missing is then seen where it matters.
        """
        refused = None
        for name in files:
            try:
                self._hand_over_events(connection, name)
            except Refused as error:
                refused = error
        return refused

    def _hand_over_events(self, connection: http.client.HTTPConnection, name: str) -> None:
        """Hand over what the control plane lacks of one file, whole lines only: the next may be being written."""
        content = read_bounded(self.spool / name, 2 * MAX_SEGMENT, name)
        whole = content.rfind(b"\n") + 1
        for _ in range(PARTS):
            if not 0 <= (taken := self._taken.get(name, 0)) < whole:
                return
            part = content[taken : min(taken + MAX_CHUNK, whole)]
            part = part[: part.rfind(b"\n") + 1]
            there = self._send(connection, name, part, {OFFSET: str(taken)})
            if there > whole or there == taken:  # ours is shorter than what was told before, or nothing goes on
                raise Refused(f"the control plane says that {name} has {there} bytes, and takes no more", place=name)
            self._taken[name] = there

    def _forget(self, name: str) -> None:
        """Remove a file of events that has ended and that the control plane has to its end."""
        if self._taken.get(name) in {self._size(name), _TAKEN}:
            (self.spool / name).unlink(missing_ok=True)
            self._taken.pop(name, None)

    def _size(self, name: str) -> int:
        try:
            return (self.spool / name).stat().st_size
        except FileNotFoundError:
            return 0

    def _send(
        self, connection: http.client.HTTPConnection, name: str, content: bytes, headers: Mapping[str, str]
    ) -> int:
        """Send one file or part of it; return how many bytes of it the control plane has now."""
        parts = urlsplit(self.url)
        place = f"{parts.hostname}: {name}"
        try:
            connection.request("POST", f"{parts.path.rstrip('/')}/spool/{name}", body=content, headers=dict(headers))
            response = connection.getresponse()
            response.read(1)
            said = response.getheader(SIZE, "")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise unreachable(error, place) from error
        if response.status == http.client.GONE:
            return _TAKEN
        if response.status == http.client.SERVICE_UNAVAILABLE:
            raise Unavailable("the control plane has no room for what this gateway tells", place=place)
        if response.status != http.client.OK or not (said.isascii() and said.isdigit()):
            code = response.getheader("x-holdfast-code", "")
            words = f"the control plane does not take what this gateway tells: {response.status} {code[:8]}"
            raise Refused(
                words.rstrip(), place=place, remedy="See there which gateways are enrolled: `holdfast gateways`."
            )
        return int(said)
