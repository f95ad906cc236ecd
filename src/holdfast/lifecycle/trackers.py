"""Records of trackers, read only: an MLflow folder (`mlruns`, its registry, its models), or any folder of model files.

What is read are small texts, within limits, by a strict reader; what it cannot read is listed as unread. Nothing in the
folder is changed, and no link is followed.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.core.errors import InvalidInput
from holdfast.engines.plain_yaml import Value, read_yaml
from holdfast.release.foreign.lineage import Claims

MLMODEL: Final = "MLmodel"
META: Final = "meta.yaml"
MAX_RECORD: Final = 1 << 20  # bytes of one record
MAX_MODELS: Final = 1000  # of one folder
MAX_ENTRIES: Final = 200_000  # files and folders that are looked at
MAX_NAMES: Final = 40  # names of parameters or metrics that are listed
SUFFIXES: Final = frozenset(
    {
        ".pkl",
        ".pickle",
        ".joblib",
        ".onnx",
        ".safetensors",
        ".pt",
        ".pth",
        ".ckpt",
        ".h5",
        ".keras",
        ".gguf",
        ".ubj",
        ".bst",
        ".cbm",
        ".tflite",
        ".pmml",
    }
)
"""Names by which a model file without any record is taken for one; what it is, the scan says by its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One model that lies in the folder: where, what it is called, and what is claimed of it."""

    path: Path
    name: str
    claims: Claims


def models_in(root: Path) -> tuple[Found, ...]:
    """Return every model below a folder, those of MLflow first.

    Raises:
        InvalidInput: There are too many files or models to look at.
    """
    files = list(_walk(root))
    homes = sorted(file.parent for file in files if file.name == MLMODEL)
    names = _registered([file for file in files if file.name == META])
    found = [_of_mlflow(home, root, names) for home in homes]
    loose = [
        file
        for file in files
        if file.suffix.lower() in SUFFIXES and not any(file.is_relative_to(home) for home in homes)
    ]
    found += [
        Found(path=file, name=file.relative_to(root).as_posix(), claims=Claims(tracker="none", answers={}))
        for file in sorted(loose)
    ]
    if len(found) > MAX_MODELS:
        raise InvalidInput(f"{len(found)} models", place=str(root), expected=f"at most {MAX_MODELS} at a time")
    return tuple(found)


def _walk(root: Path) -> Iterator[Path]:
    count = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not (Path(folder) / name).is_symlink())
        count += len(folders) + len(names)
        if count > MAX_ENTRIES:
            raise InvalidInput("the folder holds too much", place=str(root), expected=f"at most {MAX_ENTRIES} entries")
        for name in sorted(names):
            file = Path(folder) / name
            if file.is_file() and not file.is_symlink():
                yield file


def _text(path: Path) -> str | None:
    """Return a small text, None where there is none that can be read."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_RECORD:
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _record(path: Path, unread: list[str]) -> Mapping[str, Value]:
    text = _text(path)
    try:
        return read_yaml(text) if text is not None else {}
    except InvalidInput as error:
        unread.append(f"{path.name}: {error.message}")
        return {}


def _said(record: Mapping[str, Value], key: str) -> str:
    value = record.get(key, "")
    return value if isinstance(value, str) and value not in {"null", "~", "None"} else ""


def _registered(metas: list[Path]) -> dict[str, str]:
    """Return registered names and versions by run: `models/NAME/version-N/meta.yaml`."""
    names: dict[str, str] = {}
    for meta in metas:
        if meta.parent.name.startswith("version-"):
            record = _record(meta, [])
            stage = _said(record, "current_stage")
            words = f"{_said(record, 'name') or meta.parent.parent.name} v{_said(record, 'version')}"
            names[_said(record, "run_id")] = f"{words} ({stage})" if stage not in {"", "None"} else words
    return names


def _of_mlflow(home: Path, root: Path, names: Mapping[str, str]) -> Found:
    unread: list[str] = []
    model = _record(home / MLMODEL, unread)
    run_id = _said(model, "run_id")
    run = next((each for each in home.parents if run_id and each.name == run_id and each.is_relative_to(root)), None)
    answers = {
        "created": _said(model, "utc_time_created"),
        "inputs": "a signature is kept in MLmodel" if model.get("signature") else "",
        "environment": _environment(home),
        "licence": _first(home, ("LICENSE", "LICENCE", "LICENSE.txt", "LICENSE.md")),
    }
    if run is not None:
        tags = run / "tags"
        commit, source = _text(tags / "mlflow.source.git.commit"), _text(tags / "mlflow.source.name")
        answers |= {
            "author": (_text(tags / "mlflow.user") or "").strip() or _said(_record(run / META, unread), "user_id"),
            "code": f"{source or 'a file'} at commit {commit}" if commit else "",
            "parameters": _listed(run / "params"),
            "metrics": _listed(run / "metrics"),
            "rows": _listed(run / "inputs"),
        }
    name = names.get(run_id, "") if run_id else ""
    claims = Claims(tracker="mlflow", answers=answers, unread=tuple(unread))
    return Found(path=home, name=name or home.relative_to(root).as_posix() or home.name, claims=claims)


def _environment(home: Path) -> str:
    return _first(home, ("requirements.txt", "conda.yaml", "python_env.yaml"))


def _first(home: Path, names: tuple[str, ...]) -> str:
    there = [name for name in names if _text(home / name)]
    return f"said in {', '.join(there)}" if there else ""


def _listed(folder: Path) -> str:
    """Return the names in a folder of records, in words; empty where there are none."""
    if folder.is_symlink() or not folder.is_dir():
        return ""
    names = sorted(each.name for each in folder.iterdir())
    return ", ".join(names[:MAX_NAMES])
