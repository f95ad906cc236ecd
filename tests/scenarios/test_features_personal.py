"""Scenarios of personal data in the rows of feature views: treated as the training source's, or nothing is used."""

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from tests.scenarios.shop import copied, edit, features_of, new_shop

from holdfast.core.artifact import Digest
from holdfast.core.errors import InvalidData
from holdfast.core.evidence import Evidence, Severity
from holdfast.lifecycle.dlp_alerts import ALERT
from holdfast.lifecycle.features import register
from holdfast.lifecycle.online_features import get, materialise, parity
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.verbs import newest_on

CONTROL = "features.personal/1"
PHONES = [f"+49 30 12345{n:02}" for n in range(20)]


@pytest.fixture(scope="module")
def bare_shop(unlocking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose view is registered, before any run."""
    folder = tmp_path_factory.mktemp("bare-shop")
    with new_shop(folder):
        return folder


@pytest.fixture
def shop(bare_shop: Path, tmp_path: Path) -> Iterator[Plant]:
    """The control plane of a copy of it."""
    with copied(bare_shop, tmp_path) as plant:
        yield plant


def address_users(shop: Plant) -> None:
    """Name every user by an e-mail address, in the orders and in the clicks."""
    for name in ("orders.csv", "clicks.csv"):
        path = shop.home.root / name
        path.write_text(re.sub(r"\bu(\d+),", r"anna\1@example.org,", path.read_text()))


def with_column(shop: Plant, name: str, values: list[str]) -> None:
    """Add a column to the clicks."""
    path = shop.home.root / "clicks.csv"
    clicks = pl.read_csv(path, infer_schema=False)
    made = pl.Series(name, [values[n % len(values)] for n in range(clicks.height)])
    clicks.with_columns(made).write_csv(path)


def declare(shop: Plant, dlp: str) -> None:
    """Add a section on personal data to the project file."""
    edit(shop, "[train]\n", f"{dlp}\n[train]\n")


def declare_tel(shop: Plant, code: str) -> None:
    """Let the view have a column of telephone numbers, and a feature of code over it."""
    with_column(shop, "tel", PHONES)
    edit(shop, 'amount = "float"\n', 'amount = "float"\ntel = "string"\n')
    edit(shop, "weekday = {", f'reached = {{ code = "{code}", type = "bool", default = 0 }}\nweekday = {{')
    register(shop, view="clicks", reason="with telephone numbers")


def said_of(shop: Plant) -> tuple[Evidence, Digest, pl.DataFrame]:
    """The evidence about the newest table of features, and the table."""
    digest, table = features_of(shop)
    return newest_on(shop, digest)[CONTROL], digest, table


def measures(evidence: Evidence) -> dict[str, float]:
    """What it measured."""
    return {each.name: each.value for each in evidence.measures}


@pytest.mark.requirement("ACC-01", by="holdfast.engines.events:searched")
def test_an_entity_that_is_personal_stops_the_run_and_the_store(shop: Plant) -> None:
    """Nothing declared is the strictest: no table of features, nothing online; no value stands in the refusal."""
    address_users(shop)
    edit(shop, 'user = { type = "string", use = "ignored" }', 'user = { type = "string", use = "slice" }')
    declare(shop, '[dlp.columns]\nuser = "drop"')
    for act in (lambda: run(shop, until="features"), lambda: materialise(shop)):
        words = r"'user' is the entity, and 900 rows of it hold personal data \(email\)"
        with pytest.raises(InvalidData, match=words) as refused:
            act()
        assert "@" not in str(refused.value)
    kinds = {entry.kind for entry in shop.ledger.stream("feature/clicks")}
    assert kinds == {"feature.registered"}


@pytest.mark.requirement("ACC-01")
@pytest.mark.parametrize("action", ["pseudonym", "tokenise"])
def test_pseudonyms_and_tokens_join_as_the_values_did(shop: Plant, action: str, tmp_path: Path) -> None:
    """By one key on both sides: the same features as with bare names, no address in the table, and an alert."""
    run(shop, until="features")
    _, _, bare = said_of(shop)
    address_users(shop)
    declare(shop, f'[dlp.entities]\nemail = "{action}"')
    run(shop, until="features")
    said, digest, table = said_of(shop)
    columns = ["clicks.views_before", "clicks.amount_log", "clicks.lunch"]
    assert table.select(columns).equals(bare.select(columns))
    assert measures(said)[f"personal_rows_{action}"] == 900
    assert measures(said)["personal_values_left"] == 0
    assert [(each.place, each.severity) for each in said.findings] == [("clicks.user", Severity.LOW)]
    assert [each.kind for each in shop.ledger.stream(digest)].count(ALERT) == 1
    materialise(shop)
    assert ALERT in {each.kind for each in shop.ledger.stream("feature/clicks")}
    assert parity(shop).document["views"][0]["different"] == 0
    assert get(shop, view="clicks", entity="anna7@example.org").document["missing"]  # nobody is known by the address
    assert b"example.org" not in (shop.home.gateway / "features.sqlite").read_bytes()


@pytest.mark.requirement("ACC-01")
def test_a_feature_of_a_personal_column_is_refused_unless_something_else_is_declared(shop: Plant) -> None:
    """Dropped: the view cannot be computed. Masked: the feature sees the mask. Blocked: said so."""
    declare_tel(shop, "tel == '[phone]'")
    with pytest.raises(InvalidData, match="'tel' was held back: its values are personal data, and 'reached'"):
        run(shop, until="features")
    declare(shop, '[dlp.columns]\ntel = "mask"')
    run(shop, until="features")
    said, _, _ = said_of(shop)
    assert measures(said)["personal_rows_mask"] == 900
    assert measures(said)["personal_values_left"] == 0
    edit(shop, 'tel = "mask"', 'tel = "block"')
    with pytest.raises(InvalidData, match=r"column 'tel': 900 rows hold personal data \(phone\), which \[dlp\] blocks"):
        materialise(shop)


@pytest.mark.requirement("ACC-01")
def test_what_is_allowed_counts_as_left_and_what_is_undeclared_is_told(shop: Plant) -> None:
    """A value that stays closes the gate; a column that no view reads is a critical finding, and read by nothing."""
    with_column(shop, "mobile", PHONES)
    run(shop, until="features")
    said, _, _ = said_of(shop)
    assert (measures(said)["personal_columns_caught"], measures(said)["personal_values_left"]) == (1, 0)
    assert [(each.place, each.severity) for each in said.findings] == [("clicks.mobile", Severity.CRITICAL)]
    assert said.facts["caught"] == "clicks.mobile"
    declare_tel(shop, "tel == 'x'")
    declare(shop, '[dlp.columns]\ntel = "allow"')
    run(shop, until="features")
    said, _, _ = said_of(shop)
    assert measures(said)["personal_values_left"] == 900


def test_a_project_without_views_has_searched_nothing_and_left_nothing(shop: Plant) -> None:
    """The measure is there: silence would not tell a search that was switched off from one that had nothing to do."""
    edit(shop, 'use = ["clicks.views_before", "clicks.amount_log", "clicks.lunch"]', "")
    run(shop, until="features")
    said, _, _ = said_of(shop)
    assert (measures(said)["columns_scanned"], measures(said)["personal_values_left"]) == (0, 0)


def test_a_held_back_column_that_a_view_is_joined_by_is_named(shop: Plant) -> None:
    """The data set lost the entity's column: no join by nothing, and no stack trace."""
    path = shop.home.root / "orders.csv"
    path.write_text(re.sub(r"\bu(\d+),", r"anna\1@example.org,", path.read_text()))
    with pytest.raises(InvalidData, match="'user' was held back as personal data, and the view clicks is joined by it"):
        run(shop, until="features")


def test_a_value_of_another_type_is_not_quoted(shop: Plant) -> None:
    """An address in a column of numbers is refused by its place: the refusal lands in logs and in the ledger."""
    clicks = shop.home.root / "clicks.csv"
    clicks.write_text(clicks.read_text() + "u1,2026-07-20T10:00:00+00:00,2026-07-20T10:00:00+00:00,anna@example.org\n")
    with pytest.raises(InvalidData, match="column 'amount', row 901, is no float") as refused:
        materialise(shop)
    assert "anna" not in str(refused.value)
