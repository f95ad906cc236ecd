"""The pickle scanner beside CPython: whatever loading imports, the scanner has reported, and nothing is left unread.

Random streams are loaded by CPython's own unpickler in forked children inside one sandbox, and read by the scanner.
2,000 streams in CI, 100,000 in `make record`.
"""

import json
import pickle
import random
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from tests.services.sandbox_tiers import sandbox_named
from tests.unit.engines.scan import long_streams, streams
from tests.unit.engines.scan.shared_streams import shared

from holdfast.core.ports import GIB, Job, JobEnd, Limits, Tier
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.examination import Limits as ScanLimits
from holdfast.engines.scan.formats import examine
from holdfast.engines.scan.pickles import leaps, reading
from holdfast.engines.scan.pickles.allowed import AllowList
from holdfast.engines.scan.pickles.judge import AllowListJudge
from holdfast.engines.scan.pickles.machine import Break
from holdfast.engines.scan.pickles.reading import HEADERLESS, read_pickle
from holdfast.engines.scan.pickles.table import new_machine
from holdfast.engines.scan.report import Findings
from holdfast.engines.scan.verdict import Verdict, parse_scan_policy
from holdfast.lifecycle.policies import scan_policy_file

SEED: Final = 20261127
READER: Final = Path(__file__).with_name("cpython_reader.py")
NOTHING: Final = AllowList(names=frozenset(), calls={}, builds=frozenset(), fills=frozenset())
POLICY: Final = parse_scan_policy(scan_policy_file().read_bytes())


def loaded(made: list[bytes], place: Path) -> list[dict[str, Any]]:
    """What CPython does with each stream."""
    given, left = place / "given", place / "left"
    given.mkdir()
    left.mkdir()
    listed = given / "streams"
    listed.write_bytes(b"".join(len(each).to_bytes(4, "little") + each for each in made))
    job = Job(
        argv=(sys.executable, "-I", str(READER), str(listed), str(left / "results")),
        readable=(listed, READER, Path(sys.prefix), Path(sys.base_prefix)),
        writable=(left,),
        env={"PYTHONHASHSEED": "0"},
        cwd=left,
        limits=Limits(cpu_s=1800, wall_s=3600, memory_bytes=4 * GIB),
    )
    result = sandbox_named(Tier.PROCESS).run(job)
    assert result.end is JobEnd.FINISHED, result.stderr.decode()
    return [json.loads(line) for line in (left / "results").read_bytes().splitlines()]


def read(stream: bytes) -> set[tuple[str, str]]:
    """What the scanner's machine sees imported from the first pickle of a stream."""
    content = Content(memoryview(stream), "stream.pkl")
    examination = Examination(Findings(), lambda _content, _examination: (), ScanLimits())
    judge = AllowListJudge(content, examination, NOTHING, HEADERLESS)
    read_pickle(new_machine(content, examination, judge), 0)
    return set(judge.imported)


def verdict(stream: bytes) -> Verdict:
    """What the shipped policy thinks of a file."""
    findings = Findings()
    examine(Content(memoryview(stream), "stream.pkl"), findings)
    return POLICY.on(findings.kept)


@pytest.mark.guarantee("G72")
def test_nothing_is_imported_that_was_not_reported(tmp_path: Path, effort: Any, record: Any) -> None:
    """For every stream: CPython's imports are among the scanner's; a clean stream has no bytes that nobody read."""
    count = effort(ci=2000, record=100_000)
    rng = random.Random(SEED)  # noqa: S311 - a seed for tests
    made = [streams.stream(rng) for _ in range(count)]
    results = loaded(made, tmp_path)
    assert len(results) == count
    imports = finished = 0
    for stream, result in zip(made, results, strict=True):
        wanted = {(module, name) for module, name in result["imported"]}
        assert wanted <= read(stream), (stream, result)
        if wanted:
            assert verdict(stream) is not Verdict.CLEAN, stream
        if result["ended"] == "finished":
            finished += 1
            if result["read"] < len(stream):
                assert _all_read(stream) or verdict(stream) is not Verdict.CLEAN, (stream, result)
        imports += len(wanted)
    assert imports > count // 4  # the streams go far enough to show something
    assert finished > count // 50
    record.save(
        "scan-against-cpython",
        seed=SEED,
        result={"streams": count, "imports": imports, "finished": finished, "unreported": 0, "unread and clean": 0},
    )


def _all_read(stream: bytes) -> bool:
    """Whether pickles follow one another to the last byte, which the scanner reads one by one."""
    content, position = Content(memoryview(stream), "stream.pkl"), 0
    while position < len(stream):
        examination = Examination(Findings(), lambda _content, _examination: (), ScanLimits())
        judge = AllowListJudge(content, examination, NOTHING, HEADERLESS)
        try:
            position = new_machine(content, examination, judge).run(position)
        except Break:
            return False
    return True


@pytest.mark.guarantee("G72")
@pytest.mark.parametrize("small", [64, 700], ids=["tiny", "small"])
def test_nothing_is_imported_within_many_values_that_was_not_reported(
    small: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, effort: Any, record: Any
) -> None:
    """Long streams of rows, whole, damaged and with imports hidden in them, read in leaps: as above."""
    monkeypatch.setattr(reading, "LEAPS", 0)
    monkeypatch.setattr(leaps, "SMALL", small)
    monkeypatch.setattr(leaps, "WORTH", 16)
    count = effort(ci=80, record=5000)
    rng = random.Random(SEED + small)  # noqa: S311 - a seed for tests
    made = [long_streams.long_stream(rng) if number % 3 else shared(rng) for number in range(count)]
    imports = finished = 0
    for stream, result in zip(made, loaded(made, tmp_path), strict=True):
        wanted = {(module, name) for module, name in result["imported"]}
        assert wanted <= read(stream), (stream, result)
        finished += result["ended"] == "finished"
        if result["ended"] == "finished" and result["read"] < len(stream):
            assert _all_read(stream) or verdict(stream) is not Verdict.CLEAN, (stream, result)
        imports += len(wanted)
    assert imports > count // 80
    assert finished > count // 5
    found = {"streams": count, "imports": imports, "finished": finished, "unreported": 0, "unread and clean": 0}
    record.save(f"scan-against-cpython-rows-{small}", seed=SEED + small, result=found)


@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.pickles.judge:AllowListJudge.imports")
@pytest.mark.parametrize("protocol", range(6))
def test_what_runs_in_cpython_is_called_malicious(protocol: int, tmp_path: Path) -> None:
    """A real payload does something when CPython loads it, and is seen before."""
    stream = pickle.dumps(_Touches(), protocol)
    assert loaded([stream], tmp_path)[0]["imported"] == [["posix", "mkdir"]]
    assert verdict(stream) is Verdict.MALICIOUS


class _Touches:
    """An object whose loading makes a folder."""

    def __reduce__(self) -> Any:
        import os

        return os.mkdir, ("made-by-loading",)
