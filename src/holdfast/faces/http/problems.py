"""Errors as a caller sees them: problem details (RFC 9457), public parts only, more for whoever runs the platform."""

import json
from typing import Any, Final

from holdfast.core.errors import HoldfastError, InvalidRequest, PolicyDenied, TooMany, Unauthenticated, Unavailable
from holdfast.core.ports import Answered

MEDIA_TYPE: Final = "application/problem+json"
RETRY_S: Final = 1  # after a full server or a spent allowance; both refill within a second
DEFECT: Final = "something went wrong here; the operator finds it under this correlation id"


def problem(error: Exception, correlation: str, *, whole: bool = False) -> Answered:
    """Return an error as problem details.

    Args:
        error: Whatever was raised; what is not ours is told as a defect, without its words.
        correlation: The id of this request, under which the operator finds it.
        whole: Also places and remedies: for whoever may operate the platform.
    """
    known = error if isinstance(error, HoldfastError) else HoldfastError(DEFECT)
    public = known.public()
    document: dict[str, Any] = {
        "type": f"urn:holdfast:error:{known.code}",
        "title": (type(known).__doc__ or "").partition("\n")[0].rstrip("."),
        "status": known.http_status,
        "detail": public["error"],
        "code": public["code"],
        "instance": f"urn:holdfast:request:{correlation}",
    }
    if isinstance(known, InvalidRequest) and known.expected:
        document["expected"] = known.expected  # about the request itself, which its sender knows
    if isinstance(known, PolicyDenied):
        document["reasons"] = list(known.reasons)  # who may ask for a decision may hear it
    if whole:
        document |= {"place": known.place, "expected": known.expected, "remedy": known.remedy}
    headers = {"content-type": MEDIA_TYPE}
    if isinstance(known, Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="holdfast"'
    if isinstance(known, TooMany | Unavailable):
        headers["retry-after"] = str(RETRY_S)
    body = json.dumps(document, ensure_ascii=False).encode(errors="replace")
    return Answered(status=known.http_status, headers=headers, body=body)
