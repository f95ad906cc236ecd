"""Two bills of materials side by side, in words: what came, what went, what is another."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from holdfast.core.bill import Part
from holdfast.lifecycle.boms import document_of, parts_in
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.registry_words import meant
from holdfast.lifecycle.reply import Reply, Table, short
from holdfast.lifecycle.routing import current_project


def diff(plant: Plant, *, before: str, after: str) -> Reply:
    """Show every difference between the bills of two releases: data, libraries, licences, hyperparameters, metrics.

    Raises:
        NotFound: There is no such release, or its bytes are gone.
    """
    project = current_project(plant)
    subjects = [meant(plant, project, each) for each in (before, after)]
    old, new = (document_of(plant, each) for each in subjects)
    found = [*_parts(parts_in(old), parts_in(new)), *_stated(_facts(old), _facts(new))]
    names = " and ".join(short(each) for each in subjects)
    says = (
        f"{len(found)} differences between the bills of {names}." if found else f"The bills of {names} list the same."
    )
    document = {"before": subjects[0], "after": subjects[1], "differences": found}
    rows = [(each["kind"], each["name"], each["change"], each["before"] or "—", each["after"] or "—") for each in found]
    table = Table(title="Differences", columns=("kind", "name", "change", "before", "after"), rows=rows)
    return Reply(says=says, document=document, tables=(table,) if found else ())


def _parts(old: Iterable[Part], new: Iterable[Part]) -> Iterator[dict[str, str]]:
    """Yield parts that came or went, have another version, or the same version under another licence."""
    before, after = _named(old), _named(new)
    for key in sorted({*before, *after}):
        was, now = before.get(key), after.get(key)
        kind, name = key[0], key[2]
        if was is None or now is None:
            present = now or was
            change = "added" if was is None else "removed"
            text = _text(present) if present else ""
            yield _row(kind, name, change, "" if was is None else text, "" if now is None else text)
        elif (was.version, was.digest) != (now.version, now.digest):
            yield _row(kind, name, "changed", _text(was), _text(now))
        if was and now and was.licence != now.licence:
            yield _row(kind, name, "licence changed", was.licence, now.licence)


def _named(parts: Iterable[Part]) -> dict[tuple[str, str, str], Part]:
    return {(each.kind, each.ecosystem, each.name): each for each in sorted(parts)}


def _text(part: Part) -> str:
    return part.version or part.digest[:12] or "listed"


def _row(kind: str, name: str, change: str, before: str, after: str) -> dict[str, str]:
    return {"kind": kind, "name": name, "change": change, "before": before, "after": after}


def _facts(document: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Return what a bill states of the making and the quality of its model, by kind and name."""
    card = document["metadata"]["component"]["modelCard"]
    found = {("stated", item["name"].removeprefix("holdfast:")): item["value"] for item in card["properties"]}
    found["stated", "architecture"] = card["modelParameters"]["modelArchitecture"]
    for metric in card["quantitativeAnalysis"]["performanceMetrics"]:
        bounds = metric["confidenceInterval"]
        name = metric["type"] + (f" where {metric['slice']}" if "slice" in metric else "")
        found["metric", name] = f"{metric['value']} ({bounds['lowerBound']} to {bounds['upperBound']})"
    return found


def _stated(old: Mapping[tuple[str, str], str], new: Mapping[tuple[str, str], str]) -> Iterator[dict[str, str]]:
    for kind, name in sorted({*old, *new}):
        was, now = old.get((kind, name), ""), new.get((kind, name), "")
        if was != now:
            change = "changed" if was and now else "added" if now else "removed"
            yield _row(kind, name, change, was, now)
