"""Cleaning: repairs of the hospital table by declared rules, held against the clean one, cell by cell."""

import os
import time
from pathlib import Path

import polars as pl

from holdfast.core.repairs import Repair
from holdfast.ingest.repairs import repaired

SHARED = Path(os.environ.get("HOLDFAST_DATA", "../shared/data"))
OF_PROVIDER = (
    "hospital name",
    "address1",
    "city",
    "state",
    "zip code",
    "county name",
    "phone number",
    "hospital type",
    "hospital owner",
    "emergency service",
)
KEYS = ("provider number", "measure code", "zip code", "phone number")
NAMES = ("hospital type", "hospital owner", "condition", "county name", "city", "measure name", "sample")
RULES = (
    Repair(name="key-typos/1", kind="typo", columns=KEYS),
    Repair(name="of-provider/1", kind="dependency", by=("provider number",), columns=OF_PROVIDER),
    Repair(name="phone-of-one/1", kind="dependency", by=("phone number",), columns=("provider number",)),
    Repair(name="of-measure/1", kind="dependency", by=("measure code",), columns=("measure name", "condition")),
    Repair(name="measure-by-name/1", kind="dependency", by=("measure name",), columns=("measure code",)),
    Repair(name="state-average/1", kind="dependency", by=("state", "measure code"), columns=("stateavg",)),
    Repair(name="name-typos/1", kind="typo", columns=NAMES),
)
"""What is known of hospitals without the clean table: what depends on what, and which columns hold names."""


def scores(dirty: pl.DataFrame, after: pl.DataFrame, clean: pl.DataFrame) -> tuple[float, float]:
    """Return the share of changed cells that are right, and of wrong cells that are now right."""
    wrong = changed = right = 0
    for name in dirty.columns:
        touched = dirty[name].ne_missing(after[name])
        wrong += int(dirty[name].ne_missing(clean[name]).sum())
        changed += int(touched.sum())
        right += int((touched & ~after[name].ne_missing(clean[name])).sum())
    return right / changed, right / wrong


def main() -> None:
    """Print what each set of rules repairs."""
    dirty, clean = (pl.read_csv(SHARED / f"hospital-{name}.csv", infer_schema=False) for name in ("dirty", "clean"))
    chosen = {
        "dependencies": [rule for rule in RULES if rule.kind == "dependency"],
        "typos": [rule for rule in RULES if rule.kind == "typo"],
        "all rules": list(RULES),
    }
    for name, rules in chosen.items():
        began = time.process_time()
        precision, recall = scores(dirty, repaired(dirty, rules).table, clean)
        spent = time.process_time() - began
        f1 = 2 * precision * recall / (precision + recall)
        print(f"{name:14} precision {precision:.3f}  recall {recall:.3f}  F1 {f1:.3f}  {spent:.2f} CPU s")
    print("HoloClean (Rekatsinas et al. 2017), as its authors report: precision 1.0, recall 0.71, F1 0.83")


if __name__ == "__main__":
    main()
