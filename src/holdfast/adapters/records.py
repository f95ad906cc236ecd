"""Records of a gateway, encrypted for its control plane: the gateway appends, and cannot read again what it wrote.

The control plane hands it the public half of a data key in a small file. It is read anew for each group, some twenty a
second at most, so that another key counts at once; without it nothing is written, and the gateway keeps its records in
memory as long as it may.
"""

from pathlib import Path
from typing import Final, Literal

import msgspec

from holdfast.adapters.durable import read_private
from holdfast.adapters.published import replace_durably
from holdfast.core.errors import HoldfastError, NotVerified, Unavailable

RECORDS_KEY: Final = "gateway records"  # the data key's name in the vault
MAX_FILE: Final = 4096  # bytes


class RecordsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """For whom a gateway encrypts what it records."""

    format: Literal["holdfast-records-1"]
    recipient: str


def encrypt_record(path: Path, record: bytes) -> bytes:
    """Return a record encrypted for the recipient that a file names.

    Raises:
        NotFound: There is no such file.
        NotVerified: It names no recipient.
    """
    from pyrage import RecipientError, encrypt, x25519

    try:
        return bytes(encrypt(record, [x25519.Recipient.from_str(read_recipient(path))]))
    except RecipientError as error:
        raise NotVerified("the file names no age recipient", place=str(path)) from error


def read_recipient(path: Path) -> str:
    """Return for whom records are to be encrypted.

    Raises:
        NotFound: Nobody has said so yet.
        NotVerified: The file cannot be read.
    """
    document = read_private(path, what="the file that says for whom records are encrypted", limit=MAX_FILE)
    try:
        return msgspec.json.decode(document, type=RecordsFile).recipient
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotVerified(f"for whom records are encrypted cannot be read: {error}", place=str(path)) from error


def keep_recipient(path: Path, recipient: str) -> None:
    """Say for whom records are to be encrypted, unless the file says so already.

    Raises:
        Unavailable: It cannot be written.
    """
    try:
        if read_recipient(path) == recipient:
            return
    except HoldfastError:  # missing, or changed: it is written anew
        pass
    try:
        replace_durably(path, msgspec.json.encode(RecordsFile(format="holdfast-records-1", recipient=recipient)))
    except OSError as error:
        raise Unavailable(f"the gateway's folder cannot be written: {error.strerror}", place=str(path)) from error
