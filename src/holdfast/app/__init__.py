"""Composition root of the control plane: the only place that chooses its adapters, and that makes workspaces.

What a workspace holds and who may unlock it is decided here; what is done with it, in `lifecycle`.

Each name is loaded when it is first used: a worker that waits for a job holds the queue, and not what would open a
workspace.
"""

from typing import TYPE_CHECKING, Final

from holdfast.core.lazy import first_used

if TYPE_CHECKING:
    from holdfast.app.card import check_database
    from holdfast.app.ledgers import migrate
    from holdfast.app.machine import inventory, sandbox, signer, unsafe_edit_ledger
    from holdfast.app.making import init, restore
    from holdfast.app.opening import code_digest, open_plant
    from holdfast.app.people import gateway_new, person_new, person_secret, trust_sign
    from holdfast.app.queue import open_jobs
    from holdfast.app.trusting import read_trust

__all__ = [
    "check_database",
    "code_digest",
    "gateway_new",
    "init",
    "inventory",
    "migrate",
    "open_jobs",
    "open_plant",
    "person_new",
    "person_secret",
    "read_trust",
    "restore",
    "sandbox",
    "signer",
    "trust_sign",
    "unsafe_edit_ledger",
]

_HOMES: Final = {
    "check_database": "card",
    "code_digest": "opening",
    "gateway_new": "people",
    "init": "making",
    "inventory": "machine",
    "migrate": "ledgers",
    "open_jobs": "queue",
    "open_plant": "opening",
    "person_new": "people",
    "person_secret": "people",
    "read_trust": "trusting",
    "restore": "making",
    "sandbox": "machine",
    "signer": "machine",
    "trust_sign": "people",
    "unsafe_edit_ledger": "machine",
}
__getattr__ = first_used(__name__, _HOMES, globals())
