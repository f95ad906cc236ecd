"""Tokens and sessions: fifteen minutes of access, made from an API key, from a session, or from a proof made elsewhere.

A session's secret works once: each renewal gives the next one, and one that comes back a second time was copied, so it
ends the session for whoever holds either.
"""

import hmac
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from holdfast.core import tokens
from holdfast.core.access import Presented, Principal
from holdfast.core.errors import HoldfastError, NotVerified, Refused
from holdfast.core.identity import Account, Session
from holdfast.core.ledger import Draft
from holdfast.lifecycle.access import MAX_CREDENTIAL, authenticate, nobody
from holdfast.lifecycle.identity import SECRET_BYTES, directory
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table
from holdfast.serve.credentials import hash_api_key

SESSION_LASTS: Final = timedelta(hours=12)  # one day's work; after it one signs on again
SESSION_PREFIX: Final = "hfs_"
STREAM: Final = "tokens"
ISSUED: Final = "token.issued"
OPENED: Final = "session.opened"
CLOSED: Final = "session.closed"
MARK: Final = 32  # hexadecimal digits
MAX_SECRET: Final = 192  # characters; ours have 126


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedOn:
    """What whoever has signed on is given: a token now, and the secret that renews it once."""

    name: str
    token: str
    expires: int  # seconds since 1970
    renewal: str


def token(plant: Plant, *, key_file: Path) -> Reply:
    """Make a token of fifteen minutes from the API key, or the session, in a file.

    A session's secret works once, so that the file then holds the next one.

    Raises:
        Unauthenticated: The key or session is not valid.
    """
    text = read_given(key_file, limit=MAX_CREDENTIAL, what="the API key").decode("ascii", "replace").strip()
    if text.startswith(SESSION_PREFIX):
        session = renew(plant, text)
        keep(session_file=key_file, secret=session.renewal)
        document = {"token": session.token, "expires": session.expires, "name": session.name}
        return _shown(document)
    principal = authenticate(plant, Presented(authorization=f"Bearer {text}", peer="this machine"))
    made, claims = token_for(plant, principal)
    document = {"token": made, "expires": claims.exp, "name": principal.name}
    return _shown(document)


def _shown(document: dict[str, Any]) -> Reply:
    table = Table(title="Token", columns=("account", "token"), rows=((document["name"], document["token"]),))
    says = f"A token for {document['name']}; it lasts 15 minutes."
    return Reply(says=says, document=document, tables=(table,))


def keep(*, session_file: Path, secret: str) -> None:
    """Write a session's secret to a file that only its owner may read, instead of what was there."""
    beside = session_file.with_name(f".{session_file.name}.new")
    beside.unlink(missing_ok=True)
    beside.touch(mode=0o600, exist_ok=False)
    beside.write_text(secret + "\n", encoding="ascii")
    beside.replace(session_file)


def token_for(plant: Plant, principal: Principal) -> tuple[str, tokens.Claims]:
    """Return a token for a principal that has shown an API key, and what it says; that it was made is on record.

    Raises:
        Refused: It has shown a token or a certificate: these do not make further tokens.
    """
    if not principal.session.startswith("key:"):
        raise Refused("a token is made from an API key or a session", place=principal.name)
    return mint(plant, tokens.Subject(name=principal.name, session=principal.session, scope=principal.scope))


def mint(plant: Plant, subject: tokens.Subject, *, nonce: str | None = None) -> tuple[str, tokens.Claims]:
    """Return a token, and what it says; that it was made is on record before.

    Raises:
        Refused: The nonce was used before.
        NotFound: The workspace has no key of role `tokens`.
        Unavailable: The keys stay locked.
    """
    signer, jti = plant.keys.signer(tokens.ROLE), plant.entropy.token(16).hex()
    made, claims = tokens.mint(subject, signer, issuer=plant.origin, jti=jti, now=plant.clock.now())
    body = {"name": subject.name, "session": subject.session, "jti": jti, "exp": claims.exp}
    plant.ledger.append([Draft(kind=ISSUED, actor=subject.name, stream=STREAM, body=body)], consume_nonce=nonce)
    return made, claims


