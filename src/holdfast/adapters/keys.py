"""Keys on disk: one or more for each role, encrypted at rest, opened by one secret, and never handed out.

The first key of a role lies in `ROLE.json`, its successors in `ROLE-KEYID.json`. A private key lies in a file of its
own, which only its owner may read, encrypted as `key_wrap` says and bound to all that the file says about it: role, id,
owner and window. The secret is asked for when the first signature is, so that commands which only read never ask.
Custody is `same-disk`: whoever is this user on this machine can sign. That is said, not hidden: a policy may demand
better.
"""

import base64
import errno
import shutil
import tempfile
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from holdfast.adapters.doors import Door
from holdfast.adapters.durable import PRIVATE_DIRECTORY, exchange, read_private, sync_directory, write_new
from holdfast.adapters.key_wrap import Box, Ring, new_ring, open_ring, unwrap, wrap
from holdfast.adapters.unlock import Unlock, check_new
from holdfast.core.artifact import canonical
from holdfast.core.errors import Conflict, InvalidInput, NotFound, NotVerified, Unavailable
from holdfast.core.keystate import newest
from holdfast.core.trust import ROLES, Algorithm, TrustedKey, keyid_of

if TYPE_CHECKING:  # ports load what a signature needs nothing of
    from holdfast.core.ports import Clock

Private: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
T = TypeVar("T")

VALID_FOR: Final = timedelta(days=365)  # NIST SP 800-57 part 1, 5.3.6: a private signature key serves 1 to 3 years
ALGORITHMS: Final[Mapping[str, Algorithm]] = {"release": "ecdsa-p256", "ingest": "ecdsa-p256"}
"""Roles whose keys are not Ed25519: they sign files too, and public tools take keys of NIST curves only for that."""

