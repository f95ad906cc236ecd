"""Bills of materials of others: CycloneDX 1.4 to 1.7 and SPDX 3.0, read strictly, as what a supplier says.

Stricter than `bom_parts`, which reads what was taken in once: a document that is not of its format throughout, says a
key twice or names something without a name is refused as a whole, because what cannot be read could be what matters.
What it says is not checked and is no evidence: it tells what to look for.

1. Bounded: size, depth, parts. 2. JSON without repeated keys. 3. One of the two formats, in a version that is known.
4. Every component has a kind that the format has, and a name. 5. SPDX is turned into components, licences with them.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from holdfast.core.bill import MAX_TEXT, Part
from holdfast.core.errors import InvalidInput
from holdfast.release.bom_parts import parts_in

MAX_SUPPLIED: Final = 16 << 20  # bytes; bills of large container images have some ten
CYCLONEDX: Final = ("1.4", "1.5", "1.6", "1.7")
SPDX: Final = re.compile(r"https://spdx\.org/rdf/(3\.0\.[01])/spdx-context\.jsonld")
_SERIAL: Final = re.compile(r"urn:uuid:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_TYPES: Final = frozenset(
    {"application", "framework", "library", "container", "platform", "operating-system", "device", "device-driver"}
    | {"firmware", "file", "machine-learning-model", "data", "cryptographic-asset"}
)
_TOP: Final = frozenset(
    {"$schema", "bomFormat", "specVersion", "serialNumber", "version", "metadata", "components", "services"}
    | {"externalReferences", "dependencies", "compositions", "vulnerabilities", "annotations", "formulation"}
    | {"properties", "signature", "declarations", "definitions", "citations"}
)
"""What the root of a CycloneDX document may hold (schema 1.7, which holds all that the older ones do)."""
_ELEMENTS: Final[Mapping[str, str]] = {
    "software_Package": "library",
    "software_File": "file",
    "ai_AIPackage": "machine-learning-model",
    "dataset_DatasetPackage": "data",
}
_PURPOSES: Final[Mapping[str, str]] = {"model": "machine-learning-model", "data": "data"}  # of a software_Package
_SAYS_LICENCE: Final = ("hasConcludedLicense", "hasDeclaredLicense")  # the first that says something counts
_LISTED: Final = "https://spdx.org/licenses/"
_NOTHING: Final = ("NoAssertion", "NoneLicense")


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplied:
    """What a supplier's bill says."""

    form: str  # with its version
    serial: str  # its own name; empty where it has none
    parts: tuple[Part, ...]
    lacks: tuple[str, ...]


def read_supplied(document: bytes) -> Supplied:
    """Return what a supplier's bill of materials says.

    Raises:
        InvalidInput: It is none of the formats, breaks its format, or is too large.
    """
    if len(document) > MAX_SUPPLIED:  # 1.
        raise InvalidInput(f"a bill of {len(document)} bytes", expected=f"at most {MAX_SUPPLIED}")
    try:
        found = json.loads(document, object_pairs_hook=_once, parse_constant=_constant)  # 2.
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the bill cannot be read: {error}", expected="JSON") from error
    if isinstance(found, dict) and found.get("bomFormat") == "CycloneDX":  # 3.
        form = f"CycloneDX {_cyclonedx(found)}"
    elif isinstance(found, dict) and (context := SPDX.fullmatch(str(found.get("@context")))):
        form, found = f"SPDX {context[1]}", _from_spdx(found)
    else:
        raise InvalidInput("this is no bill of materials that is read here", expected="CycloneDX or SPDX 3.0, as JSON")
    parts = parts_in(found)
    if not parts:  # empty means no: a bill of nothing would answer every question with no
        raise InvalidInput("the bill lists nothing", expected="at least one part")
    return Supplied(form=form, serial=str(found.get("serialNumber", ""))[:MAX_TEXT], parts=parts, lacks=lacking(parts))


def lacking(parts: Iterable[Part]) -> tuple[str, ...]:
    """Return what a bill of a model would say, and this one does not."""
    listed = list(parts)
    libraries = [each for each in listed if each.kind == "library"]
    data = [each for each in listed if each.kind == "data"]
    present = {
        "libraries": bool(libraries),
        "versions of every library": all(each.version for each in libraries),
        "training data": bool(data),
        "digests of all data": all(each.digest for each in data),
        "licences of all data and libraries": all(each.licence for each in (*libraries, *data)),
    }
    return tuple(what for what, there in present.items() if not there)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # two readers could take two different ones
        raise ValueError("a key that is said twice")
    return found


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no value of JSON")


