"""Files with two meanings: both are scanned, and that there are two is a finding."""

import gzip
import io
import random
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from tests.unit.scan.containers import sevenzip_maker, test_tar
from tests.unit.scan.containers.files import FOUND, PAYLOAD, SEEDS, scan, seeded, severities, text
from tests.unit.scan.containers.test_zip import stored

from holdfast.core.evidence import Severity


def array() -> bytes:
    """Return an npy file."""
    out = io.BytesIO()
    np.save(out, np.arange(9))
    return out.getvalue()


OTHERS: dict[str, Callable[[], bytes]] = {
    "pickle": lambda: b"\x80\x04]\x94(K\x01K\x02e.",
    "npy": array,
    "gzip": lambda: gzip.compress(b"text"),
    "7z": lambda: sevenzip_maker.Archive(files=[("a.txt", b"text")]).data(),
    "tar": lambda: test_tar.whole(test_tar.member("a.txt", b"text")),
}


@pytest.mark.requirement("SUP-07", by="holdfast.engines.scan.containers.zips:known")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("first", OTHERS)
def test_an_archive_behind_another_content_is_found_by_its_end(first: str, seed: int) -> None:
    """Readers that go by the first bytes see one content, readers of zip archives another."""
    found = severities(scan(OTHERS[first]() + stored(seeded(seed))))
    assert found["file.polyglot"] == Severity.HIGH
    assert found[FOUND] == Severity.CRITICAL


@pytest.mark.parametrize("first", OTHERS)
def test_an_archive_with_bytes_behind_its_end_is_found_too(first: str) -> None:
    """Python's reader takes an end record with anything behind it; tar and 7z have such bytes as their own rest."""
    found = severities(scan(OTHERS[first]() + stored(seeded(1)) + b"\xff" * 40))
    assert found[FOUND] == Severity.CRITICAL
    assert found.keys() & {"file.polyglot", "tar.trailing", "sevenzip.trailing"}


def test_archives_inside_other_archives_are_no_second_meaning() -> None:
    """A tar or a 7z archive whose last member is a zip archive ends, nearly, with its end record."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.txt", text(seeded(2)))
    data = inner.getvalue()
    assert not scan(test_tar.whole(test_tar.member("a.zip", data)))
    assert not scan(sevenzip_maker.Archive(files=[("a.zip", data)]).data())
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("a.zip", data)
    assert not scan(outer.getvalue())


def test_a_tar_archive_in_the_first_member_of_a_zip_archive_is_one_content() -> None:
    """What lies inside is entered, and counted once."""
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("a.tar", test_tar.whole(test_tar.member("a.txt", PAYLOAD)))
    (found,) = scan(outer.getvalue())
    assert found.place == "file!/a.tar!/a.txt byte 0"


TEXT_PICKLE = b"(S'None'\nibuiltins\neval\n."
"""A pickle of the first protocol, without a header: it would compute nothing."""


def named_like_a_pickle(_rng: random.Random) -> bytes:
    """The name of the first member is a pickle, and `pickle.load` stops before the rest."""
    return test_tar.whole(test_tar.member(TEXT_PICKLE.decode(), b"text"))


HEADERLESS: dict[str, Callable[[random.Random], bytes]] = {
    "file.polyglot": named_like_a_pickle,
    "zip.prefix": lambda rng: TEXT_PICKLE + stored(rng),
    "zip.trailing": lambda rng: stored(rng) + TEXT_PICKLE,
    "tar.trailing": lambda _rng: test_tar.whole(test_tar.member("a", b"text")) + TEXT_PICKLE,
    "sevenzip.gap": lambda _rng: sevenzip_maker.Archive(files=[("a", b"text")], before=TEXT_PICKLE).data(),
    "npy.trailing": lambda _rng: array() + TEXT_PICKLE,
    "gzip.trailing": lambda _rng: gzip.compress(b"text") + TEXT_PICKLE,
}


@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.pickles.reading:scan_headerless")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rule", HEADERLESS)
def test_a_pickle_without_a_header_beside_another_content_is_found(rule: str, seed: int) -> None:
    """It has no magic number, so each content is also read as one, and so is whatever a container leaves over."""
    found = severities(scan(HEADERLESS[rule](seeded(seed))))
    assert found[rule] == Severity.HIGH or rule == "sevenzip.gap"
    assert found["pickle.dangerous-call"] == Severity.CRITICAL
