"""A small signed world: keys, ledger, a model of three inputs with its evidence, and what a gateway would be handed.

Everything is made by the functions that production uses (`seal`, `link`, `build_passport`, …) over ports in memory, and
is the same in every run. Tests then spoil one thing at a time and see who notices.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np

from holdfast.core.artifact import Artifact, Digest, File, Kind, canonical, digest_bytes, manifest
from holdfast.core.evidence import Evidence, Finding, MadeWith, Outcome, exactly
from holdfast.core.ledger import Draft
from holdfast.core.passport import FILED, RECORDED, REVOKED
from holdfast.core.routes import Credential, GuardSpec, ModelRoute, RouteTable
from holdfast.core.schema import Signature
from holdfast.core.seal import EVIDENCE, ROUTES, TRUST, Predicate, seal
from holdfast.core.trust import ROLES, Grant, Trust
from holdfast.engines.repository import (
    POLICY_NAME,
    ROUTES_NAME,
    TRUST_NAME,
)
from holdfast.maths.nearness import Space
from holdfast.registry.admission import build_passport
from holdfast.serve import Gateway, Ground, HttpRequest, HttpResponse, Loader, Pins, Watcher
from holdfast.serve.credentials import hash_api_key
from holdfast.serve.events import Noted
from holdfast.serve.guards.lookup import Source
from holdfast.serve.guards.surroundings import Cells, LocalCells, LocalNonces, Nonces
from holdfast.serve.state import Runtime
from holdfast.serve.tracing import Tracing
from holdfast.testing.carried import Carrier, MemoryMemory, MemoryPublished, Ticks
from holdfast.testing.clock import SettableClock
from holdfast.testing.memory import MemoryBlobs, MemoryLedger, MemorySigner
from holdfast.testing.tiny import SIGNATURE, tiny_model, training_profile

WORKSPACE: Final = "world"
ENVIRONMENT: Final = "production"
MODEL: Final = "tiny"
API_KEY: Final = "hf_" + "A" * 43
INFER: Final = f"/v2/models/{MODEL}/infer"
ROW: Final = b'{"inputs":[{"name":"input","shape":[1,3],"datatype":"FP64","data":[50,15,0.1]}]}'
CREDENTIAL_KEY: Final = bytes(range(32))
GUARDS: Final = (
    GuardSpec(name="within-size", configuration={"max_bytes": 65536}),
    GuardSpec(name="authenticated"),
    GuardSpec(name="within-rate", configuration={"rate_per_s": 1000.0, "burst": 1000}),
    GuardSpec(name="valid-input", configuration={"max_rows": 64, "margin": 0.5}),
    GuardSpec(name="coarse-output", configuration={"decimals": 2}),
)
POLICY: Final = b"""\
name = "world"
version = 1
permit_lasts = "12h"

[derivation]
release = ["model"]
model = ["dataset"]

[[rule]]
id = "quality"
because = "a model that guesses must not answer"
on = "model"
control = "assess.quality/1"
measure = "accuracy"
at_least = 0.8

[[rule]]
id = "scan"
because = "a model with code in it must not be opened"
on = "model"
control = "release.scan/1"
none_of = ["high", "critical"]

[[rule]]
id = "whole"
because = "a release is a package"
control = "release.package/1"
measure = "files"
at_least = 3
"""


def with_key(key: str = API_KEY) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that present an API key."""
    return ((b"authorization", b"Bearer " + key.encode()),)


WITH_KEY: Final = with_key()


