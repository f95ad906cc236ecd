"""Which key signs: of those that are held here, in any store, the newest that the root keys trust at this moment.

A key that was made and is not yet trusted signs nothing, one whose window is over neither; so a rotation takes effect
everywhere with the new trust document, also in processes that run on. Each use is counted, exactly, by key.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from holdfast.adapters.doors import Door
from holdfast.core.entitlement import purpose_of
from holdfast.core.errors import NotFound, Refused, Unavailable
from holdfast.core.keystate import signing
from holdfast.core.ports import Clock, KeyStore
from holdfast.core.trust import Trust, TrustedKey


class ChosenKeys:
    """All keys that are held here (port `Keys`): those of persons in one store, those of stages perhaps in another."""

    def __init__(
        self,
        stores: Mapping[str, KeyStore],
        *,
        default: KeyStore,
        clock: Clock,
        origin: str,
        former: Sequence[KeyStore] = (),
    ) -> None:
        """Use a store for each role named, and the default one for the others, which may hold older keys of any role.

        Until `trusting` says whom to ask, nothing is trusted and so nothing signs.

        Args:
            stores: Where keys of a role are made, and sign.
            default: Where those of all other roles are.
            clock: The witness of time.
            origin: The ledger's name.
            former: Stores that keys were moved out of. Theirs can be used and ended; nothing waits for them.
        """
        self._by_role = dict(stores)
        self._default = default
        self._present: Sequence[KeyStore] = tuple({id(store): store for store in (*stores.values(), default)}.values())
        self._stores = (*self._present, *former)
        self._clock = clock
        self._trust: Callable[[], Trust] | None = None
        self._origin = origin
        self._used: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()

    def trusting(self, trust: Callable[[], Trust]) -> None:
        """Say where the trust is read from, at each choice anew."""
        self._trust = trust

    def signer(self, role: str) -> Door:
        """Return the signer of a role: the newest key that is here and that the root keys trust now.

        Raises:
            NotFound: There is none.
            NotVerified: The trust document does not check out.
        """
        if self._trust is None:
            raise NotFound(f"nothing says which key of role {role} is trusted")
        trust, now = self._trust(), self._clock.now()
        chosen = signing(trust, role, {key.keyid for key in self.held()}, now)
        if chosen is None:
            for store in self._stores:  # another process may have made one
                store.refresh()
            chosen = signing(trust, role, {key.keyid for key in self.held()}, now)
        if chosen is None:
            remedy = f"Rotate it with `holdfast key rotate {role}`, or use the machine that holds the key."
            raise NotFound(f"no key of role {role} that is trusted now is held here", remedy=remedy)
        return self.signer_of(chosen.keyid)

    def signer_of(self, keyid: str) -> Door:
        """Return the signer of one key, trusted or not.

        Raises:
            NotFound: It is not here.
        """
        store, key = self._find(keyid)
        door = store.signer_of(keyid)

        def signs(message: bytes) -> bytes:
            signature = door.sign(message)
            self._count(key, message)
            return signature

        return Door(public=key, signs=signs)

    def held(self) -> tuple[TrustedKey, ...]:
        """Return the public halves of all keys that are here; a store that does not answer holds none."""
        found: dict[str, TrustedKey] = {}
        for store in self._stores:
            with suppress(Unavailable):
                found |= {key.keyid: key for key in store.held()}
        return tuple(sorted(found.values(), key=lambda key: (key.role, key.not_before, key.keyid)))

    def make(self, role: str, owner: str, begins: datetime, ends: datetime) -> TrustedKey:
        """Make a key where keys of its role belong, and return its public half.

        Raises:
            Unavailable: The store is locked, or does not answer.
        """
        return self._by_role.get(role, self._default).make(role, owner, begins, ends)

    def destroy(self, keyid: str) -> None:
        """Destroy a private key for good.

        Raises:
            NotFound: It is not here.
            Refused: Its store destroys nothing for a caller.
        """
        self._find(keyid)[0].destroy(keyid)

    def unlock(self) -> None:
        """Open every store that is in use now.

        Raises:
            Unavailable: A secret is missing or wrong, or a store does not answer.
        """
        for store in self._present:
            store.unlock()

    def close(self) -> None:
        """Let every store go."""
        for store in self._stores:
            store.close()

    def custody_of(self, keyid: str) -> str:
        """Say how well a key is isolated from what it signs."""
        try:
            return self._find(keyid)[0].custody()
        except NotFound:
            return "elsewhere"

    def custody(self) -> str:
        """Say in words how the keys that are here are kept."""
        return ", ".join(dict.fromkeys(store.custody() for store in self._present))

    def uses(self) -> list[dict[str, str | int]]:
        """Return how often each key has signed what since this was last asked, exactly."""
        with self._lock:
            counted, self._used = self._used, Counter()
        return [
            {"keyid": keyid, "role": role, "purpose": purpose, "count": count}
            for (keyid, role, purpose), count in sorted(counted.items())
        ]

    def _count(self, key: TrustedKey, message: bytes) -> None:
        try:
            purpose = purpose_of(key.role, message, origin=self._origin)
        except Refused:  # a person's signature beside a stage's, on what that stage says
            purpose = "other"
        with self._lock:
            self._used[key.keyid, key.role, purpose] += 1

    def _find(self, keyid: str) -> tuple[KeyStore, TrustedKey]:
        for attempt in (False, True):
            for store in self._stores:
                if attempt:
                    store.refresh()
                with suppress(Unavailable):
                    for key in store.held():
                        if key.keyid == keyid:
                            return store, key
        raise NotFound("this key is not held here", place=f"key {keyid[:16]}")
