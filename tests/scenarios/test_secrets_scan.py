"""`holdfast secrets scan` as a build meets it: exit codes, a table, JSON, SARIF, a baseline, and never the secret."""

import json
from pathlib import Path

import pytest
from bench.secret_corpus import TOKENS, Draw, secrets

from holdfast import app
from holdfast.core.errors import PolicyDenied
from holdfast.faces.cli import invoke
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.runner import run

TOKEN = TOKENS["github-classic"](Draw(5))


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Return exit code and standard output."""
    capsys.readouterr()
    code = invoke(list(words))
    return code, capsys.readouterr().out


@pytest.mark.requirement("ACC-09", by="holdfast.lifecycle.secret_scan:_reply")
def test_a_find_fails_the_build_and_nothing_found_passes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 nothing, 1 something, 2 a question that makes no sense."""
    (tmp_path / "a.py").write_text("x = 1\n")
    assert call(capsys, "secrets", "scan", str(tmp_path))[0] == 0
    (tmp_path / "b.log").write_text(f"calling with {TOKEN}\n")
    code, out = call(capsys, "secrets", "scan", str(tmp_path / "a.py"), str(tmp_path / "b.log"))
    assert code == 1
    assert "b.log:1:14" in out
    assert call(capsys, "secrets", "scan", str(tmp_path / "none"))[0] == 2
    assert call(capsys, "secrets", "scan")[0] == 2


def test_sarif_lists_rule_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What code-scanning pages read: driver, rules, results with a region; accepted finds are suppressed."""
    (tmp_path / "b.py").write_text(f"\nt = '{TOKEN}'\nu = '{TOKEN}'  # holdfast:allow-secret: revoked in 2024\n")
    log = tmp_path / "out.sarif"
    assert call(capsys, "secrets", "scan", str(tmp_path / "b.py"), "--sarif-file", str(log))[0] == 1
    made = json.loads(log.read_text())
    assert made["version"] == "2.1.0"
    run = made["runs"][0]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [f"github.{TOKEN[:3]}"]
    first, second = run["results"]
    assert first["locations"][0]["physicalLocation"]["region"] == {"startLine": 2}
    assert first["level"] == "error"
    assert "suppressions" not in first
    assert second["suppressions"][0]["justification"] == "revoked in 2024"


@pytest.mark.guarantee("G65")
@pytest.mark.requirement("ACC-09", by="holdfast.engines.secrets.scan:masked")
def test_no_secret_is_ever_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over every format: no five characters of the random part of a secret reach table, JSON, SARIF or baseline."""
    samples = list(secrets(9, 2))
    for sample in samples:
        (tmp_path / sample.name).write_text(sample.text)
    log, base = tmp_path.parent / "o.sarif", tmp_path.parent / "o.json"
    said = call(capsys, "secrets", "scan", str(tmp_path), "--sarif-file", str(log))[1]
    said += call(capsys, "secrets", "scan", str(tmp_path), "--json")[1]
    call(capsys, "secrets", "scan", str(tmp_path), "--write-baseline", str(base), "--reason", "made for a test")
    said += log.read_text() + base.read_text()
    assert len(said) > 10_000
    for sample in samples:
        secret = sample.secret.replace("\n", "")
        middle = len(secret) // 2
        assert secret[middle : middle + 8] not in said, sample.sort
        assert secret[-8:-2] not in said, sample.sort


def test_a_written_baseline_accepts_what_was_there_and_nothing_new(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Old finds pass with their reason, a new one fails the build; without a reason no baseline is written."""
    base, code = tmp_path / "baseline.json", tmp_path / "code.py"
    code.write_text(f"t = '{TOKEN}'\n")
    assert call(capsys, "secrets", "scan", str(code), "--write-baseline", str(base))[0] == 2
    assert not base.exists()
    words = ("--write-baseline", str(base), "--reason", "revoked in 2024")
    assert call(capsys, "secrets", "scan", str(code), *words)[0] == 0
    assert call(capsys, "secrets", "scan", str(code), "--baseline", str(base))[0] == 0
    code.write_text(f"t = '{TOKEN}'\nu = '{TOKENS['npm'](Draw(1))}'\n")
    exit_code, out = call(capsys, "secrets", "scan", str(code), "--baseline", str(base), "--json")
    assert exit_code == 1
    said = json.loads(out)
    assert [each["rule"] for each in said["secrets"]] == ["npm.token"]
    assert [each["reason"] for each in said["accepted"]] == ["revoked in 2024"]
    assert call(capsys, "secrets", "scan", str(code), "--baseline", str(code))[0] == 3


@pytest.mark.guarantee("G65")
@pytest.mark.requirement("ACC-09", by="holdfast.release.leaks:_measure")
def test_a_release_whose_training_code_holds_a_token_is_denied(project: Path) -> None:
    """The shipped policy refuses it in words; neither the evidence nor the denial shows the token."""
    recipe = project / "train.py"
    recipe.write_text(recipe.read_text(encoding="utf-8") + f"\n# fetched with {TOKEN}\n", encoding="utf-8")
    with app.open_plant(project) as plant:
        run(plant)
        with pytest.raises(PolicyDenied) as denied:
            promote(plant, reason="It only holds a small token.")
    said = "; ".join(denied.value.reasons)
    assert "secrets is 1" in said
    assert TOKEN[5:] not in said
