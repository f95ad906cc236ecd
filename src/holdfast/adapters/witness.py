"""A witness of its own: a folder with its key, the logs it knows, and the newest tree it has cosigned of each.

What it has seen is kept durably before the cosignature leaves, under a lock that the kernel frees, so that neither a
crash nor two requests at once make it cosign two histories. What to answer is `core.witness`'s to decide.
"""

import base64
import fcntl
import http.client
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from holdfast.adapters.durable import PRIVATE_DIRECTORY, PRIVATE_FILE, write_new
from holdfast.adapters.keys import create_keys, open_keys
from holdfast.adapters.published import read_bounded, replace_durably
from holdfast.adapters.unlock import create_unlock_file, unlock_file
from holdfast.core.artifact import from_base64
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, NotFound, NotVerified, Unavailable
from holdfast.core.exposure import check_secure
from holdfast.core.ports import Clock
from holdfast.core.trust import raw_ed25519
from holdfast.core.witness import (
    COSIGNATURE,
    MAX_REQUEST,
    Declined,
    NoteKey,
    TreeHead,
    consider,
    cosignature_line,
    cosigned_message,
    parse_note_key,
)

CARD: Final = "witness.json"
SEEN: Final = "seen.json"
KEY_ROLE: Final = "ledger"  # the role whose keys sign notes; cosigned messages begin with their own word
MAX_FILE: Final = 1 << 20  # bytes of what a witness remembers; a log takes a hundred
TIMEOUT_S: Final = 10.0  # for a request to arrive, or an answer
ADD: Final = "/add-checkpoint"
SIZE_TYPE: Final = "text/x.tlog.size"


class _Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str
    logs: tuple[str, ...] = ()  # verifier keys


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    size: int
    root: str  # base64


class _Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    heads: dict[str, _Head] = {}


class WitnessFolder:
    """One witness; safe for threads, and beside other processes on the same folder."""

    __slots__ = ("_clock", "_keys", "_root", "key")

    def __init__(self, root: Path, clock: Clock) -> None:
        """Open a witness that `create_witness` made.

        Raises:
            NotFound: There is no witness here.
            NotVerified: Its card cannot be read.
        """
        self._root, self._clock = root, clock
        self._keys = open_keys(root / "keys", unlock_file(root / "unlock"))
        public = raw_ed25519(self._keys.signer(KEY_ROLE).public)
        self.key = NoteKey(name=self._card().name, sort=COSIGNATURE, public=public)

    def know(self, log: NoteKey) -> None:
        """Witness this log too, or this further key of it.

        Raises:
            InvalidInput: The key is a witness's, not a log's.
        """
        if log.sort == COSIGNATURE:
            raise InvalidInput("this is a witness's key", place=log.name, expected="the key of a log")
        with self._alone():
            card = self._card()
            logs = tuple(dict.fromkeys((*card.logs, str(log))))
            replace_durably(self._root / CARD, msgspec.json.encode(msgspec.structs.replace(card, logs=logs)))

    def answer(self, document: bytes) -> bytes | Declined:
        """Return the cosignature line for a request, or why there is none.

        Raises:
            NotVerified: What was seen cannot be read: nothing is cosigned without memory.
            Unavailable: It cannot be written, or the key not be unlocked.
        """
        with self._alone():
            seen = self._seen()
            verdict = consider(document, self._logs(), seen)
            if isinstance(verdict, Declined):
                return verdict
            stamp = int(self._clock.now().timestamp())
            signature = self._keys.signer(KEY_ROLE).sign(cosigned_message(verdict.text, stamp))
            self._remember(seen | {verdict.head.origin: verdict.head})  # before the cosignature leaves
        return cosignature_line(self.key, stamp, signature)

    def _logs(self) -> dict[str, list[NoteKey]]:
        logs: dict[str, list[NoteKey]] = {}
        for text in self._card().logs:
            key = parse_note_key(text)
            logs.setdefault(key.name, []).append(key)
        return logs

    def _card(self) -> _Card:
        return _read(self._root / CARD, _Card)

    def _seen(self) -> dict[str, TreeHead]:
        heads = _read(self._root / SEEN, _Seen).heads
        return {
            origin: TreeHead(origin=origin, size=head.size, root=from_base64(head.root))
            for origin, head in heads.items()
        }

    def _remember(self, seen: dict[str, TreeHead]) -> None:
        heads = {origin: _Head(size=h.size, root=base64.b64encode(h.root).decode()) for origin, h in seen.items()}
        try:
            replace_durably(self._root / SEEN, msgspec.json.encode(_Seen(heads=heads)))
        except OSError as error:
            raise Unavailable(f"what was seen cannot be kept: {error.strerror}", place=str(self._root)) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        descriptor = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


