"""Loads python-tuf without the clients of clouds and tokens that securesystemslib would load with it where it can.

It looks for them for signers that nothing here uses; they take 0.2 s and 47 MB of each process. Whoever does use one
imports it when it is needed, as `adapters.kms_service` does.
"""

import sys
from typing import Final

UNUSED: Final = ("azure", "boto3", "hvac", "pkcs11")


def _load() -> None:
    absent = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: an import of it fails
    try:
        import tuf.api.metadata  # noqa: F401 - loaded for all who import it by name
    finally:
        for name in absent:
            del sys.modules[name]


_load()
