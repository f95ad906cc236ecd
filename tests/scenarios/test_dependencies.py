"""Dependencies against signed snapshots: newly known holes reach what was released; only words with an end accept."""

import base64
import json
import platform
import shutil
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bench.secret_corpus import TOKENS, Draw
from cryptography.hazmat.primitives import serialization
from tests.scenarios.stand import kinds, later, releases
from tests.unit.advisories.test_matching import record, vex
from tests.unit.images.made import DPKG, Layout, layer, member
from tests.unit.images.test_images import BASE

from holdfast import app
from holdfast.core.artifact import canonical
from holdfast.core.errors import Conflict, InvalidInput, NotVerified, PolicyDenied, Unavailable, UsageError
from holdfast.core.evidence import Outcome
from holdfast.engines.advisories.snapshot import pack, unpack
from holdfast.faces.cli import invoke
from holdfast.lifecycle.advisories import listed, make, newest, take
from holdfast.lifecycle.dependencies import AFFECTED, check_new_release, scan
from holdfast.lifecycle.images import scan_image
from holdfast.lifecycle.patches import open_items, patches, prove
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import accept_policy, promote
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.verbs import newest_on
from holdfast.lifecycle.vex import accept

NUMPY = version("numpy")
CONTROL = "release.dependencies/1"
RULE = """
[[rule]]
id = "release.dependencies"
because = "what is known to be broken must not answer"
on = "release"
control = "release.dependencies/1"
none_of = ["high", "critical"]
fresh_within = "14d"
"""
OTHERS = (("pillow", "PyPI"), ("@a/b", "npm"))
HARMLESS = record("CVE-2020-1", events=[{"introduced": "0"}, {"fixed": "0.1"}])
BAD = record("CVE-2026-7", events=[{"introduced": "0"}, {"fixed": "999"}], summary="reads past the end")


def snapshot(plant: Plant, name: str, *records: dict[str, Any], days_old: float = 0) -> Path:
    """Return a signed snapshot of these records."""
    folder = plant.home.root.parent / f"{name}-osv"
    folder.mkdir()
    for each in records:
        (folder / f"{each['id']}.json").write_text(json.dumps(each))
    out = plant.home.root.parent / f"{name}.zip"
    date = plant.clock.now() - timedelta(days=days_old)
    make(plant, source=folder, date=date.isoformat(), out=out)
    return out


@pytest.mark.guarantee("G63")
@pytest.mark.requirement("SUP-05", by="holdfast.lifecycle.dependencies:rematch")
def test_a_hole_that_becomes_known_reaches_the_release_and_a_signed_word_accepts_it(
    plant: Plant, tmp_path: Path
) -> None:
    """Clear today, affected by tomorrow's snapshot, denied by a policy that asks, accepted for a time, not after."""
    _ask_for_it(plant)
    with app.open_plant(plant.home.root) as plant_:
        plant = plant_
        run(plant)
        release = releases(plant)[-1]
        take(plant, snapshot=snapshot(plant, "first", HARMLESS))
        assert newest_on(plant, release)[CONTROL].outcome is Outcome.MEASURED
        promote(plant, reason="Nothing is known against it.")
        reply = take(plant, snapshot=snapshot(plant, "second", HARMLESS, BAD))
        assert release in reply.document["affected"]
        assert AFFECTED in kinds(plant, release)
        found = newest_on(plant, release)[CONTROL]
        assert found.outcome is Outcome.FAILED
        assert "CVE-2026-7" in found.reason
        assert "fixed in 999" in found.reason
        with pytest.raises(PolicyDenied) as denied:
            promote(plant, reason="Trying anyway.")
        assert any("CVE-2026-7" in reason for reason in denied.value.reasons)
        statement = vex(vulnerability={"name": "CVE-2026-7"}, products=[{"@id": f"pkg:pypi/numpy@{NUMPY}"}])
        (tmp_path / "vex.json").write_bytes(statement)
        with pytest.raises(InvalidInput, match="at most 90d"):
            accept(plant, file=tmp_path / "vex.json", reason="The function is never called here.", lasts="91d")
        accept(plant, file=tmp_path / "vex.json", reason="The function is never called here.")
        assert scan(plant).document["refused"] == 0
        measured = newest_on(plant, release)[CONTROL]
        assert [finding.severity for finding in measured.findings] == ["info"]
        promote(plant, reason="It is accepted, with a reason.")
        after = later(plant, timedelta(days=31))
        (tmp_path / "requirements.txt").write_text(f"numpy=={NUMPY}\n")
        after_snapshot = snapshot(after, "third", BAD)
        take(after, snapshot=after_snapshot)
        assert scan(after, lock=tmp_path / "requirements.txt").exit_code == 1  # the word has ended
        assert check_new_release(after, release) is not None


