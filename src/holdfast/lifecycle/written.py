"""Reports written to a file for people who read them elsewhere: Markdown, or one self-contained page of HTML."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from holdfast.core.errors import InvalidInput
from holdfast.lifecycle.reply import Table

PAGES: Final = (".html", ".htm")
STYLE: Final = "body{font:16px sans-serif;margin:2em}td,th{padding:.2em 1em .2em 0;text-align:left;vertical-align:top}"


def write_report(path: Path, title: str, says: str, tables: Sequence[Table]) -> None:
    """Write a report, as HTML where the file is named so, else as Markdown; whatever the words, they stay words.

    Raises:
        InvalidInput: The file cannot be written.
    """
    form = page if path.suffix.lower() in PAGES else markdown
    try:
        path.write_text(form(title, says, tables), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"the report cannot be written: {error.strerror}", place=str(path)) from error


def markdown(title: str, says: str, tables: Sequence[Table]) -> str:
    """Return a report as Markdown."""
    return "\n\n".join([f"# {escaped(title)}", escaped(says), *map(_markdown, tables)]) + "\n"


def _markdown(table: Table) -> str:
    if not table.rows:
        return f"## {escaped(table.title)}\n\nNothing."
    lines = [_line(table.columns), _line(["---"] * len(table.columns)), *map(_line, table.rows)]
    return f"## {escaped(table.title)}\n\n" + "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(escaped, cells)) + " |"


def escaped(text: str) -> str:
    r"""Return text that means nothing to a Markdown reader but itself, on one line.

    >>> print(escaped("a|b\n<script>"))
    a\|b &lt;script&gt;
    """
    plain = " ".join(str(text).split())
    for sign, instead in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\\", "\\\\"), ("|", "\\|"), ("`", "\\`")):
        plain = plain.replace(sign, instead)
    return plain.replace("[", "\\[")


def page(title: str, says: str, tables: Sequence[Table]) -> str:
    """Return a report as one page: no script, no address."""
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(says)}</p>", *map(_html, tables)]
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    return f"<!doctype html><html><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _html(table: Table) -> str:
    heading = f"<h2>{html.escape(table.title)}</h2>"
    if not table.rows:
        return f"{heading}<p>Nothing.</p>"
    rows = [_cells("th", table.columns), *(_cells("td", row) for row in table.rows)]
    return f"{heading}<table>{''.join(rows)}</table>"


def _cells(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"
