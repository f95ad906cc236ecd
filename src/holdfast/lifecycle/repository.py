"""The ceremony of the repository: root holders say who may carry documents to gateways, and what is revoked for good.

Where enough root keys lie on the control plane, `init`, `revoke` and a change of the trust do this by themselves. Where
they do not, it is three steps: propose here, sign wherever a root key is, apply here.
"""

from pathlib import Path
from typing import Final

from holdfast.core.errors import InvalidInput
from holdfast.engines.repository import read_proposal, told
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table
from holdfast.lifecycle.routing import revoked

MAX_PROPOSAL: Final = 32 << 20  # bytes: a root, targets, and a list of revocations


def propose(plant: Plant, *, out: Path) -> Reply:
    """Write down what root holders should sign next: the keys of the trust in force, and every revocation on record.

    Raises:
        InvalidInput: The file is there already, or cannot be written.
    """
    gone = revoked(plant)
    document = plant.offline.propose(gone)
    _write(out, document)
    says = f"Proposed in {out}: nothing has changed yet."
    return Reply(says=says, document={"proposal": str(out), "revoked": list(gone)}, tables=(_table(document),))


def sign(plant: Plant, *, file: Path, out: Path) -> Reply:
    """Add the signature of the root key that is held here.

    Raises:
        NotFound: No root key is held here.
        NotVerified: The file is no proposal.
    """
    document = read_given(file, limit=MAX_PROPOSAL, what="the proposal")
    plant.unlock()
    _write(out, plant.offline.sign(document))
    says = f"Signed, in {out}: what it says stands below. Hand it on, or apply it."
    return Reply(says=says, document={"proposal": str(out)}, tables=(_table(document),))


def apply(plant: Plant, *, file: Path) -> Reply:
    """Keep what enough root holders have signed; gateways are told with the next table.

    Raises:
        NotVerified: Too few have signed.
        Conflict: Something else was applied since it was proposed.
    """
    document = read_given(file, limit=MAX_PROPOSAL, what="the proposal")
    with plant.ledger.lease("trust"):
        plant.offline.accept(document)
    return Reply(says="It is in force; `holdfast watch` or `holdfast lease renew` tells the gateways.")


def _table(document: bytes) -> Table:
    return Table(title="Root holders say", columns=("what", "about"), rows=told(read_proposal(document)))


def _write(out: Path, document: bytes) -> None:
    try:
        with out.open("xb") as file:
            file.write(document)
    except OSError as error:
        raise InvalidInput(f"it cannot be written: {error.strerror}", place=str(out), expected="a new file") from error
