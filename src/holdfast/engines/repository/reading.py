"""Reading a repository: from bytes of which nothing is believed to the documents that the offline keys stand behind.

The order and the checks are those of the TUF specification 1.0.31, section 5 (the client's detailed workflow); each
step carries its number. Signature rules and formats are python-tuf's Metadata API. What differs, and why:

* Thresholds count persons, not keys: two keys of one owner are one voice.
* The root that is trusted first is not a file but the pinned document, whose keys sign the first root (5.2).
* 5.3.11 (forget versions when online keys change) is left out: a remembered version never falls. Whoever holds an
  online key can so make a gateway wait for a person; that is availability, which is not promised.
* 5.4.3, equal versions: the very timestamp that was seen last is read again after a restart; another one of the same
  version is a second story, and refused.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias, TypeVar

import msgspec
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Role, Root, Signed, Snapshot, Targets, Timestamp

from holdfast.core.artifact import Digest, digest_bytes, digest_json, parse_digest
from holdfast.core.errors import InvalidInput, NotFound, NotVerified, Refused
from holdfast.core.trust import Trust
from holdfast.engines.repository.keys import trusted_key, tuf_key

TIMESTAMP_NAME: Final = "timestamp.json"
TRUST_NAME: Final = "trust.dsse.json"
ROUTES_NAME: Final = "routes.dsse.json"
POLICY_NAME: Final = "policy.toml"
REVOKED_NAME: Final = "revoked.json"
CARRIED: Final = (POLICY_NAME, ROUTES_NAME, TRUST_NAME)  # by routing; each is believed by its own seal or digest
ROUTING: Final = "routing"  # the delegated role that names the route table
ONLINE_ROLE: Final = "registry"  # of ours; its key signs routing, snapshot and timestamp
MAX_ROOT: Final = 1 << 19  # bytes; a root of a hundred keys fits
MAX_TIMESTAMP: Final = 1 << 14  # bytes; ours has less than 1 KiB
MAX_METADATA: Final = 1 << 20  # bytes of snapshot, targets and routing; ours have a few KiB
MAX_TARGET: Final = 8 << 20  # bytes of a document: a sealed route table with ten thousand credentials fits
MAX_ROOTS: Final = 64  # new roots in one reading (5.3.1: some limit, so that nobody makes a client read for ever)

Fetch: TypeAlias = Callable[[str, int], bytes]
S = TypeVar("S", Root, Timestamp, Snapshot, Targets)


class Versions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What of a repository must never fall, kept across restarts."""

    root: str = ""  # the newest root itself: it says who may sign the next one
    pin: str = ""  # digest of the pinned document that led to it
    timestamp: int = 0
    newest: str = ""  # digest of that timestamp
    snapshot: int = 0
    targets: int = 0
    routing: int = 0

    def height(self) -> tuple[int, ...]:
        """Return what no newer memory may have less of."""
        return self.timestamp, self.snapshot, self.targets, self.routing


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Where a repository's files come from; nothing that comes is believed."""

    fetch: Fetch
    pinned: Trust  # the root keys alone, with their threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What steps 5.2 to 5.6 have verified, and the way to the documents that it names."""

    fetch: Fetch
    root: Trust  # the root keys as the newest root names them: they unseal the trust document
    offline: Targets
    online: Targets
    versions: Versions
    until: datetime  # when the first of the metadata expires

    def trust(self) -> bytes:
        """Return the sealed trust document (5.7)."""
        return self._document(TRUST_NAME, self.online)

    def routes(self) -> bytes:
        """Return the sealed route table (5.7)."""
        return self._document(ROUTES_NAME, self.online)

    def policy(self) -> bytes:
        """Return the policy's bytes (5.7)."""
        return self._document(POLICY_NAME, self.online)

    def revoked(self) -> frozenset[Digest]:
        """Return what the offline keys have revoked for good (5.7).

        Raises:
            NotVerified: It is no list of digests.
        """
        try:
            listed = msgspec.json.decode(self._document(REVOKED_NAME, self.offline), type=tuple[str, ...])
            return frozenset(parse_digest(each) for each in listed)
        except (msgspec.MsgspecError, UnicodeDecodeError, InvalidInput) as error:
            raise NotVerified(f"the list of revocations cannot be read: {error}", place=REVOKED_NAME) from error

    def _document(self, name: str, role: Targets) -> bytes:
        """Return the very bytes that a role names, found under their own hash (5.7.2, consistent snapshots)."""
        target = role.targets.get(name)
        hashed = target.hashes.get("sha256") if target is not None else None
        if target is None or hashed is None:
            raise NotVerified(f"{name} is not among what its role has signed", place=name)
        if target.length > MAX_TARGET:
            raise NotVerified(f"{name} is said to have {target.length} bytes", expected=f"at most {MAX_TARGET}")
        data = self.fetch(target_path(name, hashed), target.length)
        try:
            target.verify_length_and_hashes(data)
        except RepositoryError as error:
            raise NotVerified(f"{name} is not the document that was signed: {error}", place=name) from error
        return data


