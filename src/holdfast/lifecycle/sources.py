"""Sources as people ask about them: which there are, whether one can be read, what is due, what happened."""

from datetime import datetime

from holdfast.core.errors import HoldfastError, InvalidProject, NotFound
from holdfast.core.ledger import Draft, Entry
from holdfast.core.placement import check_placed, rows_in
from holdfast.core.ports import Page
from holdfast.core.project import Project
from holdfast.core.sources import FILES, Source
from holdfast.lifecycle.inputs import check_reason, inside
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.pulling import open_puller
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.source_state import (
    ACCEPTED,
    FAILED,
    FORGOTTEN,
    MERGED,
    PULLED,
    REFUSED,
    chosen,
    data_key,
    declared,
    due_of,
    state_of,
    stream_of,
)


def listed(plant: Plant) -> Reply:
    """List the declared sources, what arrived from each, and how each stands."""
    project = declared(plant)
    begun, now = _beginning(plant), plant.clock.now()
    rows, found = [], []
    for name, source in project.sources.items():
        state = state_of(plant, name)
        due = due_of(source, state, begun, now)
        stands = f"FAILED: {state.failed}" if state.failed else due.words
        rows.append((name, source.kind, source.identity, str(state.rows), str(len(state.arrivals)), stands))
        found.append(
            {
                "source": name,
                "kind": source.kind,
                "identity": source.identity,
                "pushed": source.pushed,
                "rows": state.rows,
                "batches": len(state.arrivals),
                "arrived": state.arrived.isoformat() if state.arrived else None,
                "failed": state.failed,
                "refused": state.refused,
                "late": due.late,
                "stale": due.stale,
            }
        )
    columns = ("source", "kind", "identity", "rows", "batches", "state")
    table = Table(title="Sources", columns=columns, rows=rows)
    return Reply(says=f"{counted(len(rows), 'source')}.", document={"sources": found}, tables=(table,))


def due(plant: Plant) -> Reply:
    """Say which sources are due, late or stale by their declared schedules."""
    project = declared(plant)
    begun, now = _beginning(plant), plant.clock.now()
    rows, found = [], []
    for name, source in project.sources.items():
        stands = due_of(source, state_of(plant, name), begun, now)
        word = "LATE" if stands.late else "STALE" if stands.stale else "due" if stands.due else "ok"
        rows.append((name, word, source.schedule or "-", stands.words))
        found.append({"source": name, "state": word.lower(), "words": stands.words})
    wrong = [row[0] for row in rows if row[1] in {"LATE", "STALE"}]
    waiting = [row[0] for row in rows if row[1] == "due"]
    says = f"Late or stale: {', '.join(wrong)}." if wrong else "No source is late."
    says += f" Due now: {', '.join(waiting)}." if waiting else ""
    table = Table(title="Schedules", columns=("source", "state", "every", "when"), rows=rows)
    document = {"sources": found, "late": wrong, "due": waiting}
    return Reply(says=says, document=document, tables=(table,), exit_code=1 if wrong else 0)


def check(plant: Plant, *, source: str | None = None) -> Reply:
    """Read a little of one source, or of each, without storing any of it: can it be read, and what does it hold?

    Raises:
        NotFound: There is no such source.
        Refused: The rows may not be where this machine stands.
    """
    project = declared(plant)
    wanted = chosen(project, source)
    check_placed(rows_in(project), plant.regions)
    plant.unlock()
    rows, found = [], []
    for name, each in wanted.items():
        try:
            state, words = "ok", _tried(plant, project, name, each)
        except HoldfastError as error:
            state, words = "FAILED", str(error)
        rows.append((name, each.kind, state, words))
        found.append({"source": name, "state": state.lower(), "words": words})
    failed = [row[0] for row in rows if row[2] == "FAILED"]
    says = f"Cannot be read: {', '.join(failed)}." if failed else f"{counted(len(rows), 'source')} can be read."
    table = Table(title="Checked; nothing was stored", columns=("source", "kind", "state", "what"), rows=rows)
    return Reply(says=says, document={"sources": found}, tables=(table,), exit_code=1 if failed else 0)


