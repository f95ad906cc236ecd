"""A small world for the tests of the release stage: a workspace on disk, a trained model, its evidence, a key."""

import base64
import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.unit.scan import models

from holdfast.adapters.blobs import DiskBlobs
from holdfast.core.artifact import Artifact, Digest, File, Kind, canonical, digest_bytes, manifest, parse_manifest
from holdfast.core.evidence import Evidence, Finding, MadeWith, Measure, Outcome, Severity, exactly
from holdfast.core.ports import Workspace
from holdfast.core.project import Project, parse_project
from holdfast.core.schema import Field, Signature
from holdfast.core.trust import TrustedKey, keyid_of
from holdfast.release import Build, Library, package
from holdfast.testing.clock import SettableClock
from holdfast.testing.sandbox import UnsafeInProcessSandbox, UnsafeSandboxWarning

PROJECT_FILE = """
[project]
name = "tumours"
owner = "ada@example.org"
description = "Tells malignant from benign tumours"

[risk]
sensitivity = "internal"
exposure = "partner"
stakes = "safety"

[data]
source = "data.csv"
format = "csv"
origin = "Wisconsin hospital, 1995, by way of UCI"
licence = "CC-BY-4.0"
[data.columns]
id = { type = "string", use = "id" }
radius = { type = "float", minimum = 0.0, maximum = 40.0 }
texture = { type = "float" }
area = { type = "float" }
hospital = { type = "category", use = "protected" }
diagnosis = { type = "category", use = "label", allowed = ["benign", "malignant"] }

[train]
recipe = "train.py:train"
positive = "malignant"
seed = 7
params = { trees = 40, depth = 3, rate = 0.1 }

[gates]
policy = "baseline"
"""
MADE_WITH = MadeWith(code="sha256:" + "c" * 64, configuration="sha256:" + "d" * 64)
LIBRARIES = (
    Library(name="numpy", version="2.4.6", files=digest_bytes(b"numpy"), licence="BSD-3-Clause"),
    Library(name="scikit-learn", version="1.9.1"),
)
ENVIRONMENT = {
    "python": "3.11.7",
    "machine": "x86_64",
    "packages": {"numpy": "2.4.6", "scikit-learn": "1.9.1"},
    "threads": [],
}
BUILT = Build(
    code="sha256:" + "c" * 64,
    started="2025-06-01T14:30:00.123456+02:00",
    builder="clinic",
    libraries=LIBRARIES,
)
SIGNATURE = Signature(
    inputs=(Field(name="radius", minimum=0.0, maximum=40.0), Field(name="texture"), Field(name="area")),
    classes=("benign", "malignant"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseKey:
    """A P-256 key as the signer port shows it."""

    private: ec.EllipticCurvePrivateKey
    trusted: TrustedKey

    @property
    def keyid(self) -> str:
        return self.trusted.keyid

    @property
    def role(self) -> str:
        return self.trusted.role

    def sign(self, message: bytes) -> bytes:
        return self.private.sign(message, ec.ECDSA(hashes.SHA256()))

    @property
    def pem(self) -> bytes:
        """The public key as PEM, written by `cryptography`."""
        public = self.private.public_key()
        return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@cache
def key(number: int = 1, *, role: str = "release") -> ReleaseKey:
    """A key of its own for each number."""
    private = ec.derive_private_key(0x1234567890ABCDEF + number, ec.SECP256R1())
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    der = private.public_key().public_bytes(encoding, form)
    trusted = TrustedKey(
        keyid=keyid_of(der),
        algorithm="ecdsa-p256",
        public=base64.b64encode(der).decode(),
        role=role,
        not_before=datetime(2025, 1, 1, tzinfo=UTC),
        not_after=datetime(2026, 1, 1, tzinfo=UTC),
        owner="release",
    )
    return ReleaseKey(private=private, trusted=trusted)


def project() -> Project:
    """The parsed project."""
    return parse_project(PROJECT_FILE.encode())[0]


def workspace(place: Path) -> Workspace:
    """A workspace whose blobs are on disk and whose sandbox runs jobs in this process."""
    scratch = place / "scratch"
    scratch.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnsafeSandboxWarning)
        sandbox = UnsafeInProcessSandbox()
    return Workspace(blobs=DiskBlobs(place / "blobs"), sandbox=sandbox, clock=SettableClock(), scratch=scratch)


def model_files() -> dict[str, bytes]:
    """What training leaves."""
    return {
        "model.onnx": models.forest(),
        "signature.json": canonical(SIGNATURE),
        "profile.json": b'{"features":{}}',
    }


def folder(ws: Workspace, kind: Kind, files: dict[str, bytes]) -> Artifact:
    """Store a folder."""
    stored = [File(path=path, digest=ws.blobs.put(data), size=len(data)) for path, data in files.items()]
    return ws.store_folder(kind, manifest(stored))


def derivation(ws: Workspace, model: Artifact) -> tuple[Artifact, ...]:
    """Everything the model derives from, as the lifecycle lists it, the model included."""
    kinds = (Kind.SOURCE, Kind.DATASET, Kind.FEATURES, Kind.SPLIT, Kind.RECIPE, Kind.PROJECT)
    metrics = folder(ws, Kind.METRICS, {"metrics.json": b"{}", "environment.json": canonical(ENVIRONMENT)})
    return (*(ws.store(kind, f"the {kind}".encode()) for kind in kinds), metrics, model)


def measured(control: str, subject: Artifact, *measures: Measure, findings: tuple[Finding, ...] = ()) -> Evidence:
    """Evidence that a control measured something."""
    return Evidence(
        control=control,
        subject=subject.digest,
        kind=subject.kind,
        outcome=Outcome.MEASURED,
        made_with=MADE_WITH,
        measures=measures,
        findings=findings,
    )


def between(name: str, value: float, low: float, high: float, n: int) -> Measure:
    """A measure with its interval."""
    return Measure(name=name, value=value, low=low, high=high, n=n)


def evidence(model: Artifact) -> tuple[Evidence, ...]:
    """What is known about the model."""
    scanned = replace_facts(
        measured(
            "release.scan/1",
            model,
            exactly("files_scanned", 3),
            findings=(Finding(place="model.onnx", severity=Severity.LOW, rule="r", message="a field nobody knows"),),
        ),
        {"operators": "ai.onnx.ml.TreeEnsembleClassifier=1", "opsets": "ai.onnx.ml=3", "parameters": "0"},
    )
    quality = measured(
        "assess.quality/1",
        model,
        between("accuracy", 0.9650349, 0.9206, 0.9885, 143),
        between("auc", 0.991, 0.98, 0.997, 143),
        exactly("rows", 143),
    )
    slices = measured("assess.slices/1", model, between("accuracy:hospital=north", 0.95, 0.88, 0.99, 70))
    fairness = measured("assess.fairness/1", model, between("equal_opportunity_gap", 0.05, 0.0, 0.2, 60))
    return (scanned, quality, slices, fairness)


def replace_facts(item: Evidence, facts: dict[str, str]) -> Evidence:
    """The same evidence with facts."""
    return msgspec.structs.replace(item, facts=facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A workspace with a model and its release."""

    ws: Workspace
    model: Artifact
    sources: tuple[Artifact, ...]

    def packaged(self, **changes: object) -> "Packaged":
        """Package the model, with the parts of its build replaced that a test names."""
        built = replace(BUILT, **changes)  # type: ignore[arg-type]
        result = package(self.ws, project(), self.model, evidence(self.model), self.sources, MADE_WITH, built)
        return Packaged(world=self, release=result.one(Kind.RELEASE), evidence=result.evidence[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Packaged:
    """A release as it is stored."""

    world: World
    release: Artifact
    evidence: Evidence

    def read(self, path: str) -> bytes:
        """One file of the release."""
        blobs = self.world.ws.blobs
        return blobs.get(Digest(parse_manifest(blobs.get(self.release.digest)).file(path).digest))


def world(place: Path) -> World:
    """A workspace with a trained model in it."""
    ws = workspace(place)
    model = folder(ws, Kind.MODEL, model_files())
    return World(ws=ws, model=model, sources=derivation(ws, model))
