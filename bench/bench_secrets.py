"""Finding secrets: precision, recall and speed of `holdfast secrets scan` beside detect-secrets, on a labelled corpus.

    python bench/bench_secrets.py [each] [seed]

The corpus is made from the seed: `each` valid secrets of every format in settings, logs, notebooks and the like, and
what only looks like one. A file counts as found when a scanner reports anything in it; of what holds no secret every
report is a false alarm. Beside it stand this repository and installed packages, in which whatever is reported is
counted, not judged. Seconds hold the start of each command. detect-secrets runs with its default plugins and filters,
in the environment of public peers (`make services`); without one it is left out, and that is said.
"""

import json
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.secret_corpus import Sample, negatives, secrets  # noqa: E402 - the checkout is no installed package

PEERS: Final = ROOT / ".venv-peers" / "bin"
EACH: Final = 40
SEED: Final = 20261127
CODE: Final = ("numpy", "pip", "sqlalchemy", "cryptography")  # packages whose sources are looked through


def ours(folder: Path) -> tuple[set[str], int, float]:
    """Return the files that ours reports, how many bytes it read, and its seconds, start included."""
    begun = time.perf_counter()
    line = [sys.executable, "-m", "holdfast", "secrets", "scan", str(folder), "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    took = time.perf_counter() - begun
    said = json.loads(done.stdout)
    return {str(Path(each["path"]).resolve()) for each in said["secrets"]}, int(said["bytes"]), took


def theirs(folder: Path) -> tuple[set[str], float]:
    """Return the files that detect-secrets reports, and its seconds."""
    begun = time.perf_counter()
    line = [str(PEERS / "detect-secrets"), "scan", "--all-files", "--no-verify", "."]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True)
    took = time.perf_counter() - begun
    return {str((folder / name).resolve()) for name in json.loads(done.stdout)["results"]}, took


def rates(
    samples: Sequence[Sample], folder: Path, reported: set[str]
) -> tuple[float, float, Counter[str], Counter[str]]:
    """Return precision, recall, and what was missed and falsely reported, by sort."""
    where = {str((folder / sample.name).resolve()): sample for sample in samples}
    hit = [sample for path, sample in where.items() if path in reported and sample.secret]
    false = Counter(sample.sort for path, sample in where.items() if path in reported and not sample.secret)
    missed = Counter(sample.sort for path, sample in where.items() if path not in reported and sample.secret)
    positives = sum(1 for sample in samples if sample.secret)
    found = len(hit) + sum(false.values())
    return (len(hit) / found if found else 0.0), len(hit) / positives, missed, false


def main() -> None:
    each = int(sys.argv[1]) if len(sys.argv) > 1 else EACH
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else SEED
    samples = [*secrets(seed, each), *negatives(seed, each * 2)]
    peer = (PEERS / "detect-secrets").exists()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        for sample in samples:
            (folder / sample.name).write_text(sample.text, encoding="utf-8")
        positives = sum(1 for sample in samples if sample.secret)
        print(f"corpus: {positives} files with a secret, {len(samples) - positives} without, seed {seed}")
        reported, _, took = ours(folder)
        _print("holdfast", *rates(samples, folder, reported), took)
        if peer:
            peers, took = theirs(folder)
            _print("detect-secrets", *rates(samples, folder, peers), took)
    if not peer:
        print("detect-secrets: left out, there is no .venv-peers/bin/detect-secrets (make services)")
    packages = Path(sysconfig.get_paths()["purelib"])
    for name, place in (("this repository's sources", ROOT / "src"), *((name, packages / name) for name in CODE)):
        found, size, took = ours(place)
        words = f"{name}: holdfast {len(found)} files reported, {size / 1e6:.1f} MB, {size / 1e6 / took:.1f} MB/s"
        if peer:
            other, slow = theirs(place)
            words += (
                f"; detect-secrets {len(other)} files, {size / 1e6 / slow:.1f} MB/s ({slow / took:.1f} times as long)"
            )
        print(words)


def _print(name: str, precision: float, recall: float, missed: Counter[str], false: Counter[str], took: float) -> None:
    print(f"{name}: precision {precision:.4f}, recall {recall:.4f}, {took:.1f} s")
    print(f"  missed: {dict(missed) or 'nothing'}; false alarms: {dict(false) or 'none'}")


if __name__ == "__main__":
    main()
