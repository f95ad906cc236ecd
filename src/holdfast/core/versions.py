"""Versions of a data set: signed commits over content-addressed snapshots, and the names that point at them.

Decides what a commit says, which names may be given, and what a stream of entries makes of branches and tags. Whether a
commit's envelope verifies is for whoever reads the stream; what the rows are is for the store of blobs.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from holdfast.core.artifact import Moment
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.ledger import Entry

COMMITTED: Final = "data.committed"  # body: commit, envelope, dataset, branch, parents, pointer
BRANCHED: Final = "data.branched"  # body: branch, commit, pointer
TAGGED: Final = "data.tagged"  # body: tag, commit, pointer

MAIN: Final = "main"  # the branch that `run` commits to
MAX_MESSAGE: Final = 500  # characters; a version's message is a sentence, not a report
SHORTEST: Final = 4  # characters of a digest that may stand for it; fewer are taken for a mistyped name
MAX_BACK: Final = 10_000  # steps that `~N` may go back; a longer way is a mistyped number
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_BACK: Final = re.compile(r"(?P<start>[^~]+)~(?P<steps>[0-9]{1,5})")


class Commit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One version: which rows, after which versions, by whom, and why."""

    name: str  # of the data set
    branch: str
    dataset: str  # digest of the DATASET
    table: str  # digest of the manifest of its files as a table that other engines read
    layout: str  # digest of the document that lists its files and row groups, each with its hash
    root: str  # of the Merkle tree over that list, hex
    rows: int
    parents: tuple[str, ...]  # commits
    source: str  # digest of the SOURCE that the rows were made from
    project: str  # digest of the project document by which they were cleaned
    author: str
    message: str
    time: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a stream says so far: commits in order, each with its envelope, and where the names point."""

    commits: Mapping[str, Entry]  # by digest of the commit; the entry that put it on record
    branches: Mapping[str, str]
    tags: Mapping[str, str]

    def names_of(self, commit: str) -> tuple[str, ...]:
        """Return the branches and tags that point at a commit."""
        return tuple(name for names in (self.branches, self.tags) for name, at in names.items() if at == commit)


def stream_of(name: str) -> str:
    """Return the name of the stream that holds a data set's versions.

    Raises:
        InvalidInput: This cannot be the name of a data set.
    """
    return f"data/{check_name(name, 'data set')}"


def pointer_of(data: str, name: str) -> str:
    """Return the name under which the ledger's pointers know a branch or tag of a data set."""
    return f"data/{data}/{name}"


def check_name(name: str, what: str) -> str:
    """Return the name of a branch, a tag or a data set.

    Raises:
        InvalidInput: It cannot be one, or could be taken for the digest of a version.
    """
    if not _NAME.fullmatch(name):
        expected = "a-z, 0-9, dot, _ and -, up to 63 characters"
        raise InvalidInput(f"{name[:80]!r} cannot name a {what}", expected=expected)
    if what != "data set" and re.fullmatch(f"[0-9a-f]{{{SHORTEST},}}", name):
        raise InvalidInput(f"{name[:80]!r} could be a digest", expected=f"a name of a {what} with another letter in it")
    return name


def check_message(message: str) -> str:
    """Return the message of a commit.

    Raises:
        InvalidInput: It is empty, too long, or not one line of text.
    """
    if not message.strip() or len(message) > MAX_MESSAGE or not message.isprintable():
        expected = f"a sentence of up to {MAX_MESSAGE} printable characters"
        raise InvalidInput("the message is empty, too long, or not one line of text", expected=expected)
    return message


def fold(entries: Iterable[Entry]) -> Named:
    """Return what a data set's stream says, the newest word on each name standing; a tag never moves.

    Commits that name parents nobody committed, and names that point at nothing, are left out: they mean nothing.
    """
    commits: dict[str, Entry] = {}
    branches: dict[str, str] = {}
    tags: dict[str, str] = {}
    for entry in entries:
        body = entry.body
        if entry.kind == COMMITTED and all(parent in commits for parent in body["parents"]):
            commits[body["commit"]] = entry
            branches[body["branch"]] = body["commit"]
        elif entry.kind == BRANCHED and body["commit"] in commits:
            branches[body["branch"]] = body["commit"]
        elif entry.kind == TAGGED and body["commit"] in commits:
            tags.setdefault(body["tag"], body["commit"])
    return Named(commits=commits, branches=branches, tags=tags)


def split_reference(text: str, default: str) -> tuple[str, str]:
    """Return data set and version of `NAME@VERSION`, `VERSION` or `NAME@`; without a version the main branch is meant.

    >>> split_reference("patients@v1", "loans"), split_reference("v1", "loans"), split_reference("patients@", "loans")
    (('patients', 'v1'), ('loans', 'v1'), ('patients', 'main'))
    """
    name, at, version = text.rpartition("@")
    return (name if at else default) or default, version or MAIN


def resolve(named: Named, version: str) -> str:
    """Return the commit that a branch, a tag or the beginning of a digest means; `~N` goes N versions back from it.

    Raises:
        NotFound: There is none, or more than one digest begins so.
    """
    back = _BACK.fullmatch(version)
    start, steps = (back["start"], int(back["steps"])) if back else (version, 0)
    found = named.branches.get(start) or named.tags.get(start) or _by_digest(named, start)
    if steps > MAX_BACK:
        raise NotFound(f"{version[:80]!r} is too far back", expected=f"at most ~{MAX_BACK}")
    for _ in range(steps):
        parents = named.commits[found].body["parents"]
        if not parents:
            raise NotFound(f"there is no version {version!r}: the history begins later", place=found)
        found = parents[0]
    return found


def _by_digest(named: Named, start: str) -> str:
    beginning = start.removeprefix("sha256:")
    found = [each for each in named.commits if each.removeprefix("sha256:").startswith(beginning)]
    if len(beginning) < SHORTEST or len(found) != 1:
        names = ", ".join([*named.branches, *named.tags][:8]) or "none yet"
        words = f"{len(found)} versions begin with {start[:80]!r}" if found else f"there is no version {start[:80]!r}"
        raise NotFound(words, expected=f"a branch or tag ({names}), or the beginning of one version's digest")
    return found[0]


def ancestry(named: Named, commit: str) -> list[str]:
    """Return a commit and all before it along first parents, newest first."""
    found = [commit]
    while parents := named.commits[found[-1]].body["parents"]:
        found.append(parents[0])
    return found
