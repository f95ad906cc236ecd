"""Scenarios of the feature store: registered or not trained on, the same on both sides, read by whom it may be."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import polars as pl
import pytest
from tests.scenarios.office import Office
from tests.scenarios.shop import copied, edit, features_of, new_shop, write_shop

from holdfast import app
from holdfast.core.artifact import Artifact, Digest, Kind, canonical, digest_bytes, parse_manifest
from holdfast.core.control import Report
from holdfast.core.errors import InvalidData, InvalidInput, NotFound, NotVerified, Refused
from holdfast.core.schema import Signature
from holdfast.core.signals import Signal
from holdfast.lifecycle import access_rules
from holdfast.lifecycle.feature_access import access
from holdfast.lifecycle.features import feature_list, register, show
from holdfast.lifecycle.lineage import LINEAGE, Lineage
from holdfast.lifecycle.online_features import STALE, freshness, get, materialise, parity, stale
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.verbs import newest_on
from holdfast.testing.clock import SettableClock
from holdfast.train.packaging import _online


@pytest.fixture(scope="session")
def shop_made(unlocking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose view is registered and online, and whose features were computed."""
    folder = tmp_path_factory.mktemp("shop")
    with new_shop(folder) as plant:
        materialise(plant)
        run(plant, until="features")
    return folder


@pytest.fixture
def shop(shop_made: Path, tmp_path: Path) -> Iterator[Plant]:
    """The control plane of a copy of it."""
    with copied(shop_made, tmp_path) as plant:
        yield plant


@pytest.mark.requirement("FEAT-01")
def test_what_is_not_registered_is_not_trained_on(unlocking: Path, tmp_path: Path) -> None:
    """No run without a registered view, none with other code than the registered; the registry says who, what, when."""
    write_shop(tmp_path)
    app.init(tmp_path)
    with app.open_plant(tmp_path) as plant:
        with pytest.raises(Refused, match="not registered"):
            run(plant)
        register(plant, view="clicks", reason="for the shop")
        run(plant, until="features")
        edit(plant, "log1p(amount)", "log1p(amount + 1)")
        with pytest.raises(Refused, match="not version 1 that is registered"):
            run(plant)
        assert "no" in {row["registered"] for row in feature_list(plant).document["features"]}
        assert register(plant, view="clicks", reason="shifted").document["version"] == 2
        with pytest.raises(Refused, match="registered as it is"):
            register(plant, view="clicks", reason="again")
        listed = {row["feature"]: row for row in feature_list(plant).document["features"]}
        about = listed["clicks.amount_log"]
        assert (about["code"], about["type"], about["owner"], about["version"]) == (
            "log1p(amount + 1)", "float", "Dana Data", 2,
        )  # fmt: skip
        assert listed["price"]["registered"] == "by the project"
        assert [each["version"] for each in show(plant, view="clicks").document["versions"]] == [1, 2]
        with pytest.raises(NotFound):
            register(plant, view="nothing", reason="none")
        edit(plant, "log1p(amount + 1)", "open(amount)")
        with pytest.raises(InvalidInput, match="no function 'open'"):
            register(plant, view="clicks", reason="an attack")


@pytest.mark.guarantee("G87")
@pytest.mark.requirement("FEAT-02")
@pytest.mark.requirement("FEAT-08")
def test_the_table_holds_what_was_known_at_each_order(shop: Plant) -> None:
    """Counts strictly before the order, of clicks that were known by then; every row once, in the data set's order."""
    _, table = features_of(shop)
    orders = pl.read_csv(shop.home.root / "orders.csv")
    clicks = pl.read_csv(shop.home.root / "clicks.csv")
    assert table["id"].to_list() == orders["order"].to_list()
    for row, order in zip(table.head(60).iter_rows(named=True), orders.iter_rows(named=True), strict=False):
        known = clicks.filter(
            (pl.col("user") == order["user"]) & (pl.col("at") < order["at"]) & (pl.col("seen") <= order["at"])
        )
        assert row["clicks.views_before"] == known.height


