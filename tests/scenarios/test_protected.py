"""Scenarios of protected attributes: sealed for the assessment of fairness, read on record, and by nobody else."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from tests.scenarios.api import opened
from tests.scenarios.callers import ROLES
from tests.scenarios.shop import copied, edit, write_shop

from holdfast import app
from holdfast.core.artifact import Artifact, Digest, Kind, parse_manifest
from holdfast.core.errors import InvalidInput, NotFound, Refused
from holdfast.core.evidence import Outcome
from holdfast.core.security import happenings
from holdfast.engines.dataset import from_parquet
from holdfast.lifecycle import STAGES
from holdfast.lifecycle.features import register
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.protected import MADE, READ, REFUSED, STREAM, dlp_protected, protected_key
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import _workspace, run
from holdfast.lifecycle.verbs import newest_on

REASON = "The auditor asks how large the groups are."
GROUPS = ("northerners", "southerners")


@pytest.fixture(scope="module")
def shop_made(unlocking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop that declares the origin of its visitors protected, assessed."""
    folder = tmp_path_factory.mktemp("protected-shop")
    write_shop(folder)
    orders = pl.read_csv(folder / "orders.csv", infer_schema=False)
    origin = pl.Series("origin", [GROUPS[n // 2 % 2] for n in range(orders.height)])
    orders.with_columns(origin).write_csv(folder / "orders.csv")
    app.init(folder)
    with app.open_plant(folder) as plant:
        edit(plant, "price = {", 'origin = { type = "category", use = "protected" }\nprice = {')
        register(plant, view="clicks", reason="for the shop")
        run(plant, until="assess")
    return folder


@pytest.fixture
def shop(shop_made: Path, tmp_path: Path) -> Iterator[Plant]:
    """The control plane of a copy of it."""
    with copied(shop_made, tmp_path) as plant:
        yield plant


def made(plant: Plant, kind: Kind) -> list[Digest]:
    """What the stages made of a kind."""
    ended = [entry for entry in plant.ledger.entries() if entry.kind == "stage.finished"]
    return [Digest(each["digest"]) for entry in ended for each in entry.body["artifacts"] if each["kind"] == kind]


@pytest.mark.requirement("ACC-02", by="holdfast.lifecycle.protected:assessing_key")
@pytest.mark.requirement("VAL-06")
def test_fairness_is_measured_and_nothing_else_learns_a_group(shop: Plant) -> None:
    """Gaps are measured between real groups; table, split and model hold no group, and each read is on record."""
    (model,) = made(shop, Kind.MODEL)
    fairness = newest_on(shop, model)["assess.fairness/1"]
    assert fairness.outcome is Outcome.MEASURED
    assert fairness.facts["columns"] == "origin"
    assert any(group in fairness.facts["widest"] for group in GROUPS)
    _, table = features_of_all(shop)
    assert table.schema["protected:origin"] == pl.Binary
    for kind in (Kind.FEATURES, Kind.SPLIT, Kind.MODEL, Kind.BASELINE, Kind.METRICS):
        for digest in made(shop, kind):
            files = [shop.blobs.get(Digest(each.digest)) for each in parse_manifest(shop.blobs.get(digest)).files]
            tables = [str(from_parquet(each).to_dicts()).encode() for each in files if each[:4] == b"PAR1"]
            assert not [each for each in (*files, *tables) for group in GROUPS if group.encode() in each], kind
    said = [(each.kind, each.actor) for each in shop.ledger.stream(STREAM)]
    assert said == [(MADE, "features"), (READ, "assess")]
    body = shop.ledger.stream(STREAM)[-1].body
    assert (body["columns"], body["of"], body["reason"]) == (["origin"], made(shop, Kind.SPLIT)[0], "assess.fairness/1")


def features_of_all(plant: Plant) -> tuple[Digest, pl.DataFrame]:
    """The newest table of features."""
    (digest,) = made(plant, Kind.FEATURES)
    folder = parse_manifest(plant.blobs.get(digest))
    return digest, from_parquet(plant.blobs.get(Digest(folder.file("features.parquet").digest)))


@pytest.mark.requirement("ACC-02", by="holdfast.lifecycle.protected:refuse")
def test_every_other_stage_is_refused_on_record(shop: Plant) -> None:
    """Training may not have the key, and neither may the stage that makes the release."""
    project = current_project(shop)
    others = [each for each in STAGES if each.name not in {"features", "assess"}]
    for stage in others:
        with _workspace(shop, project, stage, source_of(shop), "a-run") as ws, pytest.raises(Refused, match=stage.name):
            ws.protected_key()
    refused = [each for each in shop.ledger.stream(STREAM) if each.kind == REFUSED]
    assert [each.actor for each in refused] == [each.name for each in others]


@pytest.mark.requirement("ACC-02", by="holdfast.lifecycle.protected:dlp_protected")
def test_a_person_reads_with_a_reason_and_on_record(shop: Plant) -> None:
    """Counts by group, and each row's; no group in an entry. No reason, or another column: refused on record."""
    reply = dlp_protected(shop, column="origin", reason=REASON)
    assert sum(reply.document["groups"].values()) == 400
    assert reply.document["rows"][0] == ("o0", "northerners")
    for column, reason, error in (
        ("origin", " ", InvalidInput),
        ("price", REASON, NotFound),
        ("x" * 99, REASON, NotFound),
    ):
        with pytest.raises(error):
            dlp_protected(shop, column=column, reason=reason)
    said = shop.ledger.stream(STREAM)[-4:]
    assert [each.kind for each in said] == [READ, REFUSED, REFUSED, REFUSED]
    assert said[0].body["reason"] == REASON
    assert not [group for group in GROUPS if group in str([each.body for each in said])]
    told = {event.kind: (event.severity, str(event.sort)) for event in happenings(shop.ledger.entries())}
    assert (told[READ], told[REFUSED]) == ((2, "access"), (4, "access"))


@pytest.mark.requirement("ACC-03")
def test_over_http_nobody_reads_them_whom_nobody_let(shop: Plant) -> None:
    """By Cedar: no group may; who was let in by another for an hour may; both answers are on record by name."""
    body = {"column": "origin", "reason": REASON}
    with opened(shop) as api:
        for role in ROLES:
            assert api.ask("POST", "/v1/dlp/protected", role=role, json=body).status_code == 403
        ask = {"action": "data.protected", "resource": "workspace/", "lasts": "1h", "reason": REASON}
        number = api.ask("POST", "/v1/access/request", role="operator", json=ask).json()["id"]
        assert api.ask("POST", "/v1/access/approve", role="administrator", json={"request": number}).status_code == 200
        answer = api.ask("POST", "/v1/dlp/protected", role="operator", json=body)
        assert (answer.status_code, answer.json()["groups"]["northerners"]) == (200, 200)
        assert api.ask("POST", "/v1/dlp/protected", role="viewer", json=body).status_code == 403
    entries = tuple(shop.ledger.entries())
    assert [(each.kind, each.actor) for each in entries if each.stream == STREAM][-1] == (READ, "operator")
    denied = [event for event in happenings(iter(entries)) if event.kind == "access.denied"]
    assert {"viewer", "operator"} <= {event.actor for event in denied}


@pytest.mark.requirement("ACC-02", by="holdfast.lifecycle.protected:protected_key")
def test_without_their_key_nothing_opens(shop: Plant) -> None:
    """Destroyed apart from the rows: the table stays readable, its groups do not, and that is on record."""
    shop.erase(protected_key("shop"))
    _, table = features_of_all(shop)
    assert table.height == 400
    with pytest.raises(NotFound, match="is not there"):
        dlp_protected(shop, column="origin", reason=REASON)
    stage = next(each for each in STAGES if each.name == "assess")
    held = source_of(shop)
    with (
        _workspace(shop, current_project(shop), stage, held, "a-run") as ws,
        pytest.raises(Refused, match="is not there"),
    ):
        ws.protected_key()
    assert [each.kind for each in shop.ledger.stream(STREAM)][-2:] == [REFUSED, REFUSED]


def source_of(plant: Plant) -> dict[Kind, Artifact]:
    """What a stage is handed of it: the source and the split."""
    split = made(plant, Kind.SPLIT)[0]
    recorded = [entry for entry in plant.ledger.entries() if entry.kind == "artifact.recorded"]
    source = next(each.stream for each in recorded if each.body.get("kind") == Kind.SOURCE)
    digests = {Kind.SOURCE: source, Kind.SPLIT: split, Kind.RECIPE: split}  # the recipe only names a job here
    return {kind: Artifact(kind=kind, digest=Digest(digest), size=0) for kind, digest in digests.items()}
