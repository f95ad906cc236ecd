"""Finds that somebody has accepted: by a comment beside them, or by a file of salted hashes.

Neither holds the secret. A hash is made with scrypt and a salt of the file's own, so that a short password cannot be
guessed back from a file that lies in a repository as fast as it is read.
"""

import hashlib
import re
from pathlib import Path
from typing import Final

import msgspec

from holdfast.core.artifact import canonical
from holdfast.core.errors import InvalidInput

MIN_REASON: Final = 8  # characters: one word is no reason
MAX_BASELINE: Final = 16 << 20  # bytes
_COST: Final = 1 << 12  # of scrypt: 4 MiB and about 10 ms for each distinct secret
_COMMENT: Final = re.compile(rb"holdfast:allow-secret[ :(-]{1,4}([^\r\n]{0,300})")


class Accepted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One accepted secret: its salted hash, which rule found it where, and why it may stay."""

    mark: str
    rule: str
    where: str
    reason: str


class Baseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All accepted secrets of one place."""

    version: int
    salt: str
    accepted: tuple[Accepted, ...] = ()

    def mark(self, secret: bytes) -> str:
        """Return the salted hash by which a secret is known here."""
        salt = bytes.fromhex(self.salt)
        return hashlib.scrypt(secret, salt=salt, n=_COST, r=8, p=1, dklen=16).hex()

    def reason(self, mark: str) -> str:
        """Return why a secret may stay, or nothing where it may not."""
        return next((each.reason for each in self.accepted if each.mark == mark), "")


def read_baseline(path: Path) -> Baseline:
    """Return the baseline in a file.

    Raises:
        InvalidInput: It is none, or an entry gives no reason.
    """
    try:
        data = path.read_bytes()
        if len(data) > MAX_BASELINE:
            raise InvalidInput(f"{len(data)} bytes", place=str(path), expected=f"at most {MAX_BASELINE}")
        found = msgspec.json.decode(data, type=Baseline)
        salted = len(bytes.fromhex(found.salt)) >= 16
    except OSError as error:
        raise InvalidInput(f"the baseline cannot be read: {error.strerror}", place=str(path)) from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInput(f"this is no baseline: {error}", place=str(path)) from error
    if found.version != 1 or not salted:
        raise InvalidInput("a baseline of another version, or with too short a salt", place=str(path), expected="1")
    if any(len(each.reason.strip()) < MIN_REASON for each in found.accepted):
        raise InvalidInput("an accepted secret without a reason", place=str(path), expected="a sentence for each")
    return found


def written(baseline: Baseline) -> bytes:
    """Return a baseline as its file, the same bytes for the same entries."""
    ordered = sorted(baseline.accepted, key=lambda each: (each.where, each.rule, each.mark))
    return canonical(msgspec.structs.replace(baseline, accepted=tuple(ordered))) + b"\n"


def excuse(data: bytes, at: int) -> str:
    """Return the reason that a comment gives on the line of a find or on the line before; nothing where none does.

    >>> excuse(b'key = "..."  # holdfast:allow-secret: revoked in 2024', 5)
    'revoked in 2024'
    """
    begin = data.rfind(b"\n", max(0, at - 2000), at)
    before = data.rfind(b"\n", max(0, begin - 2000), begin) if begin > 0 else -1
    end = data.find(b"\n", at, at + 4000)
    lines = data[before + 1 : begin] if begin > 0 else b"", data[begin + 1 : end if end >= 0 else at + 4000]
    for line in lines:
        found = _COMMENT.search(line)
        if found and len(found[1].strip(b" )*/->")) >= MIN_REASON:
            return found[1].strip(b" )*/->").decode("utf-8", "replace")
    return ""
