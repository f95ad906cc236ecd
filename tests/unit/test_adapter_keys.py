"""Keys on disk: what opens them, what does not, and what a changed or open file leads to."""

import base64
import json
import os
import shutil
import stat
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters import key_wrap
from holdfast.adapters.key_wrap import SCRYPT_N, new_ring, open_ring, unwrap, wrap
from holdfast.adapters.keys import VALID_FOR, FileKeys, create_keys, open_keys, trusted_keys
from holdfast.adapters.unlock import (
    MIN_PASSPHRASE,
    Unlock,
    create_unlock_file,
    passphrase,
    passphrase_file,
    unlock_file,
)
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, NotFound, NotVerified, Refused, Unavailable
from holdfast.core.ports import KeyStore
from holdfast.core.trust import ROLES, check_signature, keyid_of
from holdfast.testing import SettableClock

SECRET: Final = "correct horse battery staple"
CLOCK: Final = SettableClock()


@pytest.fixture
def unlock(tmp_path: Path) -> Unlock:
    """A random secret outside the workspace."""
    return create_unlock_file(tmp_path / "outside" / "unlock", outside=tmp_path / "workspace")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the keys lie."""
    return tmp_path / "workspace" / "keys"


@pytest.fixture
def keys(root: Path, unlock: Unlock) -> FileKeys:
    """Keys of three roles."""
    return create_keys(root, ["train", "release", "ledger"], owner="ada", clock=CLOCK, unlock=unlock)


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrites a key file in place, as somebody without the secret can."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("role", ["train", "release", "ledger"])
def test_what_a_role_signs_verifies_with_its_public_half(root: Path, keys: FileKeys, unlock: Unlock, role: str) -> None:
    """Made keys and keys opened again sign alike; the release key is P-256, the others are Ed25519."""
    port = open_keys(root, unlock)
    stored: KeyStore = port
    assert stored.custody() == "same-disk"
    public = next(key for key in keys.trusted_keys() if key.role == role)
    assert public.algorithm == ("ecdsa-p256" if role == "release" else "ed25519")
    for signer in (keys.signer(role), port.signer(role)):
        assert (signer.keyid, signer.role) == (public.keyid, role)
        check_signature(public, b"message", signer.sign(b"message"))
    with pytest.raises(NotVerified):
        check_signature(public, b"another message", keys.signer(role).sign(b"message"))


def test_public_halves_carry_owner_and_window_and_need_no_secret(root: Path, keys: FileKeys) -> None:
    """A key is valid from its making for a year, its id is its own hash, and PEM says the same."""
    public = trusted_keys(root)
    assert public == keys.trusted_keys()
    assert [key.role for key in public] == ["ledger", "release", "train"]
    for key in public:
        assert (key.owner, key.not_before, key.not_after) == ("ada", CLOCK.now(), CLOCK.now() + VALID_FOR)
        der = base64.b64decode(key.public)
        assert key.keyid == keyid_of(der)
        loaded = serialization.load_pem_public_key(keys.public_pem(key.role))
        spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        assert loaded.public_bytes(*spki) == der
    assert keys.custody() == "same-disk"


def test_every_role_gets_a_key_of_its_own(root: Path, unlock: Unlock) -> None:
    """As many keys as roles, no two alike."""
    keys = create_keys(root, ROLES, owner="ada", clock=CLOCK, unlock=unlock, valid_for=timedelta(days=1))
    assert len({key.keyid for key in keys.trusted_keys()}) == len(ROLES)
    assert {key.not_after for key in keys.trusted_keys()} == {CLOCK.now() + timedelta(days=1)}


def test_a_role_without_a_key_signs_nothing(keys: FileKeys) -> None:
    """There is no key that signs for everything."""
    with pytest.raises(NotFound, match="root"):
        keys.signer("root")
    with pytest.raises(NotFound, match="root"):
        keys.public_pem("root")


@pytest.mark.guarantee("G19")
def test_files_are_their_owners_alone_and_hold_no_private_key_in_the_clear(root: Path, keys: FileKeys) -> None:
    """Mode 0600 in 0700; neither the Ed25519 nor the P-256 private bytes can be found in any file."""
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    secrets = []
    for role in ("train", "release"):
        keys.signer(role).sign(b"")
        encodings = (serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        secrets.append(keys._opened[keys.signer(role).keyid].private_bytes(*encodings))
    for path in root.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        text = path.read_text()
        for secret in secrets:
            assert base64.b64encode(secret).decode() not in text
            assert base64.b64encode(secret[-32:]).decode().strip("=") not in text
            assert secret[-32:].hex() not in text


def test_the_secret_is_asked_for_when_it_is_needed_and_once(root: Path, keys: FileKeys, unlock: Unlock) -> None:
    """Commands that only read never ask; those that sign ask one time."""
    asked: list[int] = []

    def ask() -> bytes:
        asked.append(1)
        return unlock.secret()

    opened = open_keys(root, Unlock(sort="file", secret=ask))
    signer = opened.signer("train")
    opened.trusted_keys()
    assert not asked
    signer.sign(b"one")
    opened.signer("release").sign(b"two")
    opened.unlock()
    assert len(asked) == 1


def test_threads_that_sign_together_unlock_once(root: Path, keys: FileKeys, unlock: Unlock) -> None:
    """Eight threads, eight valid signatures, one unlocking."""
    asked: list[int] = []

    def ask() -> bytes:
        asked.append(1)
        return unlock.secret()

    opened = open_keys(root, Unlock(sort="file", secret=ask))
    signatures: list[bytes] = []
    threads = [threading.Thread(target=lambda: signatures.append(opened.signer("train").sign(b"m"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(signatures)) == 1
    assert len(signatures) == 8
    assert len(asked) == 1


def test_the_passphrase_opens_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    """A passphrase typed on another keyboard opens; one letter off gives a clear error without either secret in it."""
    root = tmp_path / "keys"
    create_keys(root, ["train"], owner="ada", clock=CLOCK, unlock=passphrase(lambda: "Ångström " + SECRET))
    open_keys(root, passphrase(lambda: "A\u030angstro\u0308m " + SECRET)).signer("train").sign(b"m")
    with pytest.raises(Unavailable, match="passphrase does not open") as caught:
        open_keys(root, passphrase(lambda: "wrong " + SECRET)).signer("train").sign(b"m")
    assert SECRET not in str(caught.value.document())
    with pytest.raises(Unavailable, match="opened by a passphrase"):
        open_keys(root, Unlock(sort="file", secret=lambda: b"x")).unlock()


def test_another_workspaces_unlock_file_does_not_open(tmp_path: Path, root: Path, keys: FileKeys) -> None:
    """The error says which file was tried."""
    other = create_unlock_file(tmp_path / "outside" / "other", outside=tmp_path / "workspace")
    with pytest.raises(Unavailable, match="other: this file does not open these keys"):
        open_keys(root, other).signer("train").sign(b"m")


@pytest.mark.parametrize("text", ["", "short", "x" * (MIN_PASSPHRASE - 1), "x" * 40])
def test_a_passphrase_that_is_easily_guessed_protects_nothing_new(tmp_path: Path, text: str) -> None:
    """Too short, or one letter over and over: refused before any file is written."""
    with pytest.raises(InvalidInput, match=str(MIN_PASSPHRASE)):
        create_keys(tmp_path / "keys", ["train"], owner="ada", clock=CLOCK, unlock=passphrase(lambda: text))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\nsecond line"])
def test_a_passphrase_file_gives_its_first_line(tmp_path: Path, ending: str) -> None:
    """However the editor ended the line."""
    path = tmp_path / "passphrase"
    path.write_bytes((SECRET + ending).encode())
    path.chmod(0o600)
    assert passphrase_file(path).secret() == SECRET.encode()


def test_a_passphrase_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are an error, not a passphrase."""
    path = tmp_path / "passphrase"
    path.write_bytes(b"\xff\xfe" * 20)
    path.chmod(0o600)
    with pytest.raises(InvalidInput, match="UTF-8"):
        passphrase_file(path).secret()


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o602, 0o644, 0o666])
@pytest.mark.guarantee("G19")
def test_a_key_that_others_may_read_or_write_is_refused(root: Path, keys: FileKeys, unlock: Unlock, mode: int) -> None:
    """For group or world, to read or to write: the file is named and so is the remedy."""
    (root / "train.json").chmod(mode)
    for attempt in (lambda: open_keys(root, unlock), lambda: trusted_keys(root)):
        with pytest.raises(Refused, match=r"train\.json.*chmod 600"):
            attempt()


