"""OpenSSF Model Signing: bundles frozen once must verify for ever, and every tampering with one must be refused.

`model_signing/bundles.json` holds one folder's files and its bundle as the public package 1.1.1 signed it (with and
without its default list of ignored paths) and as Holdfast did, all with one key that is used nowhere else.
"""

import base64
import copy
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.release.stands import ReleaseKey, key

from holdfast.core.artifact import Digest, File, canonical, digest_bytes, manifest
from holdfast.core.dsse import PAYLOAD_TYPE, pae
from holdfast.core.errors import NotVerified
from holdfast.core.trust import TrustedKey
from holdfast.engines.signing import bundle, model_signing
from holdfast.engines.signing.model_signing import payload, pem, sign, verify

FROZEN: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "model_signing" / "bundles.json").read_text(encoding="utf-8")
)
FILES: Final = {path: digest_bytes(text.encode()) for path, text in FROZEN["files"].items()}
FOLDER: Final = manifest(File(path=path, digest=digest, size=1) for path, digest in FILES.items())
NAMES: Final = sorted(FROZEN["bundles"])
OURS: Final = FROZEN["bundles"]["holdfast-0.1"]
PEER: Final = FROZEN["bundles"]["model_signing-1.1.1"]


def frozen_key() -> TrustedKey:
    """The key of the frozen bundles, as a trust document would list it."""
    return TrustedKey(
        keyid=hashlib.sha256(base64.b64decode(FROZEN["public"])).hexdigest(),
        algorithm="ecdsa-p256",
        public=FROZEN["public"],
        role="release",
        not_before=datetime(2025, 1, 1, tzinfo=UTC),
        not_after=datetime(2026, 1, 1, tzinfo=UTC),
        owner="release",
    )


def renamed(files: dict[str, Digest], to: str) -> dict[str, Digest]:
    """The same files, the model among them under another name."""
    return {(to if path == "model.onnx" else path): digest for path, digest in files.items()}


def check(document: Any, files: dict[str, Digest] | None = None, keys: list[TrustedKey] | None = None) -> None:
    """Verify a bundle over files."""
    found = FILES if files is None else files
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    verify(raw, found.items(), [frozen_key()] if keys is None else keys)


def refused(document: Any, words: str, files: dict[str, Digest] | None = None) -> None:
    """A bundle that must not verify, for the right reason."""
    with pytest.raises(NotVerified, match=words):
        check(document, files)


def statement(bundle: dict[str, Any]) -> dict[str, Any]:
    """What a bundle's payload says."""
    return json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))


def resigned(change: Callable[[dict[str, Any]], object], signer: ReleaseKey | None = None) -> bytes:
    """Our bundle with a changed statement, properly signed again by the release key."""
    said, signer = statement(OURS), signer or key(1)
    change(said)
    raw = json.dumps(said).encode()
    return model_signing.bundle(raw, signer.sign(pae(PAYLOAD_TYPE, raw)), signer.trusted)


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_bundle_verifies_for_ever(name: str) -> None:
    """Also after its key's window: whether the key could sign then is asked of the ledger's time, not of today's."""
    signed = verify(json.dumps(FROZEN["bundles"][name]).encode(), FILES.items(), [frozen_key()])
    assert signed.name == "tumours"
    assert dict(signed.files) == FILES
    assert signed.keyid == frozen_key().keyid


def test_our_statement_is_that_of_the_public_package() -> None:
    """Type, subject with root digest, predicate, and resources in the same order; ours says that nothing is ignored."""
    peer, ours = statement(PEER), json.loads(payload(FOLDER, "tumours"))
    assert peer["predicate"]["serialization"].pop("ignore_paths")
    assert ours["predicate"]["serialization"].pop("ignore_paths") == []
    assert ours == peer
    assert [resource["name"] for resource in ours["predicate"]["resources"]].index("d/b") == 1


def test_the_key_is_named_as_the_public_package_names_it() -> None:
    """By the hash of its PEM form, byte for byte."""
    assert OURS["verificationMaterial"]["publicKey"] == PEER["verificationMaterial"]["publicKey"]
    assert pem(key(1).trusted) == key(1).pem


