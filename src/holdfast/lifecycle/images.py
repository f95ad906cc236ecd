"""A container image as a command: packages held against the newest advisories, secrets of every layer, odd entries.

It runs nothing and fetches nothing. Exit code 1 where something must be done, or where something could not be read: an
image that was not looked through whole is not clean.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from holdfast.core.errors import UsageError
from holdfast.core.evidence import Severity
from holdfast.core.policy import seconds
from holdfast.engines.advisories.listing import uncovered
from holdfast.engines.advisories.matching import Match, by_severity
from holdfast.engines.advisories.snapshot import check_fresh
from holdfast.engines.images.layout import Place, images
from holdfast.engines.images.scan import Found, look_through
from holdfast.lifecycle.advisories import index_of, newest
from holdfast.lifecycle.dependencies import divided, document_of, limit_of, table_of, write_sarif
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.vex import statements_of
from holdfast.release.dependencies import refused

EPOCH: Final = 1980  # a year: repeatable builds write an earlier one
ROWS: Final = 200  # of a table; the document holds all

Judged = tuple[Found, tuple[Match, ...], tuple[tuple[Match, str], ...]]


def scan_image(plant: Plant, *, path: Path, sarif_file: Path | None = None) -> Reply:
    """Look through an image: an OCI layout, or what `docker save` writes.

    Args:
        plant: The workspace, for its snapshot of advisories and what was accepted.
        path: A folder or a plain tar.
        sarif_file: Where to write the findings as SARIF.

    Raises:
        UsageError: There is nothing at the path.
        NotVerified: A blob does not have the digest that the image names.
        InvalidInput: It is no image, or a layer cannot be read.
        Unavailable: There is no snapshot of advisories, or it is too old.
    """
    if not path.exists():
        raise UsageError("there is nothing of this name", place=str(path), expected="an OCI layout or a saved image")
    limits = current_project(plant).dependencies
    snapshot = newest(plant)
    check_fresh(snapshot, plant.clock.now(), limit_of(limits))
    index, said, place = index_of(plant, snapshot), statements_of(plant), Place(path)
    judged: list[Judged] = []
    for image in images(place):
        found = look_through(place, image)
        judged.append((found, *divided(index.match(found.packages), said)))
    every = [match for _, matches, _ in judged for match in matches]
    bad = refused(every, Severity(limits.refuse))
    if sarif_file is not None:
        write_sarif(sarif_file, path.as_posix(), every, [each for _, _, accepted in judged for each in accepted])
    longest = timedelta(seconds=seconds(limits.runtime_max_age))
    old = [(found.name, age) for found, _, _ in judged if (age := _age(found, plant.clock.now())) and age > longest]
    return _reply(path, judged, bad, snapshot.ecosystems, old)


def _age(found: Found, now: datetime) -> timedelta | None:
    """Return how long ago an image was made; None where it does not say, as repeatable builds do."""
    return now - found.created if found.created is not None and found.created.year > EPOCH else None


def _reply(
    path: Path,
    judged: Sequence[Judged],
    bad: Sequence[Match],
    ecosystems: Sequence[str],
    old: Sequence[tuple[str, timedelta]],
) -> Reply:
    rows, tables = [], []
    unread = [(found.name, *each) for found, _, _ in judged for each in found.unread]
    for found, matches, _ in judged:
        # Silence about an ecosystem is no safety; that of npm's package files in a Python image, too.
        silent = uncovered(found.packages, ecosystems)
        unread += [(found.name, each, "the snapshot holds no advisory for this ecosystem") for each in silent]
        said = ", ".join(f"{count} {name}" for name, count in by_severity(matches).items() if count) or "none open"
        rows.append(
            (found.name, str(found.layers), str(len(found.packages)), said, str(len(found.leaks)), found.user or "root")
        )
        tables.append(table_of(matches, f"Advisories in {found.name}"))
        leaks = [(str(leak.severity), leak.place, leak.rule, leak.masked) for leak in found.leaks[:ROWS]]
        tables.append(
            Table(title=f"Secrets in {found.name}", columns=("severity", "where", "rule", "masked"), rows=leaks)
        )
        odd = [*found.odd, *((name, "runs with its owner's or group's rights") for name in found.setuid)]
        odd += [(name, "a device or a pipe") for name in found.devices]
        tables.append(Table(title=f"Entries to know of in {found.name}", columns=("where", "what"), rows=odd[:ROWS]))
    columns = ("image", "layers", "packages", "advisories", "secrets", "runs as")
    tables.insert(0, Table(title="Images", columns=columns, rows=rows))
    tables.append(Table(title="Not read", columns=("image", "where", "why"), rows=unread[:ROWS]))
    leaked = sum(len(found.leaks) for found, _, _ in judged)
    traps = sum(len(found.odd) for found, _, _ in judged)
    says = f"{path}: {counted(len(judged), 'image')}; "
    says += f"{counted(len(bad), 'advisory', 'advisories')} to be fixed or accepted, {counted(leaked, 'secret')}"
    says += f", {traps} entries that no honest image has" if traps else ""
    says += f", {len(unread)} NOT READ" if unread else ""
    document = {
        "images": [_document(*each) for each in judged],
        "refused": len(bad),
        "clean": not (bad or leaked or traps),
    }
    says += "".join(f"; {name} was made {age.days} days ago: REBUILD IT" for name, age in old)
    document["overdue"] = [{"image": name, "days": age.days} for name, age in old]
    document["unread"] = [{"image": image, "where": where, "why": why} for image, where, why in unread]
    failed = bool(bad or leaked or traps or unread or old)
    return Reply(says=says + ".", document=document, tables=tables, exit_code=1 if failed else 0)


def _document(found: Found, matches: Sequence[Match], accepted: Sequence[tuple[Match, str]]) -> dict[str, Any]:
    return {
        "image": found.name,
        "layers": found.layers,
        "files": found.files,
        "bytes": found.bytes,
        "user": found.user,
        "created": found.created.isoformat() if found.created else None,
        "packages": [
            {"ecosystem": each.ecosystem, "name": each.name, "version": each.version, "place": each.place}
            for each in found.packages
        ],
        "advisories": [document_of(match) for match in matches],
        "accepted": [document_of(match, reason) for match, reason in accepted],
        "secrets": [{"where": leak.place, "rule": leak.rule, "masked": leak.masked} for leak in found.leaks],
        "setuid": list(found.setuid),
        "devices": list(found.devices),
        "odd": [{"where": where, "what": what} for where, what in found.odd],
    }
