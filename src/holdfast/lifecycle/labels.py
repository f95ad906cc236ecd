"""`holdfast labels`: labels by several people are compared, agreed on, and written with what is left to a person.

What the labels should be is decided in `ingest.annotators`. A consensus is written only into a folder that a person
names, whole or not at all, and is on record by the digests of what went in and came out.
"""

import io
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import InvalidInput
from holdfast.core.ledger import Draft
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted

if TYPE_CHECKING:
    from holdfast.ingest.annotators import Annotator, Labels, Pair, Settled

AGREED: Final = "labels.agreed"  # body: digests in and out, the report's, first names, counts; in the table's stream
SHOWN: Final = 20  # rows of each table for people; the document has all
LABELS, CONFLICTS, REPORT = "labels.csv", "conflicts.csv", "report.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """A table of labels, and what is known of its annotators."""

    digest: str
    labels: "Labels"
    alpha: float | None
    metric: str
    pairs: "Sequence[Pair]"
    standing: "Sequence[Annotator]"
    settled: "Settled"


def labels_agree(
    plant: Plant,
    *,
    file: Path,
    item: str = "item",
    annotator: str = "annotator",
    label: str = "label",
    labels: str | None = None,
    metric: str = "nominal",
) -> Reply:
    """Say how far annotators agree, and whose labels cannot be believed.

    Args:
        plant: The control plane.
        file: A CSV or Parquet table, one row a label.
        item: Its column of items.
        annotator: Its column of annotators.
        label: Its column of labels.
        labels: The labels that may be, by comma, in their order.
        metric: How far two labels are apart: nominal, ordinal or interval.

    Raises:
        InvalidInput: There is no such file or metric, or the order of labels is not known.
        InvalidData: The table cannot be read, or is no table of labels.
    """
    del plant  # only who may read the workspace may ask; nothing of it is read
    found = _compared(file, (item, annotator, label), labels, metric, 0.9)
    return Reply(says=_said(found), document=_document(found), tables=_tables(found))


def labels_consensus(  # noqa: PLR0913 - what a person may say about the table, by name
    plant: Plant,
    *,
    file: Path,
    out: Path,
    item: str = "item",
    annotator: str = "annotator",
    label: str = "label",
    labels: str | None = None,
    metric: str = "nominal",
    confidence: float = 0.9,
    adjudicated: Path | None = None,
) -> Reply:
    """Write what the labels should be, and the items that a person must decide.

    Args:
        plant: The control plane.
        file: A CSV or Parquet table, one row a label.
        out: The folder to make.
        item: The table's column of items.
        annotator: Its column of annotators.
        label: Its column of labels.
        labels: The labels that may be, by comma, in their order.
        metric: How far two labels are apart: nominal, ordinal or interval.
        confidence: The probability that a label needs in order to be settled.
        adjudicated: A table of items that a person decided: item, label, by.

    Raises:
        InvalidInput: There is no such file or metric, no such probability, or something where the folder would lie.
        InvalidData: A table cannot be read, or is no table of labels or decisions.
    """
    from holdfast.ingest.annotators import read_decisions

    if not 0.5 <= confidence < 1:  # noqa: PLR2004 - below a half two labels could both be settled
        raise InvalidInput(f"a confidence of {confidence:g}", place="--confidence", expected="at least 0.5, below 1")
    if out.exists():
        raise InvalidInput("there is something already where the labels would be written", place=str(out))
    found = _compared(file, (item, annotator, label), labels, metric, confidence)
    decided: Mapping[int, tuple[int, str]] = {}
    digests = {"input": found.digest}
    if adjudicated is not None:
        data, table = _table(adjudicated)
        flagged = [each.name for each in found.standing if each.flagged]
        decided, digests["adjudicated"] = read_decisions(table, found.labels, flagged), digest_bytes(data)
    contents = {LABELS: _settled(found, decided), CONFLICTS: _conflicts(found, decided)}
    counts = _counts(found, decided)
    report = {
        **_document(found),
        **counts,
        "confidence": confidence,
        "digests": digests | {name: digest_bytes(content) for name, content in contents.items()},
        "decided_by": _names(decided),
    }
    contents[REPORT] = msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"
    named = {"flagged": report["flagged"][:SHOWN], "decided_by": dict(list(report["decided_by"].items())[:SHOWN])}
    body = {
        **counts,
        **named,
        "left_out": len(found.settled.left_out),
        "digests": report["digests"],
        "report": plant.blobs.put(contents[REPORT]),  # all names are there; an entry has room for some
    }
    made = out.with_name(f".{out.name}.part")
    try:
        _write(made, contents)
        plant.ledger.append([Draft(kind=AGREED, actor=plant.person, stream=found.digest, body=body)])
        made.rename(os.fspath(out))
    finally:
        shutil.rmtree(made, ignore_errors=True)  # nothing half written stays
    says = (
        f"{_said(found)} {counted(counts['settled'], 'item is', 'items are')} settled in {out}/{LABELS}, "
        f"{counts['adjudicated']} of them by people; {counted(counts['conflicts'], 'conflict')} in {CONFLICTS}."
    )
    return Reply(says=says, document=report, tables=_tables(found))


def _table(path: Path) -> Any:
    from holdfast.ingest.vetting import MAX_BYTES, read_table

    data = read_given(path, limit=MAX_BYTES + 1, what="the table")
    return data, read_table(data, str(path))


def _compared(path: Path, columns: tuple[str, str, str], allowed: str | None, metric: str, bound: float) -> _Compared:
    from holdfast.ingest import annotators
    from holdfast.maths.agreement import METRICS

    chosen = next((each for each in METRICS if each == metric), None)
    if chosen is None:
        raise InvalidInput(f"there is no metric {metric[:40]!r}", place="--metric", expected=" or ".join(METRICS))
    named = [each.strip() for each in (allowed or "").split(",") if each.strip()]
    if chosen == "ordinal" and not named:
        raise InvalidInput("the order of the labels is not known", place="--labels", expected="labels, lowest first")
    data, table = _table(path)
    given = annotators.read_labels(table, columns, named)
    fitted = annotators.fit(given)
    standing = annotators.judged(given, fitted)
    return _Compared(
        digest=digest_bytes(data),
        labels=given,
        alpha=annotators.alpha(given, chosen),
        metric=chosen,
        pairs=annotators.pairs(given),
        standing=standing,
        settled=annotators.settle(given, fitted, standing, bound),
    )


def _settled(found: _Compared, decided: Mapping[int, tuple[int, str]]) -> bytes:
    """Return labels.csv: what is agreed on, and what a person decided."""
    settled, given = found.settled, found.labels
    rows = []
    for place, name in enumerate(given.items):
        if place in decided:
            rows.append((name, given.classes[decided[place][0]], "", decided[place][1]))
        elif settled.certain[place]:
            rows.append((name, given.classes[settled.best[place]], f"{settled.confidence[place]:.6f}", ""))
    return _csv(("item", "label", "confidence", "by"), rows)


def _conflicts(found: _Compared, decided: Mapping[int, tuple[int, str]]) -> bytes:
    """Return conflicts.csv: what a person must decide, with what everybody said."""
    settled, given = found.settled, found.labels
    open_ = [place for place, sure in enumerate(settled.certain) if not sure and place not in decided]
    said: dict[int, list[str]] = {place: [] for place in open_}
    for item, annotator, label in zip(given.item, given.annotator, given.label, strict=True):
        if int(item) in said:
            said[int(item)].append(f"{given.annotators[annotator]}={given.classes[label]}")
    rows = [
        (
            given.items[place],
            given.classes[settled.best[place]] if settled.best[place] >= 0 else "",
            f"{settled.confidence[place]:.6f}",
            "; ".join(said[place]),
        )
        for place in open_
    ]
    return _csv(("item", "likeliest", "confidence", "said"), rows)


def _csv(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    import polars as pl

    file = io.BytesIO()
    pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row").write_csv(file)
    return file.getvalue()


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise InvalidInput(f"the folder cannot be written: {error.strerror}", place=str(folder)) from error


def _counts(found: _Compared, decided: Mapping[int, tuple[int, str]]) -> dict[str, int]:
    certain = found.settled.certain
    conflicts = sum(not sure and place not in decided for place, sure in enumerate(certain))
    overruled = sum(certain[place] and int(found.settled.best[place]) != label for place, (label, _) in decided.items())
    settled = len(certain) - conflicts
    return {"settled": settled, "conflicts": conflicts, "adjudicated": len(decided), "overruled": overruled}


def _names(decided: Mapping[int, tuple[int, str]]) -> dict[str, int]:
    names = [by for _, by in decided.values()]
    return {name: names.count(name) for name in sorted(set(names))}


def _said(found: _Compared) -> str:
    given = found.labels
    flagged = [each.name for each in found.standing if each.flagged]
    agree = "cannot be told" if found.alpha is None else f"is {found.alpha:.3f}"
    says = (
        f"{counted(len(given.item), 'label')} of {counted(len(given.items), 'item')} by "
        f"{counted(len(given.annotators), 'annotator')}: Krippendorff's alpha ({found.metric}) {agree}."
    )
    if not flagged:
        return f"{says} Nobody is flagged."
    names = ", ".join(flagged[:SHOWN]) + (f" and {len(flagged) - SHOWN} more" if len(flagged) > SHOWN else "")
    says += f" Flagged: {names}."
    return says if found.settled.majority else f"{says} They are no minority, so nothing is settled."


def _document(found: _Compared) -> dict[str, Any]:
    return {
        "input": found.digest,
        "items": len(found.labels.items),
        "labels": len(found.labels.item),
        "classes": list(found.labels.classes),
        "metric": found.metric,
        "alpha": found.alpha,
        "annotators": [
            {
                "annotator": each.name,
                "labels": each.labels,
                "agreement": each.agreement.value,
                "low": each.agreement.low,
                "high": each.agreement.high,
                "chance": each.chance,
                "standing": each.standing,
            }
            for each in found.standing
        ],
        "pairs": [
            {"one": each.one, "other": each.other, "both": each.both, "kappa": each.kappa} for each in found.pairs
        ],
        "flagged": [each.name for each in found.standing if each.flagged],
        "left_out": list(found.settled.left_out),
    }


def _tables(found: _Compared) -> Sequence[Table]:
    worst = sorted(found.standing, key=lambda each: (not each.flagged, each.agreement.value - each.chance, each.name))
    rows = [
        (
            each.name,
            str(each.labels),
            f"{each.agreement.value:.2f} ({each.agreement.low:.2f} to {each.agreement.high:.2f})",
            f"{each.chance:.2f}",
            each.standing,
        )
        for each in worst[:SHOWN]
    ]
    columns = ("annotator", "labels", "agrees with the others", "by chance", "standing")
    tables = [Table(title="Annotators, the worst first", columns=columns, rows=rows)]
    if found.pairs:
        lines = [(each.one, each.other, str(each.both), f"{each.kappa:.2f}") for each in found.pairs[:SHOWN]]
        names = ("one", "other", "both labelled", "Cohen's kappa")
        tables.append(Table(title="Pairs, the lowest first", columns=names, rows=lines))
    return tables
