"""Entities: rows of one are merged, entities that share an id are separated, and the trail restores every byte."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.ingest.world import csv, project, run

from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import InvalidProject, NotVerified
from holdfast.engines.dataset import from_parquet, to_parquet
from holdfast.engines.packed import pack
from holdfast.ingest.checking import Judged
from holdfast.ingest.contract import Batch
from holdfast.ingest.entities import KEPT, PLACES, TRAIL, resolve, restored
from holdfast.ingest.linkage import EQUAL, MISSING, NEAR, compared, connected, link
from holdfast.ingest.reasons import fault_table

SHARED = Path(os.environ.get("HOLDFAST_DATA", "../shared/data"))
COLUMNS = """
id = { type = "string", use = "id" }
name = { type = "string", use = "ignored", sensitivity = "personal", nullable = true }
town = { type = "string", use = "ignored", sensitivity = "personal", nullable = true }
born = { type = "string", use = "ignored", sensitivity = "personal", nullable = true }
x = { type = "float", nullable = true }
label = { type = "category", use = "label", allowed = ["no", "yes"] }
"""
PLAN = project(COLUMNS + '[data.entities]\ncolumns = ["name", "town", "born"]\n')
NAMES = ["anna", "bertram", "clementine", "dorothea", "emilia", "friedrich", "gustav", "hannelore", "isolde", "joachim"]
TOWNS = ["aachen", "bremerhaven", "chemnitz", "dortmund", "erlangen", "flensburg", "goettingen"]


def people(count: int) -> list[list[str]]:
    """Different persons, whom names, towns and days of birth tell apart."""
    rng = np.random.default_rng(5)
    towns = [TOWNS[int(each)] for each in rng.integers(7, size=count)]
    names = [f"{NAMES[n % 10]} {NAMES[(n // 10) % 10]}{n}" for n in range(count)]
    return [[names[n], towns[n], f"19{50 + n % 50}0{n % 9 + 1}1{n % 10}"] for n in range(count)]


@pytest.mark.requirement("DATA-08", by="holdfast.ingest.entities:resolve")
def test_of_ids_of_which_half_are_duplicated_each_entity_keeps_one(tmp_path: Path) -> None:
    """Two databases numbered anew: a person under two ids becomes one row, two persons under one id become two."""
    persons = people(60)
    first = [f"c{n},{','.join(who)},{n},{'yes' if n % 2 else 'no'}" for n, who in enumerate(persons[:40])]
    slips = [[who[0][:-3] + who[0][-2] + who[0][-3] + who[0][-1], *who[1:]] for who in persons[20:40]]
    others = [*slips, *persons[40:]]
    second = [f"c{n},{','.join(who)},{n + 20},{'yes' if n % 2 else 'no'}" for n, who in enumerate(others)]
    done = run(tmp_path, csv("id,name,town,born,x,label", *first, *second), PLAN)
    assert done.rows.height == 60
    assert done.rows["id"].is_unique().all()
    assert done.measures("ingest.contract/1")["rows_merged"] == 20
    assert done.measures("ingest.contract/1")["ids_separated"] == 20
    assert "name" not in done.rows.columns  # read to tell persons apart, and in no data set
    assert sum(codes == ["merged-into-another"] for codes in done.codes.values()) == 20
    folder = parse_manifest(done.ws.blobs.get(done.result.one(Kind.QUARANTINE).digest))
    trail, places = (from_parquet(done.ws.blobs.get(Digest(folder.file(name).digest))) for name in (TRAIL, PLACES))
    before = restored(done.rows, trail, places)
    assert before["id"].to_list() == [line.partition(",")[0] for line in [*first, *second]]
    assert before["x"].to_list() == [float(line.split(",")[4]) for line in [*first, *second]]


CELLS = st.none() | st.sampled_from(["a", "b", "c"])
TABLES = st.lists(st.tuples(st.sampled_from(["1", "2", "3", "1~2"]), CELLS, CELLS), min_size=1, max_size=12)


@pytest.mark.requirement("DATA-08", by="holdfast.ingest.entities:restored")
@settings(max_examples=150)
@given(TABLES, st.data())
def test_whatever_was_merged_the_trail_restores_every_byte(rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    """Any rows, any entities: one row for each entity, one entity for each id, and the way back is exact."""
    frame = pl.DataFrame(rows, schema={"id": pl.String, "x": pl.String, "label": pl.String}, orient="row")
    links = data.draw(st.lists(st.tuples(st.integers(0, len(rows) - 1), st.integers(0, len(rows) - 1)), max_size=8))
    entity = connected(len(rows), np.array(links, dtype=np.int64).reshape(-1, 2))
    numbers = pl.int_range(10, 10 + 3 * len(rows), 3, eager=True, dtype=pl.Int64).alias("row")
    judged = Judged(faults=fault_table(()), good=pl.Series([True] * len(rows)))
    batch = Batch(frame=pack([frame]), rows=numbers, faults=fault_table(()), counts=(), judged=judged)
    columns = 'id = { type = "string", use = "id" }\nx = { type = "float" }\n'
    plan = project(columns + 'label = { type = "category", use = "label" }\n')
    done = resolve(batch, entity, plan)
    assert done.batch.frame.height == len(set(entity.tolist()))
    assert done.batch.frame.get_column("id").is_unique().all()
    assert done.batch.frame.height + done.batch.faults.height == len(rows)
    assert to_parquet(restored(done.batch.frame.open(), done.trail, done.places)) == to_parquet(frame)
    if done.trail.height:
        assert set(done.trail[KEPT]) <= set(numbers)


def test_a_trail_of_another_data_set_is_refused() -> None:
    """By its rows and its columns."""
    with pytest.raises(NotVerified):
        restored(pl.DataFrame({"a": [1]}), pl.DataFrame({"b": [1]}), pl.DataFrame({"holdfast:row": [1]}))


def test_levels_of_agreement() -> None:
    """Equal, nearly equal by slips of a hand, missing."""
    texts = pl.DataFrame({"a": ["johannes", "johannes", "johnanes", None]})
    levels = compared(texts, np.array([[0, 1], [0, 2], [0, 3]])).ravel().tolist()
    assert levels == [EQUAL, NEAR, MISSING]


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_tables_without_anything_to_link_are_left_alone(rows: int) -> None:
    """Nothing is one entity with nothing."""
    table = pl.DataFrame({"a": ["x", "y"][:rows], "b": [None, None][:rows]}, schema={"a": pl.String, "b": pl.String})
    assert link(table, ["a", "b"]).entity.tolist() == list(range(rows))


@pytest.mark.parametrize(
    ("columns", "entities", "words"),
    [
        (COLUMNS, 'columns = ["name"]', "one column"),
        (COLUMNS, 'columns = ["name", "z"]', "'z' cannot"),
        (COLUMNS, 'columns = ["name", "id"]', "'id' cannot"),
        (COLUMNS, 'columns = ["name", "town"]\nthreshold = 0.2', "no probability"),
        (COLUMNS.replace('"string", use = "id"', '"int", use = "id"'), 'columns = ["name", "town"]', "ids cannot"),
    ],
)
def test_entities_that_nothing_tells_apart_are_refused(columns: str, entities: str, words: str) -> None:
    """Before any row is read."""
    with pytest.raises(InvalidProject, match=words):
        project(f"{columns}[data.entities]\n{entities}\n")


@pytest.mark.requirement("DATA-08")
@pytest.mark.skipif(not (SHARED / "febrl2.csv").exists(), reason="the table of people is not here")
def test_pairs_of_one_person_are_found_without_ever_seeing_who_is_who() -> None:
    """On the benchmark's table, without its social security number; the bench states the figures beside splink's."""
    import sys

    sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))
    from bench_linkage import pairs_of, scores  # type: ignore[import-not-found]
    from bench_linkage import people as table

    rows = table()
    known = rows.get_column("rec_id").str.extract(r"rec-(\d+)-").rank("dense").to_numpy().astype(np.int64)
    columns = [name for name in rows.columns if name not in {"rec_id", "soc_sec_id"}]
    precision, recall, _ = scores(pairs_of(link(rows, columns).entity), pairs_of(known))
    assert precision >= 0.99
    assert recall >= 0.98
