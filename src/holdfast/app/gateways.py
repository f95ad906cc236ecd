"""What the gateway beside this control plane needs to read and to record; made where it is missing, without asking."""

from pathlib import Path

from holdfast.adapters.opener import OPENER_FILE, Opener, make_opener
from holdfast.adapters.records import RECORDS_KEY, keep_recipient
from holdfast.adapters.unlock import create_unlock_file, unlock_file
from holdfast.adapters.vault import Vault
from holdfast.config import RECORDS_NAME, Settings, gateway_unlock
from holdfast.core.ports import Clock


def equip(own: Path, settings: Settings, workspace: str, vault: Vault, clock: Clock, *, outside: Path) -> str:
    """Return for whom to publish: the public half of the key with which this gateway reads.

    Its secret lies outside of the workspace, beside the workspace's own. Where either of the two is missing, as on a
    new machine after a restore, both are made anew: nothing else rests on them. The gateway is also told for whom to
    encrypt what it records.

    Args:
        own: The gateway's folder.
        settings: They name the folder of unlock secrets.
        workspace: The workspace's name.
        vault: Its data keys.
        clock: The witness of time.
        outside: The project's folder, in which no secret may lie.

    Raises:
        Refused: The folder of unlock secrets lies in the project.
        Unavailable: Something cannot be written.
    """
    keep_recipient(own / RECORDS_NAME, vault.recipient(RECORDS_KEY, clock.now()))
    place = gateway_unlock(settings, workspace)
    if place.exists() and (own / OPENER_FILE).exists():
        return Opener(own, unlock_file(place)).recipient()
    unlock = unlock_file(place) if place.exists() else create_unlock_file(place, outside=outside)
    return make_opener(own, unlock).recipient()