def target_path(name: str, sha256: str) -> str:
    """Return where a document lies: under its hash, so that an old and a new one never stand in each other's way."""
    return f"targets/{sha256}.{name}"


def root_name(version: int) -> str:
    """Return the name of a root."""
    return f"{version}.root.json"


def read_repository(repository: Repository, remembered: Versions, now: datetime) -> Reached:
    """Return what a repository proves.

    Raises:
        NotVerified: A signature, version, hash or type does not fit.
        Refused: Something in it has expired.
        NotFound: A file that it names is missing.
    """
    fetch = repository.fetch
    root, document = _newest_root(repository, remembered)  # 5.2 and 5.3.
    if now >= root.expires:  # 5.3.10. Of the last root only: an expired one may lead to its successor.
        raise Refused("the root has expired", place=root_name(root.version), remedy="Have the root keys renew it.")

    data = fetch(TIMESTAMP_NAME, MAX_TIMESTAMP)  # 5.4.1.
    timestamp = open_timestamp(data, root, remembered, now)  # 5.4.2 to 5.4.4.
    meta = timestamp.snapshot_meta
    snapshot = open_snapshot(
        fetch(f"{meta.version}.snapshot.json", MAX_METADATA), root, meta, remembered, now
    )  # 5.5.1 to 5.5.6.
    listed = _listed(snapshot, "targets")
    offline = open_targets(  # 5.6.1 to 5.6.5.
        fetch(f"{listed.version}.targets.json", MAX_METADATA), root, "targets", listed, now
    )
    listed = _listed(snapshot, ROUTING)
    online = open_targets(  # 5.6.7: the one delegation that we follow; no other is looked for.
        fetch(f"{listed.version}.{ROUTING}.json", MAX_METADATA), offline, ROUTING, listed, now
    )
    _check_delegation(offline)
    return Reached(
        fetch=fetch,
        root=_as_trust(root, repository.pinned),
        offline=offline,
        online=online,
        versions=Versions(
            root=document.decode(),
            pin=digest_json(repository.pinned),
            timestamp=timestamp.version,
            newest=digest_bytes(data),
            snapshot=snapshot.version,
            targets=offline.version,
            routing=online.version,
        ),
        until=min(each.expires for each in (root, timestamp, snapshot, offline, online)),
    )


def _newest_root(repository: Repository, remembered: Versions) -> tuple[Root, bytes]:
    """Return the newest root that the pinned keys lead to, step by step, without a gap.

    Raises:
        NotVerified: There is none, or one of the steps is not signed as it must be.
    """
    # Whoever installs another pin distrusts what the old one led to.
    document = remembered.root.encode() if remembered.pin == digest_json(repository.pinned) else b""
    root = parsed(document, Root, "the remembered root").signed if document else None  # 5.2. verified when it came
    for _ in range(MAX_ROOTS):  # 5.3.2.
        version = root.version + 1 if root is not None else 1
        try:
            document_after = repository.fetch(root_name(version), MAX_ROOT)  # 5.3.3.
        except NotFound:
            if root is None:
                raise
            return root, document
        root, document = open_root(document_after, root or _as_root(repository.pinned), version), document_after
    raise NotVerified(f"more than {MAX_ROOTS} new roots at once", place="root.json")


