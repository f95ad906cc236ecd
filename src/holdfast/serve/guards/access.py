"""Who calls, which models they may call, and how often."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.ports import Clock
from holdfast.core.routes import INFER, LOOK, Credential
from holdfast.serve.credentials import CredentialTable, presented, presented_token
from holdfast.serve.guards.surroundings import Rates, Surroundings
from holdfast.serve.identities import Identities
from holdfast.serve.protocol import RUNS_MODEL
from holdfast.serve.refusals import FORBIDDEN, TOO_FAST, UNAUTHENTICATED

MAX_RATE: Final = 1e6  # calls a second; more than any machine answers, so more is a mistake


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
    credentials: CredentialTable
    identities: Identities
    clock: Clock

    def admit(self, call: Call) -> Call | Refusal:
        """Let the call of a known client pass, and write down who it is."""
        now = self.clock.now()
        key = presented(call.headers)
        # 1. An API key is looked up by one keyed hash, whatever it is; what costs a signature comes after.
        credential = self.credentials.find(key, now) if key else self._identified(call, now)
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


class WithinRateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many calls a second one client may make for long, and how many at once."""

    rate_per_s: float
    burst: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WithinRate:
    """A client calls no faster than it may, with bursts as allowed.

    The generic cell rate algorithm (ITU-T I.371, annex A, virtual scheduling): a call conforms if it comes no earlier
    than the tolerance before its theoretical arrival time. A refused call moves nothing, so that waiting always helps.
    """

    name: str = "within-rate"
    interval_s: float  # between calls at the sustained rate
    tolerance_s: float  # how early a call may be: burst - 1 intervals
    rates: Rates
    monotonic: Callable[[], float]

    def admit(self, call: Call) -> Call | Refusal:
        """Let the call pass if it conforms."""
        now = self.monotonic()
        expected = max(now, self.rates.arrival_s.get(call.client, now))
        early = expected - now - self.tolerance_s
        if early > 0:
            return TOO_FAST.refusal(self.name, f"{call.client} is {early:.3f} s early", retry_after_s=early)
        self.rates.arrival_s[call.client] = expected + self.interval_s
        return call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:  # noqa: ARG002 - the protocol's signature
        """Let every answer out: a call was counted when it came in."""
        return answer


def within_rate(settings: WithinRateSettings, surroundings: Surroundings) -> WithinRate:
    """Build the guard; several workers share the limit evenly, so that together they never give more than it.

    Raises:
        InvalidInput: A rate or a burst that lets nobody call, or everybody.
    """
    if not 0 < settings.rate_per_s <= MAX_RATE or settings.burst < 1:
        raise InvalidInput(
            "within-rate would let nobody call, or everybody", place="routes", expected="rate_per_s, burst > 0"
        )
    interval = surroundings.workers / settings.rate_per_s
    burst = max(1, settings.burst // surroundings.workers)
    return WithinRate(
        interval_s=interval,
        tolerance_s=(burst - 1) * interval,
        rates=surroundings.rates,
        monotonic=surroundings.monotonic,
    )
