"""Point-in-time joins beside Polars' own as-of join and Feast's; look-ups of one entity with their record of access.

    python bench/bench_features.py [--events 1000000] [--asks 200000]
    .venv-data/bin/python bench/bench_features.py --peer      # Feast's offline join over the same rows

CPU time, interleaved; the median of ratios, and their spread. Events come to be known late, which `join_asof` over
event time alone cannot respect: it is the lower bound of what such a join costs, and answers otherwise. Feast's is run
in an environment of its own (`scripts/venv .venv-data locks/peers-data.txt`), over the very Parquet files.
"""

import argparse
import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 5
LOOKUPS = 5_000


def made(events: int, asks: int) -> dict[str, dict[str, Any]]:
    """Return events and asking rows as columns: 20,000 entities, a tenth of the events known late."""
    rng = np.random.default_rng(7)
    span = 90 * 86_400 * 1_000_000
    at = rng.integers(0, span, events)
    late = np.where(rng.random(events) < 0.1, rng.integers(0, 86_400 * 1_000_000, events), 0)
    values = {f"x{number}": rng.normal(size=events) for number in range(5)}
    return {
        "events": {"user": rng.integers(0, 20_000, events), "at": at, "seen": at + late, **values},
        "asks": {"user": rng.integers(0, 20_000, asks), "t": rng.integers(0, span, asks)},
    }


def timed(run: Callable[[], object]) -> float:
    """Return the CPU seconds of all threads that a run takes."""
    began = time.process_time()
    run()
    return time.process_time() - began


def ours(events: int, asks: int) -> None:
    """Compare our join with `join_asof`, and time look-ups."""
    import polars as pl

    from holdfast.core.feature import FeatureCode, FeatureView
    from holdfast.engines.as_of_views import as_of
    from holdfast.engines.events import CREATED, EVENT, Events, compile_view, computed

    columns = made(events, asks)
    view = FeatureView(
        owner="bench",
        description="bench",
        source="bench",
        entity=("user",),
        event_time="at",
        created="seen",
        columns={"user": "int", "at": "timestamp", "seen": "timestamp", **{f"x{n}": "float" for n in range(5)}},
        features={f"x{n}": FeatureCode(code=f"x{n}", type="float") for n in range(5)},
    )
    compiled = compile_view("v", view)
    source = computed(compiled, pl.DataFrame(columns["events"]))
    asked = pl.DataFrame(columns["asks"])
    data = Events(compiled=compiled, rows=source)

    def plain() -> pl.DataFrame:
        right = source.sort(EVENT)
        left = asked.with_row_index("i").sort("t")
        found = left.join_asof(right, left_on="t", right_on=EVENT, by="user", check_sortedness=False)
        return found.sort("i").drop("i")

    ratios = [timed(lambda: as_of(data, asked, "t")) / timed(plain) for _ in range(ROUNDS)]
    known = source.with_columns(pl.lit(0, dtype=pl.Int64).alias("_")).filter(pl.col(CREATED) > pl.col(EVENT)).height
    print(f"polars {pl.__version__}; {events} events, {known} of them known late, {asks} asking rows, five features")
    print(f"ours / join_asof on event time, sorts and order included, CPU: {shown(ratios)}")
    mine, theirs = as_of(data, asked, "t"), plain()
    other = (mine.get_column("v.x0").fill_null(0) != theirs.get_column("v.x0").fill_null(0)).sum()
    print(f"answers of join_asof that nobody could have known then: {other} of {asks}")


