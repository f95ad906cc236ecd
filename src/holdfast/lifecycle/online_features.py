"""The online side of features, asked and filled: materialise, get, compare with the sources, and how old they are."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from holdfast.core.artifact import Digest
from holdfast.core.errors import InvalidInput, NotFound, NotVerified, Refused
from holdfast.core.evidence import Finding
from holdfast.core.feature import READ, STORED, FeatureView, ViewSpec, full_name, stream_of
from holdfast.core.ledger import Draft
from holdfast.core.project import Project
from holdfast.core.signals import Raised, Signal
from holdfast.engines.dlp import findings_of, recogniser_of
from holdfast.engines.events import Compiled, Events, compile_view, entity_text, read_events
from holdfast.engines.online import (
    NONCE,
    Meta,
    Record,
    Store,
    Vault,
    decode_record,
    encode_meta,
    encode_record,
    look_up,
    lookup_of,
    meta_of,
    meta_place,
    prefix_of,
)
from holdfast.engines.records import records_of
from holdfast.lifecycle.access import acting
from holdfast.lifecycle.dlp_alerts import alert
from holdfast.lifecycle.dlp_tokens import token_key
from holdfast.lifecycle.feature_sources import registered, take_source, versions
from holdfast.lifecycle.features import declared_view
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted
from holdfast.lifecycle.routing import current_project

COMPARED: Final = "feature.compared"  # kind of an entry: the online store was held against the sources
STALE: Final = "feature.stale"  # kind of an entry: values are older than promised; once for each newest event
DENIED: Final = "feature.denied"  # kind of an entry: somebody may not read a feature
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = 1_000_000  # microseconds
MAX_AT: Final = 40  # characters of a moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """A registered view with the events of its source, as stored and recorded."""

    spec: ViewSpec
    source: Digest
    events: Events


def materialise(plant: Plant, *, view: str | None = None) -> Reply:
    """Put the newest values of registered views into the online store, in the place of what lay there.

    Raises:
        Refused: A view is not registered as it is declared.
        InvalidData: A source does not fit its declaration, or holds personal data where it may not; the online store
            is as it was.
        Unavailable: The online store cannot be written.
    """
    project = current_project(plant)
    names = _chosen(project, view)
    vault = Vault.of(plant.credential_key())
    rows = []
    with closing(plant.features()) as store:
        for name in names:
            sourced = open_source(plant, project, name)
            found = sourced.events.searched
            told = alert(findings_of(found.hits, found.acted, f"{name}."), plant.actor, stream_of(name))
            meta = fill(store, vault, sourced, micros(plant.clock.now()), plant.entropy.token)
            body = {
                "version": sourced.spec.digest,
                "source": sourced.source,
                "entities": meta.entities,
                "events": meta.events,
                "newest": meta.newest,
            }
            plant.ledger.append([Draft(kind=STORED, actor=plant.actor, stream=stream_of(name), body=body), *told])
            rows.append(
                (name, str(sourced.spec.version), str(meta.events), str(meta.entities), moment_text(meta.newest))
            )
    table = Table(title="Online", columns=("view", "version", "events", "entities", "newest event"), rows=rows)
    document = {
        "views": [dict(zip(("view", "version", "events", "entities", "newest"), row, strict=True)) for row in rows]
    }
    return Reply(says=f"{counted(len(rows), 'view is', 'views are')} online.", document=document, tables=(table,))


def fill(store: Store, vault: Vault, sourced: Sourced, now: int, token: Callable[[int], bytes]) -> Meta:
    """Write every record of a view's version, and what is known of the version itself."""
    from holdfast.engines.events import EVENT

    name, version = sourced.spec.name, sourced.spec.digest
    items: dict[str, bytes] = {}
    for entity, record in records_of(sourced.events, now):
        place = vault.place(name, version, entity)
        items[place] = vault.seal(place, encode_record(record), token(NONCE))
    newest = sourced.events.rows.get_column(EVENT).max()
    meta = Meta(
        view=name,
        version=version,
        source=sourced.source,
        written=now,
        newest=int(newest) if isinstance(newest, int) else 0,
        entities=len(items),
        events=sourced.events.rows.height,
    )
    place = meta_place(vault, name, version)
    items[place] = vault.seal(place, encode_meta(meta), token(NONCE))
    store.replace(prefix_of(name, version), items)
    return meta