def test_signing_gives_a_bundle_that_verifies() -> None:
    """Made with the release key over the folder's manifest."""
    check(sign(FOLDER, "tumours", key(1), [key(2).trusted, key(1).trusted]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (lambda f: f | {"model.onnx": digest_bytes(b"x")}, "changed: 'model.onnx'"),
        (lambda f: {k: v for k, v in f.items() if k != "card.md"}, "missing: 'card.md'"),
        (lambda f: f | {"evil.so": digest_bytes(b"x")}, "not signed: 'evil.so'"),
        (lambda f: f | {".gitignore": digest_bytes(b"x")}, "not signed: '.gitignore'"),
        (lambda f: f | {".git/hooks/run": digest_bytes(b"x")}, "not signed: '.git/hooks/run'"),
        (lambda f: renamed(f, "m.onnx"), "renamed: 'model.onnx' to 'm.onnx'"),
        (lambda f: renamed(f, "Model.onnx"), "renamed: 'model.onnx' to 'Model.onnx'"),
        (lambda f: f | {"d/b": f["d.txt"], "d.txt": f["d/b"]}, "changed: 'd.txt', 'd/b'"),
        (lambda f: {k.removeprefix("d/"): v for k, v in f.items()}, "renamed: 'd/b' to 'b'"),
        (lambda _: {}, "missing"),
    ],
    ids=["changed", "deleted", "added", "added as ignored", "added in an ignored folder", "renamed", "case", "swapped",
         "moved", "all deleted"],
)  # fmt: skip
def test_every_change_to_the_folder_is_refused_by_name(
    name: str, tamper: Callable[[dict[str, Digest]], dict[str, Digest]], words: str
) -> None:
    """Contents, names and their pairing are all bound, also where the root digest alone would not notice a swap."""
    refused(FROZEN["bundles"][name], words, tamper(dict(FILES)))


def test_two_files_of_one_name_are_refused() -> None:
    """Which of them would be the verified one?"""
    twice = [*FILES.items(), ("card.md", FILES["card.md"])]
    with pytest.raises(NotVerified, match="listed twice"):
        verify(json.dumps(OURS).encode(), twice, [frozen_key()])


def edited(path: str, value: object) -> dict[str, Any]:
    """Our bundle with one member changed, deleted (`...`) or added."""
    made = copy.deepcopy(OURS)
    *parents, last = path.split("/")
    place: Any = made
    for step in parents:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return made


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("mediaType", "application/vnd.dev.sigstore.bundle.v0.2+json", "not a model signing bundle"),
        ("verificationMaterial/publicKey", ..., "not a model signing bundle"),
        ("verificationMaterial/publicKey/hint", ..., "not a model signing bundle"),
        ("verificationMaterial/publicKey/hint", "", "names a key that is not trusted"),
        ("verificationMaterial/publicKey/hint", "0" * 64, "names a key that is not trusted"),
        ("dsseEnvelope", ..., "not a model signing bundle"),
        ("dsseEnvelope/signatures", [], "0 signatures"),
        ("dsseEnvelope/signatures", OURS["dsseEnvelope"]["signatures"] * 2, "2 signatures"),
        ("dsseEnvelope/signatures/0/sig", "", "signature is wrong"),
        ("dsseEnvelope/signatures/0/sig", "!", "not a model signing bundle"),
        ("dsseEnvelope/signatures/0/sig", PEER["dsseEnvelope"]["signatures"][0]["sig"], "signature is wrong"),
        ("dsseEnvelope/payload", PEER["dsseEnvelope"]["payload"], "signature is wrong"),
        ("dsseEnvelope/payload", "", "signature is wrong"),
        ("dsseEnvelope/payloadType", "text/plain", "payload type"),
    ],
)
def test_a_bundle_whose_parts_were_changed_is_refused(path: str, value: object, words: str) -> None:
    """Stripped, doubled, swapped or replaced signatures, another payload, another media type."""
    refused(edited(path, value), words)


def test_noise_in_place_of_a_bundle_is_refused() -> None:
    """Anything that is not a bundle, and anything too large to be one."""
    for document in (b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b"\x80\x04"):
        refused(document, "not a model signing bundle")


