"""Inputs: what a person hands in, read within limits and only from the project's own folder, stored and recorded."""

import hashlib
from pathlib import Path, PurePosixPath
from typing import Final

from holdfast.core.artifact import Artifact, Digest, File, Kind, digest_bytes, manifest
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, InvalidProject, InvalidRecipe, Refused
from holdfast.core.placement import check_placed, rows_in
from holdfast.core.project import MAX_PROJECT, Project, parse_project
from holdfast.core.sources import named_in
from holdfast.lifecycle.contract_files import written_out
from holdfast.lifecycle.decided import with_decisions
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.quarantine import ARTIFACTS_KEY, check_free, named, state
from holdfast.lifecycle.reply import short

__all__ = ["ARTIFACTS_KEY", "MAX_REASON", "check_reason", "read_given", "read_project_file", "rows_key", "take_in"]

MAX_REASON: Final = 500  # characters
MAX_RECIPE: Final = 1 << 20  # bytes; training code that people can review is a hundredth of it


def read_project_file(path: Path) -> bytes:
    """Return the bytes of a project file, one more than a project may have where it is too long.

    What it takes from files beside it (a contract, digests of references) is written out at its end, so that the bytes
    say everything, and their digest covers it.

    Raises:
        InvalidProject: There is none, or it cannot be read; or its contract is none, or contradicts it.
    """
    try:
        text = read_given(path, limit=MAX_PROJECT + 1, what="the project file")
    except InvalidInput as error:
        remedy = "Change to the project's folder, or write one with `holdfast init`."
        raise InvalidProject(error.message, place=path.name, expected=error.expected, remedy=remedy) from error
    return written_out(text, path.parent)


def read_given(path: Path, *, limit: int, what: str) -> bytes:
    """Return at most `limit` bytes of a file that a person named; a link they made is followed.

    Args:
        path: The file.
        limit: The most bytes to read. Whoever parses them refuses what is longer.
        what: What it is, for the error: "the policy".

    Raises:
        InvalidInput: It is no regular file, or cannot be read.
    """
    try:
        if not path.is_file():
            words = "is not a regular file" if path.exists() else "is missing"
            raise InvalidInput(f"{what} {words}", place=str(path), expected="a regular file")
        with path.open("rb") as file:
            return file.read(limit)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte in it
        raise InvalidInput(f"{what} cannot be read: {_reason(error)}", place=str(path)) from error


def check_reason(reason: str) -> None:
    """Check that a reason is a sentence that may stay on record.

    Raises:
        InvalidInput: It is empty, too long, or not one line of text.
    """
    if not reason.strip() or len(reason) > MAX_REASON or not reason.isprintable():
        expected = f"a sentence of up to {MAX_REASON} printable characters"
        raise InvalidInput("the reason is empty, too long, or not one line of text", expected=expected)


def take_in(plant: Plant) -> tuple[Project, dict[Kind, Artifact]]:
    """Store and record the project file, its source, and its recipe or the model from outside in its place.

    Raises:
        InvalidProject: The file is missing or wrong, or names a source that is not there or lies outside the project.
        InvalidRecipe: The same, for the recipe; or it is too long.
        NotFound: There is no such policy as the project names.
        InvalidInput: That policy is malformed.
        Refused: The rows may not be where this machine, or the store of its blobs, stands; or rows, recipe or model
            came from outside and lie in quarantine.
    """
    text = read_project_file(plant.home.project_file)
    project, digest = parse_project(text)
    check_placed(rows_in(project), plant.regions)
    plant.load_policy(project.gates.policy)  # whoever runs for minutes should not learn only then that there is no gate
    text, project, digest, listed = with_decisions(plant, text, project, digest)
    beside = (
        None
        if named_in(project.data.source)
        else inside(plant.home.root, project.data.source, "data.source", InvalidProject)
    )
    made_by = _outside(plant, project.train.outside) if project.train.outside else _recipe(plant, project)
    plant.blobs.put(text)
    rows, size = _rows(plant, project, beside)
    held = {
        Kind.PROJECT: Artifact(kind=Kind.PROJECT, digest=digest, size=len(text)),
        Kind.SOURCE: Artifact(kind=Kind.SOURCE, digest=rows, size=size),
        made_by.kind: made_by,
    }
    drafts = [draft for artifact in held.values() if (draft := plant.recording(artifact, (), "owner"))] + listed
    if project.features.use:
        from holdfast.lifecycle.feature_sources import take_views  # which reads files as this module does

        held[Kind.VIEWS], more = take_views(plant, project)
        drafts += more
    if drafts:
        plant.ledger.append(drafts)
    return project, held


