"""Snapshots of advisories in a workspace: made and signed where there is a network, taken in where there is none.

Taking one in matches every release on record anew. What is newly affected is said as a security event, and each release
gets evidence under the key of the role release: whoever decides next reads it.
"""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from holdfast.core.advisories import Snapshot
from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.errors import Conflict, InvalidInput, NotVerified, Unavailable
from holdfast.core.ledger import Draft, Entry
from holdfast.core.seal import ADVISORIES, seal, unseal
from holdfast.core.trust import Algorithm, Trust, TrustedKey, keyid_of
from holdfast.engines.advisories.matching import Index
from holdfast.engines.advisories.snapshot import (
    MAX_FILE,
    MAX_SKEW,
    gather,
    pack,
    read_records,
    unpack,
)
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted, short

STREAM: Final = "advisories"
TAKEN: Final = "advisories.taken"
MAX_KEY: Final = 16_384  # bytes of a public key in PEM
_ROLE: Final = "ingest"


def make(plant: Plant, *, source: Path, date: str, out: Path, said: str = "OSV records of a folder or zip") -> Reply:
    """Make a signed snapshot of OSV records.

    Args:
        plant: The workspace, whose key of the role ingest signs.
        source: A folder or zip of OSV documents, such as OSV's own `all.zip` of an ecosystem.
        date: The day that the records are as of, ISO 8601.
        out: The file to make.
        said: Where the records were had.

    Raises:
        InvalidInput: The date is none or lies ahead, a document is no advisory, or the file cannot be written.
    """
    plant.unlock()
    now, moment = plant.clock.now(), _moment(date)
    if moment - now > MAX_SKEW:
        raise InvalidInput(f"{date} lies ahead", expected="the day that the records are as of")
    records, ecosystems, count = gather(source)
    about = Snapshot(
        date=moment, made=now, records=count, digest=digest_bytes(records), ecosystems=ecosystems, source=said[:300]
    )
    data = pack(seal(about, ADVISORIES, [plant.keys.signer(_ROLE)], name="advisories"), records)
    try:
        with out.open("xb") as file:
            file.write(data)
    except OSError as error:
        raise InvalidInput(f"the file cannot be made: {error.strerror}", place=str(out)) from error
    says = f"{counted(count, 'advisory', 'advisories')} of {counted(len(ecosystems), 'ecosystem')} "
    says += f"as of {moment:%Y-%m-%d}, signed: {out}"
    return Reply(says=says, document=_document(about) | {"file": str(out)})


def take(plant: Plant, *, snapshot: Path, key: Path | None = None) -> Reply:
    """Verify a snapshot, take it in, and match every release on record with it.

    Args:
        plant: The workspace.
        snapshot: The file.
        key: Public key of whoever made it, PEM, where that is another workspace; on record with the snapshot.

    Raises:
        NotVerified: It is not signed by a key that is believed, or its records are others.
        Conflict: A newer one was taken in before.
    """
    from holdfast.lifecycle.dependencies import rematch  # it loads what this module takes in

    plant.unlock()
    try:
        if snapshot.stat().st_size > MAX_FILE:
            raise InvalidInput("the file is too large", place=str(snapshot), expected=f"at most {MAX_FILE} bytes")
        bundle = unpack(snapshot.read_bytes(), str(snapshot))
    except OSError as error:
        raise InvalidInput(f"the snapshot cannot be read: {error.strerror}", place=str(snapshot)) from error
    now = plant.clock.now()
    trust = plant.trust if key is None else _pinned(plant.trust, key, now)
    verified = unseal(bundle.statement, ADVISORIES, trust, at=now)
    about = verified.value
    if about.date - now > MAX_SKEW:
        raise NotVerified("the snapshot is from the future", place=str(snapshot))
    read_records(about, bundle.records)
    last = _last(plant)
    if last is not None and datetime.fromisoformat(last.body["date"]) > about.date:
        raise Conflict(f"a snapshot as of {last.body['date'][:10]} was taken in before", expected="a newer one")
    body = _document(about) | {
        "envelope": plant.blobs.put(bundle.statement),
        "records": plant.blobs.put(bundle.records),
        "key": verified.signers[0].keyid,
        "foreign": key is not None,
    }
    plant.ledger.append([Draft(kind=TAKEN, actor=_ROLE, stream=STREAM, body=body)])
    found = rematch(plant)
    rows = [(short(release), state, words) for release, state, words in found]
    table = Table(title="Releases", columns=("release", "now", "advisories"), rows=rows)
    affected = [release for release, state, _ in found if state == "NEWLY AFFECTED"]
    says = f"Advisories as of {about.date:%Y-%m-%d}: {about.records}, for {counted(len(found), 'release')}"
    says += f", {len(affected)} NEWLY AFFECTED" if affected else ""
    return Reply(
        says=says + ".", document=_document(about) | {"affected": affected, "key": body["key"]}, tables=(table,)
    )


