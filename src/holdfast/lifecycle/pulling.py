"""Pulling: rows are fetched from declared sources, stored as they came, and put on record with how far they reach.

1. The credential is released to the source that declared it and was granted it. 2. Rows come a page at a time, and what
came before is left out. 3. A page is stored first, and then becomes visible together with the place behind it, in one
append. Whoever dies before the append has stored a blob that nobody names, and the next pull fetches the page again;
whoever dies after it goes on behind the page. So nothing is lost and nothing counts twice. One source that fails is on
record as failed, and the others go on.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from holdfast.core.artifact import canonical
from holdfast.core.errors import HoldfastError, InvalidData, InvalidProject, Refused
from holdfast.core.ledger import Draft
from holdfast.core.placement import check_placed, rows_in
from holdfast.core.ports import Asking, Page, Puller
from holdfast.core.project import Project
from holdfast.core.sources import FILES, RESERVED, Source
from holdfast.lifecycle.inputs import inside
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Progress, Reply, Table, counted
from holdfast.lifecycle.secrets import Job, release
from holdfast.lifecycle.source_state import (
    ACCEPTED,
    FAILED,
    PULLED,
    State,
    chosen,
    data_key,
    declared,
    state_of,
    stream_of,
)

MAX_KNOWN: Final = 5_000_000  # rows that may come again; their digests are held in memory, 500 MB
SHOWN: Final = 20  # names and faults that an entry lists; the batch itself has all
WORDS: Final = 300  # characters of a reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What one pull brought."""

    rows: int = 0
    batches: int = 0
    repeated: int = 0
    notes: tuple[str, ...] = ()


def pull(plant: Plant, *, source: str | None = None) -> Reply:
    """Fetch what is new from one source, or from each in turn; one that fails does not stop the others.

    Raises:
        NotFound: There is no such source.
        Refused: The rows may not be where this machine stands.
    """
    project = declared(plant)
    wanted = {name: each for name, each in chosen(project, source).items() if source or not each.pushed}
    check_placed(rows_in(project), plant.regions)
    plant.unlock()
    rows, listed, failed = [], [], list[str]()
    for name, each in wanted.items():
        try:
            done = pull_one(plant, project, name, each)
            state, words = "pulled", "; ".join(done.notes)
        except HoldfastError as error:
            done, state, words = Pulled(), "FAILED", f"{error.code} {error.message}"
            failed.append(name)
            record_failure(plant, name, error)
        plant.tell(Progress(stage=name, state="finished" if state == "pulled" else "failed", words=words or state))
        rows.append((name, each.kind, state, str(done.rows), str(done.repeated), words))
        listed.append({"source": name, "state": state.lower(), "rows": done.rows, "batches": done.batches,
                       "repeated": done.repeated, "words": words})  # fmt: skip
    table = Table(title="Pulled", columns=("source", "kind", "state", "new rows", "came again", "what"), rows=rows)
    total = sum(each["rows"] for each in listed if isinstance(each["rows"], int))
    says = f"{counted(total, 'new row')} from {counted(len(rows) - len(failed), 'source')}."
    says += f" Failed: {', '.join(failed)}; what they had sent before stays, and the next pull goes on there." * bool(
        failed
    )
    document = {"sources": listed, "failed": failed}
    return Reply(says=says, document=document, tables=(table,), exit_code=1 if failed else 0)


def record_failure(plant: Plant, name: str, error: HoldfastError) -> None:
    """Put on record that a source could not be read."""
    body = {"code": error.code, "reason": error.message[:WORDS], "place": error.place[:WORDS]}
    plant.ledger.append([Draft(kind=FAILED, actor=plant.actor, stream=stream_of(name), body=body)])


def pull_one(plant: Plant, project: Project, name: str, source: Source) -> Pulled:
    """Fetch what is new from one source.

    Raises:
        HoldfastError: Whatever went wrong; what was fetched before stays.
    """
    if source.pushed:
        remedy = f"Hand in a signed file: holdfast source push {name} FILE."
        raise Refused("files of this source are pushed, not fetched", place=name, remedy=remedy)
    with plant.ledger.lease(f"source {name}"):
        state = state_of(plant, name)
        if source.kind in FILES:
            return _pull_file(plant, project, name, source, state)
        return _pull_pages(plant, project, name, source, state)


