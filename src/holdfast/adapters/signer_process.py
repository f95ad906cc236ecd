"""The signer: a process of its own that holds stage keys, and signs only what the key's role may say.

It listens on a Unix socket that only its user may open, and looks at who has connected (SO_PEERCRED). It starts without
a person: what opens its keys lies in a file with permissions of its own, a systemd credential, or a token's PIN file.
What reaches it is read and checked, never signed as given. Each use is counted by key and purpose.
"""

import os
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from holdfast.adapters.signer_frames import (
    Failed,
    Health,
    Healthy,
    Held,
    Keys,
    Made,
    Make,
    Reply,
    Request,
    Sign,
    Signed,
    receive_request,
    send,
)
from holdfast.core.entitlement import purpose_of
from holdfast.core.errors import Conflict, HoldfastError, Refused, Unavailable
from holdfast.core.ports import KeyStore
from holdfast.core.trust import ROLES, TrustedKey

STAGES: Final = tuple(role for role in ROLES if role not in {"root", "person", "gateway"})
"""The roles whose keys a signer may hold: those of persons and of the root are theirs alone."""

MAX_CONNECTIONS: Final = 32  # of one user's processes; more is a loop gone wrong
IDLE_S: Final = 600.0  # a connection that asks for nothing ends
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid


class SignerServer:
    """Answers requests for signatures until told to stop."""

    def __init__(self, store: KeyStore, path: Path, *, origin: str, uids: frozenset[int]) -> None:
        """Listen on a socket at `path` for processes of these users.

        Raises:
            Conflict: Another signer listens there.
            Unavailable: It cannot be listened on.
        """
        self._store, self._path, self._origin, self._uids = store, path, origin, uids
        self._uses: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._stopping = threading.Event()
        self._listening = _listen(path)

    def run(self, ready: Callable[[], None]) -> None:
        """Answer until `stop`; the keys are unlocked before anybody is told that it is ready.

        Raises:
            Unavailable: The keys cannot be unlocked.
        """
        try:
            self._store.unlock()
            ready()
            while not self._stopping.is_set():
                try:
                    connection, _ = self._listening.accept()
                except TimeoutError:
                    continue
                except OSError:
                    break  # closed by `stop`
                self._take(connection)
        finally:
            self._listening.close()
            self._path.unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop listening; connections that are open end with their next request."""
        self._stopping.set()

    def _take(self, connection: socket.socket) -> None:
        if not self._free.acquire(blocking=False):
            connection.close()  # the caller sees that the other side is gone, and tries again
            return
        threading.Thread(target=self._serve, args=(connection,), name="signer", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(IDLE_S)
                if peer_uid(connection) not in self._uids:
                    send(connection, Failed(code=Refused.code, message="this user may not use these keys"))
                    return
                while not self._stopping.is_set() and (request := receive_request(connection)) is not None:
                    send(connection, self._answer(request))
        except HoldfastError:
            return  # gone, silent for too long, or not speaking our language: the connection ends, the signer goes on
        finally:
            self._free.release()

    def _answer(self, request: Request) -> Reply:
        try:
            match request:
                case Held():
                    return Keys(keys=self._store.held(), custody=self._store.custody())
                case Sign():
                    return Signed(signature=self._sign(request))
                case Make():
                    return Made(key=self._make(request))
                case Health():
                    self._store.unlock()
                    with self._lock:
                        return Healthy(uses={key: dict(uses) for key, uses in self._uses.items()})
        except HoldfastError as error:
            return Failed(code=error.code, message=error.message, place=error.place)

    def _sign(self, request: Sign) -> bytes:
        signer = self._store.signer_of(request.keyid)
        purpose = purpose_of(signer.role, request.message, origin=self._origin)
        signature = signer.sign(request.message)
        with self._lock:
            self._uses[request.keyid][purpose] += 1
        return signature

    def _make(self, request: Make) -> TrustedKey:
        if request.role not in STAGES:
            raise Refused(f"a signer holds no key of role {request.role[:40]!r}", expected=", ".join(STAGES))
        return self._store.make(request.role, request.owner, request.begins, request.ends)


def peer_uid(connection: socket.socket) -> int:
    """Return the user whose process is at the other end (unix(7), SO_PEERCRED)."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(data)[1])


def _listen(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        if path.is_socket():
            _remove_dead(path)
        mask = os.umask(0o177)  # the socket is born with mode 0600: there is no moment in which others could connect
        try:
            listening.bind(str(path))
        finally:
            os.umask(mask)
        listening.listen(MAX_CONNECTIONS)
        listening.settimeout(0.2)
    except OSError as error:
        listening.close()
        raise Unavailable(f"the signer cannot listen: {error.strerror or error}", place=str(path)) from error
    except BaseException:
        listening.close()
        raise
    return listening


def _remove_dead(path: Path) -> None:
    """Remove the socket that a killed signer left; one that answers is somebody's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
    raise Conflict("another signer listens here", place=str(path))
