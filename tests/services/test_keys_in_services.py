"""A workspace whose keys never leave a service: made, used, wrapping, ended there, and every use on record.

The same story in a PKCS#11 token, in AWS KMS and in a transit engine; told by our ledger and the services' own counts.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.services.conftest import Bao, Kms
from tests.services.test_signer_process import evidence, running, sealed

from holdfast import app
from holdfast.adapters.key_places import KmsPlace, Place, TokenPlace
from holdfast.adapters.kms_service import KmsService
from holdfast.adapters.signer_process import STAGES
from holdfast.adapters.token_service import TokenService
from holdfast.adapters.transit_service import TransitService
from holdfast.adapters.wrapped_unlock import WrappedSecret
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, Refused, Unavailable
from holdfast.core.seal import EVIDENCE, seal, unseal
from holdfast.lifecycle.custody import custodies, custody, destroy_ended
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.restoring import backup
from holdfast.lifecycle.rotation import rewrap, rotate

pytestmark = pytest.mark.services
SORTS = ("token", "kms", "transit")


@dataclass(frozen=True)
class Service:
    """A service, and how often it was asked for what by which key."""

    store: str
    place: Place
    asked: Counter[tuple[str, str]]
    said: Callable[[str], int]  # how often the service itself says that it has decrypted with a key

    @property
    def word(self) -> str:
        """What custody says of it."""
        return "hsm" if self.store == "hsm" else "service"


@pytest.fixture
def service(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """One of the three."""
    asked = Counter[tuple[str, str]]()
    for each in (TokenService, KmsService, TransitService):
        for operation in ("sign", "wrap", "unwrap"):
            monkeypatch.setattr(each, operation, counting(asked, operation, getattr(each, operation)))
    if request.param == "token":
        place: Place = request.getfixturevalue("token_place")
        return Service("hsm", place, asked, lambda key: asked["unwrap", key])  # a token keeps no count of its own
    if request.param == "kms":
        kms: Kms = request.getfixturevalue("kms")
        return Service("kms", kms.place, asked, lambda key: kms.rules.asked["Decrypt", key])
    bao: Bao = request.getfixturevalue("bao")
    return Service("vault", bao.place(tmp_path), asked, lambda key: bao.asked(f"transit/decrypt/{key}"))


def counting(asked: Counter[tuple[str, str]], operation: str, use: Callable[..., bytes]) -> Callable[..., bytes]:
    """The same, counted by the key's name."""

    def counted(service: Any, name: str, *args: Any, **named: Any) -> bytes:
        asked[operation, name] += 1
        return use(service, name, *args, **named)

    return counted


each_service = pytest.mark.parametrize("service", SORTS, indirect=True)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh workspace."""
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "unlock"))
    folder = tmp_path / "p"
    folder.mkdir()
    app.init(folder, owner="ada")
    return folder


def move(plant: Plant, service: Service, store: str = "") -> None:
    """Move the stages' keys into a service, or behind a signer that uses it."""
    named: dict[str, Any] = {"service": str(service.place)}
    if service.store == "hsm":
        token: Any = service.place
        named = {"module": token.module, "token": token.label, "pin_file": token.pin_file}
    custody(plant, store=store or service.store, **named)


def on_record(root: Path) -> Counter[tuple[str, str]]:
    """Uses in the ledger, by key and purpose; read without unlocking anything."""
    counted = Counter[tuple[str, str]]()
    with app.open_plant(root) as plant:
        for entry in plant.ledger.stream("keys"):
            for use in entry.body.get("uses", ()):
                counted[use["keyid"], use["purpose"]] += use["count"]
    return counted


def unwraps(uses: Counter[tuple[str, str]], key: str) -> int:
    """How often a key has unwrapped, for whatever."""
    return sum(count for (keyid, purpose), count in uses.items() if keyid == key and purpose != "wrap")


