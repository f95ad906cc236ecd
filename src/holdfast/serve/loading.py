"""Loading: from a published folder to a state that may answer, or a reason why not.

The gateway believes nobody but the keys it pinned. Each step takes what the one before has verified:

0. what is published is one whole state of a TUF repository that the pinned root keys lead to, unexpired, and no version
   in it has fallen (`engines.repository`);
1. the trust document is sealed by the root keys, and no older than one seen before;
2. the route table is sealed by the registry, for this workspace and environment, inside its lease, and its epoch has
   not fallen;
3. the policy's bytes are the ones that the table names and the root keys accept;
4. each release's passport proves a closure over which `decide` permits serving, nothing of it revoked, and a person's
   word lets it follow what answered before it;
5. the release's bytes are read once, are what their digests say, and hold the very model that the evidence is about;
6. those bytes are loaded and answer a warm-up call.

Only then does `loader` swap the new state in, whole.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.artifact import (
    Digest,
    Kind,
    Manifest,
    digest_bytes,
    digest_json,
    manifest,
    parse_digest,
    parse_manifest,
)
from holdfast.core.consent import check_consent
from holdfast.core.errors import InvalidInput, NotVerified, PolicyDenied, Refused
from holdfast.core.passport import MAX_PASSPORT, Dossier, open_passport, parse_passport
from holdfast.core.placement import check_placed
from holdfast.core.policy import Action, Denial, Permit, Policy, Request, decide, parse_policy
from holdfast.core.routes import PLANS, SILENT, ModelRoute, RouteTable
from holdfast.core.schema import Signature, texts_fit, texts_of
from holdfast.core.seal import ROUTES, TRUST, unseal
from holdfast.core.trust import Trust, TrustedKey
from holdfast.engines.repository import (
    POLICY_NAME,
    ROUTES_NAME,
    TRUST_NAME,
    Repository,
    Versions,
    read_repository,
)
from holdfast.engines.texts import UNICODE
from holdfast.serve.protocol import MODEL_NAME
from holdfast.serve.state import Model, Runtime, TrainingProfile, sane

MODEL_FILES: Final = ("model.onnx", "profile.json", "signature.json")  # the whole folder of a MODEL artifact
MAX_MANIFEST: Final = 16 << 20  # bytes; MAX_MANIFEST_FILES entries fit
SALT: Final = re.compile(r"[0-9a-f]{0,128}")  # a key of BLAKE2b has up to 64 bytes
MAX_FILE: Final = 2 << 30  # bytes; protobuf, and so ONNX, holds no more in one file
CLOCK_SKEW: Final = timedelta(seconds=60)  # how far ahead of ours the registry's clock may be


class Published(Protocol):
    """The folder that the control plane writes: bytes of which nothing is believed."""

    def document(self, name: str, limit: int) -> bytes:
        """Return a document by name.

        Raises:
            HoldfastError: It is not there, is no regular file, or is longer than `limit` bytes.
        """
        ...

    def blob(self, digest: Digest, limit: int) -> bytes:
        """Return the bytes that should have this digest.

        Raises:
            HoldfastError: They are not there, or are more than `limit`.
        """
        ...

    def stamp(self, *names: str) -> object:
        """Return something that differs whenever one of these documents was replaced."""
        ...


class Remembered(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What must never fall, kept across restarts; a replayed table is older than this."""

    trust_version: int = 0
    epoch: int = 0
    content: str = ""  # digest of the table of that epoch, its dates apart
    issued: datetime | None = None
    versions: Versions = Versions()  # of the repository
    revoked: tuple[str, ...] = ()  # every digest that was ever seen revoked: no later table makes it good again
    consents: dict[str, datetime] = {}  # by model: the newest person's word by which a release of it has answered

    def height(self) -> tuple[int, ...]:
        """Return by what two memories are compared: the higher one is newer."""
        return (self.epoch, self.trust_version, *self.versions.height())

    def joined(self, other: "Remembered") -> "Remembered":
        """Return the newer of two memories, with all that either has seen revoked or allowed."""
        newer = other if self.height() <= other.height() else self
        consents = dict(self.consents)
        for model, moment in other.consents.items():
            consents[model] = max(moment, consents.get(model, moment))
        gone = tuple(sorted({*self.revoked, *other.revoked}))
        return msgspec.structs.replace(newer, revoked=gone, consents=consents)


