"""Processes killed while they store: no acknowledged blob is lost, and none is visible half written."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, Any, Final

from tests.unit.adapter_kit import child

from holdfast.adapters.blobs import DiskBlobs
from holdfast.core.artifact import Digest, digest_bytes

SEED: Final = 20260102
LONGEST_S: Final = 0.03  # from the last blob that a life is granted to its end: it dies in the midst of another

NURSERY: Final = """
import os, random, sys
from pathlib import Path
from holdfast.adapters.blobs import DiskBlobs

def live(root, life):
    drawn, blobs, source = random.Random(life), DiskBlobs(root), root.parent / f"source-{life}"
    while True:
        data = drawn.randbytes(drawn.choice([1, 1000, 100_000, 3_000_000]))
        if drawn.random() < 0.5:
            digest = blobs.put(data)
        else:
            source.write_bytes(data)
            digest = blobs.put_file(source)
        os.write(1, f"{digest}\\n".encode())

os.write(1, b"ready\\n")
for life in sys.stdin:
    pid = os.fork()
    if not pid:
        live(Path(sys.argv[1]), life.strip())
    os.write(1, f"born {pid}\\n".encode())
    os.waitpid(pid, 0)
    os.write(1, b"dead\\n")
"""


def test_no_acknowledged_blob_is_lost_and_none_is_half_visible_when_the_process_is_killed(
    tmp_path: Path, effort: Any, record: Any
) -> None:
    """After each death every named file has its digest, every acknowledged one is there, and storing goes on."""
    kills = effort(ci=25, record=1000)
    drawn, root = random.Random(SEED), tmp_path / "blobs"  # noqa: S311 - moments of death are drawn, not keys
    acknowledged: set[str] = set()
    with child(NURSERY, root, stdin=subprocess.PIPE) as nursery:
        assert nursery.stdin
        assert nursery.stdout
        assert nursery.stdout.readline() == b"ready\n"
        for life in range(kills):
            nursery.stdin.write(f"{life}\n".encode())
            nursery.stdin.flush()
            new = kill_one(nursery.stdout, drawn.randrange(5), drawn.uniform(0, LONGEST_S))
            look_after(root, new)
            acknowledged |= new
        nursery.stdin.close()
    blobs = DiskBlobs(root)
    for digest in acknowledged:
        blobs.get(Digest(digest))
    assert len(acknowledged) > kills  # they were granted two each on average
    record.save("kills-while-storing", seed=SEED, result={"kills": kills, "acknowledged": len(acknowledged), "lost": 0})


def kill_one(said: IO[bytes], granted: int, moment_s: float) -> set[str]:
    """Kills the process that is being born a moment after it stored some blobs; returns all that it acknowledged."""
    acknowledged: set[str] = set()
    pid = 0
    for line in said:  # its birth may be told after its first words
        if line == b"dead\n":
            break
        if line.startswith(b"born"):
            pid = int(line.split()[1])
        else:
            acknowledged.add(line.decode().strip())
        if pid and len(acknowledged) >= granted:
            time.sleep(moment_s)
            os.kill(pid, signal.SIGKILL)
            pid = 0  # once; what it said before is still to be heard
    return acknowledged


def look_after(root: Path, acknowledged: set[str]) -> None:
    """Checks what must hold after a death, and stores something."""
    named = {f"sha256:{path.parent.name}{path.name}": path for path in (root / "sha256").rglob("*") if path.is_file()}
    assert acknowledged <= named.keys()
    recent = sorted(named, key=lambda digest: named[digest].stat().st_mtime_ns)[-50:]  # what the dead may have touched
    for digest in recent:
        assert digest_bytes(named[digest].read_bytes()) == digest
    blobs = DiskBlobs(root)
    assert blobs.get(blobs.put(b"still here")) == b"still here"
    for path in root.parent.glob("source-*"):
        path.unlink()
