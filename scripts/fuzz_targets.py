"""What is fuzzed: every parser that reads foreign bytes, as a function of bytes that must return or refuse.

A refusal is an error of Holdfast's own tree. Anything else that a target raises is a defect, as is a run longer than
`scripts/fuzz.py` allows, or more memory. Scans have smaller limits than the shipped ones, so that a bomb is quick.
"""

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import fuzz_gateway
from holdfast.core.advisories import Snapshot
from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import HoldfastError
from holdfast.core.seal import open_envelope
from holdfast.engines.advisories.listing import from_bom, from_lock
from holdfast.engines.advisories.osv import parse_record
from holdfast.engines.advisories.snapshot import read_records, unpack
from holdfast.engines.advisories.vex import parse_vex
from holdfast.engines.images.layout import Place, images
from holdfast.engines.images.scan import look_through
from holdfast.engines.scan.examination import Content, Examination, Limits
from holdfast.engines.scan.formats import examine
from holdfast.engines.scan.pickles import leaps
from holdfast.engines.scan.pickles.machine import Break
from holdfast.engines.scan.pickles.reading import judge_of
from holdfast.engines.scan.pickles.table import new_machine
from holdfast.engines.scan.report import Findings
from holdfast.engines.signing.bundle import read_bundle, read_statement
from holdfast.release.supplied import read_supplied

LIMITS: Final = Limits(depth=5, members=500, expanded_bytes=16 << 20, steps=1_000_000)
NOW: Final = datetime(2026, 11, 27, tzinfo=UTC)
SMALL, WORTH = 64, 16  # bytes of a leap, so that short streams are leapt over


def scan_as(name: str) -> Callable[[bytes], None]:
    """Return a scan of bytes as a file of a name."""

    def scan(data: bytes) -> None:
        examine(Content(memoryview(data), name), Findings(), LIMITS)

    return scan


def leapt(data: bytes) -> None:
    """Read a pickle with leaps and without: the same end, and the same findings."""
    leaps.SMALL, leaps.WORTH = SMALL, WORTH  # type: ignore[misc]
    if _read(data, leaping=True) != _read(data, leaping=False):
        raise AssertionError("a leap changed what is found")


def _read(data: bytes, *, leaping: bool) -> Any:
    findings, content = Findings(), Content(memoryview(data), "a.pkl")
    judge = judge_of(content, Examination(findings, lambda _content, _examination: (), Limits()))
    machine = new_machine(content, judge.examination, judge)
    machine.one_by_one = not leaping
    if leaping:
        machine.leap = leaps.Leaps(machine).over
    ended: Any = None
    try:
        ended = machine.run(0)
    except Break as error:
        ended = error.at
    return ended, machine.memo.count, [(each.rule, each.place) for each in findings.kept]


def _refusing(read: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def target(data: bytes) -> None:
        with suppress(HoldfastError):
            read(data)

    return target


def saved_image(layer: bytes) -> bytes:
    """Return an image of one layer as `docker save` writes it, with the digest that the layer has."""
    diff = "sha256:" + hashlib.sha256(layer).hexdigest()
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [diff]}}).encode()
    named = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": named, "RepoTags": ["a:1"], "Layers": ["layer.tar"]}]).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in (("manifest.json", manifest), (named, config), ("layer.tar", layer)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _records(data: bytes) -> None:
    named = str(digest_bytes(data))
    read_records(Snapshot(date=NOW, made=NOW, source="", digest=named, records=1, ecosystems=("PyPI",)), data)


def _layer(data: bytes) -> None:
    _image(saved_image(data))


def _image(data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=_MEMORY, suffix=".tar") as file:
        file.write(data)
        file.flush()
        place = Place(Path(file.name))
        for image in images(place):
            look_through(place, image)


_MEMORY: Final = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108, PTH112 - a folder in memory

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "pickles": scan_as("a.pkl"),
    "leaps": leapt,
    "containers": scan_as("a.zip"),
    "models": scan_as("a.model"),
    "signing bundles": _refusing(read_bundle),
    "signed statements": _refusing(read_statement),
    "envelopes": _refusing(open_envelope),
    "supplied bills": _refusing(read_supplied),
    "bills": _refusing(lambda data: from_bom(data, "bom.json")),
    "locks": _refusing(lambda data: from_lock(data, "lock.txt")),
    "advisories": _refusing(lambda data: parse_record(data, "record")),
    "snapshots": _refusing(lambda data: unpack(data, "snapshot")),
    "exchange": _refusing(lambda data: parse_vex(data, "vex.json")),
    "snapshot records": _refusing(_records),
    "images": _refusing(_image),
    "layers": _refusing(_layer),
    **fuzz_gateway.TARGETS,
}
