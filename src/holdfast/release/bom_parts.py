"""What a CycloneDX bill of materials lists, as parts that can be looked for: ours, and anybody else's.

Reads tolerantly, because others write what they like, and counts what it reads: a bill from outside is data, never a
promise. Every component becomes a part by name; data whose origin is described can be found by that, too.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from holdfast.core.bill import Part, PartKind, part
from holdfast.core.errors import InvalidInput
from holdfast.engines.package_url import parse_purl

MAX_PARTS: Final = 100_000  # of one bill; a large container image has some ten thousand packages
MAX_DEPTH: Final = 16  # components inside components
_KINDS: Final[Mapping[str, PartKind]] = {
    "library": "library",
    "framework": "library",
    "application": "library",
    "operating-system": "library",
    "container": "library",
    "firmware": "library",
    "device-driver": "library",
    "platform": "library",
    "data": "data",
    "machine-learning-model": "model",
    "file": "code",
}
_ARTIFACT: Final = "holdfast:artifact"


def parts_in(document: Mapping[str, Any]) -> tuple[Part, ...]:
    """Return every part that a CycloneDX document lists, each once.

    Raises:
        InvalidInput: It is none, or lists more than a bill may.
    """
    if document.get("bomFormat") != "CycloneDX":
        raise InvalidInput("this is no CycloneDX document", expected='"bomFormat": "CycloneDX"')
    found: dict[Part, None] = {}
    for component in _walk(document):
        for each in _parts(component):
            found[each] = None
        if len(found) > MAX_PARTS:
            raise InvalidInput("the bill lists too many parts", expected=f"at most {MAX_PARTS}")
    return tuple(found)


def _walk(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    about = _mapping(document.get("metadata"))
    tools = about.get("tools")
    waiting = [(each, 0) for each in _mappings(document.get("components"))]
    waiting += [(each, 0) for each in (about.get("component"),) if isinstance(each, dict)]
    waiting += [(each | {"type": "file"}, 0) for each in _mappings(_mapping(tools).get("components"))]
    while waiting:
        component, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise InvalidInput("components lie too deep inside components", expected=f"at most {MAX_DEPTH}")
        yield component
        waiting += [(each, depth + 1) for each in _mappings(component.get("components"))]
        ancestors = _mapping(component.get("pedigree")).get("ancestors")
        waiting += [(each, depth + 1) for each in _mappings(ancestors)]


def _parts(component: Mapping[str, Any]) -> Iterator[Part]:
    kind = _KINDS.get(str(component.get("type")), "other")
    name, version = _text(component.get("name")), _text(component.get("version"))
    ecosystem, digest, licence = "", _sha256(component), _licence(component)
    if purl := _text(component.get("purl")):
        try:
            known = parse_purl(purl)
            ecosystem, name, version = known.ecosystem, known.name, known.version or version
        except InvalidInput:  # a malformed address does not hide the part: its name is left
            ecosystem = ""
    if kind == "code" and version.startswith("sha256:"):
        digest = digest or version.removeprefix("sha256:")
        version = digest[:12]
    if not name:
        return
    yield part(kind, ecosystem, name, version, digest, licence)
    if kind == "data" and (described := _text(component.get("description"))):
        yield part(kind, ecosystem, described, version, digest, licence)
    for each in _mappings(component.get("properties")):
        if each.get("name") == _ARTIFACT:
            yield part(kind, ecosystem, name, version, _text(each.get("value")).removeprefix("sha256:"), licence)


def _sha256(component: Mapping[str, Any]) -> str:
    for each in _mappings(component.get("hashes")):
        if each.get("alg") == "SHA-256":
            return _text(each.get("content")).lower()
    return ""


def _licence(component: Mapping[str, Any]) -> str:
    """Return a component's licences as one text: an expression, or identifiers and names joined by AND."""
    found = []
    for each in _mappings(component.get("licenses")):
        inner = _mapping(each.get("license"))
        found.append(_text(each.get("expression")) or _text(inner.get("id")) or _text(inner.get("name")))
    return " AND ".join(text for text in found if text)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
