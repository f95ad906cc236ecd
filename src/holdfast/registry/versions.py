"""Versions: the five kinds of things that a release is exactly, and every difference between two releases.

Pure: a `Versions` is plain data that `lifecycle` gathers from blobs and evidence; `differences` compares two of them
leaf by leaf, so that a reader sees which column, parameter or package differs, and not only that a digest does.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

KINDS: Final = ("code", "data", "model", "configuration", "infrastructure")
"""What has to be exact about a release (PROV-01)."""

PINNED: Final[Mapping[str, tuple[str, ...]]] = {
    "code": ("recipe",),
    "data": ("source", "dataset", "features", "split"),
    "model": ("model", "files"),
    "configuration": ("document",),
    "infrastructure": ("environment", "holdfast", "python"),
}
"""What each kind must at least hold to be exact."""

Section = dict[str, Any]
Versions = dict[str, Section]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One leaf in which two releases differ."""

    kind: str
    path: str
    before: Any  # None: it is not there
    after: Any


def missing(versions: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what keeps a release from being exact, as `kind: part`; nothing where all five kinds are.

    >>> missing({"code": {"recipe": "sha256:1"}})[:2]
    ('data: source', 'data: dataset')
    """
    return tuple(f"{kind}: {part}" for kind in KINDS for part in PINNED[kind] if not versions.get(kind, {}).get(part))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every leaf of a section with its path.

    >>> list(leaves({"b": {"c": 1}, "a": [2]}))
    [('a.0', 2), ('b.c', 1)]
    """
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from leaves(value[key], f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for place, each in enumerate(value):
            yield from leaves(each, f"{path}.{place}" if path else str(place))
    else:
        yield path, value


def differences(before: Versions, after: Versions) -> tuple[Difference, ...]:
    """Return every leaf in which two releases differ, by kind and path; nothing where they are the same."""
    found = []
    for kind in KINDS:
        one, other = dict(leaves(before.get(kind, {}))), dict(leaves(after.get(kind, {})))
        found += [
            Difference(kind=kind, path=path, before=one.get(path), after=other.get(path))
            for path in sorted(one.keys() | other.keys())
            if path not in one or path not in other or one[path] != other[path]
        ]
    return tuple(found)
