"""A gateway started by another process of ours, the demo or a test, and stopped when that is done with it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from holdfast.core.errors import Unavailable

ENV: Final = "/usr/bin/env"  # becomes the program that it names, under the same process id
READY_WITHIN_S: Final = 30.0  # a worker loads in about a second; a busy machine takes longer
STOP_WITHIN_S: Final = 20.0
LOOK_S: Final = 0.02
MAX_OUTPUT: Final = 1 << 20  # bytes looked at; it says a line when it is ready, and one for each new problem


class Child:
    """One gateway process: ready once its ready file is there."""

    def __init__(self, arguments: Sequence[str], *, ready_file: Path, without: Sequence[str] = ()) -> None:
        """Start `python -m holdfast …` with its output in memory: what a log says lies on no disk in the clear.

        Args:
            arguments: Of the command.
            ready_file: Which it writes.
            without: Names that are taken out of its environment.
        """
        bare = [ENV, *(word for name in without for word in ("-u", name))] if without else []
        self._ready_file = ready_file
        ready_file.unlink(missing_ok=True)
        self._output = os.fdopen(os.memfd_create("gateway output"), "w+b")
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and command line
            [*bare, sys.executable, "-m", "holdfast", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_until_ready(self) -> dict[str, Any]:
        """Return what the gateway says when it is ready.

        Raises:
            Unavailable: It ended, or did not become ready in time; its last words are in the message.
        """
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._ready_file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"the gateway did not become ready: {self._last_words()}", place="the gateway")
            time.sleep(LOOK_S)
        document: dict[str, Any] = json.loads(self._ready_file.read_text(encoding="utf-8"))
        return document

    def tell_now(self) -> None:
        """Ask the gateway to write its telemetry now."""
        self._process.send_signal(signal.SIGUSR1)

    def stop(self) -> None:
        """End the gateway, gently first."""
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def has_said(self, words: str) -> bool:
        """Whether this stands in its output."""
        return words.encode() in os.pread(self._output.fileno(), MAX_OUTPUT, 0)

    def _last_words(self) -> str:
        said = os.pread(self._output.fileno(), MAX_OUTPUT, 0)
        lines = said.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:500] if lines else "it said nothing"
