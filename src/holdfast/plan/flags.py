"""plan.flags/1: four traps that sink projects, each raised by name from what is declared and what the data say."""

from collections.abc import Iterator
from typing import Final

from holdfast.core.control import Report
from holdfast.core.endpoint import Serving
from holdfast.core.evidence import Finding, Severity, exactly
from holdfast.core.planning import source_of
from holdfast.core.project import Project, Slo
from holdfast.plan.intake import Held, data_faults
from holdfast.plan.sources import QUALITY

NAME: Final = "plan.flags/1"
FLAGS: Final = ("plentiful-but-wrong-data", "no-success-definition", "accuracy-only", "deployment-later")
PLENTY: Final = 200  # rows; from here on volume looks like an argument


def measure(held: Held) -> Report:
    """Return a finding for each trap that the project has walked into."""
    raised = tuple(_raised(held))
    findings = tuple(
        Finding(place=place, severity=Severity.MEDIUM, rule=flag, message=words) for flag, place, words in raised
    )
    measures = (exactly("red_flags", len({flag for flag, _, _ in raised})), exactly("flags_looked_for", len(FLAGS)))
    return Report(measures=measures, findings=findings)


def _raised(held: Held) -> Iterator[tuple[str, str, str]]:
    project = held.project
    faults = tuple(data_faults(held))
    if held.rows.height >= PLENTY and faults:
        words = f"{held.rows.height} rows, but not the right ones: {'; '.join(faults)[:500]}"
        yield FLAGS[0], "[data]", words
    if project.success is None:
        yield FLAGS[1], "[success]", "nothing says what success would be, so nothing can be called a failure"
    elif _only_accuracy(project):
        yield FLAGS[2], "[success]", "every target is about being right; none is about value, speed or upkeep"
    if _undeployed(project):
        words = "no promise, no limits of serving and no budget are declared: how it will run is left for later"
        yield FLAGS[3], "[serving]", words


def _only_accuracy(project: Project) -> bool:
    metrics = project.success.metrics().values() if project.success else ()
    return all(source_of(metric.source)[0] in QUALITY for metric in metrics)


def _undeployed(project: Project) -> bool:
    return project.serving == Serving() and project.slo == Slo() and project.budget is None