@pytest.mark.requirement("FEAT-02")
def test_a_row_reads_the_same_online_and_offline(shop: Plant) -> None:
    """By key, at one moment; what is missing is said with its reason, and never made up."""
    at = "2026-08-05T14:47:00+02:00"
    online = get(shop, view="clicks", entity="u7", at=at).document
    offline = get(shop, view="clicks", entity="u7", at=at, offline=True).document
    assert online["values"] == offline["values"]
    assert online["values"]["lunch"] is True
    assert online["values"]["weekday"] == 3
    early = get(shop, view="clicks", entity="u7", at="2026-07-01T00:00:00+00:00", features="amount_log").document
    assert early["missing"] == {"amount_log": "before-record"}
    stranger = get(shop, view="clicks", entity="nobody", at=at).document
    assert stranger["values"]["views_before"] == 0
    assert stranger["missing"] == {"amount_log": "missing"}
    assert (stranger["values"]["amount_log"], stranger["defaults"]) == (None, {"amount_log": 2.0})
    shown = get(shop, view="clicks", entity="nobody", at=at)
    (line,) = [row for row in shown.tables[0].rows if row[0] == "clicks.amount_log"]
    assert tuple(line[1:]) == ("2.0", "missing: the declared default stands in")
    for wrong in ("2026-08-05", "noon", "2026-08-05T10:00:00"):
        with pytest.raises(InvalidInput):
            get(shop, view="clicks", entity="u7", at=wrong)
    with pytest.raises(NotFound):
        get(shop, view="clicks", entity="u7", features="nothing")


@pytest.mark.requirement("FEAT-03")
def test_a_value_changed_online_is_found_and_named(shop: Plant) -> None:
    """Equal before; then a record of another entity's, a record gone, and other rows: each is an error."""
    assert parity(shop).document["views"][0]["compared"] > 100
    path = shop.home.gateway / "features.sqlite"
    with closing(sqlite3.connect(path)) as raw, raw:
        rows = raw.execute("SELECT key, value FROM online ORDER BY length(value) DESC").fetchall()
        raw.execute("UPDATE online SET value = ? WHERE key = ?", (rows[1][1], rows[0][0]))
    with pytest.raises(NotVerified, match="does not open"):
        parity(shop)
    materialise(shop)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("DELETE FROM online WHERE key = ?", (rows[0][0],))
    with pytest.raises(NotVerified, match="not the same"):
        parity(shop)
    materialise(shop)
    clicks = shop.home.root / "clicks.csv"
    clicks.write_text(clicks.read_text() + "u7,2026-07-20T10:00:00+00:00,2026-07-20T10:00:00+00:00,1\n")
    with pytest.raises(NotVerified, match="other rows"):
        parity(shop)


