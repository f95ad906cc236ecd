"""Keys in a PKCS#11 token, tested with SoftHSM: made there, used there, not to be had from there."""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.services.test_signer_process import evidence

from holdfast import app
from holdfast.adapters.clock import SystemClock
from holdfast.adapters.signer_process import STAGES
from holdfast.adapters.token_keys import TokenKeys
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, NotVerified, Refused, Unavailable
from holdfast.core.seal import EVIDENCE, seal, unseal
from holdfast.core.trust import check_signature
from holdfast.lifecycle.custody import custody

MODULE = next(
    (
        path
        for path in map(Path, ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"))
        if path.exists()
    ),
    None,
)
pytestmark = [
    pytest.mark.skipif(
        MODULE is None or shutil.which("softhsm2-util") is None, reason="SoftHSM is not here: run `make services`"
    ),
]
PIN = "314159"


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh SoftHSM token for this module: the library reads its configuration once in a process."""
    pytest.importorskip("pkcs11")
    folder = tmp_path_factory.mktemp("hsm")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    pin = folder / "pin"
    pin.touch(mode=0o600)
    pin.write_text(PIN + "\n")
    patch = pytest.MonkeyPatch()
    patch.setenv("SOFTHSM2_CONF", str(configuration))
    command = ["softhsm2-util", "--init-token", "--free", "--label", "holdfast", "--pin", PIN, "--so-pin", "271828"]
    subprocess.run(command, check=True, capture_output=True)
    yield folder
    patch.undo()


@pytest.fixture
def token(hsm: Path, tmp_path: Path) -> Iterator[TokenKeys]:
    """The token's keys, none made yet."""
    assert MODULE is not None
    found = TokenKeys(module=MODULE, label="holdfast", pin_file=hsm / "pin", folder=tmp_path / "token")
    yield found
    found.close()


def window() -> tuple[datetime, datetime]:
    """A day from now."""
    return SystemClock().now(), SystemClock().now() + timedelta(days=1)


@pytest.mark.parametrize(("role", "algorithm"), [("assess", "ed25519"), ("release", "ecdsa-p256")])
def test_a_key_made_in_the_token_signs_and_cannot_be_had(token: TokenKeys, role: str, algorithm: str) -> None:
    """Both algorithms verify with the public half; the private one is sensitive and not extractable."""
    from pkcs11 import Attribute, ObjectClass
    from pkcs11.exceptions import PKCS11Error

    key = token.make(role, "ada", *window())
    assert key.algorithm == algorithm
    for message in (b"", b"message", b"m" * 100_000):
        check_signature(key, message, token.signer_of(key.keyid).sign(message))
    with pytest.raises(NotVerified):
        check_signature(key, b"another", token.signer_of(key.keyid).sign(b"message"))
    private = token._session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=bytes.fromhex(key.keyid))
    assert private[Attribute.SENSITIVE] is True
    assert private[Attribute.EXTRACTABLE] is False
    with pytest.raises(PKCS11Error):
        _ = private[Attribute.VALUE]
    assert token.custody() == "hsm"


def test_the_session_is_held_open_and_opened_again_when_the_token_drops_it(token: TokenKeys) -> None:
    """One login for many signatures; a session that is gone costs one more, not an error."""
    key = token.make("train", "ada", *window())
    signer = token.signer_of(key.keyid)
    signer.sign(b"one")
    session = token._session
    signer.sign(b"two")
    assert token._session is session
    session.close()
    check_signature(key, b"three", signer.sign(b"three"))


def test_keys_are_found_by_the_next_process(token: TokenKeys, hsm: Path, tmp_path: Path) -> None:
    """What is said about them lies in the folder; without the token behind it, it signs nothing."""
    assert MODULE is not None
    key = token.make("train", "ada", *window())
    token.close()
    again = TokenKeys(module=MODULE, label="holdfast", pin_file=hsm / "pin", folder=tmp_path / "token")
    assert again.held() == (key,)
    check_signature(key, b"m", again.signer_of(key.keyid).sign(b"m"))
    again.close()
    with pytest.raises(NotFound):
        again.signer_of("0" * 64)
    (tmp_path / "token" / f"{key.keyid}.json").rename(tmp_path / "token" / f"{'0' * 64}.json")
    with pytest.raises(NotVerified):
        again.refresh()


def test_a_key_is_destroyed_in_the_token(token: TokenKeys) -> None:
    """Gone from the token and from the list; another key goes on."""
    gone, kept = token.make("train", "ada", *window()), token.make("assess", "ada", *window())
    signer = token.signer_of(gone.keyid)
    token.destroy(gone.keyid)
    assert token.held() == (kept,)
    with pytest.raises(HoldfastError):
        signer.sign(b"m")
    token.signer_of(kept.keyid).sign(b"m")
    with pytest.raises(NotFound):
        token.destroy(gone.keyid)


def test_a_wrong_pin_an_open_pin_file_and_a_strange_token_are_told(token: TokenKeys, hsm: Path, tmp_path: Path) -> None:
    """Each with what is missing, and never with the PIN."""
    assert MODULE is not None
    wrong, opened = tmp_path / "wrong", tmp_path / "open"
    for path, mode in ((wrong, 0o600), (opened, 0o644)):
        path.write_text("000000")
        path.chmod(mode)
    cases = (
        (MODULE, "holdfast", wrong, Unavailable),
        (MODULE, "holdfast", opened, Refused),
        (MODULE, "holdfast", tmp_path / "absent", NotFound),
        (MODULE, "another", hsm / "pin", Unavailable),
        (tmp_path / "absent.so", "holdfast", hsm / "pin", Unavailable),
    )
    token.close()
    for module, label, pin, error in cases:
        with pytest.raises(error) as caught:
            TokenKeys(module=module, label=label, pin_file=pin, folder=tmp_path / "t").unlock()
        assert "000000" not in str(caught.value.document())
    with pytest.raises(InvalidInput):
        token.make("emperor", "ada", *window())


def test_a_workspace_moves_its_stage_keys_into_the_token(
    hsm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New keys in the token, vouched for by the root; the old ones end, and what they signed still verifies."""
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "unlock"))
    root = tmp_path / "p"
    root.mkdir()
    app.init(root, owner="ada")
    with app.open_plant(root) as plant:
        before = seal(evidence(), EVIDENCE, [plant.keys.signer("assess")])
        moment = plant.clock.now()
        custody(plant, store="hsm", module=MODULE, token="holdfast", pin_file=hsm / "pin")
    with app.open_plant(root) as plant:
        for role in STAGES:
            assert plant.keys.custody_of(plant.keys.signer(role).keyid) == "hsm"
        after = seal(evidence(), EVIDENCE, [plant.keys.signer("assess")])
        unseal(after, EVIDENCE, plant.trust, at=plant.clock.now())
        unseal(before, EVIDENCE, plant.trust, at=moment)
        plant.ledger.checkpoint()
        plant.ledger.verify(())
        (hsm / "pin").rename(hsm / "away")
        try:
            with app.open_plant(root) as locked, pytest.raises(HoldfastError):
                locked.unlock()
        finally:
            (hsm / "away").rename(hsm / "pin")