def get(
    plant: Plant,
    *,
    view: str,
    entity: str,
    features: str | None = None,
    at: str | None = None,
    offline: bool = False,
    credential: Path | None = None,
) -> Reply:
    """Read features of one entity; that they were read, and by whom, is on record before the answer.

    Raises:
        NotFound: There is no such view, or no such feature.
        Refused: Whoever asks may not read one of them; that is on record too.
        Unavailable: The online store does not answer.
    """
    spec = newest_of(plant, view)
    wanted = tuple(features.split(",")) if features else tuple(spec.spec.features)
    unknown = [name for name in wanted if name not in spec.spec.features]
    if unknown:
        known = ", ".join(spec.spec.features)[:300]
        raise NotFound(
            f"{view} has no feature {unknown[0][:80]!r}", place=stream_of(view), remedy=f"There are: {known}"
        )
    consumer = _let_in(plant, view, wanted, credential)
    moment = micros(plant.clock.now()) if at is None else read_moment(at)
    if offline:
        values, lacking = _offline(plant, spec, wanted, entity, moment)
    else:
        vault, lookup = Vault.of(plant.credential_key()), lookup_of(view, spec.spec, wanted)
        with closing(plant.features()) as store:
            looked = look_up(store, vault, lookup, _entity(spec.spec, entity), moment)
        values, lacking = looked.values, looked.lacking
    body: dict[str, Any] = {"features": list(wanted), "consumer": consumer, "model": "", "reads": 1, "offline": offline}
    body |= {"version": spec.digest, "missing": len(lacking)}
    plant.ledger.append([Draft(kind=READ, actor=consumer, stream=stream_of(view), body=body)])
    defaults = {name: spec.spec.features[name].default for name in lacking}
    stand_in = {name: default for name, default in defaults.items() if default is not None}
    why = {name: f"{reason}: the declared default stands in" if name in stand_in else reason
           for name, reason in lacking.items()}  # fmt: skip
    rows = [(full_name(view, name), _shown(stand_in.get(name, values[name])), why.get(name, "")) for name in wanted]
    document = {"view": view, "version": spec.digest, "at": moment_text(moment), "values": values, "missing": lacking}
    document["defaults"] = stand_in
    says = f"{view} of {entity} at {moment_text(moment)}, {'as known then' if offline else 'online'}."
    says += f" {counted(len(stand_in), 'declared default stands', 'declared defaults stand')} in." if stand_in else ""
    return Reply(
        says=says,
        document=document,
        tables=(Table(title=view, columns=("feature", "value", "missing because"), rows=rows),),
    )


def parity(plant: Plant, *, view: str | None = None) -> Reply:
    """Hold what lies online against the sources: the same values, types and bytes, for the same entity and moment.

    Raises:
        NotVerified: Something differs, or a view was never materialised; the comparison is on record.
        Unavailable: The online store does not answer.
    """
    project = current_project(plant)
    vault, rows, wrong = Vault.of(plant.credential_key()), [], list[tuple[str, str]]()
    with closing(plant.features()) as store:
        for name in _chosen(project, view):
            sourced = open_source(plant, project, name)
            number, words = compared_with(store, vault, sourced)
            body = {"version": sourced.spec.digest, "source": sourced.source, "compared": number, "different": words}
            plant.ledger.append([Draft(kind=COMPARED, actor=plant.actor, stream=stream_of(name), body=body)])
            rows.append((name, str(sourced.spec.version), str(number), str(len(words)), "; ".join(words[:3])))
            wrong += [(name, each) for each in words]
    if wrong:
        name, words_of = wrong[0]
        raise NotVerified(
            f"online and offline are not the same: {words_of}" + (f", and {len(wrong) - 1} more" if wrong[1:] else ""),
            place=stream_of(name),
            expected="the values that the sources give",
            remedy=f"Materialise again (`holdfast feature materialise {name}`), and find out who changed the store.",
        )
    table = Table(title="Parity", columns=("view", "version", "values compared", "different", "which"), rows=rows)
    document = {"views": [{"view": row[0], "version": row[1], "compared": int(row[2]), "different": 0} for row in rows]}
    return Reply(says="Online and offline are the same, bit for bit.", document=document, tables=(table,))


