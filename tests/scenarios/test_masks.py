"""Nothing personal is shown: not in the history, the events, the quarantine or rows made for others."""

import json
from pathlib import Path

import pytest

from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.passport import RECORDED
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.security import events_export
from holdfast.lifecycle.synthesis import data_synthesise


def of_kind(plant: Plant, kind: Kind) -> Digest:
    """The newest artifact of a kind."""
    entries = [e for e in plant.ledger.entries() if e.kind == RECORDED and e.body["kind"] == kind]
    return Digest(entries[-1].stream)


@pytest.mark.requirement("ACC-02")
def test_no_personal_value_is_in_what_people_read(plant: Plant, tmp_path: Path) -> None:
    """Addresses stand in a column of the source; every place that shows anything of a run is looked through."""
    rows = (plant.home.root / "patients.csv").read_bytes().splitlines()
    header = rows[0].split(b",")
    at = header.index(b"contact_email")
    values = {row.split(b",")[at] for row in rows[1:] if row.count(b",") == len(header) - 1}
    values = {value for value in values if b"@" in value}
    assert len(values) > 50
    events_export(plant, out=tmp_path / "events.jsonl", format="plain")
    data_synthesise(plant, data=of_kind(plant, Kind.DATASET), out=tmp_path / "made", reason="Rows for staging.")
    folder = parse_manifest(plant.blobs.get(of_kind(plant, Kind.QUARANTINE)))
    places = {
        "history": json.dumps([entry.body for entry in plant.ledger.entries()]).encode(),
        "events": (tmp_path / "events.jsonl").read_bytes(),
        "quarantine": b"".join(plant.blobs.get(Digest(file.digest)) for file in folder.files),
        "synthetic rows": (tmp_path / "made" / "data.parquet").read_bytes(),
        "their provenance": (tmp_path / "made" / "provenance.json").read_bytes(),
    }
    for place, shown in places.items():
        assert shown, place
        assert not [value for value in values if value in shown], place
