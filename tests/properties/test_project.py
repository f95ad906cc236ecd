"""The project file: every mistake is one error that names the line, and whatever else is written ends in words."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import InvalidProject
from holdfast.core.project import MAX_PROJECT, parse_project
from holdfast.core.schema import Use

EXAMPLE = Path(__file__).parents[2] / "examples" / "breast-cancer" / "holdfast.toml"
GOOD = """\
# a model of something
[project]
name = "thing"
owner = "Ada <ada@example.org>"

[risk]
sensitivity = "internal"
exposure = "internal"
stakes = "business"

[data]
source = "rows.csv"
format = "csv"
origin = "made up"
licence = "CC0-1.0"
max_quarantined_share = 0.2

[data.columns]
key = { type = "string", use = "id" }
age = { type = "float", minimum = 0, maximum = 120 }
"body mass" = { type = "float", nullable = true }
region = { type = "category", use = "slice", allowed = ["north", "south"] }

[data.columns.outcome]
type = "category"
use = "label"
allowed = ["no", "yes"]

[features]
columns = ["age"]
transforms = [{ name = "older", transform = "square", of = ["age"] }]

[train]
recipe = "train.py:train"
positive = "yes"
seed = 7
test_share = 0.25
validation_share = 0.15

[gates]
policy = "baseline"

[serving]
round_decimals = 2
rate_per_s = 50.0
burst = 100
max_rows = 256
lease = "15m"

[slo]
latency_p95_ms = 200.0
error_rate = 0.01
drift_psi = 0.25
min_window = 200

