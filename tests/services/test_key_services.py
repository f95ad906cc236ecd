"""Keys that never leave their service: made, used, wrapping and ended in a token, in AWS KMS and in a transit engine.

One suite for all three: what one of them may do wrong, none of them does.
"""

import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.services.conftest import Bao, Kms

from holdfast.adapters.clock import SystemClock
from holdfast.adapters.key_places import Place, TokenPlace, VaultPlace, parse_place
from holdfast.adapters.kms_service import MAX_MESSAGE, KmsService
from holdfast.adapters.service_keys import Listed, ServiceKeys
from holdfast.adapters.signer_process import STAGES
from holdfast.adapters.token_service import TokenService
from holdfast.adapters.transit_service import TransitService
from holdfast.adapters.wrapped_unlock import open_service
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, NotVerified, Refused, Unavailable
from holdfast.core.trust import check_signature

pytestmark = pytest.mark.services
SORTS = ("token", "kms", "transit")
SECRET = b"s" * 32


@dataclass(frozen=True)
class Served:
    """A service, where it is, and its keys."""

    place: Place
    keys: ServiceKeys


@pytest.fixture
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """One of the three, none of its keys made yet."""
    if request.param == "token":
        place: Place = request.getfixturevalue("token_place")
    elif request.param == "kms":
        place = request.getfixturevalue("kms").place
    else:
        place = request.getfixturevalue("bao").place(tmp_path)
    keys = ServiceKeys(open_service(str(place)), tmp_path / "listed")
    yield Served(place, keys)
    keys.close()


def window() -> tuple[datetime, datetime]:
    """A day from now."""
    return SystemClock().now(), SystemClock().now() + timedelta(days=1)


each_service = pytest.mark.parametrize("served", SORTS, indirect=True)


@each_service
@pytest.mark.parametrize("role", ["assess", "release", "ledger"])
def test_a_key_made_in_a_service_signs_what_we_verify(served: Served, role: str) -> None:
    """By the algorithm that readers of this role's statements know; an empty message, a short and a long one."""
    key = served.keys.make(role, "ada", *window())
    if role == "release":
        assert key.algorithm == "ecdsa-p256"  # `model_signing` knows no other
    if role == "ledger":
        assert key.algorithm == "ed25519"  # as C2SP checkpoints ask for
    for message in (b"m", b"message", b"m" * (3000 if role == "ledger" else 100_000)):
        check_signature(key, message, served.keys.signer_of(key.keyid).sign(message))
    with pytest.raises(NotVerified):
        check_signature(key, b"another", served.keys.signer_of(key.keyid).sign(b"message"))
    with pytest.raises(InvalidInput):
        served.keys.make("emperor", "ada", *window())


@each_service
def test_keys_are_found_by_the_next_process(served: Served, tmp_path: Path) -> None:
    """What is said about them lies in the folder, and what is said about another key is believed of none."""
    key = served.keys.make("train", "ada", *window())
    served.keys.close()
    again = ServiceKeys(open_service(str(served.place)), tmp_path / "listed")
    assert again.held() == (key,)
    check_signature(key, b"m", again.signer_of(key.keyid).sign(b"m"))
    again.close()
    (tmp_path / "listed" / f"{key.keyid}.json").rename(tmp_path / "listed" / f"{'0' * 64}.json")
    with pytest.raises(NotVerified):
        again.refresh()


@each_service
def test_a_key_is_ended_in_its_service(served: Served) -> None:
    """It signs nothing any more, at once and also for whoever kept its listing; another key goes on."""
    gone, kept = served.keys.make("train", "ada", *window()), served.keys.make("assess", "ada", *window())
    signer = served.keys.signer_of(gone.keyid)
    served.keys.destroy(gone.keyid)
    assert served.keys.held() == (kept,)
    with pytest.raises(Unavailable):
        signer.sign(b"m")
    served.keys.signer_of(kept.keyid).sign(b"m")
    with pytest.raises(NotFound):
        served.keys.destroy(gone.keyid)


