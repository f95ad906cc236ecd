"""Seals against whoever touches, borrows, replays or imitates one."""

import base64
import copy
import dataclasses
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import trust as trusts
from holdfast.core.artifact import Artifact, Digest, Kind, canonical, digest_bytes
from holdfast.core.dsse import STATEMENT_TYPE
from holdfast.core.errors import HoldfastError, InvalidInput, NotVerified
from holdfast.core.evidence import Evidence, Outcome, exactly
from holdfast.core.passport import Dossier
from holdfast.core.policy import Action, Permit
from holdfast.core.routes import RouteTable
from holdfast.core.seal import (
    AUTHORIZATION,
    EVIDENCE,
    MAX_ENVELOPE,
    MAX_SIGNATURES,
    PREDICATES,
    ROUTES,
    TELEMETRY,
    TRUST,
    Authorization,
    Predicate,
    Telemetry,
    Verified,
    seal,
    seal_payload,
    unseal,
)
from holdfast.core.trust import ROLES, Trust, TrustedKey, check_signature, keyid_of
from holdfast.testing.chronicle import Chronicle, measured
from holdfast.testing.memory import MemorySigner

CHRONICLE = Chronicle(persons=("alice", "bob"))
NOW, KEYS, TRUSTED = CHRONICLE.start, CHRONICLE.signers, CHRONICLE.trust
MODEL = Artifact(kind=Kind.MODEL, digest=digest_bytes(b"model"), size=5)
RELEASE = Artifact(kind=Kind.RELEASE, digest=digest_bytes(b"release"), size=7)
EVIDENT = measured("assess.quality/1", MODEL, exactly("accuracy", 0.5), facts={"é": "ü"})
APPROVAL = Authorization(
    person="alice", role="owner", action="approve", subject=RELEASE.digest, until=NOW + timedelta(days=1), reason="good"
)
TABLE = RouteTable(
    workspace="w",
    environment="e",
    epoch=1,
    issued=NOW,
    expires=NOW,
    policy=digest_bytes(b"policy"),
    models=(),
    guards=(),
    credentials=(),
)
TOLD = Telemetry(
    gateway="g",
    release=RELEASE.digest,
    sequence=0,
    previous="",
    start=NOW,
    end=NOW + timedelta(seconds=1),
    body={"a": 1},
)
SAID: tuple[tuple[Predicate[Any], Any, str], ...] = (
    (EVIDENCE, EVIDENT, "assess"),
    (AUTHORIZATION, APPROVAL, "alice"),
    (ROUTES, TABLE, "registry"),
    (TRUST, TRUSTED, "root"),
    (TELEMETRY, TOLD, "gateway"),
)
ENVELOPE = seal(EVIDENT, EVIDENCE, [KEYS["assess"]])


class P256:
    """A P-256 key in memory."""

    def __init__(self, role: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        der = self._key.public_key().public_bytes(serialization.Encoding.DER, spki)
        self.public = msgspec.structs.replace(
            KEYS["assess"].public,
            keyid=keyid_of(der),
            algorithm="ecdsa-p256",
            public=base64.b64encode(der).decode(),
            role=role,
        )
        self.keyid = self.public.keyid

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))


def believing(*keys: TrustedKey) -> Trust:
    """A trust of these keys alone."""
    return msgspec.structs.replace(TRUSTED, keys=keys)


def refused(document: bytes, words: str = "", *, predicate: Predicate[Any] = EVIDENCE, **changes: Any) -> None:
    """Asserts that nothing comes out of an envelope, for this reason."""
    trust, at = changes.pop("trust", TRUSTED), changes.pop("at", NOW)
    with pytest.raises(NotVerified, match=words or None):
        unseal(document, predicate, trust, at=at, **changes)


def statement(**changes: Any) -> dict[str, Any]:
    """The statement in `ENVELOPE`, with something else in it."""
    payload: dict[str, Any] = json.loads(base64.b64decode(json.loads(ENVELOPE)["payload"]))
    return payload | changes


def signed(payload: bytes | dict[str, Any], *signers: str) -> bytes:
    """An envelope of any payload, well signed by whoever is asked to."""
    document = payload if isinstance(payload, bytes) else canonical(payload)
    return seal_payload(document, [KEYS[name] for name in signers or ("assess",)])


