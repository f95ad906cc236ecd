"""The online side of views: records by entity, encrypted and bound to their place, and what they say at a moment.

Decides what a record holds and what can be said from it exactly. It keeps an entity's newest row features and its
last events: enough for any moment since then. For an earlier one it says that it cannot tell, never something else.
Knows no database: `Store` keeps bytes by key. A store's keeper learns neither entities nor values, and a record that
was changed, or put in another's place, does not open.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.core.artifact import canonical
from holdfast.core.errors import NotVerified
from holdfast.core.feature import FeatureView
from holdfast.engines.expressions import EARLIER, EVENT_TIME, SINCE, Expression, Value, parse

LAST: Final = 16  # events of an entity that its record keeps, so that moments shortly before its newest event are exact
MAX_RECORD: Final = 1 << 20  # bytes; a thousand features take 10 KiB
NONCE: Final = 12  # bytes, as AES-GCM has it
_META: Final = ""  # the entity whose record is about the view itself: no entity has an empty name
MISSING: Final = "missing"
STALE: Final = "stale"
TOO_EARLY: Final = "before-record"

Lying: TypeAlias = tuple[str, bytes | None]  # a place, and what lies there, sealed


class Store(Protocol):
    """Where online values lie: bytes by key."""

    def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """Return what lies under each key, None where nothing does.

        Raises:
            Unavailable: The store cannot be reached, or not in time.
        """
        ...

    def replace(self, prefix: str, items: Mapping[str, bytes]) -> None:
        """Let these be all the values under a prefix: what else lies there is removed.

        Raises:
            Unavailable: The store cannot be reached.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Record(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What is known online of one entity; times in microseconds since 1970."""

    written: int
    event: int  # of the event whose row features these are
    created: int
    values: tuple[Value, ...]  # of the view's row features, in the order of their names
    older: int = 0  # events that are not among `last`
    older_event: int = 0  # the newest of these
    older_from: int = 0  # the moment from which all of these count
    last: tuple[tuple[int, int], ...] = ()  # events, and the moment from which each counts


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What is known online of a view's version: where its values come from, and how new they are."""

    view: str
    version: str
    source: str  # digest of the rows
    written: int
    newest: int  # event time of the newest event
    entities: int
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """Seals records for their places, and opens them; made of a key that control plane and gateways share."""

    _aead: AESGCM = field(repr=False)
    _names: bytes = field(repr=False)

    @classmethod
    def of(cls, shared: bytes) -> "Vault":
        """Return the vault of a shared key of 32 bytes or more; its uses are kept apart by name."""
        return cls(_aead=AESGCM(_derived(shared, b"values")), _names=_derived(shared, b"names"))

    def place(self, view: str, version: str, entity: str) -> str:
        """Return the key of an entity's record: it tells the view, and nothing of the entity."""
        name = hashlib.blake2b(entity.encode("utf-8", "surrogatepass"), digest_size=16, key=self._names).hexdigest()
        return prefix_of(view, version) + name

    def seal(self, place: str, data: bytes, nonce: bytes) -> bytes:
        """Return data that only opens in this place; a nonce of `NONCE` random bytes is used once.

        Of random ones, the chance that two of 2^32 are equal is 2^-33: NIST SP 800-38D, 8.3.
        """
        return nonce + self._aead.encrypt(nonce, data, place.encode())

    def open(self, place: str, sealed: bytes) -> bytes:
        """Return what was sealed for this place.

        Raises:
            NotVerified: It was changed, or sealed for another place or under another key.
        """
        if len(sealed) > MAX_RECORD:
            raise NotVerified(f"an online record of {len(sealed)} bytes", place=place, expected=f"at most {MAX_RECORD}")
        try:
            return self._aead.decrypt(sealed[:NONCE], sealed[NONCE:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise NotVerified(
                "an online record does not open", place=place, expected="the bytes written there"
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One entity's features at one moment: values by name, and why those are missing that could not be told."""

    values: dict[str, Value]
    lacking: dict[str, str]  # feature to reason
    age_s: float | None  # of the view's newest event; None: the view was never materialised


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Some features of one view, ready to be looked up: all that a gateway needs, none of it a frame."""

    view: str
    version: str
    ttl_us: int
    zone: str
    names: tuple[str, ...]  # of all row features of the view: the order of a record's values
    code: Mapping[str, Expression | None]  # the wanted features: code of those computed at request, None of the stored
    wanted_history: bool = True


def _derived(shared: bytes, use: bytes) -> bytes:
    return hmac.new(shared, b"holdfast features 1 " + use, hashlib.sha256).digest()


def lookup_of(name: str, view: FeatureView, wanted: Sequence[str]) -> Lookup:
    """Return what it takes to look up some features of a view.

    Raises:
        InvalidInput: The code of one is none.
    """
    parsed = {feature: parse(view.features[feature].code, view.columns) for feature in view.features}
    stored = tuple(sorted(feature for feature, code in parsed.items() if code.sort == "row"))
    code = {feature: (None if parsed[feature].sort == "row" else parsed[feature]) for feature in wanted}
    return Lookup(view=name, version=view.digest, ttl_us=view.ttl_us, zone=view.zone, names=stored, code=code)


def prefix_of(view: str, version: str) -> str:
    """Return what the keys of all records of a view's version begin with."""
    return f"{view}/{version.removeprefix('sha256:')[:16]}/"


def encode_record(record: Record) -> bytes:
    """Return a record's bytes: every float bit by bit, every int of 64 bits, text as UTF-8."""
    return msgspec.msgpack.encode(record)


_RECORDS: Final = msgspec.msgpack.Decoder(Record)


def decode_record(data: bytes, place: str) -> Record:
    """Return the record in bytes.

    Raises:
        NotVerified: They are none.
    """
    try:
        return _RECORDS.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotVerified("an online record cannot be read", place=place) from error


def encode_meta(meta: Meta) -> bytes:
    """Return a view's own record."""
    return canonical(meta)


def fetch(store: Store, vault: Vault, lookup: Lookup, entities: Sequence[str]) -> list[Lying]:
    """Ask the store once for a view's own record, which comes first, and those of some of its entities, in order.

    Raises:
        Unavailable: The store does not answer.
    """
    places = [vault.place(lookup.view, lookup.version, name) for name in (_META, *entities)]
    return list(zip(places, store.get(places), strict=True))


def looked_up(vault: Vault, lookup: Lookup, meta: Meta | None, lying: Lying, moment: int) -> Looked:
    """Return features of an entity at a moment, of what was fetched; `meta` is what `meta_in` says of the view.

    Raises:
        NotVerified: What lies there was not written for this place.
    """
    if meta is None:
        return lacking_all(lookup, MISSING)
    place, sealed = lying
    record = decode_record(vault.open(place, sealed), place) if sealed is not None else None
    values, lacking = values_at(lookup, record, moment)
    return Looked(values=values, lacking=lacking, age_s=(moment - meta.newest) / 1e6)


def lacking_all(lookup: Lookup, why: str) -> Looked:
    """Return that nothing could be told, for one reason."""
    return Looked(values=dict.fromkeys(lookup.code), lacking=dict.fromkeys(lookup.code, why), age_s=None)


def look_up(store: Store, vault: Vault, lookup: Lookup, entity: str, moment: int) -> Looked:
    """Return features of an entity at a moment: one question to the store.

    Raises:
        Unavailable: The store does not answer.
        NotVerified: What lies there was not written for this place.
    """
    about, lying = fetch(store, vault, lookup, (entity,))
    return looked_up(vault, lookup, meta_in(vault, *about), lying, moment)


def meta_of(store: Store, vault: Vault, view: str, version: str) -> Meta | None:
    """Return what the store says of a view's version; None where it was never materialised.

    Raises:
        Unavailable: The store does not answer.
        NotVerified: What lies there was not written for this place.
    """
    place = vault.place(view, version, _META)
    return meta_in(vault, place, store.get([place])[0])


def meta_in(vault: Vault, place: str, sealed: bytes | None) -> Meta | None:
    """Return a view's own record in what lies at its place."""
    if sealed is None:
        return None
    try:
        return msgspec.json.decode(vault.open(place, sealed), type=Meta)
    except msgspec.MsgspecError as error:
        raise NotVerified("a view's online record cannot be read", place=place) from error


def meta_place(vault: Vault, view: str, version: str) -> str:
    """Return where a view's own record lies."""
    return vault.place(view, version, _META)


def values_at(lookup: Lookup, record: Record | None, moment: int) -> tuple[dict[str, Value], dict[str, str]]:
    """Return what a record says of the wanted features at a moment, and why it cannot say the rest."""
    values: dict[str, Value] = {}
    lacking: dict[str, str] = {}
    context: dict[str, Any] | None = None
    for name, code in lookup.code.items():
        if code is None:
            values[name], why = _stored(lookup, record, name, moment)
        else:
            if context is None:
                context = {EVENT_TIME: moment} | _history(record, moment)
            past = context[EARLIER] is None and _historic(code)
            values[name] = None if past else code.evaluate(context, lookup.zone)
            why = TOO_EARLY if past else ""
        if values[name] is None:
            lacking[name] = why or MISSING
    return values, lacking


def _stored(lookup: Lookup, record: Record | None, name: str, moment: int) -> tuple[Value, str]:
    if record is None:
        return None, MISSING
    if moment < record.event or moment < record.created:
        return None, TOO_EARLY
    if lookup.ttl_us and moment - record.event > lookup.ttl_us:
        return None, MISSING
    return record.values[lookup.names.index(name)], ""


def _historic(code: Expression) -> bool:
    return EARLIER in code.code or SINCE in code.code


def _history(record: Record | None, moment: int) -> dict[str, Value]:
    """Return the count of earlier events and the time since the last one; None where the moment lies too far back."""
    if record is None:
        return {EARLIER: 0, SINCE: None}
    if record.older and moment < record.older_from:
        return {EARLIER: None, SINCE: None}
    known = [event for event, since in record.last if since <= moment]
    newest = max([*known, *((record.older_event,) if record.older else ())], default=None)
    since = None if newest is None else float(moment - newest) / 1e6
    return {EARLIER: record.older + len(known), SINCE: since}
