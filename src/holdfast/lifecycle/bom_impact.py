"""Impact: every release that something bad reaches, with state, names, whether it answers now, and the way there.

What is told comes from projections of the ledger, so that ten thousand releases are no wait; `holdfast ledger verify`
holds them against the entries they are made from. With `prove` each hit is also folded anew from verified evidence, and
its bill is read again from the signed release.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from holdfast.core.artifact import Digest
from holdfast.core.bill import Part
from holdfast.core.errors import HoldfastError, UsageError
from holdfast.core.ports import Bills
from holdfast.engines.advisories.osv import MAX_RECORD, parse_record
from holdfast.engines.advisories.snapshot import read_records
from holdfast.lifecycle.advisories import newest
from holdfast.lifecycle.bom_supplied import files_of
from holdfast.lifecycle.boms import document_of, parts_in
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.registry_record import project_of, record_of
from holdfast.lifecycle.reply import Reply, Table, short
from holdfast.registry.advisory import Advisory, advisory_of
from holdfast.registry.advisory import named as records_named
from holdfast.registry.impact import Around, Hit, merged, told, ways
from holdfast.registry.questions import Wanted, advised, artifact, check_about, component, licence, narrowed

SHOWN: Final = 200  # rows of the table that a person is shown; the document holds all


def impact(
    plant: Plant,
    *,
    about: str,
    what: str | None = None,
    versions: str | None = None,
    file: Path | None = None,
    prove: bool = False,
) -> Reply:
    """List every release that something reaches.

    Args:
        plant: The control plane.
        about: component, dataset, model, code, licence or advisory.
        what: Which: a name, package URL, digest or licence.
        versions: Of a component: a range, as `>=1.0,<2`.
        file: The OSV record of an advisory; without it the advisory is looked up in the newest snapshot by any name.
        prove: Also prove each hit's state, and read its bill again.

    Raises:
        UsageError: Nobody is asked about, or both a name and a file are given.
        InvalidInput: What is named cannot be read.
        NotFound: The newest snapshot knows no such advisory.
        Unavailable: No snapshot was taken in.
    """
    check_about(about)
    wanted = _wanted(plant, about, what, versions, file)
    hits, around = hits_of(plant.bills, wanted, partial(files_of, plant))
    listed = [told(hit, around) | (_proved(plant, hit, wanted) if prove else {}) for hit in hits]
    live = sum(each["in_production"] for each in listed)
    foreign = sum(each["source"] == "supplier" for each in listed)
    says = (
        f"{len(hits) - foreign} of {around.releases} releases are reached by {wanted.words}; {live} of them answer now."
    )
    says += f" So {'is' if foreign == 1 else 'are'} {foreign} from outside, by what suppliers say." if foreign else ""
    columns = ("release", "model", "state", "aliases", "answers", "why")
    table = Table(title="Impact", columns=columns, rows=[_row(each) for each in listed[:SHOWN]])
    if len(listed) > SHOWN:
        says += f" The first {SHOWN} are shown; `--json` lists all."
    document = {
        "about": wanted.words,
        "hits": listed,
        "in_production": live,
        "from_outside": foreign,
        "releases": around.releases,
        "proved": prove,
    }
    return Reply(says=says, document=document, tables=(table,) if listed else ())


def hits_of(
    bills: Bills, wanted: Wanted, files: Callable[[str], Collection[str]] = lambda _: ()
) -> tuple[tuple[Hit, ...], Around]:
    """Return what is reached, and what surrounds it.

    Args:
        bills: The index.
        wanted: What is looked for.
        files: Returns the digests of the files of something from outside: rows are known by theirs where they are used.
    """
    variants = bills.variants(wanted.names) if wanted.names else ()
    sought, accepted = narrowed(wanted, variants)
    held = {holder.release: holder for holder in bills.holders(sought)}
    roots = dict(wanted.roots)
    if wanted.follows:
        roots |= {f"sha256:{part.digest}": f"{part.kind} {part.name}" for part in accepted if part.digest}
    elif not roots:
        roots |= _bases(bills, held)
    for name in bills.outside(held):  # what was made of it is affected as it is
        roots |= dict.fromkeys((name, *files(name)), f"from outside {name[7:19]}, by its supplier")
    reached = ways(roots, bills.descent(roots)) if roots else {}
    around = Around(bills.surroundings({*held, *reached}))
    return merged(held, reached, around), around


def _bases(bills: Bills, held: Collection[str]) -> dict[str, str]:
    """Return the models of affected releases from which others were made: what they consist of is inside those."""
    found = bills.bases(held) if held else ()
    return {model: f"model {model[7:19]} of release {short(release)}" for release, model in found}


def _wanted(plant: Plant, about: str, what: str | None, versions: str | None, file: Path | None) -> Wanted:
    if (file is not None and about != "advisory") or (what is None) == (file is None):
        raise UsageError("one thing is asked about, by name, or an advisory by file", expected="a name, or --file")
    if versions is not None and about != "component":
        raise UsageError("versions are a component's", expected="impact component NAME --versions RANGE")
    if about == "advisory":
        return advised(_advisory(plant, what or "", file))
    named = what or ""
    if about == "component":
        return component(named, versions)
    if about == "licence":
        return licence(named, plant.bills.licences())
    return artifact(about, named, plant.bills.meant)


def _advisory(plant: Plant, name: str, file: Path | None) -> Advisory:
    """Return an advisory from its file, or from the newest snapshot that was taken in.

    Raises:
        Unavailable: No snapshot was taken in.
        NotFound: The snapshot knows no such advisory.
    """
    if file is not None:
        document = read_given(file, limit=MAX_RECORD + 1, what="the advisory")
        return advisory_of([parse_record(document, str(file))], str(file))
    snapshot = newest(plant)
    records = read_records(snapshot, plant.blobs.get(Digest(snapshot.digest)))
    return advisory_of(records_named(records, name), name[:80])


def _proved(plant: Plant, hit: Hit, wanted: Wanted) -> dict[str, Any]:
    """Return a hit's state folded from verified evidence, and whether its signed bill lists what the index says."""
    if hit.release in plant.bills.outside((hit.release,)):
        return {"proof": {"state": "unproved", "reason": "a supplier's word is no proof"}}
    release = Digest(hit.release)
    try:
        state = str(record_of(plant, project_of(plant, release).project.name, release).state)
        parts = [p for p in parts_in(document_of(plant, release)) if wanted.accepts(p) and _named(p, wanted)]
        return {"proof": {"state": state, "in_bill": bool(parts), "agrees": bool(parts) == bool(hit.parts)}}
    except HoldfastError as error:
        return {"proof": {"state": "unproved", "reason": error.message}}


def _named(part: Part, wanted: Wanted) -> bool:
    return part.name in wanted.names or part.digest in wanted.digests or part.licence in wanted.licences


def _row(each: Mapping[str, Any]) -> tuple[str, ...]:
    answers = ", ".join(f"{one['environment']} {one['share']:.0%}" for one in each["answers"]) or "—"
    why = each["parts"] or " → ".join(each["path"])
    state = each.get("proof", {}).get("state", each["state"])
    return short(each["release"]), each["model"], state, ", ".join(each["aliases"]) or "—", answers, why
