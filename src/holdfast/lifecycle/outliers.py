"""`holdfast data outliers`: what triage would make of a file of rows, without taking them in."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from holdfast.core.outliers import Outliers
from holdfast.core.project import Project, parse_project
from holdfast.core.sensitivity import withheld
from holdfast.lifecycle.contract_files import references_of
from holdfast.lifecycle.contract_holding import format_of
from holdfast.lifecycle.inputs import read_project_file
from holdfast.lifecycle.reply import Progress, Reply, Table, counted, silent

if TYPE_CHECKING:
    from holdfast.ingest.review import Case, Triage

SHOWN: Final = 40  # cases in the table for people; the document has all
_ORDER: Final = ("likely-error", "doubtful", "rare-but-real")


def data_outliers(root: Path, *, path: Path, tell: Callable[[Progress], None] = silent) -> Reply:
    """Sort the outliers of a file by the project's own declaration; nothing is taken in, and nothing is decided.

    Where the project declares no `[data.outliers]`, they are sorted as it would by its defaults.

    Raises:
        InvalidProject: The project file is missing or wrong.
        InvalidData: The rows cannot be read.
    """
    del tell
    from holdfast.ingest.review import Applied, triage
    from holdfast.ingest.sources import read

    project, _ = parse_project(read_project_file(root / "holdfast.toml"))
    declared = project.data.outliers or Outliers()
    form = replace(project.data, source=path.name, format=format_of(path), outliers=declared)
    project = replace(project, data=form)
    raw = read(path, project)
    from holdfast.ingest.contract import hold

    held = hold(raw, project, references=references_of(project, root))
    found = triage(held, raw, Applied(), project, ())
    return _reply(found, project, raw.rows_in)


def _reply(found: "Triage", project: Project, rows: int) -> Reply:
    from holdfast.ingest.outliers import Verdict

    cases = sorted(found.cases, key=lambda case: (_ORDER.index(case.verdict), case.row, case.column))
    counts = {verdict: sum(case.verdict is verdict for case in cases) for verdict in Verdict}
    counts[Verdict.RARE] = found.found.of(Verdict.RARE)
    aside = found.set_aside
    words = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
    says = f"{counted(rows, 'row')}: {words}. {counted(aside, 'row')} would be set aside for it."
    hidden = withheld(project)
    says += f" Not looked at, since no value may be shown: {', '.join(hidden)}." if hidden else ""
    lines = [_line(case) for case in cases]
    table = [
        (str(each["row"]), each["column"], each["value"], each["verdict"], "; ".join(each["words"]), each["suggested"])
        for each in lines[:SHOWN]
    ]
    columns = ("row", "column", "value", "taken for", "because", "meant?")
    document = {
        "rows": rows,
        "examined": list(found.found.examined),
        "counts": {str(verdict): count for verdict, count in counts.items()},
        "rows_set_aside": aside,
        "cases": lines,
    }
    return Reply(says=says, document=document, tables=(Table(title="Outliers", columns=columns, rows=table),))


def _line(case: "Case") -> dict[str, Any]:
    from holdfast.ingest.outliers import WORDS
    from holdfast.ingest.quarantine import shown

    return {
        "row": case.row,
        "column": case.column,
        "value": shown(case.value),
        "verdict": str(case.verdict),
        "reasons": [str(why) for why in case.reasons],
        "words": [WORDS[why] for why in case.reasons],
        "suggested": shown(case.suggested),
        "set_aside": case.set_aside,
    }
