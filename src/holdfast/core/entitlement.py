"""What a key is asked to sign, read from the message itself: a signer that holds keys for others signs nothing blindly.

Decides whether a message is something that the key's role may say. Whoever has taken over a process that asks for
signatures can have signed what that process could have said, and nothing of another role, workspace or form.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from holdfast.core import tokens
from holdfast.core.dsse import PAYLOAD_TYPE
from holdfast.core.errors import HoldfastError, NotVerified, Refused
from holdfast.core.ledger import parse_checkpoint
from holdfast.core.seal import PREDICATES, Predicate, parse_statement, predicate_type
from holdfast.core.trust import ROLES

MODEL_SIGNATURE: Final = "https://model_signing/signature/v1.0"
BOM: Final = "https://cyclonedx.org/bom"  # predicate of an exported bill of materials, in-toto attestation "CycloneDX"
FOREIGN: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    MODEL_SIGNATURE: ("model-signature", frozenset({"release", "ingest"})),
    BOM: ("bom", frozenset({"release"})),
    "https://slsa.dev/provenance/v1": ("attestation", frozenset({"release"})),
    "https://slsa.dev/verification_summary/v1": ("attestation", frozenset({"registry"})),
    "https://in-toto.io/attestation/test-result/v0.1": ("attestation", frozenset({"release"})),
    "https://in-toto.io/attestation/vulns/v0.2": ("attestation", frozenset({"release"})),
    "https://in-toto.io/attestation/scai/v0.3": ("attestation", frozenset({"release"})),
}
"""Statements in other people's forms, which other tools read: what each is in one word, and whose keys sign it."""
PACK_HEADING: Final = "holdfast evidence pack v1"  # first line of a pack's note: no checkpoint begins so
ONLINE: Final = frozenset({"targets", "snapshot", "timestamp"})  # TUF metadata that the registry's key signs: no root
MESSAGE: Final = "message"  # the place that every refusal to sign names
_PACK: Final = re.compile(
    PACK_HEADING.encode() + rb"\nrelease sha256:[0-9a-f]{64}\nmanifest sha256:[0-9a-f]{64}\ntime [0-9T:.+-]{1,40}\n"
)
_PAE: Final = re.compile(rb"DSSEv1 (\d{1,6}) ([!-~]{1,200}) (\d{1,9}) ", re.ASCII)


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What the signed part of all TUF metadata says (TUF 1.0, 4.3)."""

    type: str = msgspec.field(name="_type")
    spec_version: str
    version: int
    expires: str


def purpose_of(role: str, message: bytes, *, origin: str) -> str:
    """Return what a message says, in one word, if a key of this role may sign it.

    1. The ledger's key signs checkpoints of this ledger, in their canonical form, and notes of evidence packs. 2. The
    key of access tokens signs tokens of this workspace, no longer-lived than ours. 3. Every other key signs in-toto
    statements in DSSE's encoding, of a predicate that we know, whose role is this key's. 4. Some keys also sign
    statements that other tools read (`FOREIGN`). 5. The registry's also signs TUF metadata, but for its root.

    Raises:
        Refused: It may not.
    """
    if role not in ROLES:
        raise Refused(f"a key of role {role[:40]!r} signs nothing", place=MESSAGE)
    try:
        if role == "ledger":  # 1.
            return _note(message, origin)
        if role == tokens.ROLE:  # 2.
            tokens.check_asked(message, issuer=origin)
            return "token"
        if role == "registry" and message.startswith(b"{"):  # 5.
            return _metadata(message)
        payload = _payload(message)  # 3.
        uri = predicate_type(payload)
        word, entitled_roles = FOREIGN.get(uri, ("", frozenset[str]()))  # 4.
        if role in entitled_roles:
            return word
        predicate: Predicate[Any] | None = next((each for each in PREDICATES if each.uri == uri), None)
        if predicate is None:
            raise NotVerified(f"a statement of type {uri[:80]!r}")
        value = parse_statement(payload, predicate)
        kind, entitled = predicate.kind(value), predicate.role(value)
    except HoldfastError as error:
        raise Refused(f"the {role} key does not sign this: {error.message}", place=MESSAGE) from error
    if entitled != role or (kind is not None and kind not in ROLES[role]):
        raise Refused(f"the {role} key does not sign what only a {entitled} key may say", place=MESSAGE)
    return uri.removeprefix("https://holdfast.dev/").partition("/")[0]


def _note(message: bytes, origin: str) -> str:
    if _PACK.fullmatch(message):
        return "pack"
    parse_checkpoint(message, origin)
    return "checkpoint"


def _metadata(message: bytes) -> str:
    try:
        found = msgspec.json.decode(message, type=Metadata)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotVerified("this is no TUF metadata") from error
    if found.type not in ONLINE or not found.spec_version.startswith("1."):
        raise NotVerified(f"TUF metadata of type {found.type[:40]!r}", expected=", ".join(sorted(ONLINE)))
    return found.type


def _payload(message: bytes) -> bytes:
    """Return the payload in DSSE's pre-authentication encoding (DSSE v1, "Signature Definition")."""
    head = _PAE.match(message)
    if head is None or len(head[2]) != int(head[1]) or head[2].decode() != PAYLOAD_TYPE:
        raise NotVerified("this is not an in-toto statement in DSSE's encoding")
    payload = message[head.end() :]
    if len(payload) != int(head[3]):
        raise NotVerified("the encoding states another length")
    return payload
