"""Fuzz every parser of foreign bytes with atheris, in an environment of its own.

    python scripts/fuzz.py [--seconds 60] [--seed 1] [--record] [TARGET...]

The environment is `.venv-fuzz`: atheris and nothing else of its own, with the packages of `.venv` beside it. Inputs
grow from honest files that the tests make. A target that raises, runs longer than `MOST_S` or takes more than
`MOST_MB` leaves the input that did it under `build/fuzz/TARGET/`, and the exit code is 1. `--record` writes
`docs/records/fuzz.json` with seed, commit and counts.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / ".venv-fuzz"
ATHERIS: Final = "atheris==3.0.0"
WORK: Final = ROOT / "build" / "fuzz"
MOST_S, MOST_MB, MOST_BYTES = 30, 1536, 64 << 10
HARNESS: Final = """
import sys, atheris
with atheris.instrument_imports(include=["holdfast"]):
    from fuzz_targets import TARGETS
name = sys.argv.pop(1)
atheris.Setup(sys.argv, TARGETS[name])
atheris.Fuzz()
"""


def environment() -> Path:
    """Return the interpreter of the fuzzing environment, made if it is not there."""
    python = FOLDER / "bin" / "python"
    if not python.exists():
        venv.create(FOLDER, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", ATHERIS], check=True)
        site = next((FOLDER / "lib").glob("python*/site-packages"))
        ours = next((ROOT / ".venv" / "lib").glob("python*/site-packages"))
        (site / "beside.pth").write_text(f"{ours}\n{ROOT / 'src'}\n", encoding="utf-8")
    return python


def seeds() -> dict[str, list[bytes]]:
    """Return honest inputs of each target, from what the tests make."""
    sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]
    import gzip
    import pickle
    import random

    from tests.unit.engines.scan import honest, honest_graphs, honest_trees, long_streams, shared_streams, streams
    from tests.unit.scan.containers.test_containers_fuzz import HONEST

    import fuzz_gateway
    from fuzz_targets import saved_image

    rng = random.Random(7)  # noqa: S311 - a seed
    short = [streams.stream(rng) for _ in range(60)] + [make(rng) for make, _ in streams.ATTACKS.values()]
    rows = [pickle.dumps([(n, f"name {n}", n / 3), [n], {"id": n}], 4) for n in range(3)]
    rows += [stream for stream in (long_streams.long_stream(rng) for _ in range(60)) if len(stream) < MOST_BYTES // 4]
    rows += [shared_streams.shared(rng) for _ in range(40)]
    makers: tuple[Callable[[], Any], ...] = (
        honest.safetensors,
        honest.gguf,
        honest.keras,
        honest.saved_model,
        honest.hdf5,
        honest_graphs.pmml,
        honest_graphs.openvino,
        honest_graphs.flax,
        honest_graphs.torchscript,
        honest_graphs.executorch,
        honest_graphs.tflite,
        honest_trees.xgboost_json,
    )
    vectors = ROOT / "tests" / "vectors"
    documents = [path.read_bytes() for path in sorted(vectors.rglob("*.json"))[:40] if path.stat().st_size < MOST_BYTES]
    envelope = json.dumps({"payload": "e30=", "payloadType": "a/b", "signatures": [{"keyid": "k", "sig": "AA=="}]})
    affected = {
        "package": {"ecosystem": "PyPI", "name": "a"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2"}]}],
        "versions": ["1"],
    }
    score = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}
    record = {"id": "A-1", "modified": "2026-01-01T00:00:00Z", "affected": [affected], "severity": [score]}
    component = {"type": "library", "name": "a", "version": "1", "purl": "pkg:pypi/a@1"}
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [component]}
    vex = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://a/b",
        "author": "a",
        "version": 1,
        "timestamp": "2026-01-01T00:00:00Z",
        "statements": [{"vulnerability": {"name": "A-1"}, "products": [{"@id": "pkg:pypi/a@1"}], "status": "fixed"}],
    }
    made = {
        "pickles": short,
        "leaps": rows,
        "containers": [data for data in HONEST.values() if len(data) < MOST_BYTES],
        "models": list(_made(makers)),
        "locks": [b"a==1.0 \\\n    --hash=sha256:00\nb==2\n", b'[[package]]\nname = "a"\nversion = "1"\n'],
        "advisories": [json.dumps(record).encode()],
        "exchange": [json.dumps(vex).encode()],
        "images": [HONEST["tar pax"], saved_image(HONEST["tar gnu"])],
        "layers": [HONEST["tar pax"], HONEST["tar gnu"], HONEST["gzip"]],
        "snapshot records": [gzip.compress(json.dumps(record).encode() + b"\n")],
        "snapshots": [HONEST["zip"]],
        **fuzz_gateway.seeds(),
    }
    texts = [*documents, envelope.encode(), json.dumps(bill).encode()]
    return {name: [*made.get(name, ()), *(() if name in made else texts)] for name in names()}


def _made(makers: tuple[Callable[[], Any], ...]) -> Iterator[bytes]:
    for make in makers:
        try:
            found = make()
        except TypeError:  # a maker that has to be told what to make
            continue
        if isinstance(found, bytes) and len(found) < MOST_BYTES:
            yield found


def names() -> tuple[str, ...]:
    """Return the names of all targets."""
    from fuzz_targets import TARGETS

    return tuple(TARGETS)


def fuzz(python: Path, name: str, inputs: list[bytes], seconds: int, seed: int) -> dict[str, Any]:
    """Run one target and return what came of it."""
    place = WORK / name.replace(" ", "-")
    corpus = place / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(inputs):
        (corpus / f"seed-{number:03d}").write_bytes(data)
    (place / "harness.py").write_text(HARNESS, encoding="utf-8")
    command = [
        str(python),
        str(place / "harness.py"),
        name,
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-timeout={MOST_S}",
        f"-rss_limit_mb={MOST_MB}",
        f"-max_len={MOST_BYTES}",
        f"-artifact_prefix={place}/",
        "-print_final_stats=1",
        str(corpus),
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "scripts"), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=env, check=False)
    (place / "log.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", done.stderr))
    left = sorted(path.name for path in place.glob("*-*") if path.name.split("-")[0] in {"crash", "timeout", "oom"})
    return {
        "inputs": len(inputs),
        "runs": int(stats.get("number_of_executed_units", 0)),
        "peak_mb": int(stats.get("peak_rss_mb", 0)),
        "defects": left if done.returncode else [],
        "ended": done.returncode,
    }


def save(results: dict[str, Any], seconds: int, seed: int) -> None:
    """Write the record."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    content = {
        "name": "fuzz",
        "test": "scripts/fuzz.py",
        "seed": seed,
        "commit": git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(git("status", "--porcelain", "--", ".", ":!docs/records")),
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "result": {"fuzzer": ATHERIS, "seconds_each": seconds, "targets": results},
    }
    (ROOT / "docs" / "records" / "fuzz.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Fuzz what was named, or everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    python, inputs, results = environment(), seeds(), dict[str, Any]()
    for name in arguments.targets or names():
        results[name] = fuzz(python, name, inputs[name], arguments.seconds, arguments.seed)
        print(name, json.dumps(results[name]), flush=True)
    if arguments.record:
        save(results, arguments.seconds, arguments.seed)
    return int(any(each["defects"] or each["ended"] for each in results.values()))


if __name__ == "__main__":
    raise SystemExit(main())
