"""Under which name a unit of an experiment is told: a pseudonym that only holders of the credential key can make.

The gateway never tells whom a call was for. Who later knows a unit's outcome, and the key, finds the same pseudonym;
another experiment's is another one, so that two of them cannot be joined.
"""

import hashlib
import hmac

from holdfast.core.telemetry import PSEUDONYM


def pseudonym(key: bytes, experiment: str, unit: str) -> str:
    """Return the pseudonym of a unit: HMAC-SHA256 of its name in its experiment, the first 96 bits in hexadecimal."""
    named = f"unit\0{experiment}\0{unit}".encode()
    return hmac.digest(key, named, hashlib.sha256).hex()[:PSEUDONYM]
