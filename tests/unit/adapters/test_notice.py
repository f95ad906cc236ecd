"""Being told of what is published: at once where the kernel tells, and after a while in any case."""

import ctypes
import os
import select
import threading
import time
from pathlib import Path

import pytest

from holdfast.adapters.notice import Notice

LONG_S = 60.0  # that nobody waits if he is told
SHORT_S = 0.02
pytestmark = pytest.mark.skipif(not hasattr(os, "eventfd"), reason="only Linux tells of replaced files")


def replace(folder: Path, name: str = "timestamp.json") -> None:
    """Put a file in another's place, as whoever publishes does."""
    (folder / ".new").write_bytes(b"{}")
    (folder / ".new").replace(folder / name)


def later(folder: Path) -> threading.Timer:
    """Replace a file in a moment, while somebody waits."""
    timer = threading.Timer(0.1, replace, (folder,))
    timer.start()
    return timer


@pytest.mark.requirement("ROLL-05", by="holdfast.adapters.notice:Notice.wait")
def test_whoever_waits_is_told_at_once(tmp_path: Path) -> None:
    """A replaced file ends the wait; what was told once is not told again."""
    notice, begun = Notice(tmp_path), time.monotonic()
    timer = later(tmp_path)
    assert notice.wait(LONG_S)
    assert time.monotonic() - begun < LONG_S / 2
    timer.join()
    assert not notice.wait(SHORT_S)
    notice.close()


def test_what_happens_between_two_waits_is_told_by_the_next(tmp_path: Path) -> None:
    """While a state is being loaded nobody waits, and a newer one must not lie unseen."""
    notice = Notice(tmp_path)
    for number in range(3):
        replace(tmp_path, f"{number}.snapshot.json")
    assert notice.wait(LONG_S)
    assert not notice.wait(SHORT_S)
    notice.close()


def test_a_folder_that_comes_back_is_listened_to_again(tmp_path: Path) -> None:
    """One that is not there is waited for by the clock, and the one that then has its name is heard."""
    folder = tmp_path / "published"
    notice = Notice(folder)
    assert not notice.wait(SHORT_S)
    for _ in range(2):
        folder.mkdir()
        notice.wait(SHORT_S)  # that the former one is gone may be told too
        replace(folder)
        assert notice.wait(LONG_S)
        folder.rename(tmp_path / "away")
        (tmp_path / "away" / "timestamp.json").unlink()
        (tmp_path / "away").rmdir()
    notice.close()


@pytest.mark.parametrize("broken", ["never", "closed", "refused"])
def test_where_nobody_tells_the_clock_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """On another system, after it was closed, and when the kernel refuses, a wait ends by itself and raises nothing."""
    if broken == "never":
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    notice = Notice(tmp_path)
    if broken == "closed":
        notice.close()
        notice.close()
    if broken == "refused":
        monkeypatch.setattr(select, "poll", _refusing)
    replace(tmp_path)
    begun = time.monotonic()
    assert not notice.wait(SHORT_S)
    assert not notice.wait(SHORT_S)
    assert time.monotonic() - begun >= SHORT_S
    notice.close()


def _refusing() -> None:
    raise OSError
