"""Contracts of the open standard: read and written without loss, valid by its schema, closed where we cannot check."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from holdfast.core.artifact import digest_bytes
from holdfast.core.checks import Check
from holdfast.core.errors import InvalidInput
from holdfast.core.schema import Column, ColumnType, Use
from holdfast.engines.odcs import DataContract, read_contract
from holdfast.engines.odcs_writing import write_contract
from holdfast.engines.plain_yaml import read_yaml

SCHEMA = json.loads((Path(__file__).parents[2] / "vectors/odcs/odcs-json-schema-v3.1.json").read_text())
HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: c\nversion: 1.0.0\nstatus: active\nschema:\n- name: t\n"
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), max_size=30).map(str.strip)
NAMES = TEXTS.filter(bool)
BOUNDS = st.floats(-1e9, 1e9)


def with_property(body: str, name: str = "x", kind: str = "number") -> bytes:
    """A contract of one column."""
    return f"{HEAD}  properties:\n  - name: {name}\n    logicalType: {kind}\n{body}".encode()


@st.composite
def contracts(draw: st.DrawFn) -> DataContract:
    """Contracts with every type of column and several kinds of checks."""
    names = draw(st.lists(NAMES, min_size=4, max_size=4, unique=True))
    low = draw(BOUNDS)
    columns = {
        names[0]: Column(type=ColumnType.STRING, use=Use.ID),
        names[1]: Column(
            type=ColumnType.FLOAT,
            nullable=True,
            minimum=low,
            maximum=low + 1,
            unit=draw(TEXTS),
            description=draw(TEXTS),
            draft=draw(st.booleans()),
        ),
        names[2]: Column(type=ColumnType.CATEGORY, use=Use.LABEL, allowed=tuple(draw(st.lists(NAMES, min_size=1)))),
        names[3]: Column(type=ColumnType.TIMESTAMP, use=Use.TIME, nullable=True),
    }
    checks = (
        Check(name="a", kind="rows", at_least=1, at_most=draw(BOUNDS)),
        Check(name="b", kind="nulls", columns=(names[1],), below=draw(BOUNDS), soft=True, because=draw(TEXTS)),
        Check(name="c", kind="null_share", columns=(names[1],), at_most=draw(BOUNDS)),
        Check(name="d", kind="rule", rule=f"{draw(st.integers(0, 9))} < 1"),
        Check(name="e", kind="unique", columns=(names[0], names[2])),
        Check(name="f", kind="psi", columns=(names[1],), against=draw(NAMES), at_most=0.25),
        Check(name="g", kind="mean", columns=(names[1],), never=(1.0, 2.0)),
    )
    return DataContract(id="c", name="c", version="1.0.0", status="active", table="t", columns=columns, checks=checks)


@pytest.mark.requirement("DATA-11")
@settings(max_examples=50, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(contracts())
def test_what_is_written_is_valid_by_the_standard_and_read_back_the_same(contract: DataContract) -> None:
    """The standard's schema is the judge; another YAML reader sees the same tree."""
    text = write_contract(contract)
    jsonschema.validate(yaml.safe_load(text), SCHEMA)
    assert read_yaml(text, people=True) == yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - texts only
    back = read_contract(text.encode())
    assert dict(back.columns) == dict(contract.columns)
    assert {each.name: each for each in back.checks} == {each.name: each for each in contract.checks}


SQL = "    quality:\n    - name: s\n      type: sql\n      query: SELECT 1\n      mustBe: 1\n"