@pytest.mark.parametrize(("predicate", "value", "signer"), SAID, ids=lambda item: getattr(item, "uri", ""))
def test_what_was_sealed_is_what_is_unsealed(predicate: Predicate[Any], value: Any, signer: str) -> None:
    """Each kind of statement comes out as it went in, with the keys that signed it and the digest of its envelope."""
    document = seal(value, predicate, [KEYS[signer]])
    verified = unseal(document, predicate, TRUSTED, at=NOW)
    assert verified.value == value
    assert verified.signers == (KEYS[signer].public,)
    assert verified.envelope == digest_bytes(document)


@pytest.mark.guarantee("G03")
@given(where=st.integers(0, len(ENVELOPE) - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_of_an_envelope_is_refused(where: int, bit: int) -> None:
    """Payload, type, key id, signature and punctuation: no bit of an envelope is without meaning."""
    changed = bytearray(ENVELOPE)
    changed[where] ^= 1 << bit
    refused(bytes(changed))


@pytest.mark.guarantee("G03")
@given(start=st.integers(0, len(ENVELOPE)), length=st.integers(0, 40), put=st.binary(max_size=20))
def test_any_piece_cut_out_or_put_in_is_refused(start: int, length: int, put: bytes) -> None:
    """An envelope with bytes left out, replaced or added is not that envelope any more."""
    changed = ENVELOPE[:start] + put + ENVELOPE[start + length :]
    if changed != ENVELOPE:
        refused(changed)


@given(document=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_noise_is_refused_in_words(document: bytes) -> None:
    """Whatever bytes lie where an envelope should be, the answer is one error and no traceback."""
    refused(document)


@pytest.mark.guarantee("G03")
@pytest.mark.parametrize("role", [name for name in KEYS if name != "assess"])
def test_evidence_signed_by_another_role_is_refused(role: str) -> None:
    """The stage in the control's name must have signed: nobody's key is good for somebody else's word."""
    refused(seal(EVIDENT, EVIDENCE, [KEYS[role]]), "signed as .* expected 1 signer.* of role assess")


@pytest.mark.guarantee("G03")
@pytest.mark.parametrize(("predicate", "value", "signer"), SAID, ids=lambda item: getattr(item, "uri", ""))
def test_every_statement_has_one_role_that_may_say_it(predicate: Predicate[Any], value: Any, signer: str) -> None:
    """For each kind of statement all keys but its own role's are refused, alone and together."""
    others = [key for name, key in KEYS.items() if key.role != KEYS[signer].role]
    for key in others:
        refused(seal(value, predicate, [key]), "signed as", predicate=predicate)
    refused(seal(value, predicate, others[:MAX_SIGNATURES]), "signed as", predicate=predicate)


@pytest.mark.guarantee("G03")
@pytest.mark.parametrize("offered", PREDICATES, ids=lambda predicate: predicate.uri)
@pytest.mark.parametrize(("predicate", "value", "signer"), SAID, ids=lambda item: getattr(item, "uri", ""))
def test_one_kind_of_statement_is_never_taken_for_another(
    offered: Predicate[Any], predicate: Predicate[Any], value: Any, signer: str
) -> None:
    """An authorization offered as evidence, a route table as trust, and every other confusion is refused."""
    document = seal(value, predicate, [KEYS[signer]])
    if offered is predicate:
        assert unseal(document, offered, TRUSTED, at=NOW).value == value
    else:
        refused(document, "a statement of type", predicate=offered)


def test_a_predicate_under_another_name_is_refused() -> None:
    """The name alone does not make a statement: an authorization that calls itself evidence has the wrong members."""
    confused = statement(predicate=msgspec.to_builtins(APPROVAL))
    refused(signed(confused, "alice"), "cannot be read")


@pytest.mark.guarantee("G03")
def test_a_key_nobody_trusts_is_refused() -> None:
    """A stranger with a key of their own, who claims the role and even the name, is a stranger."""
    stranger = MemorySigner("assess", owner="mallory", start=NOW - timedelta(days=1))
    refused(seal(EVIDENT, EVIDENCE, [stranger]), "no trusted key")

    class Pretender:
        keyid = KEYS["assess"].keyid
        sign = stranger.sign

    refused(seal(EVIDENT, EVIDENCE, [Pretender()]), "no trusted key")


@pytest.mark.guarantee("G03")
def test_a_key_counts_in_its_window_only() -> None:
    """Before its first moment and from its last one on, a key signs for nobody; what it signed in between stays."""
    key = KEYS["assess"].public
    for at in (key.not_before, key.not_after - timedelta(microseconds=1)):
        assert unseal(ENVELOPE, EVIDENCE, TRUSTED, at=at).value == EVIDENT
    for at in (key.not_before - timedelta(microseconds=1), key.not_after, key.not_after + timedelta(days=999)):
        refused(ENVELOPE, "no trusted key", at=at)


@pytest.mark.guarantee("G03")
def test_nothing_a_revoked_key_ever_signed_is_believed() -> None:
    """Revocation works backwards: who stole a key could also have set the clock back."""
    revoked = msgspec.structs.replace(TRUSTED, revoked=(KEYS["assess"].keyid,))
    refused(ENVELOPE, "no trusted key", trust=revoked)
    refused(ENVELOPE, "no trusted key", trust=revoked, at=KEYS["assess"].public.not_before)


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "ecdsa-p256"},
        {"public": KEYS["train"].public.public},
        {"public": "not base64"},
        {"public": base64.b64encode(b"not a key").decode()},
        {"public": "é"},
    ],
    ids=["algorithm", "another key", "no base64", "no key", "no text"],
)
def test_a_trusted_key_that_is_not_what_it_says_is_no_key(change: dict[str, str]) -> None:
    """The id is the hash of the key, and the algorithm is the key's own: neither can be talked into something else."""
    key = KEYS["assess"].public
    refused(ENVELOPE, "no trusted key", trust=believing(msgspec.structs.replace(key, **change)))


