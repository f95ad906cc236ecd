"""Sign-on elsewhere: by browser, by a device's code, and by a workload's own token (ACC-06).

1. Whoever signs on proves it to a provider that an administrator has accepted. 2. The provider's ID token is verified.
3. Its subject is linked to an account by a keyed hash, and its groups give those of ours that it may give. 4. A session
or one token of fifteen minutes follows. Each proof counts once.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec

from holdfast.core import tokens
from holdfast.core.artifact import canonical
from holdfast.core.errors import Conflict, InvalidInput, NotVerified, Refused, Unavailable
from holdfast.core.identity import Account, check_account
from holdfast.core.oidc import (
    DeviceAnswer,
    Proved,
    Provider,
    TokenAnswer,
    authorization_url,
    groups_of,
    managed_groups,
    read_answer,
    verify_id_token,
    workload_of,
)
from holdfast.lifecycle.access import nobody
from holdfast.lifecycle.identity import change, directory, link_to, seen
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.providers import HTTP_OK, known, provider
from holdfast.lifecycle.reply import Progress, Reply
from holdfast.lifecycle.sessions import SignedOn, keep, mint, open_session

BEGUN_LASTS: Final = timedelta(minutes=10)  # between being sent to a provider and coming back
MAX_COOKIE: Final = 4096  # characters
DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER_S: Final = 5.0  # RFC 8628, 3.5: what `slow_down` adds
_COOKIE: Final = b"holdfast sign-on cookie 1"


class Begun(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A sign-on that a browser was sent away with; it carries this in a cookie that scripts cannot read."""

    provider: str
    state: str
    nonce: str
    verifier: str
    expires: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """What a browser comes back with: the query of the redirect, and the cookie."""

    state: str
    code: str
    cookie: str
    issuer: str = ""  # RFC 9207: whose answer it is


def begin(plant: Plant, name: str = "") -> tuple[str, str]:
    """Return where to send a browser, and the cookie it must bring back (HttpOnly, Secure, SameSite=Lax).

    Raises:
        NotFound: There is no such provider.
        Unavailable: It does not answer.
        InvalidInput: It offers no sign-on by browser.
    """
    described = provider(plant, name)
    begun = Begun(
        provider=described.name,
        state=_random(plant),
        nonce=_random(plant),
        verifier=_random(plant),
        expires=(plant.clock.now() + BEGUN_LASTS).timestamp(),
    )
    found = known(plant, described).discovery
    url = authorization_url(described, found, state=begun.state, nonce=begun.nonce, verifier=begun.verifier)
    return url, _seal(plant, begun)


def finish(plant: Plant, returned: Returned) -> SignedOn:
    """Open a session for whoever comes back from a provider.

    1. The cookie is ours, unexpired, and for this state. 2. The answer is this provider's. 3. The code is exchanged,
    with the verifier that only we know. 4. The ID token is verified with our nonce. 5. The state counts once.

    Raises:
        Unauthenticated: Any step fails; what was wrong is not told.
        Unavailable: The provider does not answer.
    """
    try:
        return _finished(plant, returned)
    except (NotVerified, Refused) as error:
        raise nobody(plant, f"sign-on {returned.issuer}", error) from None


def _finished(plant: Plant, returned: Returned) -> SignedOn:
    begun = _unseal(plant, returned.cookie)  # 1.
    if not hmac.compare_digest(begun.state.encode(), returned.state.encode(errors="replace")):
        raise NotVerified("another sign-on was begun")
    described = provider(plant, begun.provider)
    found = known(plant, described).discovery
    told = returned.issuer or not found.authorization_response_iss_parameter_supported
    if not told or returned.issuer not in {"", described.issuer}:  # 2.
        raise NotVerified("the answer is another provider's")
    fields = {
        "grant_type": "authorization_code",
        "code": returned.code,
        "redirect_uri": described.redirect_uri,
        "client_id": described.client_id,
        "code_verifier": begun.verifier,
    }
    answer = _exchange(plant, found.token_endpoint, fields)  # 3.
    proved = _proved(plant, described, answer, nonce=begun.nonce)  # 4.
    account = person(plant, described, proved)
    return open_session(plant, account, described.name, nonce=f"state:{begun.state}")  # 5.