def test_a_bundle_beyond_its_limit_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Size is checked before anything else."""
    monkeypatch.setattr(bundle, "MAX_BUNDLE", 100)
    refused(OURS, "bytes")


@given(st.integers(0, 7), st.data())
def test_one_flipped_bit_of_a_bundle_never_verifies_another_thing(bit: int, data: st.DataObject) -> None:
    """It is refused; or it fell where nothing is said (the unsigned key id, a name nobody reads) and says the same."""
    raw = bytearray(canonical(OURS))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << bit
    try:
        signed = verify(bytes(raw), FILES.items(), [frozen_key()])
    except NotVerified:
        return
    assert dict(signed.files) == FILES
    assert json.loads(raw)["dsseEnvelope"]["payload"] == OURS["dsseEnvelope"]["payload"]


def test_a_stranger_who_signs_with_a_key_of_their_own_is_refused() -> None:
    """Whatever key the bundle names: only trusted ones count, and none trusted refuses everything."""
    foreign = resigned(lambda _: None, signer=key(2))
    refused(foreign, "names a key that is not trusted")
    claimed = json.loads(foreign)
    claimed["verificationMaterial"] = OURS["verificationMaterial"]
    refused(claimed, "signature is wrong")
    with pytest.raises(NotVerified, match="expected keys none"):
        check(OURS, keys=[])


def test_only_a_release_key_may_sign_models() -> None:
    """The same key in another role, or of another algorithm, does not count."""
    for other in (
        msgspec.structs.replace(frozen_key(), role="train"),
        msgspec.structs.replace(frozen_key(), algorithm="ed25519"),
    ):
        with pytest.raises(NotVerified, match="may not sign this"):
            check(OURS, keys=[other])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"), "a statement"),
        (lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"), "a statement"),
        (lambda s: s.update(predicateType="https://model_signing/Digests/v0.1"), "a statement"),
        (lambda s: s.update(subject=[]), "0 subjects"),
        (lambda s: s.update(subject=s["subject"] * 2), "2 subjects"),
        (lambda s: s["subject"][0].update(digest={"sha256": "0" * 64}), "root digest"),
        (lambda s: s["subject"][0].update(digest={"sha512": "0" * 128}), "root digest"),
        (lambda s: s["predicate"].pop("serialization"), "cannot be read"),
        (lambda s: s["predicate"]["serialization"].update(method="shards"), "serialized by 'shards'"),
        (lambda s: s["predicate"]["serialization"].update(hash_type="blake3"), "'blake3'"),
        (lambda s: s["predicate"]["serialization"].update(allow_symlinks=True), "without links"),
        (lambda s: s["predicate"].update(resources=[]), "malformed"),
        (lambda s: s["predicate"]["resources"][0].update(algorithm="md5"), "not hashed by SHA-256"),
        (lambda s: s["predicate"]["resources"][0].update(digest="00"), "malformed"),
        (lambda s: s["predicate"]["resources"][0].update(name="../../etc/passwd"), "malformed"),
        (lambda s: s["predicate"]["resources"][0].update(name="/etc/passwd"), "malformed"),
        (lambda s: s["predicate"]["resources"].append(s["predicate"]["resources"][0]), "malformed"),
        (lambda s: s["predicate"]["resources"].reverse(), "root digest"),
    ],
)
def test_a_signed_statement_that_says_something_else_is_refused(
    change: Callable[[dict[str, Any]], object], words: str
) -> None:
    """A valid signature is not enough: older predicates, other hashes, links, shards and odd paths are not taken."""
    refused(resigned(change), words)


def test_a_resource_renamed_inside_the_statement_keeps_its_root_and_is_still_refused() -> None:
    """The root digest covers contents only; names are compared one by one."""

    def rename(said: dict[str, Any]) -> None:
        model = next(resource for resource in said["predicate"]["resources"] if resource["name"] == "model.onnx")
        model["name"] = "m.onnx"

    refused(resigned(rename), "renamed: 'm.onnx' to 'model.onnx'")


def test_a_faulty_signer_never_gets_its_signature_out() -> None:
    """A bundle is verified before it is handed out: a wrong key or a fault while signing is noticed at once."""

    class Faulty:
        keyid = key(1).keyid

        def sign(self, message: bytes) -> bytes:
            return key(2).private.sign(message, ec.ECDSA(hashes.SHA256()))

    with pytest.raises(NotVerified, match="signature is wrong"):
        sign(FOLDER, "tumours", Faulty(), [key(1).trusted])
    with pytest.raises(NotVerified, match="not a trusted key"):
        sign(FOLDER, "tumours", key(1), [key(2).trusted])
    with pytest.raises(NotVerified, match="may not sign this"):
        sign(FOLDER, "tumours", key(3, role="train"), [key(3, role="train").trusted])
