"""What the rows of feature views leave as evidence of personal data: searched, caught, treated, and what is left."""

from typing import TYPE_CHECKING

from holdfast.core.control import Report
from holdfast.core.evidence import exactly
from holdfast.engines.dlp import counts_of, findings_of

if TYPE_CHECKING:
    from holdfast.features.evidence import Built


def measure_personal(built: "Built") -> Report:
    """Return what was searched in the sources of all views in use, in the measures of `ingest.personal/1`.

    `columns_scanned`: columns of the sources, undeclared ones too; 0 where no view is in use, and then nothing of a
    view is in the table. `personal_columns_caught`: those that are not read. `personal_values_left`: rows of columns
    that are read in which a second search finds something still, among those of `n` events.
    """
    seen = [(opened.name, opened.events.searched) for opened in built.views]
    events = sum(opened.events.rows.height for opened in built.views)
    columns = sum(found.columns for _, found in seen)
    caught = [f"{name}.{column}" for name, found in seen for column in found.caught]
    measures = (
        exactly("columns_scanned", columns),
        exactly("personal_columns_caught", len(caught), n=max(1, columns)),
        exactly("personal_values_left", sum(found.left for _, found in seen), n=max(1, events)),
        *counts_of(each for _, found in seen for each in found.acted),
    )
    findings = [each for name, found in seen for each in findings_of(found.hits, found.acted, f"{name}.")]
    facts = {"caught": ", ".join(caught)[:2000] or "none"}
    for _, found in seen:
        facts |= found.made_with
    return Report(measures=measures, findings=tuple(findings), facts=facts)
