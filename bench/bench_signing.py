"""What signing and verifying a model costs beside hashing it: processor time against `openssl dgst -sha256`.

    python bench/bench_signing.py [rounds]

Target: signing, and verifying, 1 GB takes at most 1.15 times the processor time of openssl plus 0.2 s. Both sides hash
the same file from the page cache, one after another in every round; user and system time are counted, waiting is not.
openssl is a process of its own, so its figure includes its start of a few milliseconds; the last row counts ours too.
"""

import base64
import os
import platform
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast.core.artifact import File, manifest
from holdfast.core.trust import TrustedKey, keyid_of
from holdfast.engines.signing.folder import read_folder
from holdfast.engines.signing.model_signing import sign, verify

ROUNDS: Final = 7
SIZE: Final = 1_000_000_000  # bytes
BLOCK: Final = 1 << 20
FACTOR: Final = 1.15
SLACK_S: Final = 0.2
OPENSSL: Final = "openssl"

Way = Callable[[], object]


class Key:
    """A release key that lives for one benchmark."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        der = self._private.public_key().public_bytes(encoding, form)
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
        return self._private.sign(message, ec.ECDSA(hashes.SHA256()))


def write_model(folder: Path) -> Path:
    """Write a file of `SIZE` bytes that no file system can compress or leave out."""
    path, block = folder / "model.onnx", os.urandom(BLOCK)
    with path.open("wb") as file:
        for start in range(0, SIZE, BLOCK):
            file.write((start.to_bytes(8, "big") + block)[: min(BLOCK, SIZE - start)])
    return path


def signed(folder: Path, key: Key) -> bytes:
    """Hash a folder's files and sign them."""
    files = [File(path=path, digest=digest, size=SIZE) for path, digest in read_folder(folder)]
    return sign(manifest(files), "model", key, [key.trusted])


def processor_s(who: int) -> float:
    """Return the user and system time so far of this process, or of its ended children."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def inside(way: Way) -> float:
    """Return what a call costs here."""
    before = processor_s(resource.RUSAGE_SELF)
    way()
    return processor_s(resource.RUSAGE_SELF) - before


def outside(*command: str) -> float:
    """Return what a process costs from start to end."""
    before = processor_s(resource.RUSAGE_CHILDREN)
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    started = os.posix_spawnp(command[0], command, os.environ, file_actions=quiet)
    if os.waitstatus_to_exitcode(os.waitpid(started, 0)[1]) != 0:
        raise SystemExit(f"{command[0]} failed")
    return processor_s(resource.RUSAGE_CHILDREN) - before


def measure(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return seconds of processor time of each way in each round, one way after another."""
    key, path = Key(), write_model(folder)
    bundle = signed(folder, key)  # also fills the page cache
    script = str(Path(__file__).resolve())
    ways: dict[str, Callable[[], float]] = {
        "openssl dgst -sha256": lambda: outside(OPENSSL, "dgst", "-sha256", str(path)),
        "sign": lambda: inside(lambda: signed(folder, key)),
        "verify": lambda: inside(lambda: verify(bundle, read_folder(folder), [key.trusted])),
        "sign, with starting Python": lambda: outside(sys.executable, script, "--sign", str(folder)),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(way())
    return times


def main() -> None:
    if sys.argv[1:2] == ["--sign"]:
        signed(Path(sys.argv[2]), Key())
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print(f"{platform.machine()}, Python {platform.python_version()}, {rounds} rounds, {SIZE / 1e9:g} GB")
    with tempfile.TemporaryDirectory(prefix="holdfast-signing-") as place:
        times = measure(Path(place), rounds)
    peer = statistics.median(times["openssl dgst -sha256"])
    allowed = FACTOR * peer + SLACK_S
    print(f"{'':32}{'median':>9}{'spread':>18}{'ratio':>8}   target {allowed:.2f} s ({FACTOR} × openssl + {SLACK_S} s)")
    for name, values in times.items():
        middle = statistics.median(values)
        spread = f"{min(values):.2f} to {max(values):.2f}"
        verdict = "" if name.startswith("openssl") else ("met" if middle <= allowed else "MISSED")
        print(f"{name:32}{middle:7.2f} s{spread:>16} s{middle / peer:8.2f}   {verdict}")


if __name__ == "__main__":
    main()
