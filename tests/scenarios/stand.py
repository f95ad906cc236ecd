"""What scenarios of a workspace work with: its gateway without sockets, and statements sealed by the gateway's key."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast import app
from holdfast.adapters.person_folder import open_person
from holdfast.core.artifact import Artifact, Digest, Kind, digest_bytes, parse_manifest
from holdfast.core.control import Report
from holdfast.core.evidence import Evidence, MadeWith, Outcome, exactly
from holdfast.core.ledger import Draft, Entry
from holdfast.core.seal import EVIDENCE, TELEMETRY, TRUST, Telemetry, seal
from holdfast.core.telemetry import LATENCY_EDGES_MS, Window
from holdfast.core.trust import Grant, Trust
from holdfast.edge import assemble, config_of
from holdfast.lifecycle import probes
from holdfast.lifecycle.inbox import SPOOL
from holdfast.lifecycle.intake import profiles_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import issue_key
from holdfast.lifecycle.publishing import standing
from holdfast.lifecycle.routing import case_of, current_project
from holdfast.lifecycle.runner import project_stream
from holdfast.registry import Standing
from holdfast.serve import HttpRequest, HttpResponse
from holdfast.testing.clock import SettableClock

MADE_WITH = MadeWith(code=digest_bytes(b"code"), configuration="")
FAST = len(LATENCY_EDGES_MS) * (0,)  # the cells of latency beyond the first


def now(plant: Plant) -> Standing:
    """How the workspace's endpoint stands."""
    return standing(plant, current_project(plant))


def releases(plant: Plant) -> list[Digest]:
    """The releases that runs have made, oldest first."""
    runs = plant.ledger.stream(project_stream(current_project(plant)))
    made = [item for entry in runs if entry.kind == "stage.finished" for item in entry.body["artifacts"]]
    return [Digest(item["digest"]) for item in made if item["kind"] == Kind.RELEASE]


def parent(plant: Plant, artifact: str, kind: Kind) -> Digest:
    """What an artifact derives from, by kind."""
    recorded = plant.last(artifact, "artifact.recorded")
    assert recorded is not None
    return Digest(next(each["digest"] for each in recorded.body["parents"] if each["kind"] == kind))


def evidence(subject: str, control: str, kind: Kind = Kind.MODEL, **measures: float) -> Evidence:
    """Evidence of a control that measured."""
    return Evidence(
        control=control,
        subject=subject,
        kind=kind,
        outcome=Outcome.MEASURED,
        made_with=MADE_WITH,
        measures=tuple(exactly(name, value) for name, value in measures.items()),
    )


def file_evidence(plant: Plant, item: Evidence, *, role: str | None = None) -> None:
    """Put evidence on record as a stage would, sealed by the role's key."""
    envelope = plant.seal(item, EVIDENCE, role or item.stage)
    body = {"control": item.control, "run": "test", "envelope": envelope, "outcome": item.outcome}
    plant.ledger.append([Draft(kind="evidence.filed", actor=item.stage, stream=item.subject, body=body)])


def document(plant: Plant, name: str) -> Path:
    """The newest published document of a name."""
    found = (plant.home.published / "targets").glob(f"*.{name}")
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=plant.home.published / "targets" / name)


def kinds(plant: Plant, stream: str) -> list[str]:
    """The kinds of all entries of a stream, in order."""
    return [entry.kind for entry in plant.ledger.stream(stream)]


def incidents(plant: Plant) -> list[Entry]:
    """The entries about incidents."""
    return list(plant.ledger.stream(f"incident/{current_project(plant).project.name}"))


def incident(plant: Plant, entry: Entry) -> dict[str, Any]:
    """The document of an incident."""
    document: dict[str, Any] = json.loads(plant.blobs.get(Digest(entry.body["document"])))
    return document


def later(plant: Plant, by: timedelta) -> Plant:
    """The same control plane, whose clock is ahead."""
    return replace(plant, clock=SettableClock(plant.clock.now() + by))