def login(plant: Plant, *, provider: str = "", session_file: Path) -> Reply:
    """Sign on at a provider by a code that is typed into a browser anywhere, and keep the session in a file.

    Raises:
        Refused: It was declined, or not done in time.
        Unavailable: The provider does not answer, or offers no sign-on by code.
    """
    session = by_device(plant, provider)
    keep(session_file=session_file, secret=session.renewal)
    says = f"Signed on as {session.name}. `holdfast access token --key-file {session_file}` makes tokens of it."
    return Reply(says=says, document={"name": session.name, "session_file": str(session_file)})


def by_device(plant: Plant, name: str = "", *, wait: Callable[[float], None] = time.sleep) -> SignedOn:
    """Open a session by a device's code (RFC 8628).

    Raises:
        Refused: It was declined, or not done in time.
        Unavailable: The provider does not answer, or offers no sign-on by code.
    """
    described = provider(plant, name)
    found = known(plant, described).discovery
    if not found.device_authorization_endpoint:
        raise Unavailable("the provider offers no sign-on by code", place=f"provider {described.name}")
    fields = {"client_id": described.client_id, "scope": " ".join(described.scopes)}
    status, body = plant.web.post(found.device_authorization_endpoint, fields)
    if status != HTTP_OK:
        raise Unavailable(f"the provider answers {status}", place=f"provider {described.name}")
    asked = read_answer(body, DeviceAnswer, "the provider's answer")
    where = asked.verification_uri_complete or asked.verification_uri
    plant.tell(
        Progress(stage="login", state="shown", words=f"Open {_plain(where)} and enter {_plain(asked.user_code)}")
    )
    ends, pause = plant.clock.now() + timedelta(seconds=asked.expires_in), asked.interval
    while plant.clock.now() < ends:
        wait(pause)
        fields = {"grant_type": DEVICE_GRANT, "device_code": asked.device_code, "client_id": described.client_id}
        answer = _exchange(plant, found.token_endpoint, fields)
        match answer.error:
            case "":
                proved = _proved(plant, described, answer, nonce=None)
                account, nonce = person(plant, described, proved), f"device:{_digest(asked.device_code)}"
                return open_session(plant, account, described.name, nonce=nonce)
            case "authorization_pending":
                continue
            case "slow_down":
                pause += SLOWER_S
            case _:
                raise Refused(f"the sign-on was declined: {_plain(answer.error)}", place=f"provider {described.name}")
    raise Refused("the code was not entered in time", place=f"provider {described.name}", remedy="Sign on again.")


def exchange(plant: Plant, token: str, name: str = "") -> tuple[str, tokens.Claims]:
    """Return a token of ours for a workload's own token, as a continuous-integration service gives it; it counts once.

    Raises:
        Unauthenticated: It proves no service account of ours; what was wrong is not told.
        Unavailable: The provider does not answer.
    """
    described = provider(plant, name)
    try:
        subject = tokens.Subject(name=_workload(plant, described, token), session=f"workload:{_digest(token)[:24]}")
        return mint(plant, subject, nonce=f"workload:{_digest(token)}")
    except (NotVerified, Refused) as error:
        raise nobody(plant, f"workload at {described.name}", error) from None


def _workload(plant: Plant, described: Provider, token: str) -> str:
    if described.sort != "workloads":
        raise NotVerified("the provider does not speak for workloads")
    proved = verify_id_token(token, known(plant, described, token).keys, described, now=plant.clock.now())
    account = directory(plant).known(workload_of(described, proved) or "")
    if account is None or account.sort != "service":
        raise NotVerified("no service account fits the token")
    return account.name


