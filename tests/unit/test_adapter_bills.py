"""The index over bills of materials: what questions find, and that the ledger makes it anew to the byte."""

from pathlib import Path

import pytest
from sqlalchemy import delete, update
from tests.unit.adapter_kit import history, listed, named, open_ledger, pointed, recorded, routed

from holdfast.adapters.bills import SqlBills
from holdfast.adapters.database import endpoints, holds, parts, writing
from holdfast.adapters.ledger import SqlLedger
from holdfast.core.artifact import Kind
from holdfast.core.bill import Part, part
from holdfast.core.errors import InvalidInput, LedgerBroken
from holdfast.core.ledger import Draft
from holdfast.core.ports import Sought
from holdfast.lifecycle.bom_impact import hits_of
from holdfast.registry.impact import told
from holdfast.registry.questions import artifact, component, licence

NUMPY = part("library", "pypi", "numpy", "1.26.4", licence="BSD-3-Clause")
NEWER = part("library", "pypi", "numpy", "2.4.6", licence="BSD-3-Clause")
VIRAL = part("library", "pypi", "readline", "8.0", licence="GPL-3.0-only OR MIT")


@pytest.fixture
def ledger(tmp_path: Path) -> SqlLedger:
    """A base model, a model made from it, and releases of both; a third from other rows."""
    made = open_ledger(tmp_path / "ledger.db")
    base, rows = part("model", "", "base", digest=named("base")[7:]), part("data", "", "rows", digest=named("rows")[7:])
    made.append(
        [
            recorded("rows", Kind.DATASET),
            recorded("base", Kind.MODEL, [(Kind.DATASET, "rows")]),
            recorded("tuned", Kind.MODEL, [(Kind.MODEL, "base"), (Kind.DATASET, "other")]),
            recorded("alone", Kind.MODEL, [(Kind.DATASET, "other")]),
            recorded("r-base", Kind.RELEASE, [(Kind.MODEL, "base")]),
            recorded("r-tuned", Kind.RELEASE, [(Kind.MODEL, "tuned")]),
            recorded("r-alone", Kind.RELEASE, [(Kind.MODEL, "alone")]),
            *listed("r-base", NUMPY, rows),
            *listed("r-tuned", NEWER, base),
            *listed("r-alone", NEWER, VIRAL),
            routed("r-tuned", "r-alone", 0.1),
        ]
    )
    return made


def reached(ledger: SqlLedger, wanted: object) -> dict[str, dict[str, object]]:
    """Who is reached, by the name that the bill gives."""
    hits, around = hits_of(SqlBills(ledger.engine), wanted)  # type: ignore[arg-type]
    return {hit.model: told(hit, around) for hit in hits}


@pytest.mark.guarantee("G66")
@pytest.mark.requirement("SUP-09", by="holdfast.registry.impact:ways")
def test_bad_rows_reach_what_was_made_of_a_model_made_of_them(ledger: SqlLedger) -> None:
    """Through a base model into a release whose own bill does not name the rows, step by step."""
    found = reached(ledger, artifact("dataset", named("rows"), SqlBills(ledger.engine).meant))
    assert list(found) == ["r-tuned", "r-base"]  # what answers comes first
    digest = {name: named(name)[7:19] for name in ("rows", "base", "tuned", "r-tuned")}
    assert found["r-tuned"]["path"] == (
        f"dataset {digest['rows']}",
        f"model {digest['base']}",
        f"model {digest['tuned']}",
        f"release {digest['r-tuned']}",
    )
    assert found["r-base"]["parts"] == "data rows"
    assert (found["r-tuned"]["in_production"], found["r-base"]["in_production"]) == (True, False)


@pytest.mark.guarantee("G66")
def test_a_bad_library_reaches_what_was_made_from_an_affected_model(ledger: SqlLedger) -> None:
    """A range hits one release by its bill; the one tuned from its model is reached, and the third is not."""
    found = reached(ledger, component("numpy<2", None))
    assert set(found) == {"r-base", "r-tuned"}
    assert found["r-base"]["parts"] == "library numpy 1.26.4 (BSD-3-Clause)"
    assert found["r-tuned"]["parts"] == ""
    assert set(reached(ledger, component("pkg:pypi/NumPy@2.4.6", None))) == {"r-tuned", "r-alone"}
    assert reached(ledger, component("numpy", ">3")) == {}


