"""Commands about versions of a data set: commit, log, tag, branch, check out, and hold a checked-out table to it."""

from pathlib import Path
from typing import Any, Final, Literal

from holdfast.core.artifact import Artifact, Digest, Kind
from holdfast.core.errors import Conflict, InvalidInput, NotFound, NotVerified, Refused
from holdfast.core.ledger import Draft
from holdfast.core.project import Project
from holdfast.core.seal import COMMIT, claimed
from holdfast.core.versions import (
    BRANCHED,
    MAIN,
    TAGGED,
    Commit,
    Named,
    ancestry,
    check_message,
    check_name,
    pointer_of,
    stream_of,
)
from holdfast.lifecycle.inputs import check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import carry
from holdfast.lifecycle.trail import READ, reading
from holdfast.lifecycle.versions import (
    Note,
    Version,
    append_at,
    commit_dataset,
    contents_of,
    layout_for,
    named_of,
    opened,
    readable,
    version_of,
)

__all__ = ["READ", "data_branch", "data_checkout", "data_commit", "data_log", "data_tag", "data_verify"]

FORMS: Final = ("delta", "source")


def data_commit(
    plant: Plant, *, message: str, branch: str = MAIN, expect: str | None = None, version: str | None = None
) -> Reply:
    """Ingest the project's source and commit the rows that hold, or commit an earlier version's rows again.

    Raises:
        Conflict: The branch is not at the version that was expected.
        NotFound: There is no such branch or version.
        HoldfastError: Whatever goes wrong while rows are taken in; nothing is committed then.
    """
    note = Note(message=check_message(message), branch=branch, expect=expect or "")
    if version is not None:
        return _again(plant, version_of(plant, version), note)
    made: list[Version | None] = []

    def commit(project: Project, held: dict[Kind, Artifact]) -> None:
        made.append(commit_dataset(plant, project, held, note))

    carry(plant, "ingest", commit)
    return _committed(plant, made[0], branch)


def _again(plant: Plant, earlier: Version, note: Note) -> Reply:
    project = current_project(plant)
    commit = earlier.commit
    if commit.name != project.project.name:
        words = f"{commit.name} is another data set than {project.project.name}"
        raise InvalidInput(words, expected="a version of this project's data set")
    if not readable(plant, commit):
        raise NotFound("the rows of this version were erased", place=earlier.digest)
    digests = {Kind.SOURCE: commit.source, Kind.DATASET: commit.dataset, Kind.PROJECT: commit.project}
    held = {kind: Artifact(kind=kind, digest=Digest(digest), size=0) for kind, digest in digests.items()}
    plant.unlock()
    with plant.ledger.lease("run"):
        return _committed(plant, commit_dataset(plant, project, held, note), note.branch)


def _committed(plant: Plant, made: Version | None, branch: str) -> Reply:
    if made is None:
        name = current_project(plant).project.name
        at = version_of(plant, f"{name}@{branch}")
        says = f"Nothing changed: {name}@{branch} is at {at.short}, which holds these very rows."
        return Reply(says=says, document={"commit": at.digest, "changed": False})
    commit = made.commit
    after = f", after {short(commit.parents[0])}" if commit.parents else ", the first"
    says = f"{commit.name}@{branch} is now at {made.short}: {counted(commit.rows, 'row')}{after}."
    return Reply(says=says, document={"commit": made.digest, "changed": True, **_document(made)})


def data_log(plant: Plant, *, version: str | None = None, most: int = 50) -> Reply:
    """List a data set's versions, newest first, along the first parents of one; every signature is verified.

    Raises:
        NotFound: There is no such data set or version.
        NotVerified: A commit on record is not signed by whoever may sign it.
    """
    if most < 1:
        raise InvalidInput(f"at most {most} versions", expected="at least 1")
    start = version_of(plant, version or MAIN)
    named = named_of(plant, start.commit.name)
    line = ancestry(named, start.digest)
    found = [opened(plant, named, digest) for digest in line[:most]]
    rows = [
        (
            each.short,
            ", ".join(named.names_of(each.digest)),
            each.entry.time[:19],
            each.commit.author,
            str(each.commit.rows),
            each.commit.message,
        )
        for each in found
    ]
    columns = ("version", "names", "committed", "author", "rows", "message")
    document = {
        "data": start.commit.name,
        "versions": [{**_document(each), "names": list(named.names_of(each.digest))} for each in found],
        "branches": [{"name": name, "commit": at} for name, at in sorted(named.branches.items())],
        "tags": [{"name": name, "commit": at} for name, at in sorted(named.tags.items())],
    }
    shown = "" if len(found) == len(line) else f"; the newest {len(found)} are shown"
    count = counted(len(line), "version leads", "versions lead")
    says = f"{count} to {start.commit.name} {start.short}{shown}; every signature verified."
    return Reply(says=says, document=document, tables=(Table(title="Versions", columns=columns, rows=rows),))


def _document(version: Version) -> dict[str, Any]:
    commit = version.commit
    return {
        "version": version.digest,
        "dataset": commit.dataset,
        "branch": commit.branch,
        "parents": list(commit.parents),
        "author": commit.author,
        "message": commit.message,
        "time": version.entry.time,
        "rows": commit.rows,
        "root": commit.root,
        "source": commit.source,
        "project": commit.project,
    }


def data_tag(plant: Plant, *, tag: str, version: str = MAIN) -> Reply:
    """Give a version a name that never moves.

    Raises:
        Conflict: There is such a tag or branch already.
        NotFound: There is no such version.
    """
    at = _name(plant, tag, "tag", version)
    says = f"{at.commit.name}@{tag} is {at.short}, for good."
    return Reply(says=says, document={"tag": tag, "commit": at.digest})