def open_root(data: bytes, before: Root, version: int) -> Root:
    """Return the root after one that is trusted."""
    metadata = parsed(data, Root, root_name(version))
    _verify(before, "root", metadata, root_name(version))  # 5.3.4. by the threshold before it,
    _verify(metadata.signed, "root", metadata, root_name(version))  # and by its own
    if metadata.signed.version != version:  # 5.3.5. no rollback, and no gap
        raise NotVerified(f"the root says it is number {metadata.signed.version}", place=root_name(version))
    return metadata.signed


def open_timestamp(data: bytes, root: Root, remembered: Versions, now: datetime) -> Timestamp:
    """Return the timestamp in these bytes."""
    metadata = parsed(data, Timestamp, TIMESTAMP_NAME)
    _verify(root, "timestamp", metadata, TIMESTAMP_NAME)  # 5.4.2.
    timestamp = metadata.signed
    if timestamp.version < remembered.timestamp:  # 5.4.3.1.
        _replayed("timestamp", timestamp.version, remembered.timestamp)
    if timestamp.version == remembered.timestamp and digest_bytes(data) != remembered.newest:  # 5.4.3.2.
        raise NotVerified(f"a second timestamp says it is number {timestamp.version}", place=TIMESTAMP_NAME)
    if timestamp.snapshot_meta.version < remembered.snapshot:  # 5.4.3.3.
        _replayed("snapshot", timestamp.snapshot_meta.version, remembered.snapshot)
    if now >= timestamp.expires:  # 5.4.4. The lease: a frozen repository ends here.
        raise Refused("the lease is over", place=TIMESTAMP_NAME, remedy="Have the control plane renew it.")
    return timestamp


def open_snapshot(data: bytes, root: Root, meta: MetaFile, remembered: Versions, now: datetime) -> Snapshot:
    """Return the snapshot that a timestamp names."""
    _check_hash(data, meta, "snapshot.json")  # 5.5.2.
    metadata = parsed(data, Snapshot, "snapshot.json")
    _verify(root, "snapshot", metadata, "snapshot.json")  # 5.5.3.
    snapshot = metadata.signed
    _check_version(snapshot, meta, "snapshot.json")  # 5.5.4.
    for name, version in (("targets", remembered.targets), (ROUTING, remembered.routing)):  # 5.5.5.
        if _listed(snapshot, name).version < version:
            _replayed(name, _listed(snapshot, name).version, version)
    _check_fresh(snapshot, "snapshot.json", now)  # 5.5.6.
    return snapshot


def open_targets(data: bytes, delegator: Root | Targets, role: str, meta: MetaFile, now: datetime) -> Targets:
    """Return the targets of a role that a snapshot names."""
    name = f"{role}.json"
    _check_hash(data, meta, name)  # 5.6.2.
    metadata = parsed(data, Targets, name)
    _verify(delegator, role, metadata, name)  # 5.6.3.
    _check_version(metadata.signed, meta, name)  # 5.6.4.
    _check_fresh(metadata.signed, name, now)  # 5.6.5.
    return metadata.signed


def check_offline(previous: bytes, following: bytes | None, targets: bytes, revoked: bytes) -> None:
    """Check that gateways will believe what is about to be published by the offline keys.

    Args:
        previous: The newest root that is published already.
        following: The root after it, where there is one.
        targets: The newest targets.
        revoked: The list that they name.

    Raises:
        NotVerified: Too few persons have signed, or the list is another one.
    """
    root = parsed(previous, Root, "root.json").signed
    if following is not None:
        root = open_root(following, root, root.version + 1)
    metadata = parsed(targets, Targets, "targets.json")
    _verify(root, "targets", metadata, "targets.json")
    _check_delegation(metadata.signed)
    try:
        metadata.signed.targets[REVOKED_NAME].verify_length_and_hashes(revoked)
    except (KeyError, RepositoryError) as error:
        raise NotVerified("the targets name another list of revocations", place=REVOKED_NAME) from error