def _cyclonedx(document: Mapping[str, Any]) -> str:
    """Check that a document is CycloneDX throughout, as far as it is read here, and return its version."""
    version, serial = document.get("specVersion"), document.get("serialNumber", "")
    if version not in CYCLONEDX:
        raise InvalidInput(f"CycloneDX {str(version)[:20]!r}", expected=f"one of {', '.join(CYCLONEDX)}")
    if unknown := sorted(document.keys() - _TOP):
        raise InvalidInput(f"the bill says {unknown[0][:80]!r}, which CycloneDX has not", expected="its schema")
    if serial and not (isinstance(serial, str) and _SERIAL.fullmatch(serial.lower())):
        raise InvalidInput(f"a serial number {str(serial)[:80]!r}", expected="urn:uuid:…")
    about = _object(document.get("metadata", {}), "metadata")
    waiting = list(_objects(document.get("components", []), "components"))
    waiting += [_object(about["component"], "metadata.component")] if "component" in about else []
    while waiting:  # 4.
        component = waiting.pop()
        kind, name = component.get("type"), component.get("name")
        if not isinstance(kind, str) or kind not in _TYPES or not isinstance(name, str) or not name.strip():
            raise InvalidInput(f"a component of type {str(kind)[:40]!r} called {str(name)[:40]!r}", expected="both")
        for field in ("version", "purl", "description"):
            if not isinstance(component.get(field, ""), str):
                raise InvalidInput(f"the {field} of {name[:80]!r} is no text", place=field, expected="a text")
        for field in ("hashes", "licenses", "properties"):
            _objects(component.get(field, []), field)
        waiting += _objects(component.get("components", []), "components")
        waiting += _objects(_object(component.get("pedigree", {}), "pedigree").get("ancestors", []), "ancestors")
    return str(version)


def _from_spdx(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an SPDX document lists as a CycloneDX document would."""
    elements: dict[str, dict[str, Any]] = {}
    relations, found, serial = list[dict[str, Any]](), list[tuple[str, dict[str, Any]]](), ""
    for element in _objects(document.get("@graph"), "@graph"):
        kind, name = element.get("type"), element.get("spdxId", element.get("@id"))
        if not isinstance(kind, str) or not isinstance(name, str):
            raise InvalidInput("an element without a type or a name", place="@graph", expected="type and spdxId")
        if name in elements:
            raise InvalidInput(f"two elements are called {name[:80]!r}", place="@graph", expected="distinct names")
        elements[name] = element
        if kind == "SpdxDocument":
            serial = name
        if kind == "Relationship":
            relations.append(element)
        if kind in _ELEMENTS:
            found.append((name, element))
    licences = _licences(relations, elements)
    components = [_component(element, licences.get(name, "")) for name, element in found]  # 5.
    return {"bomFormat": "CycloneDX", "components": components, "serialNumber": serial}


def _component(element: Mapping[str, Any], licence: str) -> dict[str, Any]:
    name = element.get("name")
    if not isinstance(name, str) or not name.strip():
        raise InvalidInput("a package or a file without a name", place=str(element.get("spdxId"))[:80], expected="name")
    kind = _ELEMENTS[element["type"]]
    if kind == "library":
        kind = _PURPOSES.get(str(element.get("software_primaryPurpose")), kind)
    component = {"type": kind, "name": name, "version": _said(element.get("software_packageVersion"))}
    if purl := _said(element.get("software_packageUrl")) or _purl(element):
        component["purl"] = purl
    if described := _said(element.get("description")) or _said(element.get("dataset_dataCollectionProcess")):
        component["description"] = described
    hashes = [
        {"alg": "SHA-256", "content": _said(each.get("hashValue"))}
        for each in _objects(element.get("verifiedUsing", []), "verifiedUsing")
        if each.get("algorithm") == "sha256"
    ]
    return component | {"hashes": hashes} | ({"licenses": [{"expression": licence}]} if licence else {})


def _purl(element: Mapping[str, Any]) -> str:
    """Return the package URL that stands among an element's external identifiers."""
    for each in _objects(element.get("externalIdentifier", []), "externalIdentifier"):
        if each.get("externalIdentifierType") == "packageUrl":
            return _said(each.get("identifier"))
    return ""


def _licences(relations: Iterable[Mapping[str, Any]], elements: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return each element's licence: what was concluded, else what was declared."""
    said: dict[tuple[str, str], str] = {}
    for relation in relations:
        kind, subject, to = relation.get("relationshipType"), relation.get("from"), relation.get("to")
        if not isinstance(subject, str) or not isinstance(to, list) or not all(isinstance(each, str) for each in to):
            raise InvalidInput("a relationship without its two ends", place="@graph", expected="from and to")
        if kind in _SAYS_LICENCE:
            text = " AND ".join(each for each in (_licence(name, elements) for name in to) if each)
            said[subject, str(kind)] = text
    return {
        subject: text for kind in reversed(_SAYS_LICENCE) for (subject, of), text in said.items() if of == kind and text
    }


def _licence(name: str, elements: Mapping[str, Mapping[str, Any]]) -> str:
    if name.startswith(_LISTED):
        return name.removeprefix(_LISTED)
    if any(word in name for word in _NOTHING):
        return ""
    element = elements.get(name, {})
    fields = ("simplelicensing_licenseExpression", "simplelicensing_licenseText", "name")
    return next((said for field in fields if (said := _said(element.get(field)))), name.rpartition("/")[2])


def _said(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{place} is no object", place=place, expected="an object")
    return value


def _objects(value: Any, place: str) -> Iterator[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise InvalidInput(f"{place} is no list of objects", place=place, expected="a list of objects")
    return iter(value)
