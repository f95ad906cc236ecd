"""Vetting of rows from outside before anybody uses them: signs of poisoning, of bias, and of missing origin.

What is measured are shares: rows that repeat, equal or nearly equal rows with other labels, values far from all others,
labels distributed unlike those of rows that are trusted, rows of which nothing says where they come from. None of them
proves that rows were poisoned, and rows that were poisoned with care show none of them; policies say how much is too
much, and a person looks.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from holdfast.core.artifact import Artifact, Digest, parse_manifest
from holdfast.core.control import Control, Report
from holdfast.core.errors import InvalidData, without_values
from holdfast.core.evidence import Finding, Measure, Severity, exactly
from holdfast.core.ports import Workspace
from holdfast.ingest.screening import findings, measures, screened, tabulate
from holdfast.maths.distances import psi_from_counts

MAX_BYTES: Final = 1 << 30  # of one table
MAX_ROWS: Final = 5_000_000
CELLS: Final = 0.25  # robust standard deviations: rows whose numbers all fall into the same cells are nearly equal
FAR: Final = 8.0  # robust standard deviations from the median: beyond any honest tail of a measurement
MAD: Final = 1.4826  # makes the median absolute deviation of a normal sample its standard deviation
SOURCE_WORDS: Final = ("source", "url", "origin", "provenance", "publisher", "author", "licence", "license")
SHOWN: Final = 20  # findings of one kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Vetted:
    """What the control looks at: the rows as they came, which column is the label, and rows that are trusted."""

    ws: Workspace
    subject: Artifact
    label: str
    reference: bytes | None = None


def read_table(data: bytes, name: str) -> pl.DataFrame:
    """Return a table of texts from CSV, or a Parquet table as texts.

    Raises:
        InvalidData: It is neither, or too large.
    """
    if len(data) > MAX_BYTES:
        raise InvalidData("the table is too large", place=name, expected=f"at most {MAX_BYTES} bytes")
    try:
        if data.startswith(b"PAR1"):
            table = pl.read_parquet(io.BytesIO(data)).cast(pl.String)
        else:
            table = pl.read_csv(io.BytesIO(data), infer_schema=False)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise InvalidData(f"the table cannot be read: {without_values(error)}", place=name) from error
    if not 1 <= len(table) <= MAX_ROWS:
        raise InvalidData(f"the table has {len(table)} rows", place=name, expected=f"1 to {MAX_ROWS}")
    return table


def _measure(context: Vetted) -> Report:
    files = parse_manifest(context.ws.blobs.get(context.subject.digest)).files
    tables = [file for file in files if Path(file.path).suffix.lower() in {".csv", ".parquet"}]
    if len(tables) != 1:
        raise InvalidData(f"{len(tables)} tables", place=context.subject.digest, expected="one CSV or Parquet file")
    table = read_table(context.ws.blobs.get(Digest(tables[0].digest)), tables[0].path)
    if context.label not in table.columns:
        raise InvalidData(f"there is no column {context.label[:80]!r}", place=tables[0].path, expected="--label")
    trusted = None if context.reference is None else read_table(context.reference, "--reference")
    plain = profile(table, context.label, trusted)
    searched = _screened(table, context.label)
    return Report(
        measures=(*plain.measures, *searched.measures),
        findings=(*searched.findings, *plain.findings),
        facts={**plain.facts, **searched.facts},
    )


def _screened(table: pl.DataFrame, label: str) -> Report:
    """Return what the screens for poison find; columns that tell where a row comes from are not looked at.

    Raises:
        InvalidData: The rows cannot be screened: too few, or a label that is no class.
    """
    features = [name for name in table.columns if name != label and not _tells_origin(name)]
    rows = tabulate(table, label, features)
    found = screened(rows)
    measured = tuple(each for each in measures(rows, found) if each.name != "stated_alarm_share")
    return Report(measures=measured, findings=findings(rows, found), facts={"screened": ", ".join(rows.columns)[:2000]})


def profile(table: pl.DataFrame, label: str, reference: pl.DataFrame | None) -> Report:
    """Return what is measured on rows.

    Raises:
        InvalidData: The trusted rows have no such label.
    """
    rows = len(table)
    features = [name for name in table.columns if name != label and not _tells_origin(name)]
    if not features:
        raise InvalidData("beside the label there is no column", place=label)
    numbers = table.select(pl.col(name).cast(pl.Float64, strict=False) for name in features)
    numeric = [name for name in features if numbers[name].is_finite().fill_null(value=False).sum() * 2 > rows]
    far = _far(numbers, numeric)
    near = _near_key(table, numbers, features, numeric)
    conflicting = _conflicts(table.select(features), table[label])
    near_conflicting = _conflicts(near, table[label])
    origin = [name for name in table.columns if _tells_origin(name)]
    told = _told(table, origin)
    counted = {str(value): count for value, count in table[label].value_counts().iter_rows()}
    measures = [
        exactly("rows", rows),
        exactly("columns", len(table.columns)),
        _share("duplicate_share", int(rows - table.n_unique()), rows),
        _share("conflicting_share", int(conflicting.sum()), rows),
        _share("near_conflicting_share", int(near_conflicting.sum()), rows),
        _share("outlier_share", int(far.any(axis=1).sum()), rows),
        _share("rows_without_source_share", int((~told).sum()), rows),
        _share("missing_share", int(table.null_count().sum_horizontal()[0]), rows * len(table.columns)),
        _share("smallest_label_share", min(counted.values()), rows),
        exactly("label_values", len(counted)),
        exactly("constant_columns", sum(table[name].n_unique() == 1 for name in features)),
    ]
    if reference is not None:
        measures.append(exactly("label_shift", _shift(counted, label, reference), n=rows))
    findings = [
        *_listed("vetting.conflict", np.flatnonzero(conflicting), "it equals another row, and has another label"),
        *_listed("vetting.near-conflict", np.flatnonzero(near_conflicting & ~conflicting), "it nearly equals another"),
        *_listed("vetting.outlier", np.flatnonzero(far.any(axis=1)), "a value lies far from all others"),
    ]
    if not origin:
        words = "no column says where a row comes from"
        findings.append(Finding(place="columns", severity=Severity.MEDIUM, rule="vetting.origin", message=words))
    return Report(
        measures=tuple(measures),
        findings=tuple(findings),
        facts={"label": label, "origin_columns": ", ".join(origin)[:500], "numeric": ", ".join(numeric)[:2000]},
    )


def _share(name: str, count: int, of: int) -> Measure:
    """Return a share of the very table, which was counted whole and is no sample."""
    return exactly(name, count / of, n=of)


def _tells_origin(name: str) -> bool:
    """Say whether a column's name is one that tells where a row comes from."""
    return any(word in name.lower() for word in SOURCE_WORDS)


