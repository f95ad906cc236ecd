"""What a chapter of the demo works with: a folder, a way to tell, and a list of what was shown."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from holdfast.core.errors import NotFound, StageFailed
from holdfast.lifecycle.reply import Progress, Reply

EXAMPLE: Final = "breast-cancer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One thing the reader saw: what was done, how it ended, in words, and whether that is how it should end."""

    chapter: str
    what: str
    outcome: str
    words: str
    ok: bool = True


@dataclass(slots=True, kw_only=True)
class Stage:
    """The demo's folder, its voice and its memory."""

    root: Path
    tell: Callable[[Progress], None]
    shown: list[Shown] = field(default_factory=list)
    proof: Reply | None = None

    def show(self, chapter: str, what: str, outcome: str, words: str) -> None:
        """Put one step in front of the reader."""
        if not self.shown or self.shown[-1].chapter != chapter:
            self.tell(Progress(stage=chapter, state="heading", words=""))
        self.shown.append(Shown(chapter=chapter, what=what, outcome=outcome, words=words))
        self.tell(Progress(stage=outcome, state="shown", words=f"{what}: {words}" if words else what))

    def expect(self, holds: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
        """Stop the demo where it would have to lie.

        Raises:
            StageFailed: It does not hold.
        """
        if not holds:
            raise StageFailed(f"the demo expected that {what}", place="holdfast demo")

    def story(self) -> tuple[Mapping[str, Any], ...]:
        """Return what was shown, by chapter, as the report takes it."""
        chapters = dict.fromkeys(shown.chapter for shown in self.shown)
        return tuple(
            {
                "title": chapter,
                "words": "",
                "rows": [(s.what, s.outcome, s.words, s.ok) for s in self.shown if s.chapter == chapter],
            }
            for chapter in chapters
        )


def example(name: str = EXAMPLE) -> Path:
    """Return the folder of an example project: from the checkout, or from the installed package.

    Raises:
        NotFound: Neither holds it.
    """
    package = Path(__file__).resolve().parents[2]
    for folder in (package.parents[1] / "examples" / name, package / "_examples" / name):
        if (folder / "holdfast.toml").is_file():
            return folder
    raise NotFound(
        f"the example {name} is not part of this installation",
        remedy="Install Holdfast from its wheel or its repository.",
    )


def copy_project(source: Path, target: Path) -> None:
    """Copy an example's project file and recipe, and its threat model and runbook."""
    for name in ("holdfast.toml", "train.py", "threats.toml", "RUNBOOK.md"):
        shutil.copyfile(source / name, target / name)
