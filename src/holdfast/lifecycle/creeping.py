"""Slow poison: all versions of a data set since a trusted one, looked at together, at ingest and on a person's word."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from holdfast.core.artifact import Artifact
from holdfast.core.control import Control, NotApplicable, Report, run
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.evidence import Evidence, MadeWith
from holdfast.core.project import Project
from holdfast.core.schema import Use
from holdfast.core.versions import MAIN, ancestry
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted
from holdfast.lifecycle.trail import reading
from holdfast.lifecycle.versions import Version, named_of, opened, readable, table_of, version_of

if TYPE_CHECKING:  # numerics, which whoever only lists versions need not load
    from holdfast.ingest.creeping import Crept

NAME: Final = "ingest.history/1"
MAX_VERSIONS: Final = 60  # later ones; of a longer history the newest


def history(plant: Plant, name: str, project: Project, dataset: Artifact, made_with: MadeWith) -> Evidence:
    """Return the evidence of `ingest.history/1` on rows that were just ingested, against the versions on main."""
    named = named_of(plant, name)
    head = named.branches.get(MAIN, "")
    before = _since(plant, name, head, "") if head else []

    def measure(_: None) -> Report | NotApplicable:
        from holdfast.engines.dataset import open_stored
        from holdfast.ingest.creeping import crept, report

        if not before:
            return NotApplicable(reason="no version came before these rows")
        features, by = project.columns_of(Use.FEATURE), project.columns_of(Use.SLICE)
        tables = [*(table_of(plant, each.commit) for each in before), open_stored(plant.blobs, dataset).rows]
        have = [column for column in features if all(column in table.columns for table in tables)]
        sources = [column for column in by if all(column in table.columns for table in tables)]
        return report(crept(tables, project.label, have, sources))

    used = replace(made_with, data=tuple(each.commit.dataset for each in before))
    return run(Control(name=NAME, measure=measure), None, dataset, used)


def data_creep(
    plant: Plant,
    *,
    version: str = MAIN,
    trusted: str | None = None,
    by: str | None = None,
    alarms: float = 0.01,
) -> Reply:
    """Tell whether labels crept since a trusted version; that its rows and all later ones were read is on record.

    Args:
        plant: The control plane.
        version: The newest version that is looked at, as `NAME@VERSION` or `VERSION`.
        trusted: The version that is trusted, before it on its branch; the oldest that can be read if left out.
        by: The column that names each row's source or annotator; columns of use `slice` if left out.
        alarms: Chance that anything is named where nothing crept.

    Raises:
        InvalidInput: No such chance, column or earlier version, or a history of which nothing can be said.
        NotFound: There is no such version, or its rows were erased.
        NotVerified: Rows are not what their commit signs.
    """
    from holdfast.ingest.creeping import crept

    if not 0 < alarms <= 0.2:  # noqa: PLR2004 - beyond a fifth nothing would be said
        raise InvalidInput(f"alarms of {alarms:g}", place="--alarms", expected="a chance above 0 and at most 0.2")
    newest = version_of(plant, version)
    name = newest.commit.name
    first = version_of(plant, f"{name}@{trusted}").digest if trusted else ""
    line = _since(plant, name, newest.digest, first)
    if not line or (line[-1].digest != newest.digest):
        raise NotFound("the rows of this version were erased", place=newest.digest)
    plant.ledger.append([reading(plant, each, "screen of the history") for each in line])
    schema = _schema(plant, line[-1])
    tables = [table_of(plant, each.commit) for each in line]
    sources = [by] if by else list(schema[Use.SLICE])
    lacking = [column for column in ([by] if by else []) if any(column not in table.columns for table in tables)]
    if lacking:
        raise InvalidInput(f"not every version has a column {by!r}", place="--by")
    shared = [each for each in schema[Use.FEATURE] if all(each in table.columns for table in tables)]
    sources = [each for each in sources if all(each in table.columns for table in tables)]
    features = [each for each in shared if each not in sources]
    found = crept(tables, schema[Use.LABEL][0], features, sources, alarms=alarms)
    if isinstance(found, NotApplicable):
        raise InvalidInput(found.reason, place=f"{name}@{version}", expected="a trusted version, and later ones")
    return _reply(found, line)


def _since(plant: Plant, name: str, head: str, first: str) -> list[Version]:
    """Return the versions up to a head that can be read, oldest first: the trusted one, and the newest after it.

    Raises:
        InvalidInput: The trusted version is not before the head on its branch.
    """
    named = named_of(plant, name)
    line = list(reversed(ancestry(named, head)))
    if first and first not in line:
        raise InvalidInput("the trusted version is not an earlier one of this branch", place="--trusted")
    line = line[line.index(first) :] if first else line
    found = [each for each in (opened(plant, named, digest) for digest in line) if readable(plant, each.commit)]
    if first and (not found or found[0].digest != first):
        raise NotFound("the rows of the trusted version were erased", place=first)
    return found[:1] + found[1:][-MAX_VERSIONS:]


def _schema(plant: Plant, at: Version) -> dict[Use, tuple[str, ...]]:
    from holdfast.core.artifact import Kind
    from holdfast.engines.dataset import open_stored
    from holdfast.lifecycle.erasure import find_recorded

    schema = open_stored(plant.blobs, find_recorded(plant, at.commit.dataset, (Kind.DATASET,))).schema
    return {use: tuple(schema.of(use)) for use in (Use.LABEL, Use.FEATURE, Use.SLICE)}


def _reply(found: "Crept", line: Sequence[Version]) -> Reply:
    from holdfast.ingest.creeping import words

    trusted = line[0].short
    rows = [
        (
            f"{column} {each.group}" if each.group else "all rows",
            found.classes[each.label],
            f"{each.borne} of {each.rows}",
            f"{each.expected:.0f}",
            f"{each.ln_e:.1f}",
            line[each.since].short if each.since else "",
        )
        for column, each in found.creeps
    ]
    columns = ("source", "label", "borne", "at most on average", "ln evidence", "enough at")
    if found.far:
        worst = found.far[0]
        place = f"{worst[0]} {worst[1].group}" if worst[1].group else "all rows together"
        says = f"Slow poison, or a world that changed: {place}: {words(worst[1], found.classes)}."
    else:
        says = f"No label crept in {counted(found.versions, 'version')} since {trusted}."
    document = {
        "trusted": line[0].digest,
        "versions": found.versions,
        "trusted_rows": found.trusted,
        "later_rows": found.later,
        "alarms": found.alarms,
        "creeps": [
            {
                "column": column,
                "group": each.group,
                "label": found.classes[each.label],
                "rows": each.rows,
                "borne": each.borne,
                "expected": round(each.expected, 1),
                "ln_evidence": each.ln_e,
                "far": each.far,
                "since": line[each.since].digest if each.since else "",
            }
            for column, each in found.creeps
        ],
    }
    return Reply(says=says, document=document, tables=[Table(title="Labels since then", columns=columns, rows=rows)])
