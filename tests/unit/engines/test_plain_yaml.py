"""The strict reader of plain YAML, against the library that everybody uses."""

import contextlib

import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import InvalidInput
from holdfast.engines.plain_yaml import read_yaml

WORDS = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True)
TREES = st.recursive(
    WORDS | st.lists(WORDS, min_size=1, max_size=3),
    lambda inner: st.dictionaries(WORDS, inner, min_size=1, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(WORDS, TREES, min_size=1, max_size=4))
def test_what_trackers_write_is_read_as_the_library_reads_it(tree: dict[str, object]) -> None:
    """Mappings, lists and words, as PyYAML writes them."""
    text = yaml.safe_dump(tree, default_flow_style=False, width=1000)
    try:
        found = read_yaml(text)
    except InvalidInput:  # words that need quotes and escapes are refused, never misread
        assert '"' in text
        return
    assert found == yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - texts only, and of our own making


@given(st.text(max_size=200))
def test_any_text_is_a_mapping_or_refused(text: str) -> None:
    """No other exception, whatever it is."""
    with contextlib.suppress(InvalidInput):
        assert isinstance(read_yaml(text), dict)


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1",
        "a: *x",
        "a: !!python/object/apply:os.system [true]",
        "a: |\n  text",
        "a: {b: 1}",
        "a: [1, 2]",
        "a: 1\na: 2",
        "a:\n\tb: 1",
        "---\na: 1",
        "a: 1\n  b: 2",
        "- a\n- b",
        'a: "x\\n"',
        "a:\n" + "".join("  " * n + f"k{n}:\n" for n in range(1, 30)),
        "a: b: c",
    ],
)
def test_what_is_not_plain_is_refused(text: str) -> None:
    """Anything that readers disagree about, and anything that builds an object."""
    with pytest.raises(InvalidInput):
        read_yaml(text)


LONG = 900_000


@pytest.mark.parametrize(
    "text",
    [
        "a: x" + " " * LONG + "y #c",
        "a: [x" + " " * LONG + "y]",
        "a: [" + "x, " * (LONG // 3) + "] # c",
        "a: '" + "''" * (LONG // 2),
        "a: [" + "'" * LONG + " #",
        "a: |\n" + "  x\n" * 19_000,
        "a: >\n" + "  x\n\n" * 9_000,
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
        "\n".join("  " * depth + "a:" for depth in range(400)),
    ],
    ids=lambda text: text[:10],
)
def test_no_text_within_the_limits_takes_long(text: str) -> None:
    """Each is read or refused at once; the first two took hours while a pattern tried every division of the blanks."""
    with contextlib.suppress(InvalidInput):
        read_yaml(text, people=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: [x y , 'b, c' ,\"d\" ] # e", ["x y", "b, c", "d"]),
        ("a: 'it''s' # e", "it's"),
        ("a: b#c # d", "b#c"),
        ("a: b   # c # d", "b"),
    ],
)
def test_comments_and_lists_in_brackets_are_read_as_people_write_them(text: str, value: object) -> None:
    """As the library does."""
    assert read_yaml(text, people=True) == yaml.safe_load(text) == {"a": value}
