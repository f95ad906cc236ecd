"""Bills of suppliers: read strictly in each format that is taken in, or refused as a whole."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.release.stands import World
from tests.unit.release.test_bom_exports import bom_of, world

from holdfast.core.bill import Part, part
from holdfast.core.errors import InvalidInput
from holdfast.release import supplied
from holdfast.release.bom_parts import parts_in
from holdfast.release.spdx import spdx
from holdfast.release.supplied import read_supplied

__all__ = ["world"]

Document = dict[str, Any]


def cyclonedx(**changes: Any) -> Document:
    """A supplier's bill of a model: a library, data, a model inside the model."""
    document: Document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
        "version": 1,
        "metadata": {"component": {"type": "machine-learning-model", "name": "iris", "version": "2"}},
        "components": [
            {"type": "library", "name": "Log4J", "version": "2.14.1", "purl": "pkg:maven/org.apache/log4j@2.14.1",
             "licenses": [{"license": {"id": "Apache-2.0"}}]},
            {"type": "data", "name": "rows", "hashes": [{"alg": "SHA-256", "content": "AB" * 32}],
             "licenses": [{"expression": "CC-BY-NC-4.0"}],
             "components": [{"type": "data", "name": "inner", "licenses": [{"license": {"name": "Theirs"}}]}]},
        ],
    }  # fmt: skip
    return document | changes


