"""Declared sources: what may stand in `[sources.NAME]`, and what a reader is told where it may not."""

import pytest

from holdfast.core.errors import InvalidProject
from holdfast.core.project import Project, parse_project
from holdfast.core.sources import named_in

BEGINNING = """
[project]
name = "test"
owner = "Ada Example"
[risk]
sensitivity = "internal"
exposure = "internal"
stakes = "business"
[data]
{data}
origin = "made for a test"
licence = "none"
[data.columns]
id = {{ type = "string", use = "id" }}
x = {{ type = "float" }}
label = {{ type = "category", use = "label", allowed = ["no", "yes"] }}
[train]
recipe = "train.py:train"
positive = "yes"
[gates]
policy = "baseline"
"""
KEYED = 'key = ["id"]'
KEY = "ed25519:" + "A" * 43 + "="
DATABASE = (
    'database = { dialect = "mariadb", host = "127.0.0.1", database = "d", user = "u", table = "t", watermark = "w"'
)


def parsed(sources: str, data: str = 'source = "source:a"') -> Project:
    """A project with these sources."""
    return parse_project((BEGINNING.format(data=data) + sources).encode())[0]


def source(kind: str, *lines: str) -> str:
    """One source of this kind."""
    return "\n".join(["[sources.a]", f'kind = "{kind}"', 'identity = "somebody"', *lines])


@pytest.mark.requirement("DATA-01")
def test_one_of_each_kind_is_declared_with_its_schedule_and_its_reliability() -> None:
    """Four kinds stand side by side, and one data set may be made of several."""
    usual = 'schedule = "1d"\nprofile = { rows_at_least = 10, late_after = "2h", stale_after = "7d" }\n'
    both = 'source = ["source:a", "source:api"]'
    text = source("csv", 'file = { path = "rows.csv", encoding = "cp1252" }', usual)
    text += f'\n[sources.db]\nkind = "database"\nidentity = "db"\nkey = ["id"]\ncredential = "dbpass"\n{DATABASE} }}\n'
    text += '[sources.api]\nkind = "api"\nidentity = "api"\nkey = ["id"]\n'
    text += 'api = { url = "https://example.org/rows", limit = { requests = 10, per_s = 1.0 } }\n'
    text += '[sources.events]\nkind = "stream"\nidentity = "bus"\n'
    text += 'stream = { url = "nats://127.0.0.1:4222", stream = "s" }\n'
    project = parsed(text, both)
    assert [each.kind for each in project.sources.values()] == ["csv", "database", "api", "stream"]
    assert named_in(project.data.source) == ("a", "api")
    assert project.sources["a"].profile.rows_at_least == 10


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (source("csv"), "nobody's signature is asked for"),
        (source("csv", 'file = { path = "r.csv" }', f'signed_by = ["{KEY}"]'), "nothing is pushed"),
        (source("csv", 'signed_by = ["ed25519:short"]'), "is no public key"),
        (source("csv", 'file = { path = "r.csv" }', 'credential = "dbpass"'), "a credential for a file"),
        (source("csv", 'file = { path = "r.csv" }', 'key = ["_row"]'), "a column '_row'"),
        (source("csv", 'file = { path = "r.csv" }', 'schedule = "often"'), "often"),
        (source("csv", 'file = { path = "r.csv" }', "profile = { rows_at_least = 5, rows_at_most = 2 }"), "below"),
        (source("database", 'key = ["id"]'), "without a table database"),
        (source("database", f"{DATABASE} }}"), "nothing names a record"),
        (source("database", 'key = ["id"]', DATABASE + ', schema = "a\\"; drop"' + " }"), "cannot be a name"),
        (source("database", 'key = ["id"]', 'credential = "Bad Name"', f"{DATABASE} }}"), "whose name cannot be one"),
        (source("database", 'key = ["id"]', DATABASE + ', password = "hunter2"' + " }"), "unknown field `password`"),
        (source("database", 'key = ["id"]', DATABASE + ', overlap = "soon"' + " }"), "soon"),
        (source("api", 'key = ["id"]', 'api = { url = "http://example.org", limit = { requests = 1 } }'), "address"),
        (
            source("api", 'key = ["id"]', 'api = { url = "https://u:p@example.org", limit = { requests = 1 } }'),
            "address",
        ),
        (
            source(
                "api", 'key = ["id"]', 'api = { url = "https://e.org", paging = "cursor", limit = { requests = 1 } }'
            ),
            "where the cursor stands",
        ),
        (source("stream", 'stream = { url = "nats://example.org", stream = "s" }'), "speaks in clear"),
        (source("stream", 'stream = { url = "tls://u:p@example.org", stream = "s" }'), "not the address"),
    ],
)
def test_a_source_that_cannot_be_is_refused_with_the_line(text: str, words: str) -> None:
    """One message, which names the source; a password has no place to stand in."""
    with pytest.raises(InvalidProject) as refusal:
        parsed(text)
    assert words in refusal.value.message
    assert ":" in refusal.value.place.removeprefix("holdfast.toml")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('source = "source:b"', "no source 'b'"),
        ('source = ["source:a", "source:a"]', "named twice"),
        ('source = "source:a"\nformat = "csv"', "a format csv"),
        ('source = "rows.csv"', "the format of the file is missing"),
    ],
)
def test_a_data_set_names_sources_that_are_there(data: str, words: str) -> None:
    """What [data] names is declared, once, and has no second format."""
    with pytest.raises(InvalidProject) as refusal:
        parsed(source("csv", 'file = { path = "r.csv" }'), data)
    assert words in refusal.value.message