def _ask_for_it(plant: Plant) -> None:
    """Let the project's policy be the shipped one with the rule about dependencies."""
    text = plant.load_policy("baseline")[2] + RULE.encode()
    (plant.home.root / "mine.toml").write_bytes(text)
    edited = plant.home.project_file.read_text(encoding="utf-8").replace('policy = "baseline"', 'policy = "mine.toml"')
    plant.home.project_file.write_text(edited, encoding="utf-8")
    accept_policy(plant, file=plant.home.root / "mine.toml")


@pytest.mark.guarantee("G63")
@pytest.mark.requirement("SUP-05", by="holdfast.engines.advisories.snapshot:check_fresh")
def test_no_snapshot_and_a_stale_one_are_errors_and_never_a_pass(plant: Plant, tmp_path: Path) -> None:
    """Without one nothing can be said; past the project's limit neither, not even that all is well."""
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"numpy=={NUMPY}\n")
    with pytest.raises(Unavailable, match="no snapshot"):
        scan(plant, lock=lock)
    take(plant, snapshot=snapshot(plant, "old", HARMLESS, days_old=13))
    assert scan(plant, lock=lock).exit_code == 0
    with pytest.raises(Unavailable, match="days old"):
        scan(later(plant, timedelta(days=2)), lock=lock)
    assert "13" in listed(plant).tables[0].rows[0]
    (tmp_path / "npm.json").write_text(
        json.dumps({"bomFormat": "CycloneDX", "components": [{"purl": "pkg:npm/a@1.0.0"}]})
    )
    with pytest.raises(Unavailable, match="no advisory for npm"):
        scan(plant, bom=tmp_path / "npm.json")


