"""Who calls, and which models they may call."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import msgspec

from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.ports import Clock
from holdfast.core.routes import INFER, LOOK, Credential
from holdfast.serve.credentials import CredentialTable, presented, presented_token
from holdfast.serve.guards.surroundings import Surroundings
from holdfast.serve.identities import Identities
from holdfast.serve.protocol import RUNS_MODEL
from holdfast.serve.refusals import FORBIDDEN, UNAUTHENTICATED


class AuthenticatedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Nothing to set: whom to believe is in the table's credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """A call comes from somebody whom the table names, unexpired, for this model and this operation.

    1. Who calls is proved by an API key; else by a token of the control plane; else, where neither is presented, by a
    certificate that TLS, or the signature of the terminator in front, shows to be the caller's. 2. The operation and
    the model are among what that client may call.

    No key, a wrong one and an expired one get the same words, so that nobody can tell keys that once were from keys
    that never were. A model that does not exist and one that the key may not call get the same words too.
    """

    name: str = "authenticated"
    together: ClassVar[bool] = True
    credentials: CredentialTable
    identities: Identities
    clock: Clock

    def admit(self, call: Call) -> Call | Refusal:
        """Let the call of a known client pass, and write down who it is."""
        now, known = call.now or self.clock.now(), call.seen.get(self.credentials) if call.seen is not None else None
        # 1. An API key is looked up by one keyed hash, whatever it is; what costs a signature comes after. Headers that
        # are equal to the byte hold the same key, which this very table has found before; whether it ended, time tells.
        if known is not None and now < known[1].expires:
            key, credential = known
        else:
            key = presented(call.headers)
            credential = self.credentials.find(key, now) if key else self._identified(call, now)
            if key and credential is not None and call.seen is not None:
                call.seen[self.credentials] = (key, credential)
        if credential is None:
            return UNAUTHENTICATED.refusal(
                self.name, "unknown or expired key" if key else "no key, token or certificate"
            )
        call.client, call.models, call.proof = credential.id, credential.models, call.proof or key
        operation = INFER if call.operation in RUNS_MODEL else LOOK
        if operation not in credential.operations or (call.model and call.model not in credential.models):  # 2.
            return FORBIDDEN.refusal(self.name, f"{credential.id} asked to {operation} {call.model}")
        return call

    def _identified(self, call: Call, now: datetime) -> Credential | None:
        """Return what the table says of a caller without an API key."""
        found: Credential | None
        token = presented_token(call.headers)
        if token:
            call.proof = token
            found = self.identities.of_token(token, now)
        elif "authorization" in call.headers or "x-api-key" in call.headers:  # something that proves nothing
            return None
        else:
            certificate = call.certificate or self.identities.vouched(call, now)
            found = self.identities.of_certificate(certificate, now) if certificate else None
        return found if found is not None and now < found.expires else None

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:
        """Let every answer out to a client that was let in."""
        return answer if call.client else UNAUTHENTICATED.refusal(self.name, "an answer to nobody")


def authenticated(settings: AuthenticatedSettings, surroundings: Surroundings) -> Authenticated:  # noqa: ARG001 - one signature for all
    """Build the guard."""
    return Authenticated(
        credentials=surroundings.credentials, identities=surroundings.identities, clock=surroundings.clock
    )
