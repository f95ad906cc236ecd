"""Placement: confidential and personal rows and models stay where their project allows, by what machines say."""

from pathlib import Path

import pytest

from holdfast import app
from holdfast.core.errors import Refused
from holdfast.edge import assemble, config_of
from holdfast.lifecycle.inputs import take_in
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.publishing import present_table
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import run


@pytest.mark.requirement("PLAN-05", by="holdfast.core.placement:check_placed")
@pytest.mark.guarantee("G62")
def test_personal_rows_and_their_model_stay_in_the_region(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere, or where nobody says: no row is taken in, nothing is on record; and no gateway loads the model."""
    text = (project / "holdfast.toml").read_text(encoding="utf-8")
    (project / "holdfast.toml").write_text(text + '\n[residency]\nallowed = ["eu"]\n', encoding="utf-8")
    for region in ("", "us-east-1"):
        monkeypatch.setenv("HOLDFAST_REGION", region)
        with app.open_plant(project) as plant:
            size, held = plant.ledger.size(), set(plant.storage.held())
            with pytest.raises(Refused, match="this machine"):
                take_in(plant)
            assert (plant.ledger.size(), set(plant.storage.held())) == (size, held)
    monkeypatch.setenv("HOLDFAST_REGION", "eu-central-1")
    with app.open_plant(project) as plant:
        run(plant)
        promote(plant, reason="It is good.")
        table = present_table(plant, current_project(plant))
        assert table is not None
        assert table.regions == ("eu",)
    _, loader, _ = assemble(config_of(project), 0)
    loader.refresh()
    for region in ("", "us-east-1"):
        monkeypatch.setenv("HOLDFAST_REGION", region)
        gateway, elsewhere, _ = assemble(config_of(project), 0)
        with pytest.raises(Refused, match="this gateway"):
            elsewhere.refresh()
        assert gateway.state is None