def calm(plant: Plant, release: str, *, requests: int = 0, failures: int = 0, slow: int = 0) -> Window:
    """A window whose rows are spread just as the training rows were, so that nothing has drifted.

    Args:
        plant: The control plane.
        release: The release that answered.
        requests: Calls, by default one for each row.
        failures: How many of them failed.
        slow: How many of them took a second and more.
    """
    inputs, scores = profiles_of(plant, release)
    rows = next(iter(inputs.values())).n
    calls = requests or rows
    return Window(
        requests=calls,
        rows=rows,
        failures=failures,
        flagged=0,
        latency=(calls - slow, *FAST[:-1], slow),
        inputs={name: profile.cells for name, profile in inputs.items()},
        scores=tuple(rows // scores.n * count for count in scores.cells),
    )


def drifted(plant: Plant, release: str, column: str) -> Window:
    """A window in which every row has the highest values of one column."""
    window = calm(plant, release)
    cells = [0] * len(window.inputs[column])
    cells[-2] = window.rows  # the last cell counts missing values
    return msgspec.structs.replace(window, inputs={**window.inputs, column: tuple(cells)})


@dataclass(slots=True, kw_only=True)
class Spool:
    """The spool of a gateway whose key we hold: what it would have written, or what an attacker puts there."""

    plant: Plant
    sequence: Iterator[int] = field(default_factory=count)
    previous: str = ""

    @property
    def folder(self) -> Path:
        """Where it lies."""
        folder = self.plant.home.gateway / SPOOL
        folder.mkdir(exist_ok=True)
        return folder

    def statement(self, release: str, body: Mapping[str, Any], **changes: Any) -> bytes:
        """The next sealed statement of the chain."""
        signer = config_of(self.plant.home.root).identity()
        moment = self.plant.clock.now()
        owner = next(key.owner for key in self.plant.trust.keys if key.keyid == signer.keyid)
        told = Telemetry(
            gateway=owner,
            release=release,
            sequence=next(self.sequence),
            previous=self.previous,
            start=moment,
            end=moment,
            body=dict(body),
        )
        document = seal(msgspec.structs.replace(told, **changes), TELEMETRY, [signer], name="telemetry")
        self.previous = digest_bytes(document)
        return document

    def tell(self, release: str, window: Window, **changes: Any) -> Path:
        """Write the next statement about a release's traffic."""
        return self.put(self.statement(release, msgspec.to_builtins(window), **changes))

    def put(self, document: bytes, name: str = "") -> Path:
        """Write a document under a statement's name."""
        number = len(list(self.folder.glob("telemetry-*.json*")))
        path = self.folder / (name or f"telemetry-{number:010d}.dsse.json")
        path.write_bytes(document)
        return path

    def left(self) -> list[str]:
        """What lies in the spool."""
        return sorted(path.name for path in self.folder.iterdir() if path.suffix != ".lock")


class Gateway:
    """The workspace's own gateway, as `holdfast serve` assembles it, called directly."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.key = str(issue_key(plant, client="a-caller").document["key"])
        self.gateway, self.loader, self.recorder = assemble(config_of(plant.home.root), 0)
        self.recorder.open()
        self.loader.refresh()

    def rows(self, release: str) -> NDArray[np.float64]:
        """Complete training rows of a release: traffic as its model knows it."""
        import polars as pl

        split = parse_manifest(
            self.plant.blobs.get(parent(self.plant, parent(self.plant, release, Kind.MODEL), Kind.SPLIT))
        )
        frame = pl.read_parquet(self.plant.blobs.get(Digest(split.file("train.parquet").digest)))
        files = parse_manifest(self.plant.blobs.get(Digest(release)))
        signature = json.loads(self.plant.blobs.get(Digest(files.file("signature.json").digest)))
        found = frame.select([each["name"] for each in signature["inputs"]]).to_numpy()
        return np.asarray(found[np.isfinite(found).all(axis=1)])

    def ask(
        self, rows: NDArray[np.float64], peer: str = "127.0.0.1", *, token: str = "", certificate: bytes = b""
    ) -> HttpResponse:
        """One call with these rows."""
        model = current_project(self.plant).project.name
        tensor = {"name": "input", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist()}
        shown: tuple[tuple[bytes, bytes], ...] = ((b"x-api-key", self.key.encode()),)
        if token or certificate:
            shown = ((b"authorization", b"Bearer " + token.encode()),) if token else ()
        request = HttpRequest(
            method="POST",
            path=f"/v2/models/{model}/infer",
            headers=(*shown, (b"content-type", b"application/json")),
            body=json.dumps({"inputs": [tensor]}).encode(),
            peer=peer,
            certificate=certificate,
        )
        return self.gateway.handle(request)

    def answers_with(self, rows: NDArray[np.float64]) -> str:
        """The release that answers, as callers see it; the status where none does."""
        response = self.ask(rows[:1])
        return str(json.loads(response.body)["model_version"]) if response.status == 200 else str(response.status)

    def traffic(self, rows: NDArray[np.float64], batch: int = 50) -> None:
        """Send rows, and have the gateway tell what it saw."""
        for begin in range(0, len(rows), batch):
            assert self.ask(rows[begin : begin + batch]).status == 200
        self.write()

    def write(self) -> None:
        """Have the gateway write what it has noted and counted, as its recorder's thread does."""
        self.recorder.write_events()
        self.recorder.tell_windows()


def artifact(kind: Kind, digest: str) -> Artifact:
    """An artifact by its digest."""
    return Artifact(kind=kind, digest=Digest(digest), size=0)


def published_blob(plant: Plant, digest: str) -> Path:
    """Where the gateway's copy of a blob lies, encrypted."""
    name = digest.removeprefix("sha256:")
    (entry,) = (plant.home.published / "index" / name[:2] / name[2:]).iterdir()
    name = entry.read_text().removeprefix("sha256:")
    return plant.home.published / "blobs" / "sha256" / name[:2] / name[2:]


def damage(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(changed)


def check_rehearsal(plant: Plant, release: Digest) -> None:
    """Rehearse a release under load and attack: good calls are answered, and every attack is refused."""
    stage = probes.Stage(plant=plant, dossier=case_of(plant, release).dossier)
    measured = {control.name: control.measure(stage) for control in probes.PROBES[3:]}
    load, attacks = (measured[name] for name in ("release.load/1", "release.attacks/1"))
    assert isinstance(load, Report)
    assert isinstance(attacks, Report)
    assert {each.name: each.value for each in load.measures}["error_rate"] == 0
    assert [finding.message for finding in attacks.findings] == []


def blob(plant: Plant, digest: str) -> list[Path]:
    """Where the workspace's own copies of a blob lie: as it is, or encrypted, once for each data key."""
    name = digest.removeprefix("sha256:")
    entries = list((plant.home.workspace / "sealed" / "index" / name[:2] / name[2:]).glob("*"))
    if not entries:
        return [plant.home.workspace / "blobs" / "sha256" / name[:2] / name[2:]]
    sealed = [entry.read_text().removeprefix("sha256:") for entry in entries]
    return [plant.home.workspace / "sealed" / "bytes" / "sha256" / name[:2] / name[2:] for name in sealed]


def model_file(plant: Plant, release: str) -> Digest:
    """The digest of a release's model.onnx."""
    return Digest(parse_manifest(plant.blobs.get(Digest(release))).file("model.onnx").digest)


def person(plant: Plant, folder: Path, name: str, *roles: str) -> Path:
    """Give a person a key of their own in a folder, and have the root keys name it and grant these roles."""
    app.person_new(name=name, out=folder)
    keys = open_person(folder, app.person_secret(folder, None))
    trust = plant.trust
    grants = tuple(Grant(person=name, role=role, not_after=trust.expires) for role in roles)
    entrust(
        plant,
        msgspec.structs.replace(
            trust,
            version=trust.version + 1,
            keys=(*trust.keys, *keys.trusted_keys()),
            grants=(*trust.grants, *grants),
            expires=min(trust.expires, *(key.not_after for key in keys.trusted_keys())),
        ),
    )
    return folder


def entrust(plant: Plant, trust: Trust) -> None:
    """Have the root key sign another trust document."""
    document = seal(trust, TRUST, [plant.keys.signer("root")])
    (plant.home.workspace / "trust.dsse.json").write_bytes(document)
