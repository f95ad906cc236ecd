"""Sprawl: other registries, and model files that stand beside the registry, in a tree of folders."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.core.artifact import Digest

WORKSPACE: Final = ".holdfast"
CARD: Final = "workspace.json"
FOREIGN: Final = frozenset({"mlruns", "mlartifacts"})  # the folders in which another common registry keeps its models
MODELS: Final = frozenset(
    {".onnx", ".pkl", ".pickle", ".joblib", ".safetensors", ".pt", ".pth", ".h5", ".keras", ".gguf", ".pb", ".tflite"}
)
"""Endings of files that hold a trained model."""
SKIPPED: Final = frozenset({".git", ".venv", "node_modules", "__pycache__"})
MAX_FILES: Final = 1_000_000  # of one tree; more is a file server, not a project
BUFFER: Final = 1 << 20  # bytes read at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """A model file, wherever it came from."""

    path: str
    digest: Digest
    size: int


def workspaces_in(tree: Path) -> Iterator[Path]:
    """Yield every workspace of ours, and every folder of another registry, in a tree; links are not followed."""
    for folder, names, _ in os.walk(tree):
        here = Path(folder)
        if WORKSPACE in names and (here / WORKSPACE / CARD).is_file():
            yield here / WORKSPACE
        yield from (here / name for name in names if name in FOREIGN)
        names[:] = [name for name in names if name not in {WORKSPACE, *SKIPPED, *FOREIGN}]


def models_in(tree: Path) -> Iterator[Stray]:
    """Yield every file in a tree whose name says that it holds a model; what lies in a workspace is left out."""
    seen = 0
    for folder, names, files in os.walk(tree):
        names[:] = sorted(name for name in names if name not in {WORKSPACE, *SKIPPED})
        for name in sorted(files):
            seen += 1
            if seen > MAX_FILES:
                return
            path = Path(folder) / name
            if path.suffix.lower() in MODELS and path.is_file() and not path.is_symlink():
                digest, size = _digest(path)
                yield Stray(path=str(path.relative_to(tree)), digest=digest, size=size)


def _digest(path: Path) -> tuple[Digest, int]:
    hashed, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(BUFFER):
            hashed.update(chunk)
            size += len(chunk)
    return Digest("sha256:" + hashed.hexdigest()), size