def _check_delegation(offline: Targets) -> None:
    """Check that the offline keys have handed on what is handed on, and nothing more."""
    delegations = offline.delegations
    roles: Mapping[str, Role] = (delegations.roles or {}) if delegations is not None else {}
    role = roles.get(ROUTING)
    paths = set(getattr(role, "paths", None) or ())
    if set(roles) != {ROUTING} or paths != set(CARRIED):
        raise NotVerified("targets.json delegates something else than the route table", place="targets.json")


def parsed(data: bytes, kind: type[S], place: str) -> Metadata[S]:
    """Return metadata of one kind, nothing believed yet.

    Raises:
        NotVerified: It is something else.
    """
    try:
        metadata = Metadata[S].from_bytes(data)
    except RepositoryError as error:
        raise NotVerified(f"the metadata cannot be read: {error}", place=place) from error
    if not isinstance(metadata.signed, kind):
        raise NotVerified(f"metadata of type {metadata.signed.type}", place=place, expected=kind.type)
    return metadata


def _verify(delegator: Root | Targets, role: str, metadata: Metadata[S], place: str) -> None:
    """Check that enough persons whom the delegator names have signed.

    Raises:
        NotVerified: They have not.
    """
    try:
        result = delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
        wanted = delegator.get_delegated_role(role).threshold
    except (RepositoryError, ValueError) as error:
        raise NotVerified(f"the signatures cannot be checked: {error}", place=place) from error
    persons = {trusted_key(key).owner for key in result.signed.values()}
    if not result or wanted < 1 or len(persons) < wanted:
        raise NotVerified(
            f"signed by {len(persons)} of those that must", place=place, expected=f"{wanted} of role {role}"
        )


def _check_hash(data: bytes, meta: MetaFile, place: str) -> None:
    if not meta.hashes or "sha256" not in meta.hashes:  # TUF lets them out; we always write them
        raise NotVerified("the file is named without a hash", place=place)
    if hashlib.sha256(data).hexdigest() != meta.hashes["sha256"]:
        raise NotVerified("this is not the file that was signed together with the others", place=place)


def _check_version(signed: Signed, meta: MetaFile, place: str) -> None:
    if signed.version != meta.version:
        raise NotVerified(f"it says it is number {signed.version}", place=place, expected=f"number {meta.version}")


def _check_fresh(signed: Signed, place: str, now: datetime) -> None:
    if now >= signed.expires:
        raise Refused(f"{place} has expired", place=place, remedy="Have the control plane renew it.")


def _listed(snapshot: Snapshot, role: str) -> MetaFile:
    meta = snapshot.meta.get(f"{role}.json")
    if meta is None:
        raise NotVerified(f"the snapshot says nothing of {role}", place="snapshot.json")
    return meta


def _replayed(what: str, found: int, remembered: int) -> None:
    raise NotVerified(f"{what} {found} is replayed: {remembered} was seen before", place=f"{what}.json")


def _as_root(pinned: Trust) -> Root:
    """Return the pinned keys as the root before the first one: they sign it as any root signs its successor."""
    keys = {key.keyid: tuf_key(key) for key in pinned.of_role("root")}
    roles = {name: Role([], 1) for name in ("targets", "snapshot", "timestamp")}
    roles["root"] = Role(list(keys), max(pinned.root_threshold, 1))
    return Root(keys=dict(keys), roles=roles)


def _as_trust(root: Root, pinned: Trust) -> Trust:
    """Return the root keys of the newest root as a `Trust`, with which the trust document is unsealed."""
    role = root.roles["root"]
    keys = tuple(trusted_key(root.keys[keyid]) for keyid in role.keyids if keyid in root.keys)
    return msgspec.structs.replace(
        pinned, version=root.version, expires=root.expires, root_threshold=role.threshold, keys=keys
    )
