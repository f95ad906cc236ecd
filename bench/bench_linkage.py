"""Linkage: rows of one person in febrl2, beside simple rules and splink, judged by rec_id, which nobody sees."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from holdfast.ingest.linkage import connected, link

SHARED = Path(os.environ.get("HOLDFAST_DATA", "../shared/data"))


def people() -> pl.DataFrame:
    """The table with clean names of columns."""
    table = pl.read_csv(SHARED / "febrl2.csv", infer_schema=False)
    return table.rename({name: name.strip() for name in table.columns}).with_columns(pl.all().str.strip_chars())


def pairs_of(entity: np.ndarray) -> set[tuple[int, int]]:
    """Return all pairs of rows of one entity."""
    groups: dict[int, list[int]] = {}
    for row, each in enumerate(entity.tolist()):
        groups.setdefault(each, []).append(row)
    return {(a, b) for group in groups.values() for i, a in enumerate(group) for b in group[i + 1 :]}


def scores(found: set[tuple[int, int]], truth: set[tuple[int, int]]) -> tuple[float, float, float]:
    """Return precision, recall and F1 of pairs."""
    right = len(found & truth)
    precision, recall = right / max(len(found), 1), right / max(len(truth), 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-12)


def by_rule(table: pl.DataFrame, columns: list[str]) -> np.ndarray:
    """Rows that are equal in these columns."""
    rows = table.select(columns).with_row_index("row").drop_nulls()
    first = rows.with_columns(pl.col("row").min().over(columns).alias("first"))
    pairs = first.filter(pl.col("row") != pl.col("first")).select("first", "row").to_numpy().astype(np.int64)
    return connected(table.height, pairs.reshape(-1, 2))


def by_splink(table: pl.DataFrame, columns: list[str]) -> np.ndarray:
    """Splink on DuckDB, as its documentation begins: u by sampling, m by expectation-maximisation on two blocks."""
    import splink.comparison_library as cl
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    frame = table.select(columns).with_row_index("unique_id").with_columns(pl.col(columns).replace("", None))
    settings = SettingsCreator(
        link_type="dedupe_only",
        comparisons=[cl.DamerauLevenshteinAtThresholds(name, [1, 2]) for name in columns],
        blocking_rules_to_generate_predictions=[block_on(name) for name in ("surname", "date_of_birth", "address_1")],
    )
    api = DuckDBAPI()
    linker = Linker(api.register(frame.to_arrow()), settings)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6)
    for first, second in (("given_name", "surname"), ("date_of_birth", "postcode")):
        linker.training.estimate_parameters_using_expectation_maximisation(block_on(first, second))
    predicted = linker.inference.predict(threshold_match_probability=0.95).as_duckdbpyrelation().pl()
    pairs = predicted.select("unique_id_l", "unique_id_r").to_numpy().astype(np.int64)
    return connected(table.height, pairs.reshape(-1, 2))


def main() -> None:
    """Print precision, recall and F1 of each, with and without the social security number."""
    table = people()
    known = table.get_column("rec_id").str.extract(r"rec-(\d+)-").rank("dense").to_numpy().astype(np.int64)
    truth = pairs_of(known)
    every = [name for name in table.columns if name != "rec_id"]
    without = [name for name in every if name != "soc_sec_id"]
    print(f"{table.height} rows, {len(truth)} pairs of one person")
    runs: dict[str, Callable[[], np.ndarray]] = {
        "rule: same number": lambda: by_rule(table, ["soc_sec_id"]),
        "rule: names, birth": lambda: by_rule(table, ["given_name", "surname", "date_of_birth"]),
        "holdfast": lambda: link(table, every).entity,
        "holdfast, no number": lambda: link(table, without).entity,
        "splink": lambda: by_splink(table, every),
        "splink, no number": lambda: by_splink(table, without),
    }
    for name, run in runs.items():
        began = time.process_time()
        try:
            entity = run()
        except ImportError as error:
            print(f"{name:20} not installed: {error}")
            continue
        precision, recall, f1 = scores(pairs_of(entity), truth)
        spent = time.process_time() - began
        print(f"{name:20} precision {precision:.4f}  recall {recall:.4f}  F1 {f1:.4f}  {spent:6.1f} CPU s")


if __name__ == "__main__":
    main()
