"""The version control: a release is exact about five kinds of things, and each one that is missing is counted."""

import json
from pathlib import Path

import pytest

from holdfast.adapters.blobs import DiskBlobs
from holdfast.core.artifact import Artifact, Digest, File, Kind, manifest
from holdfast.core.evidence import MadeWith, Outcome
from holdfast.release import Derived, check_version

MADE_WITH = MadeWith(code="sha256:" + "1" * 64, configuration="")
ENVIRONMENT = {"python": "3.11.7", "machine": "x86_64", "packages": {"numpy": "2.3.0"}}
PLAIN = (Kind.SOURCE, Kind.PROJECT)


def derived(folder: Path, *, environment: object = ENVIRONMENT, tier: str = "process") -> Derived:
    """Everything that a release is made from."""
    blobs = DiskBlobs(folder / "blobs")
    found = []
    for kind in (*PLAIN, Kind.RECIPE, Kind.DATASET, Kind.FEATURES, Kind.SPLIT, Kind.MODEL, Kind.METRICS):
        data = json.dumps(environment).encode() if kind is Kind.METRICS else kind.encode()
        digest = blobs.put(data)
        if kind not in PLAIN:
            name = "environment.json" if kind is Kind.METRICS else "file"
            digest = blobs.put(manifest([File(path=name, digest=digest, size=len(data))]).document)
        found.append(Artifact(kind=kind, digest=digest, size=len(data)))
    return Derived(blobs=blobs, derivation=tuple(found), code=MADE_WITH.code, commit="", tier=tier)


def counted(context: Derived) -> tuple[float, list[str]]:
    """For how many kinds a release is exact, and which are missing."""
    release = Artifact(kind=Kind.RELEASE, digest=Digest("sha256:" + "2" * 64), size=1)
    evidence = check_version(context, release, MADE_WITH)
    assert evidence.outcome is Outcome.MEASURED
    return evidence.measures[0].value, [finding.place for finding in evidence.findings]


def test_a_whole_derivation_is_exact_about_five_kinds(tmp_path: Path) -> None:
    """Nothing is missing."""
    assert counted(derived(tmp_path)) == (5, [])


@pytest.mark.parametrize(
    ("lost", "kind"),
    [
        (Kind.RECIPE, "code"),
        (Kind.SOURCE, "data"),
        (Kind.DATASET, "data"),
        (Kind.FEATURES, "data"),
        (Kind.SPLIT, "data"),
        (Kind.MODEL, "model"),
        (Kind.PROJECT, "configuration"),
        (Kind.METRICS, "infrastructure"),
    ],
)
def test_what_is_not_recorded_or_not_at_hand_is_missing(tmp_path: Path, lost: Kind, kind: str) -> None:
    """An artifact that nobody recorded, and one whose bytes are gone, are both not exact."""
    whole = derived(tmp_path)
    kept = tuple(artifact for artifact in whole.derivation if artifact.kind is not lost)
    without = Derived(blobs=whole.blobs, derivation=kept, code=whole.code, commit="", tier=whole.tier)
    assert counted(without) == (4, [kind])
    if lost is not Kind.METRICS:
        gone = next(artifact.digest for artifact in whole.derivation if artifact.kind is lost)
        (tmp_path / "blobs" / "sha256" / gone[7:9] / gone[9:]).unlink()
        assert counted(whole) == (4, [kind])


@pytest.mark.parametrize(
    "environment", [{}, {**ENVIRONMENT, "python": ""}, {**ENVIRONMENT, "packages": {}}, {**ENVIRONMENT, "machine": ""}]
)
def test_an_environment_that_says_too_little_is_none(tmp_path: Path, environment: object) -> None:
    """Interpreter, processor and packages are what infrastructure is known by."""
    assert counted(derived(tmp_path, environment=environment)) == (4, ["infrastructure"])


def test_training_outside_a_sandbox_is_no_known_infrastructure(tmp_path: Path) -> None:
    """Nor is one that does not say which."""
    assert counted(derived(tmp_path, tier="")) == (4, ["infrastructure"])
