"""The libraries of a bill of materials: what is installed, pinned by its files."""

from email.message import EmailMessage
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from holdfast.release.environment import installed

RECORD = """\
demo/__init__.py,sha256=AAAA,10
demo/core.py,sha256=BBBB,20
demo/__pycache__/core.cpython-311.pyc,,
../../../bin/demo,sha256=CCCC,200
demo-1.0.dist-info/METADATA,sha256=DDDD,100
demo-1.0.dist-info/INSTALLER,sha256=EEEE,4
demo-1.0.dist-info/RECORD,,
"""


def distribution(place: Path, name: str = "Demo_Package", record: str = RECORD) -> Distribution:
    """An installed distribution on disk."""
    info = place / "demo-1.0.dist-info"
    info.mkdir(parents=True)
    metadata = EmailMessage()
    metadata["Metadata-Version"] = "2.4"
    metadata["Name"] = name
    metadata["Version"] = "1.0"
    metadata["License-Expression"] = "MIT"
    (info / "METADATA").write_bytes(bytes(metadata))
    (info / "RECORD").write_text(record, encoding="utf-8")
    return PathDistribution(info)


def test_a_library_is_named_by_its_normal_name_version_and_licence(tmp_path: Path) -> None:
    """As its package URL spells it."""
    (library,) = installed([distribution(tmp_path)])
    assert (library.name, library.version, library.licence) == ("demo-package", "1.0", "MIT")


def test_the_pin_is_the_same_in_every_environment_and_changes_with_the_files(tmp_path: Path) -> None:
    """Scripts name the interpreter's path and installers leave notes: neither is part of what was installed."""
    (first,) = installed([distribution(tmp_path / "a")])
    elsewhere = RECORD.replace("CCCC", "XXXX").replace("EEEE", "YYYY")
    (second,) = installed([distribution(tmp_path / "b", record=elsewhere)])
    (third,) = installed([distribution(tmp_path / "c", record=RECORD.replace("BBBB", "ZZZZ"))])
    assert first.files == second.files
    assert first.files not in {None, third.files}


def test_a_library_without_records_has_no_pin(tmp_path: Path) -> None:
    """Nothing is made up."""
    (library,) = installed([distribution(tmp_path, record="")])
    assert library.files is None


def test_the_first_of_two_on_the_path_counts(tmp_path: Path) -> None:
    """That is the one which imports find."""
    first, second = distribution(tmp_path / "a"), distribution(tmp_path / "b", name="demo.package", record="")
    (library,) = installed([first, second])
    assert library.files is not None


@pytest.mark.parametrize("name", ["numpy", "msgspec", "cryptography", "pytest"])
def test_this_environment_is_listed(name: str) -> None:
    """In order of names, each with version and pin."""
    libraries = installed()
    assert [library.name for library in libraries] == sorted(library.name for library in libraries)
    found = next(library for library in libraries if library.name == name)
    assert found.version
    assert found.files