def compared_with(store: Store, vault: Vault, sourced: Sourced) -> tuple[int, list[str]]:
    """Return how many values of the online store were compared with a source, and what differs in words."""
    from holdfast.features.parity import compare, moment_of, sample

    name, version = sourced.spec.name, sourced.spec.digest
    meta = meta_of(store, vault, name, version)
    if meta is None:
        return 0, [f"version {sourced.spec.version} of {name} was never materialised"]
    words = [] if meta.source == sourced.source else [f"{name} was materialised from other rows than the source's now"]
    asks = sample(sourced.events)
    entities = [entity_text(row) for row in asks.iter_rows()]
    places = [vault.place(name, version, each) for each in entities]
    records: dict[str, Record | None] = {}
    for begin in range(0, len(places), 200):
        part = places[begin : begin + 200]
        for entity, place, found in zip(entities[begin : begin + 200], part, store.get(part), strict=True):
            records[entity], bad = _opened(vault, place, found)
            words += [f"the record of an entity of {name} does not open"] if bad else []
    number, findings = compare(sourced.events, records, asks, moment_of(sourced.events))
    return number, [*words, *(_in_words(each) for each in findings)]


def freshness(plant: Plant) -> Reply:
    """Measure the age of every declared view's newest online event, and say which are beyond their limit: exit code 1.

    Raises:
        Unavailable: The online store does not answer.
    """
    rows = ages(plant, current_project(plant))
    table = Table(
        title="Freshness",
        columns=("view", "age", "limit", "state", "newest event"),
        rows=[(row["view"], row["age"], row["limit"], row["state"], row["newest"]) for row in rows],
    )
    late = [row["view"] for row in rows if row["state"] != "fresh"]
    says = f"Not fresh: {', '.join(late)}." if late else "Every view is as fresh as it promises."
    says = says if rows else "The project declares no views."
    return Reply(says=says, document={"views": rows}, tables=(table,), exit_code=1 if late else 0)


def ages(plant: Plant, project: Project) -> list[dict[str, Any]]:
    """Return how old each registered view's newest online event is, and what was promised."""
    vault, now = Vault.of(plant.credential_key()), micros(plant.clock.now())
    rows: list[dict[str, Any]] = []
    if not project.features.views:
        return rows
    with closing(plant.features()) as store:
        for name, view in project.features.views.items():
            meta = meta_of(store, vault, name, view.digest)
            age_s = None if meta is None else (now - meta.newest) / _SECOND
            state = "never materialised" if age_s is None else "stale" if age_s > view.fresh_s else "fresh"
            rows.append(
                {
                    "view": name,
                    "age_s": age_s,
                    "age": "—" if age_s is None else str(timedelta(seconds=round(age_s))),
                    "limit": view.fresh,
                    "state": state,
                    "newest": "—" if meta is None else moment_text(meta.newest),
                }
            )
    return rows


def stale(plant: Plant, project: Project, release: str) -> list[Raised]:
    """Return a signal for each view in use whose values have become too old; one for each newest event, not more."""
    used = {name.partition(".")[0] for name in project.features.use}
    if not used or not release:
        return []
    raised = []
    for row in ages(plant, project):
        if row["view"] not in used or row["state"] == "fresh":
            continue
        last = plant.last(stream_of(row["view"]), STALE)
        if last is not None and last.body["newest"] == row["newest"]:
            continue
        words = f"features of {row['view']} are {row['age']} old, {row['limit']} was promised"
        if row["age_s"] is None:
            words = f"features of {row['view']} were never materialised as they are declared"
        body = {"newest": row["newest"], "limit": row["limit"], "words": words}
        plant.ledger.append([Draft(kind=STALE, actor="watch", stream=stream_of(row["view"]), body=body)])
        raised.append(Raised(signal=Signal.STALE_FEATURES, subject=release, words=words))
    return raised


def open_source(plant: Plant, project: Project, name: str) -> Sourced:
    """Return a registered view with its source's events, treated as `[dlp]` declares; the source is stored.

    Raises:
        NotFound: The project declares no such view.
        Refused: It is not registered as it is declared.
        InvalidData: The source does not fit, or holds personal data where it may not.
    """
    declared = declared_view(project, name)
    spec = registered(plant, name, declared)
    source = take_source(plant, name, declared)
    drafts = [draft for draft in [plant.recording(source, (), "owner")] if draft is not None]
    if drafts:
        plant.ledger.append(drafts)
    events = _events(plant, project, compile_view(name, declared), source.digest)
    return Sourced(spec=spec, source=source.digest, events=events)


def _events(plant: Plant, project: Project, compiled: Compiled, source: Digest) -> Events:
    """Return the events of a stored source as training sees them: by the same rules, and the same tokens."""
    name = project.project.name
    recogniser = recogniser_of(project.dlp, plant.open_recogniser)
    return read_events(compiled, plant.blobs.get(source), project.dlp, lambda: token_key(plant, name), recogniser)


