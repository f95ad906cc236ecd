"""Rotation: new keys, an overlap, and an end, while everything that runs goes on."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.scenarios.keyring import changed
from tests.scenarios.stand import Gateway, evidence, file_evidence, now

from holdfast import app
from holdfast.adapters.clock import SystemClock
from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, NotVerified, Unavailable
from holdfast.core.keystate import KeyState, state_of
from holdfast.core.ledger import open_checkpoint
from holdfast.core.seal import EVIDENCE, TELEMETRY, open_envelope, seal, unseal
from holdfast.core.trust import ROLES, raw_ed25519
from holdfast.lifecycle.loop import watch
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.proof import why
from holdfast.lifecycle.reply import short
from holdfast.lifecycle.rotation import keys_due, rewrap, rotate
from holdfast.lifecycle.verification import verify
from holdfast.testing.clock import SettableClock

SUBJECT = digest_bytes(b"a model")


def states(plant: Plant, role: str) -> list[KeyState]:
    """Where the keys of a role stand, oldest first."""
    own = sorted((key for key in plant.trust.keys if key.role == role), key=lambda key: key.not_before)
    return [state_of(key, plant.trust, plant.clock.now()) for key in own]


@pytest.mark.requirement("ACC-11", by="holdfast.lifecycle.rotation:rotate")
@pytest.mark.guarantee("G25")
def test_every_key_is_rotated_under_traffic_and_nothing_that_runs_breaks(producing: Plant) -> None:
    """Gateway and control plane run on through a rotation of each role, and through the end of the old keys.

    The gateway, pinned to the first root, takes up trust, routes and its own new identity by itself; its telemetry goes
    on in one chain; what the old keys signed verifies, and the old keys have retired.
    """
    gateway, release = Gateway(producing), now(producing).baseline
    rows = gateway.rows(release)
    gateway.traffic(rows[:50])
    before = {key.role: key.keyid for key in producing.trust.keys}
    for overlap in ("7d", "0s"):
        rotate(producing, role="all", overlap=overlap)
        gateway.loader.refresh()
        assert gateway.answers_with(rows) == short(release)
    gateway.traffic(rows[:50])
    assert not [row for row in watch(producing).document["signals"] if "verify" in row["words"]]
    assert gateway.gateway.state is not None
    assert gateway.gateway.state.lease > producing.clock.now()
    for role in ROLES:
        assert states(producing, role)[0] in {KeyState.RETIRED, KeyState.RETIRING}
        assert states(producing, role)[-1] is KeyState.ACTIVE
        assert before[role] in {key.keyid for key in producing.trust.keys}
    said = [entry for entry in producing.ledger.entries() if entry.kind == "telemetry.drained"]
    newest = producing.blobs.get(said[-1].body["envelope"])
    assert open_envelope(newest)[1][0].keyid == gateway.recorder.signer.keyid != before["gateway"]
    unseal(newest, TELEMETRY, producing.trust, at=said[-1].moment)
    assert verify(producing).exit_code == 0
    assert all(link["verified"] for link in why(producing).document["chain"])


def test_a_key_is_active_then_retiring_then_retired(bare: Path) -> None:
    """The old key verifies inside its overlap and signs nothing after; what it signed inside verifies for ever."""
    clock = SettableClock(SystemClock().now())
    with app.open_plant(bare, clock=clock) as plant:
        old = plant.keys.signer("train")
        clock.advance(timedelta(days=10))
        rotate(plant, role="train", overlap="2d")
        assert states(plant, "train") == [KeyState.RETIRING, KeyState.ACTIVE]
        new = plant.keys.signer("train")
        assert new.keyid != old.keyid
        item = evidence(SUBJECT, "train.split/1", overlap_ids=0)
        sealed = seal(item, EVIDENCE, [old])
        inside = clock.now()
        unseal(sealed, EVIDENCE, plant.trust, at=inside)
        clock.advance(timedelta(days=3))
        assert states(plant, "train") == [KeyState.RETIRED, KeyState.ACTIVE]
        unseal(sealed, EVIDENCE, plant.trust, at=inside)
        with pytest.raises(NotVerified):
            unseal(seal(item, EVIDENCE, [old]), EVIDENCE, plant.trust, at=clock.now())
        unseal(seal(item, EVIDENCE, [new]), EVIDENCE, plant.trust, at=clock.now())


def test_checkpoints_by_the_old_ledger_key_still_open(bare: Path) -> None:
    """Signed before the rotation, kept elsewhere: opened with the key of then; new ones are signed by the new key."""
    with app.open_plant(bare) as plant:
        (first,) = plant.trust.of_role("ledger")
        kept = plant.ledger.checkpoint()
        rotate(plant, role="ledger", overlap="0s")
        newest = max(plant.trust.of_role("ledger"), key=lambda key: key.not_before)
        opened = open_checkpoint(kept, origin=plant.origin, public_key=raw_ed25519(first))
        plant.ledger.verify([opened])
        after = plant.ledger.checkpoint()
        with pytest.raises(NotVerified):
            open_checkpoint(after, origin=plant.origin, public_key=raw_ed25519(first))
        open_checkpoint(after, origin=plant.origin, public_key=raw_ed25519(newest))
    with app.open_plant(bare) as again:
        again.ledger.verify([opened])
        again.ledger.checkpoint()


def test_another_process_that_is_open_takes_up_the_new_key(bare: Path) -> None:
    """A control plane that was opened before a rotation signs by the new key after it."""
    with app.open_plant(bare) as running:
        before = running.keys.signer("assess").keyid
        with app.open_plant(bare) as other:
            rotate(other, role="assess", overlap="0s")
        assert running.keys.signer("assess").keyid != before
        file_evidence(running, evidence(SUBJECT, "assess.quality/1", auc=1.0))


@pytest.mark.requirement("ACC-11", by="holdfast.lifecycle.rotation:rotate")
def test_what_is_due_is_rotated_on_schedule(bare: Path) -> None:
    """Nothing is due at first; after its role's age a key is, is listed with the reason, and is rotated."""
    clock = SettableClock(SystemClock().now())
    with app.open_plant(bare, clock=clock) as plant:
        assert keys_due(plant).document["due"] == []
        assert rotate(plant, due=True).document["rotated"] == []
        clock.advance(timedelta(days=91))
        listed = keys_due(plant).document["due"]
        assert [(item["role"], item["here"]) for item in listed] == [("registry", True)]
        assert [item["role"] for item in rotate(plant, due=True).document["rotated"]] == ["registry"]
        assert keys_due(plant).document["due"] == []
        clock.advance(timedelta(days=100))
        roles = {item["role"] for item in rotate(plant, due=True).document["rotated"]}
        assert roles == set(ROLES) - {"root", "person"}
        clock.advance(timedelta(days=150))
        assert "root" in {item["role"] for item in rotate(plant, due=True).document["rotated"]}
        clock.advance(timedelta(days=100))
        assert plant.trust.expires > clock.now()


