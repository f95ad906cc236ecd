"""The report: the answer to `why` as one page that needs nothing else: no script, no font, no address."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.core.errors import InvalidInput, MissingExtra
from holdfast.core.evidence import figure


def write_report(path: Path, document: Mapping[str, Any], story: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write a page.

    Args:
        path: The file to write.
        document: What `lifecycle.proof.why` answers with.
        story: Chapters to show first: `title`, `words` and rows of (what, outcome, words).

    Raises:
        InvalidInput: The file cannot be written.
        MissingExtra: Jinja is not installed.
    """
    page = report(document, story)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"the report cannot be written: {error.strerror}", place=str(path)) from error


def report(document: Mapping[str, Any], story: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the page as text; every value is escaped, since artifacts and reasons come from outside."""
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtra("pages need Jinja", remedy="pip install 'holdfast[lifecycle]'") from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = lambda digest: str(digest).removeprefix("sha256:")[:12]
    environment.filters["figure"] = figure
    return environment.get_template("report.html.j2").render(why=document, story=story)
