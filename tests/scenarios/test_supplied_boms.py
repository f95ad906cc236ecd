"""What suppliers say of their models and rows: taken in beside them, asked about, and never taken for evidence."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.stand import parent, releases
from tests.unit.release.test_supplied import cyclonedx

from holdfast.core.artifact import Artifact, Kind, digest_bytes
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.ledger import Draft
from holdfast.lifecycle.bom_impact import impact
from holdfast.lifecycle.bom_supplied import take
from holdfast.lifecycle.boms import completeness, show
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.quarantine import take as intake


def bill(folder: Path, **changes: Any) -> Path:
    """A supplier's bill in a file."""
    path = folder / "bill.json"
    path.write_text(json.dumps(cyclonedx(**changes)))
    return path


@pytest.fixture
def bought(producing: Plant, tmp_path: Path) -> Artifact:
    """A model that was taken in."""
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    return intake(producing, tmp_path / "weights.safetensors", "model")


def hits(plant: Plant, **asked: Any) -> dict[str, dict[str, Any]]:
    """Who is reached, by digest."""
    return {each["release"]: each for each in impact(plant, **asked).document["hits"]}


@pytest.mark.requirement("SUP-08", by="holdfast.lifecycle.bom_supplied:take")
@pytest.mark.requirement("SUP-09", by="holdfast.adapters.bill_folds:supplied")
def test_a_bad_component_of_something_bought_is_found_by_its_suppliers_word(
    producing: Plant, bought: Artifact, tmp_path: Path
) -> None:
    """Shown as the supplier's, proved by nobody; what it lacks is told; a later bill adds and takes nothing away."""
    before = completeness(producing).document["outside"]
    assert [(each["subject"], each["lacks"]) for each in before] == [(bought.digest, ["a bill"])]
    with pytest.raises(NotFound, match="no supplier's bill"):
        show(producing, release=bought.digest)
    said = take(producing, file=bill(tmp_path), about=bought.digest[7:19])
    assert "nothing of it was checked" in said.says
    found = hits(producing, about="component", what="pkg:maven/org.apache/log4j@2.14.1", prove=True)
    assert set(found) == {bought.digest}
    hit = found[bought.digest]
    assert (hit["source"], hit["state"], hit["model"]) == ("supplier", "from outside", "weights.safetensors")
    assert hit["proof"]["state"] == "unproved"
    assert not hit["in_production"]
    reply = impact(producing, about="licence", what="CC-BY-NC-4.0")
    assert reply.document["from_outside"] == 1
    assert reply.says.startswith("0 of 2 releases")
    shown = show(producing, release=bought.digest).document
    assert (shown["source"], shown["form"], len(shown["parts"])) == ("supplier", "CycloneDX 1.6", 4)
    assert completeness(producing).document["outside"][0]["lacks"] == ["digests of all data"]
    take(producing, file=bill(tmp_path, components=[{"type": "library", "name": "y"}]), about=bought.digest)
    assert set(hits(producing, about="component", what="pkg:maven/org.apache/log4j")) == {bought.digest}
    assert not producing.ledger.rebuild().differed
    assert completeness(producing).exit_code == 0


def test_what_was_made_of_something_bought_is_reached_through_it(
    producing: Plant, bought: Artifact, tmp_path: Path
) -> None:
    """A model of ours that has it among its parents, and rows that were bought, by the digest of their file."""
    first, second = releases(producing)
    made = parent(producing, second, Kind.MODEL)
    tuned = Artifact(kind=Kind.RELEASE, digest=digest_bytes(b"tuned"), size=1)
    producing.ledger.append([producing.record(tuned, (bought,), "release")])
    take(producing, file=bill(tmp_path), about=bought.digest)
    found = hits(producing, about="component", what="pkg:maven/org.apache/log4j")
    assert set(found) == {bought.digest, tuned.digest}
    assert found[tuned.digest]["path"][0] == f"from outside {bought.digest[7:19]}, by its supplier"
    features = parent(producing, made, Kind.FEATURES)
    source = parent(producing, parent(producing, features, Kind.DATASET), Kind.SOURCE)
    (tmp_path / "rows.csv").write_bytes(producing.blobs.get(source))
    rows = intake(producing, tmp_path / "rows.csv", "data")
    take(producing, file=bill(tmp_path, components=[{"type": "data", "name": "scraped"}]), about=rows.digest)
    assert {first, second} < set(hits(producing, about="dataset", what="scraped"))


@pytest.mark.requirement("SUP-08", by="holdfast.core.bill:read_supplied")
def test_only_what_came_from_outside_has_a_supplier(producing: Plant, bought: Artifact, tmp_path: Path) -> None:
    """No release of ours, no broken bill; and an entry that somebody writes by hand is read as strictly."""
    (release, _) = releases(producing)
    with pytest.raises(NotFound, match="from outside"):
        take(producing, file=bill(tmp_path), about=release)
    with pytest.raises(InvalidInput):
        take(producing, file=bill(tmp_path, specVersion="0.9"), about=bought.digest)
    body = {"model": "x", "serial": "y", "lists": [], "form": "z", "document": "nowhere"}
    draft = Draft(kind="bom.supplied", actor="x", stream=bought.digest, body=body)
    with pytest.raises(InvalidInput):
        producing.ledger.append([draft])
