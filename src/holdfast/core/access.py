"""Who asks, and whether they may: principals, resources, and the decision that Cedar makes of rules, purely.

`Presented` is untrusted: what came with a request. `Principal` is what authentication makes of it. `may` decides over
rules that are fixed before: deny by default, `forbid` wins, and a rule that cannot be evaluated denies. Which rules are
in force, and how grants and denials get on record, is left to `lifecycle.access`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Final, Literal, TypeAlias

from holdfast.core.actions import ACTIONS, NAMES, SORTS
from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.errors import InvalidInput, MissingExtra

Sort: TypeAlias = Literal["user", "service", "gateway"]

MAX_RULES: Final = 1 << 20  # bytes of one Cedar document; the shipped one has 3 KiB
MAX_NAME: Final = 256  # characters of a resource's name
TYPES: Final[Mapping[Sort, str]] = {"user": "User", "service": "Service", "gateway": "Gateway"}
KINDS: Final[Mapping[str, str]] = {
    "workspace": "Workspace",
    "dataset": "Dataset",
    "model": "Model",
    "release": "Release",
    "endpoint": "Endpoint",
    "key": "Key",
    "policy": "Policy",
    "feature": "Feature",
}
"""What a resource can be: the word before the slash in its name, and its type in the rules."""
SENSITIVE: Final = ("confidential", "personal")  # assets for which no wildcard may stand
STRICTEST: Final = "personal"  # what is assumed of an asset of which nothing is known


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
    scope: tuple[str, ...] | None = None  # the only actions it may ask for; None: all that its groups may


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What an action is about."""

    kind: str
    name: str
    owner: str = ""
    sensitivity: str = STRICTEST
    environment: str = ""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """It may, by these rules."""

    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """It may not; each reason in words."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Cedar rules that parsed and fit the schema: what they are follows from the digest of their text."""

    digest: Digest
    count: int
    names: Mapping[str, str] = field(compare=False)  # Cedar's own number of a rule to its @id
    handle: Any = field(repr=False, compare=False)


def parse_resource(text: str) -> tuple[str, str]:
    """Return kind and name of a resource written `kind/name`; an empty one means the workspace.

    >>> parse_resource("model/credit")
    ('model', 'credit')

    Raises:
        InvalidInput: It is of no known kind.
    """
    kind, _, name = (text or "workspace/").partition("/")
    if kind not in KINDS or len(name) > MAX_NAME or (name and not name.isprintable()):
        raise InvalidInput(f"the resource {text[:80]!r}", expected="one of " + ", ".join(f"{each}/…" for each in KINDS))
    return kind, name


@cache
def schema() -> str:
    """Return the Cedar schema: principals in groups, resources in the workspace, and every action."""
    attributes = "{ owner: String, sensitivity: String, environment: String }"
    principals, resources = ", ".join(TYPES.values()), ", ".join(KINDS.values())
    lines = ["entity Group;", *(f"entity {name} in [Group];" for name in TYPES.values())]
    lines += [f"entity Workspace = {attributes};"]
    lines += [f"entity {name} in [Workspace] = {attributes};" for name in KINDS.values() if name != "Workspace"]
    lines += [f'action "{name}";' for name in (*SORTS, *dict.fromkeys(action.area for action in ACTIONS))]
    lines += [
        f'action "{action.name}" in ["{action.sort}", "{action.area}"] appliesTo '
        f"{{ principal: [{principals}], resource: [{resources}], context: {{ boxed: Bool }} }};"
        for action in ACTIONS
    ]
    return "\n".join(lines) + "\n"


