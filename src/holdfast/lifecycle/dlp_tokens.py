"""Token keys of data sets, and the guarded way back from a token to its value.

The key of a project's tokens is drawn once, and lies sealed under a data key of its own, so that destroying that key
makes every token of the data set final. Nothing but an entry of the ledger says where; the key is in no file of the
project. Each turning back is on record before it is answered: who, what kind, why, and a digest of the token, which
says nothing about the value.
"""

import hashlib
from typing import Final

from holdfast.core.artifact import Digest
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound
from holdfast.core.ledger import Draft
from holdfast.engines.tokens import Tokens
from holdfast.lifecycle.drawn_keys import Place, drawn_key, recorded_key
from holdfast.lifecycle.inputs import MAX_REASON, check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply
from holdfast.lifecycle.routing import current_project

STREAM: Final = "dlp"
MADE: Final = "dlp.key-made"  # body: project, key (the sealed blob's digest)
REVEALED: Final = "dlp.revealed"  # body: project, kind, token (a digest), reason
REFUSED: Final = "dlp.reveal-refused"  # body: the same, and why
FORGOTTEN: Final = "dlp.key-destroyed"  # body: project, reason
MAX_KIND: Final = 40  # characters of a kind; whatever longer was asked for is cut on record
MAX_TOKEN: Final = 4096  # characters


def tokens_key(project: str) -> str:
    """Return the name of the data key under which a project's token key lies."""
    return f"tokens {project}"


def token_key(plant: Plant, project: str) -> bytes:
    """Return the key of a project's tokens; it is drawn when it is first asked for, or after it was destroyed.

    Raises:
        Unavailable: The vault is locked.
    """
    return drawn_key(plant, project, Place(stream=STREAM, made=MADE, under=tokens_key(project)), "ingest")


def dlp_reveal(plant: Plant, *, token: str, kind: str, reason: str) -> Reply:
    """Return the value that a token of the project's data set stands for.

    Args:
        plant: The control plane.
        token: The token.
        kind: What it is a token of: the tokens of a telephone number and of a card differ.
        reason: Why, in a sentence that stays on record.

    Who is turned away is on record, too; who may not ask at all is it by the access decision.

    Raises:
        InvalidInput: No reason, or nothing that could be a token of this data set.
        NotFound: This project has no tokens, or their key was destroyed.
    """
    project = current_project(plant).project.name
    mark = "sha256:" + hashlib.sha256(token.encode(errors="replace")).hexdigest()
    body = {"project": project, "kind": _plain(kind, MAX_KIND), "token": mark, "reason": _plain(reason, MAX_REASON)}
    try:
        value = _value(plant, project, token, kind, reason)
    except HoldfastError as error:
        told = body | {"why": type(error).__name__}  # its words could quote what was handed in
        plant.ledger.append([Draft(kind=REFUSED, actor=plant.actor, stream=STREAM, body=told)])
        raise
    # On record before anybody sees the value: what is answered without an entry would be the worse half.
    plant.ledger.append([Draft(kind=REVEALED, actor=plant.actor, stream=STREAM, body=body)])
    return Reply(says=value, document={"kind": kind, "value": value})


def _value(plant: Plant, project: str, token: str, kind: str, reason: str) -> str:
    check_reason(reason)
    if not 0 < len(token) <= MAX_TOKEN or token.startswith(f"{kind}_"):
        raise InvalidInput("this is no token", expected="a token; nobody can turn a pseudonym back")
    found = _recorded(plant, project)
    if found is None or tokens_key(project) not in plant.data_keys():
        words = "its token key was destroyed" if found else "nothing of it was tokenised"
        raise NotFound(f"project {project} has no tokens: {words}", place=STREAM)
    return Tokens(plant.blobs.get(found)).value(kind, token)


def _plain(text: str, most: int) -> str:
    """Return what somebody wrote as it may stand on record: one line of text, cut."""
    return "".join(char if char.isprintable() else " " for char in text[:most])


def dlp_forget(plant: Plant, *, reason: str) -> Reply:
    """Destroy the key of the project's tokens: none that was made, wherever it lies, can be turned back again.

    Raises:
        InvalidInput: No reason is given.
        NotFound: The project has no tokens, or their key was destroyed before.
    """
    check_reason(reason)
    project = current_project(plant).project.name
    plant.unlock()
    with plant.ledger.lease("run"):  # no stage may be making tokens just now
        if not tokens_remain(plant, project):
            raise NotFound(f"project {project} has no tokens that could be turned back", place=STREAM)
        body = {"project": project, "reason": reason}
        # On record first: tokens that nobody can turn back and of which nobody says why would look like damage.
        plant.ledger.append([Draft(kind=FORGOTTEN, actor=plant.actor, stream=STREAM, body=body)])
        plant.erase(tokens_key(project))
    says = f"The token key of {project} is destroyed: its tokens are final. The next run makes other ones."
    return Reply(says=says, document={"project": project})


def tokens_remain(plant: Plant, project: str) -> bool:
    """Say whether tokens of a project can be turned back."""
    return _recorded(plant, project) is not None and tokens_key(project) in plant.data_keys()


def _recorded(plant: Plant, project: str) -> Digest | None:
    return recorded_key(plant, project, Place(stream=STREAM, made=MADE, under=tokens_key(project)))
