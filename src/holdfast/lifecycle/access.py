"""Access: who asks, and whether they may; the one door of whoever lets requests in.

`authenticate` makes a principal of what a request presents, `authorise` decides by the rules in force. Both leave a
trace: a change that is granted and the first denial of a kind are on record before the answer, what repeats within a
second is counted exactly. Where it cannot be put on record, the answer is no.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from holdfast.core import boxed as boxes
from holdfast.core import identity, tokens
from holdfast.core.access import STRICTEST, Denied, Presented, Principal, Resource, Rules, may, parse_resource
from holdfast.core.actions import NAMES
from holdfast.core.errors import HoldfastError, InvalidInput, NotVerified, Refused, Unauthenticated
from holdfast.core.identity import Directory
from holdfast.core.ledger import Draft
from holdfast.core.project import parse_project
from holdfast.lifecycle import access_rules
from holdfast.lifecycle.access_memory import STREAM, Asked
from holdfast.lifecycle.inputs import read_given, read_project_file
from holdfast.lifecycle.plant import Plant
from holdfast.serve.credentials import MAX_API_KEY, PREFIX, hash_api_key

MAX_CREDENTIAL: Final = tokens.MAX_TOKEN + 64  # characters of an Authorization header
MAX_NONCE: Final = 128  # characters of a request's nonce
COUNTED: Final = ("reading", "calling", "asking")  # sorts of action whose grants may be counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """All that a decision rests on, as it is on record now."""

    directory: Directory
    rules: Rules | Denied
    boxes: dict[str, boxes.Box]


def look(plant: Plant) -> Now:
    """Return what decisions rest on; one look at the heads of three streams where nothing has changed.

    Raises:
        NotVerified: An entry cannot be read.
    """
    found = plant.memory.folded(
        plant.ledger,
        {identity.STREAM: identity.fold, boxes.STREAM: boxes.fold, access_rules.STREAM: access_rules.newest},
    )
    rules = access_rules.in_force(plant, found[access_rules.STREAM])
    return Now(directory=found[identity.STREAM], rules=rules, boxes=found[boxes.STREAM])


def authenticate(plant: Plant, presented: Presented) -> Principal:
    """Return whom a request comes from: by an access token, an API key, or the certificate that TLS has verified.

    Raises:
        Unauthenticated: Nothing valid is presented; what was wrong is on record, and not in the message.
    """
    try:
        now = look(plant)
        principal = _known(plant, now.directory, presented)
        if presented.nonce:
            _once(plant, principal, presented.nonce)
    except NotVerified as error:
        raise nobody(plant, presented.peer, error) from None  # the cause would tell which part was wrong
    plant.memory.begin(principal, now)
    return principal


def _once(plant: Plant, principal: Principal, nonce: str) -> None:
    """Spend a request's nonce, for good: the same request a second time comes from somebody who has copied it."""
    if len(nonce) > MAX_NONCE or not nonce.isprintable():
        raise NotVerified("a nonce that is too long, or not printable")
    body = {"principal": principal.name, "session": principal.session}
    draft = Draft(kind="access.once", actor=principal.name, stream=STREAM, body=body)
    try:
        plant.ledger.append([draft], consume_nonce=f"request:{principal.name}:{nonce}")
    except Refused as error:
        raise NotVerified("the request was answered before") from error


def nobody(plant: Plant, peer: str, error: HoldfastError) -> Unauthenticated:
    """Return the one answer to everybody who is not known, after putting on record what was wrong."""
    asked = Asked(
        outcome="unauthenticated",
        principal="",
        sort="",
        session="",
        action="",
        resource=peer[:64],
        why=error.message[:200],
    )
    plant.memory.note(plant.ledger, plant.clock, asked, at_once=False)
    return Unauthenticated("nobody valid has asked")


def _known(plant: Plant, directory: Directory, presented: Presented) -> Principal:
    now = plant.clock.now()
    if not presented.authorization:
        if not presented.certificate:
            raise NotVerified("nothing was presented")
        from holdfast.lifecycle.workloads import by_certificate  # X.509 takes a while to load

        return by_certificate(plant, directory, presented.certificate, now)
    if len(presented.authorization) > MAX_CREDENTIAL or not presented.authorization.isascii():
        raise NotVerified("what was presented is too long, or not ASCII")
    scheme, _, credential = presented.authorization.partition(" ")
    if scheme.lower() != "bearer":  # RFC 9110, 11.1: schemes are case-insensitive
        raise NotVerified("the scheme is not Bearer")
    if credential.startswith(PREFIX):
        return _by_key(plant, directory, credential, now)
    return _by_token(plant, directory, credential, now)


