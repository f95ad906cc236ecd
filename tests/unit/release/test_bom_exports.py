"""What leaves with a bill of materials: SPDX, a signed statement, and the parts that questions look for."""

import base64
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.signer import Key as TheirKey
from spdx_python_model import v3_0_1
from tests.unit.release import stands
from tests.unit.release.stands import World, key

from holdfast.core.artifact import Kind, canonical, from_base64, parse_manifest
from holdfast.core.bill import Part
from holdfast.core.dsse import PAYLOAD_TYPE, pae
from holdfast.core.entitlement import purpose_of
from holdfast.core.errors import InvalidInput, NotVerified, Refused
from holdfast.core.seal import seal_payload
from holdfast.release.bom_parts import MAX_DEPTH, parts_in
from holdfast.release.bom_statement import keys_in, pem_of, statement, verify_statement
from holdfast.release.spdx import NO_ASSERTION, spdx


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A workspace with a trained and scanned model."""
    return stands.world(tmp_path)


def bom_of(world: World, **built: Any) -> dict[str, Any]:
    """The bill of materials of its release."""
    found: dict[str, Any] = json.loads(world.packaged(**built).read("bom.cdx.json"))
    return found


def signed(world: World, number: int = 1) -> bytes:
    """The bill as a stranger gets it."""
    made = world.packaged()
    files = parse_manifest(world.ws.blobs.get(made.release.digest))
    return seal_payload(statement(files, made.read("bom.cdx.json")), [key(number)])


def der(number: int = 1) -> bytes:
    """A release key's public half."""
    return from_base64(key(number).trusted.public)


@pytest.mark.requirement("SUP-08", by="holdfast.release.bom_statement:statement")
def test_a_bill_is_verified_on_its_own_also_by_another_library(world: World) -> None:
    """By ours with nothing but a public key, and by securesystemslib, which knows nothing of us."""
    envelope = signed(world)
    stated = verify_statement(envelope, [der(2), der(1)])
    assert stated.keyid == key(1).keyid
    assert stated.document == bom_of(world)
    files = parse_manifest(world.ws.blobs.get(world.packaged().release.digest)).files
    assert dict(stated.subjects) == {file.path: file.digest.removeprefix("sha256:") for file in files}

    theirs = TheirEnvelope.from_dict(json.loads(envelope))
    public = TheirKey.from_dict(
        key(1).keyid,
        {"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": pem_of(key(1).trusted)}},
    )
    assert list(theirs.verify([public], 1)) == [key(1).keyid]
    read = json.loads(theirs.payload)
    assert read["_type"] == "https://in-toto.io/Statement/v1"
    assert read["predicateType"] == "https://cyclonedx.org/bom"


def resigned(change: Callable[[dict[str, Any]], object], envelope: bytes) -> bytes:
    """The same statement with a change, signed by the right key all the same."""
    payload = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    change(payload)
    return seal_payload(canonical(payload), [key(1)])


@pytest.mark.requirement("SUP-08", by="holdfast.release.bom_statement:verify_statement")
@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (lambda e: e.replace(b'"payload":"', b'"payload":"AAAA'), "none of these keys"),
        (lambda e: canonical({**json.loads(e), "signatures": []}), "signatures"),
        (lambda e: canonical({**json.loads(e), "payloadType": "text/plain"}), "payload type"),
        (
            lambda e: resigned(lambda p: p.update(predicateType="https://slsa.dev/provenance/v1"), e),
            "statement of type",
        ),
        (lambda e: resigned(lambda p: p.update(subject=[]), e), "about no file"),
        (lambda e: resigned(lambda p: p.update(subject=[{"name": "m", "digest": {"md5": "x"}}]), e), "about no file"),
        (lambda _: seal_payload(b'{"_type":"a","_type":"b"}', [key(1)]), "cannot be read"),
        (lambda _: b"{}", "not a DSSE envelope"),
        (lambda _: b"x" * (9 << 20), "bytes"),
    ],
)
def test_a_changed_or_foreign_statement_is_refused(attack: Callable[[bytes], bytes], words: str, world: World) -> None:
    """Changed after signing, unsigned, of another type, or about nothing."""
    with pytest.raises(NotVerified, match=words):
        verify_statement(attack(signed(world)), [der()])


def test_a_bill_signed_by_another_key_is_refused(world: World) -> None:
    """Whose key counts is for the verifier to know."""
    with pytest.raises(NotVerified, match="none of these keys"):
        verify_statement(signed(world, 2), [der(1)])
    with pytest.raises(NotVerified):
        verify_statement(signed(world), [])


