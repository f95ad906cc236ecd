"""Parsers of what comes from others: whatever they are given, they answer or refuse in words, and never break."""

import io
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.images.made import saved
from tests.unit.images.test_images import BASE

from holdfast.core.errors import HoldfastError
from holdfast.engines.advisories.listing import from_bom, from_lock, from_purl
from holdfast.engines.advisories.matching import Dependency, Index
from holdfast.engines.advisories.osv import parse_record
from holdfast.engines.advisories.snapshot import gather, unpack
from holdfast.engines.advisories.vex import parse_vex
from holdfast.engines.images.layout import Place, images
from holdfast.engines.images.scan import look_through
from holdfast.engines.secrets.sources import unpacked

KEYS = [
    "id", "modified", "affected", "package", "ecosystem", "name", "ranges", "events", "introduced", "fixed",
    "type", "versions", "version", "severity", "score", "aliases", "bomFormat", "components", "purl",
    "statements", "status", "products", "@context", "@id", "manifests", "digest", "size", "layers", "config",
    "rootfs", "diff_ids",
]  # fmt: skip
texts = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.text(max_size=8)
    | st.sampled_from(["0", "1.0", "PyPI", "2026-01-01T00:00:00Z"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(KEYS), below, max_size=5),
    max_leaves=20,
)


def as_json(value: Any) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value).encode()


documents = st.binary(max_size=200) | texts.map(as_json)
PARSERS: tuple[Callable[[bytes], Any], ...] = (
    lambda data: from_bom(data, "x"),
    lambda data: from_lock(data, "x"),
    lambda data: parse_record(data, "x"),
    lambda data: parse_vex(data, "x"),
    lambda data: unpack(data, "x"),
)


@pytest.mark.parametrize("parse", PARSERS, ids=["bill of materials", "lock", "record", "vex", "snapshot"])
@given(data=documents)
def test_a_document_is_read_or_refused_in_words(parse: Callable[[bytes], Any], data: bytes) -> None:
    """No other exception than ours leaves a parser."""
    with suppress(HoldfastError):
        parse(data)


@given(events=st.lists(st.dictionaries(st.sampled_from(["introduced", "fixed", "last_affected", "limit", "x"]),
                                       st.sampled_from(["0", "1", "2.0rc1", "?", ""]), max_size=2), max_size=5),
       version=st.sampled_from(["1", "2", "main", ""]), kind=st.sampled_from(["ECOSYSTEM", "SEMVER", "GIT", "odd"]),
       ecosystem=st.sampled_from(["PyPI", "npm", "Debian:12", "Alpine", "Nowhere"]))  # fmt: skip
def test_whatever_the_events_matching_answers(events: list[Any], version: str, kind: str, ecosystem: str) -> None:
    """Events in any order, twice, with versions that are none: a match or none, and never a crash."""
    part = {"package": {"ecosystem": ecosystem, "name": "a"}, "ranges": [{"type": kind, "events": events}]}
    record = parse_record(as_json({"id": "X-1", "modified": "2026-01-01T00:00:00Z", "affected": [part]}), "x")
    found = Index([record]).match([Dependency(ecosystem=ecosystem, name="a", version=version)])
    assert len(found) <= 1


@given(
    st.text(max_size=60)
    | st.from_regex(r"pkg:[a-z]{2,4}/[a-z@%/]{1,9}@[0-9.]{1,5}(\?distro=[a-z0-9-]{0,9})?", fullmatch=True)
)
def test_a_package_url_is_known_or_not(purl: str) -> None:
    """Of an ecosystem that we know, or nothing."""
    found = from_purl(purl)
    assert found is None or found.ecosystem


@given(
    data=st.binary(max_size=600), head=st.sampled_from([b"", b"\x1f\x8b\x08", b"PK\x03\x04", b'{"cells":', b"\xff\xfe"])
)
def test_whatever_a_file_holds_it_is_unpacked_or_said_to_be_unread(data: bytes, head: bytes) -> None:
    """Archives that are none, cut, or odd; notebooks that are none."""
    list(unpacked(io.BytesIO(head + data)))


def mangled(whole: bytes, at: int, value: int) -> bytes:
    """Return bytes with one of them changed."""
    at %= len(whole)
    return whole[:at] + bytes([value]) + whole[at + 1 :]


def _archive() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return saved(Path(folder) / "x.tar", [BASE]).read_bytes()


ARCHIVE = _archive()


@given(at=st.integers(0, len(ARCHIVE) - 1), value=st.integers(0, 255))
def test_an_image_with_a_changed_byte_is_read_as_it_was_or_refused(at: int, value: int) -> None:
    """Wherever the byte is: in a header, a document, or a layer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.tar"
        path.write_bytes(ARCHIVE)
        place = Place(path)
        good = look_through(place, images(place)[0]).packages
        path.write_bytes(mangled(ARCHIVE, at, value))
        with suppress(HoldfastError):
            place = Place(path)
            (image,) = images(place)
            assert look_through(place, image).packages == good


def test_a_zip_with_one_bad_document_makes_no_snapshot(tmp_path: Path) -> None:
    """A hole in a snapshot would let something pass; a folder without a document is none."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("good.json", as_json({"id": "X-1", "modified": "2026-01-01T00:00:00Z", "affected": []}))
        archive.writestr("bad.json", b"{")
    with pytest.raises(HoldfastError, match="no OSV record"):
        gather(tmp_path / "a.zip")
    (tmp_path / "none").mkdir()
    for empty in (tmp_path / "none", tmp_path / "a.tar"):
        if empty.suffix:
            with tarfile.open(empty, "w"):
                pass
        with pytest.raises(HoldfastError):
            gather(empty)
