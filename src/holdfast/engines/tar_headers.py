"""Headers of tar members within bounds: a long name is kilobytes, and one of gigabytes is there to fill the memory."""

import tarfile
from typing import Final, Self

MAX_HEADER: Final = 1 << 20  # bytes of a long name or of extended attributes
_LONG: Final = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class BoundedInfo(tarfile.TarInfo):
    """A member whose extended headers are bounded; given to `tarfile.open` as `tarinfo`."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Return the member that a header block describes.

        Raises:
            tarfile.ReadError: It announces a header of its own that is too long, or a list of holes.
        """
        found = super().frombuf(buf, encoding, errors)
        if found.type in _LONG and found.size > MAX_HEADER:
            raise tarfile.ReadError(f"a header of {found.size} bytes; at most {MAX_HEADER} are read")
        if found.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a sparse file of GNU's old form, which is not read")
        return found
