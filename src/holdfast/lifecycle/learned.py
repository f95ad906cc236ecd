"""Questions about rows: which models learned from one, and what an erasure request touches.

A model knows a row by its split: what was on the train side it learned from, by the validation side it was tuned, the
test side it was only measured on. Keys of persons are looked up and never kept.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from holdfast.core.artifact import Kind
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.passport import RECORDED
from holdfast.core.project import Project
from holdfast.core.schema import Use
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import ROUTED, standing
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.row_index import load

SEPARATOR: Final = "\x1f"  # joins the parts of a key of several columns, as the table of features does
MAX_REQUEST: Final = 64 << 20  # bytes; a request that names millions of persons is no request
LEARNED: Final = "train"
_WORDS: Final = {"train": "learned from it", "validation": "was tuned on it", "test": "was measured on it"}
_MADE_OF: Final = frozenset({Kind.MODEL, Kind.BASELINE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Descent:
    """What derives from splits, as the ledger has it."""

    models: Mapping[str, tuple[tuple[str, Kind], ...]]  # split to models and baselines
    releases: Mapping[str, tuple[str, ...]]  # model to releases
    answering: frozenset[str]  # releases that answer now
    answered: frozenset[str]  # releases that ever did

    def place_of(self, release: str) -> str:
        """Say where a release stands."""
        if release in self.answering:
            return "answers now"
        return "answered once" if release in self.answered else "never answered"


def data_learned(plant: Plant, *, key: str, rebuild: bool = False) -> Reply:
    """Say which models learned from a row, which were tuned or measured on it, and which releases of them answer.

    Raises:
        InvalidInput: A key has not as many parts as the project has id columns.
        NotVerified: The index, made anew, says something else than what is stored.
    """
    project = current_project(plant)
    index, gone = load(plant, anew=rebuild)
    descent = descent_of(plant, project)
    sides = dict(index.sides_of(_key(project, key)))
    models: list[dict[str, Any]] = [
        {"model": model, "kind": kind.value, "side": side, "releases": list(descent.releases.get(model, ()))}
        for split, side in sides.items()
        for model, kind in descent.models.get(split, ())
    ]
    learned = [each for each in models if each["side"] == LEARNED]
    rows = [
        (short(each["model"]), each["kind"], _WORDS[each["side"]], _places(descent, each["releases"]))
        for each in models
    ]
    lost = counted(len(gone), "split was", "splits were")
    erased = f" {lost} erased: of its models nothing can be said." if gone else ""
    saw = counted(len(models), "model")
    says = f"{counted(len(learned), 'model')} learned from this row, of {saw} that saw it.{erased}"
    if not models:
        says = f"No model on record saw this row.{erased}"
    document = {"models": models, "learned": len(learned), "erased_splits": list(gone)}
    table = Table(title="Models", columns=("model", "kind", "it", "releases"), rows=rows)
    return Reply(says=says, document=document, tables=(table,) if rows else ())


def _places(descent: Descent, releases: Sequence[str]) -> str:
    return ", ".join(f"{short(each)} ({descent.place_of(each)})" for each in releases) or "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """What a request to erase rows touches."""

    keys: int
    known: int  # of the keys, those that some table on record has
    models: tuple[dict[str, Any], ...]
    releases: tuple[str, ...]  # made of models that learned from some of the rows, or were tuned on them
    answering: tuple[str, ...]
    gone: tuple[str, ...]


def data_affected(plant: Plant, *, request: Path) -> Reply:
    """Say which rows, models and releases a request to erase touches; nothing is changed.

    Raises:
        InvalidInput: The request cannot be read, or names nobody.
    """
    project = current_project(plant)
    found = affected(plant, project, keys_in(project, request))
    rows = [
        (short(each["model"]), each["kind"], *(str(each[side]) for side in ("train", "validation", "test")))
        for each in found.models
    ]
    columns = ("model", "kind", "learned from", "tuned on", "measured on")
    return Reply(
        says=words_of(found),
        document=document_of(found),
        tables=(Table(title="Models", columns=columns, rows=rows),) if rows else (),
    )


def words_of(found: Affected) -> str:
    """Return in a sentence or two what a request touches."""
    must = [each for each in found.models if each["retrain"] and each["kind"] == Kind.MODEL]
    says = f"{found.known} of {counted(found.keys, 'row')} that the request names were seen by a model on record. "
    says += f"{counted(len(must), 'model')} must be retrained" if must else "No model must be retrained"
    says += f"; {counted(len(found.answering), 'release')} of them answers now." if found.answering else "."
    if found.gone:
        says += f" {counted(len(found.gone), 'split was', 'splits were')} erased: nothing can be said of these."
    return says


def document_of(found: Affected) -> dict[str, Any]:
    """Return the same as a document."""
    return {
        "keys": found.keys,
        "known": found.known,
        "models": list(found.models),
        "releases": list(found.releases),
        "answering": list(found.answering),
        "erased_splits": list(found.gone),
    }


def affected(plant: Plant, project: Project, keys: Sequence[str]) -> Affected:
    """Return what the rows of these keys touch."""
    index, gone = load(plant)
    descent = descent_of(plant, project)
    splits, counts = index.touched(keys)
    models: list[dict[str, Any]] = [
        {
            "model": model,
            "kind": kind.value,
            "train": train,
            "validation": validation,
            "test": test,
            "retrain": bool(train or validation),
        }
        for split, (train, validation, test) in zip(splits, counts.tolist(), strict=True)
        for model, kind in descent.models.get(split, ())
    ]
    made = {release for each in models if each["retrain"] for release in descent.releases.get(each["model"], ())}
    return Affected(
        keys=len(keys),
        known=index.known(keys),
        models=tuple(models),
        releases=tuple(sorted(made)),
        answering=tuple(sorted(made & descent.answering)),
        gone=gone,
    )


def descent_of(plant: Plant, project: Project) -> Descent:
    """Return which models were made of which splits, which releases of which models, and which of these answer."""
    models: dict[str, dict[str, Kind]] = defaultdict(dict)
    releases: dict[str, dict[str, None]] = defaultdict(dict)
    answered: set[str] = set()
    for entry in plant.ledger.entries():
        if entry.kind == ROUTED:
            answered |= {entry.body.get("baseline", ""), entry.body.get("candidate", "")}
        if entry.kind != RECORDED:
            continue
        for parent in entry.body["parents"]:
            if entry.body["kind"] in _MADE_OF and parent["kind"] == Kind.SPLIT:
                models[parent["digest"]][entry.stream] = Kind(entry.body["kind"])
            if entry.body["kind"] == Kind.RELEASE and parent["kind"] == Kind.MODEL:
                releases[parent["digest"]][entry.stream] = None
    return Descent(
        models={split: tuple(made.items()) for split, made in models.items()},
        releases={model: tuple(made) for model, made in releases.items()},
        answering=frozenset(standing(plant, project).releases),
        answered=frozenset(answered - {""}),
    )


def keys_in(project: Project, request: Path) -> list[str]:
    """Return the keys that a request names: a line each, or a CSV file with the columns that are ids.

    Raises:
        InvalidInput: It cannot be read, or names nobody.
    """
    data = read_given(request, limit=MAX_REQUEST + 1, what="the request")
    if len(data) > MAX_REQUEST:
        raise InvalidInput("the request is too long", place=str(request), expected=f"at most {MAX_REQUEST} bytes")
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"the request cannot be read: {error}", place=str(request), expected="UTF-8 text") from error
    ids = project.columns_of(Use.ID) or ("row",)
    header = [name.strip() for name in lines[0]] if lines else []
    named = set(ids) <= set(header)
    where = [header.index(name) for name in ids] if named else list(range(len(ids)))
    wanted = [line for line in lines[named:] if any(cell.strip() for cell in line)]
    short_line = next((n for n, line in enumerate(wanted, start=1) if len(line) <= max(where)), None)
    if short_line is not None or not wanted:
        words = f"row {short_line} of the request has too few columns" if wanted else "the request names nobody"
        raise InvalidInput(words, place=str(request), expected=f"a line for each row: {', '.join(ids)}")
    return list(dict.fromkeys(SEPARATOR.join(line[column].strip() for column in where) for line in wanted))


def _key(project: Project, text: str) -> str:
    """Return a key as the table of features has it; the parts of one of several columns have commas between."""
    ids = project.columns_of(Use.ID)
    if len(ids) < 2:  # noqa: PLR2004 - a key of one column may hold commas
        return text
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != len(ids):
        raise InvalidInput(f"a key of {counted(len(parts), 'part')}", expected=f"one for each of {', '.join(ids)}")
    return SEPARATOR.join(parts)


def check_asked(found: Affected) -> None:
    """Refuse a request about rows that nobody here ever saw: it may be about another data set.

    Raises:
        NotFound: None of its rows is known.
    """
    if not found.known:
        raise NotFound("no row of the request is known here", expected="keys as the id columns have them")