def test_both_algorithms_sign_and_neither_is_taken_for_the_other() -> None:
    """ECDSA P-256 verifies like Ed25519; another curve, or a P-256 key under Ed25519's name, does not."""
    key = P256("assess")
    document = seal(EVIDENT, EVIDENCE, [key])
    assert unseal(document, EVIDENCE, believing(key.public), at=NOW).signers == (key.public,)
    refused(document, trust=believing(msgspec.structs.replace(key.public, algorithm="ed25519")))
    large = ec.generate_private_key(ec.SECP384R1()).public_key()
    der = large.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    foreign = msgspec.structs.replace(key.public, keyid=keyid_of(der), public=base64.b64encode(der).decode())
    refused(document, trust=believing(foreign))


def test_an_unknown_role_signs_nothing() -> None:
    """A control of a stage that has no role belongs to nobody, whatever a trusted key says its role is."""
    foreign = measured("rumour.quality/1", MODEL, exactly("accuracy", 1))
    with pytest.raises(InvalidInput, match="role rumour may not speak"):
        seal(foreign, EVIDENCE, [KEYS["assess"]])
    payload = statement(predicate=msgspec.to_builtins(foreign))
    liar = msgspec.structs.replace(KEYS["assess"].public, role="rumour")
    refused(signed(payload), "role rumour", trust=believing(liar))


@pytest.mark.guarantee("G03")
@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in ROLES["assess"]])
def test_a_role_speaks_of_its_own_kinds_only(kind: Kind) -> None:
    """A stage's key can be used for the kinds of artifact that its stage makes or measures, and for no other."""
    foreign = msgspec.structs.replace(EVIDENT, kind=kind)
    with pytest.raises(InvalidInput, match=f"role assess may not speak about a {kind}"):
        seal(foreign, EVIDENCE, [KEYS["assess"]])
    refused(signed(statement(predicate=msgspec.to_builtins(foreign))), f"may not speak about a {kind}")


