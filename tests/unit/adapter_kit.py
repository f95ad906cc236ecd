"""What tests of the storage adapters share: a ledger on a file, a key in memory, and entries to append."""

import base64
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast.adapters.clock import SystemClock
from holdfast.adapters.database import open_database
from holdfast.adapters.ledger import SqlLedger
from holdfast.core.artifact import Digest, Kind, digest_bytes
from holdfast.core.bill import LISTED, PARTS, Part, list_name, list_stream, lists_of, part
from holdfast.core.ledger import Checkpoint, Draft, SignedCheckpoint, open_checkpoint
from holdfast.core.passport import FILED, RECORDED, REVOKED, STARTED
from holdfast.core.ports import Clock
from holdfast.core.trust import TrustedKey, keyid_of, raw_ed25519

ROOT: Final = Path(__file__).parents[2]
ORIGIN: Final = "test.example/ledger"


@dataclass(frozen=True)
class MemorySigner:
    """A ledger key that lives in memory and is the same in every process of a test."""

    seed: str = "ledger"

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(self.seed.encode()).digest())

    @property
    def public(self) -> TrustedKey:
        der = self._private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return TrustedKey(
            keyid=keyid_of(der),
            algorithm="ed25519",
            public=base64.b64encode(der).decode(),
            role="ledger",
            not_before=datetime(2020, 1, 1, tzinfo=UTC),
            not_after=datetime(2040, 1, 1, tzinfo=UTC),
            owner="test",
        )

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message)


def open_ledger(place: Path | str, clock: Clock | None = None, *, key: str = "ledger", former: str = "") -> SqlLedger:
    """A ledger on an SQLite file, or on the database that a URL names."""
    return SqlLedger(
        open_database(place),
        clock=clock or SystemClock(),
        signer=MemorySigner(key),
        origin=ORIGIN,
        former=[MemorySigner(former).public] if former else [],
    )


def opened(signed: SignedCheckpoint, key: str = "ledger") -> Checkpoint:
    """A checkpoint as somebody elsewhere opens it, who pinned the ledger's key."""
    return open_checkpoint(signed, origin=ORIGIN, public_key=raw_ed25519(MemorySigner(key).public))


def note(text: str, stream: str = "notes", actor: str = "ada") -> Draft:
    """An entry that means nothing to any table."""
    return Draft(kind="note", actor=actor, stream=stream, body={"text": text})


def named(name: str) -> Digest:
    """A digest to speak of."""
    return digest_bytes(name.encode())


def recorded(name: str, kind: Kind = Kind.MODEL, parents: Sequence[tuple[Kind, str]] = ()) -> Draft:
    """The entry that says what an artifact is."""
    body: dict[str, Any] = {
        "kind": kind.value,
        "size": len(name),
        "parents": [{"kind": kind.value, "digest": named(parent)} for kind, parent in parents],
    }
    return Draft(kind=RECORDED, actor="train", stream=named(name), body=body)


def filed(name: str, control: str = "assess.quality/1", run: str = "run-1") -> Draft:
    """The entry that says where the evidence of a control lies."""
    body = {"control": control, "run": run, "envelope": named(f"{name} {control} {run}")}
    return Draft(kind=FILED, actor="assess", stream=named(name), body=body)


def pointed(name: str, to: str) -> Draft:
    """An entry by which a name points to an artifact, or to nothing."""
    pointer = {"name": name, "digest": named(to) if to else ""}
    return Draft(kind="release.promoted", actor="registry", stream=f"endpoint/{name}", body={"pointer": pointer})


def listed(name: str, *parts: Part) -> list[Draft]:
    """The entries that put a bill of materials on record, each list of parts among them."""
    lists = {list_name(each): each for each in lists_of(parts)}
    known = [
        Draft(kind=PARTS, actor="release", stream=list_stream(each), body={"parts": msgspec.to_builtins(some)})
        for each, some in lists.items()
    ]
    body = {"model": name, "serial": f"urn:{name}", "lists": sorted(lists)}
    return [*known, Draft(kind=LISTED, actor="release", stream=named(name), body=body)]


def routed(baseline: str, candidate: str = "", share: float = 0.0) -> Draft:
    """The entry by which a production endpoint answers with releases."""
    standing = {"baseline": named(baseline), "candidate": named(candidate) if candidate else "", "share": share}
    return Draft(kind="endpoint.routed", actor="registry", stream="endpoint/production/m", body={"standing": standing})


def history() -> list[Draft]:
    """A short history with something for every table, and more than one entry in most streams."""
    return [
        recorded("rows", Kind.DATASET),
        recorded("model", Kind.MODEL, [(Kind.DATASET, "rows")]),
        Draft(kind=STARTED, actor="assess", stream=named("model"), body={"control": "assess.quality/1", "run": "r1"}),
        filed("model", run="r1"),
        filed("model", control="assess.slices/1", run="r1"),
        recorded("release", Kind.RELEASE, [(Kind.MODEL, "model"), (Kind.DATASET, "rows")]),
        pointed("production", "release"),
        note("looked at it"),
        pointed("production", "model"),
        recorded("model", Kind.MODEL, [(Kind.FEATURES, "features")]),
        *listed("release", part("library", "pypi", "numpy", "2.4.6", licence="BSD-3-Clause"), part("data", "", "rows")),
        routed("release"),
        recorded("tuned", Kind.MODEL, [(Kind.MODEL, "model")]),
        Draft(kind=REVOKED, actor="ada", stream=named("rows"), body={"reason": "poisoned"}),
        note("went home"),
    ]


def child(source: str, *arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
    """Another process that runs a few lines of Python with this kit at hand."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT), *sys.path])}
    return subprocess.Popen(
        [sys.executable, "-c", source, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        **options,
    )
