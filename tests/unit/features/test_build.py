"""Features: the declared columns and transforms of a data set, in order, with labels, groups and a digest."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.unit.ingest.world import MADE_WITH, Run, csv, project, run

from holdfast.core.artifact import Artifact, Digest, Kind, parse_manifest
from holdfast.core.control import Result
from holdfast.core.errors import HoldfastError, InvalidData, InvalidProject, NotVerified
from holdfast.core.project import Project
from holdfast.engines import packed
from holdfast.engines.dataset import from_parquet, open_stored
from holdfast.engines.transform import View
from holdfast.features import build
from holdfast.features.table import computed

COLUMNS = """
label = { type = "category", use = "label" }
id = { type = "string", use = "id" }
b = { type = "int", nullable = true }
a = { type = "float" }
flag = { type = "bool" }
clinic = { type = "category", use = "slice", nullable = true }
group = { type = "category", use = "protected" }
when = { type = "timestamp", use = "time", nullable = true }
notes = { type = "string", use = "ignored", nullable = true }
"""
DATA = 'timestamp_formats = ["%Y-%m-%d"]'
LINES = (
    "id,a,b,flag,clinic,group,when,notes,label",
    "p1,1.5,2,true,north,u,2024-01-01,,yes",
    "p2,2.5,,false,,v,2024-01-02,x,no",
    "p3,3.5,4,true,south,u,,y,yes",
)


def built(
    folder: Path, features: str = "", lines: tuple[str, ...] = LINES, columns: str = COLUMNS
) -> tuple[Run, Result]:
    """The features of some lines, and the data set under them."""
    declared = project(columns, data=DATA, features=features)
    done = run(folder, csv(*lines), declared)
    return done, build(done.ws, declared, done.dataset, MADE_WITH)


def table(done: Run, result: Result) -> tuple[pl.DataFrame, View]:
    """What was stored of them."""
    folder = parse_manifest(done.ws.blobs.get(result.one(Kind.FEATURES).digest))
    rows, view = (done.ws.blobs.get(Digest(folder.file(name).digest)) for name in ("features.parquet", "view.json"))
    return from_parquet(rows), msgspec.json.decode(view, type=View)


def test_the_table_holds_ids_features_labels_and_groups_in_the_order_declared(tmp_path: Path) -> None:
    """Rows as in the data set; features as numbers, missing as NaN; a missing group is a group; no more."""
    rows, view = table(*built(tmp_path))
    assert rows.columns == ["id", "b", "a", "flag", "label", "slice:clinic", "protected:group"]
    assert rows["id"].to_list() == ["p1", "p2", "p3"]
    np.testing.assert_array_equal(
        rows.select("b", "a", "flag").to_numpy(), [[2, 1.5, 1], [np.nan, 2.5, 0], [4, 3.5, 1]]
    )
    assert rows.select("b", "a", "flag").dtypes == [pl.Float64] * 3
    assert rows["label"].to_list() == [1, 0, 1]
    assert rows["slice:clinic"].to_list() == ["north", "(missing)", "south"]
    assert (view.names, view.classes) == (("b", "a", "flag"), ("no", "yes"))


def test_listed_columns_and_transforms_stand_in_their_order(tmp_path: Path) -> None:
    """The list decides, then the transforms, which may use feature columns that are not listed."""
    features = 'columns = ["a"]\ntransforms = [{ name = "r", transform = "ratio", of = ["b", "a"] }]'
    rows, view = table(*built(tmp_path, features))
    assert view.names == ("a", "r")
    np.testing.assert_allclose(rows["r"].to_numpy(), [2 / 1.5, np.nan, 4 / 3.5])


def test_evidence_counts_what_a_reader_should_know(tmp_path: Path) -> None:
    """How many features and rows, what share is missing with its interval, which feature is constant, which view."""
    done, result = built(tmp_path, lines=(*LINES[:3], "p3,2.5,2,true,south,u,,y,yes"))
    evidence = result.evidence[0]
    measures = {measure.name: measure for measure in evidence.measures}
    assert evidence.control == "features.view/1"
    assert evidence.subject == result.one(Kind.FEATURES).digest
    assert evidence.made_with.data == (done.dataset.digest,)
    assert {name: measure.value for name, measure in measures.items()} == {
        "features": 3,
        "rows": 3,
        "missing_share": 1 / 9,
        "constant_features": 1,
    }
    assert measures["missing_share"].low < 1 / 9 < measures["missing_share"].high
    assert [finding.place for finding in evidence.findings] == ["b"]
    assert evidence.facts["view"] == table(done, result)[1].digest


def test_the_same_data_set_gives_the_same_digest_and_another_view_another(tmp_path: Path) -> None:
    """A version of the features is their digest."""
    first, second = (built(tmp_path / name)[1] for name in "12")
    other = built(tmp_path / "3", 'columns = ["a", "b", "flag"]')[1]
    assert first == second
    assert first.one(Kind.FEATURES).digest != other.one(Kind.FEATURES).digest


def many(rows: int) -> tuple[str, ...]:
    """So many lines, with whatever may be missing missing here and there."""
    lines = (
        f"p{n},{n / 7:.3f},{'' if n % 5 == 0 else n},{('true', 'false')[n % 2]},{('north', '', 'south')[n % 3]},"
        f"{('u', 'v')[n % 2]},{'' if n % 4 == 0 else '2024-01-02'},{'x' * (n % 3)},{('yes', 'no')[n % 2]}"
        for n in range(1, rows + 1)
    )
    return (LINES[0], *lines)


@pytest.mark.parametrize("columns", [COLUMNS, COLUMNS.replace('id = { type = "string", use = "id" }\n', "")])
def test_rows_computed_some_at_a_time_are_those_computed_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """The same digest: ids or numbers of rows, missing values, groups, cells that are sealed by their row's number."""
    lines, features = many(61), 'transforms = [{ name = "r", transform = "ratio", of = ["b", "a"] }]'
    if columns != COLUMNS:
        lines = tuple(line.partition(",")[2] for line in lines)
    done, at_once = built(tmp_path / "whole", features, lines, columns)
    rows, view = table(done, at_once)
    monkeypatch.setattr(packed, "PART", 8)
    asked = list[str]()
    stored = open_stored(done.ws.blobs, done.dataset)
    declared = project(columns, data=DATA, features=features)

    def key() -> bytes:
        asked.append("protected")
        return done.ws.protected_key()

    some = computed(declared, view, stored, (), key, tmp_path)
    assert some.heights == (8,) * 7 + (5,)
    assert some.open().equals(rows)
    assert len(asked) == 1
    assert built(tmp_path / "parts", features, lines, columns)[1] == at_once


