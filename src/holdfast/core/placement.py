"""Placement: in which regions confidential and personal things may be, by the class of what is placed.

Where a machine stands is said by whoever runs it; nothing measures it. What is said is checked before rows are taken in
and before a gateway loads a model; where nothing is said, sensitive things are not placed.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from holdfast.core.errors import Refused
from holdfast.core.project import Project
from holdfast.core.sensitivity import WITHHELD, of_dataset, of_model

NOWHERE: Final = "nowhere"  # a region that no machine stands in: what has no region in common is placed in none


def rows_in(project: Project) -> tuple[str, ...]:
    """Return the regions in which the project's rows may be; none: anywhere."""
    return project.residency.allowed if of_dataset(project) in WITHHELD else ()


def model_in(project: Project) -> tuple[str, ...]:
    """Return the regions in which the project's model may answer; none: anywhere."""
    return project.residency.allowed if of_model(project) in WITHHELD else ()


def common(*restrictions: Sequence[str]) -> tuple[str, ...]:
    """Return the regions that every restriction allows; one that is empty restricts nothing.

    >>> common(["eu"], ["eu-west", "us"], []), common(["eu"], ["us"])
    (('eu-west',), ('nowhere',))
    """
    found: tuple[str, ...] = ()
    for each in restrictions:
        if found and each:
            both = [region for region in found if inside(region, each)]
            both += [region for region in each if inside(region, found)]
            found = tuple(dict.fromkeys(both)) or (NOWHERE,)
        else:
            found = found or tuple(each)
    return found


def inside(region: str, allowed: Sequence[str]) -> bool:
    """Say whether a region is an allowed one, or part of one.

    >>> inside("eu-central-1", ["eu"]), inside("europe", ["eu"]), inside("", ["eu"])
    (True, False, False)
    """
    return any(region == each or region.startswith(f"{each}-") for each in allowed)


def check_placed(allowed: Sequence[str], places: Mapping[str, str]) -> None:
    """Check that each place is in a region that is allowed; nothing in `allowed` allows every place.

    Args:
        allowed: Regions, or what they begin with.
        places: The region of each place by the place's name, empty where nobody has said.

    Raises:
        Refused: A place is elsewhere, or nobody has said where it is.
    """
    if not allowed:
        return
    for name, region in places.items():
        if not inside(region, allowed):
            where = f"stands in {region}" if region else "does not say where it stands"
            raise Refused(
                f"{name} {where}, and what is confidential or personal here stays in {', '.join(allowed)}",
                place=name,
                expected=f"a region of {', '.join(allowed)}",
                remedy="Use a machine there, or say where this one stands: HOLDFAST_REGION, or region= of the store.",
            )