@pytest.mark.parametrize("name", ["unlock", "passphrase"])
def test_an_unlock_secret_that_others_may_read_is_refused(tmp_path: Path, unlock: Unlock, name: str) -> None:
    """Of either sort."""
    path = tmp_path / "outside" / name
    path.touch()
    path.chmod(0o640)
    wanted = unlock_file(path) if name == "unlock" else passphrase_file(path)
    with pytest.raises(Refused, match=r"mode 0640.*chmod 600"):
        wanted.secret()


def test_a_secret_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stranger may change is no secret of ours; what root owns is."""
    path = tmp_path / "passphrase"
    path.write_text(SECRET)
    path.chmod(0o600)
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner == 0:
        assert passphrase_file(path).secret() == SECRET.encode()
        os.chown(path, 12345, -1)
    with pytest.raises(Refused, match="belongs to user"):
        passphrase_file(path).secret()


def test_an_unlock_file_must_lie_outside_the_workspace(tmp_path: Path) -> None:
    """Also through a link: whoever copies the workspace must not copy what opens its keys."""
    (tmp_path / "workspace").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "workspace")
    for path in (tmp_path / "workspace" / "unlock", tmp_path / "link" / "deep" / "unlock"):
        with pytest.raises(Refused, match="beside the keys"):
            create_unlock_file(path, outside=tmp_path / "workspace")
    assert not list((tmp_path / "workspace").iterdir())


def test_an_unlock_file_is_random_private_and_never_overwritten(tmp_path: Path) -> None:
    """256 bits, mode 0600, and no second one in its place: the first may open keys."""
    one, two = (create_unlock_file(tmp_path / name, outside=tmp_path / "workspace") for name in "ab")
    assert len(one.secret()) == len(two.secret()) == 32
    assert one.secret() != two.secret()
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    before = one.secret()
    with pytest.raises(Conflict):
        create_unlock_file(tmp_path / "a", outside=tmp_path / "workspace")
    assert one.secret() == before
    assert before.hex() not in repr(one)


@pytest.mark.parametrize("content", [b"", b"secret", b"holdfast-unlock-1 " + b"0" * 63 + b"\n", b"x" * 5000])
def test_what_is_no_unlock_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty, of another kind, cut or endless: an error with the file's name."""
    path = tmp_path / "unlock"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InvalidInput, match=str(path)):
        unlock_file(path).secret()