_File = TypeVar("_File", _Card, _Seen)


def _read(path: Path, of: type[_File]) -> _File:
    try:
        return msgspec.json.decode(read_bounded(path, MAX_FILE, "the witness's memory"), type=of)
    except NotFound as error:
        remedy = "Make one with `holdfast witness init`; a witness that lost its memory needs a new key and name."
        raise NotFound("there is no witness here", place=str(path), remedy=remedy) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, InvalidInput) as error:
        raise NotVerified(f"the witness's memory cannot be read: {error}", place=str(path)) from error


def create_witness(root: Path, name: str, clock: Clock) -> WitnessFolder:
    """Make a witness in a folder of its own, which must not hold one yet.

    Raises:
        InvalidInput: The name cannot stand in a signed note.
        Conflict: There is a witness already.
        Unavailable: The folder cannot be written.
    """
    if not name or any(letter.isspace() or letter == "+" for letter in name) or not name.isprintable():
        raise InvalidInput(f"a witness named {name!r}", expected="a name without spaces or +, such as example.org/w1")
    try:
        root.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        write_new(root / SEEN, msgspec.json.encode(_Seen()))
        unlock = create_unlock_file(root / "unlock", outside=root / "keys")
        create_keys(root / "keys", [KEY_ROLE], owner=name, clock=clock, unlock=unlock)
        write_new(root / CARD, msgspec.json.encode(_Card(name=name)))
    except FileExistsError as error:
        raise Conflict("there is a witness here already", place=str(root), remedy="Use another folder.") from error
    except OSError as error:
        raise Unavailable(f"the witness cannot be written: {error.strerror}", place=str(root)) from error
    return WitnessFolder(root, clock)


def serve_witness(witness: WitnessFolder, port: int, ready: Callable[[int], None]) -> None:
    """Answer requests on the loopback interface until interrupted (C2SP tlog-witness, "add-checkpoint").

    What lies beyond this machine is a reverse proxy's affair, which also speaks TLS.

    Raises:
        Unavailable: The port cannot be had.
    """
    handler = type("_Bound", (_Handler,), {"witness": witness})
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise Unavailable(f"the port cannot be had: {error.strerror}", place=f"127.0.0.1:{port}") from error
    with server:
        ready(server.server_address[1])
        server.serve_forever(poll_interval=0.1)


class _Handler(BaseHTTPRequestHandler):
    """One request: its length is stated and small, its answer is a line."""

    witness: WitnessFolder
    timeout = TIMEOUT_S
    protocol_version = "HTTP/1.1"
    server_version = "holdfast-witness"
    sys_version = ""

    def do_POST(self) -> None:
        """Answer a request for a cosignature."""
        length = self.headers.get("Content-Length", "")
        if self.path != ADD:
            self._say(HTTPStatus.NOT_FOUND, b"")
        elif not length.isdigit() or len(length) > len(str(MAX_REQUEST)) or int(length) > MAX_REQUEST:
            self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"")
        else:
            self._answer(self.rfile.read(int(length)))

    def _answer(self, document: bytes) -> None:
        try:
            verdict = self.witness.answer(document)
        except HoldfastError as error:  # it cannot remember, so it must not cosign; why is its operator's affair
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, f"{error.code}\n".encode())
            return
        if not isinstance(verdict, Declined):
            self._say(HTTPStatus.OK, verdict)
        elif verdict.size is not None:
            self._say(verdict.status, f"{verdict.size}\n".encode(), SIZE_TYPE)
        else:
            self._say(verdict.status, verdict.words.encode() + b"\n")

    def _say(self, status: int, body: bytes, sort: str = "text/plain; charset=utf-8") -> None:
        self.close_connection = True  # a body that was not read must not be taken for the next request
        self.send_response(status)
        self.send_header("Content-Type", sort)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the standard library
        """Print nothing: what a witness has cosigned is in its memory."""


def ask_witness(url: str, document: bytes) -> tuple[int, bytes]:
    """Send a request to a witness and return status and body of its answer.

    Raises:
        InvalidInput: The address is neither HTTPS nor this machine.
        Unavailable: The witness does not answer.
    """
    check_secure(url, "a witness")
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        try:
            connection.request("POST", parts.path.rstrip("/") + ADD, body=document)
            answer = connection.getresponse()
            return answer.status, answer.read(MAX_REQUEST)
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unavailable(f"the witness does not answer: {error}", place=url) from error
