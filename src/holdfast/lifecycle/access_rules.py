"""Which rules about access are in force: the shipped ones, and those of the workspace that the root key has accepted.

A set that cannot be read, does not fit the schema, or is on record without the root's acceptance denies everything:
better nobody than somebody by mistake. Whoever holds the workspace's files can then accept a good one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

from holdfast.core.access import MAX_RULES, Allowed, Denied, Rules, read_rules
from holdfast.core.artifact import Digest
from holdfast.core.errors import HoldfastError, NotFound, PolicyDenied
from holdfast.core.ledger import Draft, Entry
from holdfast.core.wildcards import wildcards
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.policies import FOLDERS
from holdfast.lifecycle.reply import Reply, Table, counted, short

STREAM: Final = "access-rules"
ACCEPTED: Final = "access.policy"
SHIPPED: Final = "access.cedar"

Decision: TypeAlias = Allowed | Denied


def newest(entries: Sequence[Entry]) -> str:
    """Return the digest of the workspace's own rules as last put on record; empty where there are none."""
    found = [str(entry.body.get("rules", "unreadable")) for entry in entries if entry.kind == ACCEPTED]
    return found[-1] if found else ""


def in_force(plant: Plant, own: str) -> Rules | Denied:
    """Return the rules that decide now, or why everything is denied."""
    trusted = not own or own in plant.trust.policies
    made: Rules | Denied = plant.memory.kept("rules", (own, trusted), lambda: _make(plant, own, trusted=trusted))
    return made


def _make(plant: Plant, own: str, *, trusted: bool) -> Rules | Denied:
    if not trusted:
        return Denied(reasons=("the workspace's rules are not accepted by the root key",))
    try:
        return read_rules(*texts(plant, own))
    except HoldfastError as error:
        return Denied(reasons=(f"the rules in force cannot be used: {error.message}"[:300],))


def texts(plant: Plant, own: str) -> tuple[bytes, ...]:
    """Return the documents of the rules in force: the shipped one, and the workspace's own if it has any.

    Raises:
        NotFound: One of them is gone.
        NotVerified: The workspace's own was changed.
    """
    return (shipped(), plant.blobs.get(Digest(own))) if own else (shipped(),)


def shipped() -> bytes:
    """Return the rules that come with Holdfast.

    Raises:
        NotFound: They are not there: this is not a whole installation.
        InvalidInput: They cannot be read.
    """
    path = next((folder / SHIPPED for folder in FOLDERS if (folder / SHIPPED).is_file()), None)
    if path is None:
        raise NotFound("the shipped rules about access are gone", place=SHIPPED, remedy="Install Holdfast anew.")
    return read_given(path, limit=MAX_RULES + 1, what="the shipped rules about access")


def accept(plant: Plant, *, file: Path, reason: str) -> Reply:
    """Let the root key accept rules of the workspace's own, beside the shipped ones and instead of its earlier own.

    Raises:
        InvalidInput: They cannot be parsed, do not fit the schema, or take the @id of a shipped rule.
        PolicyDenied: They give a wildcard on sensitive assets.
    """
    text = read_given(file, limit=MAX_RULES + 1, what="the rules")
    read_rules(text)
    both = read_rules(shipped(), text)
    found = wildcards(text)
    if found:
        raise PolicyDenied("these rules give wildcards on sensitive assets", reasons=found, place=str(file))
    plant.unlock()
    digest = plant.blobs.put(text)
    body = {"rules": digest, "reason": reason, "by": plant.actor}
    with plant.ledger.lease("trust"):
        # On record first: until the root has accepted them, rules on record deny everything.
        plant.ledger.append([Draft(kind=ACCEPTED, actor="root", stream=STREAM, body=body)])
        plant.accept_policy(digest)
    says = f"{counted(both.count, 'rule about access is', 'rules about access are')} in force; "
    says += f"the workspace's own are {short(digest)}."
    return Reply(says=says, document={"rules": digest, "count": both.count})


def check(plant: Plant, *, file: Path | None = None) -> Reply:
    """Check rules: that they can be read, fit the schema, and give no wildcard on sensitive assets.

    Args:
        plant: The control plane.
        file: The rules; those in force if left out.

    Raises:
        InvalidInput: They cannot be parsed, or do not fit the schema.
        NotFound: Rules in force are gone.
    """
    own = newest(plant.ledger.stream(STREAM))
    documents = texts(plant, own) if file is None else (read_given(file, limit=MAX_RULES + 1, what="the rules"),)
    rules = read_rules(*documents)
    found = wildcards(b"\n".join(documents))
    table = Table(title="Wildcards on sensitive assets", columns=("wildcard",), rows=[(each,) for each in found])
    wild = counted(len(found), "of them is a wildcard", "of them are wildcards") if found else "none is a wildcard"
    return Reply(
        says=f"{counted(rules.count, 'rule')}; {wild} on sensitive assets.",
        document={"rules": rules.digest, "count": rules.count, "wildcards": list(found)},
        tables=(table,) if found else (),
        exit_code=1 if found else 0,
    )
