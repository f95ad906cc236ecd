"""Opening what looks through texts for names and places: Presidio, loaded here and nowhere else.

A workspace's control plane opens it when a stage searches rows; `holdfast data clean` does in a project that declares
it, `holdfast dlp scan` and `holdfast data profile` where a project file is named.
"""

from collections.abc import Callable, Sequence
from functools import partial
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


def data_profile(
    *, path: Path, form: str = "table", project: Path | None = None, tell: Callable[[Progress], None] = silent
) -> Reply:
    """Say what the columns of a file seem to hold, by `[dlp.presidio]` of a project as well where one is named.

    Args:
        path: The file.
        form: What to answer: table, toml or odcs.
        project: The project file.
        tell: Told of progress.

    Raises:
        UsageError: There is no such form of an answer.
        InvalidInput: There is no such file.
        InvalidData: The file is in no reading a table, or in more than one.
        InvalidProject: The project file is wrong, declares no `[dlp.presidio]`, or one that cannot be had.
        Unavailable: Presidio is not installed, or failed.
    """
    from holdfast.lifecycle.profiling import profile

    recogniser = None if project is None else _declared(project)
    return profile(path=path, form=form, recogniser=recogniser, tell=tell)


def data_clean(
    root: Path,
    *,
    path: Path,
    out: Path | None = None,
    quarantine: Path | None = None,
    tell: Callable[[Progress], None] = silent,
) -> Reply:
    """Say what the declared rules change of a file; write the outcome only where told to.

    Args:
        root: The project's folder, whose `[dlp.presidio]` is asked where it declares one.
        path: The file.
        out: A .csv or .parquet file to make, with the rows that hold.
        quarantine: A .jsonl file to make, with the others by number and their reasons.
        tell: Told of progress.

    Raises:
        InvalidProject: The project file is missing or wrong, or declares a `[dlp.presidio]` that cannot be had.
        InvalidData: The rows cannot be read, or not one holds.
        InvalidInput: There is something where a file would lie, or it cannot be written in its form.
        Unavailable: Presidio is not installed, or failed.
    """
    from holdfast.lifecycle import cleaning

    opener = partial(open_recogniser, root)
    return cleaning.data_clean(root, path=path, out=out, quarantine=quarantine, open_recogniser=opener, tell=tell)


def _declared(file: Path) -> Recogniser:
    """Return the recogniser that a project file declares: who names one is not to be searched without it."""
    dlp = parse_project(read_project_file(file), place=str(file))[0].dlp
    if dlp.presidio is None:
        raise InvalidProject(
            "the project declares no Presidio", place=str(file), expected="[dlp.presidio]",
            remedy="Declare it, or leave --project out: nothing else of the project counts here.",
        )  # fmt: skip
    return open_recogniser(file.resolve().parent, dlp.presidio)
