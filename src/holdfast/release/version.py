"""Version: whether a release can be traced to exact code, data, model, configuration and infrastructure.

The control counts for how many of the five kinds the bytes are at hand and pinned by digest; a policy asks for five. Of
a model from outside, code, data and infrastructure of its training are at nobody's hand, and two kinds are left.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from holdfast.core.artifact import Artifact, Digest, Kind, parse_manifest
from holdfast.core.control import Control, Report, run
from holdfast.core.errors import HoldfastError
from holdfast.core.evidence import Evidence, Finding, MadeWith, Severity, exactly
from holdfast.core.ports import Blobs
from holdfast.release.material import ENVIRONMENT_FILE, MAX_ENVIRONMENT, Environment

FOLDERS: Final = frozenset(
    {Kind.RECIPE, Kind.DATASET, Kind.VIEWS, Kind.FEATURES, Kind.SPLIT, Kind.MODEL, Kind.METRICS, Kind.FOREIGN}
)
DATA: Final = (Kind.SOURCE, Kind.DATASET, Kind.FEATURES, Kind.SPLIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """What the version control looks at: everything that the release was made from."""

    blobs: Blobs
    derivation: tuple[Artifact, ...]
    code: str  # digest of Holdfast's own source
    commit: str  # of the project's repository; empty where it has none
    tier: str  # the sandbox that training ran in

    def one(self, kind: Kind) -> Digest | None:
        """Return the digest of the one artifact of a kind, None where there is none or more."""
        found = {artifact.digest for artifact in self.derivation if artifact.kind is kind}
        return found.pop() if len(found) == 1 else None

    def holds(self, kind: Kind) -> bool:
        """Say whether every byte of the one artifact of a kind is at hand and has its digest."""
        digest = self.one(kind)
        if digest is None:
            return False
        try:
            self.blobs.path(digest)
            if kind in FOLDERS:
                for file in parse_manifest(self.blobs.get(digest)).files:
                    self.blobs.path(Digest(file.digest))
        except HoldfastError:
            return False
        return True

    @property
    def outside(self) -> bool:
        """Whether the model came from outside: then our rows and libraries are not those that it was trained with."""
        return any(artifact.kind is Kind.FOREIGN for artifact in self.derivation)

    @property
    def views(self) -> tuple[Kind, ...]:
        """The kind of feature views, where the model was made from some."""
        return tuple({artifact.kind for artifact in self.derivation if artifact.kind is Kind.VIEWS})

    def environment(self) -> str:
        """Return the digest of what training says it ran in; empty where it does not say interpreter and packages."""
        digest = self.one(Kind.METRICS)
        if digest is None:
            return ""
        file = parse_manifest(self.blobs.get(digest)).file(ENVIRONMENT_FILE)
        if file.size > MAX_ENVIRONMENT:
            return ""
        said = msgspec.json.decode(self.blobs.get(Digest(file.digest)), type=Environment)
        return file.digest if said.python and said.machine and said.packages else ""


def check_version(context: Derived, release: Artifact, made_with: MadeWith) -> Evidence:
    """Return the evidence about what a release is exactly."""
    return run(VERSION, context, release, made_with)


def _infrastructure(context: Derived) -> bool:
    return not context.outside and bool(context.code and context.tier and context.environment())


_PINNED: Final[dict[str, Callable[[Derived], bool]]] = {
    "code": lambda context: context.holds(Kind.RECIPE),
    "data": lambda context: not context.outside and all(context.holds(kind) for kind in (*DATA, *context.views)),
    "model": lambda context: context.holds(Kind.MODEL) and (not context.outside or context.holds(Kind.FOREIGN)),
    "configuration": lambda context: context.holds(Kind.PROJECT),
    "infrastructure": _infrastructure,
}


def _measure(context: Derived) -> Report:
    lacking = [kind for kind, pinned in _PINNED.items() if not pinned(context)]
    facts = {
        kind.value: str(context.one(kind) or "")
        for kind in (Kind.RECIPE, *DATA, *context.views, Kind.MODEL, Kind.PROJECT)
    }
    facts |= {"environment": context.environment(), "holdfast": context.code, "tier": context.tier}
    facts |= {"commit": context.commit, "foreign": str(context.one(Kind.FOREIGN) or "")}
    return Report(
        measures=(exactly("version_kinds", len(_PINNED) - len(lacking)),),
        findings=tuple(
            Finding(place=kind, severity=Severity.HIGH, rule="version.missing", message=f"no exact {kind}")
            for kind in lacking
        ),
        facts=facts,
    )


VERSION: Final[Control[Derived]] = Control(name="release.version/1", measure=_measure)