def test_public_keys_are_read_from_pem_and_nothing_else_is() -> None:
    """One, several, none, or something that only looks like one."""
    both = (pem_of(key(1).trusted) + pem_of(key(2).trusted)).encode()
    assert keys_in(both, "keys") == (der(1), der(2))
    for wrong in (
        b"",
        b"hello",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        both + b" " * (1 << 17),
    ):
        with pytest.raises(InvalidInput):
            keys_in(wrong, "keys")


def test_a_signer_signs_a_bill_for_the_release_key_alone(world: World) -> None:
    """A process that holds the keys reads what it is asked to sign."""
    made = world.packaged()
    payload = statement(parse_manifest(world.ws.blobs.get(made.release.digest)), made.read("bom.cdx.json"))
    assert purpose_of("release", pae(PAYLOAD_TYPE, payload), origin="clinic") == "bom"
    with pytest.raises(Refused):
        purpose_of("assess", pae(PAYLOAD_TYPE, payload), origin="clinic")


def elements(document: bytes, kind: str) -> list[dict[str, Any]]:
    """The elements of one type in an SPDX document."""
    return [each for each in json.loads(document)["@graph"] if each["type"] == kind]


@pytest.mark.requirement("SUP-08", by="holdfast.release.spdx:spdx")
def test_the_same_bill_as_spdx(world: World) -> None:
    """Model with architecture, hyperparameters, metrics; data with origin and licence; libraries; how they relate."""
    base = world.ws.store(Kind.MODEL, b"another model")
    document = spdx(bom_of(replace(world, sources=(*world.sources, base))))
    (model,) = elements(document, "ai_AIPackage")
    assert model["ai_typeOfModel"] == ["tree ensemble", "supervised"]
    assert {"type": "DictionaryEntry", "key": "trees", "value": "40"} in model["ai_hyperparameter"]
    assert {"type": "DictionaryEntry", "key": "accuracy", "value": "0.965035 (0.9206 to 0.9885)"} in model["ai_metric"]
    assert any(" where hospital=north" in each["key"] for each in model["ai_metric"])
    data = {each["name"]: each for each in elements(document, "dataset_DatasetPackage")}
    assert set(data) == {"source", "dataset", "features", "split"}
    assert data["source"]["dataset_dataCollectionProcess"] == "Wisconsin hospital, 1995, by way of UCI"
    assert data["source"]["dataset_confidentialityLevel"] == "green"
    related: dict[str, list[dict[str, Any]]] = {}
    for each in elements(document, "Relationship"):
        related.setdefault(each["relationshipType"], []).append(each)
    assert related["trainedOn"][0]["from"] == model["spdxId"]
    assert set(related["trainedOn"][0]["to"]) == {each["spdxId"] for each in data.values()}
    assert len(related["descendantOf"][0]["to"]) == 1
    (text,) = elements(document, "simplelicensing_SimpleLicensingText")
    assert text["simplelicensing_licenseText"] == "CC-BY-4.0"
    declared = {each["from"]: each["to"] for each in related["hasDeclaredLicense"]}
    assert declared[data["source"]["spdxId"]] == [text["spdxId"]]
    assert declared[model["spdxId"]] == [NO_ASSERTION]


def test_spdx_is_whole_and_conforms_to_its_profiles(world: World) -> None:
    """Every reference leads somewhere; each model and data set has what its profile demands, just once."""
    document = json.loads(spdx(bom_of(world)))
    assert document["@context"] == "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
    graph = document["@graph"]
    ids = [each["spdxId"] for each in graph if "spdxId" in each]
    assert len(set(ids)) == len(ids)
    for each in graph:
        named = [*each.get("element", []), *each.get("rootElement", []), *each.get("to", []), each.get("from", ids[0])]
        assert set(named) <= {*ids, NO_ASSERTION}
    for each in graph:
        if each["type"] in {"ai_AIPackage", "dataset_DatasetPackage"}:
            for field in (
                "software_downloadLocation",
                "software_primaryPurpose",
                "software_packageVersion",
                "releaseTime",
            ):
                assert each[field], field
            for kind in ("hasDeclaredLicense", "hasConcludedLicense"):
                found = [r for r in graph if r.get("from") == each["spdxId"] and r.get("relationshipType") == kind]
                assert len(found) == 1
    assert spdx(bom_of(world)) == spdx(bom_of(world))


def read_by_the_model(document: bytes) -> v3_0_1.SHACLObjectSet:
    """What the classes generated from the published SPDX 3.0.1 model make of a document, written out again."""
    objects = v3_0_1.SHACLObjectSet()
    v3_0_1.JSONLDDeserializer().read(io.BytesIO(document), objects)
    v3_0_1.JSONLDSerializer().write(objects, io.BytesIO())  # demands what each class demands
    return objects


