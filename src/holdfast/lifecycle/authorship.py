"""Authorship: reads who wrote a recipe from the project's history, and puts it on record beside the model it made.

History is read by git, confined like any other job and shown nothing but the repository's own folder. Where there is no
history, the project file may name the authors; where neither does, that is what is recorded. Whoever ran it is always
one of them: somebody who brings code that no history knows has brought it himself.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.core.artifact import Artifact, Digest, Kind, canonical
from holdfast.core.authorship import AUTHORS, AUTHORSHIP, KNOWN
from holdfast.core.control import Control, Report
from holdfast.core.control import run as run_control
from holdfast.core.errors import HoldfastError
from holdfast.core.evidence import Evidence, MadeWith, Outcome, exactly
from holdfast.core.passport import FILED
from holdfast.core.ports import Job, JobEnd, Limits, Tier
from holdfast.core.project import Project
from holdfast.core.seal import EVIDENCE, unseal
from holdfast.lifecycle.carrying import carry_out
from holdfast.lifecycle.plant import Plant

MAX_COMMITS: Final = 1000  # of one file: who wrote more of it than that is among the later ones too
MAX_POINTER: Final = 4096  # bytes of a `.git` file
LIMITS: Final = Limits(cpu_s=30, wall_s=60.0, output_bytes=1 << 20)
QUIET: Final[Mapping[str, str]] = {
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_NO_REPLACE_OBJECTS": "1",  # what was committed, not what somebody would show instead
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Who wrote a file according to the repository it lies in, and whether it lies there as it was last committed."""

    persons: tuple[str, ...]
    committed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """All that is known of who wrote a recipe."""

    history: History | None
    declared: tuple[str, ...]
    runner: str


def record_authorship(plant: Plant, project: Project, held: Mapping[Kind, Artifact]) -> Evidence | None:
    """Put on record who wrote the recipe of a model, unless that is on record already; return what was filed.

    A reused model gets new evidence when somebody else wrote, committed or ran the same code since: the union counts.
    """
    model = held.get(Kind.MODEL)
    if model is None or project.train.outside:  # nobody here wrote it, and nobody can say who did
        return None
    file = plant.home.root / project.train.recipe.partition(":")[0]
    written = Written(history=_history(plant, file), declared=project.train.authors, runner=plant.person)
    now = run_control(CONTROL, written, model, MadeWith(code=plant.code, configuration=held[Kind.PROJECT].digest))
    if any(known.facts == now.facts and known.measures == now.measures for known in _on_record(plant, model.digest)):
        return None
    return carry_out(plant, CONTROL, written, model, configuration=held[Kind.PROJECT].digest)


def _measure(written: Written) -> Report:
    """Say who wrote it, from where that is known, and whether history has these very bytes."""
    history = written.history
    named = history.persons if history else written.declared
    authors = canonical(sorted({*named, written.runner})).decode()
    source = "git" if history else "project file" if written.declared else "nobody says"
    uncommitted = float(history is not None and not history.committed)
    return Report(
        measures=(
            exactly(KNOWN, float(bool(named))),
            exactly("from_history", float(history is not None)),
            exactly("uncommitted", uncommitted),
        ),
        facts={AUTHORS: authors, "source": source, "runner": written.runner},
    )


CONTROL: Final = Control(name=AUTHORSHIP, measure=_measure)


def _on_record(plant: Plant, model: Digest) -> Iterator[Evidence]:
    for entry in plant.ledger.stream(model):
        if entry.kind == FILED and entry.body["control"] == AUTHORSHIP and entry.body["outcome"] == Outcome.MEASURED:
            envelope = plant.blobs.get(Digest(entry.body["envelope"]))
            yield unseal(envelope, EVIDENCE, plant.trust, at=entry.moment).value


def _history(plant: Plant, file: Path) -> History | None:
    """Return what the repository around a file says of it; None where there is none, no git, or nothing committed."""
    git, found = shutil.which("git"), _repository(file.resolve().parent)
    if git is None or found is None:
        return None
    top, folders = found
    name = file.resolve().relative_to(top).as_posix()
    told = _ask(plant, git, folders, "log", f"-n{MAX_COMMITS}", "--format=%an <%ae>%n%cn <%ce>", "--", name)
    persons = tuple(sorted({line for line in told.splitlines() if line.strip()}))
    if not persons:
        return None
    data = file.read_bytes()
    blob = b"blob %d\0" % len(data) + data
    known = _ask(plant, git, folders, "rev-parse", f"HEAD:{name}").strip()
    return History(persons=persons, committed=known in {_sha1(blob), hashlib.sha256(blob).hexdigest()})


def _sha1(data: bytes) -> str:
    """Return the name that git gives an object; it names, it proves nothing."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _repository(folder: Path) -> tuple[Path, tuple[Path, ...]] | None:
    """Return the top of the working tree that a folder lies in, and the folders that hold its history."""
    for top in (folder, *folder.parents):
        place = top / ".git"
        if place.is_dir():
            return top, (place,)
        if place.is_file():
            return _linked(top, place)
    return None


def _linked(top: Path, pointer: Path) -> tuple[Path, tuple[Path, ...]] | None:
    """Return the same for a working tree whose history lies elsewhere (gitrepository-layout, "gitfile")."""
    try:
        with pointer.open("rb") as file:
            told = file.read(MAX_POINTER).decode().strip()
        own = (top / told.removeprefix("gitdir:").strip()).resolve()
        shared = own / "commondir"
        common = (own / shared.read_text(encoding="utf-8").strip()).resolve() if shared.is_file() else own
    except (OSError, UnicodeDecodeError):
        return None
    folders = tuple(dict.fromkeys((own, common)))
    return (top, folders) if all(each.is_dir() for each in folders) else None


def _ask(plant: Plant, git: str, folders: tuple[Path, ...], *words: str) -> str:
    """Return what git answers, confined to the repository's folders; nothing where it fails."""
    with _scratch(plant) as scratch:
        job = Job(
            argv=(
                git,
                f"--git-dir={folders[0]}",
                "-c",
                "safe.directory=*",
                "--no-pager",
                "--literal-pathspecs",
                *words,
            ),
            readable=folders,
            writable=(scratch,),
            env=QUIET,
            cwd=scratch,
            limits=LIMITS,
        )
        try:
            result = plant.open_sandbox(Tier.PROCESS).run(job)
        except HoldfastError:  # no sandbox here, or a folder it will not show: then history says nothing
            return ""
    return result.stdout.decode(errors="replace") if result.end is JobEnd.FINISHED else ""


@contextmanager
def _scratch(plant: Plant) -> Iterator[Path]:
    folder = plant.scratch / plant.entropy.token(8).hex()
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