def looked_up() -> None:
    """Time look-ups of one entity, with decryption, request features and the count of reads."""
    import polars as pl

    from holdfast.adapters.online_redis import RedisFeatures
    from holdfast.adapters.online_sqlite import SqliteFeatures
    from holdfast.core.feature import FeatureCode, FeatureView
    from holdfast.engines.events import Events, compile_view, computed
    from holdfast.engines.online import (
        Meta,
        Vault,
        encode_meta,
        encode_record,
        look_up,
        lookup_of,
        meta_place,
        prefix_of,
    )
    from holdfast.engines.records import records_of

    view = FeatureView(
        owner="bench",
        description="bench",
        source="bench",
        entity=("user",),
        event_time="at",
        columns={"user": "int", "at": "timestamp", **{f"x{n}": "float" for n in range(5)}},
        features={f"x{n}": FeatureCode(code=f"x{n}", type="float") for n in range(5)}
        | {
            "views": FeatureCode(code="earlier_events()", type="int"),
            "lunch": FeatureCode(code="lunch_break(event_time)", type="bool"),
        },
    )
    columns = made(200_000, 1)["events"]
    compiled = compile_view("v", view)
    typed = pl.DataFrame({name: columns[name] for name in view.columns})
    events = Events(compiled=compiled, rows=computed(compiled, typed))
    vault, version, rng = Vault.of(bytes(32)), view.digest, np.random.default_rng(1)
    items = {}
    for entity, record in records_of(events, 0):
        place = vault.place("v", version, entity)
        items[place] = vault.seal(place, encode_record(record), rng.bytes(12))
    place = meta_place(vault, "v", version)
    meta = Meta(view="v", version=version, source="", written=0, newest=0, entities=len(items), events=200_000)
    items[place] = vault.seal(place, encode_meta(meta), rng.bytes(12))
    wanted, moment = lookup_of("v", view, tuple(view.features)), 100 * 86_400 * 1_000_000
    names = [f"v.{name}" for name in view.features]
    with tempfile.TemporaryDirectory() as folder:
        stores: dict[str, Any] = {"SQLite": SqliteFeatures(path=Path(folder) / "online", writes=True)}
        url = next((each.partition("=")[2] for each in sys.argv if each.startswith("--redis=")), "")
        if url:
            stores["Redis"] = RedisFeatures(url=url, prefix="bench", timeout_s=5.0)
        for name, store in stores.items():
            store.replace(prefix_of("v", version), items)
            reads: dict[str, int] = {}
            took = []
            for number in rng.integers(0, 20_000, LOOKUPS):
                began = time.perf_counter()
                look_up(store, vault, wanted, str(number), moment)
                for each in names:
                    reads[each] = reads.get(each, 0) + 1
                took.append((time.perf_counter() - began) * 1000)
            p50, p99 = np.quantile(took, [0.5, 0.99])
            print(f"{name}: 7 features of one of {len(items)} entities, p50 {p50:.3f} ms, p99 {p99:.3f} ms")
            store.close()


def peer(events: int, asks: int) -> None:
    """Time Feast's offline join of the same rows, with the file source and Dask engine that it comes with."""
    from datetime import timedelta

    feast, pd = importlib.import_module("feast"), importlib.import_module("pandas")
    types, values = importlib.import_module("feast.types"), importlib.import_module("feast.value_type")

    columns = made(events, asks)
    with tempfile.TemporaryDirectory() as folder:
        frame = pd.DataFrame(columns["events"])
        for name in ("at", "seen"):
            frame[name] = pd.to_datetime(frame[name], unit="us", utc=True)
        frame.to_parquet(f"{folder}/events.parquet")
        registry = f"{folder}/r.db"
        config = feast.RepoConfig(
            project="bench",
            provider="local",
            registry=registry,
            entity_key_serialization_version=3,
            online_store={"type": "sqlite", "path": f"{folder}/online.db"},
        )
        store = feast.FeatureStore(config=config)
        user = feast.Entity(name="user", join_keys=["user"], value_type=values.ValueType.INT64)
        source = feast.FileSource(
            path=f"{folder}/events.parquet", timestamp_field="at", created_timestamp_column="seen"
        )
        fields = [feast.Field(name=f"x{number}", dtype=types.Float64) for number in range(5)]
        view = feast.FeatureView(name="v", entities=[user], ttl=timedelta(days=3650), source=source,
                           schema=[*fields, feast.Field(name="user", dtype=types.Int64)])  # fmt: skip
        store.apply([user, view])
        asked = pd.DataFrame({"user": columns["asks"]["user"]})
        asked["event_timestamp"] = pd.to_datetime(columns["asks"]["t"], unit="us", utc=True)
        began = time.process_time()
        wanted = [f"v:x{number}" for number in range(5)]
        found = store.get_historical_features(entity_df=asked, features=wanted).to_df()
        seconds = time.process_time() - began
        print(f"feast {feast.__version__}, pandas {pd.__version__}")
        print(f"{events} events, {asks} asking rows: {seconds:.1f} CPU s, {len(found)} rows out")


def shown(ratios: list[float]) -> str:
    """Return the median of ratios and their spread."""
    return f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"


if __name__ == "__main__":
    given = argparse.ArgumentParser()
    given.add_argument("--events", type=int, default=1_000_000)
    given.add_argument("--asks", type=int, default=200_000)
    given.add_argument("--redis", default="")
    given.add_argument("--peer", action="store_true")
    options = given.parse_args()
    if options.peer:
        peer(options.events, options.asks)
    else:
        ours(options.events, options.asks)
        looked_up()