@each_service
def test_a_key_that_cannot_be_listed_is_ended(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would stay in the service, and nobody would know of it."""
    ended: list[str] = []
    destroy = served.keys.service.destroy

    def noted(name: str) -> None:
        ended.append(name)
        destroy(name)

    monkeypatch.setattr(served.keys.service, "destroy", noted)
    (tmp_path / "listed").write_text("in the way")
    with pytest.raises(Unavailable, match="listed"):
        served.keys.make("train", "ada", *window())
    assert len(ended) == 1
    with pytest.raises(HoldfastError):
        served.keys.service.sign(ended[0], served.keys.service.algorithm_of("train"), b"m")


@pytest.mark.guarantee("G54")
@each_service
def test_another_key_under_a_known_name_is_found_before_anybody_reads_its_signature(
    served: Served, tmp_path: Path
) -> None:
    """Whoever runs the service, or changes the list, has another key sign: nothing leaves us that does not verify."""
    one, other = (served.keys.make("train", "ada", *window()) for _ in range(2))
    file = tmp_path / "listed" / f"{one.keyid}.json"
    said = msgspec.json.decode(file.read_bytes(), type=Listed)
    swapped = msgspec.structs.replace(said, name=served.keys._find(other.keyid).name)
    file.write_bytes(msgspec.json.encode(swapped))
    served.keys.refresh()
    with pytest.raises(NotVerified, match="signature"):
        served.keys.signer_of(one.keyid).sign(b"m")


@each_service
def test_a_secret_is_wrapped_for_one_purpose_and_bound_to_it(served: Served) -> None:
    """It opens with its key, its purpose and unchanged, and not otherwise; after the key has ended not at all."""
    service = served.keys.service
    name, other = service.make_wrapping(), service.make_wrapping()
    wrapped = service.wrap(name, SECRET, bound_to="workspace")
    assert SECRET not in wrapped
    assert service.unwrap(name, wrapped, bound_to="workspace") == SECRET
    service.close()
    assert service.unwrap(name, wrapped, bound_to="workspace") == SECRET
    flipped = wrapped[:-2] + bytes([wrapped[-2] ^ 1]) + wrapped[-1:]
    for key, text, bound_to in (
        (name, wrapped, "another"),
        (name, flipped, "workspace"),
        (name, wrapped[: len(wrapped) // 3], "workspace"),
        (name, b"", "workspace"),
        (other, wrapped, "workspace"),
    ):
        with pytest.raises(HoldfastError):
            service.unwrap(key, text, bound_to=bound_to)
    service.destroy(name, wrapping=True)
    with pytest.raises(Unavailable):
        service.unwrap(name, wrapped, bound_to="workspace")
    with pytest.raises(HoldfastError):
        service.sign(other, "ecdsa-p256", b"m")  # what encrypts signs nothing


@each_service
def test_where_one_key_cannot_be_made_none_is(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A move that breaks off leaves no keys behind that nobody knows of."""
    service, make = served.keys.service, served.keys.service.make
    made: list[tuple[str, bytes]] = []

    def failing(role: str) -> tuple[str, bytes]:
        if len(made) == 2:
            raise Unavailable("the service is gone")
        made.append(make(role))
        return made[-1]

    monkeypatch.setattr(service, "make", failing)
    with pytest.raises(Unavailable):
        served.keys.make_each(STAGES[:3], "ada", *window())
    assert served.keys.held() == ()
    for name, _ in made:
        with pytest.raises(HoldfastError):
            service.sign(name, "ecdsa-p256", b"m")


@pytest.mark.guarantee("G54")
def test_private_halves_cannot_be_had_from_a_transit_engine(bao: Bao, tmp_path: Path) -> None:
    """Not even its administrator exports a key, or gets a backup in plaintext; and says so for ever."""
    service = TransitService(bao.place(tmp_path))
    for name, kind in ((service.make("train")[0], "signing-key"), (service.make_wrapping(), "encryption-key")):
        for path in (f"transit/export/{kind}/{name}", f"transit/backup/{name}"):
            refused = bao.ask("GET", path)
            assert not refused.is_success
            assert "export" in refused.text
        said = bao.ask("GET", f"transit/keys/{name}").json()["data"]
        assert not said["exportable"]
        assert not said["allow_plaintext_backup"]
    service.close()


@pytest.mark.guarantee("G54")
def test_private_halves_cannot_be_had_from_a_token(token_place: TokenPlace) -> None:
    """Sensitive and not extractable, the signing key and the wrapping key."""
    from pkcs11 import Attribute
    from pkcs11.exceptions import PKCS11Error

    service = TokenService(token_place)
    for name in (service.make("train")[0], service.make_wrapping()):
        found = list(service.session._session.get_objects({Attribute.ID: bytes.fromhex(name)}))
        (key,) = [each for each in found if each.object_class.name in {"PRIVATE_KEY", "SECRET_KEY"}]
        assert key[Attribute.SENSITIVE] is True
        assert key[Attribute.EXTRACTABLE] is False
        with pytest.raises(PKCS11Error):
            _ = key[Attribute.VALUE]
    service.close()


def test_kms_signs_ed25519_up_to_a_length_and_takes_its_time_to_delete(kms: Kms) -> None:
    """A longer message is refused here; a signing key goes after 7 days, a wrapping key after 30."""
    service = KmsService(kms.place)
    name, _ = service.make("ledger")
    service.sign(name, "ed25519", b"m" * MAX_MESSAGE)
    with pytest.raises(InvalidInput, match="4096"):
        service.sign(name, "ed25519", b"m" * (MAX_MESSAGE + 1))
    wrapping = service.make_wrapping()
    service.destroy(name)
    service.destroy(wrapping, wrapping=True)
    for key, days in ((name, 7), (wrapping, 30)):
        said = kms.client.describe_key(KeyId=key)["KeyMetadata"]
        assert said["KeyState"] == "PendingDeletion"
        assert said["Origin"] == "AWS_KMS"
        left = said["DeletionDate"].timestamp() - SystemClock().now().timestamp()
        assert days - 1 < left / 86_400 <= days
    service.close()


def test_keys_are_those_that_the_public_signers_use(kms: Kms, bao: Bao, tmp_path: Path, monkeypatch: Any) -> None:
    """The signers of securesystemslib sign with the same keys, and what they sign verifies as ours does."""
    from securesystemslib.signer import SSlibKey, _aws_signer, _vault_signer

    for module in (_aws_signer, _vault_signer):
        importlib.reload(module)  # `engines.repository` loads them without their clients
    place = bao.place(tmp_path)
    for name, value in {
        "AWS_ENDPOINT_URL_KMS": kms.place.endpoint,
        "AWS_DEFAULT_REGION": kms.place.region,
        "VAULT_ADDR": bao.url,
        "VAULT_TOKEN": bao.policy_token,
    }.items():
        monkeypatch.setenv(name, value)
    for service, role, signer in (
        (KmsService(kms.place), "assess", _aws_signer.AWSSigner),
        (TransitService(place), "assess", _vault_signer.VaultSigner),
    ):
        keys = ServiceKeys(service, tmp_path / signer.__name__)
        key = keys.make(role, "ada", *window())
        uri, public = signer.import_(keys._find(key.keyid).name)
        assert isinstance(public, SSlibKey)
        signature = signer.from_priv_key_uri(uri, public).sign(b"message")
        check_signature(key, b"message", bytes.fromhex(signature.signature))
        keys.close()


def test_a_token_that_was_replaced_is_read_again_and_a_wrong_one_told(bao: Bao, tmp_path: Path) -> None:
    """As an agent renews it: the next use goes through; and no error carries a token."""
    place = bao.place(tmp_path)
    service = TransitService(place)
    name, _ = service.make("train")
    first = service._client
    service.sign(name, "ed25519", b"m")
    assert service._client is first  # the connection is kept
    made = bao.ask("POST", "auth/token/create", {"policies": ["holdfast"]}).json()["auth"]["client_token"]
    place.token_file.write_text(made)
    first.token = "s.revoked"
    service.sign(name, "ed25519", b"m")
    place.token_file.write_text("s.wrong-and-not-to-be-told")
    service.close()
    with pytest.raises(Unavailable) as caught:
        service.check()
    assert "not-to-be-told" not in str(caught.value.document())
    place.token_file.chmod(0o644)
    with pytest.raises(Refused):
        service.check()
    place.token_file.unlink()
    with pytest.raises(NotFound):
        service.check()


def test_a_service_that_is_not_there_is_told(kms: Kms, bao: Bao, tmp_path: Path, monkeypatch: Any) -> None:
    """Nobody listens, a sealed mount, no credentials: `Unavailable`, with what to look at."""
    nobody = "127.0.0.1:1"
    for address in (
        f"awskms://eu-central-1?endpoint=http://{nobody}",
        f"vault://{nobody}/transit?token_file={bao.place(tmp_path).token_file}&allow_http=true",
    ):
        service = open_service(address)
        for use in (service.check, lambda service=service: service.make("train")):
            with pytest.raises(Unavailable) as caught:
                use()
            assert caught.value.remedy
        service.close()
    place = bao.place(tmp_path)
    for mount, prefix in (("other", "holdfast"), ("transit", "p")):  # the token's policy allows only our prefix
        strange = VaultPlace(url=place.url, mount=mount, prefix=prefix, token_file=place.token_file)
        with pytest.raises(Unavailable):
            TransitService(strange).make("train")
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(Unavailable, match="NoCredentials"):
        KmsService(kms.place).check()
    assert parse_place(str(kms.place)) == kms.place