@pytest.mark.parametrize("planted", ["absent", "link", "folder"])
def test_a_secret_is_read_from_a_regular_file_only(tmp_path: Path, planted: str) -> None:
    """Nothing, a link or a folder in its place is an error that names the place."""
    path = tmp_path / "unlock"
    if planted == "link":
        path.symlink_to("/dev/zero")
    elif planted == "folder":
        path.mkdir(mode=0o700)
    with pytest.raises(HoldfastError, match=str(path)):
        unlock_file(path).secret()


EDITS: dict[str, Callable[[dict[str, Any]], None]] = {
    "longer window": lambda file: file["public"].update(not_after="2099-01-01T00:00:00Z"),
    "another owner": lambda file: file["public"].update(owner="eve"),
    "another id": lambda file: file["public"].update(keyid="0" * 64),
    "another public key": lambda file: file["public"].update(public="AAAA"),
    "flipped ciphertext": lambda file: file["private"].update(sealed="A" * len(file["private"]["sealed"])),
    "flipped nonce": lambda file: file["private"].update(nonce="A" * 16),
    "empty nonce": lambda file: file["private"].update(nonce=""),
    "no base64": lambda file: file["private"].update(sealed="%%%"),
}


@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS.keys())
def test_a_changed_key_file_signs_nothing(
    root: Path, keys: FileKeys, unlock: Unlock, change: Callable[[dict[str, Any]], None]
) -> None:
    """Whatever of it was changed, the right secret does not open it; the other keys are not harmed."""
    edit(root / "train.json", change)
    opened = open_keys(root, unlock)
    with pytest.raises(NotVerified, match="role train"):
        opened.signer("train").sign(b"m")
    opened.signer("ledger").sign(b"m")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": "holdfast-key-2"}', "\x00" * 70_000])
