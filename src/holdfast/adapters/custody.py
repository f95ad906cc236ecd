"""Where a workspace keeps the keys of its stages: a folder, a signer process, or a token; said in one public file.

Keys of persons and of the root stay in the workspace's own folder whatever is chosen here, or with their owners.
"""

from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

import msgspec

from holdfast.adapters.durable import read_private
from holdfast.adapters.keys import FileKeys, create_keys, open_keys
from holdfast.adapters.published import replace_durably
from holdfast.adapters.signer_client import SignerProcess
from holdfast.adapters.signer_process import STAGES
from holdfast.adapters.token_keys import TokenKeys
from holdfast.adapters.unlock import Unlock
from holdfast.core.errors import Conflict, InvalidInput, NotVerified, Unavailable
from holdfast.core.ports import Clock, KeyStore
from holdfast.core.trust import TrustedKey

CUSTODY_FILE: Final = "custody.json"
SIGNER: Final = "signer"  # the signer's folder in the workspace: keys, and the socket if none is named
MAX_CUSTODY: Final = 16 * 1024  # bytes
LASTS: Final = timedelta(days=365)


class Custody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the keys of the stages are."""

    format: Literal["holdfast-custody-1"] = "holdfast-custody-1"
    store: Literal["file", "signer", "hsm"] = "file"
    socket: str = ""  # of the signer process
    module: str = ""  # the token's PKCS#11 library; with `signer`, it is the signer that uses the token
    token: str = ""
    pin_file: str = ""

    def check(self) -> None:
        """Check that it can be used.

        Raises:
            InvalidInput: A token is named by halves, or where none is used.
        """
        named = [bool(self.module), bool(self.token), bool(self.pin_file)]
        if (
            any(named) != all(named)
            or (self.store == "hsm" and not all(named))
            or (self.store == "file" and any(named))
        ):
            expected = "--module, --token and --pin-file together, for a token"
            raise InvalidInput("the token is not named as it must be", place=CUSTODY_FILE, expected=expected)


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
    if custody.store == "hsm":
        return _token(workspace, custody)
    return None


def served_store(workspace: Path, custody: Custody, unlock: Unlock) -> KeyStore:
    """Return what a signer process serves: a token, or the folder that it alone can open.

    Raises:
        Conflict: The workspace uses no signer.
        NotFound: The signer has no keys.
    """
    if custody.store != "signer":
        remedy = "Give it the keys with `holdfast key custody signer`."
        raise Conflict("the workspace uses no signer", place=str(workspace / CUSTODY_FILE), remedy=remedy)
    return _token(workspace, custody) if custody.module else open_keys(workspace / SIGNER / "keys", unlock)


def new_keys(
    workspace: Path, custody: Custody, unlock: Unlock | None, owner: str, clock: Clock
) -> tuple[TrustedKey, ...]:
    """Make a key for each stage where a custody says, and return their public halves; nobody trusts them yet.

    Raises:
        Conflict: There are keys already.
        Unavailable: The store does not answer, or cannot be written.
    """
    if custody.module:
        token, now = _token(workspace, custody), clock.now()
        try:
            return tuple(token.make(role, owner, now, now + LASTS) for role in STAGES)
        finally:
            token.close()
    if unlock is None:
        raise InvalidInput("nothing is named that opens the keys", expected="an unlock file or a passphrase")
    made: FileKeys = create_keys(workspace / SIGNER / "keys", STAGES, owner=owner, clock=clock, unlock=unlock)
    return made.held()


def socket_of(workspace: Path, custody: Custody) -> Path:
    """Return where the signer listens."""
    return Path(custody.socket) if custody.socket else workspace / SIGNER / "socket"


def _token(workspace: Path, custody: Custody) -> TokenKeys:
    return TokenKeys(
        module=Path(custody.module),
        label=custody.token,
        pin_file=Path(custody.pin_file),
        folder=workspace / "token",
    )
