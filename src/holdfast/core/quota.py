"""Quotas: how much one workspace may take of a machine that others share; set by whoever runs the machine, on record.

The newest entry of the stream counts. Nothing set means no limit.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from holdfast.core.errors import InvalidInput
from holdfast.core.ledger import Draft, Entry

STREAM: Final = "quota"
SET: Final = "quota.set"
MOST: Final = 1 << 53  # what every JSON reader keeps exactly


class Quotas(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a workspace may take at most; 0 where there is no limit."""

    stored_bytes: int = 0  # of blobs as they lie on the disk, the archive included
    jobs: int = 0  # that wait or run
    requests_per_s: int = 0  # that a server process of the control plane answers, whoever asks

    def check(self) -> None:
        """Check that each can be a limit.

        Raises:
            InvalidInput: One is negative, or beyond counting.
        """
        for name, value in msgspec.structs.asdict(self).items():
            if not 0 <= value <= MOST:
                expected = f"0 for no limit, up to {MOST}"
                raise InvalidInput(f"a quota of {value} {name.replace('_', ' ')}", expected=expected)

    def draft(self, actor: str) -> Draft:
        """Return the entry that puts it in force."""
        return Draft(kind=SET, actor=actor, stream=STREAM, body=msgspec.structs.asdict(self))


def quotas_of(entries: Sequence[Entry]) -> Quotas:
    """Return the quotas in force by the stream's entries."""
    last = next((entry for entry in reversed(entries) if entry.kind == SET), None)
    return Quotas() if last is None else msgspec.convert(last.body, Quotas)
