"""Views: one record per release, shown to three roles. The record is the same; only order and selection differ."""

from collections.abc import Mapping
from typing import Any, Final

from holdfast.core.errors import UsageError

SECTIONS: Final = (
    "status",
    "health",
    "metrics",
    "versions",
    "signatures",
    "approvals",
    "deployment",
    "links",
    "history",
)
"""Every section of a record."""

VIEWS: Final[Mapping[str, tuple[str, ...]]] = {
    "data-science": ("status", "metrics", "versions", "links", "health"),
    "engineering": ("status", "versions", "signatures", "deployment", "links", "history"),
    "operations": ("status", "health", "deployment", "approvals", "history"),
}
"""What each role reads first. Status, with versions, state, health and owner in it, opens all of them."""


def sections(role: str | None) -> tuple[str, ...]:
    """Return the sections that a role is shown, all where no role is named.

    Raises:
        UsageError: There is no such role.
    """
    if role is None:
        return SECTIONS
    if role not in VIEWS:
        raise UsageError(f"there is no view for {role[:80]!r}", expected=", ".join(VIEWS))
    return VIEWS[role]


def rows(section: Any) -> list[tuple[str, str]]:
    """Return a section as rows of two columns, nested names joined by dots."""
    found: list[tuple[str, str]] = []

    def walk(value: Any, path: str) -> None:
        if isinstance(value, Mapping):
            for key, each in value.items():
                walk(each, f"{path}.{key}" if path else str(key))
        elif isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value):
            for place, each in enumerate(value):
                walk(each, f"{path}.{place}")
        elif isinstance(value, list | tuple):
            found.append((path, ", ".join(map(str, value)) or "—"))
        else:
            found.append((path, str(value)))

    walk(section, "")
    return found
