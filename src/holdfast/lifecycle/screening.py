"""`holdfast data screen`: rows of a file or a stored data set held against the screens, and parted if somebody says so.

It changes nothing by itself: suspects are named with what speaks against them, and rows are written apart, all of them,
only into a folder that a person names.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast.core.artifact import Kind
from holdfast.core.errors import InvalidInput
from holdfast.core.ledger import Draft
from holdfast.core.schema import Use
from holdfast.engines.dataset import open_dataset
from holdfast.lifecycle.erasure import find_recorded
from holdfast.lifecycle.inputs import check_reason, read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted
from holdfast.lifecycle.trail import READ

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from holdfast.engines.screens.screening import Screened
    from holdfast.engines.screens.shifts import Group, Jump
    from holdfast.ingest.screening import Table as Rows

SHOWN: Final = 20  # suspects in the table for people; the document has all
KEPT, SUSPECTS = "kept.csv", "suspects.csv"


def data_screen(  # noqa: PLR0913 - what a person may say about the rows, by name
    plant: Plant,
    *,
    data: str,
    label: str | None = None,
    columns: str | None = None,
    history: Path | None = None,
    reference: Path | None = None,
    by: str | None = None,
    alarms: float = 0.01,
    out: Path | None = None,
    reason: str = "",
) -> Reply:
    """Look for poisoned rows; that a stored data set was read for it is on record before a row is.

    Args:
        plant: The control plane.
        data: A CSV or Parquet file, or the beginning of the digest of a data set of this workspace.
        label: The column of labels; that of the data set's own schema if left out.
        columns: What the screens may see, by comma; every column that says something if left out.
        history: Earlier rows, to see which columns are distributed otherwise now.
        reference: Rows known to be honest: the alarms are then counted on them.
        by: The column that names each row's source or annotator.
        alarms: Share of honest rows that may be called suspect.
        out: A folder to make, with the rows parted into those kept and those suspect.
        reason: Why, on record; needed where the rows of a stored data set are written there.

    Raises:
        InvalidInput: There is no label, a share that is none, no reason, or something where the folder would lie.
        InvalidData: The rows cannot be read or screened.
        NotFound: There is no such file or data set.
    """
    from holdfast.ingest import screening

    if not 0 < alarms <= 0.2:  # noqa: PLR2004 - beyond a fifth nothing would be said
        raise InvalidInput(f"alarms of {alarms:g}", place="--alarms", expected="a share above 0 and at most 0.2")
    if out is not None and out.exists():
        raise InvalidInput("there is something already where the rows would be written", place=str(out))
    purpose = "screen" if out is None else "screen, its rows written to files"
    rows, wanted, seen = rows_of(plant, data, label, purpose, reason=None if out is None else reason)
    chosen = [name.strip() for name in columns.split(",")] if columns else [each for each in seen if each != by]
    unknown = [name for name in (*chosen, *([by] if by else [])) if name not in rows.columns]
    if unknown:
        raise InvalidInput(f"there is no column {unknown[0][:80]!r}", expected=", ".join(rows.columns)[:300])
    honest = None if reference is None else _table(reference)
    table = screening.tabulate(_with(rows, honest), wanted, chosen)
    trusted = table.kept >= len(rows)
    found = screening.screened(table, alarms=alarms, trusted=trusted if honest is not None else None)
    moved = _jumps(history, wanted, chosen, table, trusted)
    groups = _groups(rows, by, table, found, trusted)
    suspects = [row for row in found.suspects.tolist() if not trusted[row]]
    if out is not None:
        _part(out, rows, table, found, suspects)
    return _reply(rows, table, found, suspects, (moved, groups), out)


def rows_of(
    plant: Plant, data: str, label: str | None, purpose: str, *, reason: str | None = None
) -> "tuple[pl.DataFrame, str, list[str]]":
    """Return the rows, the label's column, and the columns that may be looked at; what is stored is read on record."""
    path = Path(data)
    if path.suffix.lower() in {".csv", ".parquet"} or path.is_file():
        if not label:
            raise InvalidInput("a file does not say which column is the label", place="--label", expected="its name")
        rows = _table(path)
        return rows, label, rows.columns
    artifact = find_recorded(plant, data, (Kind.DATASET,))
    if reason is not None:  # rows that leave the vault in the clear leave it for a reason
        check_reason(reason)
    body = {"commit": "", "dataset": artifact.digest, "purpose": purpose, "reason": reason or ""}
    plant.ledger.append([Draft(kind=READ, actor=plant.actor, stream=artifact.digest, body=body)])
    dataset = open_dataset(plant.blobs, artifact)
    own = dataset.schema.of(Use.LABEL)
    return dataset.rows, label or own[0], [*dataset.schema.of(Use.FEATURE), *dataset.schema.of(Use.TEXT)]


def _table(path: Path) -> "pl.DataFrame":
    from holdfast.ingest.vetting import MAX_BYTES, read_table

    return read_table(read_given(path, limit=MAX_BYTES + 1, what="the file of rows"), str(path))


def _with(rows: "pl.DataFrame", honest: "pl.DataFrame | None") -> "pl.DataFrame":
    """Return the rows, those known to be honest after them."""
    import polars as pl

    if honest is None:
        return rows
    missing = [name for name in rows.columns if name not in honest.columns]
    filled = honest.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in missing)
    return pl.concat([rows.cast(pl.String), filled.select(rows.columns).cast(pl.String)])