def graph(*elements: Document, context: str = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld") -> Document:
    """A supplier's SPDX document."""
    package = {"type": "software_Package", "spdxId": "urn:a", "name": "readline", "software_packageVersion": "8.0"}
    return {"@context": context, "@graph": [package, *elements]}


def read(document: Document) -> supplied.Supplied:
    """What the reader makes of a document."""
    return read_supplied(json.dumps(document).encode())


@pytest.mark.requirement("SUP-08", by="holdfast.release.supplied:read_supplied")
@pytest.mark.parametrize("version", ["1.4", "1.5", "1.6", "1.7"])
def test_cyclonedx_of_each_version_is_read_to_its_innermost_part(version: str) -> None:
    """Parts with ecosystem, version, digest and licence; what the bill does not say is told."""
    said = read(cyclonedx(specVersion=version))
    assert said.form == f"CycloneDX {version}"
    assert said.serial == "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79"
    assert set(said.parts) == {
        part("library", "maven", "org.apache/log4j", "2.14.1", "", "Apache-2.0"),
        part("data", "", "rows", "", "ab" * 32, "CC-BY-NC-4.0"),
        part("data", "", "inner", "", "", "Theirs"),
        part("model", "", "iris", "2"),
    }
    assert said.lacks == ("digests of all data",)


@pytest.mark.requirement("SUP-08", by="holdfast.release.supplied:_from_spdx")
def test_spdx_comes_to_what_cyclonedx_does(world: World) -> None:
    """Our own export, read as a supplier's: the same libraries and data, with the same licences."""
    document = bom_of(replace(world))

    def known(parts: tuple[Part, ...], kind: str) -> set[tuple[str, ...]]:
        return {(each.name, each.version, each.licence) for each in parts if each.kind == kind}

    said = read_supplied(spdx(document))
    assert said.form == "SPDX 3.0.1"
    for kind in ("library", "data"):
        assert known(said.parts, kind) == known(parts_in(document), kind) != set()
    assert "model" in {each.kind for each in said.parts}


def test_what_spdx_says_in_other_ways_is_read_as_well() -> None:
    """A concluded licence before a declared one, a listed one by its address, a package URL among identifiers."""
    identified = {"externalIdentifierType": "packageUrl", "identifier": "pkg:npm/left-pad@1.3.0"}
    said = read(
        graph(
            {"type": "software_Package", "spdxId": "urn:b", "name": "x", "externalIdentifier": [identified],
             "verifiedUsing": [{"type": "Hash", "algorithm": "sha256", "hashValue": "cd" * 32}]},
            {"type": "simplelicensing_LicenseExpression", "spdxId": "urn:l",
             "simplelicensing_licenseExpression": "GPL-3.0-only"},
            {"type": "Relationship", "spdxId": "urn:1", "from": "urn:a", "to": ["urn:l"],
             "relationshipType": "hasConcludedLicense"},
            {"type": "Relationship", "spdxId": "urn:2", "from": "urn:a", "to": ["https://spdx.org/licenses/MIT"],
             "relationshipType": "hasDeclaredLicense"},
            {"type": "Relationship", "spdxId": "urn:3", "from": "urn:b", "to": ["https://spdx.org/licenses/MIT"],
             "relationshipType": "hasDeclaredLicense"},
        )
    )  # fmt: skip
    assert set(said.parts) == {
        part("library", "", "readline", "8.0", "", "GPL-3.0-only"),
        part("library", "npm", "left-pad", "1.3.0", "cd" * 32, "MIT"),
    }


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (cyclonedx(specVersion="1.3"), "CycloneDX '1.3'"),
        (cyclonedx(specVersion=1.6), "CycloneDX"),
        (cyclonedx(extra=1), "CycloneDX has not"),
        (cyclonedx(serialNumber="7"), "serial number"),
        (cyclonedx(components=[{"type": "library"}]), "a component of type"),
        (cyclonedx(components=[{"type": "libary", "name": "x"}]), "a component of type"),
        (cyclonedx(components={"type": "library", "name": "x"}), "no list of objects"),
        (cyclonedx(components=[{"type": "library", "name": "x", "version": 1}]), "no text"),
        (cyclonedx(components=[{"type": "library", "name": "x", "components": ["y"]}]), "no list of objects"),
        (cyclonedx(components=[], metadata={}), "lists nothing"),
        (graph(context="https://spdx.org/rdf/3.1/spdx-context.jsonld"), "no bill of materials"),
        (graph({"type": "software_Package", "spdxId": "urn:b"}), "without a name"),
        (graph({"type": "software_File", "spdxId": "urn:a", "name": "x"}), "two elements"),
        (graph({"type": "Relationship", "spdxId": "urn:r", "from": "urn:a"}), "without its two ends"),
        (graph({"name": "x"}), "without a type"),
        ({"SPDXID": "SPDXRef-DOCUMENT", "spdxVersion": "SPDX-2.3"}, "no bill of materials"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_breaks_its_format_is_refused_as_a_whole(document: Document, why: str) -> None:
    """A part that cannot be read could be the one that matters."""
    with pytest.raises(InvalidInput, match=why):
        read(document)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"bomFormat": "CycloneDX", "bomFormat": "CycloneDX"}',
        b'{"bomFormat": NaN}',
        b"[" * 100_000,
        b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": '
        + b'[{"type": "data", "name": "x", "components": ' * 30
        + b"[]"
        + b"}]" * 30
        + b"}",
    ],
    ids=["nothing", "a list", "a key twice", "no number", "too deep", "parts too deep"],
)
def test_what_is_no_bounded_json_is_refused(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is too large is not even read."""
    with pytest.raises(InvalidInput):
        read_supplied(text)
    monkeypatch.setattr(supplied, "MAX_SUPPLIED", 10)
    with pytest.raises(InvalidInput, match="a bill of"):
        read_supplied(b" " * 11)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(below for key, each in keys for below in _paths(each, (*path, key)))]


ODD: st.SearchStrategy[Any] = st.sampled_from([None, 1, "", "x", [], {}, [1], [{}], {"x": {}}, True, 1.5, "\0"])


@pytest.mark.parametrize("make", [cyclonedx, graph], ids=lambda make: str(make.__name__))
@given(st.data())
def test_no_document_does_anything_but_be_read_or_refused(make: Callable[[], Document], data: st.DataObject) -> None:
    """Any value of a good document in the place of any other kind."""
    document = make()
    *path, last = data.draw(st.sampled_from(_paths(document)[1:]))
    inside: Any = document
    for key in path:
        inside = inside[key]
    inside[last] = data.draw(ODD)
    try:
        assert read(document).parts
    except InvalidInput:
        return


def test_the_reader_takes_the_shape_of_other_peoples_tools(tmp_path: Path) -> None:
    """As syft and cdxgen write: tools as a list, a component of its own with a bom-ref, licences by URL alone."""
    del tmp_path
    tools = [{"vendor": "anchore", "name": "syft", "version": "1.0"}]
    component = {"type": "library", "bom-ref": "pkg:pypi/x@1", "name": "x", "version": "1", "purl": "pkg:pypi/x@1",
                 "licenses": [{"license": {"name": "BSD"}}], "cpe": "cpe:2.3:a:x:x:1"}  # fmt: skip
    said = read(cyclonedx(specVersion="1.4", metadata={"tools": tools}, components=[component]))
    assert said.parts == (part("library", "pypi", "x", "1", "", "BSD"),)
