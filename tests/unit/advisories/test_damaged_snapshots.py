"""Damage in what is compressed is refused, never an error of the compressor: found by fuzzing."""

import gzip
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.core.advisories import Snapshot
from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.engines.advisories.snapshot import gather, read_records

NOW = datetime(2026, 11, 27, tzinfo=UTC)


def test_records_whose_compression_breaks_are_refused() -> None:
    """The digest is right and the stream is not: whoever made it did not make it with us."""
    packed = bytearray(gzip.compress(b'{"id": "A-1"}\n' * 50))
    packed[14:24] = b"\xff" * 10  # within the deflated data
    snapshot = Snapshot(
        date=NOW, made=NOW, records=50, digest=str(digest_bytes(bytes(packed))), ecosystems=(), source="a test"
    )
    with pytest.raises(NotVerified, match="cannot be read"):
        read_records(snapshot, bytes(packed))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_advisories_whose_compression_breaks_are_refused(method: int, tmp_path: Path) -> None:
    """The same for a zip of OSV documents that a snapshot is made from."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("A-1.json", b'{"id": "A-1", "summary": "' + bytes(range(32, 34)) * 400 + b'"}')
    data = bytearray(out.getvalue())
    start = data.index(b"A-1.json") + len(b"A-1.json")
    data[start + 6 : start + 20] = b"\xff" * 14
    (tmp_path / "all.zip").write_bytes(data)
    with pytest.raises(InvalidInput):
        gather(tmp_path / "all.zip")
