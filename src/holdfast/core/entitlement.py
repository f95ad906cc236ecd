"""What a key is asked to sign, read from the message itself: a signer that holds keys for others signs nothing blindly.

Decides whether a message is something that the key's role may say. Whoever has taken over a process that asks for
signatures can have signed what that process could have said, and nothing of another role, workspace or form.
"""

import re
from typing import Any, Final

from holdfast.core.errors import HoldfastError, NotVerified, Refused
from holdfast.core.ledger import parse_checkpoint
from holdfast.core.seal import PAYLOAD_TYPE, PREDICATES, Predicate, parse_statement, predicate_type
from holdfast.core.trust import ROLES

MODEL_SIGNATURE: Final = "https://model_signing/signature/v1.0"
_PAE: Final = re.compile(rb"DSSEv1 (\d{1,6}) ([!-~]{1,200}) (\d{1,9}) ", re.ASCII)


def purpose_of(role: str, message: bytes, *, origin: str) -> str:
    """Return what a message says, in one word, if a key of this role may sign it.

    1. The ledger's key signs checkpoints of this ledger, in their canonical form, and nothing else. 2. Every other key
    signs in-toto statements in DSSE's encoding. 3. Of a predicate that we know, whose role is this key's. 4. The
    release key also signs model signatures, which other tools read.

    Raises:
        Refused: It may not.
    """
    if role not in ROLES:
        raise Refused(f"a key of role {role[:40]!r} signs nothing", place="message")
    try:
        if role == "ledger":  # 1.
            parse_checkpoint(message, origin)
            return "checkpoint"
        payload = _payload(message)  # 2.
        uri = predicate_type(payload)
        if uri == MODEL_SIGNATURE and role == "release":  # 4.
            return "model-signature"
        predicate: Predicate[Any] | None = next((each for each in PREDICATES if each.uri == uri), None)  # 3.
        if predicate is None:
            raise NotVerified(f"a statement of type {uri[:80]!r}")
        value = parse_statement(payload, predicate)
        kind, entitled = predicate.kind(value), predicate.role(value)
    except HoldfastError as error:
        raise Refused(f"the {role} key does not sign this: {error.message}", place="message") from error
    if entitled != role or (kind is not None and kind not in ROLES[role]):
        raise Refused(f"the {role} key does not sign what only a {entitled} key may say", place="message")
    return uri.removeprefix("https://holdfast.dev/").partition("/")[0]


def _payload(message: bytes) -> bytes:
    """Return the payload in DSSE's pre-authentication encoding (DSSE v1, "Signature Definition")."""
    head = _PAE.match(message)
    if head is None or len(head[2]) != int(head[1]) or head[2].decode() != PAYLOAD_TYPE:
        raise NotVerified("this is not an in-toto statement in DSSE's encoding")
    payload = message[head.end() :]
    if len(payload) != int(head[3]):
        raise NotVerified("the encoding states another length")
    return payload
