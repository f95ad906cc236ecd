"""The released folder: everything it must say, the same every time, and valid by the standards it is written in."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
from referencing import Registry, Resource
from tests.unit.release import stands
from tests.unit.release.stands import World

from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import InvalidInput, StageFailed
from holdfast.core.evidence import Outcome, Severity, exactly
from holdfast.engines.signing import model_signing
from holdfast.release import CONTROLS, Build, check_signature, package
from holdfast.release.bom import completeness

SCHEMAS = Path(__file__).parents[2] / "vectors" / "cyclonedx"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A workspace with a trained and scanned model."""
    return stands.world(tmp_path)


def test_a_release_holds_the_model_and_what_is_said_about_it(world: World) -> None:
    """Six files, the model's own three among them, byte for byte as they were scanned."""
    made = world.packaged()
    paths = [file.path for file in parse_manifest(world.ws.blobs.get(made.release.digest)).files]
    assert paths == [
        "bom.cdx.json",
        "card.md",
        "model.onnx",
        "profile.json",
        "provenance.intoto.json",
        "signature.json",
    ]
    assert {path: made.read(path) for path in stands.model_files()} == stands.model_files()


def test_the_evidence_says_how_complete_the_package_is(world: World) -> None:
    """Files, components, and that nothing is missing; made with the model and everything it derives from."""
    made = world.packaged()
    assert made.evidence.outcome is Outcome.MEASURED
    measures = {measure.name: measure.value for measure in made.evidence.measures}
    assert measures == {"files": 6, "bom_components": 1 + 5 + 2, "bom_complete": 1}
    assert made.evidence.subject == made.release.digest
    assert set(made.evidence.made_with.data) == {artifact.digest for artifact in world.sources}


@pytest.mark.requirement("PROV-13", by="holdfast.core.artifact:manifest")
def test_the_same_inputs_give_the_same_release_and_one_byte_another(tmp_path: Path) -> None:
    """Two workspaces at two places make one digest; one changed byte of the model makes another release."""
    first, second = stands.world(tmp_path / "a").packaged(), stands.world(tmp_path / "b").packaged()
    assert first.release == second.release
    changed = stands.model_files() | {"profile.json": b'{"features":{} }'}
    ws = stands.workspace(tmp_path / "c")
    model = stands.folder(ws, Kind.MODEL, changed)
    third = World(ws=ws, model=model, sources=stands.derivation(ws, model)).packaged()
    assert third.release.digest != first.release.digest
    renamed = stands.folder(ws, Kind.MODEL, {"m.onnx" if k == "model.onnx" else k: v for k, v in changed.items()})
    assert renamed.digest != model.digest


def test_order_of_evidence_sources_and_libraries_does_not_matter(world: World) -> None:
    """What is a set is written as one."""
    made = world.packaged().release
    again = package(
        world.ws,
        stands.project(),
        world.model,
        tuple(reversed(stands.evidence(world.model))),
        tuple(reversed(world.sources)),
        stands.MADE_WITH,
        stands.BUILT,
    )
    assert again.one(Kind.RELEASE) == made


def test_one_moment_in_two_time_zones_is_one_release(world: World) -> None:
    """Times are the ledger's, written in UTC to the second."""
    assert world.packaged().release == world.packaged(started="2025-06-01T12:30:00+00:00").release
    assert world.packaged().release != world.packaged(started="2025-06-01T12:30:01+00:00").release


def bom_of(world: World) -> dict[str, Any]:
    """The bill of materials of the world's release."""
    return json.loads(world.packaged().read("bom.cdx.json"))


