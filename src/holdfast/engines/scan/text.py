"""Words in a model file that look like code: where a model keeps notes, an attacker can keep a program.

Nothing runs notes by itself. But loaders that evaluate them exist, and a payload must lie somewhere before it is
fetched.
"""

import re
from typing import Final

MAX_TEXT: Final = (
    64 * 1024
)  # bytes of one note; the largest honest one seen, class names of a detector, is below 20 KiB
_MAGIC: Final = (
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a Linux program"),
    (b"\xcf\xfa\xed\xfe", "a macOS program"),
    (b"\xca\xfe\xba\xbe", "Java bytecode"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b\x08", "a gzip stream"),
    (b"#!", "a script"),
)
_PICKLE: Final = re.compile(rb"\A(?:\x80[\x02-\x05]|[(\]}]?c(?:posix|nt|os|sys|builtins|__builtin__|subprocess)\n)")
_CODE: Final = re.compile(
    rb"__import__|__reduce__|__globals__|__subclasses__|\bos\.(?:system|popen|exec)|\bsubprocess\b|\bpickle\.loads?\b"
    rb"|(?<![\w.])(?:eval|exec|compile)\s?\(|\bctypes\b|<script\b|javascript:|powershell|/bin/(?:ba|da|z)?sh\b"
    rb"|\bcurl\s+-|\bwget\s+http",
    re.IGNORECASE,
)
# No word is that long; a payload in base64 is. The look-behind keeps the search linear: a run is tried once.
_ENCODED: Final = re.compile(rb"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{2048}")


def looks_executable(note: bytes) -> str:
    """Return what a note looks like that somebody could run, or nothing.

    Give it at most `MAX_TEXT` bytes: a longer note is a finding of its own.

    >>> looks_executable(b"trained on 2024 data")
    ''
    >>> looks_executable(b"__import__('os').system('id')")
    "code ('__import__')"
    """
    for magic, name in _MAGIC:
        if note.startswith(magic):
            return name
    if _PICKLE.match(note):
        return "a pickle"
    found = _CODE.search(note)
    if found:
        return f"code ({found.group()[:40].decode('utf-8', 'replace')!r})"
    return "a long run of base64" if _ENCODED.search(note) else ""