@pytest.mark.guarantee("G03")
@pytest.mark.parametrize(
    "subject",
    [
        [],
        [{"name": "artifact", "digest": {"sha256": "0" * 64}}],
        [{"name": "artifact", "digest": {"sha256": MODEL.digest}}],
        [{"name": "artifact", "digest": {"sha1": MODEL.digest.removeprefix("sha256:")}}],
        [{"name": "artifact", "digest": {"sha256": MODEL.digest.removeprefix("sha256:"), "sha512": "0"}}],
        [{"name": "artifact", "digest": {"sha256": MODEL.digest.removeprefix("sha256:")}}] * 2,
    ],
    ids=["none", "another", "prefixed", "sha1", "two digests", "two subjects"],
)
def test_statement_and_predicate_are_about_the_same(subject: list[Any]) -> None:
    """What readers of in-toto take for the subject is what our evidence speaks of, and nothing besides."""
    refused(signed(statement(subject=subject)), "about something else")


@pytest.mark.parametrize(
    "subject", ["", "sha256:", "model", MODEL.digest.upper(), MODEL.digest.removeprefix("sha256:")]
)
def test_a_subject_that_is_no_digest_is_refused(subject: str) -> None:
    """Evidence and authorizations about nothing in particular cannot be made, and are not believed."""
    vague = msgspec.structs.replace(EVIDENT, subject=subject)
    with pytest.raises(InvalidInput, match="not a digest"):
        seal(vague, EVIDENCE, [KEYS["assess"]])
    named = [{"name": "artifact", "digest": {"sha256": subject.removeprefix("sha256:")}}]
    refused(signed(statement(predicate=msgspec.to_builtins(vague), subject=named)), "not a digest")
    with pytest.raises(InvalidInput, match="not a digest"):
        seal(msgspec.structs.replace(APPROVAL, subject=subject), AUTHORIZATION, [KEYS["alice"]])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"extra": 1}, "unknown field"),
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "a statement of type"),
        ({"predicateType": EVIDENCE.uri + "1"}, "a statement of type"),
        ({"predicate": {}}, "cannot be read"),
        ({"predicate": None}, "cannot be read"),
        ({"predicate": msgspec.to_builtins(EVIDENT) | {"verdict": "pass"}}, "unknown field"),
        ({"predicate": msgspec.to_builtins(EVIDENT) | {"outcome": "passed"}}, "cannot be read"),
        ({"predicate": msgspec.to_builtins(EVIDENT) | {"measures": []}}, "holds no measure"),
        ({"subject": [{"name": "a", "digest": {}, "uri": "file:///"}]}, "unknown field"),
    ],
    ids=lambda item: str(item)[:40],
)
def test_a_well_signed_statement_of_another_shape_is_refused(change: dict[str, Any], words: str) -> None:
    """A signature does not make up for members that are missing, unknown or senseless."""
    refused(signed(statement(**change)), words)


@pytest.mark.parametrize(
    "document",
    [
        canonical(statement()).replace(b'"outcome":"measured"', b'"outcome":"failed","outcome":"measured"'),
        canonical(statement()).replace(b'{"_type"', b'{"_type":"","_type"'),
        canonical(statement()) + b" ",
        canonical(statement()).replace(b":0.5,", b":0.50,"),
        canonical(statement()).replace(b'"assess.', b'"\\u0061ssess.'),
        json.dumps(statement(), indent=1).encode(),
    ],
    ids=["name twice", "type twice", "space", "number", "escape", "indented"],
)
def test_a_statement_that_can_be_read_in_two_ways_is_refused(document: bytes) -> None:
    """Of two members of one name, readers differ on which counts; a signed payload has one reading only."""
    assert document != canonical(statement())
    refused(signed(document), "canonical|unknown field")


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: text.replace(b'{"payload":', b'{"payload":"","payload":'),
        lambda text: text.replace(b'"signatures":', b'"signatures":[],"signatures":'),
        lambda text: text.replace(b"{", b"{ ", 1),
        lambda text: text.replace(b'"keyid"', b'"k\\u0065yid"'),
        lambda text: text[:-1] + b',"extra":1}',
        lambda text: json.dumps(json.loads(text), indent=1).encode(),
        lambda text: b"\xef\xbb\xbf" + text,
    ],
)
def test_an_envelope_that_can_be_written_in_two_ways_is_refused(rewrite: Callable[[bytes], bytes]) -> None:
    """One statement with one signature is one envelope with one digest, so that nobody can file it twice as two."""
    assert rewrite(ENVELOPE) != ENVELOPE
    refused(rewrite(ENVELOPE))


