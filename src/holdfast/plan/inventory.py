"""The inventory: which models there are, who answers for each, and what answers calls without being on the list."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One model of the list."""

    model: str
    owner: str
    sensitivity: str
    exposure: str
    stakes: str
    stage: str
    version: str
    workspace: str
    serving: tuple[str, ...] = ()  # releases that may answer under this name, by digest

    def document(self) -> dict[str, Any]:
        """Return it as data."""
        names = ("model", "owner", "sensitivity", "exposure", "stakes", "stage", "version", "workspace")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """Something that answers calls, by whatever showed it; empty strings where it does not say."""

    model: str
    version: str
    shown_by: str


def unlisted(listed: Iterable[Listed], answering: Iterable[Answering]) -> tuple[tuple[Answering, str], ...]:
    """Return what serves traffic and is not on the list, each with the reason.

    A name on the list is not enough: a version that nobody put into production under it is not on the list either.
    """
    listing = tuple(listed)  # two workspaces may each have a model of one name
    found = []
    for each in answering:
        named = [model for model in listing if model.model == each.model]
        if not each.model and not each.version:
            found.append((each, "it answers, and does not say what it serves"))
        elif not each.model:
            if not any(_serves(model, each.version) for model in listing):
                found.append((each, "traffic of a release that is not in production here"))
        elif not named:
            found.append((each, f"no model {each.model!r} is on the list"))
        elif each.version and not any(_serves(model, each.version) for model in named):
            found.append((each, f"{each.model!r} is on the list, this version of it is not in production"))
    return tuple(found)


def _serves(model: Listed, version: str) -> bool:
    """Say whether a version is in production under a model; gateways tell the beginning of a digest."""
    wanted = version.removeprefix("sha256:")
    return any(release.removeprefix("sha256:").startswith(wanted) for release in model.serving)
