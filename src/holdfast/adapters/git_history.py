"""What came new with each commit of a repository, read by the `git` program with nothing else's help.

Packs and deltas are git's to read. It is started without anybody's configuration but the repository's, whose parts that
start programs are switched off one by one: no hooks, no filters, no external diff, no signature checks, no network. A
repository that belongs to somebody else is refused by git itself.

1. `git log` names, oldest commit first, each content that no parent has. 2. `git cat-file` hands over each content
once, with the messages of commits and tags. What is too large is told as not read.
"""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from threading import Timer
from typing import IO, Final

from holdfast.core.errors import Unavailable, UsageError
from holdfast.engines.secrets.history import Appeared

MAX_CONTENT: Final = 64 << 20  # bytes of one content; larger ones are data
MAX_ALL: Final = 64 << 30  # bytes of a whole history
MAX_CONTENTS: Final = 10_000_000  # contents, commits and tags; the kernel's history has as many
MAX_TOKEN: Final = 1 << 20  # bytes of a path or a line of git
WITHIN_S: Final = 3600.0  # for each of git's two runs
PLACES: Final = "/usr/local/bin:/usr/bin:/bin"  # where git is looked for: not in a folder of whoever made a repository
MESSAGE: Final = "(message)"
_LINK: Final = "160000"  # the mode of a submodule: its history is its own
_ENVIRONMENT: Final = {
    "PATH": PLACES,
    "LC_ALL": "C",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_PAGER": "cat",
}
_OURS: Final = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.bigFileThreshold=16m")
_LOG: Final = (
    *("log", "--all", "--topo-order", "--reverse", "--root", "--diff-merges=combined", "--raw", "-z", "--no-abbrev"),
    *("--no-renames", "--no-ext-diff", "--no-textconv", "--no-show-signature", "--no-notes", "--no-mailmap"),
    *("--no-color", "--format=%x01%H"),
)


def appeared(repository: Path) -> Iterator[Appeared]:
    """Yield what came new with each commit that some name of a repository leads to, the oldest first.

    Raises:
        UsageError: This is no repository that git reads.
        Unavailable: There is no git here, or it did not come to its end.
    """
    if _asked(repository, "rev-parse", "--is-shallow-repository").strip() == b"true":
        yield Appeared(commit="", path=str(repository), why="a shallow clone: what came before is not here")
    with tempfile.TemporaryFile() as wanted:
        named = list(_named(repository, wanted))
        wanted.seek(0)
        yield from _contents(repository, wanted, named)


def _named(repository: Path, wanted: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Write the name of each content into a file, and yield the commit and the path that it came with."""
    known: set[bytes] = set()
    for line in _asked(repository, "for-each-ref", "--format=%(objecttype) %(objectname) %(refname)").splitlines():
        kind, content, name = line.split(b" ", 2)
        if kind == b"tag":
            wanted.write(content + b"\n")
            yield content.decode(), f"{name.decode('utf-8', 'replace')} {MESSAGE}"
    commit = ""
    with _running(repository, _LOG) as out:
        tokens = _tokens(out)
        for token in tokens:
            if token.startswith(b"\x01"):
                commit = token[1:].decode()
                wanted.write(token[1:] + b"\n")
                yield commit, MESSAGE
            elif token.startswith(b":"):
                path = next(tokens, b"").decode("utf-8", "replace")
                colons = len(token) - len(token.lstrip(b":"))
                fields = token[colons:].split(b" ")
                mode, content = fields[colons].decode(), fields[2 * colons + 1]
                if mode == _LINK or content in known or not content.strip(b"0"):
                    continue
                known.add(content)
                wanted.write(content + b"\n")
                yield commit, path
            if len(known) > MAX_CONTENTS:
                raise Unavailable(f"a history of more than {MAX_CONTENTS} contents", place=str(repository))


def _tokens(out: IO[bytes]) -> Iterator[bytes]:
    """Yield what stands between bytes of nought, without the line breaks that git puts before some."""
    rest = b""
    while piece := out.read(1 << 16):
        *whole, rest = (rest + piece).split(b"\0")
        yield from (each.lstrip(b"\n") for each in whole)
        if len(rest) > MAX_TOKEN:
            raise Unavailable("git says something without an end")
    if rest.strip():
        yield rest.strip()


def _contents(repository: Path, wanted: IO[bytes], named: Sequence[tuple[str, str]]) -> Iterator[Appeared]:
    left = MAX_ALL
    with _running(repository, ("cat-file", "--batch", "--buffer"), wanted) as out:
        for commit, path in named:
            head = out.readline(MAX_TOKEN).split()
            if len(head) != 3:  # noqa: PLR2004 - name, kind and size, or what is missing
                yield Appeared(commit=commit, path=path, why="it is not in this clone")
                continue
            size = int(head[2])
            left -= size
            if left < 0:
                raise Unavailable(f"a history of more than {MAX_ALL} bytes", place=str(repository))
            if size <= MAX_CONTENT:
                yield Appeared(commit=commit, path=path, data=out.read(size))
            else:
                for at in range(0, size, 1 << 20):
                    out.read(min(1 << 20, size - at))
                yield Appeared(commit=commit, path=path, why=f"a content of more than {MAX_CONTENT} bytes")
            out.read(1)  # the line's end


def _asked(repository: Path, *words: str) -> bytes:
    """Return what git answers to a short question.

    Raises:
        UsageError: It does not take this for a repository.
    """
    try:
        with _running(repository, words) as out:
            return out.read(MAX_CONTENT)
    except Unavailable as error:
        if error.place:
            raise
        raise UsageError(
            f"git reads no history here: {error.message}", place=str(repository), expected="a repository of one's own"
        ) from error


@contextmanager
def _running(repository: Path, words: Sequence[str], given: IO[bytes] | None = None) -> Iterator[IO[bytes]]:
    """Run git, and hand over what it says.

    Raises:
        Unavailable: There is no git, or it failed: then not everything was handed over.
    """
    program = which("git", path=PLACES)
    if program is None:
        raise Unavailable("there is no git here", place=PLACES, remedy="Install it, or scan without --history.")
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(  # noqa: S603 - the system's own git, with words of ours
            [program, "-C", str(repository.absolute()), *_OURS, *words],
            stdin=given or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=_ENVIRONMENT,
        )
        watch = Timer(WITHIN_S, process.kill)
        watch.start()
        try:
            assert process.stdout is not None  # noqa: S101 - asked for above; narrows the type
            yield process.stdout
            process.stdout.close()  # whoever was told enough has git end by itself, which is told below as not the end
            if process.wait() != 0:
                complaints.seek(0)
                said = complaints.read(500).decode("utf-8", "replace").strip()
                raise Unavailable(said.splitlines()[0] if said else "git did not come to its end")
        finally:
            watch.cancel()
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
