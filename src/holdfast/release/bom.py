"""The bill of materials of a model: CycloneDX 1.7, written by us because the reference library drops `modelCard`.

Four kinds of content make it complete: the data it learned from, its architecture, the libraries that made it, and its
hyperparameters, with the base models it started from. `completeness` reads that back from the document itself.
"""

import uuid
from typing import Any, Final, TypeAlias

from holdfast.core.artifact import Artifact, Kind, canonical
from holdfast.core.evidence import Measure
from holdfast.core.schema import Use
from holdfast.release.environment import Library, normal
from holdfast.release.material import MODEL_FILE, SCAN_CONTROL, TIER_CONTROL, Material

Document: TypeAlias = dict[str, Any]

SPEC_VERSION: Final = "1.7"
SCHEMA: Final = "http://cyclonedx.org/schema/bom-1.7.schema.json"
NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://holdfast.dev/bom/v1")
INSTALLED: Final = "urn:holdfast:installed-files"  # what a library's hash is over, see docs/reference/release.md
TRAINED_WITH: Final = "holdfast:trained-with:"
ASSESSED: Final = ("assess.quality/1", "assess.slices/1", "assess.baseline/1", "assess.robustness/1",
                   "assess.fairness/1", "assess.latency/1")  # fmt: skip
_BASES: Final = (Kind.MODEL, Kind.FOREIGN)  # what a model started from, or is
_DATA: Final = (Kind.SOURCE, Kind.DATASET, Kind.VIEWS, Kind.FEATURES, Kind.SPLIT)
_FAMILIES: Final = (
    ("TreeEnsemble", "tree ensemble"),
    ("SVM", "support vector machine"),
    ("Conv", "convolutional neural network"),
    ("LSTM", "recurrent neural network"),
    ("Attention", "transformer"),
    ("LinearClassifier", "linear model"),
    ("LinearRegressor", "linear model"),
    ("Gemm", "feed-forward neural network"),
    ("MatMul", "feed-forward neural network"),
)
"""Architecture family by an operator that gives it away, the most telling first."""


def bom(material: Material) -> bytes:
    """Return the bill of materials as canonical JSON; its serial number follows from its content."""
    parts = [*_sources(material), *(_library(library) for library in material.built.libraries)]
    document: Document = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": {
            "timestamp": material.started,
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "holdfast", "version": material.built.code}]},
            "authors": [{"name": material.project.project.owner}],
            "component": _model(material),
        },
        "components": parts,
        "dependencies": [
            {"ref": _ref(material.model), "dependsOn": [part["bom-ref"] for part in parts]},
            *({"ref": part["bom-ref"]} for part in parts),
        ],
    }
    serial = uuid.uuid5(NAMESPACE, canonical(document).hex())
    return canonical(document | {"serialNumber": f"urn:uuid:{serial}"})


def completeness(document: Document) -> tuple[str, ...]:
    """Return which of the kinds of content a bill of materials lacks; nothing when it is complete."""
    model = document.get("metadata", {}).get("component", {})
    parts = document.get("components", [])
    card = model.get("modelCard", {})
    stated = {item["name"]: item["value"] for item in card.get("properties", [])}
    data = [part for part in parts if part["type"] == "data"]
    source = [part for part in data if part["name"] == Kind.SOURCE and part.get("licenses") and part.get("description")]
    libraries = {part["name"]: part.get("version") for part in parts if part["type"] == "library"}
    recorded = {name: value for name, value in stated.items() if name.startswith(TRAINED_WITH)}
    present = {
        "training data with origin, licence and digest": bool(source) and all(part.get("hashes") for part in data),
        "architecture": bool(card.get("modelParameters", {}).get("modelArchitecture")),
        "libraries with versions": bool(libraries) and all(libraries.values()),
        "libraries as they were when training ran": all(
            libraries.get(name.removeprefix(TRAINED_WITH)) == version for name, version in recorded.items()
        ),
        "hyperparameters": {"holdfast:recipe", "holdfast:seed"} <= stated.keys(),
        "base models": "holdfast:base-models" in stated,
    }
    return tuple(kind for kind, there in present.items() if not there)


def _ref(artifact: Artifact) -> str:
    return f"{artifact.kind}:{artifact.digest}"


def _hashes(digest: str) -> list[Document]:
    return [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}]


def _property(name: str, value: object) -> Document:
    return {"name": f"holdfast:{name}", "value": str(value)}


def _model(material: Material) -> Document:
    project, model = material.project, material.model
    bases = material.of(*_BASES)
    component: Document = {
        "type": "machine-learning-model",
        "bom-ref": _ref(model),
        "name": project.project.name,
        "version": model.digest.removeprefix("sha256:")[:12],
        "description": project.project.description or f"predicts {project.label}",
        "hashes": _hashes(material.file(MODEL_FILE).digest),
        "modelCard": _card(material),
        "properties": [_property("artifact", model.digest)],
    }
    if bases:
        component["pedigree"] = {"ancestors": [_base(base) for base in bases]}
    return component


def _base(base: Artifact) -> Document:
    return {"type": "machine-learning-model", "bom-ref": _ref(base), "name": base.kind, "hashes": _hashes(base.digest)}