def test_a_key_file_that_is_none_is_refused(root: Path, keys: FileKeys, unlock: Unlock, content: str) -> None:
    """Emptied, cut, of another format or endless: an error with the file's name, and no traceback."""
    (root / "train.json").write_text(content)
    with pytest.raises(HoldfastError, match=r"train\.json"):
        open_keys(root, unlock)


def test_one_roles_key_cannot_be_put_in_place_of_anothers(root: Path, keys: FileKeys, unlock: Unlock) -> None:
    """Neither by renaming its file nor by renaming its role inside."""
    shutil.copy(root / "train.json", root / "ledger.json")
    with pytest.raises(NotVerified, match=r"ledger\.json"):
        open_keys(root, unlock)
    edit(root / "ledger.json", lambda file: file["public"].update(role="ledger"))
    with pytest.raises(NotVerified, match="role ledger"):
        open_keys(root, unlock).signer("ledger").sign(b"m")


def test_a_ring_that_asks_for_all_memory_is_refused(root: Path, keys: FileKeys, unlock: Unlock) -> None:
    """The cost is one that we wrote, so a planted one neither exhausts nor weakens."""
    for cost in (1 << 40, 2):
        edit(root / "ring.json", partial(dict.update, n=cost))
        with pytest.raises(NotVerified, match=f"cost of {cost}"):
            open_keys(root, unlock).unlock()


def test_keys_are_never_overwritten(root: Path, keys: FileKeys, unlock: Unlock) -> None:
    """A second making leaves the first as it was, and nothing beside it."""
    before = {path.name: path.read_bytes() for path in root.iterdir()}
    with pytest.raises(Conflict, match=str(root)):
        create_keys(root, ["train"], owner="eve", clock=CLOCK, unlock=unlock)
    assert {path.name: path.read_bytes() for path in root.iterdir()} == before
    assert [path.name for path in root.parent.iterdir()] == ["keys"]


