"""Package URLs (purl-spec), as far as a part is known by one: type, namespace and name, version."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from holdfast.core.bill import comparable
from holdfast.core.errors import InvalidInput

MAX_PURL: Final = 1024  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What a package URL says."""

    ecosystem: str
    name: str  # with its namespace, as the ecosystem compares names
    version: str


def parse_purl(text: str) -> Package:
    """Return what a package URL says, from its end to its beginning as the specification reads it; qualifiers are left.

    Raises:
        InvalidInput: It is none.

    >>> parse_purl("pkg:npm/%40scope/name@1.0?arch=x#sub").name
    '@scope/name'
    """
    scheme, _, rest = text.strip().partition(":")
    rest = rest.partition("#")[0].partition("?")[0].strip("/")
    kind, _, path = rest.partition("/")
    if scheme.lower() != "pkg" or not kind or not path or len(text) > MAX_PURL:
        raise InvalidInput(f"{text[:80]!r} is no package URL", expected="as pkg:pypi/numpy@2.1.0")
    path, mark, version = path.rpartition("@") if "@" in path.rpartition("/")[2] else (path, "", "")
    name = "/".join(unquote(piece) for piece in path.split("/") if piece)
    return Package(
        ecosystem=kind.lower(), name=comparable(kind.lower(), name), version=unquote(version) if mark else ""
    )