def parts() -> dict[str, Any]:
    """The envelope as JSON data, to be spoiled."""
    envelope: dict[str, Any] = json.loads(ENVELOPE)
    return envelope


@pytest.mark.guarantee("G03")
def test_a_stripped_signature_is_missed() -> None:
    """No signatures, an empty one, one of another payload, or one under another key's id: no word of anybody."""
    theirs = json.loads(seal(msgspec.structs.replace(EVIDENT, facts={}), EVIDENCE, [KEYS["assess"]]))
    (own,) = parts()["signatures"]
    for signatures in (
        [],
        [own | {"sig": ""}],
        [own | {"sig": "é"}],
        [own | {"keyid": KEYS["train"].keyid}],
        [own | {"keyid": ""}],
        theirs["signatures"],
    ):
        refused(canonical(parts() | {"signatures": signatures}))


def test_a_strangers_signature_neither_helps_nor_harms() -> None:
    """Beside a good signature, one that does not verify proves nothing and breaks nothing."""
    stranger = MemorySigner("assess", owner="mallory", start=NOW)
    document = seal(EVIDENT, EVIDENCE, [stranger, KEYS["train"], KEYS["assess"]])
    assert unseal(document, EVIDENCE, TRUSTED, at=NOW).signers == (KEYS["assess"].public,)


@pytest.mark.guarantee("G03")
def test_thresholds_count_owners_not_keys() -> None:
    """One person with three keys, or one key that signs three times, is one voice; two owners are two."""
    keys = [MemorySigner("root", owner=owner, start=NOW) for owner in ("ann", "ben")]
    spare = [P256("root"), P256("root")]
    owned = [msgspec.structs.replace(key.public, owner="ann") for key in spare]
    trust = believing(keys[0].public, keys[1].public, *owned)
    one_voice = seal(TRUSTED, TRUST, [keys[0], keys[0], *spare])
    assert unseal(one_voice, TRUST, trust, at=NOW).value == TRUSTED
    refused(one_voice, "expected 2 signer", predicate=TRUST, trust=trust, threshold=2)
    two_voices = seal(TRUSTED, TRUST, keys)
    assert len(unseal(two_voices, TRUST, trust, at=NOW, threshold=2).signers) == len(keys)
    refused(two_voices, "expected 3 signer", predicate=TRUST, trust=trust, threshold=3)


@pytest.mark.parametrize("threshold", [0, -1])
def test_a_threshold_of_nobody_is_one(threshold: int) -> None:
    """A threshold that was set to nothing still asks for one signature of the right role."""
    refused(seal(EVIDENT, EVIDENCE, [KEYS["train"]]), "expected 1 signer", threshold=threshold)


@pytest.mark.guarantee("G03")
def test_nobody_authorizes_in_anothers_name() -> None:
    """A person's word needs that person's key; a second person's signature beside it does not make it theirs."""
    refused(seal(APPROVAL, AUTHORIZATION, [KEYS["bob"]]), "alice did not sign", predicate=AUTHORIZATION)
    refused(seal(APPROVAL, AUTHORIZATION, [KEYS["alice"], KEYS["bob"]]), "alice did not sign", predicate=AUTHORIZATION)
    refused(seal(APPROVAL, AUTHORIZATION, [KEYS["registry"]]), "signed as", predicate=AUTHORIZATION)


def test_a_moment_without_zone_is_refused() -> None:
    """A time that means another moment to each reader can neither be sealed nor unsealed."""
    naive = msgspec.structs.replace(APPROVAL, until=APPROVAL.until.replace(tzinfo=None))
    with pytest.raises(InvalidInput, match="timezone"):
        seal(naive, AUTHORIZATION, [KEYS["alice"]])
    claim = statement(
        predicateType=AUTHORIZATION.uri,
        predicate=msgspec.to_builtins(naive),
        subject=[{"name": "artifact", "digest": {"sha256": RELEASE.digest.removeprefix("sha256:")}}],
    )
    refused(signed(claim, "alice"), "timezone", predicate=AUTHORIZATION)