def newest_of(plant: Plant, name: str) -> ViewSpec:
    """Return the newest registered version of a view.

    Raises:
        NotFound: None is registered.
    """
    known = versions(plant, name)
    if not known:
        raise NotFound(f"no feature view {name[:80]!r} is registered", remedy="List them: holdfast feature list")
    return known[-1].view


def micros(moment: datetime) -> int:
    """Return a moment in microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_text(moment: int) -> str:
    """Return a moment as people read it."""
    return (_EPOCH + timedelta(microseconds=moment)).isoformat(timespec="seconds")


def read_moment(text: str) -> int:
    """Return the moment that somebody wrote, in microseconds since 1970.

    Raises:
        InvalidInput: It is none, or has no zone.
    """
    try:
        found = datetime.fromisoformat(text[:MAX_AT])
    except ValueError as error:
        raise InvalidInput(f"{text[:MAX_AT]!r} is no moment", expected="such as 2026-11-27T14:47:00+01:00") from error
    if found.tzinfo is None:
        raise InvalidInput(f"{text[:MAX_AT]!r} has no time zone", expected="such as 2026-11-27T14:47:00+01:00")
    return micros(found)


def _let_in(plant: Plant, view: str, wanted: Sequence[str], credential: Path | None) -> str:
    """Return who reads, if they may read each of these features; a refusal is on record under the view as well.

    Raises:
        Refused: They may not read one of them.
    """
    consumer = plant.person
    for name in wanted:
        full = full_name(view, name)
        try:
            consumer = acting(plant, "features.read", f"feature/{full}", credential)
        except Refused as refused:
            who = plant.principal.name if plant.principal is not None else "somebody with a credential"
            body = {"feature": full, "consumer": who, "words": refused.message}
            plant.ledger.append([Draft(kind=DENIED, actor=who, stream=stream_of(view), body=body)])
            raise
    return consumer


def _offline(
    plant: Plant, spec: ViewSpec, wanted: Sequence[str], entity: str, moment: int
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return features as they were known at a moment, from the rows that were materialised last."""
    import polars as pl

    from holdfast.engines.as_of_views import as_of
    from holdfast.engines.expressions_frames import TYPES

    stored = plant.last(stream_of(spec.name), STORED)
    if stored is None:
        raise NotFound(f"{spec.name} was never materialised", remedy=f"holdfast feature materialise {spec.name}")
    source = Digest(stored.body["source"])
    events = _events(plant, current_project(plant), compile_view(spec.name, spec.spec), source)
    parts = dict(zip(spec.spec.entity, _parts(spec.spec, entity), strict=True))
    asks = pl.DataFrame([pl.Series(key, [part]).cast(TYPES[spec.spec.columns[key]]) for key, part in parts.items()])
    found = as_of(events, asks.with_columns(pl.lit(moment, dtype=pl.Int64).alias("__moment")), "__moment").row(
        0, named=True
    )
    values = {name: found[full_name(spec.name, name)] for name in wanted}
    return values, {name: "missing" for name, value in values.items() if value is None}


def _parts(view: FeatureView, entity: str) -> list[str]:
    parts = entity.split(",") if len(view.entity) > 1 else [entity]
    if len(parts) != len(view.entity) or not all(parts):
        raise InvalidInput(f"the entity {entity[:80]!r}", expected=f"{', '.join(view.entity)}, with commas between")
    for key, part in zip(view.entity, parts, strict=True):
        if view.columns[key] == "int" and not part.lstrip("-").isdecimal():
            raise InvalidInput(f"{part[:80]!r} is no {key}", expected="a whole number")
    return parts


def _entity(view: FeatureView, entity: str) -> str:
    return entity_text(_parts(view, entity))


def _chosen(project: Project, view: str | None) -> list[str]:
    if view is not None:
        declared_view(project, view)
        return [view]
    if not project.features.views:  # empty means no
        raise NotFound("the project declares no feature views", remedy="Declare one: [features.views.NAME]")
    return list(project.features.views)


def _opened(vault: Vault, place: str, sealed: bytes | None) -> tuple[Record | None, bool]:
    """Return the record in what lies at a place, and whether what lies there is none."""
    if sealed is None:
        return None, False
    try:
        return decode_record(vault.open(place, sealed), place), False
    except NotVerified:
        return None, True


def _in_words(finding: Finding) -> str:
    return f"{finding.place}: {finding.message}"


def _shown(value: Any) -> str:
    return "—" if value is None else repr(value) if isinstance(value, float) else str(value)
