"""Access for all principals, actions and assets: nothing that is added to say no ever says yes."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.access import KINDS, Allowed, Principal, Resource, Sort, may, read_rules
from holdfast.core.actions import ACTIONS, NAMES, SORTS

SHIPPED = (Path(__file__).parents[2] / "policies" / "access.cedar").read_bytes()
RULES = read_rules(SHIPPED)
GROUPS = ("administrators", "engineers", "reviewers", "operators", "auditors", "callers", "personal-data", "strangers")
SENSITIVITIES = ("synthetic", "public", "internal", "confidential", "personal")
SORT: st.SearchStrategy[Sort] = st.sampled_from(("user", "service", "gateway"))

principals = st.builds(
    Principal,
    name=st.text(min_size=1, max_size=20),
    sort=SORT,
    groups=st.lists(st.sampled_from(GROUPS), unique=True).map(tuple),
    scope=st.none() | st.lists(st.sampled_from(tuple(NAMES)), unique=True, max_size=5).map(tuple),
)
resources = st.builds(
    Resource,
    kind=st.sampled_from(tuple(KINDS)),
    name=st.text(max_size=20),
    owner=st.text(max_size=10),
    sensitivity=st.sampled_from(SENSITIVITIES),
    environment=st.sampled_from(("", "production")),
)
actions = st.sampled_from(tuple(NAMES)) | st.text(max_size=20)
forbids = st.sampled_from((*SORTS, *{action.area for action in ACTIONS}, *NAMES)).map(
    lambda group: f'\n@id("added") forbid (principal, action in Action::"{group}", resource);'.encode()
)


@settings(max_examples=40)  # each reads the rules anew
@given(principal=principals, action=actions, resource=resources, boxed=st.booleans(), added=forbids)
def test_a_further_forbid_never_permits(
    principal: Principal, action: str, resource: Resource, boxed: bool, added: bytes
) -> None:
    """Whoever may with it could without it."""
    if isinstance(may(read_rules(SHIPPED + added), principal, action, resource, boxed=boxed), Allowed):
        assert isinstance(may(RULES, principal, action, resource, boxed=boxed), Allowed)


@given(principal=principals, action=actions, resource=resources, boxed=st.booleans())
def test_what_is_allowed_is_an_action_inside_the_scope(
    principal: Principal, action: str, resource: Resource, boxed: bool
) -> None:
    """And of those that decide, only reviewers who do not audit get any."""
    if isinstance(may(RULES, principal, action, resource, boxed=boxed), Allowed):
        assert action in NAMES
        assert principal.scope is None or action in principal.scope
        if NAMES[action].sort == "deciding":
            assert "reviewers" in principal.groups
            assert "auditors" not in principal.groups
        if NAMES[action].sort not in {"asking", "reading", "calling"}:
            assert "auditors" not in principal.groups


@given(principal=principals, action=actions, resource=resources)
def test_a_scope_only_narrows(principal: Principal, action: str, resource: Resource) -> None:
    """What a limited credential may, its account may."""
    whole = Principal(name=principal.name, sort=principal.sort, groups=principal.groups)
    if isinstance(may(RULES, principal, action, resource), Allowed):
        assert isinstance(may(RULES, whole, action, resource), Allowed)
