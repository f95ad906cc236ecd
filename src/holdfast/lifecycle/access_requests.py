"""Time-boxed access: ask, have somebody else approve, and it ends by itself (ACC-05)."""

from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec

from holdfast.core.access import parse_resource
from holdfast.core.actions import NAMES
from holdfast.core.boxed import APPROVED, LONGEST, REJECTED, REQUESTED, STREAM, Asking, Box, fold
from holdfast.core.errors import Conflict, InvalidInput, NotFound, Refused
from holdfast.core.ledger import Draft, Heads
from holdfast.core.policy import seconds
from holdfast.lifecycle.access import acting, resource_of
from holdfast.lifecycle.identity import directory
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted

MAX_REASON: Final = 500  # characters


def request(
    plant: Plant,
    *,
    action: str,
    resource: str,
    lasts: str,
    reason: str,
    credential: Path | None = None,
) -> Reply:
    """Ask for one action on one resource for some time; somebody else has to approve it.

    Args:
        plant: The control plane.
        action: The action.
        resource: `kind/name`.
        lasts: How long, counted from the approval: `2h`, `30m`.
        reason: Why, in a sentence that stays on record.
        credential: A file with a token or API key of whoever asks; else who asks over the network, or the owner.

    Raises:
        InvalidInput: There is no such action or resource, or it is to last too long.
        NotFound: Whoever asks has no account.
    """
    if action not in NAMES or NAMES[action].sort == "asking":
        raise InvalidInput(f"{action[:80]!r} cannot be asked for", expected="an action of `holdfast access actions`")
    parse_resource(resource)
    wanted = seconds(lasts)
    if not 0 < wanted <= LONGEST.total_seconds():
        raise InvalidInput(f"access for {lasts[:80]}", expected=f"up to {LONGEST.days} days; for longer, a group")
    _check_reason(reason)
    person = acting(plant, "access.request", credential=credential)
    if directory(plant).known(person) is None:
        raise NotFound(
            f"{person} has no account here", remedy="Ask with a credential of an account: --credential FILE."
        )
    about = resource_of(plant, resource)
    asked = Asking(
        id=plant.entropy.token(6).hex(),
        person=person,
        action=action,
        resource=str(about),
        seconds=int(wanted),
        reason=reason,
    )
    body = msgspec.to_builtins(asked)
    plant.ledger.append([Draft(kind=REQUESTED, actor=person, stream=STREAM, body=body)])
    says = f"Request {asked.id}: {person} asks to {action} on {about}. Somebody else approves it with "
    says += f"`holdfast access approve {asked.id}`."
    return Reply(says=says, document={"id": asked.id, "state": "waiting"} | body)


def approve(plant: Plant, *, request: str, reason: str = "", credential: Path | None = None) -> Reply:
    """Give the access that somebody else asked for; it ends by itself.

    Raises:
        Refused: Whoever approves is who asked, or may not approve.
        NotFound: There is no such request.
        Conflict: It was answered already, or has waited too long.
    """
    box, expect = _waiting(plant, request)
    by = acting(plant, "access.approve", box.asked.resource, credential)
    if by == box.asked.person:
        remedy = "Ask a reviewer; nobody approves for oneself."
        raise Refused("whoever asked for access cannot approve it", place=f"request {request}", remedy=remedy)
    until = plant.clock.now() + timedelta(seconds=box.asked.seconds)
    body = {"id": box.asked.id, "by": by, "until": until.isoformat(), "reason": reason}
    plant.ledger.append([Draft(kind=APPROVED, actor=by, stream=STREAM, body=body)], expect=expect)
    asked = box.asked
    says = f"{asked.person} may {asked.action} on {asked.resource} until {until:%Y-%m-%d %H:%M} UTC."
    return Reply(says=says, document={"state": "in force"} | body)


def reject(plant: Plant, *, request: str, reason: str, credential: Path | None = None) -> Reply:
    """Say no to a request for access.

    Raises:
        NotFound: There is no such request.
        Conflict: It was answered already, or has waited too long.
    """
    _check_reason(reason)
    box, expect = _waiting(plant, request)
    by = acting(plant, "access.approve", box.asked.resource, credential)
    body = {"id": box.asked.id, "by": by, "reason": reason}
    plant.ledger.append([Draft(kind=REJECTED, actor=by, stream=STREAM, body=body)], expect=expect)
    return Reply(says=f"Request {request} is rejected.", document={"state": "rejected"} | body)


def requests(plant: Plant) -> Reply:
    """List what was asked for, and how each request stands now."""
    now = plant.clock.now()
    boxes = fold(plant.ledger.stream(STREAM)).values()
    listed = [
        msgspec.to_builtins(box.asked)
        | {
            "state": box.state(now),
            "by": box.answer.by if box.answer else "",
            "until": box.answer.until.isoformat() if box.answer and box.answer.until else "",
        }
        for box in boxes
    ]
    columns = ("id", "who", "action", "resource", "state", "answered by", "until")
    keys = ("id", "person", "action", "resource", "state", "by", "until")
    rows = [tuple(str(each[key]) for key in keys) for each in listed]
    waiting = sum(each["state"] == "waiting" for each in listed)
    says = f"{counted(waiting, 'request waits', 'requests wait')} for an answer."
    table = Table(title="Requests for access", columns=columns, rows=rows)
    return Reply(says=says, document={"requests": listed}, tables=(table,))


def _waiting(plant: Plant, request: str) -> tuple[Box, Heads]:
    expect = plant.ledger.heads([STREAM])
    box = fold(plant.ledger.stream(STREAM)).get(request)
    if box is None:
        raise NotFound(f"there is no request {request[:80]!r}", remedy="List them with `holdfast access requests`.")
    state = box.state(plant.clock.now())
    if state != "waiting":
        raise Conflict(f"the request is {state}", place=f"request {request}", remedy="Ask anew.")
    return box, expect


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > MAX_REASON or not reason.isprintable():
        expected = f"a sentence of up to {MAX_REASON} printable characters"
        raise InvalidInput("the reason is empty, too long, or not one line of text", expected=expected)