def _tried(plant: Plant, project: Project, name: str, source: Source) -> str:
    if source.pushed:
        return f"files are pushed, signed by {counted(len(source.signed_by), 'key')}"
    if source.kind in FILES:
        from holdfast.ingest.records import look

        named = source.file.path if source.file else ""
        path = inside(plant.home.root, named, f"sources.{name}.file.path", InvalidProject)
        seen = look(path, project, source, path.name)
        dialect = f"; {seen.dialect.words}" if seen.dialect else ""
        broken = f"; {counted(len(seen.faults), 'row')} cannot be read" if seen.faults else ""
        return f"{seen.rows} rows, {counted(len(seen.columns), 'declared column')}{dialect}{broken}"
    with plant.ledger.lease(f"source {name}"):  # its requests count towards the same limit as those of a pull
        page: Page | None = next(iter(open_puller(plant, project, name, source).pages({})), None)
    if page is None or not page.records:
        return "it answers, and has no rows"
    columns = sorted({column for record in page.records for column in record})
    return f"it answers; a first page of {counted(len(page.records), 'row')}: {', '.join(columns)[:200]}"


def log(plant: Plant, *, source: str) -> Reply:
    """Show what happened to one source: every batch, refusal and failure; also of one declared no more."""
    entries = plant.ledger.stream(stream_of(source))
    rows, found = [], []
    for entry in entries:
        what, words = _told(entry)
        rows.append((f"{entry.moment:%Y-%m-%d %H:%M:%S}", what, words, entry.actor))
        found.append({"position": entry.position, "what": what, "words": words, "by": entry.actor, **entry.body})
    table = Table(title=f"Source {source}", columns=("time (UTC)", "what", "words", "by"), rows=rows)
    says = f"{counted(len(rows), 'entry', 'entries')}." if rows else f"Nothing is on record of {source[:80]!r}."
    return Reply(says=says, document={"entries": found}, tables=(table,) if rows else ())


def _told(entry: Entry) -> tuple[str, str]:
    body = entry.body
    if entry.kind == ACCEPTED:
        aside = f", {body['unreadable']} unreadable" if body.get("unreadable") else ""
        late = f", {body['late_rows']} late" if body.get("late_rows") else ""
        dialect = f"; {body['dialect']['words']}" if "dialect" in body else ""
        signed = f"; submission {body['sequence']}" if "sequence" in body else ""
        return "accepted", f"{body['rows']} rows{late}{aside} in {short(body['batch'])}{dialect}{signed}"
    if entry.kind == PULLED:
        return "pulled", f"{body['rows']} new rows, {body['repeated']} came again"
    if entry.kind in {REFUSED, FAILED}:
        return ("REFUSED" if entry.kind == REFUSED else "FAILED"), f"{body['code']} {body['reason']}"
    return entry.kind.partition(".")[2], str(body.get("reason", ""))


def forget(plant: Plant, *, source: str, reason: str) -> Reply:
    """Destroy the data key of a source's rows; data sets that were made from them have keys of their own.

    Raises:
        InvalidInput: No reason is given.
        NotFound: Nothing of it lies here.
    """
    check_reason(reason)
    state = state_of(plant, source)
    if not state.arrivals or data_key(source) not in plant.data_keys():
        raise NotFound(f"no rows of a source {source[:80]!r} lie here", remedy="See `holdfast source list`.")
    batches = {each.digest for each in state.arrivals}
    plant.unlock()
    made = [entry.stream for entry in plant.ledger.entries() if entry.kind == MERGED and _names(entry, source)]
    with plant.ledger.lease(f"source {source}"):
        body = {"reason": reason, "batches": len(batches), "data_sets": sorted(set(made))}
        plant.ledger.append([Draft(kind=FORGOTTEN, actor=plant.actor, stream=stream_of(source), body=body)])
        plant.erase(data_key(source))
    says = f"The rows that {source} has sent cannot be read again. Erase what was made from them, too: "
    says += ", ".join(f"holdfast data erase {short(each)}" for each in sorted(set(made))) or "nothing was."
    return Reply(says=says, document=body)


def _names(entry: Entry, source: str) -> bool:
    return any(each["source"] == source for each in entry.body["sources"])


def _beginning(plant: Plant) -> datetime:
    first = next(plant.ledger.entries(0, 1), None)
    return first.moment if first else plant.clock.now()
