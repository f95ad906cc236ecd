"""Changing whom this workspace believes: by the root keys' word, on record before it takes effect.

Every change makes the next version of the trust document. Where one person holds the root, a command makes, signs and
applies it at once. Where several must agree, the same command writes a proposal instead; each of them signs it on a
machine of their own, and `apply` brings it back.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from holdfast.core.artifact import Digest, canonical, digest_bytes
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, NotFound, NotVerified, Refused
from holdfast.core.ledger import Draft
from holdfast.core.policy import MAX_POLICY, parse_policy
from holdfast.core.ports import Signer
from holdfast.core.seal import MAX_ENVELOPE, TRUST, open_envelope, seal
from holdfast.core.succession import (
    Links,
    changes,
    check_successor,
    differs_in_root,
    open_change,
    parse_links,
    successor,
    with_signatures,
)
from holdfast.core.trust import Trust
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, short
from holdfast.lifecycle.routing import current_project, renew

CHANGED: Final = "trust.changed"
STREAM: Final = "trust"


def change(
    plant: Plant,
    newer: Trust,
    *,
    says: str,
    actor: str = "root",
    because: Sequence[Draft] = (),
    proposal: Path | None = None,
) -> Reply:
    """Sign the next trust with the root keys held here; put it on record and into force, or write it as a proposal.

    The caller holds the lease `trust`.

    Args:
        plant: The control plane.
        newer: The next version.
        says: What it does, for the reply.
        actor: Who asked for it.
        because: Entries that are appended with it, once it takes effect.
        proposal: Where to write it, unsigned by those who are not here; without it, too few signatures refuse.

    Raises:
        Refused: More persons must sign than hold their keys here, and no proposal was asked for.
        NotVerified: It may not follow the present trust.
    """
    old, now = plant.trust, plant.clock.now()
    check_successor(old, newer)
    document = seal(newer, TRUST, _roots_held(plant, old, newer), name="trust")
    if proposal is not None:
        return _propose(plant, newer, document, proposal)
    try:
        open_change(document, old, at=now)
    except NotVerified as error:
        raise Refused(
            f"not enough root keys are held here: {error.message}",
            place=f"trust version {newer.version}",
            expected=error.expected,
            remedy="Write it down with --proposal FILE, have the others `holdfast trust sign` it, then apply it.",
        ) from error
    return enact(plant, document, says=says, actor=actor, because=because)


def _roots_held(plant: Plant, old: Trust, newer: Trust) -> list[Signer]:
    """Return the root keys held here that may sign by either version, the newest of each owner."""
    now, held = plant.clock.now(), {key.keyid for key in plant.keys.held()}
    found = {
        key.keyid: key
        for trust in (old, newer)
        for key in trust.of_role("root")
        if key.keyid in held and key.not_before <= now < key.not_after
    }
    if not found:
        remedy = "Work on the machine that holds a root key."
        raise Refused("no root key is held here", expected="at least one", remedy=remedy)
    return [plant.keys.signer_of(keyid) for keyid in sorted(found)]


def _propose(plant: Plant, newer: Trust, document: bytes, proposal: Path) -> Reply:
    try:
        with proposal.open("xb") as file:
            file.write(document)
    except OSError as error:
        raise InvalidInput(f"the proposal cannot be written: {error.strerror}", place=str(proposal)) from error
    rows = [(each["what"], _about(each)) for each in changes(plant.trust, newer)]
    says = f"Trust version {newer.version} is proposed in {proposal}: nothing has changed yet."
    return Reply(
        says=says,
        document={"version": newer.version, "proposal": str(proposal), "changes": changes(plant.trust, newer)},
        tables=(Table(title="Proposed", columns=("change", "about"), rows=rows),),
    )


def enact(plant: Plant, document: bytes, *, says: str, actor: str, because: Sequence[Draft] = ()) -> Reply:
    """Put a signed trust on record, then into force, then before the gateways; the caller holds the lease `trust`.

    Raises:
        NotVerified: Too few have signed it, or it does not follow the present trust.
        Conflict: Another version was put on record meanwhile.
    """
    old, now = plant.trust, plant.clock.now()
    heads = plant.ledger.heads([STREAM])
    sealed = open_change(document, old, at=now)
    newer = sealed.value
    made = changes(old, newer)
    links = [*parse_links(plant.root_links()), document] if differs_in_root(old, newer) else None
    body: dict[str, Any] = {
        "version": newer.version,
        "document": plant.blobs.put(document),
        "previous": digest_bytes(plant.trust_document()),
        "changes": made,
        "signers": sorted({key.owner for key in sealed.signers}),
        "root": links is not None,
    }
    entry = Draft(kind=CHANGED, actor=actor, stream=STREAM, body=body)
    plant.ledger.append([*because, entry], expect=heads)
    carried = not _concerns_gateways(old, newer) or plant.offline.follow(newer)
    plant.store_trust(document, _links_file(links) if links is not None else None)
    rows = [(each["what"], _about(each)) for each in made]
    return Reply(
        says=f"{says} Trust version {newer.version} is in force{_published(plant, carried=carried)}.",
        document={"version": newer.version, "changes": made, "signers": body["signers"]},
        tables=(Table(title="Changed", columns=("change", "about"), rows=rows),) if rows else (),
    )


def _concerns_gateways(old: Trust, newer: Trust) -> bool:
    """Say whether the root keys must sign for the gateways too: who may carry documents to them, and by whose word."""
    terms = (old.root_threshold, old.expires) != (newer.root_threshold, newer.expires)
    return terms or any(old.of_role(role) != newer.of_role(role) for role in ("root", "registry"))


def _published(plant: Plant, *, carried: bool) -> str:
    """Bring the new trust before the gateways, if anything is in production; say so if that did not work."""
    if not carried:
        return ", but not yet before the gateways: hold `holdfast repository propose`, `sign` and `apply`"
    try:
        with plant.ledger.lease("route"):
            renew(plant, current_project(plant))
    except HoldfastError as error:  # no project, or the present table needs a key that was just withdrawn
        return f", but not yet before the gateways ({error.message})" if not isinstance(error, InvalidInput) else ""
    return ""


def _links_file(links: Sequence[bytes]) -> bytes:
    return canonical(Links(links=tuple(link.decode() for link in links)))


def _about(change: dict[str, Any]) -> str:
    if "person" in change:
        return f"{change['role']} to {change['person']} until {change['until'][:10]}"
    if "keyid" in change:
        return f"{change['role']} key {change['keyid'][:16]} of {change['owner']}, until {change['until'][:16]}"
    if "policy" in change:
        return short(change["policy"])
    if "witness" in change:
        return str(change["witness"])
    if change["what"] == "witness-quorum":
        return f"{change['from']} → {change['to']} witnesses must have cosigned"
    return f"{change['from']} → {change['to']} persons must sign"


def settle_trust(plant: Plant) -> None:
    """Make the trust document what the ledger says it is: completes a change whose process died before it took effect.

    Raises:
        NotVerified: The ledger names a version that is not signed as it must be.
    """
    entries = [entry for entry in plant.ledger.stream(STREAM) if entry.kind == CHANGED]
    if not entries or digest_bytes(plant.trust_document()) == entries[-1].body["document"]:
        return
    rooted = [plant.blobs.get(Digest(entry.body["document"])) for entry in entries if entry.body["root"]]
    plant.store_trust(plant.blobs.get(Digest(entries[-1].body["document"])), _links_file(rooted) if rooted else None)
    settled = plant.trust  # verified from the pinned root
    if settled.version != entries[-1].body["version"]:
        raise NotVerified("the trust is not the version on record", place=f"entry {entries[-1].position}")


def accept(plant: Plant, policy: Digest) -> None:
    """Let the root keys accept a policy; the caller holds the lease `trust` and has put the policy on record.

    Raises:
        Refused: More persons must sign than hold their keys here.
    """
    trust = plant.trust
    if policy not in trust.policies:
        change(plant, successor(trust, policies=sorted({*trust.policies, policy})), says="The policy may decide.")


def demand_quorum(plant: Plant) -> None:
    """Check that the root keys held here are enough, before anything is put on record that needs them.

    Raises:
        Refused: More persons must sign than hold their keys here.
    """
    trust, now, held = plant.trust, plant.clock.now(), {key.keyid for key in plant.keys.held()}
    roots = trust.of_role("root")
    here = {key.owner for key in roots if key.keyid in held and key.not_before <= now < key.not_after}
    if len(here) < trust.root_threshold:
        remedy = "Write it down with `holdfast trust propose`, have the others sign it, then apply it."
        raise Refused(f"{len(here)} root holders are here", expected=f"{trust.root_threshold}", remedy=remedy)


def propose(
    plant: Plant, *, out: Path, threshold: int | None = None, accept: Path | None = None, forbid: str | None = None
) -> Reply:
    """Write the next version of the trust for those to sign who must agree: another threshold, or other policies.

    Raises:
        InvalidInput: It would change nothing, or the policy cannot be read.
    """
    trust = plant.trust
    policies = set(trust.policies)
    if accept is not None:
        policies.add(parse_policy(read_given(accept, limit=MAX_POLICY + 1, what="the policy"))[1])
    if forbid is not None:
        wanted = forbid.removeprefix("sha256:")
        policies = {each for each in policies if not each.removeprefix("sha256:").startswith(wanted)}
    newer = successor(trust, policies=sorted(policies), root_threshold=threshold)
    if not changes(trust, newer):
        raise InvalidInput("this would change nothing", expected="--threshold, --accept or --forbid")
    plant.unlock()
    return change(plant, newer, says="", proposal=out)


def apply(plant: Plant, *, file: Path, also: Path | None = None) -> Reply:
    """Put a proposal that enough persons have signed on record and into force.

    Args:
        plant: The control plane.
        file: The signed proposal.
        also: The same proposal as somebody else has signed it; the signatures are put together.

    Raises:
        NotVerified: Too few have signed it, or it does not follow the present trust.
    """
    document = read_given(file, limit=MAX_ENVELOPE + 1, what="the proposal")
    if also is not None:
        document = with_signatures(document, read_given(also, limit=MAX_ENVELOPE + 1, what="the proposal"))
    open_envelope(document)
    with plant.ledger.lease("trust"):
        return enact(plant, document, says="The proposal is applied.", actor="root")


def show(plant: Plant) -> Reply:
    """Say which version of the trust is in force, who holds root keys, how many must sign, and until when it holds."""
    trust, now = plant.trust, plant.clock.now()
    holders = sorted({key.owner for key in trust.of_role("root") if key.not_before <= now < key.not_after})
    document = {
        "workspace": trust.workspace,
        "version": trust.version,
        "expires": trust.expires.isoformat(),
        "root_threshold": trust.root_threshold,
        "root_holders": holders,
        "policies": list(trust.policies),
        "revoked": list(trust.revoked),
    }
    says = f"Trust version {trust.version}, until {trust.expires:%Y-%m-%d}: {trust.root_threshold} of {len(holders)} "
    return Reply(says=f"{says}root holders must sign a change ({', '.join(holders)}).", document=document)


def known_key(trust: Trust, keyid: str) -> str:
    """Return the one key id that begins as given.

    Raises:
        NotFound: None does, or several.
    """
    found = [key.keyid for key in trust.keys if key.keyid.startswith(keyid)]
    if len(found) != 1 or not keyid:
        raise NotFound(
            f"{len(found)} keys begin with {keyid[:80]!r}", expected="the id of one key; see `holdfast keys`"
        )
    return found[0]


def conflict_free(trust: Trust, newer: Trust) -> Trust:
    """Return the newer trust if it changes anything.

    Raises:
        Conflict: It does not.
    """
    if not changes(trust, newer):
        raise Conflict("this is so already; nothing was changed", place=f"trust version {trust.version}")
    return newer
