"""What root holders sign one after the other, each where their key is; and what it says, for them to read first."""

from collections.abc import Sequence

import msgspec
from tuf.api.metadata import Metadata, Root, Targets

from holdfast.core.dsse import SigningKey
from holdfast.core.errors import NotVerified
from holdfast.engines.repository.keys import trusted_key
from holdfast.engines.repository.reading import parsed
from holdfast.engines.repository.writing import countersigned


class Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The next state of what the offline keys say."""

    version: int  # of the targets
    root: bytes | None  # the next root, where there is one
    targets: bytes
    revoked: bytes


def read_proposal(document: bytes) -> Proposal:
    """Return the proposal in a document, nothing believed.

    Raises:
        NotVerified: It is none.
    """
    try:
        return msgspec.json.decode(document, type=Proposal)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotVerified(f"this is no proposal for the repository: {error}") from error


def sign_proposal(document: bytes, signers: Sequence[SigningKey]) -> bytes:
    """Return a proposal with the signatures of these root keys beside those it has.

    Raises:
        NotVerified: It is none.
    """
    made = read_proposal(document)
    root = countersigned(made.root, signers) if made.root is not None else None
    return msgspec.json.encode(msgspec.structs.replace(made, root=root, targets=countersigned(made.targets, signers)))


def told(proposal: Proposal) -> list[tuple[str, str]]:
    """Return what a proposal says, line by line, from the very bytes that are signed.

    Raises:
        NotVerified: They cannot be read.
    """
    targets: Metadata[Targets] = parsed(proposal.targets, Targets, "targets.json")
    delegations = targets.signed.delegations
    carriers = [trusted_key(key) for key in delegations.keys.values()] if delegations is not None else []
    lines = [("may carry documents", f"{key.role} key {key.keyid[:16]} of {key.owner}") for key in carriers]
    if proposal.root is not None:
        root: Metadata[Root] = parsed(proposal.root, Root, "root.json")
        role = root.signed.roles["root"]
        holders = [trusted_key(key) for keyid, key in root.signed.keys.items() if keyid in role.keyids]
        lines += [("holds the root", f"key {key.keyid[:16]} of {key.owner}") for key in holders]
        lines += [("must sign", f"{role.threshold} of them"), ("root ends", f"{root.signed.expires:%Y-%m-%d}")]
    try:
        gone = msgspec.json.decode(proposal.revoked, type=tuple[str, ...])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotVerified(f"the list of revocations cannot be read: {error}", place="proposal") from error
    return [*lines, *(("is revoked for good", digest) for digest in gone)]
