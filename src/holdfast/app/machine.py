"""What this machine and this installation are: sandbox tiers, servers found, the signer, the code itself."""

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from holdfast.adapters.custody import (
    read_custody,
    served_store,
    socket_of,
)
from holdfast.adapters.inference_probe import ask_models
from holdfast.adapters.sandbox import probe
from holdfast.adapters.signer_process import SignerServer
from holdfast.adapters.tampering import unsafe_edit_entry
from holdfast.adapters.unlock import passphrase_file
from holdfast.app.card import read_card
from holdfast.app.opening import open_plant
from holdfast.app.unlocking import known_signer_unlock, signer_unlock, use_notes
from holdfast.config import read_settings
from holdfast.lifecycle.home import Home
from holdfast.lifecycle.reply import Progress, Reply, Table, silent


def signer(
    root: Path,
    *,
    tell: Callable[[Progress], None] = silent,
    unlock_with: Path | None = None,
    passphrase_from: Path | None = None,
    uid: int | None = None,
) -> Reply:
    """Run the signer of a workspace until it is told to stop: it holds the keys of the stages, and starts unattended.

    Args:
        root: The project's folder.
        tell: Told when it is ready.
        unlock_with: What opens its keys; by default the file that `key custody` made. A systemd credential is one.
        passphrase_from: A passphrase file instead.
        uid: Another user whose processes may ask for signatures, beside its own.

    Raises:
        Conflict: The workspace uses no signer, or another one runs.
        Unavailable: The keys cannot be unlocked, or the socket cannot be listened on.
    """
    home, settings = Home(root=root.resolve()), read_settings()
    card, custody = read_card(home), read_custody(home.workspace)
    named = unlock_with or signer_unlock(settings, card)
    stored = known_signer_unlock(card, named, use_notes(home.workspace))
    unlock = passphrase_file(passphrase_from) if passphrase_from else stored
    store = served_store(home.workspace, custody, unlock)
    place = socket_of(home.workspace, custody)
    uids = frozenset({os.geteuid(), *(() if uid is None else (uid,))})
    server = SignerServer(store, place, origin=card.name, uids=uids)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    words = f"the signer answers on {place}, keys: {store.custody()}"
    server.run(lambda: tell(Progress(stage="signer", state="finished", words=words)))
    return Reply(says="The signer has ended.")


def unsafe_edit_ledger(root: Path, position: int, old: bytes, new: bytes) -> None:
    """Edit a stored ledger entry as somebody with the file would: for the demo and for drills, on a copy.

    Raises:
        NotFound: There is no such entry, or the bytes are not in it.
    """
    unsafe_edit_entry(Home(root=root).workspace / "ledger.db", position, old, new)


def inventory(
    root: Path,
    *,
    tell: Callable[[Progress], None] = silent,
    under: Path | None = None,
    probe: str | None = None,
    key_file: Path | None = None,
) -> Reply:
    """List every model with owner, sensitivity, exposure, stakes, stage and version, and what answers unlisted.

    It looks into other folders and asks servers, on behalf of whoever sits at this machine: it is no question for the
    network. `holdfast.lifecycle.planning_models:models` answers that one.

    Args:
        root: The project's folder.
        tell: Told of progress.
        under: Also list every workspace in the folders below this one.
        probe: Addresses of servers to ask what they answer for, separated by commas.
        key_file: A file with an API key to present to them.

    Raises:
        InvalidInput: An address is none, or the key cannot be read.
    """
    from holdfast.lifecycle.planning_models import find_workspaces, read_key, take_stock

    with open_plant(root, tell=tell) as plant:
        places = find_workspaces(under) if under else ()
        beside = [partial(open_plant, place) for place in places if place != plant.home.root]
        key = read_key(key_file) if key_file else ""
        servers = tuple(url.strip() for url in probe.split(",")) if probe else ()
        return take_stock(plant, beside=beside, servers=servers, ask=partial(ask_models, key=key))


def sandbox(*, tell: Callable[[Progress], None] = silent) -> Reply:
    """Say which sandbox tiers this machine offers, and what is missing for the others."""
    del tell  # nothing here takes long
    reports = probe()
    rows = [
        (
            report.tier,
            "available" if report.available else "missing",
            report.adds,
            "; ".join(report.missing) or "—",
            report.without,
        )
        for report in reports
    ]
    table = Table(title="Sandbox tiers", columns=("tier", "here", "adds", "missing", "without it"), rows=rows)
    document = {
        "tiers": [
            {"tier": r.tier, "available": r.available, "missing": list(r.missing), "adds": r.adds, "without": r.without}
            for r in reports
        ]
    }
    there = [report.tier for report in reports if report.available]
    says = (
        f"Strongest tier here: {there[-1]}."
        if there
        else "No sandbox tier is available here: training will be refused."
    )
    return Reply(says=says, document=document, tables=(table,))