def test_keys_appear_all_at_once_or_not_at_all(root: Path, unlock: Unlock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails at any file leaves no folder that looks like keys, and the next making succeeds."""
    synced = 0
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        nonlocal synced
        synced += 1
        if synced == 4:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing)
        with pytest.raises(Unavailable, match="No space left"):
            create_keys(root, ["train", "ledger"], owner="ada", clock=CLOCK, unlock=unlock)
    assert not list(root.parent.iterdir())
    create_keys(root, ["train", "ledger"], owner="ada", clock=CLOCK, unlock=unlock).signer("train").sign(b"m")


@pytest.mark.parametrize(("roles", "owner"), [([], "ada"), (["emperor"], "ada"), (["train"], "  ")])
def test_keys_for_nobody_or_nothing_are_refused(root: Path, unlock: Unlock, roles: list[str], owner: str) -> None:
    """Empty means no: no roles, an unknown one, or nobody who answers for them."""
    with pytest.raises(InvalidInput):
        create_keys(root, roles, owner=owner, clock=CLOCK, unlock=unlock)


def test_an_empty_folder_holds_no_keys(tmp_path: Path, unlock: Unlock) -> None:
    """And says so, with the folder's name."""
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(NotFound, match=str(folder)):
            open_keys(folder, unlock)


def test_no_representation_shows_a_secret(root: Path, keys: FileKeys, unlock: Unlock) -> None:
    """Neither a signer nor the keys nor the unlock print what they hold."""
    signer = keys.signer("train")
    signer.sign(b"m")
    for shown in (repr(signer), repr(keys), repr(unlock)):
        assert unlock.secret().hex() not in shown
        assert "rivate" not in shown


def test_the_gateways_identity_is_a_ring_of_its_own(tmp_path: Path, root: Path, keys: FileKeys) -> None:
    """In another folder with another secret; each side can read the other's public half, and neither can sign as it."""
    secret = create_unlock_file(tmp_path / "gateway-unlock", outside=tmp_path / "workspace")
    folder = tmp_path / "workspace" / "gateway" / "keys"
    create_keys(folder, ["gateway"], owner="gateway-1", clock=CLOCK, unlock=secret)
    (public,) = trusted_keys(folder)
    check_signature(public, b"m", open_keys(folder, secret).signer("gateway").sign(b"m"))
    with pytest.raises(Unavailable):
        open_keys(root, secret).unlock()


@given(content=st.binary(max_size=200), said=st.binary(max_size=50), purpose=st.binary(max_size=50))
def test_what_is_wrapped_comes_back_for_its_purpose_alone(content: bytes, said: bytes, purpose: bytes) -> None:
    """Another purpose, another word about it, another master key: nothing comes back."""
    master = b"m" * 32
    box = wrap(master, purpose=purpose, content=content, said=said)
    assert unwrap(master, purpose=purpose, box=box, said=said) == content
    for wrong in ((b"n" * 32, purpose, said), (master, purpose + b"x", said), (master, purpose, said + b"x")):
        with pytest.raises(NotVerified):
            unwrap(wrong[0], purpose=wrong[1], box=box, said=wrong[2])


def test_no_two_wrappings_share_a_nonce_or_a_salt() -> None:
    """The same content under the same key is never encrypted alike twice."""
    boxes = [wrap(b"m" * 32, purpose=b"p", content=b"c", said=b"") for _ in range(100)]
    assert len({box.nonce for box in boxes}) == len({box.sealed for box in boxes}) == 100
    rings = [new_ring("file", b"s" * 32) for _ in range(3)]
    assert len({ring.salt for ring, _ in rings}) == len({master for _, master in rings}) == 3


def test_a_guess_at_a_passphrase_costs_more_than_one_at_a_random_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ring's cost follows from the sort of secret, and reaches scrypt with r = 8 and p = 1."""
    costs: list[tuple[int, int, int]] = []
    scrypt = Scrypt

    def recording(*, salt: bytes, length: int, n: int, r: int, p: int) -> Any:
        costs.append((n, r, p))
        return scrypt(salt=salt, length=length, n=2, r=1, p=1)

    monkeypatch.setattr(key_wrap, "Scrypt", recording)
    for sort in ("passphrase", "file"):
        ring, master = new_ring(sort, b"s" * 32)
        assert open_ring(ring, Unlock(sort=sort, secret=lambda: b"s" * 32)) == master
    assert costs == [(SCRYPT_N["passphrase"], 8, 1)] * 2 + [(SCRYPT_N["file"], 8, 1)] * 2
    assert SCRYPT_N["passphrase"] >= 1 << 17


def test_a_second_key_of_a_role_signs_beside_the_first(root: Path, keys: FileKeys, unlock: Unlock) -> None:
    """A key made later is the newest of its role, in this process and in the next; the first still signs by its id."""
    first = keys.signer("train")
    later = CLOCK.now() + timedelta(days=1)
    made = keys.make("train", "ada", later, later + timedelta(days=30))
    assert keys.signer("train").keyid == made.keyid
    again = open_keys(root, unlock)
    assert again.signer("train").keyid == made.keyid
    assert {key.keyid for key in again.held() if key.role == "train"} == {first.keyid, made.keyid}
    check_signature(first.public, b"m", again.signer_of(first.keyid).sign(b"m"))
    check_signature(made, b"m", again.signer("train").sign(b"m"))
    with pytest.raises(NotFound):
        again.signer_of("0" * 64)


def test_what_another_process_made_is_found_when_asked(root: Path, keys: FileKeys, unlock: Unlock) -> None:
    """A running process takes up a successor without being started again."""
    made = open_keys(root, unlock).make("train", "ada", CLOCK.now() + timedelta(1), CLOCK.now() + timedelta(9))
    assert keys.signer("train").keyid != made.keyid
    keys.refresh()
    check_signature(made, b"m", keys.signer("train").sign(b"m"))


def test_another_secret_takes_the_place_of_the_first(root: Path, keys: FileKeys, unlock: Unlock) -> None:
    """After rewrapping the old secret opens nothing, the new one everything, and the keys are the same."""
    before = {key.keyid for key in keys.held()}
    new = passphrase(lambda: SECRET)
    keys.rewrap(new)
    keys.signer("train").sign(b"m")
    again = open_keys(root, new)
    assert {key.keyid for key in again.held()} == before
    again.signer("release").sign(b"m")
    with pytest.raises(Unavailable):
        open_keys(root, unlock).unlock()
    assert [path.name for path in root.parent.iterdir()] == ["keys"]
    with pytest.raises(InvalidInput):
        again.rewrap(passphrase(lambda: "short"))
    open_keys(root, new).unlock()