def test_a_row_without_a_value_is_named_by_its_place_among_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Computed together or some rows at a time: which row it is, and how many more are like it."""
    lines = tuple(line.replace("p40,5.714", "p40,0").replace("p50,7.143", "p50,0") for line in many(61))
    features = 'transforms = [{ name = "r", transform = "ratio", of = ["flag", "a"] }]'
    said = []
    for part in (packed.PART, 8):
        monkeypatch.setattr(packed, "PART", part)
        with pytest.raises(InvalidData) as refused:
            built(tmp_path / str(part), features, lines)
        said.append(str(refused.value))
    assert said[0] == said[1]
    assert "row 39" in said[0]
    assert "1 more rows" in said[0]


def test_a_protected_or_sliced_column_is_never_a_feature(tmp_path: Path) -> None:
    """It may be named as one only by being declared one."""
    with pytest.raises(InvalidProject, match="'group' is not a feature column"):
        built(tmp_path, 'columns = ["group"]')
    features = 'transforms = [{ name = "r", transform = "square", of = ["group"] }]'
    with pytest.raises(InvalidProject, match="'group' is not a column of use feature"):
        built(tmp_path, features)


@pytest.mark.parametrize(
    ("features", "error", "words"),
    [
        ('transforms = [{ name = "a", transform = "square", of = ["b"] }]', InvalidProject, "two features"),
        ('transforms = [{ name = "label", transform = "square", of = ["b"] }]', InvalidProject, "cannot be a feature"),
        (
            'transforms = [{ name = "slice:x", transform = "square", of = ["b"] }]',
            InvalidProject,
            "cannot be a feature",
        ),
        ('transforms = [{ name = "", transform = "square", of = ["b"] }]', InvalidProject, "cannot be a feature"),
        ('transforms = [{ name = "r", transform = "ratio", of = ["b"] }]', InvalidProject, "ratio of 1 columns"),
        ('transforms = [{ name = "r", transform = "ratio", of = ["a", "flag"] }]', InvalidData, "a = 2.5, flag = 0"),
    ],
)
def test_a_view_that_cannot_be_is_refused(
    tmp_path: Path, features: str, error: type[HoldfastError], words: str
) -> None:
    """Names are distinct and free, transforms fit their columns, and every row has a value."""
    with pytest.raises(error, match=words):
        built(tmp_path, features)


@pytest.mark.parametrize(
    ("labels", "words"),
    [(("yes", "yes", "yes"), "1 classes"), (("no", "maybe", "no"), "no row has the positive label 'yes'")],
)
def test_labels_that_leave_nothing_to_learn_are_refused(tmp_path: Path, labels: Any, words: str) -> None:
    """One class, or none that is the positive one."""
    lines = [line.rsplit(",", 1)[0] for line in LINES[1:]]
    with pytest.raises(InvalidData, match=words):
        built(tmp_path, lines=(LINES[0], *[f"{line},{label}" for line, label in zip(lines, labels, strict=True)]))


@pytest.mark.parametrize(
    ("kind", "labels", "positive", "classes"),
    [("int", "1 0 10", "1", ("0", "1", "10")), ("bool", "1 0 true", "true", ("false", "true"))],
)
def test_whole_numbers_and_booleans_are_classes_by_their_text(
    tmp_path: Path, kind: str, labels: Any, positive: str, classes: tuple[str, ...]
) -> None:
    """Sorted as text, so that the order does not depend on the rows."""
    columns = COLUMNS.replace('label = { type = "category"', f'label = {{ type = "{kind}"')
    lines = [f"{line.rsplit(',', 1)[0]},{label}" for line, label in zip(LINES[1:], labels.split(), strict=True)]
    declared = with_positive(project(columns, data=DATA), positive)
    done = run(tmp_path, csv(LINES[0], *lines), declared)
    assert table(done, build(done.ws, declared, done.dataset, MADE_WITH))[1].classes == classes


def with_positive(declared: Project, positive: str) -> Project:
    """The project with another positive label."""
    return msgspec.structs.replace(declared, train=msgspec.structs.replace(declared.train, positive=positive))


def test_a_label_that_is_a_measurement_is_refused(tmp_path: Path) -> None:
    """A float is no class."""
    columns = COLUMNS.replace('label = { type = "category"', 'label = { type = "float"')
    lines = [f"{line.rsplit(',', 1)[0]},{number}.5" for number, line in enumerate(LINES[1:])]
    with pytest.raises(InvalidData, match="is a float"):
        built(tmp_path, lines=(LINES[0], *lines), columns=columns)


CARDS = [f"{line.replace(',2,', ',4111111111111111,').replace(',4,', ',5555555555554444,')}" for line in LINES]


def test_a_feature_that_turned_out_personal_is_left_out_with_a_finding(tmp_path: Path) -> None:
    """Where the project takes every column, the rest goes on, and the evidence says what is missing."""
    done, result = built(tmp_path, lines=tuple(CARDS))
    assert table(done, result)[1].names == ("a", "flag")
    assert [(f.rule, f.place) for f in result.evidence[0].findings] == [("held-back", "b")]


@pytest.mark.parametrize(
    "features", ['columns = ["a", "b"]', 'transforms = [{ name = "r", transform = "square", of = ["b"] }]']
)
def test_a_feature_that_turned_out_personal_is_refused_where_it_was_named(tmp_path: Path, features: str) -> None:
    """A list is a promise about the model's inputs that can no longer be kept."""
    with pytest.raises(InvalidData, match="'b' was held back"):
        built(tmp_path, features, tuple(CARDS))


