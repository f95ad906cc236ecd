"""What the gateway beside this control plane needs to read and to record; made where it is missing, without asking."""

from pathlib import Path

from holdfast.adapters.opener import Opener, make_opener
from holdfast.adapters.records import RECORDS_KEY, keep_recipient
from holdfast.adapters.vault import Vault
from holdfast.config import RECORDS_NAME, Settings
from holdfast.core.ports import Clock


def equip(own: Path, settings: Settings, vault: Vault, clock: Clock, *, outside: Path) -> Opener:
    """Return the key with which this gateway reads what is published.

    Its secret lies outside of the workspace, beside the workspace's own. Where either of the two is missing, as on a
    new machine after a restore, both are made anew: nothing else rests on them. The gateway is also told for whom to
    encrypt what it records.

    Args:
        own: The gateway's folder.
        settings: They name the folder of unlock secrets.
        vault: The workspace's data keys.
        clock: The witness of time.
        outside: The project's folder, in which no secret may lie.

    Raises:
        Refused: The folder of unlock secrets lies in the project.
        Unavailable: Something cannot be written.
    """
    keep_recipient(own / RECORDS_NAME, vault.recipient(RECORDS_KEY, clock.now()))
    opener = Opener(own, settings.unlock_dir)
    return opener if opener.whole() else make_opener(own, settings.unlock_dir, outside=outside)
