"""Documented rules of AWS KMS that moto does not keep, kept here, so that what passes there passes at Amazon.

By the API reference of KMS (2014-11-01): 1. `Sign` with MessageType DIGEST takes a digest of the algorithm's length and
does not hash it again; with RAW it takes at most 4096 bytes. 2. There are keys of spec ECC_NIST_EDWARDS25519, which
sign with ED25519_SHA_512 and RAW alone. 3. A key whose deletion is scheduled signs, encrypts and decrypts nothing, and
an ARN names it too. 4. What a symmetric key encrypted is decrypted by that key alone. 5. A key that was just made may
not be known yet to the next request. Each request is counted.
"""

import base64
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

EDWARDS = "ECC_NIST_EDWARDS25519"
OURS = {EDWARDS, "SYMMETRIC_DEFAULT"}  # moto draws an RSA key also for the latter, and never uses it
SHA256 = 32  # bytes
MAX_RAW = 4096  # bytes


@dataclass(frozen=True)
class Rules:
    """What was asked, by operation and key."""

    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    known: set[str] = field(default_factory=set)  # keys that every server has heard of


class EdwardsKey:
    """An Ed25519 key as moto keeps keys."""

    def __init__(self) -> None:
        self.private_key = ed25519.Ed25519PrivateKey.generate()

    def public_key(self) -> bytes:
        der, spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        return self.private_key.public_key().public_bytes(der, spki)


def keep_the_rules(patch: pytest.MonkeyPatch) -> Rules:
    """Make moto keep them until the patch is undone."""
    from moto.core.exceptions import JsonRESTError
    from moto.kms import models, responses, utils
    from moto.kms.exceptions import NotFoundException

    rules = Rules()
    specs, generate = utils.KeySpec.key_specs, utils.generate_private_key
    patch.setattr(utils.KeySpec, "key_specs", classmethod(lambda _: sorted([*specs(), EDWARDS])))
    patch.setattr(models, "generate_private_key", lambda spec: EdwardsKey() if spec in OURS else generate(spec))

    algorithms = models.Key.signing_algorithms.fget  # type: ignore[attr-defined]
    listed = property(lambda key: ["ED25519_SHA_512"] if key.key_spec == EDWARDS else algorithms(key))
    patch.setattr(models.Key, "signing_algorithms", listed)

    def usable(backend: Any, operation: str, name: str) -> Any:
        key = backend.describe_key(name)
        if key.arn not in rules.known:  # 5.
            rules.known.add(key.arn)
            raise NotFoundException(f"Key '{key.arn}' does not exist")
        rules.asked[operation, key.arn] += 1
        if key.key_state != "Enabled":  # 3.
            raise JsonRESTError("KMSInvalidStateException", f"{key.arn} is pending deletion.")
        return key

    def sign(response: Any) -> str:
        asked = {name: response._get_param(name) for name in ("KeyId", "Message", "MessageType", "SigningAlgorithm")}
        key, how = usable(response.kms_backend, "Sign", asked["KeyId"]), asked["SigningAlgorithm"]
        signature = base64.b64encode(signed(key, asked["Message"], asked["MessageType"] or "RAW", how)).decode()
        return json.dumps({"KeyId": key.arn, "Signature": signature, "SigningAlgorithm": how})

    def encrypt(backend: Any, key_id: str, plaintext: bytes, encryption_context: dict[str, str]) -> tuple[bytes, str]:
        usable(backend, "Encrypt", key_id)
        return encrypting(backend, key_id, plaintext, encryption_context)

    def decrypt(
        backend: Any, ciphertext_blob: bytes, encryption_context: dict[str, str], key_id: str | None = None
    ) -> tuple[bytes, str]:
        assert key_id is not None
        usable(backend, "Decrypt", key_id)
        text, actual = decrypting(backend, ciphertext_blob, encryption_context)
        if backend.describe_key(key_id).arn != actual:  # 4.
            raise JsonRESTError("IncorrectKeyException", "The text was encrypted by another key.")
        return text, actual

    def schedule(backend: Any, key_id: str, pending_window_in_days: int) -> float:
        return scheduling(backend, backend.describe_key(key_id).id, pending_window_in_days)  # 3.

    def get_public_key(backend: Any, key_id: str) -> tuple[Any, bytes]:
        usable(backend, "GetPublicKey", key_id)
        return getting(backend, key_id)

    getting = models.KmsBackend.get_public_key
    patch.setattr(models.KmsBackend, "get_public_key", get_public_key)
    scheduling = models.KmsBackend.schedule_key_deletion
    patch.setattr(models.KmsBackend, "schedule_key_deletion", schedule)
    encrypting, decrypting = models.KmsBackend.encrypt, models.KmsBackend.decrypt
    patch.setattr(responses.KmsResponse, "sign", sign)
    patch.setattr(models.KmsBackend, "encrypt", encrypt)
    patch.setattr(models.KmsBackend, "decrypt", decrypt)
    return rules


def signed(key: Any, message: bytes, kind: str, how: str) -> bytes:
    """A signature by a key, or the refusal that KMS documents."""
    from moto.core.exceptions import JsonRESTError

    if how not in key.signing_algorithms or (key.key_spec == EDWARDS and kind != "RAW"):  # 2.
        raise JsonRESTError("ValidationException", "The algorithm does not fit the key or the message type.")
    if len(message) > MAX_RAW or (kind == "DIGEST" and len(message) != SHA256):  # 1.
        raise JsonRESTError("ValidationException", "The message is too long, or no digest of this algorithm.")
    private = key.private_key.private_key
    if key.key_spec == EDWARDS:
        return bytes(private.sign(message))
    hashed = Prehashed(hashes.SHA256()) if kind == "DIGEST" else hashes.SHA256()
    return bytes(private.sign(message, ec.ECDSA(hashed)))