def test_a_licence_is_found_inside_an_expression(ledger: SqlLedger) -> None:
    """And one that only begins like another is not."""
    known = SqlBills(ledger.engine).licences()
    assert known == ("BSD-3-Clause", "GPL-3.0-only OR MIT")
    assert set(reached(ledger, licence("gpl-3.0-only", known))) == {"r-alone"}
    assert set(reached(ledger, licence("MIT", known))) == {"r-alone"}
    assert reached(ledger, licence("GPL-3.0", known)) == {}


def test_a_part_is_found_by_its_name_and_followed_by_its_digest(ledger: SqlLedger) -> None:
    """Data under the name that a bill gives them, and all that derives from just those."""
    assert set(reached(ledger, artifact("dataset", "Rows", SqlBills(ledger.engine).meant))) == {"r-base", "r-tuned"}
    assert set(reached(ledger, artifact("model", named("base")[7:20], SqlBills(ledger.engine).meant))) == {
        "r-base",
        "r-tuned",
    }
    assert reached(ledger, artifact("model", "rows", SqlBills(ledger.engine).meant)) == {}  # they are no model


def test_nothing_sought_is_nothing_found(ledger: SqlLedger) -> None:
    """An empty question is not answered with every release."""
    assert SqlBills(ledger.engine).holders(Sought()) == ()
    for wrong in ("", " ", "<2", "a b"):
        with pytest.raises(InvalidInput):
            component(wrong, None)
    with pytest.raises(InvalidInput):
        licence(" ", ())


def test_states_and_names_are_told_as_the_ledger_has_them(ledger: SqlLedger) -> None:
    """The newest word counts; what is retired stays so."""
    release = named("r-base")
    states = []
    for kind in ("release.quarantined", "release.cleared", "release.archived", "release.retired", "release.cleared"):
        ledger.append([Draft(kind=kind, actor="ada", stream=release, body={})])
        states.append(reached(ledger, component("numpy<2", None))["r-base"]["state"])
    assert states == ["quarantined", "on record", "archived", "retired", "retired"]
    ledger.append([pointed("alias/champion", "r-tuned")])
    told_ = reached(ledger, component("numpy", None))
    assert told_["r-tuned"]["aliases"] == ["champion"]
    assert (told_["r-tuned"]["state"], told_["r-alone"]["state"]) == ("production", "canary")
    assert told_["r-alone"]["answers"] == [
        {"environment": "production", "endpoint": "m", "as": "candidate", "share": 0.1}
    ]


@pytest.mark.requirement("SUP-09", by="holdfast.adapters.bill_folds:listed")
def test_the_ledger_makes_the_index_anew_exactly(tmp_path: Path) -> None:
    """Each table damaged in turn is found by verifying, and rebuilt to the same rows."""
    ledger = open_ledger(tmp_path / "ledger.db")
    ledger.append(history())
    bills = SqlBills(ledger.engine)
    before = (bills.parts_of(named("release")), bills.surroundings([named("release")]), bills.listed())
    assert before[0]
    damages = (delete(holds), update(parts).values(version="9"), update(endpoints).values(share="0"))
    for damage in damages:
        with writing(ledger.engine) as connection:
            connection.execute(damage)
        with pytest.raises(LedgerBroken, match="says something else"):
            ledger.verify()
        assert len(ledger.rebuild().differed) == 1
        assert (bills.parts_of(named("release")), bills.surroundings([named("release")]), bills.listed()) == before
    ledger.verify()


def test_lists_are_stored_once(ledger: SqlLedger) -> None:
    """Two releases with the same library share its list."""
    ledger.append([recorded("r-new", Kind.RELEASE), *listed("r-new", NEWER)])
    found = [holder.release for holder in SqlBills(ledger.engine).holders(Sought(parts=(NEWER,)))]
    assert sorted(found) == sorted(named(name) for name in ("r-tuned", "r-alone", "r-new"))
    assert isinstance(SqlBills(ledger.engine).variants(["numpy"])[0], Part)