def _told(table: pl.DataFrame, origin: list[str]) -> np.ndarray:
    if not origin:
        return np.zeros(len(table), dtype=np.bool_)
    said = [table[name].fill_null("").str.strip_chars().str.len_chars().to_numpy() > 0 for name in origin]
    return np.asarray(np.any(said, axis=0))


def _robust(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = np.nanmedian(values, axis=0)
    spread = MAD * np.nanmedian(np.abs(values - middle), axis=0)
    return middle, np.where(spread > 0, spread, np.inf)  # where half are equal, nothing is far


def _far(numbers: pl.DataFrame, numeric: list[str]) -> np.ndarray:
    if not numeric:
        return np.zeros((len(numbers), 1), dtype=np.bool_)
    values = _finite(numbers, numeric)
    middle, spread = _robust(values)
    return np.asarray(np.abs(values - middle) > FAR * spread)


def _finite(numbers: pl.DataFrame, numeric: list[str]) -> np.ndarray:
    values = numbers.select(numeric).to_numpy().astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _near_key(table: pl.DataFrame, numbers: pl.DataFrame, features: list[str], numeric: list[str]) -> pl.DataFrame:
    """Return rows by the cells their numbers fall into; other columns as they are."""
    if not numeric:
        return table.select(features)
    values = _finite(numbers, numeric)
    middle, spread = _robust(values)
    cells = np.nan_to_num(np.round((values - middle) / (CELLS * spread)), nan=1e9)
    made = pl.DataFrame({name: cells[:, index] for index, name in enumerate(numeric)})
    return made.with_columns(table[name] for name in features if name not in numeric)


def _conflicts(keys: pl.DataFrame, labels: pl.Series) -> np.ndarray:
    """Say of each row whether it equals others of which fewer or as many have its label: the odd ones out."""
    group = keys.with_columns(labels.alias("label of the row"))
    columns = [name for name in group.columns if name != "label of the row"]
    counted = group.select(
        pl.len().over(columns).alias("all"), pl.len().over([*columns, "label of the row"]).alias("same")
    )
    return np.asarray((counted["same"] * 2 <= counted["all"]).to_numpy())


def _shift(counted: dict[str, int], label: str, reference: pl.DataFrame) -> float:
    if label not in reference.columns:
        raise InvalidData(f"the trusted rows have no column {label[:80]!r}", place="--reference")
    trusted = {str(value): count for value, count in reference[label].value_counts().iter_rows()}
    names = sorted(counted.keys() | trusted.keys())
    return float(psi_from_counts([trusted.get(each, 0) for each in names], [counted.get(each, 0) for each in names]))


def _listed(rule: str, rows: np.ndarray, words: str) -> list[Finding]:
    return [
        Finding(place=f"row {int(index) + 1}", severity=Severity.MEDIUM, rule=rule, message=words)
        for index in rows[:SHOWN]
    ]


VETTING: Final[Control[Vetted]] = Control(name="ingest.vetting/1", measure=_measure)