def _pull_file(plant: Plant, project: Project, name: str, source: Source, state: State) -> Pulled:
    from holdfast.lifecycle.taking import take_file

    named = source.file.path if source.file else ""
    path = inside(plant.home.root, named, f"sources.{name}.file.path", InvalidProject)
    taken = take_file(plant, project, name, source, path, newest=state.arrivals[-1].digest if state.arrivals else "")
    if taken is None:
        end = {"rows": 0, "batches": 0, "repeated": 0, "position": {}}
        plant.ledger.append([Draft(kind=PULLED, actor=plant.actor, stream=stream_of(name), body=end)])
        return Pulled(notes=("the file is the one taken in last",))
    end = {"rows": taken.body["rows"], "batches": 1, "repeated": 0, "position": {}}
    drafts = [taken.draft(plant, name), Draft(kind=PULLED, actor=plant.actor, stream=stream_of(name), body=end)]
    plant.ledger.append(drafts)
    return Pulled(rows=taken.body["rows"], batches=1, notes=(*taken.notes, *unusual(source, taken.body["rows"])))


def unusual(source: Source, rows: int) -> tuple[str, ...]:
    """Return what is not usual about so many rows."""
    usual = source.profile
    few, many = rows < usual.rows_at_least, 0 < usual.rows_at_most < rows
    words = f"UNUSUAL: {rows} rows where {usual.rows_at_least} to {usual.rows_at_most or 'any number'} are usual"
    return (words,) if few or many else ()


def open_puller(plant: Plant, project: Project, name: str, source: Source) -> Puller:
    """Return a source that can be asked, its credential released to it.

    Raises:
        Refused: It was not granted the credential that it declares.
    """
    credential = b""
    if source.credential:
        job = Job(run=f"pull {name}", names=(f"source:{name}",), declared=(source.credential,), actor="sources")
        credential = release(plant, job, source.credential).rstrip(b"\r\n")
    from holdfast.ingest.records import used

    columns = used(project, source) if not source.columns else tuple(dict.fromkeys((*source.key, *source.columns)))
    state = plant.home.workspace / "sources"
    state.mkdir(mode=0o700, exist_ok=True)
    asking = Asking(name=name, columns=columns, root=plant.home.root, state=state, credential=credential)
    return plant.open_source(source, asking)


def _pull_pages(plant: Plant, project: Project, name: str, source: Source, state: State) -> Pulled:
    puller = open_puller(plant, project, name, source)
    known = _known(plant, puller, state)
    position, rows, batches, repeated, notes = dict(state.position), 0, 0, 0, list[str]()
    for page in puller.pages(state.position):
        fresh = Fresh.of(page, source, known)
        repeated += len(page.records) - len(fresh.records)
        position = dict(page.position)
        if not fresh.records and not page.broken and not page.missing:
            continue
        draft = _stored(plant, name, source, page, fresh)
        heads = plant.ledger.heads([stream_of(name)])
        plant.ledger.append([draft], expect=heads)
        known |= set(fresh.digests)
        rows, batches = rows + len(fresh.records), batches + 1
        notes += [f"MISSING: {page.missing}"] if page.missing else []
        plant.tell(Progress(stage=name, state="shown", words=f"{rows} new rows"))
    body = {"rows": rows, "batches": batches, "repeated": repeated, "position": position}
    plant.ledger.append([Draft(kind=PULLED, actor=plant.actor, stream=stream_of(name), body=body)])
    return Pulled(rows=rows, batches=batches, repeated=repeated, notes=(*notes, *unusual(source, rows)))


