"""Who is known: accounts, their groups and keys, as the fold of the stream `identity`. Sessions are operational.

No personal value is on record beyond the account name that somebody chose: who signs on elsewhere is linked by a keyed
hash, and keys and session secrets are known by keyed hashes only.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec

from holdfast.core.access import Principal, Sort
from holdfast.core.artifact import Moment
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.ledger import Entry

STREAM: Final = "identity"
ADMINISTRATORS: Final = "administrators"
MAX_GROUPS: Final = 32  # of one account
_ACCOUNT: Final = re.compile(r"[a-z][a-z0-9._-]{0,62}")
_GROUP: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")

T = TypeVar("T")
LinkSort: TypeAlias = Literal["oidc", "spiffe"]


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A user, a service or a gateway, and the groups that say what it may."""

    name: str
    sort: Sort
    groups: tuple[str, ...] = ()
    enabled: bool = True


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A long-lived secret, known by its keyed hash."""

    id: str
    name: str  # the account it stands for
    hash: str
    scope: tuple[str, ...] | None  # the only actions it may ask for; None: all that the account may
    expires: Moment


class Session(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A sign-on that can be renewed until it expires; its secret changes with every renewal.

    Sessions are no history: they lie in an operational table, and losing it makes people sign on again.
    """

    id: str
    name: str
    how: str
    hash: str
    expires: Moment


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The one-time token of the first administrator."""

    hash: str
    expires: Moment


class _Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str
    sort: LinkSort
    value: str  # a SPIFFE id, or the keyed hash of issuer and subject


class _Groups(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str
    groups: tuple[str, ...]


class _Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str


class _Ended(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    id: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Everybody who is known, at one moment of the history."""

    accounts: Mapping[str, Account] = field(default_factory=dict)
    keys: Mapping[str, ApiKey] = field(default_factory=dict)  # by hash
    links: Mapping[tuple[LinkSort, str], str] = field(default_factory=dict)
    offer: Offer | None = None

    @property
    def administrators(self) -> tuple[str, ...]:
        """The enabled administrators."""
        return tuple(
            account.name for account in self.accounts.values() if account.enabled and ADMINISTRATORS in account.groups
        )

    def known(self, name: str) -> Account | None:
        """Return an account if it may sign on."""
        account = self.accounts.get(name)
        return account if account is not None and account.enabled else None

    def linked(self, sort: LinkSort, value: str) -> Account | None:
        """Return the account that a name elsewhere is linked to, if it may sign on."""
        return self.known(self.links.get((sort, value), ""))

    def key_of(self, hashed: str, now: datetime) -> ApiKey | None:
        """Return the unexpired key of this hash whose account may sign on."""
        key = self.keys.get(hashed)
        return key if key is not None and now < key.expires and self.known(key.name) else None


def principal(account: Account, session: str, scope: tuple[str, ...] | None = None) -> Principal:
    """Return the principal that an account acts as."""
    return Principal(name=account.name, sort=account.sort, groups=account.groups, session=session, scope=scope)


def check_account(name: str, groups: Iterable[str]) -> tuple[str, ...]:
    """Return the groups in order, if account and groups can be named so.

    Raises:
        InvalidInput: They cannot.
    """
    if not _ACCOUNT.fullmatch(name):
        raise InvalidInput(f"the account {name[:80]!r}", expected="a-z, 0-9 and ._-, beginning with a letter, up to 63")
    wanted = tuple(sorted(set(groups)))
    odd = next((group for group in wanted if not _GROUP.fullmatch(group)), None)
    if odd is not None or len(wanted) > MAX_GROUPS:
        said = f"the group {odd[:80]!r}" if odd is not None else f"{len(wanted)} groups"
        raise InvalidInput(said, expected=f"up to {MAX_GROUPS}, each of a-z, 0-9 and -, beginning with a letter")
    return wanted


def fold(entries: Iterable[Entry]) -> Directory:
    """Return who is known after these entries of the stream.

    Raises:
        NotVerified: An entry cannot be read: then nobody is known, rather than somebody by mistake.
    """
    found = _Found()
    for entry in entries:
        step = FOLDS.get(entry.kind)
        if step is not None:
            step(found, entry)
    return Directory(
        accounts=MappingProxyType(found.accounts),
        keys=MappingProxyType(found.keys),
        links=MappingProxyType(found.links),
        offer=found.offer,
    )


@dataclass(slots=True)
class _Found:
    """What a fold has found so far."""

    accounts: dict[str, Account] = field(default_factory=dict)
    keys: dict[str, ApiKey] = field(default_factory=dict)
    links: dict[tuple[LinkSort, str], str] = field(default_factory=dict)
    offer: Offer | None = None


def _read(entry: Entry, of: type[T]) -> T:
    try:
        return msgspec.convert(entry.body, of)
    except msgspec.ValidationError as error:
        raise NotVerified(
            f"an entry about identity cannot be read: {error}", place=f"entry {entry.position}"
        ) from error


def _added(found: _Found, entry: Entry) -> None:
    account = _read(entry, Account)
    found.accounts[account.name] = account


def _regrouped(found: _Found, entry: Entry) -> None:
    change = _read(entry, _Groups)
    _change(found, change.name, entry, groups=change.groups)


def _disabled(found: _Found, entry: Entry) -> None:
    _change(found, _read(entry, _Named).name, entry, enabled=False)


def _enabled(found: _Found, entry: Entry) -> None:
    _change(found, _read(entry, _Named).name, entry, enabled=True)


def _change(found: _Found, name: str, entry: Entry, **changes: Any) -> None:
    if name not in found.accounts:
        raise NotVerified(f"nobody is called {name[:80]!r}", place=f"entry {entry.position}")
    found.accounts[name] = msgspec.structs.replace(found.accounts[name], **changes)


def _linked(found: _Found, entry: Entry) -> None:
    link = _read(entry, _Link)
    found.links[link.sort, link.value] = link.name


def _key_issued(found: _Found, entry: Entry) -> None:
    key = _read(entry, ApiKey)
    found.keys[key.hash] = key


def _key_revoked(found: _Found, entry: Entry) -> None:
    ended = _read(entry, _Ended)
    found.keys = {hashed: key for hashed, key in found.keys.items() if key.id != ended.id}


def _offered(found: _Found, entry: Entry) -> None:
    found.offer = _read(entry, Offer)


def _claimed(found: _Found, entry: Entry) -> None:
    _read(entry, _Named)
    found.offer = None


FOLDS: Final[Mapping[str, Callable[[_Found, Entry], None]]] = {
    "identity.added": _added,
    "identity.regrouped": _regrouped,
    "identity.disabled": _disabled,
    "identity.enabled": _enabled,
    "identity.linked": _linked,
    "identity.key-issued": _key_issued,
    "identity.key-revoked": _key_revoked,
    "identity.bootstrap-offered": _offered,
    "identity.bootstrap-claimed": _claimed,
}
"""What each kind of entry means."""
