"""The control map on a real workspace, and the reviews that gather their own material."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.stand import (
    MADE_WITH,
    Gateway,
    Spool,
    drifted,
    file_evidence,
    later,
    parent,
    releases,
)

from holdfast.core.artifact import Digest, Kind, from_base64
from holdfast.core.dsse import PAYLOAD_TYPE, pae
from holdfast.core.errors import InvalidInput
from holdfast.core.evidence import failed
from holdfast.core.ledger import Draft
from holdfast.core.seal import open_envelope
from holdfast.core.trust import check_signature
from holdfast.lifecycle.compliance import compliance
from holdfast.lifecycle.loop import look
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.routines import HELD, monthly, quarterly, routine_due, schedule, weekly
from holdfast.lifecycle.toil import audit_run, toil
from holdfast.lifecycle.verification import verify

RESIDENCY = b"""
[residency]
allowed = ["eu"]
storage = "eu-central-1"
gateways = ["eu-west-1"]
"""


def lines(plant: Plant) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Every provision as it stands."""
    return {(each["framework"], each["provision"]): each for each in compliance(plant).document["lines"]}


def titled(document: Mapping[str, Any], title: str) -> list[list[str]]:
    """The rows of one item of a review."""
    return next(item["rows"] for item in document["items"] if item["title"] == title)


def declare(plant: Plant, text: bytes) -> None:
    """Add something to the project file."""
    plant.home.project_file.write_bytes(plant.home.project_file.read_bytes() + text)


@pytest.mark.requirement("REG-12", by="holdfast.core.compliance:stand")
def test_each_provision_is_evidence_or_a_gap_and_a_failed_control_moves_its_own(
    producing: Plant, tmp_path: Path
) -> None:
    """GDPR, HIPAA and five more, with residency; a control that fails turns its lines, and no others, into gaps."""
    declare(producing, RESIDENCY)
    _, second = releases(producing)
    before = lines(producing)
    assert {each["state"] for each in before.values()} == {"evidence", "gap"}
    assert {framework for framework, _ in before} >= {"gdpr", "hipaa", "eu-ai-act", "iso-42001"}
    assert before["gdpr", "Art. 44"]["state"] == "evidence"
    assert before["gdpr", "Art. 5(1)(c)"]["state"] == "evidence"
    assert before["mitre-atlas", "AML.M0014"]["state"] == "evidence"
    assert before["gdpr", "Art. 5(2)"]["state"] == "gap"  # no witness has cosigned
    model = parent(producing, second, Kind.MODEL)
    file_evidence(producing, failed("assess.fairness/1", model, Kind.MODEL, MADE_WITH, "it crashed"))
    after = lines(producing)
    moved = {key for key, line in after.items() if line["state"] != before[key]["state"]}
    rests = {key for key, line in before.items() if "control:assess.fairness/1" in line["shown_by"]}
    denied = {key for key, line in before.items() if "fact:policy.permits" in line["shown_by"]}
    assert moved
    assert moved <= rests | denied
    assert all(after[key]["state"] == "gap" for key in rests)
    out = tmp_path / "map.md"
    reply = compliance(producing, framework="gdpr", out=out)
    assert {line["framework"] for line in reply.document["lines"]} == {"gdpr"}
    assert "no statement that anything is complied with" in reply.says
    assert "Art. 44" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (b'\n[residency]\nallowed = ["eu"]\nstorage = "eu-central-1"\ngateways = ["us-east-1"]\n', "us-east-1"),
        (b'\n[residency]\nallowed = ["eu"]\nstorage = "eur-1"\ngateways = ["eu"]\n', "eur-1"),
        (b'\n[residency]\nstorage = "eu"\ngateways = ["eu"]\n', "not all declared"),
        (b"", "not all declared"),
    ],
)
def test_data_outside_the_allowed_regions_is_a_gap(producing: Plant, declared: bytes, words: str) -> None:
    """So is a region that nobody has declared."""
    declare(producing, declared)
    line = lines(producing)["gdpr", "Art. 44"]
    assert line["state"] == "gap"
    assert words in line["because"][0]


