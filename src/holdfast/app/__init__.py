"""Composition root of the control plane: the only place that chooses its adapters, and that makes workspaces.

What a workspace holds and who may unlock it is decided here; what is done with it, in `lifecycle`.
"""

from holdfast.app.card import check_database
from holdfast.app.ledgers import migrate, open_jobs
from holdfast.app.machine import inventory, sandbox, signer, unsafe_edit_ledger
from holdfast.app.making import init, restore
from holdfast.app.opening import code_digest, open_plant
from holdfast.app.people import gateway_new, person_new, person_secret, trust_sign
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