def person(plant: Plant, described: Provider, proved: Proved) -> Account:
    """Return the account of whoever a provider has proved, with the groups that the provider gives today.

    A subject seen for the first time gets an account of its own; a name that is taken is not taken over.

    Raises:
        NotVerified: The provider speaks for workloads only.
        Refused: The account is disabled, or the person is in no group that is mapped.
        Conflict: The account's name is somebody else's.
    """
    if described.sort != "people":
        raise NotVerified("the provider does not speak for people")
    expect, found = seen(plant), directory(plant)
    linked = _link(plant, proved)
    name = found.links.get(("oidc", linked), "")
    given = groups_of(described, proved)
    if not name:
        if not given:
            raise Refused("this person is in no group that is mapped here", place=f"provider {described.name}")
        name = _name(described, proved, linked)
        if name in found.accounts:
            raise Conflict(f"the account {name} is somebody else's", place=f"provider {described.name}")
        check_account(name, given)
        change(plant, expect, "identity.added", {"name": name, "sort": "user", "groups": list(given)}, actor=name)
        link_to(plant, name, "oidc", linked)
    account = directory(plant).known(name)
    if account is None:
        raise Refused("this account is disabled", place=name)
    kept = tuple(group for group in account.groups if group not in managed_groups(described))
    wanted = check_account(name, (*kept, *given))
    if wanted != account.groups:
        change(plant, seen(plant), "identity.regrouped", {"name": name, "groups": list(wanted)}, actor=described.name)
        account = msgspec.structs.replace(account, groups=wanted)
    if not wanted:
        raise Refused("this person is in no group that is mapped here", place=name)
    return account


def _name(described: Provider, proved: Proved, linked: str) -> str:
    """Return the name of a new account: as the provider says where it was asked to, else one that tells nothing."""
    if not described.name_claim:
        return f"u-{linked[:12]}"
    name = proved.claims.get(described.name_claim)
    try:
        check_account(str(name), ())
    except InvalidInput as error:
        raise NotVerified(f"the claim {described.name_claim} cannot name an account") from error
    return str(name)


def _link(plant: Plant, proved: Proved) -> str:
    """Return the keyed hash of issuer and subject: it links, and tells nobody who it was."""
    message = canonical({"issuer": proved.issuer, "subject": proved.subject})
    return hmac.new(plant.credential_key(), message, hashlib.sha256).hexdigest()


def _proved(plant: Plant, described: Provider, answer: TokenAnswer, *, nonce: str | None) -> Proved:
    if answer.error or not answer.id_token:
        raise NotVerified("the provider gave no ID token")
    keys = known(plant, described, answer.id_token).keys
    return verify_id_token(
        answer.id_token, keys, described, now=plant.clock.now(), nonce=nonce, access_token=answer.access_token
    )


def _exchange(plant: Plant, endpoint: str, fields: dict[str, str]) -> TokenAnswer:
    status, body = plant.web.post(endpoint, fields)
    answer = read_answer(body, TokenAnswer, "the provider's answer")
    if status != HTTP_OK and not answer.error:
        raise Unavailable(f"the provider answers {status}", place="token endpoint")
    return answer


def _seal(plant: Plant, begun: Begun) -> str:
    body = base64.urlsafe_b64encode(msgspec.json.encode(begun)).decode()
    return f"{body}.{_tag(plant, body)}"


def _unseal(plant: Plant, cookie: str) -> Begun:
    body, _, tag = cookie.partition(".")
    if len(cookie) > MAX_COOKIE or not cookie.isascii() or not hmac.compare_digest(tag, _tag(plant, body)):
        raise NotVerified("the cookie is not ours")
    begun = msgspec.convert(json.loads(base64.urlsafe_b64decode(body)), Begun)
    if plant.clock.now().timestamp() >= begun.expires:
        raise NotVerified("the sign-on took too long")
    return begun


def _tag(plant: Plant, body: str) -> str:
    key = hmac.new(plant.credential_key(), _COOKIE, hashlib.sha256).digest()
    return hmac.new(key, body.encode(), hashlib.sha256).hexdigest()


def _random(plant: Plant) -> str:
    return base64.urlsafe_b64encode(plant.entropy.token(32)).rstrip(b"=").decode()  # RFC 7636, 4.1: 43 characters


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(text: str) -> str:
    """Return a provider's words as one line that cannot play with a terminal."""
    return "".join(char for char in text[:400] if char.isprintable())
