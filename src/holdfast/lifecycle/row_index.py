"""The index of rows: made when a model is trained, sealed with the rows themselves, and made again from them at will.

An entry for each split says where its roster and bitmaps lie; the ledger holds digests and counts. They lie under the
source's data key: whoever erases the source erases with them what could tell who was in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from holdfast.core.artifact import Artifact, Digest, Kind, parse_manifest
from holdfast.core.errors import NotFound, NotVerified
from holdfast.core.ledger import Draft
from holdfast.core.passport import RECORDED
from holdfast.lifecycle.inputs import rows_key
from holdfast.lifecycle.plant import Plant

if TYPE_CHECKING:
    from holdfast.engines.row_index import Roster, RowIndex, Split

INDEXED: Final = "rows.indexed"  # body: split, features, source, index, roster, counts
STREAM: Final = "rows"
_FILES: Final = {"train": "train.parquet", "validation": "validation.parquet", "test": "test.parquet"}
_SALTS: Final = 8  # tries of another salt; that one of a million rows fails has chance 3e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """Where a split's bitmaps lie, by the newest entry about it."""

    split: str
    source: str
    index: str
    roster: str


def index_split(plant: Plant, held: dict[Kind, Artifact], actor: str) -> None:
    """Index the rows of a split that was just made, unless it is indexed and readable."""
    split, features, source = (held[kind].digest for kind in (Kind.SPLIT, Kind.FEATURES, Kind.SOURCE))
    known = indexed(plant)
    if split in known and plant.blobs.has(Digest(known[split].index)):
        return
    same = next((each.roster for each in known.values() if each.source == source), "")
    roster, made = _made(plant, split, _kept(plant, same))
    sealed = plant.sealed(rows_key(source))
    body = {
        "split": split,
        "features": features,
        "source": source,
        "roster": sealed.put(roster.document),
        "index": sealed.put(made.document),
        "counts": {side: len(rows) for side, rows in made.sides.items()},
    }
    plant.ledger.append([Draft(kind=INDEXED, actor=actor, stream=STREAM, body=body)])


def indexed(plant: Plant) -> dict[str, Indexed]:
    """Return where each split's bitmaps lie, the newest word standing."""
    return {
        entry.body["split"]: Indexed(**{name: entry.body[name] for name in ("split", "source", "index", "roster")})
        for entry in plant.ledger.stream(STREAM)
        if entry.kind == INDEXED
    }


def load(plant: Plant, *, anew: bool = False) -> "tuple[RowIndex, tuple[str, ...]]":
    """Return the index of all splits on record, and the splits whose rows were erased, of which nothing can be said.

    Args:
        plant: The control plane.
        anew: Make it from the splits themselves, and compare: it is a projection.

    Raises:
        NotVerified: What is stored is not what the splits say.
    """
    from holdfast.engines.row_index import parse_roster, parse_split, row_index

    known = indexed(plant)
    rosters: dict[str, Roster] = {}
    gone = []

    def readable() -> "Iterator[tuple[str, Split]]":
        for name in _splits(plant):
            at = known.get(name)
            try:
                if at is None or not plant.blobs.has(Digest(at.index)):
                    roster, split = _made(plant, name, None)
                    rosters[split.roster] = roster
                else:
                    if at.roster not in rosters:
                        rosters[at.roster] = parse_roster(plant.blobs.get(Digest(at.roster)))
                    split = parse_split(plant.blobs.get(Digest(at.index)))
                    if anew and _made(plant, name, rosters[at.roster])[1].document != split.document:
                        raise NotVerified("the index of rows says something else than the split", place=name)
            except NotFound:
                gone.append(name)
            else:
                yield name, split

    return row_index(rosters, readable()), tuple(gone)


def _kept(plant: Plant, roster: str) -> "Roster | None":
    from holdfast.engines.row_index import parse_roster

    return parse_roster(plant.blobs.get(Digest(roster))) if roster and plant.blobs.has(Digest(roster)) else None


def _made(plant: Plant, split: str, roster: "Roster | None") -> "tuple[Roster, Split]":
    """Return a split's bitmaps made of its own files, on a roster that is there if it has all of its rows.

    Raises:
        NotFound: The split's rows were erased.
    """
    from holdfast.core.artifact import digest_bytes
    from holdfast.engines.row_index import SALT_BYTES, roster_of, split_of

    sides = ids_of(plant, split)
    every = [key for keys in sides.values() for key in keys]
    if roster is None or len(roster.places(set(every))) != len(set(every)):
        for attempt in range(_SALTS):
            try:
                roster = roster_of(every, plant.entropy.token(SALT_BYTES))
                break
            except NotVerified:
                if attempt == _SALTS - 1:
                    raise
    assert roster is not None  # noqa: S101 - the loop above makes one or raises
    return roster, split_of(roster, digest_bytes(roster.document), sides)


def ids_of(plant: Plant, split: str) -> dict[str, list[str]]:
    """Return the keys of the rows on each side of a split.

    Raises:
        NotFound: They were erased.
    """
    import io

    import polars as pl

    folder = parse_manifest(plant.blobs.get(Digest(split)))
    found = {}
    for side, path in _FILES.items():
        data = plant.blobs.get(Digest(folder.file(path).digest))
        found[side] = pl.read_parquet(io.BytesIO(data), columns=["id"]).get_column("id").to_list()
    return found


def _splits(plant: Plant) -> Iterator[str]:
    seen = set()
    for entry in plant.ledger.entries():
        if entry.kind == RECORDED and entry.body["kind"] == Kind.SPLIT and entry.stream not in seen:
            seen.add(entry.stream)
            yield entry.stream
