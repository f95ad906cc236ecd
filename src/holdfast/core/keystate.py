"""Where a key stands in its life, and which of several keys signs.

The table says which way a key may go; `state_of` reads where it is from the trust document alone. The document's
windows and revocations are the facts; nothing else is stored, so the two cannot drift apart.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from holdfast.core.machine import Machine
from holdfast.core.trust import Trust, TrustedKey


class KeyState(StrEnum):
    """Where a key stands."""

    PENDING = "pending"  # made, and not yet trusted or not yet in its window: signs nothing
    ACTIVE = "active"  # the newest of its role and owner: signs and verifies
    RETIRING = "retiring"  # has a successor; verifies what it signs until its window ends
    RETIRED = "retired"  # its window is over; what it signed inside, witnessed by the ledger, verifies for ever
    REVOKED = "revoked"  # withdrawn or compromised: nothing that it ever signed verifies


class KeySignal(StrEnum):
    """What can happen to a key."""

    TRUSTED = "trusted"  # the root keys name it, and its window begins
    SUCCEEDED = "succeeded"  # a newer key of its role and owner is active
    RESTORED = "restored"  # its successor was revoked while its own window holds
    ENDED = "ended"  # its window is over
    REVOKED = "revoked"  # the root keys withdraw it


KEYS: Final[Machine[KeyState, KeySignal, str]] = Machine(
    name="key",
    initial=KeyState.PENDING,
    table={
        (KeyState.PENDING, KeySignal.TRUSTED): (KeyState.ACTIVE, ("sign with it",)),
        (KeyState.PENDING, KeySignal.REVOKED): (KeyState.REVOKED, ("refuse what it signed",)),
        (KeyState.ACTIVE, KeySignal.SUCCEEDED): (KeyState.RETIRING, ("sign with its successor",)),
        (KeyState.ACTIVE, KeySignal.ENDED): (KeyState.RETIRED, ()),
        (KeyState.ACTIVE, KeySignal.REVOKED): (KeyState.REVOKED, ("refuse what it signed",)),
        (KeyState.RETIRING, KeySignal.RESTORED): (KeyState.ACTIVE, ("sign with it again",)),
        (KeyState.RETIRING, KeySignal.ENDED): (KeyState.RETIRED, ()),
        (KeyState.RETIRING, KeySignal.REVOKED): (KeyState.REVOKED, ("refuse what it signed",)),
        (KeyState.RETIRED, KeySignal.REVOKED): (KeyState.REVOKED, ("refuse what it signed",)),
    },
)
"""The life of a key; `revoked` is final, and what has retired never signs again."""

ROTATE_AFTER: Final[Mapping[str, timedelta]] = {
    "root": timedelta(days=330),
    "person": timedelta(days=330),
    "gateway": timedelta(days=180),
    "registry": timedelta(days=90),
    "ledger": timedelta(days=180),
}
"""Age at which a key of a role is due. Those that sign what gateways obey at once change more often; the root least."""

ROTATE_OTHERS_AFTER: Final = timedelta(days=180)  # NIST SP 800-57 part 1, 5.3.6 allows signature keys 1 to 3 years
DUE_BEFORE_END: Final = timedelta(days=30)  # a window that ends sooner is due, whatever the key's age


def newest(keys: Iterable[TrustedKey]) -> TrustedKey | None:
    """Return the key whose window began last; of two that began together, the one with the higher id."""
    return max(keys, key=lambda key: (key.not_before, key.keyid), default=None)


def signing(trust: Trust, role: str, held: Collection[str], now: datetime) -> TrustedKey | None:
    """Return the key that signs for a role: the newest that is held here, unrevoked, and inside its window."""
    return newest(key for key in trust.of_role(role) if key.keyid in held and key.not_before <= now < key.not_after)


def state_of(key: TrustedKey, trust: Trust, now: datetime) -> KeyState:
    """Return where a key stands by what the root keys have sealed."""
    if key.keyid in trust.revoked:
        return KeyState.REVOKED
    known = trust.key(key.keyid)
    if known is None or now < known.not_before:
        return KeyState.PENDING
    if now >= known.not_after:
        return KeyState.RETIRED
    peers = (each for each in trust.of_role(key.role) if each.owner == key.owner and each.not_before <= now)
    successor = newest(each for each in peers if now < each.not_after)
    return KeyState.ACTIVE if successor is None or successor.keyid == key.keyid else KeyState.RETIRING


def due_keys(trust: Trust, now: datetime) -> Sequence[tuple[TrustedKey, str]]:
    """Return the active keys that should be rotated by now, each with the reason."""
    found = []
    for key in trust.keys:
        if state_of(key, trust, now) is not KeyState.ACTIVE:
            continue
        age, wanted = now - key.not_before, ROTATE_AFTER.get(key.role, ROTATE_OTHERS_AFTER)
        if age >= wanted:
            found.append((key, f"{age.days} days old, {wanted.days} allowed"))
        elif key.not_after - now <= DUE_BEFORE_END:
            found.append((key, f"its window ends in {(key.not_after - now).days} days"))
    return tuple(found)
