"""Opening what looks through texts for names and places: Presidio, loaded here and nowhere else.

A workspace's control plane opens it when a stage searches rows, and `holdfast dlp scan` where a project file is named.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.core.dlp import Presidio
from holdfast.core.errors import InvalidProject
from holdfast.core.ports import Recogniser
from holdfast.core.project import parse_project
from holdfast.lifecycle.inputs import read_project_file
from holdfast.lifecycle.reply import Progress, Reply, silent


def open_recogniser(root: Path, declared: Presidio) -> Recogniser:
    """Return Presidio over the pipeline that is declared; a folder is looked for beside the project file.

    Raises:
        MissingExtra: Presidio or spaCy is not installed.
        InvalidProject: There is no such pipeline, or it does not know what is asked for.
        Unavailable: The pipeline cannot be loaded.
    """
    from holdfast.adapters.presidio import open_presidio

    return open_presidio(declared, root)


def dlp_scan(
    *,
    paths: Sequence[Path],
    format: str = "table",  # noqa: A002 - the option's name
    output: Path | None = None,
    allow: str = "",
    project: Path | None = None,
    tell: Callable[[Progress], None] = silent,
) -> Reply:
    """Look for personal data and secrets in files, by `[dlp.presidio]` of a project as well where one is named.

    Args:
        paths: Files.
        format: What to print: table, json or sarif.
        output: Where to write the document instead.
        allow: Kinds that are listed but let pass.
        project: The project file.
        tell: Is told of each file.

    Raises:
        UsageError: No such file, format or kind.
        InvalidInput: A file is not what its name says.
        InvalidProject: The project file is wrong, declares no `[dlp.presidio]`, or one that cannot be had.
        Unavailable: Presidio is not installed, or failed.
    """
    from holdfast.lifecycle import dlp_scan as scanning  # which loads Polars

    recogniser = None if project is None else _declared(project)
    return scanning.dlp_scan(paths=paths, format=format, output=output, allow=allow, recogniser=recogniser, tell=tell)


def _declared(file: Path) -> Recogniser:
    """Return the recogniser that a project file declares: who names one is not to be searched without it."""
    dlp = parse_project(read_project_file(file), place=str(file))[0].dlp
    if dlp.presidio is None:
        raise InvalidProject(
            "the project declares no Presidio", place=str(file), expected="[dlp.presidio]",
            remedy="Declare it, or leave --project out: nothing else of the project counts here.",
        )  # fmt: skip
    return open_recogniser(file.resolve().parent, dlp.presidio)
