"""Settings: everything the environment may decide, read once, frozen; the only reader of the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.core.errors import InvalidInput

HOME_NAME = ".holdfast"
RECORDS_NAME = "records.json"  # in a gateway's folder: for whom it encrypts its records


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a process was told by its surroundings."""

    unlock_dir: Path  # where unlock secrets of workspaces lie: outside every workspace
    passphrase_file: Path | None  # a file with the passphrase, instead of the unlock secret
    no_colour: bool
    region: str = ""  # where this machine stands, as whoever runs it says; empty: nobody has said
    limits_url: str = ""  # of the store in which gateways on several machines count limits together; empty: none
    features_url: str = ""  # of the online store of features; empty: a file of the workspace
    traces_url: str = ""  # of an OpenTelemetry collector that gateways tell of some calls; empty: none
    traces_share: float = 0.01  # of the traces, which it is told of
    lineage_url: str = ""  # of an OpenLineage endpoint that is told of every run; empty: none
    scratch_dir: Path | None = None  # where rows lie decrypted while they are worked on; memory, where there is enough


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings in an environment, by default this process's own.

    `HOLDFAST_UNLOCK_DIR` and `HOLDFAST_PASSPHRASE_FILE` say where the secret is that unlocks the keys; a systemd
    credential named `holdfast-passphrase` is found by itself. A secret itself is never taken from the environment,
    which every child process would inherit. `HOLDFAST_SCRATCH_DIR` names a folder for decrypted rows of running stages.
    `HOLDFAST_REGION` says where this machine stands, for projects whose data may not be everywhere.
    `HOLDFAST_LIMITS_URL` is the address of the store in which gateways on several machines count limits together.
    `HOLDFAST_FEATURES_URL` is the address of the online store of features, for gateways on other machines.
    `HOLDFAST_LINEAGE_URL` is the OpenLineage endpoint that is told of every run.
    `HOLDFAST_TRACES_URL` is the OpenTelemetry collector that gateways tell of a share of all traces,
    `HOLDFAST_TRACES_SHARE` (0.01).

    Raises:
        InvalidInput: The share is no number.
    """
    source = os.environ if environment is None else environment
    data_home = Path(source.get("XDG_DATA_HOME") or Path(source.get("HOME", "/")) / ".local" / "share")
    unlock = source.get("HOLDFAST_UNLOCK_DIR")
    named = source.get("HOLDFAST_PASSPHRASE_FILE")
    credentials = source.get("CREDENTIALS_DIRECTORY")
    scratch = source.get("HOLDFAST_SCRATCH_DIR")
    credential = Path(credentials) / "holdfast-passphrase" if credentials else None
    return Settings(
        unlock_dir=Path(unlock) if unlock else data_home / "holdfast" / "unlock",
        passphrase_file=Path(named) if named else credential if credential and credential.exists() else None,
        no_colour="NO_COLOR" in source,
        region=source.get("HOLDFAST_REGION", ""),
        limits_url=source.get("HOLDFAST_LIMITS_URL", ""),
        features_url=source.get("HOLDFAST_FEATURES_URL", ""),
        traces_url=source.get("HOLDFAST_TRACES_URL", ""),
        traces_share=_share(source.get("HOLDFAST_TRACES_SHARE", "")),
        lineage_url=source.get("HOLDFAST_LINEAGE_URL", ""),
        scratch_dir=Path(scratch) if scratch else None,
    )


def _share(words: str) -> float:
    try:
        return float(words) if words else 0.01
    except ValueError as error:
        raise InvalidInput(
            f"a share of {words[:20]!r}", place="HOLDFAST_TRACES_SHARE", expected="more than 0, at most 1"
        ) from error
