"""Columns of text as features: declared, hashed, traced, and the same for one row as for all."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.unit.features.test_build import table
from tests.unit.ingest.world import MADE_WITH, csv, project, run

from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import HoldfastError, InvalidData
from holdfast.core.text import Hashing
from holdfast.engines.texts import hashed
from holdfast.features import build
from holdfast.features.links import Link

COLUMNS = """
label = { type = "category", use = "label" }
price = { type = "float" }
message = { type = "string", use = "text", nullable = true }
"""
LINES = ("price,message,label", "1.5,win a prize,yes", "2.5,,no", "3.5,see you at home,no")


@pytest.mark.requirement("FEAT-03")
def test_a_text_stands_in_the_table_as_its_buckets(tmp_path: Path) -> None:
    """After the numbers, in order; missing as NaN; and computed again one by one there is no mismatch."""
    declared = project(COLUMNS, features="texts = { message = { buckets = 8 } }")
    done = run(tmp_path, csv(*LINES), declared)
    result = build(done.ws, declared, done.dataset, MADE_WITH)
    rows, view = table(done, result)
    names = [f"message#{bucket}" for bucket in range(8)]
    assert view.names == ("price", *names)
    expected = hashed(Hashing(buckets=8), ["win a prize", None, "see you at home"])
    np.testing.assert_array_equal(rows.select(names).to_numpy(), expected)
    measures = {f"{each.control} {m.name}": m.value for each in result.evidence for m in each.measures}
    assert measures["features.parity/1 mismatches"] == 0
    assert measures["features.parity/1 values_compared"] == rows.height * 9
    assert measures["features.links/1 missing_links"] == 0


@pytest.mark.parametrize(("lines", "constant"), [(LINES, 0), (("price,message,label", "1.5,,yes", "2.5,,no"), 1)])
def test_buckets_that_no_run_falls_into_are_no_defect_and_a_text_that_says_nothing_is_one(
    tmp_path: Path, lines: tuple[str, ...], constant: int
) -> None:
    """A few words leave most buckets empty: that is how hashing is; a text without a word in any row tells nothing."""
    declared = project(COLUMNS, features="texts = { message = { buckets = 64 } }")
    done = run(tmp_path, csv(*lines), declared)
    evidence = build(done.ws, declared, done.dataset, MADE_WITH).evidence[0]
    measures = {measure.name: measure.value for measure in evidence.measures}
    assert measures["constant_features"] == constant
    assert measures["unused_buckets"] > 40
    assert [found.place for found in evidence.findings if found.rule == "constant-feature"] == ["message"] * constant


@pytest.mark.requirement("FEAT-05")
def test_the_version_of_a_bucket_is_that_of_how_its_text_is_hashed(tmp_path: Path) -> None:
    """Other n-grams, other versions of every bucket; the same declaration, the same."""
    versions = list[list[str]]()
    for longest in (1, 2, 1):
        declared = project(COLUMNS, features=f"texts = {{ message = {{ buckets = 8, longest = {longest} }} }}")
        done = run(tmp_path / str(len(versions)), csv(*LINES), declared)
        folder = parse_manifest(
            done.ws.blobs.get(build(done.ws, declared, done.dataset, MADE_WITH).one(Kind.FEATURES).digest)
        )
        document = done.ws.blobs.get(Digest(folder.file("lineage.json").digest))
        links = msgspec.json.decode(document, type=tuple[Link, ...])
        versions.append([link.version for link in links if link.feature == "message#3"])
    assert versions[0] == versions[2] != versions[1]


@pytest.mark.parametrize(
    ("columns", "features", "words"),
    [
        (COLUMNS, "texts = { price = {} }", "not a column of text"),
        (COLUMNS, "texts = { message = { shortest = 3, longest = 2 } }", "longest below shortest"),
        (COLUMNS.replace('"string", use = "text"', '"float", use = "text"'), "", "is no text"),
        (
            COLUMNS + "".join(f'm{n} = {{ type = "string", use = "text" }}\n' for n in range(3)),
            "texts = { m0 = { buckets = 1024 }, m1 = { buckets = 1024 }, m2 = { buckets = 8 } }",
            "2056 buckets",
        ),
        (
            COLUMNS,
            'texts = { message = {} }\ntransforms = [{ name = "message", transform = "log1p", of = ["price"] }]',
            "a text and another input are called 'message'",
        ),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(columns: str, features: str, words: str) -> None:
    """Before a row is read, in words."""
    with pytest.raises(HoldfastError, match=words):
        project(columns, features=features)


def test_a_text_that_was_held_back_as_personal_is_no_feature(tmp_path: Path) -> None:
    """Who declares it and does not say what happens to what is personal in it gets no model without it."""
    declared = project(COLUMNS, features="texts = { message = {} }")
    lines = (
        "price,message,label",
        *(f"{n},write to someone{n}@firm.test,{'yes' if n % 2 else 'no'}" for n in range(9)),
    )
    done = run(tmp_path, csv(*lines), declared)
    with pytest.raises(InvalidData, match="held back"):
        build(done.ws, declared, done.dataset, MADE_WITH)
