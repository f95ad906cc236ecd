"""Which declarations of a job are refused before anything starts."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast.adapters.sandbox import python_job
from holdfast.adapters.sandbox.jobs import check, runtime_paths
from holdfast.core.errors import InvalidInput
from holdfast.core.ports import Job, Limits


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job whose declaration is in order."""
    writable, readable = tmp_path / "writable", tmp_path / "readable"
    for folder in (writable, readable):
        folder.mkdir()
    return Job(argv=(sys.executable,), readable=(readable,), writable=(writable,), env={"A": "b"}, cwd=writable)


def test_job_in_order_is_accepted(job: Job) -> None:
    """Nothing is said about a declaration that can be enforced."""
    check(job)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"argv": ()}, "argv"),
        ({"argv": ("python",)}, "argv"),
        ({"argv": ("/bin/true", "a\0b")}, "env"),
        ({"env": {"A": "b\0c"}}, "env"),
        ({"env": {"A=B": "c"}}, "env"),
        ({"readable": (Path("relative"),)}, "relative"),
        ({"readable": (Path("/no/such/place"),)}, "/no/such/place"),
        ({"cwd": Path("/usr/..")}, "/usr/.."),
        ({"cwd": Path("/no/such/place")}, "/no/such/place"),
    ],
)
def test_declaration_that_cannot_be_used_is_refused(job: Job, change: dict[str, Any], part: str) -> None:
    """The error names the part."""
    with pytest.raises(InvalidInput) as caught:
        check(replace(job, **change))
    assert caught.value.place == part


@pytest.mark.parametrize("place", ["/", "/proc", "/proc/self", "/sys/kernel", "/dev", "/dev/shm", "/usr/../proc"])
@pytest.mark.parametrize("kind", ["readable", "writable"])
def test_kernel_trees_cannot_be_declared(job: Job, place: str, kind: str) -> None:
    """Whoever declares / or /proc would see the environment, and so the secrets, of other processes."""
    change: dict[str, Any] = {kind: (Path(place),)}
    with pytest.raises(InvalidInput, match=r"other processes|apart"):
        check(replace(job, **change))


def test_link_to_a_kernel_tree_cannot_be_declared(job: Job, tmp_path: Path) -> None:
    """What counts is where a path leads."""
    link = tmp_path / "link"
    link.symlink_to("/proc")
    with pytest.raises(InvalidInput, match="other processes"):
        check(replace(job, readable=(link,)))


def test_input_inside_a_writable_folder_is_refused(job: Job) -> None:
    """It would be writable too, and the declaration says it is not."""
    inside = job.writable[0] / "input"
    inside.mkdir()
    with pytest.raises(InvalidInput, match="would be writable too"):
        check(replace(job, readable=(inside,)))


def test_folder_that_holds_the_runtime_cannot_be_writable(job: Job) -> None:
    """A job that may write its own interpreter may write everybody's."""
    folder = Path(sys.prefix).parent
    with pytest.raises(InvalidInput, match=r"would be writable too|other processes"):
        check(replace(job, writable=(folder,), cwd=folder))


def test_file_cannot_be_writable(job: Job, tmp_path: Path) -> None:
    """Folders are the unit of writing: a file can be replaced only by writing its folder."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InvalidInput, match="only folders"):
        check(replace(job, writable=(*job.writable, file)))


def test_runtime_holds_the_interpreter_and_this_package() -> None:
    """Every job can start Python and import what the training worker needs."""
    paths = runtime_paths()
    for needed in (Path(sys.executable).resolve(), Path(python_job.__code__.co_filename)):
        assert any(needed.is_relative_to(path) for path in paths), needed


def test_python_job_is_a_plain_job(tmp_path: Path) -> None:
    """What the helper makes passes the same check as a job made by hand."""
    job = python_job("json.tool", ["-"], readable=[], writable=tmp_path, limits=Limits(cpu_s=5), env={"SEED": "7"})
    check(job)
    assert job.argv[-3:] == ("-m", "json.tool", "-")
    assert (job.env["SEED"], job.env["TMPDIR"], job.limits.cpu_s) == ("7", str(tmp_path), 5)
