"""Which packages an image holds: the databases of Debian, Alpine and RPM, Python's and npm's own descriptions.

What is installed without any of them (a program copied in, a static binary) is not seen, and an image in which no
package is found is said to be unread, not clean. What `rpm` does not read is said to be there, too.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from holdfast.engines.advisories.matching import Dependency
from holdfast.engines.advisories.osv import folded
from holdfast.engines.images import rpm
from holdfast.engines.images.layers import Entry

_DPKG: Final = ("var/lib/dpkg/status",)
_DPKG_PARTS: Final = "var/lib/dpkg/status.d/"  # of images without dpkg: a file for each package
_APK: Final = ("lib/apk/db/installed", "usr/lib/apk/db/installed", "var/lib/apk/db/installed")
_RELEASE: Final = ("etc/os-release", "usr/lib/os-release")
_PYTHON: Final = re.compile(r"(?:.*/)?[^/]+\.(?:dist-info/METADATA|egg-info/PKG-INFO|egg-info)")
_NPM: Final = re.compile(r"(?:.*/)?node_modules/(?:@[^/]+/)?[^/]+/package\.json")
_SOURCE: Final = re.compile(r"([^\s(]+)(?:\s*\(([^)]+)\))?")


def wanted(path: str) -> bool:
    """Say whether the content of a path lists packages, or says which system this is."""
    if path in _DPKG or path in _APK or path in _RELEASE or path in rpm.DATABASES or path in rpm.LOGS:
        return True
    if path.startswith(_DPKG_PARTS) and not path.endswith(".md5sums"):
        return True
    return bool(_PYTHON.fullmatch(path) or _NPM.fullmatch(path))


def unread(entries: Mapping[str, Entry]) -> Iterator[tuple[str, str]]:
    """Yield databases that are there and not read here, or not to their end."""
    for folder in rpm.FOLDERS:
        for name, engine in rpm.OTHERS.items():
            if folder + name in entries:
                yield folder + name, f"packages of RPM in a database of {engine} are not read here"
    for path in (each for each in rpm.DATABASES if each in entries):
        log = entries.get(f"{path}-wal")
        if log is not None and log.content:
            yield path, "the newest packages of RPM stand in a log beside the database, which is not read here"
        try:
            for _ in rpm.packages(entries[path].content or b"", path, {}):
                pass
        except ValueError as error:
            yield path, f"packages of RPM cannot be read: {error}"


def listed(entries: Mapping[str, Entry]) -> tuple[Dependency, ...]:
    """Return the packages of an image, each with the file that says so."""
    system = _system(entries)
    found: set[Dependency] = set()
    for path, entry in entries.items():
        if entry.content is None:
            continue
        if path in rpm.DATABASES:
            found.update(_rpm(entry.content, path, system))
            continue
        text = entry.content.decode("utf-8", "replace")
        if path in _DPKG or path.startswith(_DPKG_PARTS):
            found.update(_dpkg(text, path, system))
        elif path in _APK:
            found.update(_apk(text, path, system))
        elif _PYTHON.fullmatch(path):
            found.update(_python(text, path))
        elif _NPM.fullmatch(path):
            found.update(_npm(text, path))
    return tuple(sorted(found))


def _rpm(content: bytes, path: str, system: dict[str, str]) -> Iterator[Dependency]:
    """Yield what can be read; that the rest cannot, `unread` says."""
    with suppress(ValueError):
        yield from rpm.packages(content, path, system)


def _system(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Return what os-release says: `ID` and `VERSION_ID` (os-release(5))."""
    for path in reversed(_RELEASE):
        entry = entries.get(path)
        if entry is not None and entry.content is not None:
            lines = (line.partition("=") for line in entry.content.decode("utf-8", "replace").splitlines())
            return {key.strip(): value.strip().strip("\"'") for key, sign, value in lines if sign}
    return {}


def _dpkg(text: str, place: str, system: dict[str, str]) -> Iterator[Dependency]:
    """Yield source packages: advisories of Debian and Ubuntu are about those."""
    name, version = system.get("ID", "debian"), system.get("VERSION_ID", "")
    ecosystem = "Ubuntu" if name == "ubuntu" else "Debian"
    if ecosystem == "Ubuntu" and version.endswith(".04") and version[:2].isdigit() and int(version[:2]) % 2 == 0:
        version += ":LTS"
    ecosystem = f"{ecosystem}:{version}" if version else ecosystem
    for stanza in text.split("\n\n"):
        fields = _fields(stanza)
        installed = fields.get("Status", "install ok installed").endswith(" installed")
        if not installed or "Package" not in fields or "Version" not in fields:
            continue
        source = _SOURCE.fullmatch(fields.get("Source", fields["Package"]))
        named, given = (source[1], source[2]) if source else (fields["Package"], None)
        yield Dependency(ecosystem=ecosystem, name=named, version=given or fields["Version"], place=place)


def _apk(text: str, place: str, system: dict[str, str]) -> Iterator[Dependency]:
    release = ".".join(system.get("VERSION_ID", "").split(".")[:2])
    ecosystem = f"Alpine:v{release}" if release else "Alpine"
    for stanza in text.split("\n\n"):
        fields = dict(line.split(":", 1) for line in stanza.splitlines() if line[1:2] == ":")
        if "P" in fields and "V" in fields:
            yield Dependency(ecosystem=ecosystem, name=fields.get("o", fields["P"]), version=fields["V"], place=place)


def _python(text: str, place: str) -> Iterator[Dependency]:
    fields = _fields(text.partition("\n\n")[0])
    if fields.get("Name") and fields.get("Version"):
        yield Dependency(ecosystem="PyPI", name=folded("PyPI", fields["Name"]), version=fields["Version"], place=place)


def _npm(text: str, place: str) -> Iterator[Dependency]:
    try:
        document: Any = msgspec.json.decode(text.encode())
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    if (
        isinstance(document, dict)
        and isinstance(document.get("name"), str)
        and isinstance(document.get("version"), str)
    ):
        yield Dependency(ecosystem="npm", name=document["name"], version=document["version"], place=place)


def _fields(stanza: str) -> dict[str, str]:
    """Return the fields of one stanza; a line that begins with a space goes on with the one before: passed over."""
    found: dict[str, str] = {}
    for line in stanza.splitlines():
        key, sign, value = line.partition(":")
        if sign and line[:1] not in {" ", "\t"}:
            found.setdefault(key, value.strip())
    return found