def quality(*lines: str) -> str:
    """One rule of a property."""
    first, *rest = lines
    return "".join([f"    quality:\n    - {first}\n", *(f"      {line}\n" for line in rest)])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("    quality: [a]\n", []),
        ("    unique: true\n", [Check(name="x-unique", kind="unique", columns=("x",))]),
        (
            quality("metric: nullValues", "unit: percent", "mustBeLessThan: 5", "severity: warning"),
            [Check(name="x-nullValues", kind="null_share", columns=("x",), below=0.05, soft=True)],
        ),
        (
            quality("metric: missingValues", "mustBe: 0", "arguments:", "  missingValues: [null, '', 'N/A']"),
            [Check(name="x-missingValues", kind="missing", columns=("x",), values=("", "N/A"), at_least=0, at_most=0)],
        ),
        (
            quality("name: two", "metric: duplicateValues", "mustBeBetween: [1, 2]"),
            [Check(name="two", kind="duplicates", columns=("x",), at_least=1, at_most=2)],
        ),
        (
            "    logicalTypeOptions:\n      exclusiveMinimum: 3\n",
            [Check(name="x-exclusiveMinimum", kind="rule", rule="`x` is missing or `x` > 3")],
        ),
    ],
)
def test_each_part_of_the_standard_becomes_the_check_that_means_it(body: str, expected: list[Check]) -> None:
    """Metrics of the library, their operators and units."""
    assert list(read_contract(with_property(body)).checks) == expected


@pytest.mark.parametrize(
    ("pattern", "accepts", "refuses"), [("^a+$", "aa", "ba"), ("a+", "bab", "b"), ("^a|b$", "a", "xx")]
)
def test_a_pattern_is_searched_for_as_the_standard_says(pattern: str, accepts: str, refuses: str) -> None:
    """Without anchors it may stand anywhere in the value."""
    import re

    made = read_contract(with_property(f"    logicalTypeOptions:\n      pattern: '{pattern}'\n", kind="string"))
    assert re.fullmatch(made.checks[0].pattern, accepts)
    assert not re.fullmatch(made.checks[0].pattern, refuses)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "no version"),
        (b"\xff\xfe", "not UTF-8"),
        (HEAD.replace("DataContract", "Other").encode(), "a Other"),
        (HEAD.replace("v3.1.0", "v2.2.2").encode(), "v2.2.2"),
        (HEAD.partition("schema")[0].encode(), "no table"),
        (with_property("", kind="array"), "cannot be checked"),
        (
            with_property(SQL),
            "'s': it is sql",
        ),
        (
            with_property(quality("type: custom", "engine: soda", "implementation: x")),
            "custom soda",
        ),
        (with_property("    quality:\n    - metric: nullValues\n"), "no bound"),
        (with_property("    quality:\n    - metric: nullValues\n      mustBe: some\n"), "no number"),
        (with_property("    logicalTypeOptions:\n      multipleOf: 2\n"), "multipleOf"),
        (HEAD.encode() + b"  properties:\n  - &a\n    name: x\n", "anchor|plain|mapping|list"),
        (HEAD.encode() + b"#" * (1 << 20), "at most"),
    ],
)
def test_what_cannot_be_checked_is_refused_and_named(document: bytes, words: str) -> None:
    """A contract that is half checked would be believed whole."""
    with pytest.raises(InvalidInput, match=words):
        read_contract(document)


def test_what_is_named_as_left_out_is_left_out_and_listed() -> None:
    """Somebody said so, by name."""
    body = SQL + "    - type: text\n      description: nice\n"
    made = read_contract(with_property(body), leave_out={"s"})
    assert (made.left_out, made.for_people, made.checks) == (("s",), ("x-text: nice",), ())


def test_the_vendored_schema_is_the_one_that_was_published() -> None:
    """Its digest, so that nobody loosens it to make a test pass."""
    data = json.dumps(SCHEMA, separators=(",", ":"), sort_keys=True).encode()
    assert digest_bytes(data) == "sha256:367610fb390d906a50c2f4bcfef0fb91ec26ca56fa2b65f5227fb05fbb831d5a"


def test_what_people_write_is_read_as_the_library_reads_it() -> None:
    """Block texts, folded texts, brackets, comments, items that are mappings."""
    text = "---\na: 1  # one\nb: |\n  x: y\n    z\n\n  w\nc: >-\n  fold\n  ed\n"
    text += "d: [p, 'q, r', \"s\"]\ne:\n- f: 1\n  g:\n    - h: 2\n- f: '#3'\n"
    expected: Any = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - texts only, and of our own making
    assert read_yaml(text, people=True) == expected
