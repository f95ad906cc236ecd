"""A/B tests: declared before the first unit is met, exposures from the gateways, outcomes from the business.

An outcome is joined to an exposure by the unit's pseudonym, which is made here with the credential key; names of units
are not kept. What is declared, every file of outcomes and every verdict is on record.
"""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.core.artifact import Digest, canonical
from holdfast.core.errors import Conflict, InvalidInput, NotFound
from holdfast.core.evidence import figure
from holdfast.core.ledger import Draft, Entry
from holdfast.core.policy import seconds
from holdfast.core.project import Project
from holdfast.core.secret import is_name
from holdfast.core.telemetry import Window
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import standing
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.rollout_records import CompareContext, measured
from holdfast.lifecycle.rollouts import Terms, begin, named_release
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.traffic import statements_of
from holdfast.rollout import Declared, Exposure, Judged, Outcome, Plan, Winner, judge
from holdfast.rollout.controls import EXPERIMENT
from holdfast.serve.exposure import pseudonym

DECLARED: Final = "experiment.declared"  # body: declaration, reason
OUTCOMES: Final = "experiment.outcomes"  # body: rows, blob
JUDGED: Final = "experiment.judged"  # body: winner, words, envelope
KINDS: Final = ("conversion", "mean")
AIMS: Final = ("higher", "lower")
MAX_FILE: Final = 8 << 20  # bytes of one file of outcomes, some 100,000 rows; there may be many files
LEAST_HORIZON_S: Final = (
    60.0  # an exposure is dated by the beginning of its window, of five seconds if nobody said more
)
MAX_UNIT: Final = 256  # characters of a unit's name
COLUMNS: Final = ("unit", "metric", "value", "time")


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One outcome as it is kept: of a pseudonym."""

    unit: str
    metric: str
    value: float
    time: str


def stream_of(project: Project, experiment: str) -> str:
    """Return the name of the stream that holds an experiment."""
    return f"experiment/{project.project.name}/{experiment}"


def ab_start(  # noqa: PLR0913 - one argument for each option of the command
    plant: Plant,
    *,
    release: str | None = None,
    name: str,
    metric: str,
    kind: str = "conversion",
    aim: str = "higher",
    share: float = 0.5,
    horizon: str = "24h",
    alpha: float = 0.05,
    reason: str,
) -> Reply:
    """Declare an A/B test and let a release answer its share of the units.

    Raises:
        InvalidInput: Something of the declaration cannot be meant.
        Conflict: There was an experiment of this name, a rollout is going on, or nothing is in production.
        PolicyDenied: With every reason; the denial is on record.
    """
    _check(name=name, metric=metric, kind=kind, aim=aim)
    if not (0 < share < 1 and 0 < alpha < 1):
        raise InvalidInput(f"a share of {share}, an alpha of {alpha}", expected="both between 0 and 1")
    lasts = seconds(horizon)
    if lasts < LEAST_HORIZON_S:
        raise InvalidInput(f"a horizon of {horizon}", expected="1m or more: exposures are known by a gateway's windows")
    project, subject = named_release(plant, release, reason)
    with plant.ledger.lease("route"):
        stream = stream_of(project, name)
        if plant.last(stream, DECLARED) is not None:
            raise Conflict("there was an experiment of this name", place=name, remedy="Give this one another name.")
        declared = Declared(
            experiment=name,
            candidate=subject,
            baseline=standing(plant, project).baseline,
            share=share,
            metric=metric,
            kind=kind,
            aim=aim,
            horizon_s=lasts,
            alpha=alpha,
        )
        body = {"declaration": msgspec.to_builtins(declared), "reason": reason}
        said = Draft(kind=DECLARED, actor=project.project.owner, stream=stream, body=body)
        terms = Terms(plan=Plan.AB, share=share, experiment=name)
        _, epoch = begin(plant, project, subject, terms, reason, because=(said,))
    says = f"Release {short(subject)} answers {share:.0%} of the units in {name}, judged by {metric}."
    return Reply(says=says, document={"experiment": name, "release": subject, "epoch": epoch})


def _check(*, name: str, metric: str, kind: str, aim: str) -> None:
    if not is_name(name) or not is_name(metric):
        expected = "a-z, 0-9, _ and -, beginning with a letter"
        raise InvalidInput(f"{name[:80]!r} or {metric[:80]!r} cannot be a name", expected=expected)
    if kind not in KINDS or aim not in AIMS:
        expected = f"{' or '.join(KINDS)}, {' or '.join(AIMS)}"
        raise InvalidInput(f"a metric of kind {kind[:20]!r} that shall be {aim[:20]!r}", expected=expected)


def ab_outcome(plant: Plant, *, file: Path, name: str | None = None) -> Reply:
    """Take in what became of units: rows of unit, metric, value and time, as CSV or as lines of JSON.

    Raises:
        InvalidInput: A row cannot be read, or none is of the declared metric; nothing of the file is taken.
        NotFound: There is no such experiment.
    """
    text = read_given(file, limit=MAX_FILE + 1, what="the outcomes")
    if len(text) > MAX_FILE:
        raise InvalidInput("the outcomes are too many for one file", expected=f"at most {MAX_FILE} bytes")
    plant.unlock()
    project = current_project(plant)
    declared, entry = _declared(plant, project, name)
    key, rows = plant.credential_key(), []
    for place, raw in _rows(text):
        found = _row(raw, place)
        rows.append(msgspec.structs.replace(found, unit=pseudonym(key, declared.experiment, found.unit)))
    if rows and not any(row.metric == declared.metric for row in rows):
        others = ", ".join(sorted({row.metric for row in rows})[:3])
        raise InvalidInput(f"no outcome is of {declared.metric}, but of {others}", expected=declared.metric)
    blob = plant.blobs.put(canonical([msgspec.to_builtins(row) for row in rows]))
    body = {"rows": len(rows), "blob": blob}
    plant.ledger.append([Draft(kind=OUTCOMES, actor=plant.actor, stream=entry.stream, body=body)])
    says = f"{counted(len(rows), 'outcome is', 'outcomes are')} on record for {declared.experiment}, under pseudonyms."
    return Reply(says=says, document={"experiment": declared.experiment, "rows": len(rows)})


def _rows(text: bytes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each row with its place."""
    try:
        decoded = text.decode("utf-8-sig")
        if decoded.lstrip().startswith("{"):
            for number, line in enumerate(decoded.splitlines(), 1):
                if line.strip():
                    yield f"line {number}", msgspec.json.decode(line, type=dict[str, Any])
            return
        reader = csv.DictReader(io.StringIO(decoded), strict=True)
        if tuple(sorted(reader.fieldnames or ())) != tuple(sorted(COLUMNS)):
            raise InvalidInput("the columns are others", place="line 1", expected=", ".join(COLUMNS))
        for row in reader:
            yield f"line {reader.line_num}", row
    except (UnicodeDecodeError, csv.Error, msgspec.MsgspecError) as error:
        raise InvalidInput(f"the outcomes cannot be read: {error}", expected="CSV or lines of JSON") from error


