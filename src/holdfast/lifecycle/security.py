"""Security events listed and exported; and ordinary logs pruned, which are kept for a shorter time than those."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from holdfast import __version__
from holdfast.core.artifact import Digest
from holdfast.core.errors import InvalidInput, Unavailable
from holdfast.core.ledger import Draft
from holdfast.core.policy import seconds
from holdfast.core.security import Happening, happenings, ocsf
from holdfast.core.telemetry import DRAINED
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project

PRUNED: Final = "logs.pruned"  # body: removed, before, telemetry: the position before which windows are gone
FORMATS: Final = ("ocsf", "plain")


def events(plant: Plant, *, last: int = 20, sort: str | None = None, before: int | None = None) -> Reply:
    """List security events, newest last; only those before a number, if one is given.

    Raises:
        InvalidInput: `last` is below 1.
    """
    if last < 1:
        raise InvalidInput(f"--last {last}", expected="at least 1")
    found = [event for event in happenings(plant.ledger.entries()) if sort in {None, str(event.sort)}]
    shown = [event for event in found if before is None or event.number < before][-last:]
    rows = [
        (
            str(event.number),
            f"{event.time:%Y-%m-%d %H:%M:%S}",
            event.sort,
            event.kind,
            event.actor,
            short(event.subject) if event.subject.startswith("sha256:") else event.subject,
            f"{event.words[:80]}{f' (×{event.count})' if event.count > 1 else ''}",
        )
        for event in shown
    ]
    columns = ("number", "time (UTC)", "sort", "kind", "by", "about", "words")
    return Reply(
        says=f"{len(rows)} of {counted(len(found), 'security event')}.",
        document={"events": [_plain(event) for event in shown], "total": len(found)},
        tables=(Table(title="Security events", columns=columns, rows=rows),),
    )


def events_export(plant: Plant, *, out: Path, since: str | None = None, format: str = "ocsf") -> Reply:  # noqa: A002 - the option's name
    """Write security events as JSON lines, every one of them, numbered without gaps.

    Args:
        plant: The control plane.
        out: The file.
        since: Only those from this moment on, as ISO 8601; the numbers stay those of the whole ledger.
        format: `ocsf` (Open Cybersecurity Schema Framework) or `plain`.

    Raises:
        InvalidInput: The moment or the format is none, or the file cannot be written.
    """
    if format not in FORMATS:
        raise InvalidInput(f"the format {format[:40]!r}", expected=" or ".join(FORMATS))
    begin = _moment(since) if since else datetime.min.replace(tzinfo=UTC)
    count, first, last = 0, 0, 0
    try:
        with out.open("w", encoding="utf-8") as file:
            for event in happenings(plant.ledger.entries()):
                if event.time < begin:
                    continue
                told = ocsf(event, origin=plant.origin, version=__version__) if format == "ocsf" else _plain(event)
                file.write(json.dumps(told, ensure_ascii=False, sort_keys=True) + "\n")
                count, first, last = count + 1, first or event.number, event.number
    except OSError as error:
        raise InvalidInput(f"the file cannot be written: {error.strerror}", place=str(out)) from error
    says = f"{count} security events written to {out}" + (f", numbers {first} to {last}." if count else ".")
    return Reply(says=says, document={"events": count, "first": first, "last": last, "format": format})


def _plain(event: Happening) -> dict[str, Any]:
    return {
        "number": event.number,
        "position": event.position,
        "entry": event.digest,
        "time": event.time.isoformat(),
        "kind": event.kind,
        "sort": str(event.sort),
        "severity": event.severity,
        "actor": event.actor,
        "subject": event.subject,
        "words": event.words,
        "count": event.count,
    }


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{text[:40]!r} is no moment", expected="such as 2026-11-26T21:00Z") from error
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogClass:
    """Files that tell what happened: where they lie, and for which of the two times they are kept."""

    name: str
    sort: Literal["ordinary", "security"]
    folder: str  # below the workspace
    pattern: str


LOGS: Final = (
    LogClass(name="gateway log", sort="ordinary", folder="gateway", pattern="*.log"),
    LogClass(name="leftovers of runs", sort="ordinary", folder="scratch", pattern="**/*"),
    LogClass(name="refused telemetry", sort="security", folder="gateway/spool", pattern="*.refused-*"),
    LogClass(
        name="refused telemetry from elsewhere", sort="security", folder="gateways", pattern="*/spool/*.refused-*"
    ),
    LogClass(name="broken events", sort="security", folder="gateway/spool", pattern="*.broken"),
    LogClass(name="damaged blobs", sort="security", folder="published/damaged", pattern="*"),
)
"""Classes of files, each with its time. What the gateway wrote and the ledger has not taken yet belongs to none."""


def logs_prune(plant: Plant, *, dry: bool = False) -> Reply:
    """Remove logs past their time: ordinary ones past `retention.ordinary`, security files past `retention.security`.

    Security events themselves are entries of the ledger and stay. Sealed windows of traffic are ordinary: their bytes
    go, the entries that name them stay, and so do those that anchor a chain of security events.

    Raises:
        Unavailable: Something cannot be removed.
    """
    kept = current_project(plant).retention
    now = plant.clock.now()
    ends = {
        "ordinary": now - timedelta(seconds=seconds(kept.ordinary)),
        "security": now - timedelta(seconds=seconds(kept.security)),
    }
    paths = {log.name: list(_past(plant.home.workspace, log, ends[log.sort])) for log in LOGS}
    removed = {name: len(found) for name, found in paths.items()}
    windows, before = _windows(plant, ends["ordinary"])
    removed["windows of traffic"] = len(windows)
    if not dry and any(removed.values()):
        # On record first: bytes that are gone without a word would look like tampering.
        body = {"removed": removed, "before": ends["ordinary"].isoformat(), "telemetry": before}
        plant.ledger.append([Draft(kind=PRUNED, actor="registry", stream="logs", body=body)])
        for path in (path for found in paths.values() for path in found):
            _remove(path)
        for digest in windows:
            plant.discard_blob(digest)
    rows = [(name, str(count)) for name, count in removed.items()]
    verb = "would be removed" if dry else "were removed"
    says = (
        f"{sum(removed.values())} logs {verb}: ordinary ones are kept {kept.ordinary}, security ones {kept.security}."
    )
    table = Table(title="Logs", columns=("class", verb), rows=rows)
    return Reply(says=says, document={"removed": removed, "dry": dry}, tables=(table,))


def _past(workspace: Path, log: LogClass, end: datetime) -> Iterator[Path]:
    """Yield the files of a class that were last written before a moment; no link is followed."""
    for path in sorted((workspace / log.folder).glob(log.pattern)):
        status = path.lstat()
        if not path.is_dir() and datetime.fromtimestamp(status.st_mtime, UTC) < end:
            yield path


def _remove(path: Path) -> None:
    try:
        os.unlink(path)  # noqa: PTH108 - the link itself, should it be one
    except FileNotFoundError:
        return  # somebody was faster
    except OSError as error:
        raise Unavailable(f"a log cannot be removed: {error.strerror}", place=str(path)) from error


def _windows(plant: Plant, end: datetime) -> tuple[list[Digest], int]:
    """Return the stored windows of traffic that were taken in before a moment, and the position behind the last."""
    found: list[Digest] = []
    before = pruned_before(plant)
    for entry in plant.ledger.entries(before):
        if entry.moment >= end:
            break
        before = entry.position + 1
        if entry.kind == DRAINED and entry.body["release"]:
            found.append(Digest(entry.body["envelope"]))
    return [digest for digest in found if plant.blobs.has(digest)], before


def pruned_before(plant: Plant) -> int:
    """Return the position before which windows of traffic have been pruned; 0 for never."""
    entry = plant.last("logs", PRUNED)
    return int(entry.body["telemetry"]) if entry else 0