def _known(plant: Plant, puller: Puller, state: State) -> set[str]:
    """Return the digests of rows that may come again."""
    import polars as pl

    from holdfast.ingest.records import ROW

    known, now = set[str](), plant.clock.now()
    for arrival in state.arrivals:
        age = (now - arrival.moment).total_seconds()
        if arrival.form in FILES or not puller.may_repeat(arrival.body.get("position", {}), state.position, age):
            continue
        for digest in (arrival.digest, arrival.body.get("late", "")):
            if digest:
                known |= set(pl.read_parquet(plant.blobs.path(digest), columns=[ROW]).get_column(ROW))
        if len(known) > MAX_KNOWN:
            raise InvalidData(
                f"more than {MAX_KNOWN} rows may come again",
                place=state.arrivals[-1].digest,
                expected="a shorter overlap, or a stream that is remembered for less long",
            )
    return known


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """The records of a page that did not come before."""

    records: Sequence[Mapping[str, str | None]]
    digests: Sequence[str]
    keys: Sequence[str]
    late: Sequence[bool]

    @classmethod
    def of(cls, page: Page, source: Source, known: set[str]) -> "Fresh":
        """Return what is new in a page; what comes twice in it counts once.

        Raises:
            InvalidData: A record lacks what names it, or has a column that is called as ours are.
        """
        records, digests, keys, late, seen = [], [], [], [], set[str]()
        for number, record in enumerate(page.records):
            named = page.ids[number] if page.ids else _key(record, source, number)
            if RESERVED & record.keys():
                raise InvalidData(f"record {number + 1} has a column of one of our names", expected="another name")
            digest = _digest(record, "" if not page.ids else named)
            if digest in known or digest in seen:
                continue
            seen.add(digest)
            records.append(record)
            digests.append(digest)
            keys.append(named)
            late.append(number in page.late)
        return cls(records=records, digests=digests, keys=keys, late=late)


def _key(record: Mapping[str, str | None], source: Source, number: int) -> str:
    values = [record.get(name) for name in source.key]
    if any(value is None for value in values):
        missing = next(name for name in source.key if record.get(name) is None)
        raise InvalidData(f"record {number + 1} of a page has no {missing!r}", expected="what names a record in each")
    return "".join(f"{len((value or '').encode())}:{value}" for value in values)


def _digest(record: Mapping[str, str | None], named: str) -> str:
    said = json.dumps([named, sorted(record.items())], ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _stored(plant: Plant, name: str, source: Source, page: Page, fresh: Fresh) -> Draft:
    """Store a page's new records, the late ones apart, and return the entry that makes them visible."""
    blobs = plant.sealed(data_key(name))
    on_time = [number for number, late in enumerate(fresh.late) if not late]
    late = [number for number, is_late in enumerate(fresh.late) if is_late]
    body: dict[str, Any] = {
        "batch": blobs.put(_table(fresh, on_time)),
        "form": "records",
        "rows": len(on_time),
        "position": dict(page.position),
        "identity": source.identity,
        "by": "pull",
        "columns": sorted({column for record in fresh.records for column in record})[:SHOWN],
    }
    if late:
        body |= {"late": blobs.put(_table(fresh, late)), "late_rows": len(late)}
    if page.broken:
        lines = [canonical({"why": why, "was": was.decode(errors="backslashreplace")}) for why, was in page.broken]
        body |= {"unreadable": len(lines), "aside": blobs.put(b"\n".join(lines) + b"\n")}
        body["reasons"] = sorted({why for why, _ in page.broken})[:SHOWN]
    if page.missing:
        body["missing"] = page.missing
    return Draft(kind=ACCEPTED, actor=plant.actor, stream=stream_of(name), body=body)


def _table(fresh: Fresh, which: Sequence[int]) -> bytes:
    import polars as pl

    from holdfast.engines.dataset import to_parquet
    from holdfast.ingest.json_lines import as_frame
    from holdfast.ingest.raw import check_names
    from holdfast.ingest.records import KEY, ROW

    frame = as_frame([dict(fresh.records[number]) for number in which])
    check_names(frame.columns, "a record")
    return to_parquet(
        frame.with_columns(
            pl.Series(KEY, [fresh.keys[number] for number in which], pl.String),
            pl.Series(ROW, [fresh.digests[number] for number in which], pl.String),
        )
    )
