"""A damaged blob replaced by a good copy: what was damaged is moved away as evidence, and never overwritten.

The good bytes come from elsewhere and are verified before anything is moved. A sealed blob is written anew under each
data key that it lay under, so that erasing one of these keys still erases it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from holdfast.adapters.backup import read_backup
from holdfast.adapters.blobs import DiskBlobs
from holdfast.adapters.durable import PRIVATE_DIRECTORY
from holdfast.adapters.sealed_blobs import Place, SealedBlobs, Windows
from holdfast.adapters.sealed_index import DiskIndex
from holdfast.adapters.sealed_storage import SealedStorage
from holdfast.adapters.unlock import Unlock
from holdfast.adapters.vault import Vault, keyid_of
from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.errors import HoldfastError, NotFound, NotVerified, Unavailable
from holdfast.core.ports import Clock

DAMAGED = "damaged"  # the folder beside the blobs in which they are kept


def move_damaged(place: Place, digest: Digest, kept: Path) -> tuple[str, ...]:
    """Move every stored form of a blob into a folder; return the data keys that it lay under, "" for one in the clear.

    Raises:
        Unavailable: The blobs lie in an object store, which keeps versions of its own; or a file cannot be moved.
    """
    documents, sealed, index = place.documents, place.sealed, place.index
    if not (isinstance(documents, DiskBlobs) and isinstance(sealed, DiskBlobs) and isinstance(index, DiskIndex)):
        remedy = "Bring an earlier version of the object back with the store's own tools."
        raise Unavailable("a blob in an object store is not replaced from here", place=digest, remedy=remedy)
    keys = index.named(digest)
    for keyid in keys:
        with suppress(HoldfastError):  # an entry that cannot be read says nothing of encrypted bytes
            sealed.move_away(index.copies(digest)[keyid], kept)
    for keyid in keys:
        index.forget(digest, keyid)
    try:
        documents.move_away(digest, kept)
    except NotFound:
        return keys
    return (*keys, "")


def replace_damaged(place: Place, vault: Vault, blobs: SealedBlobs, kept: Path, digest: Digest, good: bytes) -> None:
    """Put good bytes in the place of a damaged blob, under each data key that it lay under.

    Raises:
        NotVerified: They do not have the digest.
        NotFound: Nothing is here that says under which key it lay: nothing is ever written in the clear for that.
        Unavailable: Something cannot be written, or the keys are locked.
    """
    if digest_bytes(good) != digest:
        raise NotVerified("this is no good copy", place=digest)
    names = {keyid_of(key): key.name for key in vault.stored()} | {"": ""}
    under = [names[keyid] for keyid in move_damaged(place, digest, kept) if keyid in names]
    if not under:
        raise NotFound("nothing says under which key this blob lay", place=digest)
    for name in under:
        (blobs.under(name) if name else blobs).put(good)


@contextmanager
def backup_opened(
    file: Path, unlock: Unlock, vault: Vault, clock: Clock, room: Path, into: Callable[[SealedStorage, Digest], None]
) -> Iterator[Callable[[Digest], None]]:
    """Yield what brings a blob back from a backup of this workspace: verified, and under the keys it lay under there.

    Args:
        file: The backup.
        unlock: What opens it.
        vault: The workspace's data keys.
        clock: For the vault.
        room: Where it is unpacked meanwhile.
        into: Takes a blob over from the place that it is given.

    Raises:
        InvalidInput: This is not a backup.
        NotVerified: It was changed.
        Unavailable: The secret does not open it, or there is no room for it.
    """
    room.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    with TemporaryDirectory(dir=room, prefix="backup-") as folder:
        workspace = Path(folder) / "workspace"
        read_backup(file, unlock, workspace)
        documents, sealed = DiskBlobs(workspace / "blobs"), workspace / "sealed"
        place = Place(documents=documents, sealed=DiskBlobs(sealed / "bytes"), index=DiskIndex(sealed / "index"))
        windows = Windows(Path(folder) / "open")

        def bring(digest: Digest) -> None:
            SealedBlobs(place, vault, windows, clock).check(digest)
            into(SealedStorage(place), digest)

        try:
            yield bring
        finally:
            windows.close()
