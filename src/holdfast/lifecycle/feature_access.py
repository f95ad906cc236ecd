"""Who read which feature: entries of reads here, and what gateways have counted by feature, client and release."""

from collections import defaultdict

from holdfast.core.feature import READ
from holdfast.core.telemetry import DRAINED
from holdfast.lifecycle.online_features import DENIED
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.traffic import windows_of


def access(plant: Plant, *, view: str | None = None) -> Reply:
    """List reads by feature, consumer and release, with how many were refused.

    Raises:
        NotVerified: What a gateway told was changed.
    """
    reads: dict[tuple[str, str, str], int] = defaultdict(int)
    refused: dict[tuple[str, str, str], int] = defaultdict(int)
    releases = set[str]()
    for entry in plant.ledger.entries():
        name = entry.stream.partition("/")[2]
        if entry.kind == READ:
            for feature in entry.body["features"]:
                reads[f"{name}.{feature}", entry.body["consumer"], ""] += entry.body["reads"]
        elif entry.kind == DENIED:
            refused[entry.body["feature"], entry.body["consumer"], ""] += 1
        elif entry.kind == DRAINED and entry.body["release"]:  # the rest are security events
            releases.add(entry.body["release"])
    for release in sorted(releases):
        for window in windows_of(plant, release, -1):
            for feature, by in window.reads.items():
                for client, number in by.items():
                    reads[feature, client, release] += number
    rows = [
        {"feature": key[0], "consumer": key[1], "release": key[2], "reads": reads[key], "refused": refused[key]}
        for key in sorted({*reads, *refused})
        if view is None or key[0].startswith(f"{view}.")
    ]
    table = Table(
        title="Reads of features",
        columns=("feature", "consumer", "release", "reads", "refused"),
        rows=[
            (
                str(row["feature"]),
                str(row["consumer"]),
                short(str(row["release"])) if row["release"] else "none",
                str(row["reads"]),
                str(row["refused"] or ""),
            )
            for row in rows
        ],
    )
    total = sum(reads[key] for key in reads if view is None or key[0].startswith(f"{view}."))
    return Reply(says=f"{counted(total, 'read')} on record.", document={"reads": rows}, tables=(table,))
