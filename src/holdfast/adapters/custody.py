"""Where a workspace keeps the keys of its stages: a folder, a signer process, a token or a service; in one file.

Keys of persons and of the root stay in the workspace's own folder whatever is chosen here, or with their owners.
"""

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from holdfast.adapters.durable import PRIVATE_DIRECTORY, read_private
from holdfast.adapters.key_places import KmsPlace, TokenPlace, parse_place
from holdfast.adapters.keys import FileKeys, create_keys, open_keys
from holdfast.adapters.published import replace_durably
from holdfast.adapters.service_keys import ServiceKeys
from holdfast.adapters.signer_client import SignerProcess
from holdfast.adapters.signer_process import STAGES
from holdfast.adapters.unlock import Unlock
from holdfast.adapters.wrapped_unlock import open_service
from holdfast.core.errors import Conflict, InvalidInput, NotVerified, Unavailable
from holdfast.core.ports import Clock, KeyStore
from holdfast.core.trust import TrustedKey

CUSTODY_FILE: Final = "custody.json"
SIGNER: Final = "signer"  # the signer's folder in the workspace: keys, and the socket if none is named
SERVICES: Final = "services"  # the folder of what is said about keys in services: one folder for each
ADDRESS: Final = "address"  # beside them: where the service was when keys were last made there
MAX_CUSTODY: Final = 16 * 1024  # bytes
LASTS: Final = timedelta(days=365)


Store: TypeAlias = Literal["file", "signer", "hsm", "kms", "vault"]


class Custody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the keys of the stages are. It names files that hold credentials, and never holds one."""

    format: Literal["holdfast-custody-1"] = "holdfast-custody-1"
    store: Store = "file"
    socket: str = ""  # of the signer process
    service: str = ""  # the address of a token or service; with `signer`, it is the signer that uses it

    def sort(self) -> Store:
        """Return what holds the keys in the end: behind a signer, a folder of its own or a service.

        Raises:
            InvalidInput: The service is missing, is another than the store says, or is named where none is used.
        """
        sort: Store = _sort_of(self.service) if self.service else "file"
        if self.store in {"signer", sort}:
            return sort
        raise InvalidInput(
            f"keys in store {self.store}, in a service of sort {sort}",
            place=CUSTODY_FILE,
            expected="--module, --token and --pin-file for hsm; --service awskms://… for kms, vault://… for vault",
        )


def _sort_of(service: str) -> Literal["hsm", "kms", "vault"]:
    place = parse_place(service)
    if isinstance(place, TokenPlace):
        return "hsm"
    return "kms" if isinstance(place, KmsPlace) else "vault"


def read_custody(workspace: Path) -> Custody:
    """Return where a workspace's stage keys are; in its folder, where nothing says otherwise.

    Raises:
        NotVerified: The file cannot be read.
    """
    path = workspace / CUSTODY_FILE
    if not path.exists():
        return Custody()
    try:
        return msgspec.json.decode(read_private(path, what="the custody file", limit=MAX_CUSTODY), type=Custody)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotVerified(f"the custody file cannot be read: {error}", place=str(path)) from error


def write_custody(workspace: Path, custody: Custody) -> None:
    """Say where the keys of the stages are from now on.

    Raises:
        Unavailable: It cannot be written.
    """
    try:
        replace_durably(workspace / CUSTODY_FILE, msgspec.json.encode(custody))
    except OSError as error:
        raise Unavailable(f"the custody file cannot be written: {error.strerror}", place=str(workspace)) from error


def stage_store(workspace: Path, custody: Custody) -> KeyStore | None:
    """Return the store of the stages' keys as the control plane uses it; None where they lie in the common folder."""
    if custody.store == "signer":
        return SignerProcess(socket_of(workspace, custody))
    return _in_service(workspace, custody) if custody.service else None


def former_stores(workspace: Path, custody: Custody) -> tuple[KeyStore, ...]:
    """Return the services that keys were moved out of, where there are keys to end yet; none of them makes new ones.

    Raises:
        InvalidInput: The address beside what is said about keys is none.
    """
    found = []
    for file in sorted((workspace / SERVICES).glob(f"*/{ADDRESS}")):
        address = read_private(file, what="the address of a service", limit=MAX_CUSTODY).decode(errors="replace")
        used = custody.service and file.parent == folder_of(workspace, custody.service)
        if not used and any(file.parent.glob("*.json")):
            found.append(ServiceKeys(open_service(address), file.parent))
    return tuple(found)


def folder_of(workspace: Path, service: str) -> Path:
    """Return where it is said what the keys in a service are.

    Raises:
        InvalidInput: The address names no service.
    """
    identity = parse_place(service).identity()
    return workspace / SERVICES / f"{identity.partition(' ')[0]}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def served_store(workspace: Path, custody: Custody, unlock: Unlock) -> KeyStore:
    """Return what a signer process serves: a token, a service, or the folder that it alone can open.

    Raises:
        Conflict: The workspace uses no signer.
        NotFound: The signer has no keys.
    """
    if custody.store != "signer":
        remedy = "Give it the keys with `holdfast key custody signer`."
        raise Conflict("the workspace uses no signer", place=str(workspace / CUSTODY_FILE), remedy=remedy)
    return _in_service(workspace, custody) if custody.service else signer_keys(workspace, unlock)


def signer_keys(workspace: Path, unlock: Unlock) -> FileKeys:
    """Return the keys in the folder of the signer.

    Raises:
        NotFound: There are none.
    """
    return open_keys(workspace / SIGNER / "keys", unlock)


def new_keys(
    workspace: Path, custody: Custody, unlock: Unlock | None, owner: str, clock: Clock
) -> tuple[TrustedKey, ...]:
    """Make a key for each stage where a custody says, and return their public halves; nobody trusts them yet.

    Raises:
        Conflict: There are keys already.
        Unavailable: The store does not answer, or cannot be written.
    """
    if custody.service:
        store, now = _in_service(workspace, custody), clock.now()
        try:
            _note_address(workspace, custody)
            return store.make_each(STAGES, owner, now, now + LASTS)
        finally:
            store.close()
    if unlock is None:
        raise InvalidInput("nothing is named that opens the keys", expected="an unlock file or a passphrase")
    made: FileKeys = create_keys(workspace / SIGNER / "keys", STAGES, owner=owner, clock=clock, unlock=unlock)
    return made.held()


def socket_of(workspace: Path, custody: Custody) -> Path:
    """Return where the signer listens."""
    return Path(custody.socket) if custody.socket else workspace / SIGNER / "socket"


def _in_service(workspace: Path, custody: Custody) -> ServiceKeys:
    return ServiceKeys(open_service(custody.service), folder_of(workspace, custody.service))


def _note_address(workspace: Path, custody: Custody) -> None:
    folder = folder_of(workspace, custody.service)
    try:
        folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        replace_durably(folder / ADDRESS, custody.service.encode())
        if custody.store == SIGNER:
            (workspace / SIGNER).mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)  # for its socket: keys it has none
    except OSError as error:
        raise Unavailable(f"the service cannot be noted: {error.strerror}", place=str(folder)) from error