def open_session(plant: Plant, account: Account, how: str, *, nonce: str) -> SignedOn:
    """Open a session for somebody who has signed on elsewhere, by a proof that counts once.

    Raises:
        Refused: The proof was used before.
    """
    number, now = plant.entropy.token(12).hex(), plant.clock.now()
    renewal, hashed = _secret(plant, number)
    opened = Session(id=number, name=account.name, how=how, hash=hashed, expires=now + SESSION_LASTS)
    body = {"id": number, "name": account.name, "how": how, "expires": opened.expires.isoformat()}
    plant.ledger.append([Draft(kind=OPENED, actor=account.name, stream=STREAM, body=body)], consume_nonce=nonce)
    plant.sessions.open(opened, now)
    return _signed_on(plant, account.name, number, renewal)


def renew(plant: Plant, secret: str) -> SignedOn:
    """Return a new token, and the next secret, for a session's present secret.

    Raises:
        Unauthenticated: The secret is not the session's present one. If it was an earlier one, the session is closed.
    """
    number = secret.removeprefix(SESSION_PREFIX).partition("_")[0]
    if (
        len(secret) > MAX_SECRET
        or not secret.isascii()
        or not hmac.compare_digest(_mark(plant, secret), secret[-MARK:])
    ):
        raise nobody(plant, "a session", NotVerified("this was never a session's secret"))
    session = plant.sessions.get(number, plant.clock.now())
    if session is None or directory(plant).known(session.name) is None:
        raise nobody(plant, "a session", NotVerified("the session has ended"))
    renewal, hashed = _secret(plant, number)
    if not plant.sessions.renew(number, hash_api_key(plant.credential_key(), secret), hashed):
        end(plant, session, "an earlier secret came back: it was copied")
        raise nobody(plant, "a session", NotVerified("an earlier secret of the session"))
    return _signed_on(plant, session.name, number, renewal)


def end(plant: Plant, session: Session, why: str) -> None:
    """Close a session; its token stops working at once."""
    plant.sessions.close(session.id)
    body = {"id": session.id, "name": session.name, "why": why}
    plant.ledger.append([Draft(kind=CLOSED, actor=session.name, stream=STREAM, body=body)])


def logout(plant: Plant, *, session_file: Path) -> Reply:
    """End the session whose secret is in a file, and remove the file.

    Raises:
        InvalidInput: The file cannot be read.
    """
    text = read_given(session_file, limit=MAX_SECRET + 1, what="the session").decode("ascii", "replace").strip()
    with suppress(HoldfastError):  # one that has ended already is what is wanted
        opened = renew(plant, text)
        number = opened.renewal.removeprefix(SESSION_PREFIX).partition("_")[0]
        session = plant.sessions.get(number, plant.clock.now())
        if session is not None:
            end(plant, session, "signed off")
    session_file.unlink(missing_ok=True)
    return Reply(says="Signed off.", document={"session": ""})


def _secret(plant: Plant, number: str) -> tuple[str, str]:
    """Return a session's next secret and its keyed hash. It bears our mark: an earlier one is told from a guess."""
    begun = f"{SESSION_PREFIX}{number}_{plant.entropy.token(SECRET_BYTES).hex()}"
    secret = begun + _mark(plant, begun + "0" * MARK)
    return secret, hash_api_key(plant.credential_key(), secret)


def _mark(plant: Plant, secret: str) -> str:
    return hash_api_key(plant.credential_key(), f"a session's secret: {secret[:-MARK]}")[:MARK]


def _signed_on(plant: Plant, name: str, number: str, renewal: str) -> SignedOn:
    made, claims = mint(plant, tokens.Subject(name=name, session=f"session:{number}"))
    return SignedOn(name=name, token=made, expires=claims.exp, renewal=renewal)