def read_rules(*texts: bytes) -> Rules:
    """Return Cedar documents as one set of rules, each of them validated against the schema.

    Raises:
        InvalidInput: They cannot be parsed, name something the schema lacks, or a rule has no `@id` of its own.
        MissingExtra: Cedar is not installed.
    """
    cedar = _cedar()
    whole = b"\n".join(texts)
    if len(whole) > MAX_RULES:
        raise InvalidInput(f"rules of {len(whole)} bytes", expected=f"at most {MAX_RULES}")
    try:
        text = whole.decode()
        handle = cedar.PolicySet.from_str(text)
        parsed = json.loads(cedar.policies_to_json_str(text))
    except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, not Cedar
        raise InvalidInput(f"the rules cannot be parsed: {str(error)[:300]}", place="access rules") from error
    if parsed.get("templates"):
        raise InvalidInput("the rules hold a template", place="access rules", expected="rules without ?slots")
    found = cedar.validate_policies(text, _schema_handle())
    if not found.validation_passed:
        words = "; ".join(str(error) for error in found.errors)[:500]
        raise InvalidInput(f"the rules do not fit the schema: {words}", place="access rules")
    names = {
        number: (rule.get("annotations") or {}).get("id") or "" for number, rule in parsed["staticPolicies"].items()
    }
    if "" in names.values() or len(set(names.values())) != len(names):  # a decision must be able to name its rule
        raise InvalidInput("a rule has no @id, or two have the same", place="access rules")
    return Rules(digest=digest_bytes(whole), count=len(names), names=names, handle=handle)


def may(
    rules: Rules, principal: Principal, action: str, resource: Resource, *, boxed: bool = False
) -> Allowed | Denied:
    """Decide whether a principal may do something, over these rules alone.

    1. What is no action is denied. 2. A credential's scope can only narrow. 3. Cedar decides. 4. A rule that could not
    be evaluated denies, because a `forbid` among them would otherwise be passed over in silence.

    Args:
        rules: What is in force; an empty set denies everything.
        principal: Who asks.
        action: The name of an action.
        resource: On what.
        boxed: Whether an approved, unexpired request covers just this.
    """
    if action not in NAMES:  # 1.
        return Denied(reasons=(f"{action[:80]!r} is no action",))
    if principal.scope is not None and action not in principal.scope:  # 2.
        return Denied(reasons=("the credential's scope does not hold this action",))
    return _decided(rules, principal, action, resource, boxed)  # 3. and 4.


@lru_cache(maxsize=8192)  # the same question over the same rules has the same answer, for ever
def _decided(rules: Rules, principal: Principal, action: str, resource: Resource, boxed: bool) -> Allowed | Denied:  # noqa: FBT001 - a part of the question
    answer = _cedar().is_authorized(
        {
            "principal": {"type": TYPES[principal.sort], "id": principal.name},
            "action": {"type": "Action", "id": action},
            "resource": {"type": KINDS[resource.kind], "id": resource.name},
            "context": json.dumps({"boxed": boxed}),
        },
        rules.handle,
        _entities(principal, resource),
        _schema_handle(),
    )
    by = tuple(sorted(rules.names.get(each, each) for each in answer.diagnostics.reasons))
    if answer.diagnostics.errors:  # 4.
        return Denied(reasons=tuple(f"a rule cannot be evaluated: {each}"[:200] for each in answer.diagnostics.errors))
    if answer.allowed:
        return Allowed(rules=by)
    return Denied(reasons=tuple(f"forbidden by {each}" for each in by) or ("no rule permits it",))


def _entities(principal: Principal, resource: Resource) -> str:
    attributes = {"owner": resource.owner, "sensitivity": resource.sensitivity, "environment": resource.environment}
    groups = [{"type": "Group", "id": name} for name in principal.groups]
    workspace = {"type": "Workspace", "id": ""}
    uid = {"type": KINDS[resource.kind], "id": resource.name}
    found: list[dict[str, Any]] = [
        {"uid": {"type": TYPES[principal.sort], "id": principal.name}, "attrs": {}, "parents": groups},
        {"uid": uid, "attrs": attributes, "parents": [] if resource.kind == "workspace" else [workspace]},
    ]
    return json.dumps(found)


def who_may(
    rules: Rules, principals: Iterable[Principal], action: str, resource: Resource
) -> tuple[tuple[Principal, Allowed], ...]:
    """Return those principals who may do something, each with the rules that say so."""
    answers = ((principal, may(rules, principal, action, resource)) for principal in principals)
    return tuple((principal, answer) for principal, answer in answers if isinstance(answer, Allowed))


@cache
def _cedar() -> Any:
    try:
        import cedarpy
    except ImportError as error:
        raise MissingExtra(
            "access decisions need cedarpy", place="access rules", remedy="pip install 'holdfast[server]'"
        ) from error
    return cedarpy


@cache
def _schema_handle() -> Any:
    return _cedar().Schema.from_str(schema())
