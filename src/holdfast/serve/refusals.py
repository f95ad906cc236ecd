"""Every way in which the gateway says no: code, status, and the words that a caller may read.

The words are the whole message: no path, digest, class name or exception text ever joins them. What an operator needs
to know goes into the security event instead.
"""

from dataclasses import dataclass
from typing import Final

from holdfast.core.guard import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """One way to say no; `security` says whether it is recorded as a security event, one by one."""

    code: str
    status: int
    public: str
    security: bool = True

    def refusal(self, guard: str, detail: str = "", *, public: str = "", retry_after_s: float | None = None) -> Refusal:
        """Return the refusal; `public` may replace the words by ones that are as harmless."""
        return Refusal(
            guard=guard,
            status=self.status,
            code=self.code,
            public=public or self.public,
            detail=detail,
            retry_after_s=retry_after_s,
            security=self.security,
        )


MALFORMED: Final = Saying(code="HF240", status=400, public="the request is malformed")
UNAUTHENTICATED: Final = Saying(code="HF241", status=401, public="a valid API key, token or certificate is required")
FORBIDDEN: Final = Saying(code="HF242", status=403, public="this client may not ask this of this model")
TOO_FAST: Final = Saying(code="HF243", status=429, public="too many requests")
TOO_LARGE: Final = Saying(code="HF244", status=413, public="the request is too large")
INVALID_INPUT: Final = Saying(code="HF245", status=400, public="the input does not fit the model's signature")
NO_SUCH_PATH: Final = Saying(code="HF246", status=404, public="there is nothing here")
WRONG_METHOD: Final = Saying(code="HF247", status=405, public="the method is not allowed here")
ENCODED: Final = Saying(code="HF248", status=415, public="encoded bodies are not accepted")
TOO_SLOW: Final = Saying(code="HF249", status=408, public="the request took too long to arrive")
REPEATED: Final = Saying(code="HF250", status=403, public="the request is not signed, not recent, or repeated")
TOO_MANY: Final = Saying(code="HF260", status=429, public="too many requests at once")
OVER_QUOTA: Final = Saying(code="HF261", status=429, public="the quota of rows is used up")
OVER_SPEND: Final = Saying(code="HF262", status=429, public="the budget is spent")
NO_PRIVACY_LEFT: Final = Saying(code="HF263", status=403, public="the privacy budget is spent")
TOO_FEW_ROWS: Final = Saying(code="HF264", status=400, public="this model answers only about large groups")
OUT_OF_BOUNDS: Final = Saying(code="HF265", status=403, public="the model's answer is outside of what may be commanded")
NOT_CLEAN: Final = Saying(code="HF266", status=400, public="the request is not acceptable")
SLOWED: Final = Saying(code="HF270", status=429, public="calls of this kind are answered slowly now")
UNPROVEN: Final = Saying(code="HF271", status=403, public="a proof of work is required")
BLOCKED: Final = Saying(code="HF272", status=403, public="calls of this kind are not answered now")
STRANGE: Final = Saying(code="HF273", status=400, public="the input is unlike what the model was made for")
INJECTED: Final = Saying(code="HF274", status=400, public="the text is not acceptable")
UNSAFE: Final = Saying(code="HF275", status=400, public="the text is not acceptable")
UNKNOWN: Final = Saying(code="HF277", status=400, public="nothing is known of this entity", security=False)
WITHHELD: Final = Saying(code="HF276", status=403, public="the answer may not be told")

NOT_READY: Final = Saying(code="HF760", status=503, public="the service is not ready", security=False)
LEASE_OVER: Final = Saying(code="HF761", status=503, public="the service may no longer answer", security=False)
WITHDRAWN: Final = Saying(code="HF762", status=503, public="the model may no longer answer", security=False)
MODEL_FAILED: Final = Saying(code="HF763", status=503, public="the model could not answer")
UNRECORDED: Final = Saying(code="HF764", status=503, public="the service cannot keep its records", security=False)
APART: Final = Saying(code="HF771", status=503, public="the service cannot count with its other machines")
OVERLOADED: Final = Saying(code="HF770", status=503, public="the service is overloaded", security=False)
RESTING: Final = Saying(code="HF765", status=503, public="the model rests after repeated failures", security=False)
LACKING: Final = Saying(code="HF767", status=503, public="features of this entity are not available", security=False)
SAFE: Final = Saying(code="HF766", status=503, public="the service is in its safe state", security=False)
BROKEN: Final = Saying(code="HF799", status=503, public="the service cannot answer now")

SAYINGS: Final = (
    MALFORMED,
    UNAUTHENTICATED,
    FORBIDDEN,
    TOO_FAST,
    TOO_LARGE,
    INVALID_INPUT,
    NO_SUCH_PATH,
    WRONG_METHOD,
    ENCODED,
    TOO_SLOW,
    REPEATED,
    TOO_MANY,
    OVER_QUOTA,
    OVER_SPEND,
    NO_PRIVACY_LEFT,
    TOO_FEW_ROWS,
    OUT_OF_BOUNDS,
    NOT_CLEAN,
    SLOWED,
    UNPROVEN,
    BLOCKED,
    STRANGE,
    INJECTED,
    UNSAFE,
    WITHHELD,
    UNKNOWN,
    NOT_READY,
    LEASE_OVER,
    WITHDRAWN,
    MODEL_FAILED,
    UNRECORDED,
    APART,
    OVERLOADED,
    RESTING,
    LACKING,
    SAFE,
    BROKEN,
)
"""All of them; the only 5xx that a gateway answers with are the 503s among these."""
