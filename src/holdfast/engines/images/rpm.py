"""Packages of RPM: the database of an image as SQLite (RPM 4.16 and later), and the headers of packages in it.

Databases of Berkeley DB and of NDB (`Packages`, `Packages.db`) are said to be there, and not read; so is one whose
newest rows stand in a write-ahead log.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Final

from holdfast.engines.advisories.matching import Dependency
from holdfast.engines.images.sqlite_pages import Database

FOLDERS: Final = ("var/lib/rpm/", "usr/lib/sysimage/rpm/")
DATABASES: Final = tuple(f"{folder}rpmdb.sqlite" for folder in FOLDERS)
LOGS: Final = tuple(f"{path}-wal" for path in DATABASES)
OTHERS: Final[Mapping[str, str]] = {"Packages": "Berkeley DB", "Packages.db": "NDB"}
MAX_TAGS: Final = 10_000  # entries of one header; packages have a hundred
_NAME, _VERSION, _RELEASE, _EPOCH, _SOURCE = 1000, 1001, 1002, 1003, 1044  # tags (rpm's lib/rpmtag.h)
_STRING, _INT32 = 6, 4  # types of values
_SOURCE_FILE: Final = re.compile(r"(.+)-([^-]+)-([^-]+)\.(?:no)?src\.rpm")
_KEYS: Final = "gpg-pubkey"  # keys are listed as packages
_SYSTEMS: Final[Mapping[str, str]] = {  # os-release's ID to the ecosystem as OSV writes it
    "almalinux": "AlmaLinux:{major}",
    "azurelinux": "Azure Linux:{major}",
    "mageia": "Mageia:{version}",
    "openEuler": "openEuler:{version}",
    "opensuse-leap": "openSUSE:Leap {version}",
    "opensuse-tumbleweed": "openSUSE:Tumbleweed",
    "photon": "Photon OS:{version}",
    "rocky": "Rocky Linux:{major}",
    "sles": "SUSE:Linux Enterprise Server {major} SP{minor}",
}


def packages(content: bytes, place: str, system: Mapping[str, str]) -> Iterator[Dependency]:
    """Yield the packages of a database, each under its own name and under that of its source: advisories use either.

    Raises:
        ValueError: It cannot be read to its end.
    """
    ecosystem = ecosystem_of(system)
    for row in Database(content).rows("Packages"):
        blob = row[-1] if row else None
        tags = _tags(blob if isinstance(blob, bytes) else b"")
        name, version, release = (str(tags.get(tag, "")) for tag in (_NAME, _VERSION, _RELEASE))
        if not name or not version:
            raise ValueError("a header without name or version")
        if name == _KEYS:
            continue
        epoch = f"{tags[_EPOCH]}:" if tags.get(_EPOCH) else ""
        named = {(name, f"{epoch}{version}-{release}")}
        source = _SOURCE_FILE.fullmatch(str(tags.get(_SOURCE, "")))
        if source is not None and source[1] != name:
            named.add((source[1], f"{epoch}{source[2]}-{source[3]}"))
        for each, at in sorted(named):
            yield Dependency(ecosystem=ecosystem, name=each, version=at, place=place)


def ecosystem_of(system: Mapping[str, str]) -> str:
    """Return the ecosystem of a system; one that OSV does not have under such a name is called as it calls itself.

    >>> ecosystem_of({"ID": "rocky", "VERSION_ID": "9.4"}), ecosystem_of({"ID": "fedora", "VERSION_ID": "41"})
    ('Rocky Linux:9', 'fedora:41')
    """
    name, version = system.get("ID", "rpm"), system.get("VERSION_ID", "")
    major, _, minor = version.partition(".")
    pattern = _SYSTEMS.get(name, "{name}:{version}" if version else "{name}")
    return pattern.format(name=name, version=version, major=major, minor=minor or "0").removesuffix(" SP0")


def _tags(blob: bytes) -> dict[int, str | int]:
    """Return the texts and numbers of a header that matter here (rpm's "Package File Format", header structure)."""
    if len(blob) < 8:
        raise ValueError("a header that is cut off")
    count, size = struct.unpack(">II", blob[:8])
    store = 8 + 16 * count
    if count > MAX_TAGS or store + size > len(blob):
        raise ValueError("a header that is cut off, or of too many entries")
    found: dict[int, str | int] = {}
    for tag, kind, offset, _ in struct.iter_unpack(">IIII", blob[8:store]):
        if tag not in {_NAME, _VERSION, _RELEASE, _EPOCH, _SOURCE}:
            continue
        at = store + offset
        if kind == _STRING and offset < size:
            end = blob.find(b"\0", at, store + size)
            if end < 0:
                raise ValueError("a text without an end")
            found.setdefault(tag, blob[at:end].decode("utf-8", "replace"))
        elif kind == _INT32 and offset + 4 <= size:
            found.setdefault(tag, int.from_bytes(blob[at : at + 4], "big"))
        else:
            raise ValueError("a value of another type, or beyond the header")
    return found