def listed(plant: Plant) -> Reply:
    """List the snapshots that were taken in, newest last."""
    now = plant.clock.now()
    rows, documents = [], []
    for entry in plant.ledger.stream(STREAM):
        if entry.kind == TAKEN:
            age = (now - datetime.fromisoformat(entry.body["date"])).total_seconds() / 86400
            names = entry.body["ecosystems"]
            rows.append(
                (
                    entry.body["date"][:10],
                    f"{age:.0f}",
                    str(entry.body["count"]),
                    ", ".join(names),
                    entry.body["key"][:16],
                )
            )
            documents.append(
                {name: entry.body[name] for name in ("date", "made", "count", "ecosystems", "digest", "key")}
            )
    table = Table(
        title="Snapshots of advisories", columns=("as of", "days old", "advisories", "ecosystems", "key"), rows=rows
    )
    return Reply(
        says=f"{counted(len(rows), 'snapshot was', 'snapshots were')} taken in.",
        document={"snapshots": documents},
        tables=(table,),
    )


def newest(plant: Plant) -> Snapshot:
    """Return the newest snapshot that was taken in.

    Raises:
        Unavailable: There is none: nothing can be said about advisories.
    """
    entry = _last(plant)
    if entry is None:
        raise Unavailable(
            "no snapshot of advisories was taken in",
            remedy="`holdfast advisories make`, then `holdfast advisories take`.",
        )
    return _snapshot(entry.body)


def has_snapshot(plant: Plant) -> bool:
    """Say whether there is any."""
    return _last(plant) is not None


def index_of(plant: Plant, snapshot: Snapshot) -> Index:
    """Return the advisories of a snapshot for look-ups.

    Raises:
        NotVerified: What is stored is not what was taken in.
    """
    return Index(read_records(snapshot, plant.blobs.get(Digest(snapshot.digest))))


def _last(plant: Plant) -> Entry | None:
    return plant.last(STREAM, TAKEN)


def _snapshot(body: Mapping[str, Any]) -> Snapshot:
    return Snapshot(
        date=datetime.fromisoformat(body["date"]),
        made=datetime.fromisoformat(body["made"]),
        records=int(body["count"]),
        digest=body["digest"],
        ecosystems=tuple(body["ecosystems"]),
        source=body["source"],
    )


def _document(about: Snapshot) -> dict[str, Any]:
    return {
        "date": about.date.isoformat(),
        "made": about.made.isoformat(),
        "count": about.records,
        "digest": about.digest,
        "ecosystems": list(about.ecosystems),
        "source": about.source,
    }


def _moment(date: str) -> datetime:
    try:
        moment = datetime.fromisoformat(date)
    except ValueError as error:
        raise InvalidInput(f"{date[:40]!r} is no date", expected="ISO 8601, for example 2026-01-31") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _pinned(trust: Trust, path: Path, now: datetime) -> Trust:
    """Return a trust in which nothing but one foreign key may speak of advisories.

    Raises:
        InvalidInput: The file holds no public key that we can check.
    """
    try:
        data = path.read_bytes()[: MAX_KEY + 1]
        public = serialization.load_pem_public_key(data)
    except OSError as error:
        raise InvalidInput(f"the key cannot be read: {error.strerror}", place=str(path)) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput("this is no public key in PEM", place=str(path)) from error
    algorithm: Algorithm = "ed25519" if isinstance(public, ed25519.Ed25519PublicKey) else "ecdsa-p256"
    if not isinstance(public, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
        raise InvalidInput("a public key of another kind", place=str(path), expected="Ed25519 or ECDSA P-256")
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    foreign = TrustedKey(
        keyid=keyid_of(der),
        algorithm=algorithm,
        public=base64.b64encode(der).decode(),
        role=_ROLE,
        not_before=now - timedelta(days=1),
        not_after=now + timedelta(days=1),
        owner=f"advisories:{keyid_of(der)[:16]}",
    )
    return msgspec.structs.replace(trust, keys=(foreign,))