@pytest.mark.requirement("ACC-10", by="holdfast.adapters.service_keys:ServiceKeys.make")
@pytest.mark.requirement("ACC-10", by="holdfast.adapters.use_notes:UseNotes.hand_over")
@pytest.mark.requirement("ACC-10", by="holdfast.adapters.wrapped_unlock:create_wrapped")
@pytest.mark.guarantee("G52")
@pytest.mark.guarantee("G53")
@each_service
def test_keys_are_made_used_wrap_and_end_in_a_service_and_every_use_is_on_record(
    service: Service, root: Path, tmp_path: Path
) -> None:
    """From the first key to the last: what our ledger counts is what the service was asked, by key, exactly."""
    with app.open_plant(root) as plant:  # create
        move(plant, service)
        made = rewrap(plant, wrapped_by=str(service.place)).document
        unlock, first = Path(str(made["unlock"])), str(made["key"])
    with app.open_plant(root) as plant:  # use
        for role in STAGES:
            assert plant.keys.custody_of(plant.keys.signer(role).keyid) == service.word
        assert list(custodies(plant).values()).count(service.word) == len(STAGES)
        documents = [seal(evidence(), EVIDENCE, [plant.keys.signer("assess")]) for _ in range(3)]
        moment, old = plant.clock.now(), plant.keys.signer("assess").keyid
        (name,) = [each for (operation, each), count in service.asked.items() if (operation, count) == ("sign", 3)]
        plant.ledger.checkpoint()
        plant.ledger.verify(())
        plant.unlock()
    kept = unlock.read_bytes()
    with app.open_plant(root) as plant:  # wrap anew, and retire
        second = str(rewrap(plant, wrapped_by=str(service.place)).document["key"])
        rotate(plant, role="assess", overlap="0s")
        ended = destroy_ended(plant).document
        assert old in ended["destroyed"]
        assert ended["wrapping"] == [first]
        for document in documents:  # what the ended key signed inside its window verifies
            unseal(document, EVIDENCE, plant.trust, at=moment)
    with app.open_plant(root) as plant:
        sealed(plant)
        plant.unlock()
        assert destroy_ended(plant).document["wrapping"] == []
    uses = on_record(root)  # audit
    assert uses[old, "evidence"] == service.asked["sign", name] == len(documents)
    for key in (first, second):
        assert uses[key, "wrap"] == service.asked["wrap", key] == 1
        assert unwraps(uses, key) == service.asked["unwrap", key] == service.said(key) > 0
    unlock.write_bytes(kept)  # the unlock file of before, whose key has ended
    with app.open_plant(root) as plant, pytest.raises(Unavailable):
        plant.unlock()


@pytest.mark.guarantee("G52")
@each_service
def test_a_copy_of_the_disk_and_of_the_unlock_file_opens_nothing(
    service: Service, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the service's credentials neither keys nor data open, and no secret of either lies in the copy."""
    with app.open_plant(root) as plant:
        rewrap(plant, wrapped_by=str(service.place))
        plant.sealed("rows").put(b"rows that are nobody else's business")
    with app.open_plant(root) as plant:
        plant.unlock()
        assert plant.export_key("rows").startswith("AGE-SECRET-KEY-")
    thief = tmp_path / "thief"
    shutil.copytree(root, thief / "p")
    shutil.copytree(tmp_path / "unlock", thief / "unlock")
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(thief / "unlock"))
    with without_credentials(service, monkeypatch), app.open_plant(thief / "p") as plant:
        with pytest.raises(HoldfastError):
            plant.unlock()
        with pytest.raises(HoldfastError):
            plant.export_key("rows")
    for path in (each for each in thief.rglob("*") if each.is_file()):
        # A gateway's own secrets open its identity and what is published for it, no key or row of the workspace (N12).
        own = path.parent.name == "gateway" or path.name.startswith("gateway-")
        assert own or b"holdfast-unlock-1 " not in path.read_bytes()


