"""Custody: where the keys of the stages are kept, moved by rotation, never by copying.

A key that once lay on a disk is not made safer by being put into a token. So a move makes new keys where they shall be,
has the root vouch for them, and ends the old ones.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.core.errors import InvalidInput
from holdfast.core.keystate import KeyState, state_of
from holdfast.core.ledger import Draft
from holdfast.core.succession import successor
from holdfast.core.trust import TrustedKey
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply
from holdfast.lifecycle.rotation import span
from holdfast.lifecycle.trusting import change

MOVED: Final = "custody.moved"
STORES: Final = ("signer", "hsm")


def custody(
    plant: Plant,
    *,
    store: str,
    socket: Path | None = None,
    module: Path | None = None,
    token: str | None = None,
    pin_file: Path | None = None,
    overlap: str = "0s",
) -> Reply:
    """Move the keys of the stages into a signer process or a token: new keys there, the old ones end.

    Raises:
        InvalidInput: There is no such store, or a token is named by halves.
        Refused: More root holders must sign; see `trusting.change`.
    """
    if store not in STORES:
        raise InvalidInput(f"a store called {store[:40]!r}", expected=" or ".join(STORES))
    lasting = span(overlap)
    plant.unlock()
    wanted = {
        "store": store,
        "socket": str(socket or ""),
        "module": str(module or ""),
        "token": token or "",
        "pin_file": str(pin_file.resolve()) if pin_file else "",
    }
    with plant.ledger.lease("trust"):
        trust, now = plant.trust, plant.clock.now()
        made = plant.move_keys(wanted)
        roles = {key.role for key in made}
        keys = [_ending(key, now + lasting) if key.role in roles else key for key in trust.keys]
        old = [key.keyid for key in trust.keys if key.role in roles and state_of(key, trust, now) is KeyState.ACTIVE]
        body: dict[str, Any] = {"store": store, "token": token or "", "new": [key.keyid for key in made], "old": old}
        entry = Draft(kind=MOVED, actor=plant.person, stream="trust", body=body)
        says = f"{len(made)} keys of the stages are in the {store}."
        reply = change(plant, successor(trust, keys=(*keys, *made)), says=says, because=[entry])
    hint = " Start `holdfast signer` now, and with the machine." if store == "signer" else ""
    return Reply(says=reply.says + hint, document={**reply.document, "store": store}, tables=reply.tables)


def _ending(key: TrustedKey, ends: datetime) -> TrustedKey:
    return msgspec.structs.replace(key, not_after=min(key.not_after, max(ends, key.not_before)))
