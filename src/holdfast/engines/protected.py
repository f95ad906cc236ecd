"""Protected attributes as they lie in a table of features: each cell sealed for its column, and nothing to tell by.

Cells are AES-SIV (RFC 5297) over the value and the number of its row, padded: the same table gives the same bytes, so
that features follow from their data set, and two rows of one group do not look alike. Decides the bytes of a cell;
leaves to the platform who has the key.
"""

import struct
from collections.abc import Iterable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from holdfast.core.errors import InvalidInput, NotVerified

KEY: Final = 32  # bytes of the project's key; the cipher's two are derived from it
_SIV_KEY: Final = 64  # bytes: AES-256 to authenticate, AES-256 to encrypt
_HEAD: Final = struct.Struct(">QI")  # number of the row, bytes of the value
_BLOCK: Final = 64  # bytes to which a cell is padded: its length says little of the value


class Protected:
    """The protected attributes of one project."""

    def __init__(self, key: bytes) -> None:
        """Derive the cipher's keys from the project's key.

        Raises:
            InvalidInput: It is of another length.
        """
        if len(key) != KEY:
            raise InvalidInput(f"a key of {len(key)} bytes", expected=str(KEY))
        made = HKDF(algorithm=hashes.SHA256(), length=_SIV_KEY, salt=None, info=b"holdfast protected siv 1").derive(key)
        self._siv = AESSIV(made)

    def seal(self, column: str, values: Iterable[str], first: int = 0) -> list[bytes]:
        """Return the cells of a column, one for each row in order, the first of which has this number."""
        named = [column.encode()]
        return [self._siv.encrypt(_padded(row, value.encode()), named) for row, value in enumerate(values, first)]

    def open(self, column: str, cells: Iterable[bytes]) -> list[str]:
        """Return the values of some cells of a column, in any order and number.

        Raises:
            NotVerified: A cell is of another column or another key, or was changed.
        """
        named = [column.encode()]
        try:
            plain = [self._siv.decrypt(cell, named) for cell in cells]
        except (InvalidTag, ValueError) as error:
            remedy = "Run again: features are sealed under the key that the project has now."
            raise NotVerified("a protected attribute does not open", place=column, remedy=remedy) from error
        return [cell[_HEAD.size : _HEAD.size + _HEAD.unpack_from(cell)[1]].decode() for cell in plain]


def _padded(row: int, value: bytes) -> bytes:
    cell = _HEAD.pack(row, len(value)) + value
    return cell + bytes(-len(cell) % _BLOCK)
