"""What signing and verifying a model costs beside hashing it: processor time against `openssl dgst -sha256`.

    python bench/bench_signing.py [rounds]

Targets: signing, and verifying, 1 GB takes at most 1.10 times the processor time of openssl; the command starts and
signs a small folder in at most 0.2 s; files and shards are hashed on every processor; a model of 10 GB in our store, of
which one small file was edited, is signed again in at most 1 s. All sides hash the same files from the page cache, one
after another in every round; user and system time are counted, and the wall beside it. openssl is a process of its own,
so its figure includes its start of a few milliseconds; the rows of commands count ours too. The public `model_signing`
command (.venv-peers) signs and verifies the same file, where it is installed.
"""

import base64
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast.adapters.blobs import DiskBlobs
from holdfast.core.artifact import File, digest_bytes, manifest
from holdfast.core.trust import TrustedKey, keyid_of
from holdfast.engines.signing.folder import read_files
from holdfast.engines.signing.model_signing import pem, sign, sign_listed, verify

ROUNDS: Final = 7
SIZE: Final = 1_000_000_000  # bytes
BLOCK: Final = 1 << 20
SHARD: Final = 1 << 26
PARTS: Final = 16  # files of the model in many files
STORED: Final = 10  # blobs of SIZE bytes in the model that is signed again
FACTOR: Final = 1.10
START_S: Final = 0.2
AGAIN_S: Final = 1.0
OPENSSL: Final = "openssl"
PEER: Final = Path(__file__).parents[1] / ".venv-peers" / "bin" / "model_signing"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one way took: seconds of the processor, and of the wall."""

    cpu: float
    wall: float


class Key:
    """A release key that lives for one benchmark."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        der = self.private.public_key().public_bytes(encoding, form)
        self.keyid = keyid_of(der)
        self.trusted = TrustedKey(
            keyid=self.keyid,
            algorithm="ecdsa-p256",
            public=base64.b64encode(der).decode(),
            role="release",
            not_before=datetime(2025, 1, 1, tzinfo=UTC),
            not_after=datetime(2026, 1, 1, tzinfo=UTC),
            owner="bench",
        )

    def sign(self, message: bytes) -> bytes:
        """Return a signature."""
        return self.private.sign(message, ec.ECDSA(hashes.SHA256()))

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write both halves for other programs; the private one in the clear, as they take it."""
        folder.mkdir()
        private, public = folder / "private.pem", folder / "public.pem"
        form, clear = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        private.write_bytes(self.private.private_bytes(serialization.Encoding.PEM, form, clear))
        public.write_bytes(pem(self.trusted))
        return private, public


def write_file(path: Path, size: int) -> Path:
    """Write a file that no file system can compress or leave out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    block = os.urandom(BLOCK)
    with path.open("wb") as file:
        for start in range(0, size, BLOCK):
            file.write((start.to_bytes(8, "big") + block)[: min(BLOCK, size - start)])
    return path


def signed(folder: Path, key: Key, *, threads: int | None = None, shard_size: int = 0) -> bytes:
    """Hash a folder's files and sign them."""
    files = read_files(folder, threads=threads, shard_size=shard_size)
    return sign_listed(files, "model", key, [key.trusted], shard_size=shard_size)


def used(who: int) -> float:
    """Return the user and system time so far of this process, or of its ended children."""
    found = resource.getrusage(who)
    return found.ru_utime + found.ru_stime


def inside(way: Callable[[], object]) -> Cost:
    """Return what a call costs here."""
    cpu, wall = used(resource.RUSAGE_SELF), time.perf_counter()
    way()
    return Cost(used(resource.RUSAGE_SELF) - cpu, time.perf_counter() - wall)


def outside(*command: str) -> Cost:
    """Return what a process costs from start to end."""
    cpu, wall = used(resource.RUSAGE_CHILDREN), time.perf_counter()
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
    started = os.posix_spawnp(command[0], command, os.environ, file_actions=quiet)
    if os.waitstatus_to_exitcode(os.waitpid(started, 0)[1]) != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return Cost(used(resource.RUSAGE_CHILDREN) - cpu, time.perf_counter() - wall)


def stored_model(place: Path) -> tuple[DiskBlobs, list[File]]:
    """Lay ten files of a gigabyte into a store of blobs, and return it with their list.

    They are sparse: their digests are computed once, as when they are stored, and their bytes need no room. Nothing
    that is timed reads them, which is the point.
    """
    blobs, files = DiskBlobs(place), []
    for number in range(STORED):
        sparse = place.parent / f"part{number}"
        with sparse.open("wb") as file:
            file.write(number.to_bytes(8, "big"))
            file.truncate(SIZE)
        ((_, digest),) = read_files(sparse)
        target = place / "sha256" / digest[7:9] / digest[9:]
        target.parent.mkdir(parents=True, exist_ok=True)
        sparse.rename(target)
        files.append(File(path=f"weights-{number}.bin", digest=digest, size=SIZE))
    card = blobs.put(b"# Card\n")
    return blobs, [*files, File(path="card.md", digest=card, size=7)]