def data_branch(plant: Plant, *, branch: str, version: str = MAIN) -> Reply:
    """Begin a branch at a version; `holdfast data commit --branch` goes on from there.

    Raises:
        Conflict: There is such a branch or tag already.
        NotFound: There is no such version.
    """
    at = _name(plant, branch, "branch", version)
    says = f"The branch {branch} of {at.commit.name} begins at {at.short}."
    return Reply(says=says, document={"branch": branch, "commit": at.digest})


def _name(plant: Plant, name: str, what: Literal["branch", "tag"], version: str) -> Version:
    """Give a version a name that neither a branch nor a tag has, also not one that is given at this moment."""
    check_name(name, what)
    at = version_of(plant, version)
    stream = stream_of(at.commit.name)
    taken = _taken(named_of(plant, at.commit.name), name)
    if taken:
        raise Conflict(f"{name!r} is taken: it is {short(taken)}", expected="a name that no branch and no tag has")
    body = {what: name, "commit": at.digest, "pointer": {"name": pointer_of(at.commit.name, name), "digest": at.digest}}
    draft = Draft(kind=TAGGED if what == "tag" else BRANCHED, actor=plant.actor, stream=stream, body=body)
    append_at(plant, stream, draft, lambda: not _taken(named_of(plant, at.commit.name), name))
    return at


def _taken(named: Named, name: str) -> str:
    return named.branches.get(name) or named.tags.get(name) or ""


def data_checkout(plant: Plant, *, version: str, out: Path, reason: str, form: str = "delta") -> Reply:
    """Write a version to a new folder as a plain Delta table, or its source to a new file; on record before a byte is.

    Raises:
        InvalidInput: There is something at `out`, no reason is given, or there is no such form.
        NotFound: There is no such version, or its rows were erased.
        NotVerified: Its rows are not what its commit signs; nothing is written.
    """
    check_reason(reason)
    if form not in FORMS:
        raise InvalidInput(f"the form {form[:40]!r}", expected=" or ".join(FORMS))
    if out.exists():
        raise InvalidInput("there is something already where the version would lie", place=str(out))
    at = version_of(plant, version)
    if form == "source":
        files = {out: plant.blobs.get(Digest(at.commit.source))}
    else:
        files = {out / path: data for path, data in _table_files(plant, at).items()}
    plant.ledger.append([reading(plant, at, "checkout", reason=reason)])
    (out.parent if form == "source" else out).mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, data in files.items():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(data)
    what = "its source, as it came in," if form == "source" else "a Delta table of its rows"
    says = f"{at.commit.name} {at.short}: {what} lies decrypted in {out}."
    return Reply(says=says, document={"commit": at.digest, "form": form, "rows": at.commit.rows})


def _table_files(plant: Plant, at: Version) -> dict[str, bytes]:
    from holdfast.engines import delta

    files = contents_of(plant, at.commit)
    files[delta.LAYOUT_FILE] = plant.blobs.get(Digest(at.commit.layout))
    files[delta.COMMIT_FILE] = plant.blobs.get(Digest(at.entry.body["envelope"]))
    return files


def data_verify(plant: Plant, *, folder: Path, version: str | None = None) -> Reply:
    """Hold a table that was checked out against what its commit signs, byte for byte, and name whatever differs.

    Without `version` the folder's own word says which version it is, and only a version on record will do; give one to
    notice a folder in whose place an older table was put, its word with it.

    Raises:
        InvalidInput: The folder does not say which version it is.
        NotFound: The version is not on record.
        NotVerified: With every difference by file and row group.
    """
    from holdfast.engines.delta import read_table

    at = version_of(plant, version) if version else _said_by(plant, folder)
    frame = read_table(folder, layout_for(plant, at.commit))
    if frame.height != at.commit.rows:
        raise NotVerified(f"the table holds {frame.height} rows, not {at.commit.rows}", place=str(folder))
    named = named_of(plant, at.commit.name)
    behind = [name for name, head in named.branches.items() if at.digest in ancestry(named, head)[1:]]
    older = f" It is not the newest: {', '.join(behind)} went on." if behind else ""
    rows = counted(frame.height, "row")
    says = f"{folder} is {at.commit.name} {at.short} as it was signed: {rows}, every byte verified.{older}"
    document = {"commit": at.digest, "rows": frame.height, "newest": not behind, "root": at.commit.root}
    return Reply(says=says, document=document)


def _said_by(plant: Plant, folder: Path) -> Version:
    """Return the version that a folder says it is; its word is only looked up, what counts is what is on record."""
    from holdfast.engines.delta import COMMIT_FILE
    from holdfast.lifecycle.inputs import read_given

    document = read_given(folder / COMMIT_FILE, limit=1 << 20, what="the table's signed commit")
    said: Commit = claimed(document, COMMIT)
    named = named_of(plant, said.name)
    for digest, entry in named.commits.items():
        if entry.body["dataset"] == said.dataset and entry.body["envelope"] == _digest(document):
            return opened(plant, named, digest)
    raise NotFound(f"no version of {said.name} on record is this one", place=str(folder))


def _digest(document: bytes) -> Digest:
    from holdfast.core.artifact import digest_bytes

    return digest_bytes(document)


def refuse_erased(plant: Plant, at: Version) -> None:
    """Refuse a version whose rows are gone.

    Raises:
        Refused: They are.
    """
    if not readable(plant, at.commit):
        raise Refused(
            "the rows of this version were erased", place=at.digest, remedy="`holdfast data trail` says when."
        )
