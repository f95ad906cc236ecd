"""Ten thousand seeded ways of tampering with a signed release: none of them is accepted (`make record`; 500 otherwise).

Each mutation is drawn from its own seed, applied to a release as a consumer has it (its folder, the signature, the
trust that came with it), and judged as `holdfast files verify` judges: signature, window, role and revocation first,
then every file by name. What is used afterwards are the very bytes that were verified, or nothing.
"""

import base64
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import pytest
from tests.conftest import Effort, Record
from tests.unit.release import stands
from tests.unit.release.stands import ReleaseKey, key

from holdfast.core.artifact import Digest, canonical, digest_bytes, parse_manifest
from holdfast.core.dsse import PAYLOAD_TYPE, pae
from holdfast.core.errors import HoldfastError
from holdfast.core.trust import TrustedKey
from holdfast.engines.signing import model_signing
from holdfast.engines.signing.folder import read_files, read_verified

SEED: Final = 20260
NOW: Final = datetime(2025, 6, 1, tzinfo=UTC)
CI, FULL = 500, 10_000


@dataclass(slots=True)
class Held:
    """What a consumer holds: files, the signature over them, whose keys count, and what time it is."""

    folder: Path
    bundle: bytes
    keys: tuple[TrustedKey, ...]
    at: datetime = NOW
    name: str = "tumours"

    def verified(self) -> Mapping[str, Digest]:
        """What the verifier lets through."""
        signed = model_signing.open_bundle(self.bundle, self.keys, at=self.at)
        found = read_files(self.folder, shard_size=signed.shard_size)
        model_signing.compare(dict(signed.files), found)
        if signed.name != self.name:
            raise ValueError("this was signed under another name")
        return dict(signed.files)

    def files(self) -> list[Path]:
        """Every file, in order."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink())


Mutation = Callable[[Held, random.Random], object]


def one(held: Held, draw: random.Random) -> Path:
    """Some file."""
    return draw.choice(held.files())


def flip_a_byte(held: Held, draw: random.Random) -> None:
    """Change one byte of one file to another value."""
    path = one(held, draw)
    data = bytearray(path.read_bytes())
    place = draw.randrange(len(data))
    data[place] = (data[place] + draw.randrange(1, 256)) % 256
    path.write_bytes(data)


def lengthen(held: Held, draw: random.Random) -> None:
    """Append bytes to a file."""
    path = one(held, draw)
    path.write_bytes(path.read_bytes() + draw.randbytes(draw.randrange(1, 64)))


def shorten(held: Held, draw: random.Random) -> None:
    """Cut a file off."""
    path = one(held, draw)
    data = path.read_bytes()
    path.write_bytes(data[: draw.randrange(len(data))])


def empty(held: Held, draw: random.Random) -> None:
    """Leave a file of no bytes."""
    one(held, draw).write_bytes(b"")


def delete(held: Held, draw: random.Random) -> None:
    """Take a file away."""
    one(held, draw).unlink()


def rename(held: Held, draw: random.Random) -> None:
    """Give a file another name."""
    path = one(held, draw)
    path.rename(path.with_name(f"{draw.choice(['x', '.', 'Model', 'é'])}{draw.randrange(10**6)}{path.suffix}"))


def swap(held: Held, draw: random.Random) -> None:
    """Let two files change places: the root digest of the format stays the same where both stand in one order."""
    left, right = draw.sample(held.files(), 2)
    before, after = left.read_bytes(), right.read_bytes()
    left.write_bytes(after)
    right.write_bytes(before)


def add(held: Held, draw: random.Random) -> None:
    """Put a file in: an ordinary one, or one that other tools leave out."""
    where = draw.choice(
        ["evil.so", ".gitattributes", ".git/hooks/post-checkout", ".github/x", "d/e/f", "model.onnx.data"]
    )
    path = held.folder / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(draw.randbytes(draw.randrange(64)))


def add_nothing(held: Held, draw: random.Random) -> None:
    """Put in a file without bytes, which no root digest would show."""
    (held.folder / f"empty{draw.randrange(100)}").write_bytes(b"")


def link(held: Held, draw: random.Random) -> None:
    """Let a link to a file of the same bytes take a file's place."""
    path = one(held, draw)
    elsewhere = held.folder.parent / "elsewhere"
    shutil.copyfile(path, elsewhere)
    path.unlink()
    path.symlink_to(elsewhere)