def _row(raw: Mapping[str, Any], place: str) -> Row:
    try:
        given = msgspec.convert(dict(raw), Row, strict=False)
        moment = datetime.fromisoformat(given.time)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise InvalidInput(f"an outcome that cannot be read: {error}", place=place) from error
    fits = 0 < len(given.unit) <= MAX_UNIT and math.isfinite(given.value) and moment.tzinfo is not None
    if not fits or not is_name(given.metric):
        expected = f"a unit of up to {MAX_UNIT} characters, a metric's name, a finite value, a time with its zone"
        raise InvalidInput("an outcome that cannot be meant", place=place, expected=expected)
    return msgspec.structs.replace(given, time=moment.astimezone(UTC).isoformat())


def ab_verdict(plant: Plant, *, name: str | None = None) -> Reply:
    """Judge an A/B test by all that is known now, as often as one likes, and put the verdict on record as evidence.

    Raises:
        NotFound: There is no such experiment.
    """
    plant.unlock()
    project = current_project(plant)
    declared, entry = _declared(plant, project, name)
    found = _judged(plant, declared, entry)
    context = CompareContext(release=declared.candidate, beside=declared.baseline, value=found)
    item, drafts = measured(plant, EXPERIMENT, context, travels=found.winner is Winner.BASELINE)
    body = {"winner": found.winner, "words": found.words, "evidence": item.control}
    plant.ledger.append([*drafts, Draft(kind=JUDGED, actor="watch", stream=entry.stream, body=body)])
    rows = [(each.name, figure(each.value)) for each in item.measures]
    document = {
        "experiment": declared.experiment,
        "winner": found.winner,
        "words": found.words,
        "measures": {each.name: each.value for each in item.measures},
    }
    table = Table(title=declared.experiment, columns=("measure", "value"), rows=rows)
    return Reply(says=f"{declared.experiment}: {found.words}.", document=document, tables=(table,))


def _judged(plant: Plant, declared: Declared, entry: Entry) -> Judged:
    exposures, lost = list[Exposure](), 0
    for release, told in statements_of(plant, {declared.candidate, declared.baseline}, entry.position):
        window = msgspec.convert(told.body, Window)
        units = window.exposed.get(declared.experiment, ())
        lost += window.unexposed
        side = release == declared.candidate
        exposures += [Exposure(unit=unit, candidate=side, at=told.start) for unit in units]
    outcomes = [
        Outcome(unit=row["unit"], value=row["value"], at=datetime.fromisoformat(row["time"]))
        for each in plant.ledger.stream(entry.stream)
        if each.kind == OUTCOMES
        for row in json.loads(plant.blobs.get(Digest(each.body["blob"])))
        if row["metric"] == declared.metric
    ]
    return judge(declared, exposures, outcomes, plant.clock.now(), lost=lost)


def _declared(plant: Plant, project: Project, name: str | None) -> tuple[Declared, Entry]:
    """Return a declaration and its entry: of the experiment that is named, else of the one that is going on."""
    wanted = name or standing(plant, project).experiment
    entry = plant.last(stream_of(project, wanted), DECLARED) if wanted else None
    if entry is None:
        words = "there is no such experiment" if wanted else "no experiment is going on"
        raise NotFound(words, place=wanted, expected="the name of one that was started", remedy="Name it with --name.")
    return msgspec.convert(entry.body["declaration"], Declared), entry
