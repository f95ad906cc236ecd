"""The index over bills of materials (port `Bills`): a few indexed queries on projections of the ledger."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from sqlalchemy import ColumnElement, Connection, Engine, and_, func, or_, select

from holdfast.adapters.database import (
    artifacts,
    bills,
    edges,
    endpoints,
    holds,
    marks,
    parts,
    pointers,
    reading,
    tunings,
)
from holdfast.core.artifact import Kind
from holdfast.core.bill import Part
from holdfast.core.ports import Holder, Sought, Surroundings

_NAMES_AT_ONCE: Final = 500  # names in one query; SQLite's oldest limit on parameters is 999
_PART: Final = (parts.c.kind, parts.c.ecosystem, parts.c.name, parts.c.version, parts.c.digest, parts.c.licence)

_IS_RELEASE: Final = artifacts.c.kind == Kind.RELEASE.value
_COUNT: Final = select(func.count()).select_from(artifacts).where(_IS_RELEASE)
_OUTSIDE: Final = (
    select(bills.c.release)
    .join(artifacts, artifacts.c.digest == bills.c.release)
    .where(artifacts.c.kind == Kind.FOREIGN.value)
)
_ROUTED: Final = (endpoints.c.stream, endpoints.c.place, endpoints.c.release, endpoints.c.share)


class SqlBills:
    """The bills of all releases, as the ledger's tables have them."""

    def __init__(self, engine: Engine) -> None:
        """Use a database whose schema is current."""
        self._engine = engine

    def variants(self, names: Sequence[str]) -> tuple[Part, ...]:
        """Return every part of these names that some bill lists, each once."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(*_PART).where(parts.c.name.in_(names)).distinct()).all()
        return tuple(Part(*row) for row in rows)

    def holders(self, sought: Sought) -> Sequence[Holder]:
        """Return the releases whose bills list something that is looked for, with the first of it in words."""
        terms = list(_terms(sought))
        if not terms:  # empty means none: a question without a subject must not be answered with everything
            return ()
        spelled = parts.c.kind + " " + parts.c.name + " " + parts.c.version + " (" + parts.c.licence + ")"
        inside = (
            select(parts.c.list, func.count().label("count"), func.min(spelled).label("example"))
            .where(or_(*terms))
            .group_by(parts.c.list)
            .subquery()
        )
        query = (
            select(holds.c.release, func.sum(inside.c.count), func.min(inside.c.example))
            .join(inside, inside.c.list == holds.c.list)
            .group_by(holds.c.release)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query)
            return [Holder(release, int(count), example) for release, count, example in rows]

    def licences(self) -> tuple[str, ...]:
        """Return every licence once, by steps along the index: there are few among very many parts."""
        first = select(func.min(parts.c.licence).label("licence")).cte("stepping", recursive=True)
        later = select(func.min(parts.c.licence)).where(parts.c.licence > first.c.licence).scalar_subquery()
        steps = first.union_all(select(later).where(first.c.licence.is_not(None)))
        with reading(self._engine) as connection:
            found = connection.execute(select(steps.c.licence)).scalars().all()
        return tuple(text for text in found if text)

    def descent(self, roots: Iterable[str]) -> Sequence[tuple[str, str, str]]:
        """Return every edge on the ways down from artifacts, walked by the database."""
        unique = sorted(set(roots))
        found: dict[tuple[str, str, str], None] = {}
        with reading(self._engine) as connection:
            for start in range(0, len(unique), _NAMES_AT_ONCE):
                found |= dict.fromkeys(_down(connection, unique[start : start + _NAMES_AT_ONCE]))
        return tuple(found)

    def bases(self, releases: Collection[str]) -> Sequence[tuple[str, str]]:
        """Return those of these releases from whose model another was made, each with that model."""
        used = select(tunings.c.parent).distinct()
        query = select(edges.c.child, edges.c.parent).where(edges.c.parent.in_(used))
        with reading(self._engine) as connection:
            return [(child, parent) for child, parent in connection.execute(query).all() if child in releases]

    def outside(self, names: Collection[str]) -> frozenset[str]:
        """Return which of these came from outside; there are few of them, whatever is asked about."""
        with reading(self._engine) as connection:
            return frozenset(connection.execute(_OUTSIDE).scalars()) & frozenset(names)

    def meant(self, beginning: str) -> tuple[str, ...]:
        """Return the artifacts whose digest begins so; digits of a digest are below `g`."""
        text = "sha256:" + beginning.removeprefix("sha256:")
        query = select(artifacts.c.digest).where(artifacts.c.digest >= text, artifacts.c.digest < text + "g")
        with reading(self._engine) as connection:
            return tuple(connection.execute(query.distinct().limit(3)).scalars())

    def surroundings(self, around: Collection[str]) -> Surroundings:
        """Return models, marks, endpoints and names, all read at one moment."""
        noted: dict[str, dict[str, int]] = {}
        with reading(self._engine) as connection:
            count = connection.execute(_COUNT).scalar_one()
            models = _models(connection, around)
            outside = frozenset(connection.execute(_OUTSIDE).scalars()) & models.keys()
            for stream, kind, position in connection.execute(select(marks)).all():
                noted.setdefault(stream, {})[kind] = position
            routed = connection.execute(select(*_ROUTED).where(endpoints.c.release != "")).all()
            answering = [(stream, place, release, float(share)) for stream, place, release, share in routed]
            query = select(pointers.c.name, pointers.c.digest).where(pointers.c.digest != "")
            pointing = {str(name): str(to) for name, to in connection.execute(query).all()}
        return Surroundings(
            releases=count, models=models, marks=noted, endpoints=answering, pointers=pointing, outside=outside
        )

    def parts_of(self, release: str) -> tuple[Part, ...]:
        """Return what a release consists of, in order."""
        query = select(*_PART).join(holds, holds.c.list == parts.c.list).where(holds.c.release == release)
        with reading(self._engine) as connection:
            return tuple(sorted(Part(*row) for row in connection.execute(query).all()))

    def listed(self) -> Mapping[str, str]:
        """Return every release on record, oldest first, and its bill's serial number."""
        query = (
            select(artifacts.c.digest, bills.c.serial)
            .join(bills, bills.c.release == artifacts.c.digest, isouter=True)
            .where(_IS_RELEASE)
            .order_by(artifacts.c.position)
        )
        with reading(self._engine) as connection:
            return {release: serial or "" for release, serial in connection.execute(query).all()}