@pytest.mark.requirement("REG-13", by="holdfast.lifecycle.routines:_review")
def test_the_weekly_review_gathers_alerts_drift_and_promotions(producing: Plant, tmp_path: Path) -> None:
    """After a drifted window: the incident, the trend with its worst column, and the promotions, signed when held."""
    _, second = releases(producing)
    Spool(plant=producing).tell(second, drifted(producing, second, "mean_texture"))
    look(producing)
    reply = weekly(producing, out=tmp_path / "week.md")
    document = reply.document
    assert [item["title"] for item in document["items"]] == ["Severe alerts", "Drift trends", "New promotions"]
    assert "incident.opened" in {row[0] for row in titled(document, "Severe alerts")}
    (trend,) = titled(document, "Drift trends")
    assert "mean_texture" in trend[5]
    assert "release.promoted" in {row[1] for row in titled(document, "New promotions")}
    assert "mean_texture" in (tmp_path / "week.md").read_text(encoding="utf-8")
    assert "held" not in document
    held = weekly(producing, word="The scanner was recalibrated; watch it.")
    entry = producing.last("routine/weekly", HELD)
    assert entry is not None
    assert entry.position == held.document["held"]
    report = json.loads(producing.blobs.get(Digest(entry.body["report"])))
    assert [item["title"] for item in report["items"]] == ["Severe alerts", "Drift trends", "New promotions"]
    payload, (signature,) = open_envelope(producing.blobs.get(Digest(entry.body["statement"])))
    key = producing.trust.key(signature.keyid)
    assert key is not None
    assert (key.role, key.owner) == ("person", producing.person)
    check_signature(key, pae(PAYLOAD_TYPE, payload), from_base64(signature.sig))
    assert entry.body["report"].removeprefix("sha256:") in payload.decode()
    again = weekly(producing).document  # what was reviewed is not gathered twice
    assert titled(again, "New promotions") == []


@pytest.mark.requirement("REG-14", by="holdfast.lifecycle.routines:_review")
def test_the_monthly_review_gathers_scans_keys_and_what_changed_in_threats(producing: Plant) -> None:
    """Each model with its scan, each key with its end, and what a threat model must be held against."""
    gateway = Gateway(producing)
    gateway.write()
    document = monthly(producing, word="Nothing to rotate yet.").document
    items = ["Security scan", "Key-rotation review", "Threat-model update"]
    assert [item["title"] for item in document["items"]] == items
    scanned = titled(document, "Security scan")
    assert len(scanned) >= 2
    assert all(row[2] == "measured" for row in scanned)
    keys = titled(document, "Key-rotation review")
    assert len(keys) == len(producing.trust.keys)
    assert {row[4] for row in keys} == {"ok"}
    assert ["threat model", "none is on record", "0"] in titled(document, "Threat-model update")
    ahead = later(producing, timedelta(days=330))
    assert {row[4] for row in titled(monthly(ahead).document, "Key-rotation review")} == {"ROTATE"}
    planted = Draft(kind="artifact.recorded", actor="eve", stream="sha256:" + "e" * 64, body=MODEL)
    producing.ledger.append([planted])
    assert "NOT SCANNED" in {row[2] for row in titled(monthly(producing).document, "Security scan")}


MODEL: dict[str, Any] = {"kind": "model", "size": 1, "parents": []}


