"""A project that declares subsets: trained in the real sandbox, released by the normal way, answered by its gateway."""

from pathlib import Path

import pytest
from tests.scenarios.stand import parent, releases

from holdfast import app
from holdfast.core.artifact import Kind
from holdfast.core.evidence import Outcome
from holdfast.faces.demo.data import write_data
from holdfast.faces.demo.stage import copy_project, example
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.verbs import newest_on


@pytest.mark.requirement("VAL-24", by="holdfast.train.subsets:vote")
@pytest.mark.requirement("VAL-24", by="holdfast.assess.certificate:measure")
def test_models_of_disjoint_subsets_go_into_production_as_one(unlocking: Path, tmp_path: Path) -> None:
    """One model is scanned, assessed, released and promoted under the shipped policy, with its certificate signed."""
    source = example()
    copy_project(source, tmp_path)
    write_data(source, tmp_path)
    path = tmp_path / "holdfast.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("seed = 7\n", "seed = 7\nsubsets = 3\n"), encoding="utf-8")
    app.init(tmp_path)
    with app.open_plant(tmp_path) as plant:
        run(plant)
        model = parent(plant, releases(plant)[-1], Kind.MODEL)
        signed = newest_on(plant, model)
        told = signed["assess.certificate/1"]
        assert told.outcome is Outcome.MEASURED
        found = {each.name: each for each in told.measures}
        assert found["subsets"].value == 3
        assert found["certified_share:1"].low > 0.8
        assert found["certified_accuracy:1"].value > 0.8
        export = {each.name: each.value for each in signed["train.export/1"].measures}
        assert export["parity_max_abs"] < 1e-4
        assert export["votes_max_abs"] < 1e-6
        assert signed["release.scan/1"].outcome is Outcome.MEASURED
        promote(plant, reason="Votes of three.")
