"""A shop's project: orders to learn from, and a view over clicks, some of which came to be known late."""

import csv
import math
import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from holdfast import app
from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.engines.dataset import from_parquet
from holdfast.lifecycle.features import register
from holdfast.lifecycle.plant import Plant

BEGIN = datetime(2026, 7, 1, tzinfo=UTC)
PROJECT = """
[project]
name = "shop"
owner = "Dana Data <dana@example.org>"

[risk]
sensitivity = "synthetic"
exposure = "internal"
stakes = "experimental"

[data]
source = "orders.csv"
format = "csv"
origin = "made for tests"
licence = "CC0-1.0"
timestamp_formats = ["%Y-%m-%dT%H:%M:%S%z"]

[data.columns]
order = { type = "string", use = "id" }
user = { type = "string", use = "ignored" }
at = { type = "timestamp", use = "time" }
price = { type = "float", minimum = 0, maximum = 200 }
label = { type = "category", use = "label", allowed = ["buy", "leave"] }

[features]
use = ["clicks.views_before", "clicks.amount_log", "clicks.lunch"]

[features.views.clicks]
owner = "Dana Data"
description = "What a visitor did before"
source = "clicks.csv"
entity = ["user"]
event_time = "at"
created = "seen"
zone = "Europe/Berlin"
fresh = "40000d"

[features.views.clicks.columns]
user = "string"
at = "timestamp"
seen = "timestamp"
amount = "float"

[features.views.clicks.features]
views_before = { code = "earlier_events()", type = "int", default = 0 }
amount_log = { code = "log1p(amount)", type = "float", default = 2.0 }
lunch = { code = "lunch_break(event_time)", type = "bool", default = 0 }
weekday = { code = "weekday(event_time)", type = "int" }

[train]
recipe = "train.py:train"
positive = "buy"

[serving.online]
missing = "degrade"
budget_ms = 500

[gates]
policy = "research"
"""
RECIPE = """
from sklearn.linear_model import LogisticRegression
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def train(data, params, seed):
    model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(random_state=seed))
    return model.fit(data.train.features, data.train.labels)
"""


TEXTS = (
    (
        "[features]\n",
        "[features.texts.message]\nbuckets = 16\nmost_characters = 200\n\n[serving.texts]\n\n[features]\n",
    ),
    ("price = {", 'message = { type = "string", use = "text" }\nprice = {'),
)
"""What makes of the project one whose model also reads what a visitor wrote."""
WORDS = ("send it today please my card is ready", "just looking around maybe another time thank you")


def write_shop(folder: Path, *, orders: int = 400, texts: bool = False) -> None:
    """Write the project, its recipe and its rows."""
    rng = random.Random(7)  # noqa: S311 - rows of a test
    project = PROJECT
    for old, new in TEXTS if texts else ():
        project = project.replace(old, new)
    (folder / "holdfast.toml").write_text(project, encoding="utf-8")
    (folder / "train.py").write_text(RECIPE, encoding="utf-8")
    clicks = [(f"u{rng.randrange(40)}", _minute(rng), rng.randrange(90), rng.lognormvariate(2, 1)) for _ in range(900)]
    _write(
        folder / "clicks.csv",
        ("user", "at", "seen", "amount"),
        [(who, _text(at), _text(at + late), f"{amount:.2f}") for who, at, late, amount in clicks],
    )
    rows = []
    for number in range(orders):
        user, at = f"u{rng.randrange(40)}", _minute(rng)
        seen = sum(1 for who, when, late, _ in clicks if who == user and when < at and when + late <= at)
        label = "buy" if seen + rng.gauss(0, 0.4) > 11 else "leave"
        row = (f"o{number}", user, _text(at), f"{rng.uniform(1, 100):.2f}")
        rows.append((*row, *(_written(rng, seen) if texts else (label,))))
    _write(folder / "orders.csv", ("order", "user", "at", "price", "label", "message")[: len(rows[0])], rows)


@contextmanager
def new_shop(folder: Path, *, texts: bool = False) -> Iterator[Plant]:
    """The control plane of a new shop whose view is registered, before any run."""
    write_shop(folder, texts=texts)
    app.init(folder)
    with app.open_plant(folder) as plant:
        register(plant, view="clicks", reason="for the shop")
        yield plant


@contextmanager
def copied(made: Path, tmp_path: Path) -> Iterator[Plant]:
    """The control plane of a copy of a shop that was made before."""
    folder = tmp_path / "shop"
    shutil.copytree(made, folder)
    with app.open_plant(folder) as plant:
        yield plant


def edit(plant: Plant, old: str, new: str) -> None:
    """Change the project file."""
    path = plant.home.project_file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def features_of(plant: Plant) -> tuple[Digest, pl.DataFrame]:
    """The newest table of features."""
    finished = [each for each in reversed(list(plant.ledger.entries())) if each.kind == "stage.finished"]
    made = (each for entry in finished for each in entry.body["artifacts"])
    digest = Digest(next(each["digest"] for each in made if each["kind"] == Kind.FEATURES))
    folder = parse_manifest(plant.blobs.get(digest))
    return digest, from_parquet(plant.blobs.get(Digest(folder.file("features.parquet").digest)))


def _written(rng: random.Random, seen: int) -> tuple[str, str]:
    """What a visitor does and has written: who wants something, or has looked often, buys."""
    wants = rng.random() < 0.5
    words = " ".join(rng.choice(WORDS[0 if wants else 1].split()) for _ in range(8))
    return "buy" if seen / 20 + wants + rng.gauss(0, 0.3) > 1.2 else "leave", words


def _minute(rng: random.Random) -> int:
    return math.floor(rng.uniform(0, 30 * 24 * 60))


def _text(minutes: int) -> str:
    return (BEGIN + timedelta(minutes=minutes)).isoformat()


def _write(path: Path, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