@pytest.mark.requirement("SUP-05", by="holdfast.lifecycle.advisories:take")
def test_a_snapshot_that_was_changed_or_signed_by_another_or_is_older_is_refused(plant: Plant, tmp_path: Path) -> None:
    """One byte, another workspace's key, a rollback to yesterday; with the other's public key pinned it is taken."""
    good = snapshot(plant, "good", HARMLESS, BAD)
    bundle = unpack(good.read_bytes(), "good")
    fewer = unpack(snapshot(plant, "fewer", HARMLESS).read_bytes(), "fewer")
    (tmp_path / "swapped.zip").write_bytes(pack(bundle.statement, fewer.records))
    with pytest.raises(NotVerified, match="not those"):
        take(plant, snapshot=tmp_path / "swapped.zip")
    envelope = json.loads(bundle.statement)
    signed = envelope["signatures"][0]["sig"]
    envelope["signatures"][0]["sig"] = signed[:20] + ("A" if signed[20] != "A" else "B") + signed[21:]
    (tmp_path / "bent.zip").write_bytes(pack(canonical(envelope), bundle.records))
    with pytest.raises(NotVerified):
        take(plant, snapshot=tmp_path / "bent.zip")
    (tmp_path / "other").mkdir()
    app.init(tmp_path / "other", owner="ada")
    with app.open_plant(tmp_path / "other") as other:
        foreign = snapshot(other, "foreign", BAD)
        public = base64.b64decode(next(key.public for key in other.trust.keys if key.role == "ingest"))
    with pytest.raises(NotVerified, match="no trusted key"):
        take(plant, snapshot=foreign)
    loaded = serialization.load_der_public_key(public)
    pem = tmp_path / "ada.pem"
    pem.write_bytes(loaded.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(NotVerified, match="no trusted key"):
        take(plant, snapshot=good, key=pem)
    assert take(plant, snapshot=foreign, key=pem).document["affected"]
    with pytest.raises(Conflict, match="taken in before"):
        take(plant, snapshot=snapshot(plant, "yesterday", HARMLESS, days_old=1))


def test_the_command_line_scans_locks_bills_and_what_is_installed(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 where nothing must be done, 1 where something must; SARIF names the advisory; two things at once are none."""
    osv, lock, log = tmp_path / "osv", tmp_path / "requirements.txt", tmp_path / "out.sarif"
    osv.mkdir()
    (osv / "a.json").write_text(json.dumps(BAD))
    lock.write_text(f"numpy=={NUMPY}\n")
    root = ("-C", str(project))
    archive = shutil.make_archive(str(tmp_path / "all"), "zip", osv)

    def call(*words: str) -> int:
        capsys.readouterr()
        return invoke([*words, *root])

    today = datetime.now(UTC).date().isoformat()
    assert call("advisories", "make", archive, "--date", today, "--out", str(tmp_path / "s.zip")) == 0
    assert call("advisories", "take", str(tmp_path / "s.zip")) == 0
    assert call("dependencies", "scan", "--lock", str(lock), "--sarif-file", str(log)) == 1
    assert json.loads(log.read_text())["runs"][0]["results"][0]["ruleId"] == "CVE-2026-7"
    assert call("dependencies", "scan", "--environment") == 1
    assert call("dependencies", "scan", "--json") == 1
    lock.write_text("rich==14.0.0\n")
    assert call("dependencies", "scan", "--lock", str(lock)) == 0
    assert call("dependencies", "scan", "--lock", str(lock), "--environment") == 2
    (tmp_path / "vex.json").write_bytes(vex())
    words = ("dependencies", "accept", str(tmp_path / "vex.json"), "--reason", "It is never called here.")
    assert call(*words) == 0
    assert call("advisories", "list", "--json") == 0


@pytest.mark.requirement("SUP-06", by="holdfast.lifecycle.images:_reply")
def test_an_image_with_a_severe_advisory_fails_and_the_same_image_without_it_passes(
    plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Packages of Debian, PyPI and npm against one snapshot; a secret in a layer fails it, too."""
    openssl = record("CVE-2026-3", "openssl", "Debian:12", events=[{"introduced": "0"}, {"fixed": "3.0.12-1"}])
    others = [record(f"CVE-2026-{n}", name, system, versions=["0.0.1"]) for n, (name, system) in enumerate(OTHERS, 10)]
    take(plant, snapshot=snapshot(plant, "images", openssl, *others))
    layout = Layout(tmp_path / "old")
    old = layout.index(layout.image(BASE, User="1000"))
    reply = scan_image(plant, path=old, sarif_file=tmp_path / "out.sarif")
    assert reply.exit_code == 1
    assert [each["id"] for each in reply.document["images"][0]["advisories"]] == ["CVE-2026-3"]
    assert json.loads((tmp_path / "out.sarif").read_text())["runs"][0]["results"]
    layout = Layout(tmp_path / "new")
    patched = layer(member("var/lib/dpkg/status", DPKG.replace(b"3.0.11-1~deb12u1", b"3.0.12-1")))
    new = layout.index(layout.image(BASE, patched, User="1000"))
    assert scan_image(plant, path=new).exit_code == 0
    after = later(plant, timedelta(days=400, hours=1))  # an image was "made" within this second
    with pytest.MonkeyPatch.context() as patch:  # the keys of this workspace do not last as long
        fresh = msgspec.structs.replace(newest(plant), date=after.clock.now())
        patch.setattr("holdfast.lifecycle.images.newest", lambda _: fresh)
        aged = scan_image(after, path=new)
    assert (aged.exit_code, aged.document["overdue"][0]["days"]) == (1, 400)
    assert "REBUILD" in aged.says
    assert invoke(["image", "scan", str(new), "-C", str(plant.home.root)]) == 0
    token = TOKENS["npm"](Draw(1))
    leaking = layout.index(layout.image(BASE, patched, layer(member("root/.npmrc", token.encode()))))
    assert scan_image(plant, path=leaking).exit_code == 1
    assert invoke(["image", "scan", str(tmp_path / "none"), "-C", str(plant.home.root)]) == 2
    capsys.readouterr()


@pytest.mark.requirement("SUP-15", by="holdfast.lifecycle.patches:_settle")
def test_a_patch_that_is_overdue_is_raised_once_and_closed_when_it_is_in_place(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fix is due by severity, counted from its advisory; the interpreter by its own age; an event for each, once."""
    monkeypatch.setattr(platform, "python_build", lambda: ("main", plant.clock.now().strftime("%b %d %Y %H:%M:%S")))
    since = (plant.clock.now() - timedelta(days=20)).isoformat()
    slow = record("CVE-2026-5", events=[{"introduced": "0"}, {"fixed": "999"}], published=since)
    take(plant, snapshot=snapshot(plant, "patches", slow))
    reply = patches(plant)  # of high severity: within 30 days
    assert reply.exit_code == 0
    assert [item["days"] for item in reply.document["items"] if item["package"] == "numpy"] == [20]
    after = later(plant, timedelta(days=11))
    assert patches(after).exit_code == 1
    assert len(patches(after).document["raised"]) == 0  # it was raised the first time
    (words,) = open_items(plant).values()
    assert "CVE-2026-5 (high) is fixed in 999" in words
    take(after, snapshot=snapshot(after, "patched", HARMLESS))
    assert len(patches(after).document["closed"]) == 1
    assert open_items(plant) == {}
    monkeypatch.setattr(platform, "python_build", lambda: ("main", "Jan  1 2020 00:00:00"))
    old = patches(after)
    assert [item["package"] for item in old.document["items"] if item["overdue"]] == ["python"]
    monkeypatch.setattr(platform, "python_build", lambda: ("main", ""))
    assert patches(after).exit_code == 1  # of unknown age


@pytest.mark.requirement("SUP-15", by="holdfast.lifecycle.patches:_proved")
def test_a_patched_rebuild_is_proved_to_clear_a_finding(plant: Plant, tmp_path: Path) -> None:
    """There before and gone now, by one snapshot; not by an acceptance, an empty list, or in exchange for another."""
    holes = [
        record("CVE-2026-6", "numpy", events=[{"introduced": "0"}, {"fixed": "2.0"}]),
        record("CVE-2026-8", "rich", events=[{"introduced": "14"}, {"fixed": "15"}]),
    ]
    take(plant, snapshot=snapshot(plant, "proof", *holes))

    def bom(name: str, *purls: str) -> str:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"bomFormat": "CycloneDX", "components": [{"purl": each} for each in purls]}))
        return str(path)

    old = bom("old", "pkg:pypi/numpy@1.0", "pkg:pypi/rich@13.0")
    new = bom("new", "pkg:pypi/numpy@2.0", "pkg:pypi/rich@13.0")
    traded = bom("traded", "pkg:pypi/numpy@2.0", "pkg:pypi/rich@14.0")
    good = prove(plant, old=old, new=new, advisory="CVE-2026-6")
    assert good.exit_code == 0
    assert [each["id"] for each in good.document["cleared"]] == ["CVE-2026-6"]
    assert prove(plant, old=old, new=new).exit_code == 0
    assert prove(plant, old=old, new=old).exit_code == 1
    assert prove(plant, old=new, new=new).exit_code == 1  # nothing was there to clear
    assert prove(plant, old=old, new=new, advisory="CVE-2026-8").exit_code == 1
    assert prove(plant, old=old, new=traded).exit_code == 1
    (tmp_path / "vex.json").write_bytes(vex(vulnerability={"name": "CVE-2026-6"}))
    accept(plant, file=tmp_path / "vex.json", reason="It is never called here.")
    assert prove(plant, old=old, new=old).exit_code == 1
    with pytest.raises(UsageError):
        prove(plant, old=old, new="none-of-both")
    release = releases(plant)[-1]
    assert prove(plant, old=old, new=release, advisory="CVE-2026-6").exit_code == 0
    sealed = newest_on(plant, release)["release.rebuild/1"]
    assert {measure.name: measure.value for measure in sealed.measures}["cleared"] == 1
    assert kinds(plant, "patches").count("dependencies.proved") == 8
    words = ("dependencies", "prove", old, new, "-C", str(plant.home.root))
    assert invoke(list(words)) == 0
    assert invoke(["dependencies", "patches", "-C", str(plant.home.root), "--json"]) in {0, 1}
