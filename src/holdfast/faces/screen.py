"""What a running command tells: a spinner on a terminal, a plain line where nobody watches.

What draws on terminals is loaded where there is one: a server tells its few lines without.
"""

import sys
import unicodedata
from types import TracebackType
from typing import Any, Final, Self

from holdfast.lifecycle.reply import Progress

_MARKS: Final = {"started": "[cyan]…[/]", "finished": "[green]✓[/]", "reused": "[blue]=[/]", "failed": "[red]✗[/]"}
_PLAIN: Final = {"finished": "ok ", "reused": "=  ", "failed": "no "}
_BREAKING: Final = frozenset({"Zl", "Zp"})  # Unicode: separators of lines and paragraphs
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs"})  # Unicode: control, format (turns reading direction around), surrogate


def shown(text: str) -> str:
    r"""Return text as it may stand in one line of a terminal: words come from files and callers, commands must not.

    >>> print(shown("a\x1b[2Jb\nc"))
    a\x1b[2Jb c
    """
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    category = unicodedata.category(char)
    if char in "\t\r\n" or category in _BREAKING:
        return " "
    return char.encode("unicode_escape").decode() if category in _HIDDEN else char


class Screen:
    """Progress of a running command: on standard error, so that a pipe receives only the answer."""

    def __init__(self, *, quiet: bool = False) -> None:
        """Stay silent where the answer is for a machine."""
        self._quiet = quiet
        self._console: Any = None  # where a person watches
        self._status: Any = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console

            self._console = Console(stderr=True, highlight=False, emoji=False)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the spinner, whatever happened."""
        self._stop()

    def tell(self, progress: Progress) -> None:
        """Show one step: a spinner while it runs and one line when it has ended; plain lines where nobody watches."""
        if self._quiet:
            return
        if self._console is None:
            self._write(progress)
        else:
            self._draw(progress)

    def _write(self, progress: Progress) -> None:
        words, stage = shown(progress.words), shown(progress.stage)
        if progress.state == "heading":
            line = f"\n{stage}"
        elif progress.state == "shown":
            line = f"  {stage:<12} {words}"
        elif progress.state != "started":
            line = f"{_PLAIN[progress.state]} {stage:<9} {words}"
        else:
            return
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def _draw(self, progress: Progress) -> None:
        from rich.markup import escape

        words, stage = escape(shown(progress.words)), shown(progress.stage)
        self._stop()
        if progress.state == "heading":
            self._console.print(f"\n[bold]{escape(stage)}[/]")
        elif progress.state == "shown":
            self._console.print(f"  [bold]{escape(f'{stage:<12}')}[/] {words}")
        elif progress.state == "started":
            self._status = self._console.status(f"[bold]{escape(f'{stage:<9}')}[/] {words}")
            self._status.start()
        else:
            self._console.print(f"{_MARKS[progress.state]} [bold]{escape(f'{stage:<9}')}[/] {words}")

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
