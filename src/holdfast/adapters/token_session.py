"""The one session of this process with a PKCS#11 token.

A login is the whole process's, not a session's (PKCS #11 v3.0, 5.6, C_Login): a second one is refused, and a logout
takes the first one's too. So whoever uses a token here shares one session, which ends with its last user. It is held
open, because logging in takes longer than signing.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from holdfast.adapters.durable import read_private
from holdfast.adapters.key_places import TokenPlace
from holdfast.core.errors import MissingExtra, Unavailable

T = TypeVar("T")
MAX_PIN: Final = 256  # bytes


class TokenSession:
    """A session that is opened when it is first needed, and again when the token has dropped it."""

    def __init__(self) -> None:
        """Begin without a session."""
        self.handles: dict[str, Any] = {}  # of keys, by name; they are the session's, and end with it
        self._session: Any = None
        self._users: set[int] = set()
        self._lock = threading.RLock()

    def use(self, place: TokenPlace, user: object, operation: Callable[[Any], T]) -> T:
        """Return what an operation makes of the session; one that the token has dropped is opened again, once.

        Raises:
            Unavailable: The token does not answer, or the PIN is wrong.
            Refused: The PIN file is open to others.
        """
        error_class = pkcs11_error()
        with self._lock:
            pin = b"" if id(user) in self._users else _pin(place)
            fresh = self._session is None
            try:
                found = operation(self._session or self._login(place, pin or _pin(place)))
            except error_class as error:
                self._forget()
                if fresh:
                    raise _unavailable(place, error) from error
                try:
                    found = operation(self._login(place, _pin(place)))
                except error_class as again:
                    self._forget()
                    raise _unavailable(place, again) from again
            self._users.add(id(user))
            return found

    def leave(self, user: object) -> None:
        """Log out, if nobody else uses the token."""
        with self._lock:
            self._users.discard(id(user))
            if not self._users:
                self._forget()

    def _login(self, place: TokenPlace, pin: bytes) -> Any:
        import pkcs11

        try:
            token = pkcs11.lib(str(place.module.resolve())).get_token(token_label=place.label)
        except (RuntimeError, OSError) as error:  # the library cannot be loaded
            raise _unavailable(place, error) from error
        self._session = token.open(rw=True, user_pin=pin.decode(errors="replace"))
        return self._session

    def _forget(self) -> None:
        session, self._session = self._session, None
        self.handles.clear()
        if session is not None:
            try:
                session.close()
            except pkcs11_error():
                return  # it was gone already


_SESSIONS: Final[dict[tuple[Path, str], TokenSession]] = {}
_TABLE: Final = threading.Lock()


def session_with(place: TokenPlace) -> TokenSession:
    """Return this process's session with a token; whichever way its library is named, it is loaded once."""
    with _TABLE:
        return _SESSIONS.setdefault((place.module.resolve(), place.label), TokenSession())


def pkcs11_error() -> type[Exception]:
    """Return the class of all errors of a token.

    Raises:
        MissingExtra: The library that speaks to tokens is not installed.
    """
    try:
        from pkcs11.exceptions import PKCS11Error
    except ImportError as error:
        raise MissingExtra("keys in a token need python-pkcs11", remedy="pip install 'holdfast[hsm]'") from error
    return PKCS11Error


def _pin(place: TokenPlace) -> bytes:
    return read_private(place.pin_file, what="the token's PIN file", limit=MAX_PIN).partition(b"\n")[0]


def _unavailable(place: TokenPlace, error: Exception) -> Unavailable:
    return Unavailable(
        f"the token {place.label} does not answer: {type(error).__name__} {error}".rstrip(),
        place=str(place.module),
        expected="a token of this label, and its PIN",
        remedy="Look that the module, the label and the PIN file are right, and that the key is still there.",
    )
