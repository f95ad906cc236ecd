"""Burden: what stands in the way of a project's work as things are now, read from trust, custody and policy."""

from holdfast.core.project import Project
from holdfast.lifecycle.plant import Plant
from holdfast.plan import Burden


def burden_of(plant: Plant, project: Project) -> Burden:
    """Return what a promotion of this project would have to carry."""
    policy = plant.load_policy(project.gates.policy)[0]
    asked = [rule.approved_by for rule in policy.rule if rule.approved_by is not None and not rule.not_applicable_if]
    roles, now = {each.role for each in asked}, plant.clock.now()
    trust = plant.trust
    persons = {each.person for each in trust.grants if each.role in roles and now < each.not_after}
    return Burden(
        root_threshold=trust.root_threshold,
        hardware_keys="hsm" in plant.custody or "service" in plant.custody,
        policy=policy.name,
        approvals=sum(each.count for each in asked),
        persons=len(persons),
    )