class Memory(Protocol):
    """Keeps what must never fall."""

    def recall(self) -> Remembered:
        """Return what was kept last; nothing at all only on the very first start.

        Raises:
            HoldfastError: It is there and cannot be read.
        """
        ...

    def keep(self, remembered: Remembered) -> None:
        """Keep this durably before returning; what another worker kept meanwhile never falls either."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """What this gateway was told by whoever installed it, and believes for ever."""

    root: Trust  # the root keys
    origin: str  # of the ledger's checkpoints
    environment: str
    region: str = ""  # where it stands; empty: nobody has said


@dataclass(frozen=True, slots=True, kw_only=True)
class Believed:
    """What steps 0 to 3 have verified; `until` is when the first of the keys and documents under it ends."""

    trust: Trust
    table: RouteTable
    revoked: frozenset[str]  # by this table, by the offline keys, or by anything this gateway has believed before
    policy: Policy
    policy_digest: Digest
    until: datetime
    remembered: Remembered


def believe(published: Published, pins: Pins, remembered: Remembered, now: datetime) -> Believed:
    """Return trust, route table and policy, verified (steps 0 to 3).

    Raises:
        NotVerified: A signature, digest, window, epoch or name does not fit.
        Refused: The lease is over, or its models may not answer where this gateway stands.
    """
    repository = Repository(fetch=published.document, pinned=pins.root)
    reached = read_repository(repository, remembered.versions, now)  # 0.
    root = reached.root
    sealed = unseal(reached.trust(), TRUST, root, at=now, threshold=root.root_threshold)
    trust = sealed.value  # 1.
    if trust.version < remembered.trust_version:
        raise NotVerified(f"trust document {trust.version} is older than one seen before", place=TRUST_NAME)
    if now >= trust.expires:
        raise Refused("the trust document has expired", place=TRUST_NAME, remedy="Have the root keys renew it.")
    routes = unseal(reached.routes(), ROUTES, trust, at=now)
    table = routes.value  # 2.
    newer = _check_table(table, trust, pins, remembered, now)
    policy, digest = parse_policy(reached.policy())  # 3.
    if digest != table.policy or digest not in trust.policies:
        raise NotVerified(
            "the policy is not the one that the route table names and the root keys accept", place=POLICY_NAME
        )
    gone = frozenset({*remembered.revoked, *table.revoked, *reached.revoked()})
    return Believed(
        trust=trust,
        table=table,
        revoked=gone,
        policy=policy,
        policy_digest=digest,
        until=min(
            table.expires,
            trust.expires,
            reached.until,
            _ends(sealed.signers, trust.root_threshold),
            _ends(routes.signers),
        ),
        remembered=msgspec.structs.replace(
            newer, versions=reached.versions, revoked=tuple(sorted(gone)), consents=remembered.consents
        ),
    )


def _ends(signers: tuple[TrustedKey, ...], threshold: int = 1) -> datetime:
    """Return until when enough persons' signatures hold: no lease outlives the keys beneath it.

    During a rotation an old and a new key have signed; what counts is the one that lasts.
    """
    lasts: dict[str, datetime] = {}
    for key in signers:
        lasts[key.owner] = max(key.not_after, lasts.get(key.owner, key.not_after))
    return sorted(lasts.values(), reverse=True)[threshold - 1]


def _check_table(table: RouteTable, trust: Trust, pins: Pins, remembered: Remembered, now: datetime) -> Remembered:
    """Check a table that the registry has signed, and return what must be remembered of it."""
    if (table.workspace, table.environment) != (trust.workspace, pins.environment):
        raise NotVerified("the route table is for another workspace or environment", place=ROUTES_NAME)
    content = digest_json(msgspec.structs.replace(table, issued=_NEVER, expires=_NEVER))
    if table.epoch < remembered.epoch:
        raise NotVerified(
            f"route table {table.epoch} is replayed: {remembered.epoch} was seen before", place=ROUTES_NAME
        )
    if table.epoch == remembered.epoch:  # the same table with a new lease is a renewal; anything else is a second story
        if content != remembered.content:
            raise NotVerified(f"a second route table says it is number {table.epoch}", place=ROUTES_NAME)
        if remembered.issued is not None and table.issued < remembered.issued:
            raise NotVerified("an older lease is replayed", place=ROUTES_NAME)
    check_placed(table.regions, {"this gateway": pins.region})
    if table.issued > now + CLOCK_SKEW:
        raise NotVerified("the route table is from the future", place=ROUTES_NAME, remedy="Set this machine's clock.")
    for route in table.models:
        _check_route(route)
    if len({route.name for route in table.models}) != len(table.models):
        raise NotVerified("the route table routes one model twice", place=ROUTES_NAME)
    if now >= table.expires:
        raise Refused("the lease is over", place=ROUTES_NAME, remedy="Have the control plane renew it.")
    return Remembered(trust_version=trust.version, epoch=table.epoch, content=content, issued=table.issued)


def _check_route(route: ModelRoute) -> None:
    """Check that a route can be followed: a plain name, a share that is one, a candidate with its passport."""
    whole = (route.candidate is None) == (route.candidate_passport is None)
    shares = 0 <= route.candidate_share <= 1 and 0 <= route.mirrored <= 1
    silent = route.plan not in SILENT or route.candidate_share == 0  # a shadow that answers is none
    split = route.plan in PLANS and SALT.fullmatch(route.salt) is not None
    if MODEL_NAME.fullmatch(route.name) is None or not (shares and silent and split and whole):
        raise NotVerified("the route table holds a route that cannot be followed", place=ROUTES_NAME)


ALIKE: Final = (2, 3, 5, 8, 16)  # rows of the groups in which a model is compared with itself
ALIKE_S: Final = 0.02  # for the rows of the largest alone: of a model that takes longer, grouping saves nobody anything
_NEVER: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A release's bytes, each read once and verified: what is loaded is what was checked."""

    digest: Digest
    permit: Permit
    consent: datetime | None  # when a person last said that it may answer
    signature: Signature
    profile: TrainingProfile
    model: bytes
    model_digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A release as a route names it."""

    model: str
    release: str
    passport: str


def unpack(published: Published, pins: Pins, believed: Believed, named: Named, now: datetime) -> Package:
    """Return a release that may be served, verified (steps 4 and 5).

    Raises:
        PolicyDenied: `decide` does not permit it, with every reason.
        NotVerified: Its passport or its bytes do not check out, it or something it derives from is revoked, or it is
            older than what answered before it and nobody has recorded a rollback.
    """
    release, passport = named.release, named.passport
    digest = _digest(release)
    document = _verified(published, _digest(passport), MAX_PASSPORT)  # 4.
    dossier = open_passport(parse_passport(document), believed.trust, origin=pins.origin)
    if dossier.subject != digest or dossier.nodes[digest].kind is not Kind.RELEASE:
        raise NotVerified("the passport is about something else than the release", place=release)
    gone = sorted(believed.revoked & {*dossier.nodes, passport})
    if gone:
        raise NotVerified("the release, or something it derives from, is revoked", place=gone[0])
    permit = _permit(believed, dossier, now)
    given = check_consent(dossier, believed.remembered.consents.get(named.model), now)
    files = parse_manifest(_verified(published, digest, MAX_MANIFEST))  # 5.
    _check_model(files, dossier)
    model, profile, signature = (_file(published, files, name) for name in MODEL_FILES)
    found = Package(
        digest=digest,
        permit=permit,
        consent=given,
        signature=_decoded(signature, Signature, release),
        profile=_decoded(profile, TrainingProfile, release),
        model=model,
        model_digest=digest_bytes(model),
    )
    _check_package(found)
    return found


def _permit(believed: Believed, dossier: Dossier, now: datetime) -> Permit:
    table = believed.table
    request = Request(action=Action.SERVE, environment=table.environment, now=now, nonce=f"epoch {table.epoch}")
    match decide(believed.policy, believed.policy_digest, dossier, request):
        case Permit() as permit:
            permit.covers(subject=dossier.subject, action=Action.SERVE, environment=table.environment, now=now)
            return permit
        case Denial() as denial:
            reasons = tuple(str(reason) for reason in denial.reasons)
            raise PolicyDenied("the policy does not permit serving this release", reasons=reasons, place=denial.subject)


def _check_model(files: Manifest, dossier: Dossier) -> None:
    """Check that the release holds the model that was measured, not another one beside its evidence.

    A MODEL artifact is the folder of `MODEL_FILES`; made anew from the release's own files it must have the digest of a
    MODEL that the release derives from.
    """
    inside = manifest(files.file(name) for name in MODEL_FILES).digest
    if (Kind.MODEL, inside) not in dossier.nodes[dossier.subject].parents:
        raise NotVerified("the release holds another model than the one its evidence is about", place=dossier.subject)


def _file(published: Published, files: Manifest, name: str) -> bytes:
    entry = files.file(name)
    data = _verified(published, _digest(entry.digest), MAX_FILE)
    if len(data) != entry.size:
        raise NotVerified("a file does not have the size in its manifest", place=entry.digest)
    return data


def _verified(published: Published, digest: Digest, limit: int) -> bytes:
    """Return a blob's bytes if they have its digest, whatever the folder's own store has checked."""
    data = published.blob(digest, limit)
    if digest_bytes(data) != digest:
        raise NotVerified("a file was changed after it was signed", place=digest)
    return data


def _digest(text: str) -> Digest:
    try:
        return parse_digest(text)
    except InvalidInput as error:
        raise NotVerified(error.message, place=ROUTES_NAME) from error


def _decoded(document: bytes, kind: type[Any], place: str) -> Any:
    try:
        return msgspec.json.decode(document, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:  # ValueError: a profile that no training can have left
        raise NotVerified(f"a release's {kind.__name__} cannot be read: {error}", place=place) from error


def _check_package(package: Package) -> None:
    names = [field.name for field in package.signature.inputs]
    if not names or len(set(names)) != len(names) or len(package.signature.classes) < 2:  # noqa: PLR2004 - one class decides nothing
        raise NotVerified("the signature has no inputs, one of them twice, or one class", place=package.digest)
    if package.signature.positive not in {"", *package.signature.classes}:
        raise NotVerified("the signature's positive class is none of its classes", place=package.digest)
    if not texts_fit(package.signature):
        raise NotVerified("the signature's texts are not where its inputs are", place=package.digest)
    if any(text.unicode != UNICODE for text in texts_of(package.signature)):
        raise NotVerified(
            "letters are folded otherwise here than in training",
            place=package.digest,
            expected=f"Unicode {UNICODE}",
            remedy="Serve it with the Python that it was trained with, or train it again.",
        )
    if not set(names) <= package.profile.inputs.keys():
        raise NotVerified("the profile lacks an input of the signature", place=package.digest)


def warm(runtime: Runtime, package: Package) -> Model:
    """Return the model in a package's bytes once it has answered a call (step 6).

    Raises:
        NotVerified: The bytes are no such model, or it does not answer as its signature promises.
    """
    features, classes = len(package.signature.inputs), len(package.signature.classes)
    model = runtime.load(package.model, features=features, classes=classes)
    middles = [_middle(field.minimum, field.maximum) for field in package.signature.inputs]
    rows = np.array([middles, middles], dtype=np.float32)
    labels, probabilities = model.run(rows)
    if not sane(labels, probabilities, rows=len(rows), classes=classes):
        raise NotVerified("the model does not answer as its signature promises", place=package.digest)
    return model


def steady(model: Model, signature: Signature, monotonic: Callable[[], float]) -> bool:
    """Say whether a model answers rows the same, to the bit, alone and together with others.

    Trees do: each adds up its own leaves. Of a product of matrices the library may add up the terms in another order
    where there are more rows; then nobody's answer shall depend on who else asks at the same moment. Looked at on rows
    from all over the declared ranges, alone and in groups of several sizes.
    """
    generator = np.random.default_rng(0)
    bounds = [_bounds(field.minimum, field.maximum) for field in signature.inputs]
    low, high = (np.array(each) for each in zip(*bounds, strict=True))
    rows = generator.uniform(low, high, size=(ALIKE[-1], len(bounds))).astype(np.float32)
    begun = monotonic()
    try:
        alone = _answers(model, rows, 1)
        return monotonic() - begun < ALIKE_S and all(_answers(model, rows, size) == alone for size in ALIKE)
    except Exception:  # noqa: BLE001 - a model may fail on rows that nobody has sent; then it is asked one by one
        return False


def _answers(model: Model, rows: NDArray[np.float32], size: int) -> tuple[bytes, bytes]:
    """Return the bytes of what a model says of rows, asked about so many at a time."""
    found = [model.run(rows[begin : begin + size]) for begin in range(0, len(rows), size)]
    labels, probabilities = zip(*found, strict=True)
    return np.concatenate(labels).tobytes(), np.concatenate(probabilities).tobytes()


def _bounds(low: float | None, high: float | None) -> tuple[float, float]:
    """Return a range to take values from: the declared one, at most some thousands wide."""
    middle = _middle(low, high)
    width = 1000.0
    bottom = max(middle - width, low) if low is not None else middle - width
    top = min(middle + width, high) if high is not None else middle + width
    return bottom, top


def _middle(low: float | None, high: float | None) -> float:
    """Return a value inside a declared range."""
    if low is not None and high is not None:
        return low / 2 + high / 2
    known = low if low is not None else high
    return known if known is not None and math.isfinite(known) else 0.0
