"""Security events from a gateway to a SIEM: none is sampled away, and none goes when ordinary logs do."""

import json
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.stand import Gateway, later, releases

from holdfast.core.errors import InvalidInput, InvalidProject
from holdfast.core.project import parse_project
from holdfast.core.telemetry import DRAINED
from holdfast.lifecycle.loop import look
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.security import PRUNED, events, events_export, logs_prune
from holdfast.lifecycle.verification import verify


def aged(path: Path, days: float) -> Path:
    """A file last written so many days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("log\n", encoding="utf-8")
    past = path.stat().st_mtime - days * 86400
    os.utime(path, (past, past))
    return path


@pytest.mark.requirement("REG-10", by="holdfast.core.security:happenings")
def test_every_refusal_reaches_the_export_and_outlives_ordinary_logs(producing: Plant, tmp_path: Path) -> None:
    """Fifty calls with a wrong key are counted fifty times; pruning takes ordinary logs and no security event."""
    _, second = releases(producing)
    gateway = Gateway(producing)
    rows = gateway.rows(second)
    good, gateway.key = gateway.key, "hf_" + "A" * 43
    for _ in range(50):
        assert gateway.ask(rows[:1]).status == 401
    gateway.key = good
    time.sleep(1.1)  # repeats within a second are told once it has ended
    gateway.traffic(rows)
    look(producing)
    home = producing.home.workspace
    ordinary = aged(home / "gateway" / "old.log", 100)
    young = aged(home / "gateway" / "young.log", 10)
    refused = aged(home / "gateway" / "spool" / "telemetry-0000000009.dsse.json.refused-00", 100)
    waiting = aged(home / "gateway" / "spool" / "events-7-000000000000.jsonl", 1000)

    def exported() -> list[dict[str, Any]]:
        events_export(producing, out=tmp_path / "events.jsonl")
        return [json.loads(line) for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]

    before = exported()
    assert [line["metadata"]["sequence"] for line in before] == list(range(1, len(before) + 1))
    denied = [line for line in before if line["metadata"]["event_code"].startswith("gateway/refused.authenticated")]
    assert sum(line["count"] for line in denied) == 50
    dry = logs_prune(producing, dry=True)
    assert ordinary.exists()
    assert logs_prune(producing).document["removed"] == dry.document["removed"]
    assert (ordinary.exists(), young.exists(), refused.exists(), waiting.exists()) == (False, True, True, True)
    ahead = later(producing, timedelta(days=500))
    windows = [e.body["envelope"] for e in ahead.ledger.entries() if e.kind == DRAINED and e.body["release"]]
    assert windows
    assert all(ahead.blobs.has(digest) for digest in windows)
    logs_prune(ahead)
    assert not any(ahead.blobs.has(digest) for digest in windows)
    assert not refused.exists()
    assert waiting.exists()  # not taken in yet: at no age
    waiting.unlink()
    after = exported()
    assert after[: len(before)] == before
    assert [line["metadata"]["event_code"] for line in after[len(before) :]] == [PRUNED, PRUNED]
    assert verify(producing).exit_code == 0  # what was pruned is on record, and no fault


def test_events_are_listed_by_sort_and_exported_since_a_moment(producing: Plant, tmp_path: Path) -> None:
    """The numbers stay those of the whole ledger, so that a reader sees what he has not been given."""
    listed = events(producing, sort="key-use").document
    assert {each["sort"] for each in listed["events"]} == {"key-use"}
    everything = events_export(producing, out=tmp_path / "all.jsonl", format="plain").document
    half = json.loads((tmp_path / "all.jsonl").read_text(encoding="utf-8").splitlines()[everything["events"] // 2])
    some = events_export(producing, out=tmp_path / "some.jsonl", since=half["time"], format="plain").document
    assert some["last"] == everything["last"]
    assert 1 < some["first"] <= half["number"]
    for wrong in ({"since": "yesterday"}, {"format": "xml"}):
        with pytest.raises(InvalidInput):
            events_export(producing, out=tmp_path / "x", **wrong)
    with pytest.raises(InvalidInput):
        events_export(producing, out=tmp_path / "no" / "x")
    with pytest.raises(InvalidInput):
        events(producing, last=0)


def test_security_logs_must_be_kept_longer(plant: Plant) -> None:
    """A project that would keep them shorter, or for no time at all, is refused with its line."""
    text = plant.home.project_file.read_bytes()
    assert parse_project(text)[0].retention.ordinary == "90d"
    for wrong in (b'ordinary = "30d"\nsecurity = "30d"', b'ordinary = "soon"'):
        with pytest.raises(InvalidProject):
            parse_project(text + b"\n[retention]\n" + wrong + b"\n")
