"""Writing a repository: root and targets at a ceremony, routing, snapshot and timestamp with every route table.

All five online versions are the route table's epoch, so that whoever holds the ledger can tell what was published when,
and so that no second counter can fall behind the first. Everything is deterministic: the same values give the same
bytes, apart from the signatures of algorithms that draw random numbers.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from securesystemslib.signer import Signature
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from holdfast.core.artifact import canonical
from holdfast.core.dsse import SigningKey
from holdfast.core.errors import InvalidInput
from holdfast.core.trust import Trust, TrustedKey
from holdfast.engines.repository.keys import tuf_key
from holdfast.engines.repository.reading import (
    CARRIED,
    ONLINE_ROLE,
    REVOKED_NAME,
    ROUTING,
    TIMESTAMP_NAME,
    S,
    parsed,
    root_name,
    target_path,
)

__all__ = [
    "Offline",
    "Release",
    "countersigned",
    "first_root",
    "next_root",
    "online_keys",
    "root_name",
    "write_release",
    "write_targets",
]

_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline:
    """What the offline keys have signed: the newest targets, and the file they speak of."""

    targets: bytes
    revoked: bytes  # digests that are revoked for good, as a JSON list


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What the online key says for one route table."""

    routing: bytes
    snapshot: bytes
    timestamp: bytes
    names: Mapping[str, bytes]  # every file of this state but the roots, in the order in which it must appear


def first_root(trust: Trust, signers: Sequence[SigningKey]) -> bytes:
    """Return the first root: the root keys with their threshold, and the online keys of a trust document."""
    return countersigned(_unsigned(_root(trust, 1)), signers)


def next_root(previous: bytes, trust: Trust) -> bytes | None:
    """Return the root after this one, unsigned, or None where all of it is what this one says already.

    Its signers are as many persons as the old threshold asks for, and as many as the new one does.

    Args:
        previous: The newest root.
        trust: The trust document whose keys take over.
    """
    root: Metadata[Root] = parsed(previous, Root, "root.json")
    made = _root(trust, root.signed.version)
    if made == root.signed:
        return None
    made.version += 1
    return _unsigned(made)


def _root(trust: Trust, version: int) -> Root:
    offline, online = trust.of_role("root"), online_keys(trust)
    if not offline or not online:  # empty means no
        raise InvalidInput("a root without root keys or without an online key", expected="at least one of each")
    keys = {key.keyid: tuf_key(key) for key in sorted((*offline, *online), key=lambda key: key.keyid)}
    of_root = sorted(key.keyid for key in offline)
    of_online = sorted(key.keyid for key in online)
    roles = {
        "root": Role(of_root, trust.root_threshold),
        "targets": Role(of_root, trust.root_threshold),
        "snapshot": Role(of_online, 1),
        "timestamp": Role(of_online, 1),
    }
    return Root(version=version, expires=_whole(trust.expires), keys=dict(keys), roles=roles, consistent_snapshot=True)


def online_keys(trust: Trust) -> tuple[TrustedKey, ...]:
    """Return the keys that sign routing, snapshot and timestamp."""
    return trust.of_role(ONLINE_ROLE)


def write_targets(trust: Trust, revoked: Sequence[str], version: int) -> Offline:
    """Return what the offline keys shall say, unsigned: what is revoked for good, and who signs `routing`.

    Args:
        trust: The trust, whose registry keys may sign `routing`.
        revoked: Digests of artifacts that must never answer again.
        version: One more than the newest targets'.
    """
    gone = canonical(sorted(set(revoked)))
    online = online_keys(trust)
    routing = DelegatedRole(ROUTING, [key.keyid for key in online], 1, terminating=True, paths=[*CARRIED])
    targets = Targets(
        version=version,
        expires=_whole(trust.expires),
        targets={REVOKED_NAME: _target(REVOKED_NAME, gone)},
        delegations=Delegations({key.keyid: tuf_key(key) for key in online}, {ROUTING: routing}),
    )
    return Offline(targets=_unsigned(targets), revoked=gone)


def write_release(
    offline: Offline, *, documents: Mapping[str, bytes], epoch: int, expires: datetime, signer: SigningKey
) -> Release:
    """Return routing, snapshot and timestamp for one route table, and every file in the order it must appear.

    Args:
        offline: What the offline keys have signed last.
        documents: Every one of `CARRIED` by name: the sealed route table, the policy it names, the sealed trust.
        epoch: The table's epoch, which becomes the version of all three.
        expires: When its lease ends.
        signer: The online key.
    """
    targets: Metadata[Targets] = parsed(offline.targets, Targets, "targets.json")
    delegations = targets.signed.delegations
    if delegations is None or signer.keyid not in delegations.keys:
        raise InvalidInput(
            "the offline keys have not said that this key may sign what gateways read",
            place=f"key {signer.keyid[:16]} of role {ONLINE_ROLE}",
            remedy="Hold the ceremony: `holdfast repository propose`, `sign` and `apply`.",
        )
    end = _whole(expires)
    if set(documents) != set(CARRIED):
        raise InvalidInput(f"a release of {', '.join(sorted(documents))}", expected=", ".join(CARRIED))
    carried = {name: _target(name, data) for name, data in documents.items()}
    routing = _signed(Targets(version=epoch, expires=end, targets=carried), [signer])
    meta = {
        f"{ROUTING}.json": MetaFile.from_data(epoch, routing, ["sha256"]),
        "targets.json": MetaFile.from_data(targets.signed.version, offline.targets, ["sha256"]),
    }
    snapshot = _signed(Snapshot(version=epoch, expires=end, meta=meta), [signer])
    newest = MetaFile.from_data(epoch, snapshot, ["sha256"])
    timestamp = _signed(Timestamp(version=epoch, expires=end, snapshot_meta=newest), [signer])
    files = {REVOKED_NAME: offline.revoked, **documents}
    names = {target_path(name, hashlib.sha256(data).hexdigest()): data for name, data in files.items()}
    names |= {f"{targets.signed.version}.targets.json": offline.targets, f"{epoch}.{ROUTING}.json": routing}
    names |= {f"{epoch}.snapshot.json": snapshot, TIMESTAMP_NAME: timestamp}  # last: who sees it finds the rest
    return Release(routing=routing, snapshot=snapshot, timestamp=timestamp, names=names)


def _target(name: str, data: bytes) -> TargetFile:
    return TargetFile.from_data(name, data, ["sha256"])


def countersigned(document: bytes, signers: Sequence[SigningKey]) -> bytes:
    """Return metadata with a signature of each of these signers, beside those that it has."""
    if not signers:  # empty means no
        raise InvalidInput("metadata without signer", expected="at least one key")
    metadata = Metadata.from_bytes(document)
    for signer in signers:
        metadata.signatures[signer.keyid] = Signature(signer.keyid, signer.sign(metadata.signed_bytes).hex())
    metadata.signatures = dict(sorted(metadata.signatures.items()))
    return canonical(metadata.to_dict())


def _signed(content: S, signers: Sequence[SigningKey]) -> bytes:
    return countersigned(_unsigned(content), signers)


def _unsigned(content: S) -> bytes:
    metadata: Metadata[S] = Metadata(content)
    return canonical(metadata.to_dict())


def _whole(moment: datetime) -> datetime:
    """Return a moment rounded up to a whole second, which is all that TUF writes: no lease becomes shorter by it."""
    whole = moment.replace(microsecond=0)
    return whole if whole == moment else whole + _SECOND
