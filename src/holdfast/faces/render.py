"""How replies look: tables and colours on a terminal, plain lines in a pipe, one JSON document where asked.

What draws on terminals takes longer to load than a small command takes to run, so it is loaded where there is one.
"""

import json
import sys
from typing import TYPE_CHECKING, Final, TextIO

from holdfast.core.errors import HoldfastError, PolicyDenied
from holdfast.faces.report import write_report
from holdfast.faces.screen import shown
from holdfast.lifecycle.reply import Reply, Table

if TYPE_CHECKING:
    from rich.console import Console

_WORDS: Final = {
    "verified": "green",
    "ok": "green",
    "measured": "green",
    "clean": "green",
    "BROKEN": "bold red",
    "failed": "red",
    "malicious": "bold red",
    "critical": "bold red",
    "high": "red",
    "suspicious": "yellow",
    "unscannable": "yellow",
    "medium": "yellow",
}


def show(reply: Reply, *, as_json: bool) -> int:
    """Print a reply, write its page if it has one, and return its exit code."""
    if reply.page is not None:
        write_report(reply.page, reply.document)
    if as_json:
        sys.stdout.write(json.dumps({"says": reply.says, **reply.document}, ensure_ascii=False, default=str) + "\n")
        return reply.exit_code
    if reply.text:
        sys.stdout.write(reply.text + "\n")
        return reply.exit_code
    console = _console(sys.stdout)
    for table in reply.tables:
        show_table(console, table)
    _print(console, sys.stdout, shown(reply.says))
    return reply.exit_code


def _console(stream: TextIO) -> "Console | None":
    """Return what draws on a terminal; None where the stream is none, and plain lines do."""
    if not stream.isatty():
        return None
    from rich.console import Console

    return Console(file=stream, highlight=False, emoji=False)


def _print(console: "Console | None", stream: TextIO, line: str) -> None:
    if console is None:
        stream.write(f"{line}\n")
    else:
        console.print(line, markup=False, soft_wrap=True)


def show_table(console: "Console | None", table: Table) -> None:
    """Print a table: drawn on a terminal, tab-separated in a pipe."""
    if not table.rows:
        return
    if console is None or not console.is_terminal:
        out = sys.stdout if console is None else console.file
        out.write(f"# {table.title}\n")
        for row in (table.columns, *table.rows):
            out.write("\t".join(shown(str(cell)) for cell in row) + "\n")
        return
    from rich.table import Table as RichTable

    drawn = RichTable(title=table.title, title_justify="left", header_style="bold", pad_edge=False, box=None)
    for number, column in enumerate(table.columns):
        drawn.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in table.rows:
        drawn.add_row(*(_cell(str(cell)) for cell in row))
    console.print(drawn)
    console.print()


def _cell(text: str) -> str:
    from rich.markup import escape

    style, words = _WORDS.get(text), escape(shown(text))
    return f"[{style}]{words}[/]" if style else words


def complain(error: HoldfastError) -> None:
    """Print an error: what, where, what was expected, and what to do."""
    console, place, message = _console(sys.stderr), shown(error.place), shown(error.message)
    if console is None:
        sys.stderr.write(f"{error.code}{f' {place}' if place else ''} {message}\n")
    else:
        from rich.markup import escape

        where = f" [dim]{escape(place)}[/]" if place else ""
        console.print(f"[bold red]{error.code}[/]{where} {escape(message)}", soft_wrap=True)
    for reason in error.reasons if isinstance(error, PolicyDenied) else ():
        _print(console, sys.stderr, f"  • {shown(reason)}")
    if error.expected:
        _print(console, sys.stderr, f"  expected: {shown(error.expected)}")
    _print(console, sys.stderr, f"  → {shown(error.remedy)}")
