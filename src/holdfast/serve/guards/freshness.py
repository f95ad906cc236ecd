"""Each signed request counts once, and only for a short while."""

import hmac
from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec

from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.ports import Clock
from holdfast.core.signed_request import NONCE, NONCE_FORM, SIGNATURE, TIME_FORM, TIMESTAMP, request_signature
from holdfast.serve.guards.surroundings import Nonces, Surroundings
from holdfast.serve.refusals import REPEATED

MAX_WINDOW_S: Final = 3600.0  # longer, and what must be remembered outgrows a gateway's memory


class FreshRequestSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How far a request's time may lie from the gateway's, in seconds."""

    window_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshRequest:
    """A call is signed by its API key or token, its time is within the window, and its nonce was not seen within it.

    1. All three headers have their form. 2. The time is near, and not from before this gateway began: what an earlier
    one has seen, nobody remembers. 3. The signature is right; only then 4. the nonce is looked up and remembered.
    Where no more nonces can be remembered, calls are refused.
    """

    name: str = "fresh-request"
    one_way: ClassVar[bool] = True
    together: ClassVar[bool] = True
    window_s: float
    nonces: Nonces
    clock: Clock

    def admit(self, call: Call) -> Call | Refusal:
        """Let a call pass that was never seen, and remember it."""
        timestamp, nonce = call.headers.get(TIMESTAMP, ""), call.headers.get(NONCE, "")
        if TIME_FORM.fullmatch(timestamp) is None or NONCE_FORM.fullmatch(nonce) is None:  # 1.
            return self._refuse(call, "no signed time and nonce")
        now, said = self.clock.now().timestamp(), float(timestamp)
        if abs(now - said) > self.window_s:  # 2.
            return self._refuse(call, f"signed {now - said:.0f} s ago")
        if said < self.nonces.since:
            return self._refuse(call, "signed before this gateway began")
        if not self._signed(call, timestamp, nonce):  # 3.
            return self._refuse(call, "the signature is wrong")
        if not self.nonces.remember(f"{call.client}\0{nonce}", until=said + self.window_s, now=now):  # 4.
            return self._refuse(call, "repeated, or more calls than can be remembered")
        return call

    def _signed(self, call: Call, timestamp: str, nonce: str) -> bool:
        """Say whether a call is signed by the secret that its client has presented.

        Who comes by certificate has presented none: there, the connection proves that nothing was changed on its way.
        """
        if not call.proof:
            return True
        path, body = call.signed or (call.path, call.body)
        expected = request_signature(
            call.proof, method=call.method, path=path, body=body, timestamp=timestamp, nonce=nonce
        )
        given = call.headers.get(SIGNATURE, "")
        return hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape"))

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:  # noqa: ARG002 - the protocol's signature
        """Let every answer out: the call was counted when it came in."""
        return answer

    def _refuse(self, call: Call, why: str) -> Refusal:
        return REPEATED.refusal(self.name, f"{call.client}: {why}")


def fresh_request(settings: FreshRequestSettings, surroundings: Surroundings) -> FreshRequest:
    """Build the guard.

    Raises:
        InvalidInput: A window that lets nothing or too much pass.
    """
    if not 0 < settings.window_s <= MAX_WINDOW_S:
        raise InvalidInput(
            f"fresh-request with a window of {settings.window_s} s",
            place="routes",
            expected=f"above 0, at most {MAX_WINDOW_S:.0f} s",
        )
    return FreshRequest(window_s=settings.window_s, nonces=surroundings.nonces, clock=surroundings.clock)