def test_spdx_is_what_the_published_model_asks_for(world: World) -> None:
    """Read and written by classes generated from it; what it does not have, or a value outside a list, is refused."""
    base = world.ws.store(Kind.MODEL, b"another model")
    document = spdx(bom_of(replace(world, sources=(*world.sources, base))))
    objects = read_by_the_model(document)
    assert not objects.missing_ids - {NO_ASSERTION}
    assert {type(each).__name__ for each in objects.objects} >= {
        "ai_AIPackage",
        "dataset_DatasetPackage",
        "software_Sbom",
    }

    def without_hash(graph: list[dict[str, Any]]) -> None:
        next(each for each in graph if each["type"] == "ai_AIPackage")["verifiedUsing"][0].pop("hashValue")

    damages: list[Callable[[list[dict[str, Any]]], object]] = [
        lambda graph: graph[1].update(invented=True),
        lambda graph: graph[-1].update(profileConformance=["astrology"]),
        lambda graph: graph[0].update(created="yesterday"),
        without_hash,
    ]
    for damage in damages:
        changed = json.loads(document)
        damage(changed["@graph"])
        with pytest.raises((ValueError, KeyError, TypeError)):
            read_by_the_model(json.dumps(changed).encode())


@pytest.mark.parametrize("damage", [lambda d: d.pop("metadata"), lambda d: d["metadata"]["component"].pop("modelCard"),
                                    lambda d: d.update(components=[{"type": "data"}])])  # fmt: skip
def test_a_bill_that_lacks_a_model_is_no_spdx(damage: Callable[[dict[str, Any]], object], world: World) -> None:
    """An error with words, never half a document."""
    document = bom_of(world)
    damage(document)
    with pytest.raises(InvalidInput, match="lacks something"):
        spdx(document)


def test_parts_are_what_questions_look_for(world: World) -> None:
    """Libraries by ecosystem, data by name, origin and digest, models by both their digests, code, base models."""
    base = world.ws.store(Kind.MODEL, b"another model")
    found = parts_in(bom_of(replace(world, sources=(*world.sources, base))))
    assert Part("library", "pypi", "numpy", "2.4.6", "", "BSD-3-Clause") in found
    source = world.sources[0].digest.removeprefix("sha256:")
    named = {each.name: each for each in found if each.kind == "data" and each.digest == source}
    assert set(named) == {"source", "wisconsin hospital, 1995, by way of uci"}
    assert named["source"].licence == "CC-BY-4.0"
    models = {each.digest for each in found if each.kind == "model"}
    assert {world.model.digest.removeprefix("sha256:"), base.digest.removeprefix("sha256:")} <= models
    assert {each.name for each in found if each.kind == "code"} == {"recipe", "holdfast"}


def test_bills_of_others_are_read_and_bombs_are_not() -> None:
    """Components inside components, several licences, malformed addresses; too deep, too many, or no bill."""
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "components": [
            {"type": "application", "name": "tool", "purl": "not one",
             "licenses": [{"license": {"id": "MIT"}}, {"license": {"name": "Own"}}],
             "components": [{"type": "library", "name": "Inner", "version": "1", "purl": "pkg:pypi/In_Ner@2"}]},
            {"type": "library"}, "noise", {"type": "novel", "name": "n", "hashes": "x", "licenses": [7]},
        ],
    }  # fmt: skip
    assert sorted(parts_in(document)) == [
        Part("library", "", "tool", "", "", "MIT AND Own"),
        Part("library", "pypi", "in-ner", "2"),
        Part("other", "", "n"),
    ]
    deep: dict[str, Any] = {"type": "library", "name": "x"}
    for _ in range(MAX_DEPTH + 1):
        deep = {"type": "library", "name": "x", "components": [deep]}
    for wrong in ({}, {"bomFormat": "SPDX"}, document | {"components": [deep]}):
        with pytest.raises(InvalidInput):
            parts_in(wrong)


def test_a_library_is_hashed_by_its_installed_files_and_says_so(world: World) -> None:
    """Not among the component's own hashes, which a reader takes for those of its archive."""
    libraries = {each["name"]: each for each in bom_of(world)["components"] if each["type"] == "library"}
    (reference,) = libraries["numpy"]["externalReferences"]
    assert reference["hashes"] == [{"alg": "SHA-256", "content": stands.LIBRARIES[0].files.removeprefix("sha256:")}]  # type: ignore[union-attr]
    assert "hashes" not in libraries["numpy"]
