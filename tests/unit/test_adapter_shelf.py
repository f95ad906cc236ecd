"""What is published: readable for the gateways it is published for, for nobody else, and never believed for that."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from holdfast.adapters.opener import Opener, make_opener
from holdfast.adapters.published import PublishedFolder
from holdfast.adapters.records import RECORDS_KEY, encrypt_record, keep_recipient, read_recipient
from holdfast.adapters.sealed_blobs import Windows
from holdfast.adapters.shelf import ShelfFolder
from holdfast.adapters.shelf_key import SHELF_FILE, ShelfKey
from holdfast.adapters.unlock import create_unlock_file, unlock_file
from holdfast.adapters.unsealing import Unsealed, remove_plain
from holdfast.adapters.vault import Vault, create_vault
from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, NotVerified, Refused, Unavailable
from holdfast.testing.clock import SettableClock

MODEL = b"the weights of a model, which nobody else is to read" * 40


@dataclass
class Plane:
    """A control plane that publishes, and gateways that read."""

    root: Path
    openers: list[Opener] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.unlock = create_unlock_file(self.root / "secrets" / "plane", outside=self.root / "vault")
        create_vault(self.root / "vault", self.unlock)
        self.add("first")

    def add(self, name: str) -> Opener:
        """One gateway more."""
        (self.root / name).mkdir()
        self.openers.append(make_opener(self.root / name, self.root / "secrets", outside=self.root / name))
        return self.openers[-1]

    def shelf(self, *, locked: bool = False) -> ShelfFolder:
        vault = Vault(self.root / "vault", unlock_file(self.root / "nowhere") if locked else self.unlock)
        key = ShelfKey(
            vault=vault,
            path=self.root / "vault" / SHELF_FILE,
            recipients=lambda: tuple(opener.recipient() for opener in self.openers),
            clock=SettableClock(),
        )
        return ShelfFolder(folder=self.root / "published", key=key, windows=Windows(self.root / "windows"))

    def publish(self, *blobs: bytes) -> None:
        """What a publishing does: the key, the blobs, the documents."""
        shelf = self.shelf()
        shelf.prepare()
        for blob in blobs:
            shelf.blobs.put(blob)
        shelf.put({"1.root.json": b"{}"})

    def read(self, data: bytes, opener: Opener | None = None, limit: int = 1 << 20) -> bytes:
        """What a gateway reads."""
        return self.gateway(opener).blob(digest_bytes(data), limit)

    def gateway(self, opener: Opener | None = None) -> Unsealed:
        published = PublishedFolder(self.root / "published")
        return Unsealed(published=published, opener=opener or self.openers[0])

    def raw(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted((self.root / "published").rglob("*")) if path.is_file())

    def entry(self, data: bytes) -> Path:
        name = digest_bytes(data).removeprefix("sha256:")
        (found,) = (self.root / "published" / "index" / name[:2] / name[2:]).iterdir()
        return found

    def lies(self, data: bytes) -> Path:
        name = self.entry(data).read_text().removeprefix("sha256:")
        return self.root / "published" / "blobs" / "sha256" / name[:2] / name[2:]


@pytest.fixture
def plane(tmp_path: Path) -> Plane:
    """A control plane that has published one model."""
    made = Plane(tmp_path)
    made.publish(MODEL)
    return made


@pytest.mark.guarantee("G60")
def test_a_gateway_reads_what_is_published_and_nobody_else_does(plane: Plane, tmp_path: Path) -> None:
    """A copy of the folder reads nothing: neither alone, nor with the gateway's own folder, nor with another key."""
    assert plane.read(MODEL) == MODEL
    assert MODEL[:20] not in plane.raw()
    with pytest.raises(Unavailable, match="stays closed"):
        plane.read(MODEL, Opener(tmp_path / "first", tmp_path / "nowhere"))
    stranger = Plane(tmp_path / "elsewhere").openers[0]
    with pytest.raises(NotVerified, match="not encrypted for this gateway"):
        plane.read(MODEL, stranger)
    with pytest.raises(NotFound, match="key for reading is missing"):
        plane.read(MODEL, Opener(tmp_path, tmp_path / "secrets"))


