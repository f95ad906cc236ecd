"""How replies look: tables and colours on a terminal, plain lines in a pipe, one JSON document where asked."""

import json
import sys
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from holdfast.core.errors import HoldfastError, PolicyDenied
from holdfast.faces.report import write_report
from holdfast.faces.screen import shown
from holdfast.lifecycle.reply import Reply, Table

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