def test_an_envelope_beyond_every_limit_is_refused_unread() -> None:
    """Size, number of signatures and depth are limited before anything is computed with them."""
    refused(b"{" * (MAX_ENVELOPE + 1), "an envelope of")
    many = parts() | {"signatures": parts()["signatures"] * (MAX_SIGNATURES + 1)}
    refused(canonical(many), f"{MAX_SIGNATURES + 1} signatures")
    refused(b"[" * 100_000, "not a DSSE envelope")
    refused(b'{"payload":' * 100_000, "not a DSSE envelope")
    refused(signed(b'{"predicate":' * 100_000), "cannot be read")
    deep = canonical(statement()).replace(b'"facts":{', b'"facts":' + b"[" * 100_000 + b"{")
    refused(signed(deep), "cannot be read")


@pytest.mark.parametrize("payload", [b"", b"null", b"\xff\xfe", b'"text"', b'{"_type":"\xff"}', b"NaN"], ids=repr)
def test_a_well_signed_payload_that_is_no_statement_is_refused(payload: bytes) -> None:
    """A stage's key that was made to sign noise has still said nothing."""
    refused(signed(payload), "cannot be read")


def test_an_envelope_of_another_payload_type_is_refused() -> None:
    """DSSE signs the type with the payload: neither can be exchanged."""
    refused(canonical(parts() | {"payloadType": "application/json"}), "payload type")


@pytest.mark.parametrize(
    "spoil",
    [
        {"measures": ()},
        {"outcome": Outcome.FAILED},
        {"facts": {"a": 1}},
        {"measures": (exactly("a", float("nan")),)},
        {"control": "Assess/1"},
    ],
    ids=str,
)
def test_what_nobody_could_unseal_is_not_sealed(spoil: dict[str, Any]) -> None:
    """An envelope that names nonsense would, once on record, spoil its subject's passport for ever."""
    with pytest.raises(InvalidInput):
        seal(msgspec.structs.replace(EVIDENT, **spoil), EVIDENCE, [KEYS["assess"]])


def test_large_whole_numbers_can_be_sealed() -> None:
    """A count beyond 2**53 is a double like any other and has one canonical text."""
    huge = measured("assess.quality/1", MODEL, exactly("tokens", 2.0**60), exactly("atoms", 1e300))
    document = seal(huge, EVIDENCE, [KEYS["assess"]])
    assert unseal(document, EVIDENCE, TRUSTED, at=NOW).value == huge


def test_a_seal_without_signer_is_refused() -> None:
    """Empty means no: unsigned evidence is not evidence."""
    with pytest.raises(InvalidInput, match="without signer"):
        seal(EVIDENT, EVIDENCE, [])


VERIFIED = unseal(ENVELOPE, EVIDENCE, TRUSTED, at=NOW)
SUBJECT = Digest(RELEASE.digest)


def permit(maker: object) -> Permit:
    """A permit as a forger would write it."""
    return Permit(
        subject=SUBJECT,
        action=Action.PROMOTE,
        environment="production",
        policy=SUBJECT,
        heads={},
        checkpoint_size=1,
        issued=NOW,
        expires=NOW + timedelta(days=9999),
        nonce="1",
        maker=maker,
    )


@pytest.mark.guarantee("G02")
@pytest.mark.parametrize("maker", [None, object(), "maker", NotVerified])
def test_trusted_types_cannot_be_made_by_hand(maker: object) -> None:
    """Verified values, dossiers and permits have one maker each, and nobody else has its token."""
    with pytest.raises(NotVerified, match="only unseal"):
        Verified(EVIDENT, (), SUBJECT, maker)
    checkpoint: Any = None
    with pytest.raises(NotVerified, match="only open_passport"):
        Dossier(subject=SUBJECT, nodes={}, heads={}, checkpoint=checkpoint, trust=TRUSTED, maker=maker)
    with pytest.raises(NotVerified, match="only decide"):
        permit(maker)