def link_a_folder(held: Held, draw: random.Random) -> None:
    """Put in a link to a folder."""
    (held.folder / f"data{draw.randrange(100)}").symlink_to(held.folder.parent, target_is_directory=True)


def external_data(held: Held, draw: random.Random) -> None:
    """Put the weights that an edited model would load beside it."""
    (held.folder / draw.choice(["weights.bin", "model.onnx_data", "../tumours/w"])).write_bytes(draw.randbytes(32))


def expired(held: Held, draw: random.Random) -> None:
    """The signature is witnessed after its key's window."""
    held.at = held.keys[0].not_after + timedelta(seconds=draw.randrange(10**8))


def too_early(held: Held, draw: random.Random) -> None:
    """Or before it."""
    held.at = held.keys[0].not_before - timedelta(seconds=1 + draw.randrange(10**8))


def revoked(held: Held, draw: random.Random) -> None:
    """The key is revoked: others of its role are not."""
    held.keys = tuple(key(2 + number).trusted for number in range(draw.randrange(3)))


def wrong_role(held: Held, draw: random.Random) -> None:
    """The key signs, but for something else."""
    role = draw.choice(["train", "assess", "ingest", "registry", "person", "policy"])
    held.keys = (msgspec.structs.replace(held.keys[0], role=role),)


def foreign_signer(held: Held, draw: random.Random) -> None:
    """Somebody else signs the same statement and leaves the hint as it was."""
    held.bundle = resigned(held.bundle, key(2 + draw.randrange(3)), keep_hint=draw.random() < 0.5)


def stripped(held: Held, draw: random.Random) -> None:
    """The signature is gone, or nothing is left of it."""
    document = json.loads(held.bundle)
    document["dsseEnvelope"]["signatures"] = draw.choice([[], [{"sig": "", "keyid": ""}]])
    held.bundle = draw.choice([b"", b"{}", canonical(document)])