def _terms(sought: Sought) -> Iterator[ColumnElement[bool]]:
    """Yield what a part may be, any of it."""
    for kind, ecosystem, name in sought.whole:
        yield and_(parts.c.name == name, parts.c.kind == kind, parts.c.ecosystem == ecosystem)
    versions: dict[tuple[str, str, str], list[str]] = {}
    for each in sought.parts:
        versions.setdefault((each.kind, each.ecosystem, each.name), []).append(each.version)
    for (kind, ecosystem, name), some in versions.items():
        same = and_(parts.c.name == name, parts.c.kind == kind, parts.c.ecosystem == ecosystem)
        yield and_(same, parts.c.version.in_(some))
    if sought.digests:
        yield parts.c.digest.in_(sought.digests)
    if sought.licences:
        yield parts.c.licence.in_(sought.licences)


def _models(connection: Connection, wanted: Collection[str]) -> dict[str, str]:
    """Return which artifacts are releases, and of which model: few are asked for by name, many are read in a row."""
    query = select(bills.c.release, bills.c.model)
    if len(wanted) <= _NAMES_AT_ONCE:
        query = query.where(bills.c.release.in_(wanted))
    found = {release: model for release, model in connection.execute(query) if release in wanted}
    rest = sorted(set(wanted) - found.keys())
    for start in range(0, len(rest), _NAMES_AT_ONCE):  # data, features, models on the way; releases without a bill
        some = rest[start : start + _NAMES_AT_ONCE]
        query = select(artifacts.c.digest).where(_IS_RELEASE, artifacts.c.digest.in_(some))
        found |= dict.fromkeys(connection.execute(query).scalars(), "")
    return found


def _down(connection: Connection, roots: Sequence[str]) -> Iterable[tuple[str, str, str]]:
    edge = (edges.c.child, edges.c.parent, edges.c.parent_kind)
    start = select(*edge).where(edges.c.parent.in_(roots)).cte("down", recursive=True)
    steps = start.union(select(*edge).join(start, edges.c.parent == start.c.child))
    return [(child, parent, kind) for child, parent, kind in connection.execute(select(steps)).all()]
