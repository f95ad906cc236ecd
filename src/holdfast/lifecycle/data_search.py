"""The catalogue of data: found by name, owner, column, class, tag and lineage; and how much of it is vouched for."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import HoldfastError, InvalidInput
from holdfast.core.planning import CLASSES
from holdfast.core.versions import COMMITTED
from holdfast.lifecycle import DERIVES
from holdfast.lifecycle.consuming import SIGNED, VOUCHES, check_vouched
from holdfast.lifecycle.data_record import record_of, vouched
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.signing import check_signed
from holdfast.lifecycle.versions import named_of, opened
from holdfast.maths.intervals import wilson
from holdfast.registry.retention import Family, family

MAX_TEXT: Final = 200  # characters that are looked for


def data_search(  # noqa: PLR0913 - one argument for each condition
    plant: Plant,
    *,
    text: str | None = None,
    owner: str | None = None,
    column: str | None = None,
    sensitivity: str | None = None,
    tag: str | None = None,
    source: str | None = None,
    derives: str | None = None,
    versions: bool = False,
) -> Reply:
    """Find data sets; every condition that is given must hold, letter case apart.

    Args:
        plant: The control plane.
        text: In the name, origin, licence, owner, a column's name or description, or a message.
        owner: In the owner's name.
        column: The name of a column.
        sensitivity: The class of the data set, at least.
        tag: A tag or branch that points at it.
        source: The name of a source that has sent rows of it.
        derives: The beginning of a digest that it derives from, or that derives from it: source, model, release.
        versions: Look through every version, not through the newest of each branch and tag alone.

    Raises:
        InvalidInput: There is no such class, or the text is too long.
    """
    if sensitivity is not None and sensitivity not in CLASSES:
        raise InvalidInput(f"the class {sensitivity[:40]!r}", expected=", ".join(CLASSES))
    if any(len(each or "") > MAX_TEXT for each in (text, owner, column, tag, source, derives)):
        raise InvalidInput("so long a text is not looked for", expected=f"at most {MAX_TEXT} characters")
    known = family(plant.ledger.entries())
    found = [
        record
        for record in _records(plant, every=versions)
        if _fits(record, text=text, owner=owner, column=column, sensitivity=sensitivity, tag=tag)
        and (source is None or any(each["source"] == source for each in record["sources"]))
        and (derives is None or _related(known, record["hashes"]["dataset"], derives))
    ]
    rows = [
        (
            f"{each['data']}@{short(each['version'])}",
            ", ".join(each["names"]),
            each["owner"],
            each["sensitivity"],
            str(each["rows"]),
            each["custody"]["state"],
            "no" if each["lacks"] else "yes",
        )
        for each in found
    ]
    columns = ("data set", "names", "owner", "sensitivity", "rows", "state", "vouched for")
    document = {"data": [{key: each[key] for key in each if key not in {"history", "columns"}} for each in found]}
    says = f"{counted(len(found), 'version fits', 'versions fit')}; `holdfast data show NAME@VERSION` opens its record."
    return Reply(
        says=says, document=document, tables=(Table(title="Data", columns=columns, rows=rows),) if rows else ()
    )


def _records(plant: Plant, *, every: bool) -> Iterator[dict[str, Any]]:
    streams = dict.fromkeys(entry.stream for entry in plant.ledger.entries() if entry.kind == COMMITTED)
    for stream in sorted(streams):
        named = named_of(plant, stream.partition("/")[2])
        heads = dict.fromkeys((*named.branches.values(), *named.tags.values()))
        for digest in reversed(tuple(named.commits)) if every else heads:
            yield record_of(plant, opened(plant, named, digest))


def _fits(
    record: dict[str, Any],
    *,
    text: str | None,
    owner: str | None,
    column: str | None,
    sensitivity: str | None,
    tag: str | None,
) -> bool:
    described = [part for each in record["columns"] for part in (each["name"], each["description"])]
    said = [record["data"], record["origin"], record["licence"], record["owner"], *described]
    said += [each["message"] for each in record["history"]]
    return (
        (text is None or any(_in(text, each) for each in said))
        and (owner is None or _in(owner, record["owner"]))
        and (column is None or any(each["name"].casefold() == column.casefold() for each in record["columns"]))
        and (sensitivity is None or _class(record["sensitivity"]) >= _class(sensitivity))
        and (tag is None or tag in record["names"])
    )


def _class(name: str) -> int:
    return CLASSES.index(name) if name in CLASSES else len(CLASSES)  # unknown is not harmless


def _in(text: str, said: str) -> bool:
    return text.casefold() in said.casefold()


def _related(known: Family, dataset: str, beginning: str) -> bool:
    start = beginning.removeprefix("sha256:")
    named = [digest for digest in known.kinds if digest.removeprefix("sha256:").startswith(start)] if start else []
    up = known.ancestors([dataset])
    return any(digest in up or dataset in known.ancestors([digest]) for digest in named)


def data_coverage(plant: Plant) -> Reply:
    """Report which share of data and artifacts has a provenance that verifies, by kind, and what the rest lacks.

    A data set has it by its provenance record; what a stage makes by signature or sealed evidence and by parents on
    record; what was taken in by being an origin of something that is vouched for.
    """
    known = family(plant.ledger.entries())
    total: Counter[str] = Counter()
    good: Counter[str] = Counter()
    gaps = []
    for digest, kind in known.kinds.items():
        if kind not in DERIVES:
            continue
        total[kind] += 1
        lack = _lack(plant, known, digest, kind)
        if lack:
            gaps.append({"artifact": digest, "kind": kind.value, "lacks": lack})
        else:
            good[kind] += 1
    rows = [(kind, str(good[kind]), str(total[kind]), f"{good[kind] / total[kind]:.0%}") for kind in sorted(total)]
    everything, vouched_for = total.total(), good.total()
    share = wilson(vouched_for, everything) if everything else None
    document = {
        "share": share.value if share else 0.0,
        "low": share.low if share else 0.0,
        "high": share.high if share else 1.0,
        "verified": vouched_for,
        "artifacts": everything,
        "kinds": [{"kind": kind, "verified": good[kind], "artifacts": total[kind]} for kind in sorted(total)],
        "gaps": gaps,
    }
    have = counted(everything, "artifact has", "artifacts have")
    says = f"{vouched_for} of {have} a provenance that verifies: {document['share']:.1%}."
    lacking = [(short(each["artifact"]), each["kind"], each["lacks"]) for each in gaps]
    return Reply(
        says=says,
        document=document,
        tables=(
            Table(title="Provenance", columns=("kind", "verified", "artifacts", "share"), rows=rows),
            *([Table(title="Gaps", columns=("artifact", "kind", "lacks"), rows=lacking)] if gaps else []),
        ),
    )


def _lack(plant: Plant, known: Family, digest: str, kind: Kind) -> str:
    """Return in words what an artifact's provenance lacks; empty if nothing."""
    parents = {known.kinds.get(parent) for parent in known.parents[digest]}
    owed = [each for each in DERIVES[kind] if each not in parents and not _outside(each, parents)]
    if owed:
        return f"no {owed[0]} on record that it derives from"
    if kind is Kind.DATASET:
        _, lacks = vouched(plant, digest)
        return ", ".join(lacks)
    try:
        if kind in SIGNED:
            check_signed(plant, Digest(digest), parse_manifest(plant.blobs.get(Digest(digest))), SIGNED[kind])
        elif kind in VOUCHES:
            check_vouched(plant, Digest(digest), VOUCHES[kind])
    except HoldfastError as error:
        return error.message
    return ""


def _outside(kind: Kind, parents: set[Kind | None]) -> bool:
    return kind is Kind.RECIPE and Kind.FOREIGN in parents