def cut_signature(held: Held, draw: random.Random) -> None:
    """A bit of the signature itself is changed."""
    document = json.loads(held.bundle)
    signature = bytearray(base64.b64decode(document["dsseEnvelope"]["signatures"][0]["sig"]))
    signature[draw.randrange(len(signature))] ^= 1 << draw.randrange(8)
    document["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    held.bundle = canonical(document)


def edited_statement(held: Held, draw: random.Random) -> None:
    """What was signed is edited to fit an edited file, and the old signature kept."""
    path = one(held, draw)
    path.write_bytes(draw.randbytes(16))
    document = json.loads(held.bundle)
    said = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
    for resource in said["predicate"]["resources"]:
        if resource["name"] == path.relative_to(held.folder).as_posix():
            resource["digest"] = digest_bytes(path.read_bytes()).removeprefix("sha256:")
    document["dsseEnvelope"]["payload"] = base64.b64encode(canonical(said)).decode()
    held.bundle = canonical(document)


def another_predicate(held: Held, draw: random.Random) -> None:
    """The right key signs a statement of another kind over the same digests."""
    uri = draw.choice(["https://slsa.dev/provenance/v1", "https://model_signing/Digests/v0.1", "https://example.org/x"])
    held.bundle = resigned(held.bundle, key(1), predicateType=uri)


def replayed(held: Held, draw: random.Random) -> None:
    """The right key's signature over another release, or over this one under another name."""
    if draw.random() < 0.5:
        held.bundle = other_bundle()
    else:
        held.name = f"model{draw.randrange(100)}"


def other_bundle() -> bytes:
    """A good signature over other files."""
    return _another()


def swapped_after(held: Held, draw: random.Random) -> None:
    """A file is exchanged between verification and use: what is used are the verified bytes, or nothing."""
    verified = held.verified()
    name = draw.choice(sorted(verified))
    path = held.folder / name
    if draw.random() < 0.5:
        path.write_bytes(path.read_bytes() + b"x")
    else:
        elsewhere = held.folder.parent / "elsewhere"
        path.rename(elsewhere)
        path.symlink_to(elsewhere)
    read_verified(held.folder, name, verified[name])


MUTATIONS: Final[tuple[Mutation, ...]] = (
    flip_a_byte,
    lengthen,
    shorten,
    empty,
    delete,
    rename,
    swap,
    add,
    add_nothing,
    link,
    link_a_folder,
    external_data,
    expired,
    too_early,
    revoked,
    wrong_role,
    foreign_signer,
    stripped,
    cut_signature,
    edited_statement,
    another_predicate,
    replayed,
    swapped_after,
)


def resigned(bundle: bytes, signer: ReleaseKey, *, keep_hint: bool = False, **changes: str) -> bytes:
    """The same statement, changed and signed by another key."""
    document = json.loads(bundle)
    said = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"])) | changes
    payload = canonical(said)
    made = json.loads(model_signing.bundle(payload, signer.sign(pae(PAYLOAD_TYPE, payload)), signer.trusted))
    if keep_hint:
        made["verificationMaterial"] = document["verificationMaterial"]
    return canonical(made)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Held:
    """A real release, written out as a consumer would get it."""
    made = stands.world(tmp_path_factory.mktemp("world")).packaged()
    folder, blobs = tmp_path_factory.mktemp("out") / "tumours", made.world.ws.blobs
    manifest = parse_manifest(blobs.get(made.release.digest))
    folder.mkdir()
    for file in manifest.files:
        (folder / file.path).write_bytes(blobs.get(Digest(file.digest)))
    bundle = model_signing.sign(manifest, "tumours", key(), [key().trusted])
    return Held(folder, bundle, (key().trusted,))


@cache
def _another() -> bytes:
    files = [("model.onnx", digest_bytes(b"another")), ("card.md", digest_bytes(b"card"))]
    return model_signing.sign_listed(files, "tumours", key(), [key().trusted])


def test_the_release_verifies_as_it_is(original: Held) -> None:
    """What nobody has touched is accepted: a verifier that refuses everything would pass all that follows."""
    verified = original.verified()
    assert sorted(verified) == sorted(path.name for path in original.files())
    for name, digest in verified.items():
        assert digest_bytes(read_verified(original.folder, name, digest)) == digest


@pytest.mark.guarantee("G67")
@pytest.mark.requirement("SUP-10", by="holdfast.engines.signing.model_signing:compare")
@pytest.mark.requirement("SUP-14", by="holdfast.engines.signing.model_signing:open_bundle")
def test_no_tampering_with_a_signed_release_is_accepted(
    original: Held, tmp_path: Path, effort: Effort, record: Record
) -> None:
    """Byte, length, name, place, link, time, role, signer, signature, statement: each is refused, whatever its seed."""
    count = effort(ci=CI, record=FULL)
    tried: Counter[str] = Counter()
    accepted = []
    for number in range(count):
        draw = random.Random(f"{SEED}/{number}")  # noqa: S311 - to be repeated, not to be unguessable
        mutation = MUTATIONS[number % len(MUTATIONS)]
        folder = tmp_path / "held" / "tumours"
        shutil.rmtree(folder.parent, ignore_errors=True)
        shutil.copytree(original.folder, folder)
        held = Held(folder, original.bundle, original.keys)
        try:
            mutation(held, draw)
            if mutation is not swapped_after:
                held.verified()
        except (HoldfastError, ValueError):
            tried[mutation.__name__] += 1
        else:
            accepted.append(f"{mutation.__name__} of seed {SEED}/{number}")
    record.save(
        "release-mutations", seed=SEED, result={"mutations": count, "accepted": accepted, "refused": dict(tried)}
    )
    assert accepted == []
    assert sum(tried.values()) == count
