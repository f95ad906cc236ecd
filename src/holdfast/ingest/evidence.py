"""What ingest leaves as evidence: the contract, the search for personal data, and the provenance.

Each is measured on what was stored, not on what was meant to be stored.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from holdfast.core.artifact import Artifact
from holdfast.core.control import Report
from holdfast.core.errors import StageFailed
from holdfast.core.evidence import Finding, Measure, Severity, exactly
from holdfast.core.project import Project
from holdfast.engines.dataset import Dataset
from holdfast.engines.personal import scan
from holdfast.ingest.cleaning import RULES
from holdfast.ingest.contract import Batch
from holdfast.ingest.holdback import Searched
from holdfast.ingest.quarantine import SetAside
from holdfast.ingest.raw import Raw
from holdfast.ingest.reasons import WORDS, Reason
from holdfast.maths.intervals import wilson

_FIRST: Final = 5  # row numbers named in a finding; the quarantine has them all


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What the controls look at: the project, the source, what was read, and what was stored."""

    project: Project
    source: Artifact
    raw: Raw
    batch: Batch
    searched: Searched
    dataset: Dataset  # read back from the store
    quarantine: tuple[SetAside, ...]  # read back from the store


def contract(seen: Ingested) -> Report:
    """Return how many rows came in, went on and were set aside, why, and what cleaning changed.

    Raises:
        StageFailed: Rows are neither in the data set nor in the quarantine: the evidence is then a failed control.
    """
    rows_in, rows_out, aside = seen.raw.rows_in, seen.dataset.rows.height, len(seen.quarantine)
    if rows_in != rows_out + aside:
        raise StageFailed(f"{rows_in} rows came in, {rows_out} went on and {aside} were set aside")
    share = wilson(aside, rows_in)
    changed = {rule.counts: sum(c.count for c in seen.batch.counts if c.rule == rule.name) for rule in RULES}
    measures = (
        exactly("rows_in", rows_in, n=rows_in),
        exactly("rows_out", rows_out, n=rows_in),
        exactly("rows_quarantined", aside, n=rows_in),
        Measure(name="quarantined_share", value=share.value, low=share.low, high=share.high, n=rows_in),
        exactly("duplicate_ids", seen.batch.duplicate_ids, n=rows_in),
        exactly("undeclared_columns", len(seen.raw.undeclared)),
        *(exactly(name, count, n=rows_in) for name, count in changed.items()),
    )
    findings = (*_excess(seen, share.value), *_reasons(seen), *_changes(seen.batch), *_held_out(seen.raw))
    facts = {
        "cleaning": " ".join(rule.name for rule in RULES),
        "max_quarantined_share": f"{seen.project.data.max_quarantined_share:g}",
    }
    return Report(measures=measures, findings=findings, facts=facts)


def personal(seen: Ingested) -> Report:
    """Return what was searched for personal data, what was caught, and what a search of the stored rows still finds."""
    left = scan(seen.dataset.rows)
    caught, searched = seen.searched.caught, seen.searched.columns_searched
    measures = (
        exactly("columns_scanned", searched),
        exactly("personal_columns_caught", len(caught), n=searched),
        exactly("personal_values_left", sum(hit.rows for hit in left), n=seen.dataset.rows.height),
    )
    findings = [
        Finding(
            place=hit.column,
            severity=Severity.CRITICAL,
            rule=f"personal-{hit.entity}",
            message=f"{hit.rows} rows hold an undeclared {hit.entity}; the column was held back",
        )
        for hit in seen.searched.hits
    ] + [
        Finding(place=name, severity=Severity.INFO, rule="declared-personal", message="declared personal; not read")
        for name in seen.raw.personal
    ]
    findings += [
        Finding(place=name, severity=Severity.INFO, rule="classed-personal", message="classed personal; held back")
        for name in seen.searched.classed
    ]
    facts = {"caught": ", ".join(caught) or "none", "declared": ", ".join(seen.raw.personal) or "none"}
    return Report(measures=measures, findings=tuple(findings), facts=facts)


def provenance(seen: Ingested) -> Report:
    """Return where the rows come from and under which licence, as declared, and the bytes that they came from.

    Raises:
        StageFailed: The project declares no origin or no licence: the evidence is then a failed control.
    """
    data = seen.project.data
    if not data.origin.strip() or not data.licence.strip():
        raise StageFailed("the project declares no origin or no licence of its data", place="[data]")
    facts = {"origin": data.origin, "licence": data.licence, "source": seen.source.digest, "format": data.format}
    return Report(measures=(exactly("source_bytes", seen.source.size, unit="B"),), facts=facts)


def _excess(seen: Ingested, share: float) -> tuple[Finding, ...]:
    limit = seen.project.data.max_quarantined_share
    if share <= limit:
        return ()
    words = (
        f"{share:.1%} of the rows were set aside; the project expects at most {limit:.1%}: the batch itself is suspect"
    )
    place = f"{seen.project.data.source}, {seen.raw.rows_in} rows"
    return (Finding(place=place, severity=Severity.HIGH, rule="quarantined-share", message=words),)


def _reasons(seen: Ingested) -> tuple[Finding, ...]:
    """Return one finding for each reason and column, with the number of rows and the first of them."""
    grouped = seen.batch.faults.group_by("code", "column", maintain_order=True).agg(
        pl.col("row").n_unique().alias("count"), pl.col("row").unique(maintain_order=True).head(_FIRST)
    )
    found = []
    for code, column, count, first in grouped.sort("code", "column").iter_rows():
        rows = ", ".join(str(row) for row in first) + (" …" if count > _FIRST else "")
        message = f"{count} row{'' if count == 1 else 's'} set aside: {WORDS[Reason(code)]} (row {rows})"
        found.append(Finding(place=column or "row", severity=Severity.MEDIUM, rule=code, message=message))
    return tuple(found)


def _changes(batch: Batch) -> tuple[Finding, ...]:
    does = {rule.name: rule.does for rule in RULES}
    return tuple(
        Finding(
            place=count.column, severity=Severity.INFO, rule=count.rule, message=f"{count.count}: {does[count.rule]}"
        )
        for count in batch.counts
    )


def _held_out(raw: Raw) -> tuple[Finding, ...]:
    undeclared = [
        Finding(place=name, severity=Severity.LOW, rule="undeclared-column", message="not declared; held out, not used")
        for name in raw.undeclared
    ]
    if raw.blank_lines:
        message = f"{raw.blank_lines} blank lines are no rows"
        undeclared.append(Finding(place="file", severity=Severity.INFO, rule="blank-lines", message=message))
    return tuple(undeclared)