@pytest.mark.guarantee("G60")
def test_a_gateway_more_rewrites_one_file_and_one_less_reads_nothing_new(plane: Plane) -> None:
    """Who comes reads everything without a blob being written; who goes keeps what it had, and gets no more."""
    before = plane.lies(MODEL).stat().st_mtime_ns, plane.lies(MODEL)
    second = plane.add("second")
    plane.publish(MODEL)
    assert plane.read(MODEL, second) == plane.read(MODEL) == MODEL
    assert (plane.lies(MODEL).stat().st_mtime_ns, plane.lies(MODEL)) == before
    gone = plane.openers.pop(0)
    plane.publish(MODEL, b"a newer model")
    assert plane.read(b"a newer model", second) == b"a newer model"
    assert plane.read(MODEL, second) == MODEL
    for data in (MODEL, b"a newer model"):
        with pytest.raises(NotVerified, match="not encrypted for this gateway"):
            plane.read(data, gone)


def test_a_gateway_that_runs_follows_a_key_that_was_replaced(plane: Plane) -> None:
    """It knows the key that it opened last, and learns another one when it is there."""
    second = plane.add("second")
    plane.publish(MODEL)
    gateway = plane.gateway(second)
    assert gateway.blob(digest_bytes(MODEL), 1 << 20) == MODEL
    plane.openers.pop(0)
    plane.publish(MODEL, b"a newer model")
    assert gateway.blob(digest_bytes(b"a newer model"), 1 << 20) == b"a newer model"


def test_publishing_for_nobody_is_refused(plane: Plane) -> None:
    """Empty means no."""
    plane.openers.clear()
    with pytest.raises(Refused, match="no gateway"):
        plane.publish(MODEL)


def swapped_index(plane: Plane) -> None:
    """The entry of the model names another blob, as good as the first."""
    plane.publish(b"another model")
    plane.entry(MODEL).write_bytes(plane.entry(b"another model").read_bytes())


def index_that_is_none(plane: Plane) -> None:
    """The entry says nothing."""
    plane.entry(MODEL).write_bytes(b"../../../etc/passwd")


def other_bytes(plane: Plane) -> None:
    """Somebody encrypts another model for the gateways: for whom to encrypt is no secret."""
    forged = plane.shelf().key.vault.seal("published", b"a forged model", SettableClock().now())
    name = digest_bytes(forged).removeprefix("sha256:")
    path = plane.root / "published" / "blobs" / "sha256" / name[:2] / name[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(forged)
    plane.entry(MODEL).write_text(f"sha256:{name}")


def flipped_bit(plane: Plane) -> None:
    """One bit of the encrypted bytes."""
    changed = bytearray(plane.lies(MODEL).read_bytes())
    changed[-3] ^= 1
    plane.lies(MODEL).chmod(0o600)
    plane.lies(MODEL).write_bytes(changed)


def key_of_another_name(plane: Plane) -> None:
    """The document says that the key is another one."""
    path = plane.root / "published" / SHELF_FILE
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"key": "0" * 32}))


def no_document(plane: Plane) -> None:
    """The document is nothing that one could read."""
    (plane.root / "published" / SHELF_FILE).write_bytes(b"{}")


def text_in_place_of_the_key(plane: Plane) -> None:
    """Somebody encrypts a text that is no key for the gateway."""
    from pyrage import encrypt, x25519

    path = plane.root / "published" / SHELF_FILE
    sealed = encrypt(b"no key", [x25519.Recipient.from_str(plane.openers[0].recipient())])
    import base64

    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"sealed": base64.b64encode(sealed).decode()}))


@pytest.mark.guarantee("G30")
@pytest.mark.parametrize(
    "attack",
    [
        swapped_index,
        index_that_is_none,
        other_bytes,
        flipped_bit,
        key_of_another_name,
        no_document,
        text_in_place_of_the_key,
    ],
)
def test_whoever_writes_to_the_folder_gets_a_refusal_and_the_next_publishing_puts_it_right(
    plane: Plane, attack: Callable[[Plane], None]
) -> None:
    """Encryption is not trust: what comes out has the digest that signed documents lead to, or does not come out."""
    attack(plane)
    with pytest.raises(NotVerified):
        plane.read(MODEL)
    shelf = plane.shelf()
    try:
        shelf.blobs.check(digest_bytes(MODEL))
    except NotVerified:
        shelf.set_aside(digest_bytes(MODEL))
        assert len(list((plane.root / "published" / "damaged").iterdir())) == 1
    plane.publish(MODEL)
    assert plane.read(MODEL) == MODEL