def _by_key(plant: Plant, directory: Directory, credential: str, now: datetime) -> Principal:
    if len(credential) > MAX_API_KEY:
        raise NotVerified("an API key that is too long")
    key = directory.key_of(hash_api_key(plant.credential_key(), credential), now)
    account = directory.known(key.name) if key else None
    if key is None or account is None:
        raise NotVerified("no such API key, or it has ended")
    return identity.principal(account, f"key:{key.id}", key.scope)


def _by_token(plant: Plant, directory: Directory, credential: str, now: datetime) -> Principal:
    claims = tokens.verify(credential, plant.trust, issuer=plant.origin, now=now)
    account = directory.known(claims.sub)
    if account is None:
        raise NotVerified("the token's account does not exist, or is disabled")
    if not _still(plant, directory, claims, now):
        raise NotVerified("what the token was made from has ended")
    return identity.principal(account, claims.sid, tokens.scope_of(claims))


def _still(plant: Plant, directory: Directory, claims: tokens.Claims, now: datetime) -> bool:
    """Say whether what a token was made from still stands: a key, a session, or an identity proved elsewhere."""
    kind, _, name = claims.sid.partition(":")
    match kind:
        case "key":
            return any(
                key.id == name and key.name == claims.sub and now < key.expires for key in directory.keys.values()
            )
        case "session":
            session = plant.sessions.get(name, now)
            return session is not None and session.name == claims.sub
        case "workload":  # proved by another issuer, for this one token
            return True
        case _:
            return False


def authorise(plant: Plant, principal: Principal, action: str, resource: str) -> None:
    """Return if a principal may do this; the grant and the denial are both on record.

    Raises:
        Refused: It may not. The message tells no more than the question did.
        HoldfastError: It cannot be put on record.
    """
    reasons: tuple[str, ...]
    try:
        about = resource_of(plant, resource)
        now: Now = plant.memory.seen(principal) or look(plant)
        answer = decide(now, principal, action, about, plant.clock.now())
        shown, reasons = str(about), answer.reasons if isinstance(answer, Denied) else answer.rules
        allowed = not isinstance(answer, Denied)
    except (InvalidInput, NotVerified) as error:
        shown, reasons, allowed = resource[:80], (error.message[:200],), False
    asked = Asked(
        outcome="granted" if allowed else "denied",
        principal=principal.name,
        sort=principal.sort,
        session=principal.session,
        action=action[:80],
        resource=shown,
        why="; ".join(reasons)[:500],
    )
    at_once = allowed and NAMES[action].sort not in COUNTED
    plant.memory.note(plant.ledger, plant.clock, asked, at_once=at_once)
    if not allowed:
        remedy = "Ask for it with `holdfast access request`, or ask an administrator for a group."
        raise Refused(f"{principal.name} may not {action[:80]}", place=shown, remedy=remedy)


def decide(now: Now, principal: Principal, action: str, resource: Resource, moment: datetime) -> access_rules.Decision:
    """Decide by the rules in force, with what was asked for and approved; nothing is recorded."""
    if isinstance(now.rules, Denied):
        return now.rules
    box = boxes.boxed(now.boxes, principal, action, resource, moment)
    return may(now.rules, principal, action, resource, boxed=box is not None)


def resource_of(plant: Plant, text: str) -> Resource:
    """Return a resource with what is known of it; where nothing is known, the strictest is assumed.

    Raises:
        InvalidInput: It is of no known kind.
    """
    kind, name = parse_resource(text)
    about = Resource(kind=kind, name=name)
    try:
        document = read_project_file(plant.home.project_file)
        project = plant.memory.kept("project", document, lambda: parse_project(document)[0])
    except HoldfastError:  # no project, or a broken one
        return replace(about, sensitivity=STRICTEST)
    return replace(about, owner=project.project.owner, sensitivity=project.risk.sensitivity, environment="production")


def acting(plant: Plant, action: str, resource: str = "", credential: Path | None = None) -> str:
    """Return in whose name a command acts: who asks over the network, whose credential is in a file, or the owner.

    Whoever holds the workspace's files acts as its owner, which `docs/threat-model.md` says under N02.

    Raises:
        Unauthenticated: The credential is not valid.
        Refused: Whoever asks may not do this.
    """
    if credential is not None:
        text = read_given(credential, limit=MAX_CREDENTIAL, what="the credential").decode("ascii", "replace").strip()
        principal = authenticate(plant, Presented(authorization=f"Bearer {text}", peer="this machine"))
        authorise(plant, principal, action, resource)
        return principal.name
    if plant.principal is not None:  # let in for the command as a whole; this is about the very resource
        authorise(plant, plant.principal, action, resource)
        return plant.principal.name
    return plant.person
