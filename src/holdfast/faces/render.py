"""How replies look: tables and colours on a terminal, plain lines in a pipe, one JSON document where asked."""

import json
import sys
import unicodedata
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from holdfast.core.errors import HoldfastError, PolicyDenied
from holdfast.faces.report import write_report
from holdfast.lifecycle.reply import Progress, Reply, Table

_MARKS: Final = {"started": "[cyan]…[/]", "finished": "[green]✓[/]", "reused": "[blue]=[/]", "failed": "[red]✗[/]"}
_PLAIN: Final = {"started": "...", "finished": "ok ", "reused": "=  ", "failed": "no "}
_WORDS: Final = {"verified": "green", "ok": "green", "measured": "green", "BROKEN": "bold red", "failed": "red"}
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
        self._console = Console(stderr=True, quiet=quiet, highlight=False, emoji=False)
        self._status: Any = None

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
        words, stage = escape(shown(progress.words)), shown(progress.stage)
        if progress.state == "heading":
            self._stop()
            self._console.print(f"\n[bold]{escape(stage)}[/]")
        elif progress.state == "shown":
            self._stop()
            self._console.print(f"  [bold]{escape(f'{stage:<12}')}[/] {words}", soft_wrap=not self._console.is_terminal)
        elif self._console.is_terminal:
            self._stop()
            if progress.state == "started":
                self._status = self._console.status(f"[bold]{escape(f'{stage:<9}')}[/] {words}")
                self._status.start()
                return
            self._console.print(f"{_MARKS[progress.state]} [bold]{escape(f'{stage:<9}')}[/] {words}")
        elif progress.state != "started":
            self._console.print(f"{_PLAIN[progress.state]} {escape(f'{stage:<9}')} {words}", soft_wrap=True)

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def show(reply: Reply, *, as_json: bool) -> int:
    """Print a reply, write its page if it has one, and return its exit code."""
    if reply.page is not None:
        write_report(reply.page, reply.document)
    if as_json:
        sys.stdout.write(json.dumps({"says": reply.says, **reply.document}, ensure_ascii=False, default=str) + "\n")
        return reply.exit_code
    console = Console(highlight=False, emoji=False)
    for table in reply.tables:
        show_table(console, table)
    console.print(escape(shown(reply.says)), soft_wrap=True)
    return reply.exit_code


def show_table(console: Console, table: Table) -> None:
    """Print a table: drawn on a terminal, tab-separated in a pipe."""
    if not table.rows:
        return
    if not console.is_terminal:
        console.print(f"# {table.title}", markup=False, soft_wrap=True)
        for row in (table.columns, *table.rows):
            console.file.write("\t".join(shown(str(cell)) for cell in row) + "\n")  # rich makes spaces of tabs
        return
    drawn = RichTable(title=table.title, title_justify="left", header_style="bold", pad_edge=False, box=None)
    for number, column in enumerate(table.columns):
        drawn.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in table.rows:
        drawn.add_row(*(_cell(str(cell)) for cell in row))
    console.print(drawn)
    console.print()


def _cell(text: str) -> str:
    style, words = _WORDS.get(text), escape(shown(text))
    return f"[{style}]{words}[/]" if style else words


def complain(error: HoldfastError) -> None:
    """Print an error: what, where, what was expected, and what to do."""
    console = Console(stderr=True, highlight=False, emoji=False)
    where = f" [dim]{escape(shown(error.place))}[/]" if error.place else ""
    console.print(f"[bold red]{error.code}[/]{where} {escape(shown(error.message))}", soft_wrap=True)
    if isinstance(error, PolicyDenied):
        for reason in error.reasons:
            console.print(f"  • {escape(shown(reason))}", soft_wrap=True)
    if error.expected:
        console.print(f"  expected: {escape(shown(error.expected))}", soft_wrap=True)
    console.print(f"  → {escape(shown(error.remedy))}", soft_wrap=True)