@pytest.mark.guarantee("G02")
def test_a_trusted_value_cannot_be_turned_into_another() -> None:
    """Who holds one verified value can neither read the maker's token off it nor change what it says."""
    assert "maker" not in {field.name for field in dataclasses.fields(VERIFIED)}
    assert not hasattr(VERIFIED, "maker")
    other = msgspec.structs.replace(EVIDENT, facts={})
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(VERIFIED, value=other)  # type: ignore[call-arg] # the token that it does not have
    with pytest.raises(NotVerified):
        dataclasses.replace(VERIFIED, value=other, maker=VERIFIED)
    with pytest.raises(dataclasses.FrozenInstanceError):
        VERIFIED.value = EVIDENT  # type: ignore[misc]
    with pytest.raises(AttributeError):
        VERIFIED.value.control = "plan.tier/1"  # type: ignore[misc]
    assert copy.copy(VERIFIED) == VERIFIED


@pytest.mark.guarantee("G02")
def test_unverified_evidence_is_another_type() -> None:
    """What was read but not verified is `Evidence`; what may be decided upon is `Verified[Evidence]`."""
    assert isinstance(VERIFIED.value, Evidence)
    assert not isinstance(VERIFIED.value, Verified)
    assert not isinstance(EVIDENT, Verified)


def test_refusals_are_errors_an_operator_can_act_on() -> None:
    """Each refusal has a code and a remedy, and tells nothing of the envelope's content."""
    with pytest.raises(HoldfastError) as caught:
        unseal(ENVELOPE[:-1], EVIDENCE, TRUSTED, at=NOW)
    assert caught.value.code == "HF500"
    assert caught.value.remedy


def test_the_statement_is_in_toto_in_dsse() -> None:
    """Any in-toto tool finds the type, the subject's digest and the predicate where the standards put them."""
    envelope = parts()
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert statement()["_type"] == STATEMENT_TYPE == "https://in-toto.io/Statement/v1"
    assert statement()["subject"] == [{"name": "artifact", "digest": {"sha256": MODEL.digest.removeprefix("sha256:")}}]


@given(where=st.integers(min_value=0), part=st.sampled_from(["message", "signature", "key"]), bit=st.integers(0, 7))
def test_a_signature_that_was_right_once_makes_no_other_right(where: int, part: str, bit: int) -> None:
    """What a process has found right is looked up by every byte of it; one that differs is checked, and wrong."""
    signer = KEYS["assess"]
    given = {"message": b"what is said", "signature": signer.sign(b"what is said")}
    check_signature(signer.public, given["message"], given["signature"])
    check_signature(signer.public, given["message"], given["signature"])
    key = KEYS["train"].public if part == "key" else signer.public
    if part != "key":
        changed = bytearray(given[part])
        changed[where % len(changed)] ^= 1 << bit
        given[part] = bytes(changed)
    for _ in range(2):  # what was found wrong is never remembered as right
        with pytest.raises(NotVerified, match="signature is wrong"):
            check_signature(key, given["message"], given["signature"])


def test_what_a_process_remembers_of_signatures_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes it look at more and more of them fills no memory."""
    monkeypatch.setattr(trusts, "MOST_RIGHT", 8)
    signer = KEYS["assess"]
    for number in range(50):
        check_signature(signer.public, b"%d" % number, signer.sign(b"%d" % number))
        assert len(trusts._RIGHT) <= 8


def test_a_key_that_is_revoked_later_proves_nothing_although_its_signature_was_found_right() -> None:
    """Whether a key may be believed is asked each time; only the arithmetic is not done again."""
    envelope = seal(EVIDENT, EVIDENCE, [KEYS["assess"]])
    assert unseal(envelope, EVIDENCE, TRUSTED, at=NOW).value == EVIDENT
    gone = msgspec.structs.replace(TRUSTED, revoked=(KEYS["assess"].public.keyid,))
    with pytest.raises(NotVerified, match="no trusted key"):
        unseal(envelope, EVIDENCE, gone, at=NOW)
    with pytest.raises(NotVerified, match="no trusted key"):
        unseal(envelope, EVIDENCE, TRUSTED, at=KEYS["assess"].public.not_after)
