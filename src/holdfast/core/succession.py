"""How one version of the trust follows another: what may change, by whose signatures, and how a reader follows.

Decides whether a newer trust document may take the place of the present one, and leads from root keys that somebody
pinned long ago to those of today. What the changes are for is the lifecycle's; that they are on record before they take
effect, too.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.seal import TRUST, Verified, claimed, joined, open_envelope, unseal
from holdfast.core.trust import ROLES, Grant, Trust, TrustedKey, check_key

MAX_LINKS: Final = 1000  # rotations of the root that a reader follows: more than one a day for years
_EVER: Final = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
_UNLIMITED: Final = frozenset({"person", "gateway"})  # one of them that ends does not end the trust of all


def successor(
    trust: Trust,
    *,
    keys: Sequence[TrustedKey] | None = None,
    grants: Sequence[Grant] | None = None,
    policies: Sequence[str] | None = None,
    revoked: Sequence[str] | None = None,
    root_threshold: int | None = None,
    witnesses: Sequence[str] | None = None,
    witness_quorum: int | None = None,
) -> Trust:
    """Return the next version of a trust; it expires with the first role whose last key ends."""
    newer = msgspec.structs.replace(
        trust,
        version=trust.version + 1,
        keys=trust.keys if keys is None else tuple(keys),
        grants=trust.grants if grants is None else tuple(grants),
        policies=trust.policies if policies is None else tuple(policies),
        revoked=trust.revoked if revoked is None else tuple(revoked),
        witnesses=trust.witnesses if witnesses is None else tuple(witnesses),
        witness_quorum=trust.witness_quorum if witness_quorum is None else witness_quorum,
        root_threshold=trust.root_threshold if root_threshold is None else root_threshold,
    )
    return msgspec.structs.replace(newer, expires=expiry(newer))


def expiry(trust: Trust) -> datetime:
    """Return when some role that the workspace cannot do without has no key any more."""
    ends: dict[str, datetime] = {}
    for key in trust.keys:
        if key.keyid not in trust.revoked and key.role not in _UNLIMITED:
            ends[key.role] = max(key.not_after, ends.get(key.role, _EVER[0]))
    return min(ends.values(), default=trust.expires)


def check_successor(old: Trust, new: Trust) -> None:
    """Check that a trust document may follow another, whoever has signed it.

    1. It is the next version of the same workspace's. 2. No key is forgotten, renamed, revived or given more time, and
    no revocation is taken back: what was signed long ago must go on to verify, or to fail. 3. Each key is what its id
    says, of a known role, in a window of its own. 4. As many persons hold root keys as must sign. 5. Whoever is granted
    a role has a key to use it with.

    Raises:
        NotVerified: It may not.
    """
    place = f"trust version {new.version}"
    if (new.workspace, new.version) != (old.workspace, old.version + 1):  # 1.
        raise NotVerified("it does not follow this trust", place=place, expected=f"version {old.version + 1}")
    _check_kept(old, new)  # 2.
    _check_new_keys(old, new)  # 3.
    holders = {key.owner for key in new.of_role("root")}
    if not 1 <= new.root_threshold <= len(holders):  # 4.
        words = f"{new.root_threshold} persons must sign and {len(holders)} hold root keys"
        raise NotVerified(words, place=place, expected="at least one, and no more than there are")
    for grant in new.grants:  # 5.
        if grant not in old.grants and grant.person not in {key.owner for key in new.of_role("person")}:
            raise NotVerified("it grants a role to somebody without a key", place=f"grant to {grant.person}")


def _check_kept(old: Trust, new: Trust) -> None:
    place, after = f"trust version {new.version}", {key.keyid: key for key in new.keys}
    if len(after) != len(new.keys):
        raise NotVerified("it names a key twice", place=place)
    for key in old.keys:
        kept = after.get(key.keyid)
        if kept is None or msgspec.structs.replace(kept, not_after=key.not_after) != key:
            raise NotVerified("it forgets or changes a key", place=f"key {key.keyid[:16]}")
        if kept.not_after > key.not_after:
            raise NotVerified("it lengthens the window of a key", place=f"key {key.keyid[:16]}")
    if not set(old.revoked) <= set(new.revoked):
        raise NotVerified("it takes a revocation back", place=place)


def _check_new_keys(old: Trust, new: Trust) -> None:
    known = {key.keyid for key in old.keys}
    for key in new.keys:
        if key.keyid not in known:
            check_key(key)
            if key.role not in ROLES or not key.not_before < key.not_after:
                raise NotVerified("it names a key of no role or without a window", place=f"key {key.keyid[:16]}")


def open_change(document: bytes, old: Trust, *, at: datetime) -> Verified[Trust]:
    """Return the next version of the trust, if it may take the present one's place.

    As TUF 1.0, 5.3.4: a threshold of the present root keys has signed it, and a threshold of its own. So nobody can be
    locked out by keys that nobody holds, and new keys alone decide nothing.

    Raises:
        NotVerified: Too few have signed, or it does not follow.
    """
    newer = unseal(document, TRUST, old, at=at, threshold=old.root_threshold)
    check_successor(old, newer.value)
    unseal(document, TRUST, newer.value, at=at, threshold=newer.value.root_threshold)
    return newer


def differs_in_root(old: Trust, new: Trust) -> bool:
    """Say whether documents signed under one would not verify under the other: a reader needs the link between."""
    return _root(old) != _root(new)


def _root(trust: Trust) -> tuple[int, frozenset[TrustedKey]]:
    return trust.root_threshold, frozenset(trust.of_role("root"))


def follow(pinned: Trust, links: Sequence[bytes], document: bytes, *, now: datetime) -> Verified[Trust]:
    """Return the trust that a document seals, believed by root keys that were pinned at any time before.

    1. Each link is a version of the trust that changed the root: signed by a threshold of the root before it and by a
    threshold of its own. Windows are not looked at: a link proves who was entitled then, and old pins must lead on (TUF
    1.0, 5.3.10 checks the expiry of the last root only). A link newer than the document is not followed: a reader may
    come between the two writes. 2. The document is signed, now, by a threshold of the last root.

    Raises:
        NotVerified: A link or the document is not signed as it must be, or is another workspace's.
    """
    if len(links) > MAX_LINKS:
        raise NotVerified(f"{len(links)} versions of the root", place="roots", expected=f"at most {MAX_LINKS}")
    if pinned.root_threshold < 1:  # empty means no
        raise NotVerified("the pinned root asks for no signature", place="root", expected="at least one")
    root, last = pinned, claimed(document, TRUST).version
    for link in links:  # 1.
        if claimed(link, TRUST).version <= root.version:
            continue  # the pin is newer than this link
        following = unseal(link, TRUST, _for_ever(root), at=now, threshold=root.root_threshold).value
        if following.version > last:
            break
        _check_workspace(following, pinned)
        unseal(link, TRUST, _for_ever(following), at=now, threshold=following.root_threshold)
        root = following
    found = unseal(document, TRUST, root, at=now, threshold=root.root_threshold)  # 2.
    _check_workspace(found.value, pinned)
    return found


def _check_workspace(trust: Trust, pinned: Trust) -> None:
    if trust.workspace != pinned.workspace:
        raise NotVerified("the trust document is for another workspace", place=f"trust version {trust.version}")


def _for_ever(trust: Trust) -> Trust:
    begin, end = _EVER
    keys = tuple(msgspec.structs.replace(key, not_before=begin, not_after=end) for key in trust.of_role("root"))
    return msgspec.structs.replace(trust, keys=keys)


class Links(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file that holds the links: envelopes, oldest first."""

    links: tuple[str, ...] = ()


