"""What a gateway serves at one moment: one value, made whole before it is used, replaced whole, never changed."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.artifact import Digest
from holdfast.core.guard import Call
from holdfast.core.policy import Permit
from holdfast.core.resilience import Resilience
from holdfast.core.schema import Signature
from holdfast.core.trust import Trust
from holdfast.maths.nearness import Space
from holdfast.maths.sketch import Profile
from holdfast.serve.guards import Chains

SHORT: Final = 12  # hexadecimal digits of a digest that callers and people see
UNIT: Final = "x-holdfast-unit"  # header that names whom a call is for: a user, a device, a case
ATTRIBUTES: Final = "x-holdfast-attributes"  # header that declares attributes of the call, by which segments are known
FEW: Final = 32  # rows that are looked at faster as lists than as arrays
_ONE: Final = 2.0**64
_NOTHING: Final[Mapping[str, str]] = {}


class Model(Protocol):
    """A loaded model as a function."""

    def run(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return labels, shape (n,), and class probabilities, shape (n, classes), for rows of shape (n, features)."""
        ...


def sane(labels: NDArray[np.int64], probabilities: NDArray[np.float64], *, rows: int, classes: int) -> bool:
    """Say whether a model's answer has the promised shapes, names classes that exist, and holds finite numbers."""
    if labels.shape != (rows,) or probabilities.shape != (rows, classes):
        return False
    if rows > FEW:
        known = bool(labels.min() >= 0) and bool(labels.max() < classes)
        return known and math.isfinite(float(probabilities.sum()))
    # A sum is finite only if no term is NaN or infinite: probabilities are far too small to overflow it. Over lists,
    # both looks at a single row cost a quarter of what they cost over arrays.
    return math.isfinite(sum(probabilities.ravel().tolist())) and set(labels.tolist()).issubset(range(classes))


class Runtime(Protocol):
    """Turns the very bytes that were verified into a model."""

    def load(self, model: bytes, *, features: int, classes: int) -> Model:
        """Return the model in these bytes.

        Raises:
            NotVerified: The bytes are no model, or not one of this many features and classes.
        """
        ...


class TrainingProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What a release's `profile.json` holds: the cells of each input and of the score, as training left them."""

    inputs: dict[str, Profile]
    score: Profile
    space: Space | None = None  # how rows lie; None: fitted by nobody, and detectors that need it refuse the release


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release that may answer: permitted, verified, loaded and warm."""

    digest: Digest
    signature: Signature
    profile: TrainingProfile
    model: Model
    model_digest: Digest
    permit: Permit
    steady: bool = False  # answers a row the same, to the bit, whatever other rows it is asked about with it
    short: str = field(init=False)  # the part of the digest that callers see: it names the release, and tells no more
    score: int = field(init=False)  # index of the class whose probability is the score

    def __post_init__(self) -> None:
        """Work out once what every answer needs."""
        classes, positive = self.signature.classes, self.signature.positive
        object.__setattr__(self, "short", self.digest.removeprefix("sha256:")[:SHORT])
        object.__setattr__(self, "score", classes.index(positive) if positive else len(classes) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where the calls of one model go."""

    name: str
    baseline: Release
    candidate: Release | None = None
    share: float = 0.0
    plan: str = "canary"
    salt: str = ""  # key of the hash that splits: who does not know it cannot choose its side
    segment: Mapping[str, frozenset[str]] = field(default_factory=dict)
    experiment: str = ""
    mirrored: float = 0.0
    resilience: Resilience | None = None

    def versioned(self, version: str) -> Release | None:
        """Return the release of a version, by the digits of its digest that callers see; the baseline for ""."""
        if not version:
            return self.baseline
        found = (self.baseline, self.candidate)
        return next((release for release in found if release is not None and release.short == version), None)

    @property
    def alike(self) -> bool:
        """Whether both read the same inputs and name the same classes."""
        if self.candidate is None:
            return False
        ours, theirs = self.baseline.signature, self.candidate.signature
        return (ours.inputs, ours.texts, ours.classes) == (theirs.inputs, theirs.texts, theirs.classes)

    def chosen(self, call: Call, withdrawn: frozenset[str]) -> Release | None:
        """Return the release that answers a call; None where it asks for a version that does not answer it."""
        release = self.choose(call.correlation, call.headers)
        if release.digest in withdrawn:
            release = self.baseline  # by itself a gateway only moves traffic towards the signed baseline
        if call.version and release.short != call.version:
            # A candidate answers the calls that its share gives it, and nobody else by asking for it.
            return self.baseline if self.baseline.short == call.version else None
        return release

    def choose(self, correlation: str, headers: Mapping[str, str] = _NOTHING) -> Release:
        """Return the release for a call: the same for the same unit, the candidate for its share of units.

        The unit is what the caller names, else the call itself; in an experiment a call that names none is no part of
        it. A share that grows keeps all that it had: a unit's point on the line from 0 to 1 never moves.
        """
        if self.candidate is None or not self.share:
            return self.baseline
        unit = headers.get(UNIT, "") or ("" if self.experiment else correlation)
        if not unit or (self.segment and not self._belongs(headers.get(ATTRIBUTES, ""))):
            return self.baseline
        return self.candidate if self._point(unit) < self.share else self.baseline

    def copies(self, correlation: str) -> bool:
        """Say whether a shadow gets a copy of a call."""
        return self.plan == "shadow" and self._point(correlation) < self.mirrored and self.alike

    def _point(self, unit: str) -> float:
        key = bytes.fromhex(self.salt)
        point = hashlib.blake2b(f"{self.name}\0{unit}".encode(), key=key, digest_size=8).digest()
        return int.from_bytes(point) / _ONE

    def _belongs(self, declared: str) -> bool:
        """Say whether the attributes that a call declares, `name=value; name=value`, lie in the segment."""
        given = dict(pair.strip().split("=", 1) for pair in declared.split(";") if "=" in pair)
        return all(given.get(name) in values for name, values in self.segment.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that answering needs, from one signed route table."""

    epoch: int
    trust: Trust
    lease: datetime  # when it ends, whatever else is true
    routes: Mapping[str, Route]
    chains: Chains
    withdrawn: frozenset[str] = frozenset()  # digests that a newer table revoked while this one still serves

    @property
    def releases(self) -> Mapping[str, Release]:
        """The releases by digest."""
        routes = self.routes.values()
        found = [release for route in routes for release in (route.baseline, route.candidate) if release is not None]
        return {release.digest: release for release in found}

    def without(self, revoked: frozenset[str], chains: Chains) -> "State":
        """Return this state narrowed to what a newer table still allows."""
        return replace(self, withdrawn=self.withdrawn | revoked, chains=chains)
