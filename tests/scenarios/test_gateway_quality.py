"""What is wrong with the inputs of calls is counted by input: told in windows, measured, published at /metrics."""

import json
from typing import Any

import numpy as np
import pytest

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.telemetry import Window, add_windows
from holdfast.serve.spoiled import of_body, of_rows
from holdfast.testing.world import MODEL, World

PREDICT = f"/predict/{MODEL}"


def rows(*rows: dict[str, Any]) -> bytes:
    """A plain request."""
    return json.dumps({"rows": rows}).encode()


GOOD: dict[str, Any] = {"age": 50, "mean radius": 15, "trend": 0.1}


@pytest.mark.requirement("DATA-13", by="holdfast.serve.spoiled:of_body")
def test_each_input_has_its_three_counts_where_scrapers_read_them() -> None:
    """Missing, of another type, out of range; of calls that are refused for it, and of rows that are only flagged."""
    gateway = World().serve(OnnxRuntime())
    assert gateway.call(path=PREDICT, body=rows(GOOD)).status == 200
    assert gateway.call(path=PREDICT, body=rows(GOOD | {"age": "old"}, GOOD)).status == 400
    assert gateway.call(path=PREDICT, body=rows(GOOD | {"age": None})).status == 400
    assert gateway.call(path=PREDICT, body=rows({"age": 50, "trend": 0.1})).status == 400
    assert gateway.call(path=PREDICT, body=rows(GOOD | {"age": 1e9})).status == 400
    text = gateway.call(method="GET", path="/metrics", body=b"").body.decode()
    lines = [line for line in text.splitlines() if line.startswith("holdfast_spoiled_values_total{")]
    parts = [(line.partition('kind="')[2], line.partition('input="')[2], line.split()[-1]) for line in lines]
    found = {(kind.partition('"')[0], name.partition('"')[0]): count for kind, name, count in parts}
    assert found["type_mismatch", "age"] == "1"
    assert found["missing", "age"] == "1"
    assert found["missing", "mean radius"] == "1"
    assert found["out_of_range", "age"] == "1"
    away = next(line for line in text.splitlines() if line.startswith("holdfast_turned_away_rows_total{"))
    assert away.split()[-1] == "5"


def test_numbers_that_are_none_are_missing_and_others_out_of_range() -> None:
    """NaN is a missing value; infinity is out of any range."""
    values = np.array([[np.nan, 1], [np.inf, 9], [0, 1]], dtype=np.float32)
    inside = np.array([[False, True], [False, False], [True, True]])
    found = of_rows(values, inside, ("a", "b"))
    assert (dict(found.inputs), found.rows) == ({"a": (1, 0, 1), "b": (0, 0, 1)}, 3)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"rows": 1}', b'{"rows": [1]}', b"\xff", b"[" * 9999])
def test_a_body_without_rows_says_nothing_about_inputs(body: bytes) -> None:
    """Whatever it is."""
    assert of_body(body, ("a",)) is None


def test_what_was_wrong_adds_up_over_windows() -> None:
    """Of inputs that either window knows."""
    empty: dict[str, Any] = {"requests": 0, "rows": 0, "failures": 0, "flagged": 0, "latency": (), "scores": ()}
    first = Window(inputs={}, spoiled={"a": (1, 0, 2)}, turned_away=2, **empty)
    total = add_windows(first, Window(inputs={}, spoiled={"a": (1, 1, 0), "b": (0, 0, 1)}, turned_away=1, **empty))
    assert (total.spoiled, total.turned_away) == ({"a": (2, 1, 2), "b": (0, 0, 1)}, 3)