def parse_links(document: bytes) -> tuple[bytes, ...]:
    """Return the links in their file.

    Raises:
        NotVerified: It is not such a file.
    """
    try:
        return tuple(link.encode() for link in msgspec.json.decode(document, type=Links).links)
    except ValueError as error:  # not UTF-8, not JSON, of another shape
        raise NotVerified(f"the versions of the root cannot be read: {error}", place="roots") from error


def changes(old: Trust, new: Trust) -> list[dict[str, Any]]:
    """Return what a newer trust changes, as it is put on record: made from both, so that nobody can word it kindly."""
    found: list[dict[str, Any]] = []
    before = {key.keyid: key for key in old.keys}
    for key in new.keys:
        about = {"keyid": key.keyid, "role": key.role, "owner": key.owner, "until": key.not_after.isoformat()}
        if key.keyid not in before:
            found.append({"what": "key-added", **about})
        elif before[key.keyid].not_after != key.not_after:
            found.append({"what": "key-cut", **about})
        if key.keyid in new.revoked and key.keyid not in old.revoked:
            found.append({"what": "key-revoked", **about})
    for what, wider, narrower in (("grant-added", new, old), ("grant-removed", old, new)):
        found += [
            {"what": what, "person": grant.person, "role": grant.role, "until": grant.not_after.isoformat()}
            for grant in wider.grants
            if grant not in narrower.grants
        ]
    found += [{"what": "policy-added", "policy": each} for each in new.policies if each not in old.policies]
    found += [{"what": "policy-removed", "policy": each} for each in old.policies if each not in new.policies]
    found += [{"what": "witness-added", "witness": each} for each in new.witnesses if each not in old.witnesses]
    found += [{"what": "witness-removed", "witness": each} for each in old.witnesses if each not in new.witnesses]
    if old.witness_quorum != new.witness_quorum:
        found.append({"what": "witness-quorum", "from": old.witness_quorum, "to": new.witness_quorum})
    if old.root_threshold != new.root_threshold:
        found.append({"what": "threshold", "from": old.root_threshold, "to": new.root_threshold})
    return found


def with_signatures(document: bytes, other: bytes) -> bytes:
    """Return one envelope with the signatures of two over the same payload.

    Raises:
        InvalidInput: They seal different things.
    """
    (payload, mine), (theirs, more) = open_envelope(document), open_envelope(other)
    if payload != theirs:
        raise InvalidInput("the two envelopes seal different things", expected="two signings of one proposal")
    return joined(payload, {signature.keyid: signature for signature in (*mine, *more)}.values())