def test_a_key_that_was_made_and_never_vouched_for_signs_nothing(bare: Path) -> None:
    """A rotation that died between making and vouching leaves a key that nobody uses; the next rotation goes on."""
    with app.open_plant(bare) as plant:
        before = plant.keys.signer("train").keyid
        plant.keys.make("train", "ada", plant.clock.now(), plant.clock.now() + timedelta(days=9))
        assert plant.keys.signer("train").keyid == before
        rotate(plant, role="train")
        assert plant.keys.signer("train").keyid != before
        assert len(changed(plant)) == 1


@pytest.mark.parametrize(
    "asked", [{"role": "emperor"}, {}, {"role": "train", "overlap": "forever"}, {"role": "train", "days": 0}]
)
def test_a_rotation_of_nothing_or_for_ever_is_refused(bare: Path, asked: dict) -> None:
    """An unknown role, none at all, an overlap that never ends, keys without a day."""
    with app.open_plant(bare) as plant:
        with pytest.raises(InvalidInput):
            rotate(plant, **asked)
        assert not changed(plant)


def test_a_role_whose_keys_are_elsewhere_is_not_rotated_here(bare: Path) -> None:
    """Without the key there is nothing to follow it."""
    (bare / ".holdfast" / "keys" / "train.json").unlink()
    with app.open_plant(bare) as plant, pytest.raises(NotFound, match="train"):
        rotate(plant, role="train")


def test_the_secret_of_the_keys_is_changed_and_the_keys_stay(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a new random file, then to a passphrase: the same keys sign, the secrets of before open nothing."""
    with app.open_plant(bare) as plant:
        before = {key.keyid for key in plant.keys.held()}
        old = Path(str(rewrap(plant).document["unlock"]))
    with app.open_plant(bare) as plant:
        plant.keys.signer("train").sign(b"m")
        words = tmp_path / "passphrase"
        words.touch(mode=0o600)
        words.write_text("several words that nobody puts together")
        rewrap(plant, new_passphrase_file=words)
    with app.open_plant(bare) as plant, pytest.raises(Unavailable):
        plant.unlock()
    assert old.exists()
    monkeypatch.setenv("HOLDFAST_PASSPHRASE_FILE", str(words))
    with app.open_plant(bare) as plant:
        plant.keys.signer("train").sign(b"m")
        assert {key.keyid for key in plant.keys.held()} == before
        weak = tmp_path / "weak"
        weak.touch(mode=0o600)
        weak.write_text("short")
        with pytest.raises(HoldfastError):
            rewrap(plant, new_passphrase_file=weak)
        plant.unlock()
