"""Bills of materials of releases: read from the signed folder, put on record as lists of parts, shown, held together.

The folder of a release is the only source: what the index says of it was read from there once, and `completeness` reads
it again and says where the two differ.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from holdfast.core.artifact import Digest, parse_manifest
from holdfast.core.bill import LISTED, PARTS, list_name, list_stream, lists_of
from holdfast.core.errors import HoldfastError, NotFound, NotVerified
from holdfast.core.ledger import Draft
from holdfast.lifecycle import bom_supplied
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.registry_words import meant
from holdfast.lifecycle.reply import Reply, Table, short
from holdfast.lifecycle.routing import current_project
from holdfast.release.bom import completeness as lacking
from holdfast.release.bom_parts import parts_in
from holdfast.release.packaging import BOM_FILE

__all__ = ["document_of", "parts_in"]

MAX_BOM: Final = 64 << 20  # bytes; ours are a hundred kilobytes
CONTENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "training data": ("training data with origin, licence and digest",),
    "architecture": ("architecture",),
    "libraries": ("libraries with versions", "libraries as they were when training ran"),
    "hyperparameters and base models": ("hyperparameters", "base models"),
}
"""The four kinds of content that make a bill complete, and what of each may lack."""


def bytes_of(plant: Plant, release: Digest) -> bytes:
    """Return the bill of a release as it was packaged and signed, verified by digest.

    Raises:
        NotFound: The release's bytes are gone.
        NotVerified: They were changed, or it has no bill.
    """
    files = parse_manifest(plant.blobs.get(release))
    return plant.blobs.get(Digest(files.file(BOM_FILE).digest))


def document_of(plant: Plant, release: Digest) -> dict[str, Any]:
    """Return the bill of a release as JSON data.

    Raises:
        NotFound: The release's bytes are gone.
        NotVerified: They were changed, or this is no bill.
    """
    found = bytes_of(plant, release)
    try:
        document = msgspec.json.decode(found)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise NotVerified(f"the bill of materials cannot be read: {error}", place=release) from error
    if not isinstance(document, dict) or len(found) > MAX_BOM:
        raise NotVerified("the bill of materials is no object, or too long", place=release)
    return document


def listing(plant: Plant, release: Digest, model: str, document: Mapping[str, Any]) -> list[Draft]:
    """Return the entries that put a bill on record: the lists that no release had before, and which this one has."""
    lists = {list_name(parts): parts for parts in lists_of(parts_in(document))}
    known = plant.ledger.heads([list_stream(name) for name in lists])
    drafts = [
        Draft(kind=PARTS, actor="release", stream=list_stream(name), body={"parts": msgspec.to_builtins(parts)})
        for name, parts in lists.items()
        if not known[list_stream(name)][0]
    ]
    body = {"model": model, "serial": str(document["serialNumber"]), "lists": sorted(lists)}
    return [*drafts, Draft(kind=LISTED, actor="release", stream=release, body=body)]


def show(plant: Plant, *, release: str | None = None) -> Reply:
    """Show the bill of materials of a release, or what a supplier's says of something from outside.

    Raises:
        NotFound: There is no such release, its bytes are gone, or no supplier's bill was taken in.
    """
    foreign = bom_supplied.is_outside(plant, release) if release else None
    if foreign is not None:
        return bom_supplied.show(plant, foreign)
    subject = meant(plant, current_project(plant), release)
    document = document_of(plant, subject)
    model = document["metadata"]["component"]
    lacks = lacking(document)
    counts = {"components": len(document["components"]), "metrics": len(_metrics(document))}
    says = (
        f"Release {short(subject)} of {model['name']}: {counts['components']} components, {counts['metrics']} metrics; "
        + (f"it lacks {', '.join(lacks)}." if lacks else "complete.")
    )
    answer = {
        "release": subject,
        "source": "release",
        "bom": document,
        "parts": [msgspec.structs.asdict(each) for each in parts_in(document)],
        "lacks": list(lacks),
        "serial": document["serialNumber"],
    }
    return Reply(says=says, document=answer, tables=tuple(_tables(document)))


def completeness(plant: Plant, *, release: str | None = None) -> Reply:
    """Say of each release, or of one, which of the four kinds of content its bill lacks, and whether the index agrees.

    Exit code 1 where something lacks or differs, for whoever asks in a pipeline. What suppliers say of things
    from outside is told beside it, and ends nothing: theirs is not ours to complete.

    Raises:
        NotFound: There is no such release.
    """
    indexed = plant.bills.listed()
    releases: Iterable[Digest]
    if release is None:
        releases = [Digest(each) for each in indexed]
    else:
        releases = [meant(plant, current_project(plant), release)]
    found = [_complete(plant, each, indexed) for each in releases]
    bad = [each for each in found if each["unknown"] or each["lacks"] or not each["indexed"]]
    says = f"{len(found) - len(bad)} of {len(found)} bills of materials are complete and on record."
    rows = [
        (
            short(each["release"]),
            *(("—" if each["unknown"] else "lacks" if kind in each["lacks"] else "yes") for kind in CONTENTS),
            "yes" if each["indexed"] else "no",
            each["unknown"] or "; ".join(words for kind in each["lacks"].values() for words in kind),
        )
        for each in found
    ]
    table = Table(title="Completeness", columns=("release", *CONTENTS, "on record", "lacks"), rows=rows)
    outside = bom_supplied.outside(plant) if release is None else []
    tables = (table, bom_supplied.table_of(outside)) if outside else (table,)
    answer = {"bills": found, "outside": outside}
    return Reply(says=says, document=answer, tables=tables, exit_code=1 if bad else 0)


def _complete(plant: Plant, release: Digest, indexed: Mapping[str, str]) -> dict[str, Any]:
    told: dict[str, Any] = {"release": release, "lacks": {}, "indexed": False, "unknown": ""}
    try:
        document = document_of(plant, release)
        lacks = set(lacking(document))
        same = set(parts_in(document)) == set(plant.bills.parts_of(release))
    except (HoldfastError, KeyError) as error:
        return told | {"unknown": error.message if isinstance(error, HoldfastError) else f"the bill lacks {error}"}
    kinds = {kind: [each for each in words if each in lacks] for kind, words in CONTENTS.items()}
    return told | {"lacks": {kind: words for kind, words in kinds.items() if words},
                   "indexed": same and indexed.get(release) == document["serialNumber"]}  # fmt: skip


def index(plant: Plant) -> Reply:
    """Put the bills of releases on record that were made before there was an index.

    What cannot be read any more (archived, purged) is named and left out.
    """
    listed, added, left = plant.bills.listed(), [], []
    for name, serial in listed.items():
        if serial:
            continue
        release = Digest(name)
        try:
            document = document_of(plant, release)
        except (NotFound, NotVerified) as error:
            left.append({"release": release, "reason": error.message})
            continue
        plant.ledger.append(listing(plant, release, str(document["metadata"]["component"]["name"]), document))
        added.append(release)
    says = f"{len(added)} bills of materials were put on record; {len(left)} could not be read."
    return Reply(says=says, document={"added": added, "left": left})


def _metrics(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["metadata"]["component"]["modelCard"]["quantitativeAnalysis"][
        "performanceMetrics"
    ]
    return found


def _tables(document: Mapping[str, Any]) -> Iterable[Table]:
    """Yield what a person reads of a bill."""
    model, parts = document["metadata"]["component"], document["components"]
    parameters = model["modelCard"]["modelParameters"]
    stated = [(item["name"].removeprefix("holdfast:"), item["value"]) for item in model["modelCard"]["properties"]]
    about = [
        ("model", f"{model['name']} {model['version']}"),
        ("architecture", f"{parameters['architectureFamily']}: {parameters['modelArchitecture']}"[:200]),
        *stated,
    ]
    yield Table(title="Model", columns=("what", "says"), rows=about)
    data = [
        (each["name"], each["version"], each.get("description", ""), _licences(each))
        for each in parts
        if each["type"] == "data"
    ]
    yield Table(title="Data", columns=("data", "digest", "origin", "licence"), rows=data)
    metrics = [
        (each["type"], each.get("slice", ""), each["value"], f"{bounds['lowerBound']} to {bounds['upperBound']}")
        for each in _metrics(document)
        for bounds in (each["confidenceInterval"],)
    ]
    yield Table(title="Metrics", columns=("metric", "slice", "value", "interval"), rows=metrics)
    fair = model["modelCard"]["considerations"].get("fairnessAssessments", [])
    yield Table(
        title="Fairness", columns=("groups", "found"), rows=[(each["groupAtRisk"], each["harms"]) for each in fair]
    )
    libraries = [(each["name"], each["version"], _licences(each)) for each in parts if each["type"] == "library"]
    yield Table(title="Libraries", columns=("library", "version", "licence"), rows=libraries)


def _licences(component: Mapping[str, Any]) -> str:
    found = component.get("licenses", [])
    return ", ".join(each.get("expression") or each.get("license", {}).get("name", "") for each in found)
