"""What Python itself reports of a file that is being loaded: an audit hook, inside the sandbox (PEP 578).

A hook cannot be taken out again, and what it has written to the pipe cannot be called back. It sees what is done
through Python; native code that a file brings along is seen by the kernel's filter only, and only where it asks for
sockets, programs or processes. The last line says how many came before it: without it the trail is not whole.
"""
# ruff: noqa: PTH100, PTH118 - it hears each event of a load: plain texts are what it can afford

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

MARK: Final = "holdfast-trail "  # begins each line, since a file may print too
MAX_EVENTS: Final = 2000  # lines; a file that needs more while it is loaded is not a model
MAX_WHAT: Final = 300  # characters of one event's words
END: Final = "end"
WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

NETWORK: Final = ("socket.", "urllib.", "http.", "ftplib.", "smtplib.", "imaplib.", "poplib.")
PROCESS: Final = (
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.kill",
    "pty.",
)
NATIVE: Final = ("ctypes.dlopen", "ctypes.call_function", "ctypes.cdata", "ctypes.string_at")
FILES: Final = (
    "open",
    "os.listdir",
    "os.scandir",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.chown",
    "os.chdir",
    "shutil.",
    "tempfile.",
    "glob.",
)
LOOKUP: Final = "pickle.find_class"
READS: Final = frozenset({"os.listdir", "os.scandir", "glob.glob", "glob.glob/2"})


class Watch:
    """Notes what is done from now on: network, processes, files out of bounds, native libraries, names looked up."""

    def __init__(self, descriptor: int, quiet: Iterable[str]) -> None:
        """Take where to write, and the folders in which reading is nothing to speak of: the libraries' own."""
        self._descriptor = os.dup(descriptor)  # its own, so that closing the other one silences nothing
        self._quiet = tuple(os.path.join(os.path.realpath(folder), "") for folder in quiet)
        self._count = 0
        self._busy = False

    def begin(self) -> None:
        """Start to listen, for good."""
        sys.addaudithook(self._heard)

    def end(self) -> None:
        """Say that the trail is whole, and note nothing more: what follows is our own doing."""
        self._busy = True
        self._write({"kind": END, "what": str(self._count)})

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        kind = kind_of(event)
        if not kind or self._busy:
            return
        self._busy = True  # what is done here to describe an event is none
        try:
            if kind == "file" and self._is_quiet(event, args):
                return
            self._count += 1
            if self._count <= MAX_EVENTS:
                self._write({"kind": kind, "what": f"{event} {_words(args)}"[:MAX_WHAT]})
        finally:
            self._busy = False

    def _write(self, line: Mapping[str, str]) -> None:
        os.write(self._descriptor, f"\n{MARK}{json.dumps(line)}\n".encode())

    def _is_quiet(self, event: str, args: tuple[Any, ...]) -> bool:
        named = args[0] if args else None
        if isinstance(named, int):  # a descriptor: opened before, under its own name
            return True
        try:
            path = os.path.realpath(os.path.abspath(os.fsdecode(named if named is not None else ".")))
        except (TypeError, ValueError):
            return False
        inside = any(os.path.join(path, "").startswith(folder) for folder in self._quiet)
        if event == "open":
            return inside and not _flags(args) & WRITES
        return inside and event in READS


def kind_of(event: str) -> str:
    """Return what kind of event an audit event is; empty where it is none that is noted.

    >>> kind_of("socket.connect"), kind_of("compile")
    ('network', '')
    """
    if event == LOOKUP:
        return "lookup"
    for kind, prefixes in (("network", NETWORK), ("process", PROCESS), ("native", NATIVE)):
        if event.startswith(prefixes):
            return kind
    return "file" if event == "open" or event.startswith(FILES[1:]) else ""


def _flags(args: tuple[Any, ...]) -> int:
    flags = args[2] if len(args) > 2 else 0  # noqa: PLR2004 - open(path, mode, flags)
    return flags if isinstance(flags, int) else WRITES


def _words(args: tuple[Any, ...]) -> str:
    """Return arguments in words; only of types whose words are not foreign code."""
    plain = (str, bytes, int, float, type(None))
    said = (repr(each) if type(each) in plain else f"<{type(each).__name__[:40]}>" for each in args[:4])
    return " ".join(said)
