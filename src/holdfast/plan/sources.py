"""Sources: which measures of which controls an answer, a metric or a threat may lean on.

A reference that names nothing that is ever measured is a wish. This table says what the controls report; a scenario
test holds it against a finished run.
"""

from collections.abc import Mapping
from typing import Final

from holdfast.core.evidence import Evidence, Measure, Outcome
from holdfast.core.planning import source_of
from holdfast.core.project import Project
from holdfast.core.schema import ColumnType

MEASURES: Final[Mapping[str, tuple[str, ...]]] = {
    "ingest.contract/1": ("rows_in", "rows_out", "rows_quarantined", "quarantined_share"),
    "ingest.checks/1": ("checks", "hard_breaches", "soft_breaches"),
    "ingest.personal/1": ("personal_values_left", "personal_columns_caught"),
    "assess.quality/1": ("accuracy", "balanced_accuracy", "auc", "brier", "recall", "precision"),
    "assess.slices/1": ("worst_slice_accuracy",),
    "assess.baseline/1": ("accuracy_gain", "auc_gain"),
    "assess.robustness/1": ("noise_drop", "attack_success"),
    "assess.latency/1": ("latency_p50_ms", "latency_p95_ms"),
    "train.sandbox/1": ("train_cpu_s", "train_wall_s"),
    "watch.sli/1": ("error_rate", "requests", "latency_p95_ms"),
}
QUALITY: Final = ("assess.quality/1", "assess.slices/1", "assess.baseline/1")
"""Controls that say how right a model is, and nothing of what it is worth or whether it can be run."""

NUMERIC: Final = frozenset({ColumnType.FLOAT, ColumnType.INTEGER, ColumnType.BOOLEAN})


def computable(project: Project, source: str) -> bool:
    """Say whether a source is something that is measured here, or a number among the declared columns."""
    control, measure = source_of(source)
    if control == "data":
        column = project.data.columns.get(measure)
        return column is not None and column.type in NUMERIC
    return measure in MEASURES.get(control, ())


def measured(evidence: Mapping[str, Evidence], source: str) -> Measure | None:
    """Return what a reference leads to among evidence that was measured, or None."""
    control, name = source_of(source)
    found = evidence.get(control)
    if found is None or found.outcome is not Outcome.MEASURED:
        return None
    return next((measure for measure in (*found.measures, *found.timings) if measure.name == name), None)
