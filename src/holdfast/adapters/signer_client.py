"""A signer process as a key store: what is to be signed goes there, keys never come back."""

import socket
import threading
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from holdfast.adapters.doors import Door
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
    receive_reply,
    send,
)
from holdfast.core.errors import HoldfastError, NotFound, NotVerified, Refused, Unavailable
from holdfast.core.trust import TrustedKey

R = TypeVar("R", bound=Reply)
TIMEOUT_S: Final = 15.0  # a token in a drawer takes a second; longer, and it does not answer
_ERRORS: Final[dict[str, type[HoldfastError]]] = {each.code: each for each in (Refused, NotFound, NotVerified)}
_REMEDY: Final = "Start it with `holdfast signer`, or look why it ended; nothing was signed."


class SignerProcess:
    """The keys in a signer process (port `KeyStore`). A connection that broke is opened again once."""

    def __init__(self, path: Path) -> None:
        """Connect when something is first asked for."""
        self._path = path
        self._connection: socket.socket | None = None
        self._held: tuple[TrustedKey, ...] | None = None
        self._custody = "other-process"
        self._lock = threading.Lock()

    def held(self) -> tuple[TrustedKey, ...]:
        """Return the public halves of all keys that are there.

        Raises:
            Unavailable: The signer does not answer.
        """
        if self._held is None:
            self.refresh()
        return self._held or ()

    def refresh(self) -> None:
        """Ask again which keys are there.

        Raises:
            Unavailable: The signer does not answer.
        """
        found = self.ask(Held(), Keys)
        self._held = found.keys
        self._custody = found.custody if found.custody in {"hsm", "service"} else "other-process"

    def signer_of(self, keyid: str) -> Door:
        """Return the signer of one key.

        Raises:
            NotFound: It is not there.
        """
        found = next((key for key in self.held() if key.keyid == keyid), None)
        if found is None:
            raise NotFound("the signer does not hold this key", place=f"key {keyid[:16]}")
        return Door(public=found, signs=partial(self._sign, keyid))

    def make(self, role: str, owner: str, begins: datetime, ends: datetime) -> TrustedKey:
        """Have one more key made there.

        Raises:
            Refused: Keys of this role do not belong there.
            Unavailable: The signer does not answer.
        """
        made = self.ask(Make(role=role, owner=owner, begins=begins, ends=ends), Made).key
        self._held = None
        return made

    def destroy(self, keyid: str) -> None:
        """Destroy nothing: whoever took over a control plane could otherwise take its keys away.

        Raises:
            Refused: Always.
        """
        remedy = "Remove it where the signer keeps it, while the signer is stopped."
        raise Refused("a signer destroys no keys for a caller", place=f"key {keyid[:16]}", remedy=remedy)

    def unlock(self) -> None:
        """Check that the signer answers and can use its keys.

        Raises:
            Unavailable: It does not, or cannot.
        """
        self.ask(Health(), Healthy)

    def answers(self) -> bool:
        """Say whether a signer runs there and can use its keys; the connection is let go."""
        try:
            self.unlock()
        except HoldfastError:
            return False
        finally:
            self.close()
        return True

    def uses(self) -> dict[str, dict[str, int]]:
        """Return how often each key was used for what since the process began."""
        return self.ask(Health(), Healthy).uses

    def custody(self) -> str:
        """Say how well the keys are isolated: what signs is at least another process."""
        return self._custody

    def ask(self, request: Request, wanted: type[R]) -> R:
        """Return the answer to a request.

        Raises:
            Refused: The signer will not.
            NotFound: It knows no such key.
            Unavailable: It does not answer, or cannot.
        """
        with self._lock:
            try:
                reply = self._exchange(request)
            except Unavailable:  # it was started again, or dropped an idle connection: signing twice does no harm
                self._drop()
                reply = self._exchange(request)
        if isinstance(reply, Failed):
            raise _ERRORS.get(reply.code, Unavailable)(reply.message, place=reply.place or str(self._path))
        if not isinstance(reply, wanted):
            raise NotVerified("the signer answers something else than was asked", place=str(self._path))
        return reply

    def _sign(self, keyid: str, message: bytes) -> bytes:
        return self.ask(Sign(keyid=keyid, message=message), Signed).signature

    def _exchange(self, request: Request) -> Reply:
        try:
            connection = self._connection or self._connect()
            try:
                send(connection, request)
            except (
                Unavailable
            ):  # one that turns a caller away says why and closes, perhaps before the request is written
                with suppress(HoldfastError):
                    return receive_reply(connection)
                raise
            return receive_reply(connection)
        except HoldfastError as error:
            self._drop()
            raise Unavailable(
                f"the signer does not answer: {error.message}", place=str(self._path), remedy=_REMEDY
            ) from error

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        connection.settimeout(TIMEOUT_S)
        try:
            connection.connect(str(self._path))
        except OSError as error:
            connection.close()
            raise Unavailable(f"{error.strerror or error}", place=str(self._path), remedy=_REMEDY) from error
        self._connection = connection
        return connection

    def close(self) -> None:
        """Let the connection go."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
