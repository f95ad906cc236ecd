"""Access: who asks, and whether they may; the one door of whoever lets requests in."""

from holdfast.core.access import Presented, Principal
from holdfast.core.errors import Refused, Unauthenticated
from holdfast.lifecycle.plant import Plant


def authenticate(plant: Plant, presented: Presented) -> Principal:
    """Return whom a request comes from.

    Raises:
        Unauthenticated: Nothing valid is presented; the message does not tell which part was wrong.
    """
    del plant
    raise Unauthenticated("nobody is known here yet", place=presented.peer)


def authorise(plant: Plant, principal: Principal, action: str, resource: str) -> None:
    """Return if a principal may do this; the grant and the denial are both on record.

    Raises:
        Refused: It may not.
    """
    del plant
    raise Refused(f"{principal.name} may not {action}", place=resource)