def _card(material: Material) -> Document:
    project, operators = material.project, material.fact(SCAN_CONTROL, "operators")
    inputs, classes = material.signature.inputs, material.signature.classes
    family = next((family for sign, family in _FAMILIES if sign in operators), "other")
    bases = len(material.of(*_BASES))
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": "classification",
            "architectureFamily": family,
            "modelArchitecture": operators,
            # Of a model from outside nobody here knows the rows it learned from; ours are those it was assessed on.
            "datasets": [] if material.outside else [{"ref": _ref(artifact)} for artifact in material.of(*_DATA)],
            "inputs": [{"format": f"input: float32[n, {len(inputs)}]"}],
            "outputs": [
                {"format": "label: int64[n]"},
                {"format": f"probabilities: float32[n, {len(classes)}]"},
            ],
        },
        "quantitativeAnalysis": {
            "performanceMetrics": [_metric(measure) for control in ASSESSED for measure in material.measures(control)]
        },
        "considerations": _considerations(material),
        "properties": [
            _property("recipe", project.train.recipe),
            _property("seed", project.train.seed),
            *(_property(f"hyperparameter:{name}", value) for name, value in sorted(project.train.params.items())),
            _property("base-models", bases or "none"),
            *_outside(material),
            _property("positive-class", project.train.positive),
            *(_property(f"class:{index}", name) for index, name in enumerate(classes)),
            *_trained_with(material),
            *(
                _property(f"scan:{name}", material.fact(SCAN_CONTROL, name))
                for name in ("opsets", "producer", "parameters")
            ),
        ],
    }


def _outside(material: Material) -> list[Document]:
    """Return where a model from outside comes from, as a person stated it, and what nobody knows of its training."""
    if not material.outside:
        return []
    stated = {name: material.fact("release.origin/1", name) for name in ("source", "licence", "method", "validation")}
    return [
        _property("tier", material.fact(TIER_CONTROL, "tier")),
        _property("training-unknown", material.fact(TIER_CONTROL, "unknown")),
        *(_property(f"origin:{name}", words) for name, words in stated.items() if words),
    ]


def _trained_with(material: Material) -> list[Document]:
    """Return what training recorded of its interpreter and libraries; `completeness` holds the libraries against it."""
    found = material.environment
    packages = [_property(f"trained-with:{normal(name)}", version) for name, version in sorted(found.packages.items())]
    interpreter = [("python", found.python), ("machine", found.machine)]
    return [*(_property(name, value) for name, value in interpreter if value), *packages]


def _metric(measure: Measure) -> Document:
    name, _, cut = measure.name.partition(":")
    metric: Document = {
        "type": name if measure.unit == "1" else f"{name} [{measure.unit}]",
        "value": f"{measure.value:.6g}",
        "confidenceInterval": {"lowerBound": f"{measure.low:.6g}", "upperBound": f"{measure.high:.6g}"},
    }
    return metric | ({"slice": cut} if cut else {})


def _considerations(material: Material) -> Document:
    project = material.project
    fairness = {m.name: m for m in material.measures("assess.fairness/1") if m.name.endswith("_gap")}
    found: Document = {
        "useCases": [project.project.description or f"predicting {project.label}"],
        "technicalLimitations": [
            "Answers are only as good as the training data is like the traffic; drift is watched, not prevented.",
            "Inputs outside the declared ranges are refused by the gateway, not answered.",
        ],
        "ethicalConsiderations": [
            {
                "name": f"sensitivity {project.risk.sensitivity}, exposure {project.risk.exposure}, "
                f"stakes {project.risk.stakes}",
                "mitigationStrategy": "control tier and promotion policy " + project.gates.policy,
            }
        ],
    }
    if fairness:
        gaps = ", ".join(f"{name} {m.value:.3g} ({m.low:.3g} to {m.high:.3g})" for name, m in fairness.items())
        groups = ", ".join(project.columns_of(Use.PROTECTED))
        found["fairnessAssessments"] = [{"groupAtRisk": groups, "harms": f"unequal error: {gaps}"}]
    return found


def _sources(material: Material) -> list[Document]:
    """Return the components that the model was derived from: data, and the recipe."""
    data = [_data(material, artifact) for artifact in material.of(*_DATA)]
    recipes = [
        {"type": "file", "bom-ref": _ref(artifact), "name": "recipe", "hashes": _hashes(artifact.digest)}
        for artifact in material.of(Kind.RECIPE)
    ]
    return [*data, *recipes]


def _data(material: Material, artifact: Artifact) -> Document:
    declared, risk = material.project.data, material.project.risk
    component: Document = {
        "type": "data",
        "bom-ref": _ref(artifact),
        "name": artifact.kind,
        "version": artifact.digest.removeprefix("sha256:")[:12],
        "hashes": _hashes(artifact.digest),
        "data": [
            {
                "type": "dataset",
                "name": artifact.kind,
                "classification": risk.sensitivity,
                "governance": {"owners": [{"contact": {"name": material.project.project.owner}}]},
            }
        ],
        "properties": [_property("size", artifact.size)],
    }
    if artifact.kind is Kind.SOURCE:
        component["description"] = declared.origin
        component["licenses"] = [{"license": {"name": declared.licence}}]
    return component


def _library(library: Library) -> Document:
    purl = f"pkg:pypi/{library.name}@{library.version}"
    component: Document = {
        "type": "library",
        "bom-ref": purl,
        "name": library.name,
        "version": library.version,
        "purl": purl,
    }
    if library.licence:
        component["licenses"] = [{"expression": library.licence}]
    elif library.licence_named:
        component["licenses"] = [{"license": {"name": library.licence_named}}]
    if library.files:
        component["externalReferences"] = [_installed(library.files)]
    return component


def _installed(files: str) -> Document:
    """Return the hash of what was installed: of a list that anybody can make from RECORD, not of an archive.

    It stands at a reference of its own, because `hashes` of a component would be taken for its archive's.
    """
    return {
        "type": "other",
        "url": INSTALLED,
        "comment": "SHA-256 over the sorted lines `path,hash` of the installed files, as RECORD has them",
        "hashes": _hashes(files),
    }