def _jumps(
    history: Path | None, label: str, chosen: list[str], table: "Rows", trusted: "np.ndarray"
) -> "tuple[Jump, ...]":
    import numpy as np

    from holdfast.engines.screens.shifts import jumps
    from holdfast.ingest.screening import tabulate

    if history is None:
        return ()
    earlier = tabulate(_table(history), label, chosen)
    now = {name: values[~trusted] for name, values in table.columns.items() if name not in table.texts}
    before = {name: values[:] for name, values in earlier.columns.items() if name not in earlier.texts}
    now[label] = np.array(table.classes)[table.labels[~trusted]]
    before[label] = np.array(earlier.classes)[earlier.labels]
    return jumps(before, now)


def _groups(
    rows: "pl.DataFrame", by: str | None, table: "Rows", found: "Screened", trusted: "np.ndarray"
) -> "tuple[Group, ...]":
    import numpy as np
    import polars as pl

    from holdfast.engines.screens.shifts import by_group

    if by is None or found.details is None:
        return ()
    names = rows[by].cast(pl.String).fill_null("").to_numpy().astype(np.str_)[table.kept[~trusted]]
    return by_group(found.details.believed[~trusted], table.labels[~trusted], names)


def _part(out: Path, rows: "pl.DataFrame", table: "Rows", found: "Screened", suspects: list[int]) -> None:
    """Write every row into one of two files; the folder appears whole or not at all."""
    import numpy as np
    import polars as pl

    bad = np.zeros(len(rows), dtype=np.bool_)
    places = table.kept[suspects]
    bad[places] = True
    why = pl.DataFrame(
        {"screen": [found.by(row) for row in suspects], "honest_share": [found.share[row] for row in suspects]}
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as made:  # for its owner alone
        parted = Path(made, "rows")
        parted.mkdir(mode=0o700)
        rows.filter(pl.Series(~bad)).write_csv(parted / KEPT)
        rows[places.tolist()].hstack(why).write_csv(parted / SUSPECTS)
        parted.rename(out)


def _reply(
    rows: "pl.DataFrame",
    table: "Rows",
    found: "Screened",
    suspects: list[int],
    further: "tuple[tuple[Jump, ...], tuple[Group, ...]]",
    out: Path | None,
) -> Reply:
    moved, groups = further
    listed = [_suspect(table, found, row) for row in suspects]
    far = [each for each in moved if each.far]
    odd = [each for each in groups if each.far]
    says = (
        f"{counted(len(suspects), 'row')} of {len(rows)} "
        f"{'is' if len(suspects) == 1 else 'are'} suspect; of honest rows at most {found.alarms:.1%} would be. "
        f"{counted(len(found.triggers), 'trigger')}."
    )
    says += f" {counted(len(far), 'column is', 'columns are')} unlike earlier rows." if moved else ""
    says += f" {counted(len(odd), 'source is', 'sources are')} unlike the others." if groups else ""
    says += f" Parted into {out}/{KEPT} and {SUSPECTS}." if out is not None else ""
    document = {"rows": len(rows), **_document(table, found, listed, moved, groups)}
    return Reply(says=says, document=document, tables=_tables(table, found, listed, far, odd))


def _document(
    table: "Rows",
    found: "Screened",
    listed: list[dict[str, Any]],
    moved: "tuple[Jump, ...]",
    groups: "tuple[Group, ...]",
) -> dict[str, Any]:
    from holdfast.ingest.screening import measures

    return {
        "measures": {each.name: each.value for each in measures(table, found)},
        "suspects": listed,
        "triggers": [
            {
                "facts": list(each.facts),
                "label": table.classes[each.label],
                "rows": (table.kept[each.rows] + 1).tolist(),
                "purity": each.purity,
                "expected": each.expected,
            }
            for each in found.triggers
        ],
        "jumps": [
            {"column": each.column, "psi": each.distance, "limit": each.limit, "far": each.far} for each in moved
        ],
        "groups": [
            {
                "group": each.name,
                "label": table.classes[each.label],
                "rows": each.rows,
                "borne": each.borne,
                "expected": round(each.expected, 1),
                "z": each.z,
                "far": each.far,
            }
            for each in groups
        ],
    }


def _tables(
    table: "Rows", found: "Screened", listed: list[dict[str, Any]], far: "list[Jump]", odd: "list[Group]"
) -> list[Table]:
    from holdfast.ingest.screening import WORDS

    shown = [
        (str(each["row"]), str(each["label"]), str(each["believed"]), WORDS[str(each["screen"])])
        for each in listed[:SHOWN]
    ]
    tables = [Table(title="Suspect rows, the worst first", columns=("row", "label", "believed", "why"), rows=shown)]
    if found.triggers:
        facts = [
            (" and ".join(each.facts), table.classes[each.label], str(len(each.rows)), f"{each.expected:.0%}")
            for each in found.triggers
        ]
        tables.append(Table(title="Triggers", columns=("pattern", "label", "rows", "expected"), rows=facts))
    if far:
        cells = [(each.column, f"{each.distance:.3f}", f"{each.limit:.3f}") for each in far]
        tables.append(Table(title="Unlike earlier rows", columns=("column", "PSI", "by chance"), rows=cells))
    if odd:
        lines = [
            (each.name, table.classes[each.label], f"{each.borne} of {each.rows}", f"{each.expected:.0f}")
            for each in odd
        ]
        tables.append(
            Table(title="Sources unlike the others", columns=("source", "label", "borne", "expected"), rows=lines)
        )
    return tables


def _suspect(table: "Rows", found: "Screened", row: int) -> dict[str, Any]:
    details = found.details
    assert details is not None  # noqa: S101 - `screened` gives them unless told not to
    return {
        "row": int(table.kept[row]) + 1,
        "label": table.classes[table.labels[row]],
        "believed": table.classes[int(details.believed[row].argmax())],
        "screen": found.by(row),
        "honest_share": float(found.share[row]),
        "margin": float(details.margin[row]),
        "neighbours_disagree": float(details.disagreement[row]),
        "spectrum": float(details.spectrum[row]),
    }
