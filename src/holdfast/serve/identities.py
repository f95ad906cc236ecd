"""Callers that show no API key: by a token of the control plane, or by the certificate of a workload.

A token is believed by the trust document that the gateway serves under; a certificate by the authorities of the trust
domain that the route table names. Both are verified once and remembered by their digests, for as long as they hold: a
signature costs a hundred times what a look-up does. What may be called, the route table's identities say. An account
that is disabled, or a key that has ended, is left out of the next table, and so is what was made from it.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from holdfast.core import tokens
from holdfast.core.artifact import from_base64
from holdfast.core.errors import HoldfastError, InvalidInput
from holdfast.core.guard import Call
from holdfast.core.routes import CERTIFICATE, TOKEN, Credential, Identity, TrustDomain
from holdfast.core.trust import Trust

REMEMBERED: Final = 4096  # tokens and certificates at once: some 2 MiB; more, and all are verified anew
INVOKE: Final = "endpoint.invoke"  # the action that a token's scope must name, where it names any
TERMINATOR_SKEW_S: Final = 30.0  # between a terminator's clock and ours, with the time a request takes between the two
SCHEME: Final = "holdfast-terminator-v1"
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_SAID: Final = re.compile(r"t=([0-9]{1,12}),s=([0-9a-f]{64})")
_CLIENT_CERT: Final = re.compile(r":([A-Za-z0-9+/=]{1,24000}):")  # RFC 9440, 2.1: a byte sequence (RFC 8941, 3.3.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proved:
    """What a certificate or a token has proved, and until when it does."""

    name: str
    session: str
    begins: float
    ends: float


@dataclass(slots=True, kw_only=True)
class Identities:
    """The identities of one route table, with what proves them."""

    trust: Trust | None = None  # whose `tokens` keys are believed; none: no token is
    issuer: str = ""
    domain: TrustDomain | None = None
    ended: frozenset[str] = frozenset()  # what tokens were made from and no longer stands
    terminator_key: bytes = field(
        default=b"", repr=False
    )  # shared with a TLS terminator whose word about certificates is taken
    by_token: Mapping[str, Credential] = field(default_factory=dict)
    by_certificate: Mapping[str, Credential] = field(default_factory=dict)
    _proved: dict[bytes, _Proved] = field(default_factory=dict)

    def of_token(self, token: str, now: datetime) -> Credential | None:
        """Return what the table says of whom a token proves now, if it names them."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        moment = now.timestamp()
        proved = self._proved.get(digest)
        if proved is None:
            proved = self._read(token, now)
            if proved is None:
                return None
            self._remember(digest, proved)
        if not proved.begins <= moment < proved.ends or proved.session in self.ended:
            return None
        return self.by_token.get(proved.name)

    def of_certificate(self, certificate: bytes, now: datetime) -> Credential | None:
        """Return what the table says of whom a certificate proves now, if it names them.

        Args:
            certificate: DER, of which somebody has proved that the caller holds the key.
            now: The present moment.
        """
        digest = hashlib.sha256(certificate).digest()
        moment = now.timestamp()
        proved = self._proved.get(digest)
        if proved is None:
            proved = self._named(certificate, now)
            if proved is None:
                return None
            self._remember(digest, proved)
        if not proved.begins <= moment < proved.ends:
            return None
        return self.by_certificate.get(proved.name)

    def vouched(self, call: Call, now: datetime) -> bytes:
        """Return the certificate that the terminator in front vouches for, DER, or b"" where there is none."""
        return terminated(call.headers, self.terminator_key, method=call.method, path=call.path, now=now)

    def _remember(self, digest: bytes, proved: _Proved) -> None:
        if len(self._proved) >= REMEMBERED:  # only what verified gets in, so this is no way to slow others down
            self._proved.clear()
        self._proved[digest] = proved

    def _read(self, token: str, now: datetime) -> _Proved | None:
        if self.trust is None:
            return None
        try:
            claims = tokens.verify(token, self.trust, issuer=self.issuer, now=now)
        except HoldfastError:
            return None
        scope = tokens.scope_of(claims)
        if scope is not None and INVOKE not in scope:
            return None
        begins = claims.nbf - tokens.SKEW.total_seconds()
        return _Proved(name=claims.sub, session=claims.sid, begins=begins, ends=float(claims.exp))

    def _named(self, certificate: bytes, now: datetime) -> _Proved | None:
        if self.domain is None:
            return None
        from cryptography import x509  # takes a while to load, and most gateways never see a certificate

        from holdfast.core.spiffe import spiffe_id

        try:
            bundle = [from_base64(authority) for authority in self.domain.authorities]
            name = spiffe_id(certificate, bundle, domain=self.domain.name, now=now)
            leaf = x509.load_der_x509_certificate(certificate)
        except (HoldfastError, ValueError):
            return None
        begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        return _Proved(name=name, session="", begins=begins.timestamp(), ends=ends.timestamp())


def by_proof(identities: Iterable[Identity]) -> dict[str, dict[str, Credential]]:
    """Return what a table says of its identities, by how they are proved and by the name that is proved."""
    found: dict[str, dict[str, Credential]] = {TOKEN: {}, CERTIFICATE: {}}
    for each in identities:
        credential = Credential(
            id=each.id, hash="", models=each.models, expires=each.expires or _NEVER, operations=each.operations
        )
        if each.name in found[each.by]:
            raise InvalidInput("two identities share a name", place=f"identity {each.id!r}")
        found[each.by][each.name] = credential
    return found


def terminated(headers: Mapping[str, str], key: bytes, *, method: str, path: str, now: datetime) -> bytes:
    """Return the client's certificate that a TLS terminator vouches for, DER, or b"" where none does.

    The terminator passes the certificate on as RFC 9440 says, in `Client-Cert`, and signs it: `X-Holdfast-Terminator:
    t=SECONDS,s=HEX`, HMAC-SHA-256 under the key that it shares with the gateway, over five lines: the name of this
    scheme, method, path, the value of `Client-Cert`, and the time. Without the key nobody's word is taken.

    Args:
        headers: Of the request.
        key: Shared with the terminator; empty: there is none.
        method: Of the request.
        path: As the gateway sees it.
        now: The present moment.
    """
    given, said = headers.get("client-cert", ""), _SAID.fullmatch(headers.get("x-holdfast-terminator", ""))
    found = _CLIENT_CERT.fullmatch(given)
    if not key or said is None or found is None:
        return b""
    if abs(now.timestamp() - float(said[1])) > TERMINATOR_SKEW_S:
        return b""
    expected = terminator_signature(key, method=method, path=path, certificate=given, timestamp=said[1])
    if not hmac.compare_digest(expected, said[2]):
        return b""
    try:
        return from_base64(found[1])
    except HoldfastError:
        return b""


def terminator_signature(key: bytes, *, method: str, path: str, certificate: str, timestamp: str) -> str:
    """Return a terminator's signature of the certificate that it passes on, hex.

    >>> terminator_signature(b"k" * 32, method="GET", path="/v2", certificate=":AA==:", timestamp="1789500000")[:16]
    '6e306e6d9a8154f7'
    """
    said = f"{SCHEME}\n{method}\n{path}\n{certificate}\n{timestamp}"
    return hmac.new(key, said.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
