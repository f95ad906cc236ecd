"""The signed route table: all that a gateway is told about what to serve, to whom, and behind which guards.

Signed by the registry's key; its `expires` is the gateway's lease and its `epoch` only ever rises.
"""

from typing import Any, Final, Literal

import msgspec

from holdfast.core.artifact import Moment
from holdfast.core.needs import Needs
from holdfast.core.resilience import Resilience

INFER: Final = "infer"  # asking a model for answers
LOOK: Final = "look"  # asking what it takes and gives, and whether it is ready
TOKEN: Final = "token"  # noqa: S105 - a word of the table, and no secret
CERTIFICATE: Final = "certificate"


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
    operations: tuple[str, ...] = (INFER, LOOK)  # none: it may do nothing


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Somebody who shows no API key: known by a token of the control plane, or by a certificate."""

    id: str
    by: Literal["token", "certificate"]
    name: str  # the account that a token names, or a SPIFFE id
    models: tuple[str, ...]
    operations: tuple[str, ...] = (INFER, LOOK)
    expires: Moment | None = None  # when the first of its rights ends; None: with the table


class TrustDomain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The SPIFFE trust domain of workloads, and who may issue certificates in it."""

    name: str
    authorities: tuple[str, ...]  # DER, base64


PLANS: Final = ("canary", "ab", "flag", "shadow", "standby")
"""What a candidate may be there for. In the shadow it gets copies of calls, standing by it is loaded."""
SILENT: Final = ("shadow", "standby")


class ModelRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where calls for one model name go."""

    name: str
    baseline: str  # digest of the release that answers
    passport: str  # digest of its passport
    candidate: str | None = None
    candidate_passport: str | None = None
    candidate_share: float = 0.0  # of units, or of calls that name none, 0 to 1
    plan: str = PLANS[0]  # what the candidate is there for
    salt: str = (
        ""  # key of the hash that splits, in hexadecimal: one for a whole rollout, so that a unit stays where it is
    )
    segment: dict[str, tuple[str, ...]] = {}  # attributes that a call must declare, with the values that count
    experiment: str = ""  # under which exposures of named units are counted
    mirrored: float = 0.0  # share of the calls that a shadow gets a copy of
    needs: Needs | None = None  # what its releases need of the machine; none: nothing is declared
    resilience: Resilience | None = None  # what is done when the model fails; none: the call is refused


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
    identities: tuple[Identity, ...] = ()
    trust_domain: TrustDomain | None = None  # none: no certificate of a workload is believed
    ended: tuple[str, ...] = ()  # what tokens were made from and that ended since, such as "key:" with its id
    regions: tuple[str, ...] = ()  # in which a gateway may answer, or what these begin with; none: anywhere
    revoked: tuple[str, ...] = ()  # digests that must not answer, whatever else says so
