"""A project whose rows come from sources, for the tests of them."""

from pathlib import Path
from typing import Any

from holdfast import app
from holdfast.core.artifact import Kind
from holdfast.engines.dataset import from_parquet
from holdfast.lifecycle.inputs import take_in
from holdfast.lifecycle.plant import Plant

PROJECT = """
[project]
name = "till"
owner = "Ada Example"
[risk]
sensitivity = "internal"
exposure = "internal"
stakes = "business"
[data]
source = {source}
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
{sources}
"""


def made(folder: Path, sources: str, source: str = '"source:a"') -> Path:
    """A workspace with a project of these sources."""
    folder.mkdir(exist_ok=True)
    declare(folder, sources, source)
    (folder / "train.py").write_text("def train(data, params, seed):\n    return None\n", encoding="utf-8")
    app.init(folder)
    return folder


def declare(folder: Path, sources: str, source: str = '"source:a"') -> None:
    """Declare these sources instead."""
    text = PROJECT.format(sources=sources, source=source)
    (folder / "holdfast.toml").write_text(text, encoding="utf-8")


def rows_of(plant: Plant) -> list[dict[str, Any]]:
    """What a run would take in: every row, by its id."""
    _, held = take_in(plant)
    frame = from_parquet(plant.blobs.get(held[Kind.SOURCE].digest))
    return sorted(frame.to_dicts(), key=lambda row: str(row["id"]))


def said(plant: Plant, name: str = "a") -> list[str]:
    """The kinds of entries about a source, in order."""
    return [entry.kind for entry in plant.ledger.stream(f"source/{name}")]