@contextmanager
def without_credentials(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be somewhere where the service does not let us in."""
    if isinstance(service.place, KmsPlace):
        with monkeypatch.context() as patch:
            for name in [each for each in os.environ if each.startswith("AWS_")]:
                patch.delenv(name)
            patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
            for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
                patch.setenv(name, os.devnull)
            yield
        return
    file = service.place.pin_file if isinstance(service.place, TokenPlace) else service.place.token_file
    content = file.read_bytes()
    file.write_bytes(b"000000")
    try:
        yield
    finally:
        file.write_bytes(content)


def test_an_unlock_file_opens_only_what_it_was_made_for(
    token_place: TokenPlace, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Carried to another workspace, also with what it says of itself changed, it opens nothing there."""
    (tmp_path / "q").mkdir()
    app.init(tmp_path / "q", owner="eve")
    with app.open_plant(root) as plant:
        made = rewrap(plant, wrapped_by=str(token_place)).document
    with app.open_plant(tmp_path / "q") as plant:
        rewrap(plant, wrapped_by=str(token_place))
        name = plant.origin
        other = tmp_path / "unlock" / f"{name.replace('/', '-')}.unlock"
    other.write_bytes(Path(str(made["unlock"])).read_bytes())
    with app.open_plant(tmp_path / "q") as plant, pytest.raises(Unavailable, match="opens"):
        plant.unlock()
    said = msgspec.json.decode(other.read_bytes(), type=WrappedSecret)
    other.write_bytes(msgspec.json.encode(msgspec.structs.replace(said, opens=name)))
    with app.open_plant(tmp_path / "q") as plant, pytest.raises(Unavailable, match="another"):
        plant.unlock()
    other.write_bytes(b'{"format":"holdfast-unlock-2"}')
    with app.open_plant(tmp_path / "q") as plant, pytest.raises(Unavailable, match="not an unlock file"):
        plant.unlock()


@pytest.mark.guarantee("G53")
def test_a_key_whose_use_cannot_be_noted_is_not_used(token_place: TokenPlace, root: Path, monkeypatch: Any) -> None:
    """No record, no use: the service is not even asked."""
    with app.open_plant(root) as plant:
        rewrap(plant, wrapped_by=str(token_place))
    asked = Counter[tuple[str, str]]()
    monkeypatch.setattr(TokenService, "unwrap", counting(asked, "unwrap", TokenService.unwrap))
    shutil.rmtree(root / ".holdfast/uses")
    (root / ".holdfast/uses").write_text("in the way")
    with pytest.raises(HoldfastError), app.open_plant(root) as plant:
        plant.unlock()
    assert not asked


@pytest.mark.parametrize("service", ["transit"], indirect=True)
def test_the_signer_starts_unattended_with_a_secret_that_a_service_wraps(service: Service, root: Path) -> None:
    """Killed and started again it signs; each start is a use on record; while it runs its secret stays."""
    with app.open_plant(root) as plant:
        custody(plant, store="signer")
        made = rewrap(plant, signer=True, wrapped_by=str(service.place)).document
        key = str(made["key"])
        assert Path(str(made["unlock"])).read_bytes().startswith(b"{")
        with pytest.raises(InvalidInput):
            rewrap(plant, signer=True, new_passphrase_file=root / "words")
    for _ in range(2):
        with running(root), app.open_plant(root) as plant:
            sealed(plant)
            assert plant.keys.custody_of(plant.keys.signer("assess").keyid) == "other-process"
            with pytest.raises(Conflict, match="runs"):
                rewrap(plant, signer=True, wrapped_by=str(service.place))
    with app.open_plant(root) as plant:
        rewrap(plant, signer=True)  # back to a secret in the clear
        assert destroy_ended(plant).document["wrapping"] == [key]
    uses = on_record(root)
    assert uses[key, "unlock signer"] == 2 + 2  # two starts, the rewrapping to it and from it
    assert uses[key, "wrap"] == 1


@each_service
def test_the_signer_uses_keys_in_a_service(service: Service, root: Path) -> None:
    """The control plane asks the signer, the signer the service; what the signer would not sign stays unsigned."""
    with app.open_plant(root) as plant:
        move(plant, service, store="signer")
    with running(root), app.open_plant(root) as plant:
        sealed(plant)
        plant.ledger.checkpoint()
        for role in STAGES:
            assert plant.keys.custody_of(plant.keys.signer(role).keyid) == service.word
        with pytest.raises(Refused):
            plant.keys.signer("assess").sign(b"anything")
        with pytest.raises(Conflict, match="no signer whose keys"):
            rewrap(plant, signer=True)


def test_a_backup_opens_with_the_service_alone_and_says_that_it_was_opened(
    token_place: TokenPlace, root: Path, tmp_path: Path
) -> None:
    """The unlock file and the service restore it; the use is on record in what was restored."""
    with app.open_plant(root) as plant:
        key = str(rewrap(plant, wrapped_by=str(token_place)).document["key"])
        backup(plant, out=tmp_path / "backup")
    (tmp_path / "again").mkdir()
    app.restore(tmp_path / "again", file=tmp_path / "backup", reason="The disk broke.")
    uses = on_record(tmp_path / "again")
    assert uses[key, "unlock backup"] == 1


def test_keys_in_a_service_that_was_left_are_ended_there(
    token_place: TokenPlace, kms: Kms, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a token to KMS, and on to a signer: the keys before can be ended where they are, when that answers."""
    token = Service("hsm", token_place, Counter(), lambda _: 0)
    with app.open_plant(root) as plant:
        move(plant, token)
    with app.open_plant(root) as plant:
        before = {role: plant.keys.signer(role).keyid for role in STAGES}
        document = seal(evidence(), EVIDENCE, [plant.keys.signer("assess")])
        moment = plant.clock.now()
        custody(plant, store="kms", service=str(kms.place))
    with without_credentials(token, monkeypatch), app.open_plant(root) as plant:
        plant.unlock()  # nobody waits for the token any more
        sealed(plant)
        assert set(before.values()) <= set(destroy_ended(plant).document["left"])
    with app.open_plant(root) as plant:
        ended = destroy_ended(plant).document
        assert set(before.values()) <= set(ended["destroyed"])
        assert not ended["left"]
        unseal(document, EVIDENCE, plant.trust, at=moment)
    names = [bytes.fromhex(keyid) for keyid in before.values()]
    assert not any(held(token_place, name) for name in names)


def held(place: TokenPlace, name: bytes) -> bool:
    """Whether a token holds something of this name."""
    from pkcs11 import Attribute

    service = TokenService(place)
    try:
        return bool(
            service.session.use(place, service, lambda session: list(session.get_objects({Attribute.ID: name})))
        )
    finally:
        service.close()


def test_a_store_and_its_service_must_fit(root: Path, kms: Kms, token_place: TokenPlace) -> None:
    """Halves of a token, a service where none is used, another sort than the store says: nothing is changed."""
    wrong: tuple[dict[str, Any], ...] = (
        {"store": "kms"},
        {"store": "vault", "service": str(kms.place)},
        {"store": "hsm", "service": str(kms.place)},
        {"store": "hsm", "module": token_place.module, "token": "holdfast"},
        {"store": "signer", "service": str(kms.place), "token": "holdfast"},
        {"store": "kms", "service": "awskms://AKIA:secret@eu-central-1"},
        {"store": "cloud"},
    )
    with app.open_plant(root) as plant:
        for asked in wrong:
            with pytest.raises(InvalidInput) as caught:
                custody(plant, **asked)
            assert "secret" not in str(caught.value.document())
        with pytest.raises(InvalidInput):
            rewrap(plant, wrapped_by="https://example.org")
        assert not kms.rules.asked
        sealed(plant)
    assert not (root / ".holdfast/custody.json").exists()
