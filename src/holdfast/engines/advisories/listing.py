"""What a thing depends on: from a lock, a bill of materials, or what is installed here. Nothing is resolved or run."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from holdfast.core.errors import InvalidInput, Unavailable
from holdfast.engines.advisories.matching import Dependency
from holdfast.engines.advisories.osv import folded

MAX_LISTING: Final = 64 << 20  # bytes of a lock or a bill of materials
_PINNED: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[A-Za-z0-9._, -]*\])?\s*==\s*([^\s;\\#]+)")
_IGNORED: Final = ("-c", "--hash", "--index-url", "--extra-index-url", "--find-links", "--no-binary", "--only-binary",
                   "--pre", "--require-hashes", "--trusted-host", "--prefer-binary", "-i", "-f")  # fmt: skip
_PURL: Final = re.compile(r"pkg:(?P<type>[a-z]+)/(?P<name>[^@?#]+)@(?P<version>[^?#]+)(?:\?(?P<more>[^#]*))?")
_ECOSYSTEMS: Final = {
    "pypi": "PyPI",
    "npm": "npm",
    "cargo": "crates.io",
    "golang": "Go",
    "deb": "Debian",
    "apk": "Alpine",
}


def from_environment() -> tuple[Dependency, ...]:
    """Return the distributions that are installed here."""
    found = {
        Dependency(
            ecosystem="PyPI", name=folded("PyPI", each.metadata["Name"] or ""), version=each.version, place="here"
        )
        for each in distributions()
    }
    return tuple(sorted(each for each in found if each.name))


def from_lock(data: bytes, place: str) -> tuple[Dependency, ...]:
    """Return what a lock pins: requirements with `==`, or the lock of uv, Poetry or PDM.

    Raises:
        InvalidInput: It pins nothing, or names something without a version: what is not pinned cannot be judged.
    """
    text = _text(data, place)
    found = tuple(_packages(text, place)) if text.lstrip().startswith("[") or "[[package]]" in text else ()
    found = found or tuple(_requirements(text, place))
    if not found:  # empty means no
        raise InvalidInput("nothing is pinned", place=place, expected="name==version, or a lock of uv, Poetry or PDM")
    return tuple(sorted(set(found)))


def _requirements(text: str, place: str) -> Iterator[Dependency]:
    joined = re.sub(r"\\\r?\n", " ", text)
    for number, line in enumerate(joined.splitlines(), 1):
        bare = line.partition(" #")[0].strip()
        if not bare or bare.startswith(("#", *_IGNORED)):
            continue
        found = _PINNED.match(bare)
        if found is None:
            raise InvalidInput(f"{bare[:80]!r} is not pinned", place=f"{place}:{number}", expected="name==version")
        yield Dependency(ecosystem="PyPI", name=folded("PyPI", found[1]), version=found[2], place=place)


def _packages(text: str, place: str) -> Iterator[Dependency]:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInput(f"the lock cannot be read: {error}", place=place) from error
    for each in document.get("package", ()):
        source = each.get("source", {}) if isinstance(each, dict) else {}
        if isinstance(source, dict) and ({"editable", "virtual", "directory"} & source.keys()):
            continue  # the project itself
        if (
            not isinstance(each, dict)
            or not isinstance(each.get("name"), str)
            or not isinstance(each.get("version"), str)
        ):
            raise InvalidInput("a package without name and version", place=place)
        yield Dependency(ecosystem="PyPI", name=folded("PyPI", each["name"]), version=each["version"], place=place)


def from_bom(data: bytes, place: str) -> tuple[Dependency, ...]:
    """Return the components of a CycloneDX document that have a package URL of an ecosystem we know.

    Raises:
        InvalidInput: It is no CycloneDX document, or lists no such component.
    """
    try:
        document = msgspec.json.decode(_text(data, place).encode())
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidInput(f"the bill of materials cannot be read: {error}", place=place) from error
    if not isinstance(document, dict) or document.get("bomFormat") != "CycloneDX":
        raise InvalidInput("this is no CycloneDX document", place=place)
    found = tuple(sorted(set(_components(document.get("components", ()), place))))
    if not found:
        raise InvalidInput(
            "no component has a package URL that is known here", place=place, expected="pkg:pypi/… and such"
        )
    return found


def _components(listed: Any, place: str, depth: int = 0) -> Iterator[Dependency]:
    if depth > 20 or not isinstance(listed, list | tuple):
        return
    for each in listed:
        if isinstance(each, dict):
            if isinstance(each.get("purl"), str) and (known := from_purl(each["purl"], place)) is not None:
                yield known
            yield from _components(each.get("components", ()), place, depth + 1)


def from_purl(purl: str, place: str = "") -> Dependency | None:
    """Return the dependency that a package URL names, or None where it is of no ecosystem that we know.

    >>> from_purl("pkg:deb/debian/openssl@3.0.11-1?distro=debian-12").ecosystem
    'Debian:12'
    """
    found = _PURL.fullmatch(purl)
    ecosystem = _ECOSYSTEMS.get(found["type"]) if found else None
    if found is None or ecosystem is None:
        return None
    name = unquote(found["name"])
    more = dict(part.partition("=")[::2] for part in (found["more"] or "").split("&"))
    if ecosystem in {"Debian", "Alpine"}:
        name, release = name.rpartition("/")[2], more.get("distro", "").rpartition("-")[2]
        prefix = "v" if ecosystem == "Alpine" and release and not release.startswith("v") else ""
        ecosystem = f"{ecosystem}:{prefix}{release}" if release else ecosystem
    return Dependency(ecosystem=ecosystem, name=folded(ecosystem, name), version=unquote(found["version"]), place=place)


def _text(data: bytes, place: str) -> str:
    if len(data) > MAX_LISTING:
        raise InvalidInput(f"{len(data)} bytes", place=place, expected=f"at most {MAX_LISTING}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput("this is not UTF-8", place=place) from error


def uncovered(dependencies: Iterable[Dependency], ecosystems: Iterable[str]) -> tuple[str, ...]:
    """Return the ecosystems that no record of a snapshot is about: nothing can be said of what they hold."""
    covered = set(ecosystems)
    return tuple(sorted({each.ecosystem for each in dependencies} - covered))


def check_covered(dependencies: Iterable[Dependency], ecosystems: Iterable[str]) -> None:
    """Check that a snapshot speaks about every ecosystem that something is from.

    Raises:
        Unavailable: It does not: silence about an ecosystem is no safety.
    """
    missing = uncovered(dependencies, ecosystems)
    if missing:
        raise Unavailable(
            f"the snapshot holds no advisory for {', '.join(missing)}",
            remedy="Make a snapshot that also holds their advisories, and take it: `holdfast advisories take`.",
        )