def test_rows_without_an_id_column_are_entities_of_their_own(tmp_path: Path) -> None:
    """No two of them share an id, so a split may part any of them."""
    columns = COLUMNS.replace('use = "id"', 'use = "ignored"')
    rows, _ = table(*built(tmp_path, columns=columns))
    assert rows["id"].n_unique() == rows.height


def test_an_id_of_several_columns_is_their_joint_text(tmp_path: Path) -> None:
    """Two parts, and a mark between them that cleaned text cannot hold, so that no two pairs look alike."""
    columns = COLUMNS.replace(
        'group = { type = "category", use = "protected" }', 'group = { type = "string", use = "id" }'
    )
    rows, _ = table(*built(tmp_path, columns=columns))
    assert rows["id"].to_list() == ["p1\x1fu", "p2\x1fv", "p3\x1fu"]


def test_a_data_set_whose_rows_do_not_fit_its_schema_is_not_used(tmp_path: Path) -> None:
    """The folder's digest holds, but what it holds contradicts itself."""
    done, _ = built(tmp_path)
    folder = parse_manifest(done.ws.blobs.get(done.dataset.digest))
    schema = msgspec.json.decode(done.ws.blobs.get(Digest(folder.file("schema.json").digest)))
    schema["columns"] = schema["columns"][1:]
    forged = done.ws.blobs.put(msgspec.json.encode(schema))
    files = tuple(
        msgspec.structs.replace(file, digest=forged) if file.path == "schema.json" else file for file in folder.files
    )
    artifact: Artifact = done.ws.store_folder(Kind.DATASET, msgspec.structs.replace(folder, files=files))
    with pytest.raises(NotVerified, match="columns of the schema"):
        build(done.ws, project(COLUMNS, data=DATA), artifact, MADE_WITH)