def test_a_blob_that_is_longer_than_it_may_be_is_refused(plane: Plane) -> None:
    """By its encrypted length before it is decrypted, and by its own length after."""
    assert plane.read(MODEL, limit=len(MODEL)) == MODEL
    with pytest.raises(InvalidInput, match="at most"):
        plane.read(MODEL, limit=len(MODEL) - 1)
    long = b"x" * (1 << 20)
    plane.publish(long)
    with pytest.raises(InvalidInput, match="at most"):
        plane.read(long, limit=1 << 19)


def test_without_the_secret_the_encrypted_form_is_checked(plane: Plane) -> None:
    """Whoever only verifies needs no secret, and is told that it was less; whoever publishes anew needs it."""
    assert plane.shelf().blobs.check(digest_bytes(MODEL)) is True
    assert plane.shelf(locked=True).blobs.check(digest_bytes(MODEL)) is False
    plane.shelf(locked=True).put({"1.root.json": b"{}"})
    plane.openers.append(plane.add("second"))
    with pytest.raises(Unavailable, match="stays closed"):
        plane.shelf(locked=True).prepare()
    assert plane.read(MODEL) == MODEL


@pytest.mark.guarantee("G60")
def test_what_lay_in_the_clear_goes_with_the_next_publishing(plane: Plane) -> None:
    """A folder from before, and what a gateway of before had fetched: no step by hand, and no plain file is left."""
    folder = plane.root / "published"
    name = digest_bytes(MODEL).removeprefix("sha256:")
    for root in (folder / "blobs", plane.root / "cache"):
        plain = root / "sha256" / name[:2] / name[2:]
        plain.parent.mkdir(parents=True, exist_ok=True)
        plain.write_bytes(MODEL)
    (folder / "damaged").mkdir()
    (folder / "damaged" / f"{name}.0a0b0c0d").write_bytes(MODEL + b"damaged")
    assert MODEL in plane.raw()
    plane.publish(MODEL)
    assert MODEL[:20] not in plane.raw()
    assert len(list((folder / "damaged").iterdir())) == 1
    remove_plain(plane.root / "cache")
    assert not [path for path in (plane.root / "cache").rglob("*") if path.is_file()]
    assert plane.read(MODEL) == MODEL


def test_a_key_that_nobody_can_encrypt_for_stops_the_publishing(plane: Plane) -> None:
    """The public half of a gateway comes from outside."""
    bad = ShelfKey(
        vault=plane.shelf().key.vault,
        path=plane.root / "vault" / SHELF_FILE,
        recipients=lambda: (plane.openers[0].recipient(), "age1nonsense"),
        clock=SettableClock(),
    )
    with pytest.raises(InvalidInput, match="no age recipient"):
        bad.document()


# Records.


@pytest.mark.guarantee("G59")
def test_a_gateway_encrypts_its_records_and_cannot_read_them(plane: Plane, tmp_path: Path) -> None:
    """It has the public half alone; who has the vault and its secret reads them."""
    vault, now = plane.shelf().key.vault, SettableClock().now()
    path = tmp_path / "first" / "records.json"
    with pytest.raises(NotFound, match="for whom records are encrypted"):
        encrypt_record(path, b"somebody was refused")
    keep_recipient(path, vault.recipient(RECORDS_KEY, now))
    sealed = encrypt_record(path, b"somebody was refused")
    assert b"refused" not in sealed
    assert vault.open(vault.current(RECORDS_KEY, now), sealed) == b"somebody was refused"
    with pytest.raises(NotVerified):
        plane.openers[0].open(sealed)


@pytest.mark.parametrize("content", [b"{", b'{"format":"holdfast-records-1","recipient":"age1nonsense"}'])
def test_records_are_not_written_for_nobody(tmp_path: Path, content: bytes) -> None:
    """A file that names no recipient: nothing is written in the clear instead; the control plane puts it right."""
    path = tmp_path / "records.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(HoldfastError):
        encrypt_record(path, b"a record")
    keep_recipient(path, "age1another")
    assert read_recipient(path) == "age1another"


def test_a_gateways_key_that_was_damaged_is_said(plane: Plane, tmp_path: Path) -> None:
    """It opens nothing, and says what is wrong."""
    (tmp_path / "first" / "opener.json").write_bytes(b"{}")
    with pytest.raises(NotVerified, match="key for reading cannot be read"):
        plane.read(MODEL)


def test_a_digest_is_what_is_asked_for(plane: Plane) -> None:
    """There is no such blob."""
    with pytest.raises(NotFound):
        plane.gateway().blob(Digest("sha256:" + "0" * 64), 10)