class World:
    """A workspace in memory with one key for each role."""

    def __init__(self, start: datetime | None = None) -> None:
        """Make keys, trust, ledger and policy; nothing is released yet.

        Args:
            start: When this world begins; the settable clock's own beginning if left out.
        """
        self.clock = SettableClock() if start is None else SettableClock(start)
        self.start = self.clock.now()
        self.signers = {
            role: MemorySigner(role, owner="alice" if role == "person" else role, start=self.start - timedelta(days=1))
            for role in ROLES
        }
        self.blobs = MemoryBlobs()
        self.ledger = MemoryLedger(self.clock, self.signers["ledger"], WORKSPACE)
        self.policy = POLICY
        self.trust = Trust(
            workspace=WORKSPACE,
            version=1,
            expires=self.start + timedelta(days=30),
            root_threshold=1,
            keys=tuple(signer.public for signer in self.signers.values()),
            policies=(digest_bytes(self.policy),),
            grants=(Grant(person="alice", role="owner", not_after=self.start + timedelta(days=30)),),
        )
        self.carrier = Carrier(self.trust, self.signers)
        self.published = MemoryPublished(carry=self.carrier)
        self._epoch = 0

    @property
    def root(self) -> Trust:
        """What a gateway pins: the root key alone."""
        return msgspec.structs.replace(self.trust, keys=(self.signers["root"].public,), policies=(), grants=())

    def sealed(self, value: object, predicate: Predicate[Any], role: str) -> bytes:
        """Return the envelope in which a role's key says a value."""
        return seal(value, predicate, [self.signers[role]])

    # ── what comes before a release ─────────────────────────────────────────────────────────────────────────────────

    def record(self, artifact: Artifact, *parents: Artifact) -> None:
        """Put an artifact and what it derives from on record."""
        edges = [{"kind": parent.kind, "digest": parent.digest} for parent in parents]
        body = {"kind": artifact.kind, "size": artifact.size, "parents": edges}
        self.ledger.append([Draft(kind=RECORDED, actor="world", stream=artifact.digest, body=body)])

    def file(
        self, control: str, subject: Artifact, measures: Mapping[str, float], findings: Sequence[Finding] = ()
    ) -> None:
        """Put sealed evidence about an artifact on record."""
        evidence = Evidence(
            control=control,
            subject=subject.digest,
            kind=subject.kind,
            outcome=Outcome.MEASURED,
            made_with=MadeWith(code=digest_bytes(b"code"), configuration=digest_bytes(b"configuration")),
            measures=tuple(exactly(name, value) for name, value in measures.items()),
            findings=tuple(findings),
        )
        envelope = self.blobs.put(self.sealed(evidence, EVIDENCE, evidence.stage))
        body = {"control": control, "run": envelope, "envelope": envelope}
        self.ledger.append([Draft(kind=FILED, actor=evidence.stage, stream=subject.digest, body=body)])

    def folder(self, kind: Kind, files: Mapping[str, bytes]) -> Artifact:
        """Store a folder of files as an artifact."""
        listed = manifest(File(path=name, digest=self.blobs.put(data), size=len(data)) for name, data in files.items())
        return Artifact(kind=kind, digest=self.blobs.put(listed.document), size=listed.size)

    def release(
        self,
        model: bytes | None = None,
        *,
        packaged: bytes | None = None,
        accuracy: float = 0.95,
        findings: Sequence[Finding] = (),
        signature: Signature = SIGNATURE,
        space: Space | None = None,
    ) -> Artifact:
        """Make a release with all its evidence on record.

        Args:
            model: The model's bytes; `tiny_model()` if left out.
            packaged: Other bytes that are put into the release in place of the model that was measured.
            accuracy: What `assess.quality/1` measured.
            findings: What `release.scan/1` found.
            signature: Inputs and classes of the model.
            space: How training rows lay; nobody has fitted it if left out.
        """
        document = model or tiny_model()
        files = {
            "model.onnx": document,
            "profile.json": training_profile(signature, space),
            "signature.json": canonical(signature),
        }
        dataset = self.folder(Kind.DATASET, {"data.parquet": b"rows"})
        trained = self.folder(Kind.MODEL, files)
        package = self.folder(Kind.RELEASE, files | {"model.onnx": packaged or document, "card.md": b"# tiny\n"})
        self.record(dataset)
        self.record(trained, dataset)
        self.record(package, trained)
        self.file("release.scan/1", trained, {"files_scanned": 3}, findings)
        self.file("assess.quality/1", trained, {"accuracy": accuracy})
        self.file("release.package/1", package, {"files": 4})
        return package

    def revoke(self, artifact: Artifact, reason: str = "it was poisoned") -> None:
        """Put on record that an artifact may no longer be used."""
        self.ledger.append([Draft(kind=REVOKED, actor="alice", stream=artifact.digest, body={"reason": reason})])

    # ── what a gateway is handed ────────────────────────────────────────────────────────────────────────────────────

    def passport(self, release: Artifact) -> Digest:
        """Store a release's passport, as of now, and return its digest."""
        document = build_passport(self.ledger, self.blobs, release.digest, self.ledger.checkpoint())
        return self.blobs.put(document)

    def credential(
        self, api_key: str = API_KEY, *, client: str = "bob", models: Sequence[str] = (MODEL,), lasts_s: float = 86400
    ) -> Credential:
        """Return a credential for an API key."""
        expires = self.clock.now() + timedelta(seconds=lasts_s)
        hashed = hash_api_key(CREDENTIAL_KEY, api_key)
        return Credential(id=client, hash=hashed, models=tuple(models), expires=expires)

    def table(
        self, release: Artifact | None, *, candidate: Artifact | None = None, share: float = 0.0, **changes: Any
    ) -> RouteTable:
        """Return the next epoch's table, with a lease of fifteen minutes."""
        self._epoch += 1
        now = self.clock.now()
        route = release and ModelRoute(
            name=MODEL,
            baseline=release.digest,
            passport=self.passport(release),
            candidate=candidate.digest if candidate else None,
            candidate_passport=self.passport(candidate) if candidate else None,
            candidate_share=share,
        )
        table = RouteTable(
            workspace=WORKSPACE,
            environment=ENVIRONMENT,
            epoch=self._epoch,
            issued=now,
            expires=now + timedelta(minutes=15),
            policy=digest_bytes(self.policy),
            models=(route,) if route else (),
            guards=GUARDS,
            credentials=(self.credential(),),
        )
        return msgspec.structs.replace(table, **changes)

    def publish(self, table: RouteTable, *, trust: Trust | None = None, signer: str = "registry") -> RouteTable:
        """Publish a table with everything it needs; `signer` is the role whose key signs it."""
        self.published.documents |= {
            TRUST_NAME: self.sealed(trust or self.trust, TRUST, "root"),
            POLICY_NAME: self.policy,
            ROUTES_NAME: self.sealed(table, ROUTES, signer),
        }
        self.published.blobs |= self.blobs.held
        return table

    def serve(self, runtime: Runtime, **changes: Any) -> "Serving":
        """Return a gateway that serves a good release under a table with these changes."""
        self.publish(self.table(self.release(), **changes))
        found = self.serving(runtime)
        found.look()
        if found.gateway.state is None:
            raise found.complaints[-1]
        return found

    def serving(
        self,
        runtime: Runtime,
        *,
        nonces: Nonces | None = None,
        cells: Cells | None = None,
        terminator_key: bytes = b"",
        features: Source | None = None,
        traced: float = 0.0,
        seed: int = 0,
    ) -> "Serving":
        """Return a gateway over what is published, nothing loaded yet; it traces a share of calls, keyed by a seed."""
        ticks, since_s = Ticks(), self.clock.now().timestamp()
        ground = Ground(
            clock=self.clock,
            monotonic=ticks,
            credential_key=CREDENTIAL_KEY,
            version="0",
            terminator_key=terminator_key,
            features=features,
            tracing=Tracing(share=traced, monotonic=ticks, offset_s=since_s) if traced else None,
            draw=partial(np.random.default_rng, seed),
        )
        gateway, memory = Gateway(ground), MemoryMemory()
        pins = Pins(root=self.root, origin=WORKSPACE, environment=ENVIRONMENT)
        loader = Loader(
            published=self.published,
            memory=memory,
            runtime=runtime,
            pins=pins,
            ground=ground,
            gateway=gateway,
            nonces=nonces or LocalNonces(since=self.clock.now().timestamp()),
            cells=cells or LocalCells(),
        )
        return Serving(world=self, gateway=gateway, loader=loader, memory=memory, ticks=ticks)


@dataclass(slots=True, kw_only=True)
class Serving:
    """A gateway in its small world."""

    world: World
    gateway: Gateway
    loader: Loader
    memory: MemoryMemory
    ticks: Ticks
    complaints: list[Exception] = field(default_factory=list)
    watcher: Watcher = field(init=False)

    def __post_init__(self) -> None:
        """Watch, and keep what the watcher complains of."""
        self.watcher = Watcher(loader=self.loader, complain=self.complaints.append)

    def look(self) -> None:
        """Let the watcher look once, whatever it has seen before."""
        self.ticks.seconds += 60.0
        self.watcher.look()

    def call(
        self,
        headers: Iterable[tuple[bytes, bytes]] = WITH_KEY,
        *,
        path: str = INFER,
        method: str = "POST",
        body: bytes = ROW,
        peer: str = "127.0.0.1",
    ) -> HttpResponse:
        """Make one call; by default a good one."""
        return self.gateway.handle(HttpRequest(method=method, path=path, headers=tuple(headers), body=body, peer=peer))

    def events(self) -> list[Noted]:
        """Return the security events noted so far, and forget them."""
        return self.gateway.log.collect(self.world.clock.now() + timedelta(seconds=2))