def validator() -> Any:
    """The published CycloneDX 1.7 schema, with the ones it refers to."""
    registry: Registry = Registry()
    for file in sorted(SCHEMAS.glob("*.json")):
        contents = json.loads(file.read_text(encoding="utf-8"))
        resource = Resource.from_contents(contents)
        registry = registry.with_resource(contents["$id"], resource)
        registry = registry.with_resource(f"http://cyclonedx.org/schema/{file.name}", resource)
    main = json.loads((SCHEMAS / "bom-1.7.SNAPSHOT.schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft7Validator(main, registry=registry, format_checker=jsonschema.FormatChecker())


def test_the_bill_of_materials_is_valid_cyclonedx_1_7(world: World) -> None:
    """Against the published schema; a field that it does not know would be an error."""
    check, document = validator(), bom_of(world)
    assert [error.message for error in check.iter_errors(document)] == []
    document["metadata"]["component"]["modelCard"]["invented"] = True
    assert list(check.iter_errors(document))


def test_references_inside_the_bill_of_materials_lead_somewhere(world: World) -> None:
    """Each is defined once; the model depends on every part, and its card refers to the data by reference."""
    document = bom_of(world)
    parts = [document["metadata"]["component"], *document["components"]]
    refs = [part["bom-ref"] for part in parts]
    assert len(set(refs)) == len(refs)
    assert {item["ref"] for item in document["dependencies"]} == set(refs)
    assert set(document["dependencies"][0]["dependsOn"]) == set(refs[1:])
    datasets = document["metadata"]["component"]["modelCard"]["modelParameters"]["datasets"]
    assert {item["ref"].partition(":")[0] for item in datasets} == {"source", "dataset", "features", "split"}


@pytest.mark.requirement("SUP-08", by="holdfast.release.bom:bom")
def test_the_bill_of_materials_lists_all_four_kinds_of_content_and_is_signed(world: World) -> None:
    """Data with origin, licence and digest; architecture; libraries; hyperparameters and base models; all signed."""
    made = world.packaged()
    document = json.loads(made.read("bom.cdx.json"))
    source = next(part for part in document["components"] if part["name"] == "source")
    assert source["description"] == "Wisconsin hospital, 1995, by way of UCI"
    assert source["licenses"] == [{"license": {"name": "CC-BY-4.0"}}]
    assert source["hashes"][0]["content"] == world.sources[0].digest.removeprefix("sha256:")
    card = document["metadata"]["component"]["modelCard"]
    assert card["modelParameters"]["architectureFamily"] == "tree ensemble"
    assert card["modelParameters"]["modelArchitecture"] == "ai.onnx.ml.TreeEnsembleClassifier=1"
    libraries = {part["purl"] for part in document["components"] if part["type"] == "library"}
    assert libraries == {"pkg:pypi/numpy@2.4.6", "pkg:pypi/scikit-learn@1.9.1"}
    stated = {item["name"]: item["value"] for item in card["properties"]}
    assert stated["holdfast:hyperparameter:trees"] == "40"
    assert (stated["holdfast:seed"], stated["holdfast:base-models"]) == ("7", "none")
    assert completeness(document) == ()

    release_key = stands.key()
    folder = parse_manifest(world.ws.blobs.get(made.release.digest))
    bundle = model_signing.sign(folder, "tumours", release_key, [release_key.trusted])
    checked = check_signature(world.ws, made.release, bundle, [release_key.trusted], stands.MADE_WITH)
    assert checked.measures[0].value == 1
    signed = model_signing.verify(bundle, [(f.path, Digest(f.digest)) for f in folder.files], [release_key.trusted])
    assert dict(signed.files)["bom.cdx.json"] == folder.file("bom.cdx.json").digest


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lambda d: d["components"].clear(), "training data with origin, licence and digest"),
        (lambda d: d["components"][0].pop("hashes"), "training data with origin, licence and digest"),
        (lambda d: _source(d).pop("licenses"), "training data with origin, licence and digest"),
        (lambda d: _source(d).pop("description"), "training data with origin, licence and digest"),
        (lambda d: _card(d)["modelParameters"].update(modelArchitecture=""), "architecture"),
        (lambda d: d.update(components=d["components"][:-2]), "libraries with versions"),
        (lambda d: d["components"].pop(), "libraries as they were when training ran"),
        (lambda d: d["components"][-1].update(version="1.9.2"), "libraries as they were when training ran"),
        (lambda d: d["components"][-1].pop("version"), "libraries with versions"),
        (lambda d: _card(d)["properties"].clear(), "hyperparameters"),
        (lambda d: _card(d)["properties"].clear(), "base models"),
    ],
)
def test_each_missing_kind_of_content_makes_the_bill_incomplete(
    damage: Callable[[dict[str, Any]], object], kind: str, world: World
) -> None:
    """Completeness is read back from the document, not remembered by whoever wrote it."""
    document = bom_of(world)
    assert completeness(document) == ()
    damage(document)
    assert kind in completeness(document)


def _card(document: dict[str, Any]) -> dict[str, Any]:
    return document["metadata"]["component"]["modelCard"]


def _source(document: dict[str, Any]) -> dict[str, Any]:
    return next(part for part in document["components"] if part["name"] == "source")


def test_an_incomplete_bill_is_measured_as_such(world: World) -> None:
    """Without libraries, and without the source among the sources: 0, with what is lacking in words."""
    made = world.packaged(libraries=())
    assert {m.name: m.value for m in made.evidence.measures}["bom_complete"] == 0
    assert [(f.severity, f.message) for f in made.evidence.findings] == [
        (Severity.HIGH, "no libraries with versions"),
        (Severity.HIGH, "no libraries as they were when training ran"),
    ]
    without = replace(world, sources=world.sources[1:]).packaged()
    assert [finding.message for finding in without.evidence.findings] == [
        "no training data with origin, licence and digest"
    ]


