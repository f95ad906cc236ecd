"""Which constants could be pickles themselves: as they stand, in base64, in hexadecimal, or as files of torch."""

import re
from typing import Final

from holdfast.engines.scan.pickles.machine import TORCH_START

HIDING: Final = 16  # bytes of a constant that could be a pickle itself; a shorter one cannot import and call
HEAD: Final = 512  # bytes at its beginning that tell
ARCHIVE: Final = re.compile(rb"PK\x03\x04|" + TORCH_START.pattern)
BINARY: Final = re.compile(rb"\x80[\x00-\x05]|[(\]})]*c[\w.]+\n[\w.]+\n|[(]*i[\w.]+\n[\w.]+\n")
BASE64: Final = re.compile(rb"gA[I-X][A-Za-z0-9+/_-]{12}")
HEX: Final = re.compile(rb"80(?:0[0-5])[0-9a-fA-F]{12}")


def conceals(head: bytes) -> bool:
    """Return whether a constant that begins so could be a pickle; `HEAD` bytes tell."""
    return any(pattern.match(head) for pattern in (ARCHIVE, BINARY, BASE64, HEX))