[rollout]
steps = [0.1, 0.5, 1.0]
min_requests = 100
alpha = 0.02
"""


def wrong(text: str) -> InvalidProject:
    """The error that a project file ends in."""
    with pytest.raises(InvalidProject) as caught:
        parse_project(text.encode(errors="surrogatepass"), place="my/holdfast.toml")
    return caught.value


def test_a_project_reads_as_it_is_written() -> None:
    """Every key has its value, columns keep their order, and the digest is that of the bytes."""
    project, digest = parse_project(GOOD.encode())
    assert digest == digest_bytes(GOOD.encode())
    assert (project.project.name, project.label, project.feature_columns) == ("thing", "outcome", ("age",))
    assert project.columns_of(Use.FEATURE) == ("age", "body mass")
    assert project.columns_of(Use.PERSONAL) == ()
    every = parse_project(GOOD.replace('columns = ["age"]\n', "").encode())[0]
    assert every.feature_columns == ("age", "body mass")


def test_the_shipped_example_is_a_project() -> None:
    """The first file a reader copies is one that can be read."""
    assert parse_project(EXAMPLE.read_bytes())[0].project.owner


WRONG = [  # what is replaced, by what, the line it stands in afterwards, and what is said about it
    ('name = "thing"', 'name = "Thing One"', "name =", "name 'Thing One'"),
    ('name = "thing"', 'name = ""', "name =", "name ''"),
    ('name = "thing"', 'name = "' + "x" * 64 + '"', "name =", "up to 63"),
    ('name = "thing"', "name = 3", "name =", "Expected `str`, got `int`"),
    ('owner = "Ada <ada@example.org>"', 'owner = "  "', "owner =", "no owner"),
    ('owner = "Ada <ada@example.org>"', "", "[project]", "missing required field `owner`"),
    ('owner = "Ada <ada@example.org>"', 'owner = "A"\nboss = "B"', "boss =", "unknown field `boss`"),
    ('stakes = "business"', 'stakes = "fun"', "stakes =", "Invalid enum value 'fun'"),
    ('exposure = "internal"\n', "", "[risk]", "missing required field `exposure`"),
    ('stakes = "business"', 'stakes = "business"\nregulated = "yes"', "regulated =", "Expected `bool`"),
    ('format = "csv"', 'format = "xlsx"', "format =", "Invalid enum value 'xlsx'"),
    ('source = "rows.csv"', 'source = ""', "source =", "length >= 1"),
    ('licence = "CC0-1.0"', 'licence = ""', "licence =", "length >= 1"),
    ("max_quarantined_share = 0.2", "max_quarantined_share = 20", "max_quarantined_share", "<= 1"),
    ("max_quarantined_share = 0.2", "max_quarantined_share = nan", "max_quarantined_share", "Expected `float`"),
    ('key = { type = "string"', 'key = { type = "text"', "key =", "Invalid enum value 'text'"),
    ('key = { type = "string"', 'key = { typ = "string"', "key =", "unknown field `typ`"),
    ('key = { type = "string"', "key = { type = 3", "key =", "Expected `str`"),
    ('key = { type = "string", use = "id" }', "key = 7", "key =", "Expected `object`"),
    ("nullable = true", 'nullable = "sometimes"', '"body mass"', "Expected `bool`"),
    ("minimum = 0, maximum = 120", "minimum = 120, maximum = 0", "age =", "minimum above maximum"),
    ("minimum = 0, maximum = 120", "minimum = nan", "age =", "no number"),
    ("minimum = 0, maximum = 120", "maximum = inf", "age =", "no number"),
    ('allowed = ["north", "south"]', "minimum = 1", "region =", "minimum and maximum of a category"),
    ("nullable = true", 'allowed = ["a"]', '"body mass"', "allowed values of a float"),
    ('use = "slice"', 'use = "feature"', "region =", "cannot be a feature"),
    ('use = "label"', 'use = "target"', 'use = "target"', "Invalid enum value 'target'"),
    ('use = "label"', 'use = "ignored"', "[data.columns]", "not exactly one described column"),
    (
        'key = { type = "string", use = "id" }',
        'key = { type = "string", use = "label" }',
        "[data.columns]",
        "not exactly one",
    ),
    ('columns = ["age"]', 'columns = ["agee"]', "columns =", "'agee' is not a feature column"),
    ('columns = ["age"]', 'columns = ["region"]', "columns =", "'region' is not a feature column"),
    ('columns = ["age"]', 'columns = "age"', "columns =", "Expected `array`"),
    ('transform = "square"', 'transform = "cube"', "transforms =", "Invalid enum value 'cube'"),
    ('recipe = "train.py:train"', 'recipe = "train.py"', "recipe =", "recipe 'train.py'"),
    ('recipe = "train.py:train"', 'recipe = "../train.py:train"', "recipe =", "inside the project"),
    ('recipe = "train.py:train"', 'recipe = "train.py:train()"', "recipe =", "file.py:function"),
    ('positive = "yes"', "positive = true", "positive =", "Expected `str`"),
    ("seed = 7", "seed = -1", "seed =", ">= 0"),
    ("seed = 7", f"seed = {2**53}", "seed =", "Expected `int`"),
    ("test_share = 0.25", "test_share = 0", "test_share =", "> 0"),
    ("test_share = 0.25", "test_share = 0.9", "test_share =", "leave nothing to train on"),
    ("validation_share = 0.15", "validation_share = 1.0", "validation_share =", "< 1"),
    ("seed = 7", 'seed = 7\ntier = "vault"', "tier =", "Invalid enum value 'vault'"),
    ("seed = 7", "seed = 7\nparams = { deep = [1] }", "params =", "got `array`"),
    ('policy = "baseline"', 'policy = ""', "policy =", "length >= 1"),
    ("round_decimals = 2", "round_decimals = -1", "round_decimals =", ">= 0"),
    ("rate_per_s = 50.0", "rate_per_s = 0", "rate_per_s =", "> 0"),
    ("rate_per_s = 50.0", "rate_per_s = inf", "rate_per_s =", "Expected `float`"),
    ("burst = 100", "burst = 0", "burst =", ">= 1"),
    ("max_rows = 256", "max_rows = 2.5", "max_rows =", "Expected `int`"),
    ('lease = "15m"', 'lease = "a while"', "lease =", "not a duration"),
    ("error_rate = 0.01", "error_rate = 1.5", "error_rate =", "<= 1"),
    ("drift_psi = 0.25", "drift_psi = -1", "drift_psi =", "> 0"),
    ("min_window = 200", "min_window = 0", "min_window =", ">= 1"),
    ("steps = [0.1, 0.5, 1.0]", "steps = []", "steps =", "do not rise to 1"),
    ("steps = [0.1, 0.5, 1.0]", "steps = [0.5, 0.1, 1.0]", "steps =", "do not rise to 1"),
    ("steps = [0.1, 0.5, 1.0]", "steps = [0.1, 0.1, 1.0]", "steps =", "do not rise to 1"),
    ("steps = [0.1, 0.5, 1.0]", "steps = [0.0, 1.0]", "steps =", "do not rise to 1"),
    ("steps = [0.1, 0.5, 1.0]", "steps = [0.1, 0.5]", "steps =", "do not rise to 1"),
    ("steps = [0.1, 0.5, 1.0]", "steps = [0.1, nan, 1.0]", "steps =", "Expected `float`"),
    ("steps = [0.1, 0.5, 1.0]", "steps = [0.5, 2.0]", "steps =", "<= 1"),
    ("alpha = 0.02", "alpha = 0", "alpha =", "> 0"),
    ("alpha = 0.02", "alpha = 0.02\n\n[extra]\nkey = 1", "[extra]", "unknown field `extra`"),
    ('stakes = "business"', "stakes = business", "stakes =", "not TOML"),
    ('stakes = "business"', 'stakes = "business"\nstakes = "money"', 'stakes = "money"', "not TOML"),
    ('stakes = "business"', 'stakes = "busi\x01ness"', "stakes =", "not TOML"),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"), WRONG, ids=lambda item: item.splitlines()[-1][:40] if item else ""
)
def test_a_wrong_key_is_named_with_its_line(old: str, new: str, line: str, said: str) -> None:
    """Each mistake is one error with the file, the line of the key or of its table, and what was expected."""
    assert GOOD.count(old) == 1
    text = GOOD.replace(old, new)
    number = 1 + next(number for number, found in enumerate(text.splitlines()) if line in found)
    error = wrong(text)
    assert error.place == f"my/holdfast.toml:{number}"
    assert said in f"{error.message}; {error.expected}"
    assert error.code == "HF210"


@pytest.mark.parametrize(
    ("old", "new", "message", "expected"),
    [
        ('positive = "yes"', 'positve = "yes"', "at `$.train`", "positive (of recipe, "),
        ('stakes = "business"', 'stakes = "fun"', "at `$.risk.stakes`", "business, experimental, money, safety"),
        ('key = { type = "string"', 'key = { tipe = "string"', "at `$.data.columns.key`", "type (of type, use, "),
        (
            'columns = ["age"]',
            '[features.texts."what, then?"]\nbukets = 8\n[unread]',
            "at `$.features.texts.what, then?`",
            "buckets (of grams, ",
        ),
    ],
)
def test_a_misspelt_key_or_word_is_told_with_what_could_be_meant(
    old: str, new: str, message: str, expected: str
) -> None:
    """The nearest key first; the table by its name, also one that a user has named; the words of a choice."""
    error = wrong(GOOD.replace(old, new))
    assert message in error.message
    assert error.expected.startswith(expected)


@pytest.mark.parametrize("table", ["project", "risk", "data", "train", "gates"])
def test_a_table_that_is_missing_is_named(table: str) -> None:
    """There is no line to point at where nothing stands, so the file is named."""
    start = GOOD.index(f"[{table}]")
    ends = [GOOD.find(f"\n[{other}]", start) for other in ("risk", "data", "features", "train", "gates", "serving")]
    end = min(end for end in ends if end > start)
    error = wrong(GOOD[:start] + GOOD[end:])
    assert error.place == "my/holdfast.toml"
    assert f"missing required field `{table}`" in error.message


def test_a_project_without_features_is_refused() -> None:
    """A model needs something to see."""
    text = GOOD.replace('columns = ["age"]\ntransforms = [{ name = "older", transform = "square", of = ["age"] }]', "")
    text = text.replace("minimum = 0, maximum = 120", 'use = "ignored"').replace("nullable = true", 'use = "ignored"')
    error = wrong(text)
    assert error.message == 'no column has use = "feature"'
    assert error.place == "my/holdfast.toml:18"


@pytest.mark.parametrize("owner", ["", " ", "\\t\\n", "\\u2003"])
def test_an_ownerless_project_is_refused(owner: str) -> None:
    """A person answers for each model: white space answers for nothing."""
    assert "no owner" in wrong(GOOD.replace("Ada <ada@example.org>", owner)).message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\ud800",
        "= 1",
        "a = " + "[" * 100_000,
        "[a]\n[a]",
        "x" * (MAX_PROJECT + 1),
        "project = 1",
        "[[project]]",
        "\0",
    ],
    ids=lambda text: repr(text[:8]),
)
def test_a_file_that_is_no_project_is_refused_in_words(text: str) -> None:
    """Noise, nesting without end and endless text are one error."""
    assert wrong(text).place.startswith("my/holdfast.toml")


@given(text=st.text(max_size=60))
def test_noise_is_refused_in_words(text: str) -> None:
    """Whatever stands in the file, the answer is one error and no traceback."""
    wrong(text)


@given(where=st.integers(0, len(GOOD) - 1), char=st.characters(), cut=st.integers(0, 20))
def test_a_slip_of_the_pen_is_a_project_or_an_error_in_words(where: int, char: str, cut: int) -> None:
    """A character typed over the file, or a piece of it lost, never ends in a traceback."""
    text = GOOD[:where] + char + GOOD[where + cut :]
    with contextlib.suppress(InvalidProject):
        parse_project(text.encode(errors="surrogatepass"), place="my/holdfast.toml")
