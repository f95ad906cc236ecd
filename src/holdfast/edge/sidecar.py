"""The integrity sidecar (SERV-19): a process beside the workers that looks again and again, and stops them on change.

It answers nobody and holds no key but the one for reading. Whatever it finds becomes the safe state, which every worker
enters within a second and which only a newer signed table leads out of. Each worker beside asks its own models for
known answers, and tells how many calls it has answered.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from holdfast.edge.config import EdgeConfig
from holdfast.edge.safety import safe_memory

if TYPE_CHECKING:
    from holdfast.adapters.integrity import Integrity
    from holdfast.adapters.supervisor import Site
    from holdfast.serve import Gateway

STATUS_NAME: Final = "integrity.json"
MAX_MODEL: Final = 2 << 30  # bytes


def integrity_site(config: EdgeConfig) -> "Site":
    """Return the sidecar as a site of a supervisor.

    How things are is taken in here, before a process is forked: a sidecar that is ended and started anew compares with
    the same beginning, so that nobody makes a change the new one.
    """
    from holdfast.adapters.supervisor import Site

    integrity = integrity_of(config, _too_early)
    integrity.begin()

    def work(_number: int, _listening: object, say_ready: Callable[[], None]) -> None:
        integrity.verify = verifier(config)  # keys are opened in the process that uses them
        watch(config, integrity, say_ready)

    return Site(work=work)


def watch(config: EdgeConfig, integrity: "Integrity", say_ready: Callable[[], None]) -> None:
    """Look until the process is ended."""
    say_ready()
    said = ""
    while True:
        time.sleep(config.check_every_s)
        found = look(config, integrity)
        words = "; ".join(found)
        if words != said:
            said = words
            sys.stderr.write(json.dumps({"event": "integrity", "words": words or "as it was"}) + "\n")
            sys.stderr.flush()


def integrity_of(config: EdgeConfig, verify: Callable[[str], None] | None = None) -> "Integrity":
    """Return what looks at a gateway.

    Raises:
        HoldfastError: The key for reading cannot be opened.
    """
    from holdfast.adapters.integrity import Integrity, siblings

    return Integrity(home=config.home, root=config.root, workers=siblings, verify=verify or verifier(config))


def verifier(config: EdgeConfig) -> Callable[[str], None]:
    """Return what reads a published file once more, and raises if it is not what its digest says.

    Raises:
        HoldfastError: The key for reading cannot be opened.
    """
    from holdfast.adapters.published import PublishedFolder
    from holdfast.adapters.unsealing import Unsealed
    from holdfast.core.artifact import parse_digest

    published = Unsealed(published=PublishedFolder(config.published), opener=config.opener())

    def verify(digest: str) -> None:
        if not config.source:  # of a gateway elsewhere, what it has cached is looked at instead
            _verify(published.blob(parse_digest(digest), MAX_MODEL), digest)

    return verify


def _too_early(digest: str) -> None:
    raise AssertionError(f"nothing was opened yet to verify {digest}")


def _verify(data: bytes, digest: str) -> None:
    from holdfast.core.artifact import digest_bytes
    from holdfast.core.errors import NotVerified

    if digest_bytes(data) != digest:
        raise NotVerified("a file was changed after it was signed", place=digest)


def look(config: EdgeConfig, integrity: "Integrity") -> list[str]:
    """Look once; what is found is made the safe state. Returns it in words."""
    from datetime import UTC, datetime

    from holdfast.core.errors import HoldfastError
    from holdfast.core.resilience import UNREADABLE, SafeState

    if not integrity.checks:  # a sidecar, or a whole gateway, that was started anew is not fooled by an older memory
        integrity.recall(config.home / STATUS_NAME)
    found, now = integrity.look(), datetime.now(UTC)
    if found:
        epoch = integrity.epoch()
        state = SafeState(epoch=UNREADABLE if epoch is None else epoch, reason="; ".join(found)[:500], since=now)
        try:
            safe_memory(config.home).keep(state)
        except HoldfastError as error:  # unreadable counts as safe for the workers; a full disk is said below
            found = [*found, f"it could not be kept: {error.message}"]
    status = {"time": now.isoformat(), "pid": os.getpid(), "checks": integrity.checks, "found": found}
    _tell(config, STATUS_NAME, status | {"calls": integrity.calls(), "height": integrity.height})
    return found


class SelfCheck:
    """What a worker does for it: known answers of its models, and a note of what it has loaded and answered."""

    def __init__(self, config: EdgeConfig, number: int, gateway: "Gateway") -> None:
        """Begin; nothing is known yet."""
        from holdfast.serve.known_answers import KnownAnswers

        self._config, self._number, self._gateway = config, number, gateway
        self._answers, self._due_s, self._epoch = KnownAnswers(), 0.0, -1

    def look(self) -> None:
        """Look if it is time, or something newer is loaded; what is found is the safe state."""
        state = self._gateway.state
        if state is None or (state.epoch == self._epoch and time.monotonic() < self._due_s):
            return
        self._epoch, self._due_s = state.epoch, time.monotonic() + self._config.check_every_s
        changed = "" if self._gateway.is_safe else self._answers.changed(state)
        if changed:
            self._gateway.make_safe(f"release {changed} answers otherwise than when it was loaded")
        models = sorted({release.model_digest for release in state.releases.values()})
        about = {"worker": self._number, "pid": os.getpid(), "epoch": state.epoch, "models": models}
        _tell(
            self._config,
            f"loaded-{self._number}.json",
            about | {"calls": self._gateway.answered, "known_answers": self._answers.asked},
        )


def _tell(config: EdgeConfig, name: str, document: dict[str, Any]) -> None:
    """Write a small file whole; nobody needs it after a power cut."""
    temporary = config.home / f".{name}.{os.getpid()}"
    temporary.write_text(json.dumps(document), encoding="utf-8")
    temporary.replace(config.home / name)
