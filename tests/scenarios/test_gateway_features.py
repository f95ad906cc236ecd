"""Scenarios of calls that name an entity: its features are looked up, and what is lacking is said or refused."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.scenarios.shop import copied, new_shop
from tests.scenarios.stand import Gateway

from holdfast.lifecycle.feature_access import access
from holdfast.lifecycle.loop import look
from holdfast.lifecycle.online_features import get, materialise
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.runner import run
from holdfast.serve import HttpRequest, HttpResponse

AT = "2026-08-05T14:47:00+02:00"


@pytest.fixture(scope="session")
def shop_open(unlocking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop in production, with its view online."""
    folder = tmp_path_factory.mktemp("open")
    with new_shop(folder) as plant:
        materialise(plant)
        run(plant)
        promote(plant, reason="The first.")
    return folder


@pytest.fixture
def shop(shop_open: Path, tmp_path: Path) -> Iterator[Plant]:
    """The control plane of a copy of it."""
    with copied(shop_open, tmp_path) as plant:
        yield plant


def ask(edge: Gateway, *, user: object = "u7", at: str = AT, **more: Any) -> HttpResponse:
    """A call by entity, with the one input that no view has."""
    document: dict[str, Any] = {
        "inputs": [{"name": "price", "shape": [1], "datatype": "FP64", "data": [12.5]}],
        "parameters": {"entity.user": user, "event_time": at},
    } | more
    headers = ((b"x-api-key", edge.key.encode()), (b"content-type", b"application/json"))
    body = json.dumps(document).encode()
    return edge.gateway.handle(
        HttpRequest(method="POST", path="/v2/models/shop/infer", headers=headers, body=body, peer="127.0.0.1")
    )


def flags(response: HttpResponse) -> str:
    """The flags of an answer."""
    return str(json.loads(response.body).get("parameters", {}).get("flags", ""))


@pytest.mark.requirement("FEAT-02")
@pytest.mark.requirement("FEAT-07")
def test_a_call_by_entity_answers_as_one_with_the_whole_row(shop: Plant) -> None:
    """The same answer as the row that was offline at that moment; each read is told by client and release."""
    edge = Gateway(shop)
    response = ask(edge)
    assert response.status == 200, response.body
    assert response.header(b"x-holdfast-degraded") is None
    assert flags(response) == ""
    row = get(shop, view="clicks", entity="u7", at=AT, offline=True).document["values"]
    whole = [12.5, float(row["views_before"]), row["amount_log"], float(row["lunch"])]
    said = json.loads(edge.ask(np.array([whole])).body)["outputs"]
    assert json.loads(response.body)["outputs"] == said
    edge.write()
    look(shop)
    told = {(each["feature"], each["consumer"]): each for each in access(shop).document["reads"]}
    read = told["clicks.views_before", "a-caller"]
    assert read["reads"] == 1
    assert read["release"].startswith("sha256:")


@pytest.mark.requirement("FEAT-09")
def test_what_is_missing_is_answered_with_defaults_and_marked_in_three_places(shop: Plant) -> None:
    """An entity never seen, and a moment before its record: header, flag and event name what was made without."""
    edge = Gateway(shop)
    for call in ({"user": "nobody"}, {"at": "2026-06-01T00:00:00+00:00"}):
        response = ask(edge, **call)
        assert response.status == 200, response.body
        assert b"clicks.amount_log=" in (response.header(b"x-holdfast-degraded") or b"")
        assert "degraded-features" in flags(response)
    noted = edge.gateway.log.collect(shop.clock.now().replace(year=2100))
    assert any(each.kind == "features.lacking" for each in noted)


@pytest.mark.guarantee("G88")
@pytest.mark.requirement("FEAT-09")
def test_a_store_that_is_gone_or_was_changed_never_gives_an_unmarked_answer(shop: Plant) -> None:
    """No file, noise in its place, a record of another entity's: each answer is marked, and the gateway stays up."""
    edge = Gateway(shop)
    path = shop.home.gateway / "features.sqlite"
    with closing(sqlite3.connect(path)) as raw, raw:
        rows = raw.execute("SELECT key, value FROM online").fetchall()
        for (key, _), (_, value) in zip(rows, [*rows[1:], rows[0]], strict=True):
            raw.execute("UPDATE online SET value = ? WHERE key = ?", (value, key))
    assert b"=changed" in (ask(edge).header(b"x-holdfast-degraded") or b"")
    path.unlink()
    for each in path.parent.glob("features.sqlite-*"):
        each.unlink()
    other = Gateway(shop)
    for _ in range(5):  # the last ones while the store is left alone
        response = ask(other)
        assert response.status == 200
        assert b"clicks.views_before=late" in (response.header(b"x-holdfast-degraded") or b"")
        assert "degraded-features" in flags(response)


@pytest.mark.parametrize(
    "more",
    [
        {"parameters": {"entity.user": ""}},
        {"parameters": {"entity.shop": "s"}},
        {"parameters": {"entity.user": True}},
        {"parameters": {"entity.user": "x" * 600}},
        {"parameters": {"entity.user": "u7", "event_time": "noon"}},
        {"parameters": {"entity.user": "u7", "event_time": "2026-08-05T14:47:00"}},
        {"parameters": {"entity.user": "u7", "event_time": "9999-01-01T00:00:00+00:00"}},
        {"inputs": []},
        {"inputs": [{"name": "cost", "shape": [1], "datatype": "FP64", "data": [1]}]},
        {"inputs": [{"name": "price", "shape": [2], "datatype": "FP64", "data": [1]}]},
        {"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP64", "data": [1, 2, 3, 4]}]},
    ],
    ids=lambda more: json.dumps(more)[:50],
)
def test_a_call_by_entity_that_cannot_be_meant_is_malformed(shop: Plant, more: dict[str, Any]) -> None:
    """No entity, no moment, a moment to come, inputs too few, unknown or fewer than the rows: one refusal each."""
    assert ask(Gateway(shop), **more).status == 400


def test_a_range_is_held_for_looked_up_rows_too(shop: Plant) -> None:
    """What the caller adds is checked as in any call."""
    wide = [{"name": "price", "shape": [1], "datatype": "FP64", "data": [1e9]}]
    assert ask(Gateway(shop), inputs=wide).status == 400