def _rows(plant: Plant, project: Project, beside: Path | None) -> tuple[Digest, int]:
    """Take the rows in: a file beside the project, or all that its sources have sent, as one file."""
    if beside is not None:
        return take_rows(plant, beside)
    from holdfast.lifecycle.merging import merged  # which loads what reads tables

    return merged(plant, project)


def _recipe(plant: Plant, project: Project) -> Artifact:
    """Store the training code that a project names, and return it."""
    named = project.train.recipe.partition(":")[0]
    recipe = inside(plant.home.root, named, "train.recipe", InvalidRecipe)
    code = read_given(recipe, limit=MAX_RECIPE + 1, what="the recipe")
    if len(code) > MAX_RECIPE:
        raise InvalidRecipe("the recipe is too long", place=named, expected=f"at most {MAX_RECIPE} bytes")
    check_free(plant, digest_bytes(code), "the recipe")
    stored = plant.sealed(ARTIFACTS_KEY).put(code)
    # The name that the project declares, not the one of a file that a link leads to: the trainer looks for this one.
    recipes = manifest([File(path=PurePosixPath(named).name, digest=stored, size=len(code))])
    return Artifact(kind=Kind.RECIPE, digest=plant.blobs.put(recipes.document), size=recipes.size)


def _outside(plant: Plant, digest: str) -> Artifact:
    """Return a model from outside that a project names in a recipe's place.

    Raises:
        NotFound: Nothing of this digest came in.
        Refused: It is no model, or was not admitted.
    """
    thing, sort = named(plant, digest)
    now = state(plant, thing.digest)
    if sort != "model" or now != "admitted":
        words = f"a {sort}" if sort != "model" else now
        remedy = f"Have a model admitted: holdfast intake admit {short(thing.digest)} --reason …"
        raise Refused(f"what stands in the recipe's place came from outside and is {words}", place=thing.digest,
                      remedy=remedy)  # fmt: skip
    return thing


def rows_key(source: str) -> str:
    """Return the name of the data key of a data set: of its source, and of every row that is made from it."""
    return f"rows {source}"


def take_rows(plant: Plant, source: Path) -> tuple[Digest, int]:
    """Store a source under a data key of its own, and return its digest and size.

    Raises:
        Conflict: It was written to while it was read; nothing is on record.
    """
    with source.open("rb") as file:
        digest = Digest("sha256:" + hashlib.file_digest(file, "sha256").hexdigest())
        size = file.tell()
    check_free(plant, digest, "the source")
    if plant.sealed(rows_key(digest)).put_file(source) != digest:
        raise Conflict("the source was written to while it was read", place=source.name, remedy="Run again.")
    return digest, size


def inside(root: Path, name: str, key: str, error: type[HoldfastError]) -> Path:
    """Return a file of the project's own folder; a path that leads out of it is refused, also through a link."""
    place = f"holdfast.toml: {key}"
    try:
        path = (root / name).resolve()
        if not path.is_relative_to(root.resolve()):
            expected = "a file under the project's folder"
            raise error(f"{name!r} lies outside the project", place=place, expected=expected)
        if not path.is_file():
            words = "is not a regular file" if path.exists() else "does not exist"
            raise error(f"the file {name!r} {words}", place=place, expected="a regular file")
    except (OSError, RuntimeError, ValueError) as cause:  # too long a name, links in a circle, a zero byte
        raise error(f"the file {name[:80]!r} cannot be read: {_reason(cause)}", place=place) from cause
    return path


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
