"""AWS KMS as a service that holds keys.

Digests are made here, so that a statement of any length is signed by sending 32 bytes: ECDSA P-256 with SHA-256. KMS
signs Ed25519 only over whole messages of at most 4096 bytes; so the two roles whose readers know no other algorithm,
and whose messages are short, have Ed25519 keys: the ledger's (C2SP checkpoints) and that of access tokens (EdDSA).
Credentials come from where Amazon's clients look for them, never through here.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from holdfast.adapters.key_places import KmsPlace
from holdfast.core.errors import HoldfastError, InvalidInput, MissingExtra, NotVerified, Unavailable
from holdfast.core.trust import Algorithm

T = TypeVar("T")
SETTLES_S: Final = (
    0.05,
    0.2,
    0.5,
    1.0,
    2.0,
)  # between tries: KMS is eventually consistent
TIMEOUT_S: Final = 10.0  # for connecting and for each answer
TRIES: Final = 3
MAX_MESSAGE: Final = 4096  # bytes that KMS signs as they are
SHORT: Final = frozenset({"ledger", "tokens"})  # roles that say short things, to readers of Ed25519 alone
SIGNING_DAYS: Final = 7  # the least that KMS grants; what such a key signed verifies without it
WRAPPING_DAYS: Final = 30  # the most: a wrapping key that was ended by mistake takes all it wraps with it
_SPECS: Final[dict[Algorithm, str]] = {"ed25519": "ECC_NIST_EDWARDS25519", "ecdsa-p256": "ECC_NIST_P256"}
_CONTEXT: Final = "holdfast"  # the name in the encryption context, which shows in the account's own audit trail


class KmsService:
    """AWS KMS in one region (port `KeyService`). Keys are named by their ARN."""

    custody = "service"

    def __init__(self, place: KmsPlace) -> None:
        """Use a region, which is asked when it is first needed; the connection is kept."""
        self._place = place
        self._client: Any = None
        self._lock = threading.Lock()

    def algorithm_of(self, role: str) -> Algorithm:
        """Return the algorithm of a role's keys: P-256 but for those that sign short messages."""
        return "ed25519" if role in SHORT else "ecdsa-p256"

    def make(self, role: str) -> tuple[str, bytes]:
        """Make a key pair whose private half KMS gives to nobody."""
        name = self._create(f"{self._place.prefix} {role}", "SIGN_VERIFY", _SPECS[self.algorithm_of(role)])
        try:
            return name, self._when_known(lambda client: bytes(client.get_public_key(KeyId=name)["PublicKey"]))
        except HoldfastError:
            self.destroy(name)  # nobody would know of it
            raise

    def sign(self, name: str, algorithm: Algorithm, message: bytes) -> bytes:
        """Return a signature by a key; see `Door.sign`.

        Raises:
            InvalidInput: The message is too long for Ed25519.
        """
        if algorithm == "ecdsa-p256":
            said, kind, how = hashlib.sha256(message).digest(), "DIGEST", "ECDSA_SHA_256"
        else:
            said, kind, how = message, "RAW", "ED25519_SHA_512"
            if len(message) > MAX_MESSAGE:
                raise InvalidInput(f"{len(message)} bytes for Ed25519 in KMS", expected=f"at most {MAX_MESSAGE}")
        with self._asked() as client:
            answer = client.sign(KeyId=name, Message=said, MessageType=kind, SigningAlgorithm=how)
            return bytes(answer["Signature"])

    def destroy(self, name: str, *, wrapping: bool = False) -> None:
        """End a key at once, and schedule its deletion: until then the account's administrator can take it back."""
        with self._asked() as client:
            days = WRAPPING_DAYS if wrapping else SIGNING_DAYS
            client.schedule_key_deletion(KeyId=name, PendingWindowInDays=days)

    def make_wrapping(self) -> str:
        """Make a symmetric key (AES-256-GCM) that KMS gives to nobody."""
        return self._create(f"{self._place.prefix} unlock", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT")

    def wrap(self, name: str, secret: bytes, *, bound_to: str) -> bytes:
        """Return a secret encrypted by a wrapping key."""
        said = {"Plaintext": secret, "EncryptionContext": {_CONTEXT: bound_to}}
        return self._when_known(lambda client: bytes(client.encrypt(KeyId=name, **said)["CiphertextBlob"]))

    def unwrap(self, name: str, wrapped: bytes, *, bound_to: str) -> bytes:
        """Return what `wrap` encrypted; the key is named, so that no other one of the account is asked.

        Raises:
            NotVerified: It was changed, or is bound to something else.
        """
        with self._asked() as client:
            try:
                answer = client.decrypt(KeyId=name, CiphertextBlob=wrapped, EncryptionContext={_CONTEXT: bound_to})
            except (client.exceptions.InvalidCiphertextException, client.exceptions.IncorrectKeyException) as error:
                raise NotVerified("the wrapped secret was changed, or is another's", place=name[:200]) from error
            return bytes(answer["Plaintext"])

    def check(self) -> None:
        """Ask for something that needs no key, with the credentials that keys are used with."""
        with self._asked() as client:
            client.list_keys(Limit=1)

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _create(self, words: str, usage: str, spec: str) -> str:
        with self._asked() as client:
            made = client.create_key(Description=words, KeyUsage=usage, KeySpec=spec)
            return str(made["KeyMetadata"]["Arn"])

    def _when_known(self, use: Callable[[Any], T]) -> T:
        """Use a key that was made a moment ago."""
        with self._asked() as client:
            for pause in SETTLES_S:
                try:
                    return use(client)
                except client.exceptions.NotFoundException:
                    time.sleep(pause)
            return use(client)

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        """Yield the client, and turn what it raises into an error with a remedy."""
        try:
            from botocore.exceptions import BotoCoreError, ClientError
        except ModuleNotFoundError as error:
            raise MissingExtra("keys in AWS KMS need boto3", remedy="pip install 'holdfast[kms]'") from error
        try:
            yield self._connected()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "an error without a code"))[:80]
            raise self._unavailable(f"refused: {code}") from error
        except BotoCoreError as error:
            raise self._unavailable(f"does not answer: {type(error).__name__}") from error
        except KeyError as error:
            raise NotVerified(
                "the answer is not one of KMS", place=self._place.endpoint or self._place.region
            ) from error

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                import boto3
                from botocore.config import Config

                retries = {"max_attempts": TRIES, "mode": "standard"}
                config = Config(connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries=retries)
                session = boto3.session.Session()
                endpoint = self._place.endpoint or None
                self._client = session.client(
                    "kms", region_name=self._place.region, endpoint_url=endpoint, config=config
                )
            return self._client

    def _unavailable(self, words: str) -> Unavailable:
        return Unavailable(
            f"the key service {words}",
            place=self._place.endpoint or f"AWS KMS, {self._place.region}",
            expected="credentials for CreateKey, GetPublicKey, Sign, Encrypt, Decrypt, ListKeys, ScheduleKeyDeletion",
            remedy="Look whether the key is enabled, and what the account's CloudTrail says of the request.",
        )
