"""Seals: DSSE envelopes over in-toto Statements v1, and the only door from bytes to `Verified`.

Decides whether bytes may be believed, and by whose word: `unseal` checks signatures, derives the role that must have
signed from the predicate itself, and builds the trusted type. Nothing else can.
"""

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import InitVar, dataclass
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec

from holdfast.core import intoto
from holdfast.core.advisories import Snapshot
from holdfast.core.artifact import (
    Digest,
    Kind,
    Moment,
    canonical,
    digest_bytes,
    from_base64,
    is_canonical,
    parse_digest,
)
from holdfast.core.batch import Manifest as BatchManifest
from holdfast.core.dsse import PAYLOAD_TYPE, STATEMENT_TYPE, SigningKey, pae
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.evidence import Evidence, check_evidence
from holdfast.core.outliers import Decision
from holdfast.core.routes import RouteTable
from holdfast.core.trust import ROLES, Trust, TrustedKey, check_signature
from holdfast.core.versions import Commit

T = TypeVar("T")

MAX_ENVELOPE: Final = 8 << 20  # bytes; the largest honest one, evidence of 1000 findings, is below 1 MiB
MAX_SIGNATURES: Final = 16


class Authorization(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person's word: who allows what on which subject, in which role, until when.

    Approvals, waivers, rollbacks and grants are all of this one kind.
    """

    person: str
    role: str
    action: Literal["approve", "reject", "waive", "rollback", "grant", "revoke"]
    subject: str
    rule: str = ""
    until: Moment
    reason: str
    issued: Moment | None = None  # when the person said so: of two words on two releases, the later one wins


class Restoration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person's word that a workspace was put back to an earlier state, and what was lost by it."""

    person: str
    workspace: str
    kept: int  # entries of the ledger that the backup holds
    root: str  # of the tree over these, hex
    lost: int  # entries that a newer checkpoint witnessed and that are gone; 0 where none is known
    reason: str
    ahead: int = 0  # epochs that are left out: as many as gateways may have obeyed since, of tables that are gone


class Telemetry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A gateway's summary of one window of traffic for one release; see `holdfast.watch` for its body."""

    gateway: str
    release: str
    sequence: int
    previous: str
    start: Moment
    end: Moment
    body: dict[str, Any]


class Subject(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a statement is about (in-toto ResourceDescriptor)."""

    name: str
    digest: dict[str, str]


class Statement(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    rename={"type_": "_type", "predicate_type": "predicateType"},
):
    """An in-toto Statement v1, read more strictly than in-toto asks: we wrote it, so an unknown field is foreign."""

    type_: str
    subject: tuple[Subject, ...]
    predicate_type: str
    predicate: msgspec.Raw


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One signature of an envelope."""

    keyid: str
    sig: str


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """A DSSE envelope."""

    payload: str
    payload_type: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate(Generic[T]):
    """A kind of statement: its URI, its type, and the role that alone may sign it."""

    uri: str
    type: type[T]
    role: Callable[[T], str]
    about: Callable[[T], str | None]  # the digest that the statement's subject must be; None: its own document
    kind: Callable[[T], Kind | None]


EVIDENCE: Final = Predicate(
    uri="https://holdfast.dev/evidence/v1",
    type=Evidence,
    role=lambda evidence: evidence.stage,
    about=lambda evidence: evidence.subject,
    kind=lambda evidence: evidence.kind,
)
AUTHORIZATION: Final = Predicate(
    uri="https://holdfast.dev/authorization/v1",
    type=Authorization,
    role=lambda _: "person",
    about=lambda authorization: authorization.subject,
    kind=lambda _: Kind.RELEASE,
)
ROUTES: Final = Predicate(
    uri="https://holdfast.dev/routes/v1",
    type=RouteTable,
    role=lambda _: "registry",
    about=lambda _: None,
    kind=lambda _: Kind.ROUTES,
)
TRUST: Final = Predicate(
    uri="https://holdfast.dev/trust/v1", type=Trust, role=lambda _: "root", about=lambda _: None, kind=lambda _: None
)
TELEMETRY: Final = Predicate(
    uri="https://holdfast.dev/telemetry/v1",
    type=Telemetry,
    role=lambda _: "gateway",
    about=lambda _: None,
    kind=lambda _: Kind.TELEMETRY,
)
RESTORATION: Final = Predicate(
    uri="https://holdfast.dev/restoration/v1",
    type=Restoration,
    role=lambda _: "person",
    about=lambda _: None,
    kind=lambda _: None,
)
ADVISORIES: Final = Predicate(
    uri="https://holdfast.dev/advisories/v1",
    type=Snapshot,
    role=lambda _: "ingest",  # whoever takes in what comes from outside
    about=lambda snapshot: snapshot.digest,
    kind=lambda _: None,
)
BATCH: Final = Predicate(
    uri="https://holdfast.dev/batch/v1",
    type=BatchManifest,
    role=lambda _: "gateway",  # whose key says what its model answered, and nothing else
    about=lambda _: None,
    kind=lambda _: None,
)
COMMIT: Final = Predicate(
    uri="https://holdfast.dev/dataset-commit/v1",
    type=Commit,
    role=lambda _: "ingest",  # whoever makes data sets says which version follows which
    about=lambda commit: commit.dataset,
    kind=lambda _: Kind.DATASET,
)
OUTLIER: Final = Predicate(
    uri="https://holdfast.dev/outlier-decision/v1",
    type=Decision,
    role=lambda _: "ingest",  # whoever makes data sets says whose word was taken in about a value of theirs
    about=lambda decision: decision.dataset,
    kind=lambda _: Kind.DATASET,
)
PREDICATES: Final = (EVIDENCE, AUTHORIZATION, ROUTES, TRUST, TELEMETRY, RESTORATION, ADVISORIES, BATCH, COMMIT, OUTLIER)

_MAKER: Final = object()


@dataclass(frozen=True, slots=True)
class Verified(Generic[T]):
    """A value that came through `unseal`: believed, and known by whose word. Nothing else can make one.

    The maker's token is not kept, so that nobody can read it off one value, or `replace` it into another.
    """

    value: T
    signers: tuple[TrustedKey, ...]
    envelope: Digest
    maker: InitVar[object]

    def __post_init__(self, maker: object) -> None:
        """Refuse every maker but `unseal`."""
        if maker is not _MAKER:
            raise NotVerified("only unseal() makes verified values", place=type(self.value).__name__)


def seal(value: Any, predicate: Predicate[Any], signers: Sequence[SigningKey], *, name: str = "artifact") -> bytes:
    """Return the envelope in which the signers say `value`, as canonical JSON.

    Raises:
        InvalidInput: There is no signer, or nobody could unseal the statement: it is malformed, or its role may not
            speak about this kind of artifact.
    """
    if not signers:  # empty means no
        raise InvalidInput("a seal without signer", expected="at least one key")
    kind, role = predicate.kind(value), predicate.role(value)
    if kind is not None and kind not in ROLES.get(role, ()):
        raise InvalidInput(f"the role {role} may not speak about a {kind}", expected=f"one of {ROLES.get(role, ())}")
    about = _about(predicate, value, canonical(value))
    payload = intoto.statement([(name, about)], predicate.uri, value)
    try:  # an unreadable statement, once on record, would spoil its subject's passport for ever
        _parse(payload, predicate, "seal")
    except NotVerified as error:
        raise InvalidInput(error.message, expected=f"a readable {predicate.type.__name__}") from error
    return seal_payload(payload, signers)


def seal_payload(payload: bytes, signers: Sequence[SigningKey]) -> bytes:
    """Return the DSSE envelope of an in-toto payload that somebody else composed."""
    message = pae(PAYLOAD_TYPE, payload)
    return joined(
        payload, [Signature(keyid=key.keyid, sig=base64.b64encode(key.sign(message)).decode()) for key in signers]
    )


def joined(payload: bytes, signatures: Iterable[Signature]) -> bytes:
    """Return the DSSE envelope of a payload and signatures over it, wherever those were made."""
    encoded = base64.b64encode(payload).decode()
    return canonical({"payload": encoded, "payloadType": PAYLOAD_TYPE, "signatures": list(signatures)})


def open_envelope(document: bytes) -> tuple[bytes, tuple[Signature, ...]]:
    """Return payload and signatures of a DSSE envelope, nothing believed yet.

    Raises:
        NotVerified: It is not an envelope of an in-toto statement in canonical form, or it is too large.
    """
    if len(document) > MAX_ENVELOPE:
        raise NotVerified(f"an envelope of {len(document)} bytes", expected=f"at most {MAX_ENVELOPE}")
    try:
        envelope = msgspec.json.decode(document, type=Envelope)
        payload = from_base64(envelope.payload)
        plain = canonical(envelope) == document
    except (ValueError, RecursionError, InvalidInput) as error:  # ValueError: not UTF-8, not JSON, not an envelope
        raise NotVerified(f"this is not a DSSE envelope: {error}") from error
    if not plain:  # another spelling, or a name given twice: two readers could see two things in it
        raise NotVerified("the envelope is not in canonical form", expected="RFC 8785, as `seal` writes it")
    if envelope.payload_type != PAYLOAD_TYPE:
        raise NotVerified(f"the payload type is {envelope.payload_type[:80]!r}", expected=PAYLOAD_TYPE)
    if not 0 < len(envelope.signatures) <= MAX_SIGNATURES:
        raise NotVerified(f"{len(envelope.signatures)} signatures", expected=f"1 to {MAX_SIGNATURES}")
    return payload, envelope.signatures


def claimed(document: bytes, predicate: Predicate[T]) -> T:
    """Return what an envelope claims, with nothing believed: for whoever is asked to sign it, or to look it up.

    Raises:
        NotVerified: It is not an envelope of a readable statement of this kind.
    """
    payload, _ = open_envelope(document)
    return _parse(payload, predicate, f"envelope {digest_bytes(document)[:23]}")[1]


def parse_statement(payload: bytes, predicate: Predicate[T]) -> T:
    """Return what a statement says, with nothing believed: for whoever is asked to sign it.

    Raises:
        NotVerified: It is not a readable statement of this kind, or is about something else than its predicate.
    """
    statement, value = _parse(payload, predicate, "statement")
    _check_about(statement, predicate, value, "statement")
    return value


def predicate_type(payload: bytes) -> str:
    """Return the type of predicate that an in-toto statement claims.

    Raises:
        NotVerified: It is not a statement.
    """
    try:
        return msgspec.json.decode(payload, type=Statement).predicate_type
    except (ValueError, RecursionError) as error:
        raise NotVerified(f"this is not an in-toto statement: {error}") from error


def unseal(document: bytes, predicate: Predicate[T], trust: Trust, *, at: datetime, threshold: int = 1) -> Verified[T]:
    """Return what an envelope says, if it may be believed.

    1. Parse the envelope, within limits.
    2. Verify signatures over the received payload bytes, with trusted, unrevoked keys whose window holds `at`, a
       witnessed time.
    3. Only then parse the statement.
    4. Derive from the predicate the role that may say this, and drop signers of other roles.
    5. Demand `threshold` distinct owners.
    6. Check that the role may speak about this kind of artifact, and that the statement's subject is the predicate's.

    Raises:
        NotVerified: Any step fails.
    """
    payload, signatures = open_envelope(document)  # 1.
    place = f"envelope {digest_bytes(document)[:23]}"
    signers = _valid_signers(payload, signatures, trust, at)  # 2.
    if not signers:
        raise NotVerified("no trusted key has signed this", place=place)
    statement, value = _parse(payload, predicate, place)  # 3.
    role = predicate.role(value)  # 4.
    entitled = tuple(key for key in signers if key.role == role)
    if role not in ROLES or len({key.owner for key in entitled}) < max(threshold, 1):  # 5.
        found = ", ".join(sorted({key.role for key in signers}))
        raise NotVerified(f"signed as {found}", place=place, expected=f"{max(threshold, 1)} signer(s) of role {role}")
    kind = predicate.kind(value)  # 6.
    if kind is not None and kind not in ROLES[role]:
        raise NotVerified(f"the role {role} may not speak about a {kind}", place=place)
    if isinstance(value, Authorization) and not all(key.owner == value.person for key in entitled):
        raise NotVerified(f"{value.person} did not sign this authorization", place=place)
    _check_about(statement, predicate, value, place)
    return Verified(value, entitled, digest_bytes(document), _MAKER)


def _valid_signers(
    payload: bytes, signatures: Sequence[Signature], trust: Trust, at: datetime
) -> tuple[TrustedKey, ...]:
    message, signers = pae(PAYLOAD_TYPE, payload), dict[str, TrustedKey]()
    for signature in signatures:
        key = trust.key(signature.keyid)
        if key is None or not key.not_before <= at < key.not_after:
            continue  # a stranger's signature proves nothing and breaks nothing
        try:
            check_signature(key, message, from_base64(signature.sig))
        except (NotVerified, InvalidInput):
            continue  # the same: the threshold counts only what verifies
        signers[key.keyid] = key
    return tuple(signers.values())


def _check_about(statement: Statement, predicate: Predicate[T], value: T, place: str) -> None:
    try:
        about = _about(predicate, value, bytes(statement.predicate))
    except InvalidInput as error:
        raise NotVerified(error.message, place=place, expected=error.expected) from error
    if [subject.digest for subject in statement.subject] != [{"sha256": about.removeprefix("sha256:")}]:
        raise NotVerified("the statement is about something else than its predicate", place=place)


def _about(predicate: Predicate[T], value: T, document: bytes) -> Digest:
    """Return the digest a statement must be about: what its predicate names, or else the predicate's own document."""
    named = predicate.about(value)
    return digest_bytes(document) if named is None else parse_digest(named)


def _parse(payload: bytes, predicate: Predicate[T], place: str) -> tuple[Statement, T]:
    try:
        statement = msgspec.json.decode(payload, type=Statement)
        if statement.type_ != STATEMENT_TYPE or statement.predicate_type != predicate.uri:
            raise NotVerified(
                f"a statement of type {statement.predicate_type[:80]!r}", place=place, expected=predicate.uri
            )
        # A name given twice would mean two things. Every number is read as RFC 8785 reads it, as a double.
        if not is_canonical(payload):
            raise NotVerified("the statement is not in canonical form", place=place)
        value = msgspec.json.decode(statement.predicate, type=predicate.type)
        if isinstance(value, Evidence):
            check_evidence(value)
    except (ValueError, RecursionError, InvalidInput) as error:  # ValueError: not UTF-8, not JSON, of another shape
        raise NotVerified(f"the statement cannot be read: {error}", place=place) from error
    return statement, value
