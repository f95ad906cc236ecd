"""The commands of an audit as a person types them."""

import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.faces.cli import invoke
from holdfast.lifecycle.plant import Plant


def typed(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """The exit code and the document that a command line gives."""
    capsys.readouterr()
    code = invoke([*map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_an_audit_from_witness_to_pack_on_the_command_line(
    plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Witness, cosignature, tiles, copies, events, reviews, map, toil and pack: each answers with a document."""
    root, witness = ("-C", plant.home.root), tmp_path / "witness"
    witness.mkdir()
    cosigned = tmp_path / "cosigned"
    key = typed(capsys, "ledger", "key", *root)[1]["keys"][0]
    name = typed(capsys, "witness", "init", "-C", witness, "--name", "example.org/w1")[1]["key"]
    assert typed(capsys, "witness", "know", key, "-C", witness)[0] == 0
    assert typed(capsys, "ledger", "ask-witness", name, "--out", tmp_path / "request", *root)[0] == 0
    assert typed(capsys, "witness", "cosign", tmp_path / "request", "--out", cosigned, "-C", witness)[0] == 0
    kept = tmp_path / "kept"
    took = typed(capsys, "ledger", "take-cosignature", cosigned, "--witness", name, "--keep", kept, *root)
    assert took[0] == 0
    assert typed(capsys, "ledger", "tiles", "--out", tmp_path / "tiles", "--witnessed", *root)[0] == 0
    (tmp_path / "names").write_text(name, encoding="utf-8")
    given = ("--checkpoint", kept, "--key", key, "--witnesses", tmp_path / "names", "--quorum", "1")
    assert typed(capsys, "ledger", "verify-copy", "--tiles", tmp_path / "tiles", *given)[1]["witnesses"]
    database = plant.home.workspace / "ledger.db"
    assert typed(capsys, "ledger", "verify-copy", "--database", database, *given)[0] == 0
    assert typed(capsys, "events", "list", "--last", "3", *root)[1]["events"]
    assert typed(capsys, "events", "export", "--out", tmp_path / "events", "--format", "plain", *root)[0] == 0
    assert typed(capsys, "logs", "prune", "--dry", *root)[0] == 0
    assert typed(capsys, "audit", "run", *root)[0] == 0
    assert typed(capsys, "toil", "--days", "3", *root)[1]["by_hand"]
    for routine in ("weekly", "monthly", "quarterly"):
        assert typed(capsys, "routine", routine, "--word", "Seen.", "--out", tmp_path / "r.html", *root)[0] == 0
    assert "<table>" in (tmp_path / "r.html").read_text(encoding="utf-8")
    planned = ("--on", "2099-01-01", "--what", "A tabletop.")
    assert typed(capsys, "routine", "schedule", "quarterly", *planned, *root)[0] == 0
    assert typed(capsys, "routine", "due", *root)[0] == 0
    assert typed(capsys, "compliance", "--framework", "gdpr", *root)[1]["claims_compliance"] is False
    made = typed(capsys, "pack", "make", "--out", tmp_path / "pack.zip", *root)[1]
    assert typed(capsys, "pack", "verify", tmp_path / "pack.zip", "--fingerprint", made["root"])[0] == 0
    assert typed(capsys, "pack", "verify", tmp_path / "pack.zip", "--fingerprint", "sha256:0")[0] == 4
