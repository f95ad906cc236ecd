"""Being told that a file in a folder was replaced, where the kernel tells (inotify), instead of looking now and then.

A notice is a reason to look and no more: who is never told, as of a folder on another host, looks after a while as
before. Source: inotify(7).
"""

import ctypes
import os
import select
import threading
from pathlib import Path
from typing import Final

_FLAGS: Final = os.O_CLOEXEC | os.O_NONBLOCK  # IN_CLOEXEC and IN_NONBLOCK are these
_MOVED_TO: Final = 0x80  # IN_MOVED_TO: whoever replaces a file whole renames another to it
_ENOUGH: Final = 1 << 16  # bytes of notices that are thrown away at once


class Notice:
    """Waits until a name in a folder is replaced, or a time is over."""

    __slots__ = ("_folder", "_inotify", "_libc", "_never")

    def __init__(self, folder: Path) -> None:
        """Listen where that can be done; the folder need not be there yet."""
        self._folder, self._never = os.fsencode(folder), threading.Event()
        self._libc = ctypes.CDLL(None, use_errno=True)
        try:
            self._inotify = int(self._libc.inotify_init1(_FLAGS))
        except AttributeError:  # a system that has no such thing
            self._inotify = -1
        self._listen()

    def wait(self, seconds: float) -> bool:
        """Return once something was replaced since the last call, or after so many seconds; say whether it was.

        What happens between two calls is told by the next one.
        """
        if not self._listen():
            self._never.wait(seconds)
            return False
        try:
            poll = select.poll()
            poll.register(self._inotify, select.POLLIN)
            told = bool(poll.poll(seconds * 1000))
            if told:
                os.read(self._inotify, _ENOUGH)
        except OSError:  # whoever waits must go on waiting, in the other way
            self.close()
            return False
        return told

    def close(self) -> None:
        """Listen no longer."""
        if self._inotify >= 0:
            os.close(self._inotify)
            self._inotify = -1

    def _listen(self) -> bool:
        """Listen to the folder that has the name now; the same one again changes nothing."""
        if self._inotify < 0:
            return False
        watch: int = self._libc.inotify_add_watch(self._inotify, self._folder, ctypes.c_uint32(_MOVED_TO))
        return watch >= 0
