import os
from pathlib import Path

import pytest

from holdfast.core.errors import StageFailed
from holdfast.core.ports import JobEnd, JobResult, Tier
from holdfast.engines.jobs import MAX_LISTED, Room, collect, demand_finished, last_words, make_room, printable


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """The folder of a job that has ended."""
    return make_room(tmp_path, "job")


def test_only_wanted_files_are_taken(room: Room) -> None:
    """A job's folder is no parcel: what was not asked for by name stays where it is, and is counted."""
    for name in ("model.onnx", "notes.txt", "model.onnx.bak"):
        (room.left / name).write_bytes(b"12345")
    left = collect(room, {"model.onnx": 5})
    assert left.files == {"model.onnx": b"12345"}
    assert left.ignored == ("model.onnx.bak", "notes.txt")


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder", "device"])
def test_only_regular_files_are_taken(room: Room, tmp_path: Path, kind: str) -> None:
    """A link to a key, a pipe that never ends, a folder: nothing is followed, nothing is waited for."""
    place, secret = room.left / "model.onnx", tmp_path / "key.pem"
    secret.write_text("private")
    match kind:
        case "link":
            place.symlink_to(secret)
        case "dangling":
            place.symlink_to(tmp_path / "nowhere")
        case "pipe":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case _:
            place.symlink_to("/dev/zero")
    left = collect(room, {"model.onnx": 1000})
    assert left.files == {}
    assert left.ignored == ("model.onnx",)


def test_a_file_above_its_size_is_not_taken(room: Room) -> None:
    """A model of more bytes than the limit does not enter memory."""
    with (room.left / "model.onnx").open("wb") as file:
        file.truncate(1 << 40)  # a terabyte that takes no room
    assert collect(room, {"model.onnx": 1000}).files == {}


def test_many_and_ugly_names_are_bounded_and_plain(room: Room) -> None:
    """A job that leaves thousands of files with control characters in their names cannot flood a report."""
    for number in range(MAX_LISTED + 5):
        (room.left / f"\x1b[31m{number:03}{'a' * 150}").touch()
    left = collect(room, {})
    assert left.ignored_count == MAX_LISTED + 5
    assert len(left.ignored) == MAX_LISTED
    assert all(name.isprintable() and len(name) <= 80 for name in left.ignored)


def ended(end: JobEnd, stderr: bytes = b"") -> JobResult:
    """A job that ended in some way."""
    return JobResult(end=end, exit_code=None, stdout=b"", stderr=stderr, wall_s=1.0, cpu_s=1.0, tier=Tier.PROCESS)


@pytest.mark.parametrize("end", [end for end in JobEnd if end is not JobEnd.FINISHED])
def test_every_unhappy_end_has_words_and_a_remedy(end: JobEnd) -> None:
    """Out of time, out of memory, killed, failed: each is told apart, with the job's own last words."""
    with pytest.raises(StageFailed, match=r"the recipe .*: boom") as caught:
        demand_finished(ended(end, b"Traceback\nboom\n\n"), "the recipe")
    assert caught.value.remedy
    assert "process" in caught.value.place


def test_a_finished_job_goes_on() -> None:
    """Whatever it wrote to standard error, a job that came to its own end is not an error."""
    demand_finished(ended(JobEnd.FINISHED, b"a warning"), "the recipe")


def test_last_words_are_one_bounded_line() -> None:
    """A flood of output without a line end, or of bytes that are no text, becomes one short line."""
    assert last_words(ended(JobEnd.FAILED, b"\xff\x00" * 100_000 + b"\n \n")).isprintable()
    assert len(last_words(ended(JobEnd.FAILED, b"a" * 1_000_000))) <= 300
    assert last_words(ended(JobEnd.FAILED)) == ""


def test_text_that_turns_its_direction_is_made_plain() -> None:
    """Characters that reorder what a reader sees are taken out."""
    assert printable("model\u202etxt.exe") == "model txt.exe"