def test_a_base_model_is_named_as_ancestor(world: World) -> None:
    """A model that was fine-tuned says from what."""
    base = world.ws.store(Kind.MODEL, b"another model")
    document = bom_of(replace(world, sources=(*world.sources, base)))
    ancestors = document["metadata"]["component"]["pedigree"]["ancestors"]
    assert [a["hashes"][0]["content"] for a in ancestors] == [base.digest.removeprefix("sha256:")]
    assert list(validator().iter_errors(document)) == []


def test_metrics_carry_interval_and_slice(world: World) -> None:
    """A number without its uncertainty, or without the rows it is about, misleads."""
    metrics = _card(bom_of(world))["quantitativeAnalysis"]["performanceMetrics"]
    assert metrics[0] == {
        "type": "accuracy",
        "value": "0.965035",
        "confidenceInterval": {"lowerBound": "0.9206", "upperBound": "0.9885"},
    }
    assert [metric.get("slice") for metric in metrics] == [None, None, None, "hospital=north", None]


def test_the_serial_number_follows_from_the_content(world: World) -> None:
    """The same bill has the same number anywhere; another bill another."""
    assert bom_of(world)["serialNumber"] == bom_of(world)["serialNumber"]
    other = json.loads(world.packaged(builder="other").read("bom.cdx.json"))
    assert other["serialNumber"] == bom_of(world)["serialNumber"]  # the builder is not part of the bill
    later = json.loads(world.packaged(started="2025-06-02T00:00:00+00:00").read("bom.cdx.json"))
    assert later["serialNumber"] != bom_of(world)["serialNumber"]


def test_provenance_is_slsa_v1_about_the_other_files(world: World) -> None:
    """Statement, subjects, build definition and run details as the specification demands them."""
    made = world.packaged(finished="2025-06-01T12:31:00+00:00")
    statement = json.loads(made.read("provenance.intoto.json"))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    folder = parse_manifest(world.ws.blobs.get(made.release.digest))
    named = {subject["name"]: "sha256:" + subject["digest"]["sha256"] for subject in statement["subject"]}
    assert named == {file.path: file.digest for file in folder.files if file.path != "provenance.intoto.json"}
    definition, details = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    assert definition["externalParameters"]["recipe"] == "train.py:train"
    assert definition["externalParameters"]["parameters"] == {"trees": 40, "depth": 3, "rate": 0.1}
    resolved = {item["name"]: item["digest"]["sha256"] for item in definition["resolvedDependencies"]}
    beside = {Kind.MODEL, Kind.METRICS}
    assert resolved == {a.kind: a.digest.removeprefix("sha256:") for a in world.sources if a.kind not in beside}
    assert {item["name"] for item in details["byproducts"]} == beside
    assert details["builder"]["id"] == "holdfast:builder/clinic"
    assert details["metadata"]["startedOn"] == "2025-06-01T12:30:00Z"
    assert details["metadata"]["finishedOn"] == "2025-06-01T12:31:00Z"
    assert details["metadata"]["invocationId"].startswith("sha256:")


def test_the_card_says_what_the_model_is_for_how_good_it_is_and_where_not(world: World) -> None:
    """Every figure with interval and sample; findings and limits included; what was not measured is said."""
    text = world.packaged().read("card.md").decode()
    for expected in (
        "# Model card: tumours",
        "Tells malignant from benign tumours",
        "Owner: ada@example.org",
        "Licence: CC-BY-4.0",
        "| radius | number | 0 | 40 |",
        "| accuracy | 0.965 | 0.9206 to 0.9885 | 143 |",
        "| rows | 143 | exact |  |",
        "| accuracy:hospital=north | 0.95 | 0.88 to 0.99 | 70 |",
        "Between the groups of hospital",
        "Quality rests on 143 test rows",
        "release.scan/1, low: a field nobody knows",
        "## Latency\n\nNot measured.",
        "- trees = 40",
        "2025-06-01T12:30:00Z",
    ):
        assert expected in text


