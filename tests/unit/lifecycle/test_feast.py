"""Definitions of a Feast repository: read from its text, never run; what cannot be read is said with its place."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from holdfast.core.errors import Conflict, InvalidInput
from holdfast.core.feature import FeatureView
from holdfast.engines.events import compile_view
from holdfast.lifecycle.feast import import_feast

DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int64, String, UnixTimestamp

raise SystemExit("this ran")
driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
stats_source = FileSource(
    name="stats", path="data/driver_stats.parquet", timestamp_field="event_timestamp",
    created_timestamp_column="created",
)
stats = FeatureView(
    name="driver_hourly_stats",
    entities=[driver],
    ttl=timedelta(days=1, hours=2),
    schema=[
        Field(name="conv_rate", dtype=Float32),
        Field(name="trips", dtype=Int64),
        Field(name="vec", dtype=Array(Float32)),
    ],
    online=True,
    source=stats_source,
    owner="dana@example.org",
    description="Hourly stats",
)
pushed = PushSource(name="push", batch_source=stats_source)
service = FeatureService(name="v1", features=[stats])
made = FeatureView(name="made", entities=[driver], schema=FIELDS, source=stats_source)


@on_demand_feature_view(sources=[stats], schema=[Field(name="twice", dtype=Float64)])
def twice(inputs):
    return inputs


for name in ("a", "b"):
    FeatureView(name=name, entities=[driver], schema=[], source=stats_source)
"""


def repository(folder: Path, text: str = DEFINITIONS) -> Path:
    """A Feast repository."""
    place = folder / "feast"
    place.mkdir()
    (place / "feature_store.yaml").write_text("project: p\nregistry: r.db\nprovider: local\n")
    (place / "definitions.py").write_text(text)
    return place


def told(_: object) -> None:
    """Nobody listens."""


@pytest.mark.requirement("FEAT-01", by="holdfast.lifecycle.feast:import_feast")
def test_a_view_is_taken_in_and_the_rest_is_named_and_nothing_runs(tmp_path: Path) -> None:
    """Entity, source, times, types and time to live; the rest is left out in words."""
    place = repository(tmp_path)
    reply = import_feast(tmp_path, tell=told, folder=place, out=tmp_path / "views.toml")
    read = tomllib.loads((tmp_path / "views.toml").read_text())["features"]["views"]
    view = msgspec.convert(read["driver_hourly_stats"], FeatureView)
    compile_view("driver_hourly_stats", view)
    assert (view.entity, view.event_time, view.created, view.ttl) == (
        ("driver_id",), "event_timestamp", "created", "93600s",
    )  # fmt: skip
    assert view.columns["driver_id"] == "int"
    assert {name: each.type for name, each in view.features.items()} == {"conv_rate": "float", "trips": "int"}
    left = " ".join(f"{each['what']}: {each['why']}" for each in reply.document["left"])
    for what in ("vec", "PushSource", "FeatureService", "FeatureView made", "function twice", "a statement"):
        assert what in left
    with pytest.raises(Conflict):
        import_feast(tmp_path, tell=told, folder=place, out=tmp_path / "views.toml")


@pytest.mark.parametrize(
    "text", ["", "x = (", "\x00", "import os\nos.system('x')", DEFINITIONS.replace("driver_hourly", "1 /")]
)
def test_a_repository_of_which_nothing_can_be_read_is_one_error(tmp_path: Path, text: str) -> None:
    """Noise, an empty file and names that cannot be ones."""
    with pytest.raises(InvalidInput):
        import_feast(tmp_path, tell=told, folder=repository(tmp_path, text))


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    """It has no feature_store.yaml."""
    with pytest.raises(InvalidInput, match="no Feast repository"):
        import_feast(tmp_path, tell=told, folder=tmp_path)


VIEW = """
e = Entity(name="u", join_keys=["u"])
s = FileSource(path="a.parquet", timestamp_field="t")
v = FeatureView(name="v", entities=[e], source=s, schema=[Field(name="x", dtype=Float32)], {})
"""


@pytest.mark.parametrize(
    "ttl", ["timedelta(days=1e999)", f"timedelta(days={'9' * 400}, hours=0.5)", "timedelta(days=-1)"]
)
def test_a_time_to_live_beyond_all_bounds_is_left_out_with_the_reason(tmp_path: Path, ttl: str) -> None:
    """Never a traceback."""
    with pytest.raises(InvalidInput, match="time to live"):
        import_feast(tmp_path, tell=told, folder=repository(tmp_path, VIEW.format(f"ttl={ttl}")))


def test_words_of_a_stranger_stay_words_in_what_is_written(tmp_path: Path) -> None:
    """A name with line ends opens no table of the project file, and any character of a text is one that TOML takes."""
    strange = 'OnDemandFeatureView(name="x\\n[gates]\\npolicy=1")\nf = '
    described = 'description="\\U0001F600 \\x7f \\ud800"'
    reply = import_feast(
        tmp_path, tell=told, folder=repository(tmp_path, VIEW.format(described) + strange + "PushSource()")
    )
    read = tomllib.loads(reply.text)
    assert list(read) == ["features"]
    assert read["features"]["views"]["v"]["description"] == "\U0001f600 \x7f ?"
