"""The signed route table: all that a gateway is told about what to serve, to whom, and behind which guards.

Signed by the registry's key; its `expires` is the gateway's lease and its `epoch` only ever rises.
"""

from typing import Any

import msgspec

from holdfast.core.artifact import Moment


class GuardSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One guard by name, with its configuration; their order in the table is their order in the gateway."""

    name: str
    configuration: dict[str, Any] = {}


class Credential(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One API key, known by its keyed hash, and the models it may call."""

    id: str
    hash: str  # HMAC-SHA256 of the key under the gateway's credential key, hex
    models: tuple[str, ...]
    expires: Moment


class ModelRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where calls for one model name go."""

    name: str
    baseline: str  # digest of the release that answers
    passport: str  # digest of its passport
    candidate: str | None = None
    candidate_passport: str | None = None
    candidate_share: float = 0.0  # of calls, 0 to 1


class RouteTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one environment serves from `issued` until `expires`."""

    workspace: str
    environment: str
    epoch: int
    issued: Moment
    expires: Moment
    policy: str  # digest of the policy under which each release must be permitted
    models: tuple[ModelRoute, ...]
    guards: tuple[GuardSpec, ...]
    credentials: tuple[Credential, ...]
    regions: tuple[str, ...] = ()  # in which a gateway may answer, or what these begin with; none: anywhere
    revoked: tuple[str, ...] = ()  # digests that must not answer, whatever else says so