def test_words_of_others_cannot_become_markup_in_the_card(world: World) -> None:
    """A description, an origin or a finding is text: no tables, tags or links of its own."""
    about = msgspec.structs.replace(
        stands.project().project, description="x | y\n# Title <script>alert(1)</script> [click](javascript:x)"
    )
    hostile = msgspec.structs.replace(stands.project(), project=about)
    made = package(
        world.ws, hostile, world.model, stands.evidence(world.model), world.sources, stands.MADE_WITH, stands.BUILT
    )
    release = stands.Packaged(world=world, release=made.one(Kind.RELEASE), evidence=made.evidence[0])
    text = release.read("card.md").decode()
    assert "<script>" not in text
    assert "\n# Title" not in text
    assert "[click]" not in text
    assert "x &#124; y" in text


def test_a_model_that_was_never_scanned_is_not_packaged(world: World) -> None:
    """Its files would be opened before anybody looked at them."""
    with pytest.raises(StageFailed, match="has not been scanned"):
        package(world.ws, stands.project(), world.model, (), world.sources, stands.MADE_WITH, stands.BUILT)


def test_evidence_about_another_model_cannot_slip_into_the_card(world: World) -> None:
    """Good figures of one model are not figures of another."""
    other = stands.folder(world.ws, Kind.MODEL, {"model.onnx": b"other"})
    borrowed = (*stands.evidence(world.model), stands.measured("assess.quality/1", other, exactly("accuracy", 1)))
    with pytest.raises(StageFailed, match="does not derive from"):
        package(world.ws, stands.project(), world.model, borrowed, world.sources, stands.MADE_WITH, stands.BUILT)


@pytest.mark.parametrize("missing", ["model.onnx", "signature.json", "profile.json"])
def test_a_model_without_one_of_its_files_is_not_packaged(missing: str, tmp_path: Path) -> None:
    """The error names the file."""
    ws = stands.workspace(tmp_path)
    files = {path: data for path, data in stands.model_files().items() if path != missing}
    model = stands.folder(ws, Kind.MODEL, files)
    with pytest.raises(StageFailed, match=missing):
        World(ws=ws, model=model, sources=stands.derivation(ws, model)).packaged()


def test_a_malformed_signature_is_refused(tmp_path: Path) -> None:
    """What came out of the sandbox is read strictly."""
    ws = stands.workspace(tmp_path)
    model = stands.folder(ws, Kind.MODEL, stands.model_files() | {"signature.json": b'{"inputs": 3}'})
    with pytest.raises(StageFailed, match=r"signature\.json cannot be read"):
        World(ws=ws, model=model, sources=stands.derivation(ws, model)).packaged()


def test_libraries_that_changed_since_training_make_the_bill_incomplete(world: World) -> None:
    """A model trained yesterday is not made of what was installed this morning."""
    newer = (stands.LIBRARIES[0], replace(stands.LIBRARIES[1], version="1.9.2"))
    made = world.packaged(libraries=newer)
    assert {m.name: m.value for m in made.evidence.measures}["bom_complete"] == 0
    assert [finding.message for finding in made.evidence.findings] == ["no libraries as they were when training ran"]
    stated = {item["name"]: item["value"] for item in _card(bom_of(world))["properties"]}
    assert (stated["holdfast:python"], stated["holdfast:trained-with:scikit-learn"]) == ("3.11.7", "1.9.1")


@pytest.mark.parametrize("environment", [b"{", b'{"packages": 3}', b"[" * 100_000, b" " * (1 << 21)])
def test_a_malformed_environment_is_refused(environment: bytes, world: World) -> None:
    """It came out of the sandbox as well."""
    metrics = stands.folder(world.ws, Kind.METRICS, {"environment.json": environment})
    sources = tuple(source for source in world.sources if source.kind is not Kind.METRICS)
    with pytest.raises(StageFailed, match=r"environment\.json"):
        replace(world, sources=(*sources, metrics)).packaged()


@pytest.mark.parametrize("moment", ["yesterday", "2025-06-01T12:00:00", ""])
def test_a_time_without_offset_is_refused(moment: str, world: World) -> None:
    """Two readers in two places would read two moments."""
    with pytest.raises(InvalidInput, match=r"not a time|its offset"):
        world.packaged(started=moment)


def test_a_build_lists_this_environment_unless_told_otherwise() -> None:
    """The bill names what is really installed."""
    built = Build(code="c", started="2025-01-01T00:00:00Z", builder="b")
    assert {"numpy", "msgspec"} <= {library.name for library in built.libraries}


def test_controls_of_the_stage_are_listed() -> None:
    """The visible tuple names what the stage measures."""
    names = ["release.scan/1", "release.package/1", "release.signature/1", "release.version/1", "release.secrets/1"]
    names += ["release.licences/1", "release.dependencies/1", "release.rebuild/1"]
    assert [control.name for control in CONTROLS] == names
