"""The control that runs a project's own tests on a release, confined.

A test that fails is measured, not `failed`: it is bad news about this release, and running it again until it passes
would be looking away. That nothing could be run at all is `failed`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from holdfast.core.artifact import Artifact, Digest, digest_bytes, digest_json, parse_manifest
from holdfast.core.control import Control, Report
from holdfast.core.errors import StageFailed
from holdfast.core.evidence import Finding, Severity, exactly
from holdfast.core.ports import Workspace
from holdfast.engines.jobs import MAX_DOCUMENT, Room, collect, demand_finished, make_room, printable
from holdfast.release.worker import PROJECT, RELEASE, RESULTS, SORTS, Ran

JOB: Final = "holdfast.release.worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A release, and the tests that its project declares: file name to content, by sort."""

    ws: Workspace
    release: Artifact
    tests: Mapping[str, Mapping[str, bytes]]
    beside: Mapping[str, bytes]  # the project's code that the tests import: the recipe


def _measure(suite: Suite) -> Report:
    room = make_room(suite.ws.scratch, "tests")
    _give(room, suite)
    args = (str(room.given), str(room.left))
    result = suite.ws.sandbox.python(JOB, args, readable=(room.given,), writable=room.left)
    demand_finished(result, "the project's tests")
    left = collect(room, {RESULTS: MAX_DOCUMENT}).files.get(RESULTS)
    if left is None:
        raise StageFailed("the project's tests left no result", place=JOB)
    try:
        ran = msgspec.json.decode(left, type=list[Ran])
    except msgspec.MsgspecError as error:
        raise StageFailed(f"the results of the tests cannot be read: {error}", place=JOB) from error
    if not ran:  # empty means no
        raise StageFailed("the project declares no tests", place="holdfast.toml: tests")
    measures = [
        exactly(name, float(value))
        for sort in SORTS
        for name, value in (
            (f"{sort}_tests", sum(1 for each in ran if each.sort == sort)),
            (f"{sort}_failed", sum(1 for each in ran if each.sort == sort and each.words)),
        )
    ]
    findings = tuple(
        Finding(place=printable(each.name, 100), severity=Severity.HIGH, rule="test", message=printable(each.words))
        for each in ran
        if each.words
    )
    named = {sort: {name: digest_bytes(data) for name, data in suite.tests[sort].items()} for sort in SORTS}
    return Report(measures=tuple(measures), findings=findings, facts={"tests": digest_json(named)})


def _give(room: Room, suite: Suite) -> None:
    """Write what the job is given: the tests, the project's code beside them, and the files of the release."""
    for sort in SORTS:
        _write(room.given / sort, suite.tests[sort])
    _write(room.given / PROJECT, suite.beside)
    blobs = suite.ws.blobs
    files = parse_manifest(blobs.get(suite.release.digest)).files
    _write(room.given / RELEASE, {file.path: blobs.get(Digest(file.digest)) for file in files})


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


TESTS: Final[Control[Suite]] = Control(name="release.tests/1", measure=_measure)
