"""The scan for secrets as a command: files and folders in; a table, a SARIF file, a baseline and an exit code out.

It needs no workspace and writes nothing but the files that were asked for. Something found, or something that could not
be read, ends with exit code 1, so that a build stops; accepted finds are listed and pass.
"""

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from holdfast import __version__
from holdfast.core.errors import InvalidInput, UsageError
from holdfast.engines.sarif import Result, sarif
from holdfast.engines.secrets.baseline import MIN_REASON, Accepted, Baseline, read_baseline, written
from holdfast.engines.secrets.history import Appeared, look_through
from holdfast.engines.secrets.scan import Collector, Leak, Scan, collect
from holdfast.lifecycle.reply import Progress, Reply, Table, counted, silent

ROWS: Final = 200  # of the table; the document holds all
_SALT: Final = 16  # bytes


def secrets_scan(
    *,
    paths: Sequence[Path],
    history: Iterable[Appeared] = (),
    baseline: Path | None = None,
    sarif_file: Path | None = None,
    write_baseline: Path | None = None,
    reason: str | None = None,
    tell: Callable[[Progress], None] = silent,
) -> Reply:
    """Look for secrets in files and folders.

    Args:
        paths: What to look through.
        history: What histories hold, the oldest first, looked through as well.
        baseline: Accepted finds, as an earlier call wrote them.
        sarif_file: Where to write the finds as SARIF.
        write_baseline: Where to write a baseline that accepts all that is found now, and what `baseline` accepted.
        reason: Why it is accepted.
        tell: Is told nothing: the scan is one step.

    Raises:
        UsageError: A path does not exist, or a baseline is to be written without a reason.
        InvalidInput: The baseline cannot be read, or a file not be written.
    """
    del tell
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise UsageError("there is nothing of this name", place=str(missing[0]), expected="a file or a folder")
    if write_baseline is not None and len((reason or "").strip()) < MIN_REASON:
        raise UsageError("a baseline without a reason", expected="--reason with a sentence")
    known = read_baseline(baseline) if baseline else None
    if write_baseline is not None and known is None:
        known = Baseline(version=1, salt=secrets.token_hex(_SALT))
    into = Collector(known)
    left_out = collect(paths, into)
    look_through(history, into)
    found = into.result(left_out)
    if sarif_file is not None:
        _write(sarif_file, json.dumps(_sarif(found), ensure_ascii=False, indent=1).encode() + b"\n")
    if write_baseline is not None and known is not None:
        return _accept(write_baseline, known, found, (reason or "").strip())
    return _reply(found)


def _accept(path: Path, known: Baseline, found: Scan, reason: str) -> Reply:
    marks = {each.mark for each in known.accepted}
    new = {
        leak.mark: Accepted(mark=leak.mark, rule=leak.rule, where=leak.path, reason=reason)
        for leak in found.leaks
        if leak.mark not in marks
    }
    accepted = (*known.accepted, *new.values())
    _write(path, written(Baseline(version=1, salt=known.salt, accepted=accepted)))
    says = f"{len(new)} accepted, {len(accepted)} in all: {path}. What is accepted is still out: change those secrets."
    return Reply(says=says, document={"accepted": len(accepted), "new": len(new), "file": str(path)})


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InvalidInput(f"the file cannot be written: {error.strerror}", place=str(path)) from error


def _reply(found: Scan) -> Reply:
    rows = [(leak.severity, leak.place, leak.rule, leak.masked) for leak in found.leaks[:ROWS]]
    tables = [Table(title="Secrets", columns=("severity", "where", "rule", "masked"), rows=rows)]
    if found.accepted:
        accepted = [(leak.place, leak.rule, leak.reason) for leak in found.accepted[:ROWS]]
        tables.append(Table(title="Accepted", columns=("where", "rule", "reason"), rows=accepted))
    if found.unread:
        tables.append(Table(title="Not read", columns=("where", "why"), rows=found.unread[:ROWS]))
    severities = Counter(str(leak.severity) for leak in found.leaks)
    words = ", ".join(f"{count} {severity}" for severity, count in sorted(severities.items())) or "no secret"
    says = f"{words} in {counted(found.files, 'file')}, {found.bytes / 1e6:.1f} MB of text"
    says += f"; {len(found.accepted)} accepted" if found.accepted else ""
    says += f"; {len(found.unread)} NOT READ" if found.unread else ""
    says += f"; left out: {', '.join(found.left_out[:5])}" if found.left_out else ""
    if any(leak.commit for leak in found.leaks):
        says += ". What a history holds is handed out with every clone, also once it is gone from the files"
    if found.leaks:
        says += ". Change each secret first, then take it out: whoever has read the file has it."
    return Reply(says=says, document=document(found), tables=tables, exit_code=0 if found.clean else 1)


def document(found: Scan) -> dict[str, object]:
    """Return a scan as a JSON document, without any secret."""
    return {
        "clean": found.clean,
        "files": found.files,
        "bytes": found.bytes,
        "secrets": [_listed(leak) for leak in found.leaks],
        "accepted": [_listed(leak) | {"reason": leak.reason} for leak in found.accepted],
        "unread": [{"where": where, "why": why} for where, why in found.unread],
        "left_out": list(found.left_out),
    }


def _listed(leak: Leak) -> dict[str, object]:
    return {
        "path": leak.path,
        "commit": leak.commit,
        "inside": leak.inside,
        "line": leak.line,
        "column": leak.column,
        "rule": leak.rule,
        "says": leak.says,
        "severity": str(leak.severity),
        "masked": leak.masked,
    }


def _sarif(found: Scan) -> dict[str, object]:
    results = [
        Result(
            rule=leak.rule,
            severity=leak.severity,
            message=f"{leak.says}: {leak.masked}" + (f", since commit {leak.commit}" if leak.commit else ""),
            path=leak.path,
            line=leak.line if not (leak.inside or leak.commit) else 0,
            inside=leak.inside,
            suppressed=leak.reason,
        )
        for leak in (*found.leaks, *found.accepted)
    ]
    rules = {leak.rule: leak.says for leak in (*found.leaks, *found.accepted)}
    return sarif(results, version=__version__, rules=rules)