@pytest.mark.requirement("REG-15", by="holdfast.lifecycle.routines:schedule")
def test_the_quarterly_review_plans_and_records_tabletop_and_postmortems(producing: Plant) -> None:
    """A tabletop is planned and stands in the review, the incident with what was done; both are on record."""
    assert "NOTHING PLANNED" in titled(quarterly(producing).document, "Tabletop")[0][1]
    day = f"{producing.clock.now() + timedelta(days=9):%Y-%m-%d}"
    schedule(producing, routine="quarterly", on=day, what="The owner's laptop is stolen.")
    assert routine_due(producing).document["routines"][2]["planned"] == f"{day}: The owner's laptop is stolen."
    _, second = releases(producing)
    Spool(plant=producing).tell(second, drifted(producing, second, "mean_texture"))
    look(producing)
    document = quarterly(producing, word="The runbook lacks a telephone number: Ada adds it by Friday.").document
    assert titled(document, "Tabletop")[0][:2] == [day, "The owner's laptop is stolen."]
    (row,) = titled(document, "Postmortem and action review")
    assert "rolled back" in row[3]
    assert row[4] == "OPEN"
    entry = producing.last("routine/quarterly", HELD)
    assert entry is not None
    assert "Ada adds it" in entry.body["word"]
    assert routine_due(producing).document["routines"][2]["planned"] == ""


def test_an_overdue_review_is_said_and_is_a_gap(producing: Plant) -> None:
    """Held, a review is evidence until it is due again; then `routine due` ends with a code of its own."""
    weekly(producing, word="Quiet.")
    assert routine_due(producing).exit_code == 0
    ahead = later(producing, timedelta(days=8))
    assert routine_due(ahead).document["overdue"] == ["weekly"]
    assert routine_due(ahead).exit_code == 1
    assert lines(producing)["hipaa", "164.308(a)(1)(ii)(D)"]["state"] == "evidence"
    assert lines(ahead)["hipaa", "164.308(a)(1)(ii)(D)"]["state"] == "gap"


@pytest.mark.parametrize(
    "wrong",
    [
        {"routine": "daily", "on": "2099-01-01", "what": "x"},
        {"routine": "weekly", "on": "soon", "what": "x"},
        {"routine": "weekly", "on": "2001-01-01", "what": "x"},
        {"routine": "weekly", "on": "2099-01-01", "what": " "},
    ],
)
def test_a_plan_that_cannot_be_is_refused(producing: Plant, wrong: dict[str, str]) -> None:
    """No such routine, no such day, a day that has passed, or nothing said."""
    with pytest.raises(InvalidInput):
        schedule(producing, **wrong)
    with pytest.raises(InvalidInput):
        weekly(producing, word="")


@pytest.mark.requirement("REG-16", by="holdfast.lifecycle.toil:toil")
def test_signing_checks_and_audits_run_without_hands_and_what_is_left_is_said(producing: Plant) -> None:
    """The report counts what the machine did, and names each kind of work by hand with its reason."""
    assert audit_run(producing).exit_code == 0
    document = toil(producing).document
    without = {row["what"]: row for row in document["without_hands"]}
    for name in ("signing of releases", "security checks and other controls", "regular audits"):
        assert without[name]["times"] > 0, name
        assert producing.person not in without[name]["by"]
    by_hand = {row["what"]: row for row in document["by_hand"]}
    approvals = by_hand["approvals, rejections and rollbacks"]
    # Two promotions: each approves, and says what may answer again, itself and the one before.
    assert (approvals["times"], approvals["by"]) == (5, [producing.person])
    assert all(row["why"] for row in by_hand.values())
    assert document["automated_share"] > 0.9
    assert toil(later(producing, timedelta(days=90))).document["automated_share"] == 0
    with pytest.raises(InvalidInput):
        toil(producing, days=0)


def test_an_audit_that_finds_something_says_so_and_records_it(producing: Plant) -> None:
    """The exit code is that of a failed verification, so that a timer tells somebody."""
    (producing.home.published / "timestamp.json").write_bytes(b"{}")
    reply = audit_run(producing)
    assert reply.exit_code == verify(producing).exit_code != 0
    entry = producing.last("audits", "audit.run")
    assert entry is not None
    assert entry.body["broken"] == ["published"]
