"""What ingest leaves as evidence: the contract, the search for personal data, and the provenance.

Each is measured on what was stored, not on what was meant to be stored.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from holdfast.core.artifact import Artifact
from holdfast.core.control import NotApplicable, Report
from holdfast.core.errors import StageFailed
from holdfast.core.evidence import Finding, Measure, Severity, exactly
from holdfast.core.ports import Recogniser
from holdfast.core.project import Data, Project
from holdfast.core.schema import is_described
from holdfast.engines.dataset import Stored
from holdfast.engines.dlp import counts_of, findings_of, searched_with
from holdfast.engines.personal import SHOWN, scan
from holdfast.ingest.checking import Warned
from holdfast.ingest.cleaning import RULES
from holdfast.ingest.contract import Batch, Read, breach_words
from holdfast.ingest.holdback import Searched
from holdfast.ingest.outliers import WORDS as TRIAGE_WORDS
from holdfast.ingest.outliers import Verdict
from holdfast.ingest.quarantine import SetAside
from holdfast.ingest.reasons import WORDS, Reason
from holdfast.ingest.review import Applied, Triage
from holdfast.ingest.screening import report
from holdfast.maths.intervals import wilson

_FIRST: Final = 5  # row numbers named in a finding; the quarantine has them all


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What one source has sent of a data set's rows, and how it stood then."""

    source: str
    identity: str
    rows: int
    batches: int
    unreadable: int
    last_arrival: str
    failed: str  # why the last pull did not end; empty where it did
    late: bool
    stale: bool
    missing: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What the controls look at: the project, the source, what was read, and what was stored."""

    project: Project
    source: Artifact
    read: Read
    batch: Batch
    searched: Searched
    dataset: Stored  # read back from the store
    quarantine: tuple[SetAside, ...]  # read back from the store
    sent: tuple[Sent, ...] = ()  # by the project's sources; empty where the rows are a file
    applied: Applied
    triage: Triage
    recogniser: Recogniser | None = None  # what looks through texts beside our patterns, where declared


def contract(seen: Ingested) -> Report:
    """Return how many rows came in, went on and were set aside, why, and what cleaning changed.

    Raises:
        StageFailed: Rows are neither in the data set nor in the quarantine: the evidence is then a failed control.
    """
    rows_in, rows_out, aside = seen.read.rows_in, seen.dataset.rows.height, len(seen.quarantine)
    if rows_in != rows_out + aside:
        raise StageFailed(f"{rows_in} rows came in, {rows_out} went on and {aside} were set aside")
    share, data = wilson(aside, rows_in), seen.project.data
    rules = [
        rule
        for rule in RULES
        if (data.entities is not None or not rule.of_entities) and (data.outliers is not None or not rule.decided)
    ]
    changed = {rule.counts: sum(c.count for c in seen.batch.counts if c.rule == rule.name) for rule in rules}
    measures = (
        exactly("rows_in", rows_in, n=rows_in),
        exactly("rows_out", rows_out, n=rows_in),
        exactly("rows_quarantined", aside, n=rows_in),
        Measure(name="quarantined_share", value=share.value, low=share.low, high=share.high, n=rows_in),
        exactly("duplicate_ids", seen.batch.duplicate_ids, n=rows_in),
        exactly("undeclared_columns", len(seen.read.undeclared)),
        *(exactly(name, count, n=rows_in) for name, count in changed.items()),
        *(exactly(f"set_aside:{code}", count, n=rows_in) for code, count in _by_reason(seen.batch)),
        *(exactly(f"repaired:{repair.name}", _repairs(seen.batch, repair.name), n=rows_in) for repair in data.clean),
    )
    findings = (*_excess(seen, share.value), *_reasons(seen), *_changes(seen.batch, data), *_held_out(seen.read))
    facts = {
        "cleaning": " ".join([*(repair.name for repair in data.clean), *(rule.name for rule in rules)]),
        "max_quarantined_share": f"{data.max_quarantined_share:g}",
    }
    return Report(measures=measures, findings=findings, facts=facts)


def checks(seen: Ingested) -> Report:
    """Return what the checks of the contract found: what each measured, which are broken, and who is only warned."""
    declared, judged = seen.project.data.checks, seen.batch.judged
    rows = seen.read.rows_in
    soft = [each for each in judged.outcomes if not each.holds and each.check.soft]
    measures = (
        exactly("checks", len(declared)),
        exactly("hard_breaches", len(judged.breaches), n=max(1, len(declared))),
        exactly(
            "soft_breaches", len(soft) + sum(each.because == "soft" for each in judged.warned), n=max(1, len(declared))
        ),
        exactly("onboarding_rows_relaxed", judged.relaxed, n=rows),
        *(
            exactly(f"check:{each.check.name}", each.value, n=each.n)
            for each in judged.outcomes
            if each.value is not None
        ),
    )
    found = [
        Finding(place=each.check.name, severity=Severity.MEDIUM, rule="soft-limit", message=breach_words(each))
        for each in soft
    ]
    found += [_warned(each) for each in judged.warned]
    new = seen.project.data.onboarding
    facts = {"onboarding": f"{', '.join(new.clients)} until {new.until}"[:1000]} if new else {}
    against = seen.project.data.checked_against
    facts |= {"contract": ", ".join(f"{name} {digest}" for name, digest in against.items())} if against else {}
    return Report(measures=measures, findings=tuple(found), facts=facts)


def _warned(warned: Warned) -> Finding:
    rows = f"{warned.rows} row{'' if warned.rows == 1 else 's'}"
    why = "a soft limit" if warned.because == "soft" else "a new client, whose rows are only warned about"
    words = f"{rows} let through: {WORDS[warned.code]} ({why})"
    return Finding(place=warned.column or warned.name, severity=Severity.MEDIUM, rule=warned.because, message=words)


def quality(seen: Ingested) -> Report:
    """Return three metrics of each critical column as it came: share missing, of another type, and out of range."""
    rows = seen.read.rows_read
    data = seen.project.data
    wanted = frozenset(data.critical or (*seen.project.feature_columns, *seen.project.features.texts))
    measures = [exactly("rows_read", rows)]
    for each in seen.batch.quality:
        if each.column in wanted:
            for name, count in (
                ("missing_share", each.missing),
                ("type_mismatch_rate", each.mismatched),
                ("out_of_range_rate", each.outside),
            ):
                share = wilson(count, rows) if rows else wilson(0, 1)
                measures.append(
                    Measure(name=f"{name}:{each.column}", value=share.value, low=share.low, high=share.high, n=share.n)
                )
    drafts = [name for name, column in data.columns.items() if not is_described(column)]
    measures.append(exactly("undescribed_columns", len(drafts), n=max(1, len(data.columns))))
    words = "nobody has described it (description, described_by): held out, not learned from"
    found = tuple(
        Finding(place=name, severity=Severity.LOW, rule="undescribed-column", message=words) for name in drafts
    )
    return Report(measures=tuple(measures), findings=found)


def personal(seen: Ingested) -> Report:
    """Return what was searched for personal data, what was caught, and what a search of the stored rows still finds."""
    replaced = set(seen.searched.replaced)
    stored = seen.dataset.rows.drop(replaced)
    left = [hit for hit in scan(stored, seen.recogniser) if hit.entity not in SHOWN]
    acted = seen.searched.acted
    caught, searched = seen.searched.caught, seen.searched.columns_searched
    measures = (
        exactly("columns_scanned", searched),
        exactly("personal_columns_caught", len(caught), n=searched),
        exactly("personal_values_left", sum(hit.rows for hit in left), n=seen.dataset.rows.height),
        *counts_of(acted),
    )
    findings = findings_of(seen.searched.hits, acted)
    findings += [
        Finding(place=name, severity=Severity.INFO, rule="declared-personal", message="declared personal; not read")
        for name in seen.read.personal
    ]
    findings += [
        Finding(place=name, severity=Severity.INFO, rule="classed-personal", message="classed personal; held back")
        for name in seen.searched.classed
    ]
    facts = {"caught": ", ".join(caught) or "none", "declared": ", ".join(seen.read.personal) or "none"}
    facts |= searched_with(seen.recogniser)
    return Report(measures=measures, findings=tuple(findings), facts=facts)


def screened(seen: Ingested) -> Report | NotApplicable:
    """Return which stored rows look poisoned; none is dropped for it."""
    return report(seen.dataset, seen.project)


def outliers(seen: Ingested) -> Report | NotApplicable:
    """Return how many values lie out, what each was taken for, and what persons have decided; no value is named."""
    triage, applied, rows = seen.triage, seen.applied, seen.read.rows_in
    if seen.project.data.outliers is None:
        return NotApplicable(reason="the project does not declare [data.outliers]")
    measures = (
        exactly("columns_examined", len(triage.found.examined)),
        exactly("outliers_likely_error", sum(case.verdict is Verdict.LIKELY_ERROR for case in triage.cases), n=rows),
        exactly("outliers_rare", triage.found.of(Verdict.RARE), n=rows),
        exactly("outliers_doubtful", sum(case.verdict is Verdict.DOUBTFUL for case in triage.cases), n=rows),
        exactly("rows_triaged_aside", triage.set_aside, n=rows),
        exactly("cases_waiting", triage.waiting, n=rows),
        exactly("cases_not_listed", triage.unlisted, n=rows),
        exactly("values_corrected", sum(count.count for count in applied.counts), n=rows),
        exactly("rows_quarantined_by_decision", applied.quarantined, n=rows),
        exactly("decisions_unmatched", applied.unmatched),
    )
    decided = seen.project.data.decisions
    facts = {"examined": ", ".join(triage.found.examined)[:2000], "decisions": decided.listed if decided else "none"}
    return Report(measures=measures, findings=_sorted_out(triage), facts=facts)


def _sorted_out(triage: Triage) -> tuple[Finding, ...]:
    """Return one finding for each column, verdict and set of reasons, with the first rows."""
    grouped: dict[tuple[str, str, str], list[int]] = {}
    for case in triage.cases:
        why = "; ".join(TRIAGE_WORDS[each] for each in case.reasons)
        grouped.setdefault((case.column, str(case.verdict), why), []).append(case.row)
    found = []
    for (column, verdict, why), rows in sorted(grouped.items()):
        first = ", ".join(str(row) for row in rows[:_FIRST]) + (" …" if len(rows) > _FIRST else "")
        how = Severity.INFO if verdict == Verdict.RARE else Severity.MEDIUM
        count = f"{len(rows)} value{'' if len(rows) == 1 else 's'}"
        found.append(Finding(place=column, severity=how, rule=verdict, message=f"{count}: {why} (row {first})"[:1000]))
    return tuple(found)


def provenance(seen: Ingested) -> Report:
    """Return where the rows come from and under which licence, as declared, and the bytes that they came from.

    Raises:
        StageFailed: The project declares no origin or no licence: the evidence is then a failed control.
    """
    data = seen.project.data
    if not data.origin.strip() or not data.licence.strip():
        raise StageFailed("the project declares no origin or no licence of its data", place="[data]")
    facts = {"origin": data.origin, "licence": data.licence, "source": seen.source.digest, "format": data.format}
    measures = [exactly("source_bytes", seen.source.size, unit="B")]
    if seen.sent:
        facts["sources"] = "; ".join(f"{each.source} ({each.identity}): {each.rows} rows" for each in seen.sent)[:2000]
        measures += [
            exactly("sources", len(seen.sent)),
            exactly("sources_failed", sum(bool(each.failed) for each in seen.sent), n=len(seen.sent)),
            exactly("sources_empty", sum(each.rows == 0 for each in seen.sent), n=len(seen.sent)),
            exactly("rows_unreadable_at_source", sum(each.unreadable for each in seen.sent)),
        ]
    return Report(measures=tuple(measures), findings=_of_sources(seen.sent), facts=facts)


def _of_sources(sent: tuple[Sent, ...]) -> tuple[Finding, ...]:
    """Return what is wrong with sources: none of it stopped the others."""
    found = []
    for each in sent:
        said = (
            ("source-failed", Severity.HIGH, each.failed and f"its last pull failed: {each.failed}"[:300]),
            ("source-empty", Severity.HIGH, "" if each.rows else "it has sent no rows"),
            ("source-late", Severity.MEDIUM, "rows are late by its schedule" if each.late else ""),
            ("source-stale", Severity.MEDIUM, "nothing has arrived for too long" if each.stale else ""),
            ("source-unreadable", Severity.MEDIUM,
             each.unreadable and f"{each.unreadable} rows could not be read and were left out at its door"),
            ("source-missing", Severity.HIGH, "; ".join(each.missing)[:300]),
        )  # fmt: skip
        place = f"source {each.source}"
        found += [
            Finding(place=place, severity=how, rule=rule, message=str(words)) for rule, how, words in said if words
        ]
    return tuple(found)


def _excess(seen: Ingested, share: float) -> tuple[Finding, ...]:
    limit = seen.project.data.max_quarantined_share
    if share <= limit:
        return ()
    words = (
        f"{share:.1%} of the rows were set aside; the project expects at most {limit:.1%}: the batch itself is suspect"
    )
    place = f"{seen.project.data.source}, {seen.read.rows_in} rows"
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


def _by_reason(batch: Batch) -> list[tuple[str, int]]:
    """Return for each reason how many rows it concerns; a row may have several."""
    grouped = batch.faults.group_by("code").agg(pl.col("row").n_unique()).sort("code")
    return [(str(code), int(rows)) for code, rows in grouped.iter_rows()]


def _repairs(batch: Batch, rule: str) -> int:
    return sum(count.count for count in batch.counts if count.rule == rule)


def _changes(batch: Batch, data: Data) -> tuple[Finding, ...]:
    does = {rule.name: rule.does for rule in RULES}
    does |= {repair.name: repair.because or f"repaired ({repair.kind})" for repair in data.clean}
    return tuple(
        Finding(
            place=count.column, severity=Severity.INFO, rule=count.rule, message=f"{count.count}: {does[count.rule]}"
        )
        for count in batch.counts
    )


def _held_out(read: Read) -> tuple[Finding, ...]:
    undeclared = [
        Finding(place=name, severity=Severity.LOW, rule="undeclared-column", message="not declared; held out, not used")
        for name in read.undeclared
    ]
    if read.blank_lines:
        message = f"{read.blank_lines} blank lines are no rows"
        undeclared.append(Finding(place="file", severity=Severity.INFO, rule="blank-lines", message=message))
    return tuple(undeclared)