@pytest.mark.requirement("FEAT-03", by="holdfast.features.parity:measure_parity")
def test_a_difference_between_the_sides_is_evidence_against_the_features(
    shop: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where serving computes otherwise, the control counts it; the policy's rule allows none."""
    wrong = {"earlier_events": 1, "seconds_since_last_event": 1.0}
    monkeypatch.setattr("holdfast.engines.online._history", lambda _record, _moment: wrong)
    edit(shop, "[train]", "[serving]\nmax_rows = 100\n\n[train]")
    run(shop, until="features")
    digest, _ = features_of(shop)
    left = newest_on(shop, digest)["features.parity/1"]
    assert next(each.value for each in left.measures if each.name == "mismatches") > 0
    assert left.findings[0].place == "clicks.views_before"


@pytest.mark.requirement("FEAT-04")
@pytest.mark.requirement("FEAT-07")
def test_a_team_reads_what_it_was_given_and_what_it_was_not_is_refused_and_on_record(shop: Plant) -> None:
    """Rights are of single features; each read and each refusal is told by feature and consumer."""
    office = Office(shop, SettableClock(shop.clock.now()))
    office.administrator()
    office.employ("rita", sort="user")
    rules = shop.home.root / "teams.cedar"
    rules.write_text(
        '@id("risk-reads-views")\npermit (principal == User::"rita", action == Action::"features.read",\n'
        '  resource == Feature::"clicks.views_before");\n'
    )
    access_rules.accept(shop, file=rules, reason="the risk team")
    rita = office.over_the_network("rita")
    assert get(rita, view="clicks", entity="u7", features="views_before").document["values"]
    with pytest.raises(Refused, match="may not"):
        get(rita, view="clicks", entity="u7", features="views_before,amount_log")
    told = {(row["feature"], row["consumer"]): row for row in access(shop).document["reads"]}
    assert told["clicks.views_before", "rita"]["reads"] == 1
    assert told["clicks.amount_log", "rita"] == {
        "feature": "clicks.amount_log", "consumer": "rita", "release": "", "reads": 0, "refused": 1,
    }  # fmt: skip


@pytest.mark.requirement("FEAT-05")
def test_every_feature_leads_to_its_source_and_its_code(shop: Plant) -> None:
    """The lineage of a table names the rows' digest and the code of each; the ledger has the edge to the views."""
    digest, _ = features_of(shop)
    folder = parse_manifest(shop.blobs.get(digest))
    told = msgspec.json.decode(shop.blobs.get(Digest(folder.file("lineage.json").digest)))
    links = {each["feature"]: each for each in told}
    assert links["clicks.views_before"]["transform"] == "earlier_events()"
    assert links["clicks.views_before"]["source"] == digest_bytes((shop.home.root / "clicks.csv").read_bytes())
    assert links["price"]["transform"] == "column"
    recorded = next(each for each in shop.ledger.stream(digest) if each.kind == "artifact.recorded")
    assert Kind.VIEWS in {each["kind"] for each in recorded.body["parents"]}


@pytest.mark.requirement("CICD-21", by="holdfast.lifecycle.lineage:_parent")
def test_features_of_a_view_are_computed_again_from_its_recorded_rows(shop: Plant) -> None:
    """What a release needs before production asks for this: they follow from data set and views, or they do not."""
    digest, _ = features_of(shop)
    lineage = Lineage(plant=shop, subject=digest, features=Artifact(kind=Kind.FEATURES, digest=digest, size=0))
    report = LINEAGE.measure(lineage)
    assert isinstance(report, Report)
    assert {each.name: each.value for each in report.measures} == {"recomputed_equal": 1.0}


@pytest.mark.requirement("FEAT-06")
def test_values_beyond_their_limit_raise_one_signal(shop: Plant) -> None:
    """The age is that of the newest event; a view that is late is told once, and again when newer values are late."""
    project = current_project(shop)
    fresh = freshness(shop)
    assert (fresh.document["views"][0]["state"], fresh.exit_code) == ("fresh", 0)
    assert stale(shop, project, "a-release") == []
    late = replace(shop, clock=SettableClock(shop.clock.now().replace(year=2200)))
    (raised,) = stale(late, project, "a-release")
    assert raised.signal is Signal.STALE_FEATURES
    assert "40000d was promised" in raised.words
    assert stale(late, project, "a-release") == []
    assert shop.last("feature/clicks", STALE) is not None
    old = freshness(late)
    assert (old.document["views"][0]["state"], old.exit_code) == ("stale", 1)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("u1,yesterday,2026-07-20T10:00:00+00:00,1", "is no timestamp"),
        ("u1,2026-07-20T10:00:00+00:00,2026-07-20T10:00:00+00:00,much", "is no float"),
        (",2026-07-20T10:00:00+00:00,2026-07-20T10:00:00+00:00,1", "no 'user' in row"),
        ("u1,2026-07-20T10:00:00+00:00", "no 'seen' in row|cannot be read"),
        ("u1,2026-07-20T10:00:00+00:00,2026-07-20T10:00:00+00:00,1,2,3", "cannot be read"),
    ],
)
def test_an_event_that_does_not_fit_stops_it_and_leaves_what_is_online(shop: Plant, row: str, said: str) -> None:
    """With row and column in the message; the online store and the registry are as they were."""
    clicks = shop.home.root / "clicks.csv"
    before = (shop.home.gateway / "features.sqlite").read_bytes()
    clicks.write_text(clicks.read_text() + row + "\n")
    with pytest.raises(InvalidData, match=said):
        materialise(shop)
    assert (shop.home.gateway / "features.sqlite").read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"user\n", b"\xff\xfe\x00", b"user,at,seen,amount\n"], ids=repr)
def test_a_source_that_is_empty_or_no_table_is_one_error_or_no_event(shop: Plant, data: bytes) -> None:
    """An empty table has no events and is taken; what is no table is refused."""
    (shop.home.root / "clicks.csv").write_bytes(data)
    if data.count(b",") == 3:
        assert materialise(shop).document["views"][0]["entities"] == "0"
        assert get(shop, view="clicks", entity="u7").document["values"]["views_before"] == 0
    else:
        with pytest.raises(InvalidData):
            materialise(shop)


def test_a_signature_names_the_registered_version_and_what_may_stand_in(shop: Plant) -> None:
    """Which a gateway needs, and what models without views do not have."""
    online = _online(current_project(shop), "clicks.views_before")
    assert online.version == current_project(shop).features.views["clicks"].digest
    assert online.default == 0
    bare = Signature(inputs=(), classes=("a", "b"))
    assert b"online" not in canonical(bare)
