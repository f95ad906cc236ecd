"""Two contracts compared: what breaks somebody's rows, and what only lets more of them through."""

from pathlib import Path

import pytest

from holdfast.lifecycle.contracts import diff

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - name: order_id
        logicalType: integer
        primaryKey: true
      - name: amount
        logicalType: number
        quality:
          - metric: nullValues
            unit: percent
            {bound}
    quality:
      - metric: rowCount
        {rows}
"""
BETWEEN = "mustBeGreaterThan: 100"


@pytest.mark.parametrize(
    ("bound", "rows", "effects"),
    [
        ("mustBeLessThan: 5", BETWEEN, []),
        ("mustBeLessThan: 9", BETWEEN, ["compatible"]),
        ("mustBeLessOrEqualTo: 5", BETWEEN, ["compatible"]),
        ("mustBeLessThan: 1", BETWEEN, ["breaking"]),
        ("mustBeGreaterThan: 1", BETWEEN, ["breaking"]),
        ("mustBeLessThan: 5", "mustBeGreaterOrEqualTo: 100", ["compatible"]),
        ("mustBeLessThan: 5", "mustBeGreaterThan: 20", ["compatible"]),
        ("mustBeLessThan: 5", "mustBeGreaterThan: 200", ["breaking"]),
        ("mustBeLessThan: 5", BETWEEN + "\n        severity: warning", ["compatible"]),
    ],
)
def test_a_check_breaks_rows_only_where_its_bound_is_narrower(
    tmp_path: Path, bound: str, rows: str, effects: list[str]
) -> None:
    """A wider bound, one that includes its value, or one that only warns lets all through that went through before."""
    before, after = tmp_path / "before.yaml", tmp_path / "after.yaml"
    before.write_text(CONTRACT.format(bound="mustBeLessThan: 5", rows=BETWEEN), encoding="utf-8")
    after.write_text(CONTRACT.format(bound=bound, rows=rows), encoding="utf-8")
    told = diff(before=before, after=after)
    assert [each["effect"] for each in told.document["differences"]] == effects
    assert told.exit_code == ("breaking" in effects)
    back = diff(before=after, after=before)
    assert bool(back.exit_code) == (effects == ["compatible"] or bound == "mustBeGreaterThan: 1")
