"""Reports written as Markdown: tables for people who read them elsewhere."""

from collections.abc import Sequence
from pathlib import Path

from holdfast.core.errors import InvalidInput
from holdfast.lifecycle.reply import Table


def write_markdown(path: Path, title: str, says: str, tables: Sequence[Table]) -> None:
    """Write a report; every cell is escaped, since words come from callers and files.

    Raises:
        InvalidInput: The file cannot be written.
    """
    parts = [f"# {escaped(title)}", escaped(says), *(markdown(table) for table in tables)]
    try:
        path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"the report cannot be written: {error.strerror}", place=str(path)) from error


def markdown(table: Table) -> str:
    """Return a table with its title; one without rows says that there is nothing."""
    if not table.rows:
        return f"## {escaped(table.title)}\n\nNothing."
    lines = [_row(table.columns), _row(["---"] * len(table.columns)), *(_row(row) for row in table.rows)]
    return f"## {escaped(table.title)}\n\n" + "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escaped(cell) for cell in cells) + " |"


def escaped(text: str) -> str:
    r"""Return text that means nothing to a Markdown reader but itself, on one line.

    >>> print(escaped("a|b\n<script>"))
    a\|b &lt;script&gt;
    """
    plain = " ".join(str(text).split())
    for sign, instead in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\\", "\\\\"), ("|", "\\|"), ("`", "\\`")):
        plain = plain.replace(sign, instead)
    return plain.replace("[", "\\[")