MAX_FILE: Final = 64 * 1024  # bytes; a key file takes less than 1 KiB
_RING: Final = "ring.json"
_SHORT: Final = 16  # hexadecimal digits of a key id in a file's name


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One key: its public half in the clear, its private half in a box."""

    format: Literal["holdfast-key-1"]
    public: TrustedKey
    private: Box


class FileKeys:
    """The keys of one folder (port `KeyStore`). Opening asks for no secret; the first signature does."""

    __slots__ = ("_files", "_lock", "_master", "_opened", "_ring", "_root", "_unlock")

    def __init__(self, root: Path, ring: Ring, files: Mapping[str, KeyFile], unlock: Unlock) -> None:
        """Hold what `open_keys` has read: files by key id."""
        self._root = root
        self._ring = ring
        self._files = dict(files)
        self._unlock = unlock
        self._master: bytes | None = None
        self._opened: dict[str, Private] = {}
        self._lock = threading.Lock()

    def signer(self, role: str) -> Door:
        """Return the signer of a role, of several keys the newest; the ring is unlocked when it first signs.

        Raises:
            NotFound: No key for this role.
        """
        return self.signer_of(self._newest(role).keyid)

    def signer_of(self, keyid: str) -> Door:
        """Return the signer of one key.

        Raises:
            NotFound: It does not lie here.
        """
        return Door(public=self._file(keyid).public, signs=partial(self.sign, keyid))

    def sign(self, keyid: str, message: bytes) -> bytes:
        """Return a signature by one key; see `Door.sign`."""
        with self._lock:
            if keyid not in self._opened:
                self._opened[keyid] = _unwrapped(self._file(keyid), self._unlocked())
            private = self._opened[keyid]
        if isinstance(private, ed25519.Ed25519PrivateKey):
            return private.sign(message)
        return private.sign(message, ec.ECDSA(hashes.SHA256()))

    def unlock(self) -> None:
        """Ask for the secret now rather than at the first signature.

        Raises:
            Unavailable: The secret is missing or wrong.
        """
        with self._lock:
            self._unlocked()

    def make(self, role: str, owner: str, begins: datetime, ends: datetime) -> TrustedKey:
        """Make one more key, beside those that are there, and return its public half; nobody trusts it yet.

        Raises:
            InvalidInput: There is no such role.
            Unavailable: The secret is missing or wrong, or the folder cannot be written.
        """
        if role not in ROLES:
            raise InvalidInput(f"a key for {role}", expected=", ".join(ROLES))
        with self._lock:
            file = _new_key(role, owner, begins.astimezone(UTC), ends.astimezone(UTC), self._unlocked())
            self._write(self._root / f"{role}-{file.public.keyid[:_SHORT]}.json", file)
            self._files[file.public.keyid] = file
        return file.public

    def destroy(self, keyid: str) -> None:
        """Remove a key's file; what a disk keeps of it is encrypted.

        Raises:
            NotFound: It does not lie here.
            Unavailable: The folder cannot be written.
        """
        with self._lock:
            wanted = next((path for path, file in _paths(self._root).items() if file.public.keyid == keyid), None)
            if wanted is None:
                raise NotFound("this key does not lie here", place=f"key {keyid[:16]}")
            try:
                wanted.unlink()
                sync_directory(self._root)
            except OSError as error:
                raise Unavailable(f"the key cannot be removed: {error.strerror}", place=str(wanted)) from error
            self._files.pop(keyid, None)
            self._opened.pop(keyid, None)

    def rewrap(self, unlock: Unlock) -> None:
        """Protect the keys with another secret: every file is written anew under a new ring, then the ring.

        The new files are made beside the folder and take its place in one step, so that a crash leaves all keys under
        one secret or the other.

        Raises:
            InvalidInput: The new passphrase is too easily guessed.
            Unavailable: The present secret is missing or wrong, or the folder cannot be written.
        """
        secret = unlock.secret()
        check_new(unlock, secret)
        with self._lock:
            old = self._unlocked()
            ring, master = new_ring(unlock.sort, secret)
            files = {}
            for path, file in _paths(self._root).items():
                content = unwrap(old, purpose=_purpose(file.public), box=file.private, said=canonical(file.public))
                box = wrap(master, purpose=_purpose(file.public), content=content, said=canonical(file.public))
                files[path.stem] = KeyFile(format="holdfast-key-1", public=file.public, private=box)
            _replace_folder(self._root, ring, files)
            self._ring, self._unlock, self._master = ring, unlock, master
            self._files = {file.public.keyid: file for file in files.values()}

    def opened_by(self, unlock: Unlock) -> None:
        """Say where the secret that opens the keys lies from now on."""
        self._unlock = unlock

    def refresh(self) -> None:
        """Read again which keys lie here: another process may have made one.

        Raises:
            Refused: A key file is open to others.
            NotVerified: A key file cannot be read, or is not of the role it is named after.
        """
        files = _read_files(self._root)
        with self._lock:
            self._files = files

    def held(self) -> tuple[TrustedKey, ...]:
        """Return the public halves of all that lie here, by role, oldest first."""
        found = (file.public for file in self._files.values())
        return tuple(sorted(found, key=lambda key: (key.role, key.not_before, key.keyid)))

    def trusted_keys(self) -> tuple[TrustedKey, ...]:
        """Return the public halves with their windows, by role: of several keys the newest."""
        return tuple(self._newest(role) for role in sorted({file.public.role for file in self._files.values()}))

    def public_pem(self, role: str) -> bytes:
        """Return a public key as PEM, for other tools.

        Raises:
            NotFound: No key for this role.
        """
        public = serialization.load_der_public_key(base64.b64decode(self._newest(role).public))
        return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def custody(self) -> str:
        """Say how well the private keys are isolated from what they sign."""
        return "same-disk"

    def close(self) -> None:
        """Forget what was unlocked; the next signature asks for the secret again."""
        with self._lock:
            self._master = None
            self._opened.clear()

    def _newest(self, role: str) -> TrustedKey:
        found = newest(file.public for file in self._files.values() if file.public.role == role)
        if found is None:
            roles = sorted({file.public.role for file in self._files.values()})
            raise NotFound(f"there is no key of role {role}", expected=", ".join(roles))
        return found

    def _file(self, keyid: str) -> KeyFile:
        if keyid not in self._files:
            raise NotFound("this key does not lie here", place=f"key {keyid[:16]}")
        return self._files[keyid]

    def _write(self, path: Path, file: KeyFile) -> None:
        try:
            write_new(path, msgspec.json.encode(file))
        except OSError as error:
            raise Unavailable(f"the key cannot be written: {error.strerror}", place=str(path)) from error

    def _unlocked(self) -> bytes:
        if self._master is None:
            self._master = open_ring(self._ring, self._unlock)
        return self._master


def create_keys(
    root: Path,
    roles: Iterable[str],
    *,
    owner: str,
    clock: "Clock",
    unlock: Unlock,
    valid_for: timedelta = VALID_FOR,
) -> FileKeys:
    """Make one key for each role in a new folder: all of them or none, also if the process dies on the way.

    Args:
        root: The folder; it must not exist yet, or be empty.
        roles: Roles of `core.trust.ROLES`.
        owner: The person or service that answers for the keys.
        clock: When their window begins.
        unlock: What will open them.
        valid_for: How long their window lasts.

    Raises:
        InvalidInput: No roles, an unknown one, no owner, or a passphrase that is too easily guessed.
        Conflict: The folder holds something; keys are never overwritten.
        Unavailable: The folder cannot be written, or the secret cannot be had.
    """
    wanted = tuple(dict.fromkeys(roles))
    unknown = [role for role in wanted if role not in ROLES]
    if not wanted or unknown:
        raise InvalidInput(f"keys for {', '.join(unknown) or 'no role'}", expected=", ".join(ROLES))
    if not owner.strip():
        raise InvalidInput("keys without an owner", expected="the person or service that answers for them")
    secret = unlock.secret()
    check_new(unlock, secret)
    ring, master = new_ring(unlock.sort, secret)
    begins = clock.now().astimezone(UTC)
    files = {role: _new_key(role, owner, begins, begins + valid_for, master) for role in wanted}
    _write_folder(root, ring, files)
    return FileKeys(root, ring, {file.public.keyid: file for file in files.values()}, unlock)


def open_keys(root: Path, unlock: Unlock) -> FileKeys:
    """Return the keys of a folder; the secret is asked for at the first signature.

    Raises:
        NotFound: There are no keys.
        Refused: A key file is open to others.
        NotVerified: A key file cannot be read, or is not of the role it is named after.
    """
    files = _read_files(root)
    return FileKeys(root, _read(root / _RING, Ring, "the key ring"), files, unlock)


def trusted_keys(root: Path) -> tuple[TrustedKey, ...]:
    """Return the public halves of a folder's keys with their windows, by role; no secret is needed.

    Nothing but the folder vouches for them: it is the trust document, signed by the root, that makes them trusted.

    Raises:
        NotFound: There are no keys.
        Refused: A key file is open to others.
        NotVerified: A key file cannot be read, or is not of the role it is named after.
    """
    found = (file.public for file in _read_files(root).values())
    return tuple(sorted(found, key=lambda key: (key.role, key.not_before, key.keyid)))


def _read_files(root: Path) -> dict[str, KeyFile]:
    """Return the key files of a folder by key id."""
    return {file.public.keyid: file for file in _paths(root).values()}


def _paths(root: Path) -> dict[Path, KeyFile]:
    paths = sorted(path for path in root.glob("*.json") if path.name != _RING)
    if not paths:
        raise NotFound(
            "there are no keys",
            place=str(root),
            remedy="Name a folder with keys; `holdfast init` makes a workspace's, `holdfast person new` a person's.",
        )
    files: dict[Path, KeyFile] = {}
    for path in paths:
        file = _read(path, KeyFile, f"the key file {path.name}")
        role, _, keyid = path.stem.partition("-")
        if file.public.role != role or role not in ROLES or not file.public.keyid.startswith(keyid):
            raise NotVerified(f"the key is of role {file.public.role}", place=str(path), expected=f"role {path.stem}")
        twin = next((each for each in files.values() if each.public.keyid == file.public.keyid), None)
        if twin is not None:
            roles = f"role {twin.public.role} and role {role}"
            raise NotVerified(f"the files of {roles} name one key", place=str(path), expected="a key of its own each")
        files[path] = file
    return files


def _read(path: Path, of: type[T], what: str) -> T:
    data = read_private(path, what=what, limit=MAX_FILE)
    try:
        return msgspec.json.decode(data, type=of)
    except msgspec.MsgspecError as error:
        raise NotVerified(f"{what} cannot be read: {error}", place=str(path)) from error


def _new_key(role: str, owner: str, begins: datetime, ends: datetime, master: bytes) -> KeyFile:
    algorithm = ALGORITHMS.get(role, "ed25519")
    private: Private = (
        ed25519.Ed25519PrivateKey.generate() if algorithm == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    )
    der = _public_der(private)
    public = TrustedKey(
        keyid=keyid_of(der),
        algorithm=algorithm,
        public=base64.b64encode(der).decode(),
        role=role,
        not_before=begins,
        not_after=ends,
        owner=owner,
    )
    content = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    box = wrap(master, purpose=_purpose(public), content=content, said=canonical(public))
    return KeyFile(format="holdfast-key-1", public=public, private=box)


def _unwrapped(file: KeyFile, master: bytes) -> Private:
    place = f"key {file.public.keyid[:16]} of role {file.public.role}"
    try:
        content = unwrap(master, purpose=_purpose(file.public), box=file.private, said=canonical(file.public))
    except NotVerified as error:
        raise NotVerified("the key file was changed after it was made", place=place) from error
    private = serialization.load_der_private_key(content, password=None)
    # The ring's holder could have wrapped another key under this id; the type is for the type checker.
    if not isinstance(private, Private) or keyid_of(_public_der(private)) != file.public.keyid:
        raise NotVerified("the private key does not belong to the public one", place=place)
    return private


def _purpose(public: TrustedKey) -> bytes:
    return f"{public.role}\n{public.keyid}".encode()


def _public_der(private: Private) -> bytes:
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _write_folder(root: Path, ring: Ring, files: Mapping[str, KeyFile]) -> None:
    """Write everything beside its place and move it there at once: a folder with some of its keys never exists."""
    beside = None
    try:
        root.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        beside = _beside(root, ring, files)
        beside.rename(root)  # fails on a folder that holds anything
        sync_directory(root.parent)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise Conflict("there is something already where the keys would lie", place=str(root)) from error
        raise Unavailable(f"the keys cannot be written: {error.strerror}", place=str(root)) from error
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)  # gone if it was moved; a crash leaves only encrypted keys


def _replace_folder(root: Path, ring: Ring, files: Mapping[str, KeyFile]) -> None:
    """Exchange the whole folder for another (renameat2, RENAME_EXCHANGE): there is no moment with half of either."""
    beside = None
    try:
        beside = _beside(root, ring, files)
        exchange(beside, root)
        sync_directory(root.parent)
    except OSError as error:
        raise Unavailable(f"the keys cannot be written: {error.strerror}", place=str(root)) from error
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)  # what was there before, encrypted under the old secret


def _beside(root: Path, ring: Ring, files: Mapping[str, KeyFile]) -> Path:
    beside = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        for name, content in {_RING: ring, **{f"{stem}.json": file for stem, file in files.items()}}.items():
            write_new(beside / name, msgspec.json.encode(content))
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return beside
