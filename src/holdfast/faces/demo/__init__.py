"""The demo: chapter one tells the whole way of a model, with attacks that fail; chapter two, who decides and with what.

Everything it shows is done by the same functions that the commands call, on a real workspace in a folder of its own,
with a gateway in a process of its own. A chapter is a function over a `Stage`; later chapters can be run alone.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from holdfast.core.errors import InvalidInput
from holdfast.faces.demo.chapter_one import whole_way
from holdfast.faces.demo.chapter_two import stewardship
from holdfast.faces.demo.stage import Stage
from holdfast.faces.report import write_report
from holdfast.lifecycle.reply import Progress, Reply, Table

CHAPTERS = (
    ("1", "the whole way, and attacks that fail", whole_way),
    ("2", "two persons, a rotated key, a restored backup", stewardship),
)


def demo(
    *, tell: Callable[[Progress], None], into: Path | None = None, keep: bool = False, chapter: str | None = None
) -> Reply:
    """Run the demo's chapters, or one of them alone, and answer with what each step showed.

    Raises:
        InvalidInput: The folder is not empty, or there is no such chapter.
        StageFailed: Something the demo promises did not happen; that is a defect.
    """
    if into is not None and into.exists() and any(into.iterdir()):
        raise InvalidInput("the folder is not empty", place=str(into), expected="a new or empty folder")
    wanted = [function for number, _, function in CHAPTERS if chapter in {None, number}]
    if not wanted:
        expected = "; ".join(f"{number}: {title}" for number, title, _ in CHAPTERS)
        raise InvalidInput(f"there is no chapter {str(chapter)[:20]!r}", expected=expected)
    root = into or Path(tempfile.mkdtemp(prefix="holdfast-demo-"))
    root.mkdir(parents=True, exist_ok=True)
    try:
        stage = Stage(root=root, tell=tell)
        for tell_it in wanted:
            tell_it(stage)
        report = root / "report.html"
        if stage.proof is not None:
            write_report(report, stage.proof.document, stage.story())
        return _reply(stage, report, kept=keep or into is not None)
    finally:
        if not keep and into is None:
            shutil.rmtree(root, ignore_errors=True)


def _reply(stage: Stage, report: Path, *, kept: bool) -> Reply:
    rows = [(shown.chapter, shown.what, shown.outcome, shown.words) for shown in stage.shown]
    proof = stage.proof
    told = report if kept and proof is not None else None
    ways = (f"Report: {report}",) if told else () if kept else ("Run it with --into FOLDER to keep the workspace.",)
    return Reply(
        says=" ".join((proof.says if proof else "All of it happened as told.", *ways)),
        document={
            "steps": [
                {
                    "chapter": shown.chapter,
                    "what": shown.what,
                    "outcome": shown.outcome,
                    "words": shown.words,
                    "ok": shown.ok,
                }
                for shown in stage.shown
            ],
            "report": str(told) if told else None,
            "why": proof.document if proof else None,
        },
        tables=(
            Table(title="What was shown", columns=("", "what", "outcome", "in words"), rows=rows),
            *(proof.tables[:1] if proof else ()),
        ),
    )
