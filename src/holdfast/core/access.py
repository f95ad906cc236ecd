"""Who asks: what a request presents, and the principal that it turns out to come from.

`Presented` is untrusted: what came with a request. `Principal` is what authentication makes of it; nothing else may.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Sort: TypeAlias = Literal["user", "service", "gateway"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """What a request presents of itself, nothing believed."""

    authorization: str  # the header as it came; empty where there was none
    peer: str  # the address it came from, for the record only: no address is trusted
    nonce: str = ""  # of a request that may be answered once
    certificate: bytes = b""  # DER of the client's certificate, where TLS has verified one


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Somebody or something that was authenticated."""

    name: str
    sort: Sort
    groups: tuple[str, ...] = ()
    session: str = ""  # id of the token, key or certificate it came by