def signed_again(blobs: DiskBlobs, files: list[File], key: Key) -> bytes:
    """Edit the smallest file of a stored model, and sign the whole again."""
    card = os.urandom(1000)
    edited = [*files[:-1], File(path="card.md", digest=blobs.put(card), size=len(card))]
    assert edited[-1].digest == digest_bytes(card)
    return sign(manifest(edited), "model", key, [key.trusted])


def ways_of(place: Path, key: Key) -> dict[str, Callable[[], Cost]]:
    """Return each way of signing or verifying, by name."""
    whole, many, small = place / "whole", place / "many", place / "small"
    path = write_file(whole / "model.onnx", SIZE)
    for number in range(PARTS):
        write_file(many / f"part{number}.bin", SIZE // PARTS)
    write_file(small / "model.onnx", 1000)
    private, public = key.write(place / "key")
    command = (sys.executable, "-m", "holdfast", "files")
    os.environ["HOLDFAST_UNLOCK_DIR"] = str(place / "unlock")
    outside(*command, "key", str(place / "own"))
    own, beside = ("--key", str(place / "own")), ("--signature", str(place / "ours.sig"))
    opened = ("--key", str(place / "own" / "public.pem"))
    bundle = signed(whole, key)
    blobs, files = stored_model(place / "store")
    ways: dict[str, Callable[[], Cost]] = {
        "openssl dgst -sha256": lambda: outside(OPENSSL, "dgst", "-sha256", str(path)),
        "sign": lambda: inside(lambda: signed(whole, key)),
        "verify": lambda: inside(lambda: verify(bundle, read_files(whole), [key.trusted])),
        "command: files sign": lambda: outside(*command, "sign", str(whole), *own, *beside),
        "command: files verify": lambda: outside(*command, "verify", str(whole), *opened, *beside),
        "sign 16 files, one thread": lambda: inside(lambda: signed(many, key, threads=1)),
        "sign 16 files, every processor": lambda: inside(lambda: signed(many, key)),
        "sign shards, one thread": lambda: inside(lambda: signed(whole, key, threads=1, shard_size=SHARD)),
        "sign shards, every processor": lambda: inside(lambda: signed(whole, key, shard_size=SHARD)),
        "start: files sign, 1 kB": lambda: outside(*command, "sign", str(small), *own),
        "start: files verify, 1 kB": lambda: outside(*command, "verify", str(small), *opened),
        "sign 10 GB again, one file edited": lambda: inside(lambda: signed_again(blobs, files, key)),
    }
    if PEER.is_file():
        sig, given = str(place / "peer.sig"), ("--no-ignore-git-paths",)
        ways["peer: model_signing sign"] = lambda: outside(
            str(PEER), "sign", "key", "--private_key", str(private), "--signature", sig, *given, str(whole)
        )
        ways["peer: model_signing verify"] = lambda: outside(
            str(PEER), "verify", "key", "--public_key", str(public), "--signature", sig, *given, str(whole)
        )
    return ways


def verdict(name: str, cpu: float, wall: float, peer: float) -> str:
    """Return whether a way meets its target; nothing for those that have none."""
    aims = {"sign": FACTOR * peer, "verify": FACTOR * peer}
    aims |= {"start: files sign, 1 kB": START_S, "start: files verify, 1 kB": START_S}
    if name.startswith("sign 10 GB"):
        return "met" if wall <= AGAIN_S else "MISSED"
    if name not in aims:
        return ""
    return "met" if cpu <= aims[name] else "MISSED"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    cores = len(os.sched_getaffinity(0))
    about = f"{platform.machine()}, {cores} processors, Python {platform.python_version()}"
    print(f"{about}, {rounds} rounds, {SIZE / 1e9:g} GB")
    with tempfile.TemporaryDirectory(prefix="holdfast-signing-") as place:
        ways = ways_of(Path(place), Key())
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                costs[name].append(way())
    peer = statistics.median(cost.cpu for cost in costs["openssl dgst -sha256"])
    print(f"{'':36}{'CPU':>9}{'spread':>18}{'ratio':>7}{'wall':>9}   load {os.getloadavg()[0]:.1f}")
    for name, values in costs.items():
        cpu, wall = (statistics.median(getattr(each, what) for each in values) for what in ("cpu", "wall"))
        spread = f"{min(each.cpu for each in values):.2f} to {max(each.cpu for each in values):.2f}"
        print(f"{name:36}{cpu:7.3f} s{spread:>16} s{cpu / peer:7.2f}{wall:7.2f} s   {verdict(name, cpu, wall, peer)}")


if __name__ == "__main__":
    main()
