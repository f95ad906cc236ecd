"""The scanner beside picklescan, modelscan and fickling: what is caught, what is flagged wrongly, speed and memory.

Malicious streams are made by seed (`tests/unit/engines/scan/streams.py`, harmless payloads), benign files by the
libraries of this environment (`bench/benign_files.py`; `--benign FOLDER` takes files that other environments made), and
large pickles. Each tool scans the same lists in turn, in a process of its own. `--large` measures large pickles only,
`--alone` ours only, `--mib` makes them of another size, `--only` takes those whose names follow; memory is said whole,
and beyond a process that scans nothing.
Usage: `bench_scan.py [--benign FOLDER] [--large] [--alone] [--mib N] [--only NAME,...] [rounds]`.
"""

import json
import pickle
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.unit.engines.scan import streams  # noqa: E402 - the checkout's own tests make the attacks

PEERS: Final = ROOT / ".venv-peers" / "bin" / "python"
TOOLS: Final = ("picklescan", "modelscan", "fickling")
SEED: Final = 7
EACH: Final = 20  # streams of each class of bypass
LARGE = 256 << 20  # bytes of a large pickle; `--mib` takes others


def ours(listed: Path) -> dict[str, Any]:
    """Scan a list as our worker does and report like the peers."""
    code = (
        "import json,sys,time\n"
        "from holdfast.engines.scan.files import Entry\n"
        "from holdfast.engines.scan.sweep import sweep\n"
        "from holdfast.engines.scan.verdict import parse_scan_policy\n"
        "from holdfast.lifecycle.policies import scan_policy_file\n"
        "policy = parse_scan_policy(scan_policy_file().read_bytes())\n"
        "paths = open(sys.argv[1]).read().splitlines()\n"
        "begun, found = time.process_time(), []\n"
        "for path in paths:\n"
        "    report = sweep(Entry(path=path, at=path))\n"
        "    found.append(int(policy.on(report.findings) != 'clean'))\n"
        "cpu = time.process_time() - begun\n"
        "status = open('/proc/self/status').read().splitlines()\n"
        "memory = next(int(line.split()[1]) for line in status if line.startswith('VmHWM')) / 1024\n"
        "print(json.dumps({'verdicts': found, 'cpu_s': cpu, 'memory_mib': memory}))\n"
    )
    return answer([sys.executable, "-c", code, str(listed)])


def answer(command: list[str]) -> dict[str, Any]:
    """Run a command and return the document it prints."""
    done = subprocess.run(command, check=True, capture_output=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def malicious(place: Path) -> list[Path]:
    """Write the seeded streams."""
    place.mkdir()
    rng, paths = random.Random(SEED), []  # noqa: S311 - a seed
    for sort, (make, _) in streams.ATTACKS.items():
        for number in range(EACH):
            path = place / f"{sort.replace(' ', '-')}-{number:02d}.pkl"
            path.write_bytes(make(rng))
            paths.append(path)
    return paths


def large(place: Path, only: tuple[str, ...]) -> list[Path]:
    """Write large pickles: an array, a forest, and values one by one in lists, dictionaries and rows."""
    import numpy as np

    place.mkdir()
    rng = random.Random(SEED)  # noqa: S311 - a seed
    made: dict[str, Callable[[], Any]] = {
        "array": lambda: np.random.default_rng(SEED).random(LARGE // 8),
        "floats": lambda: [rng.random() for _ in range(LARGE // 9)],
        "integers": lambda: [rng.randrange(-(2**31), 2**31) for _ in range(LARGE // 5)],
        "strings": lambda: [f"token {number:010d}" for number in range(LARGE // 21)],
        "texts": lambda: [f"A text of {number} letters, " * rng.randrange(2, 60) for number in range(LARGE // 800)],
        "dictionary": lambda: {f"key {number:08d}": number for number in range(LARGE // 21)},
        "tuples": lambda: [(number, f"name {number}", rng.random()) for number in range(LARGE // 32)],
        "lists": lambda: [[number, f"name {number}", rng.random()] for number in range(LARGE // 34)],
        "dictionaries": lambda: [{"id": number, "name": f"name {number}"} for number in range(LARGE // 28)],
        **uneven(rng),
    }
    names = [name for name in made if not only or name in only]
    for name in names:
        with (place / f"{name}.pkl").open("wb") as file:
            pickle.dump(made[name](), file, 4)
    return [place / f"{name}.pkl" for name in names]


def uneven(rng: random.Random) -> dict[str, Callable[[], Any]]:
    """What differs from value to value: names and numbers of all lengths, kinds that change, shared strings."""

    def word() -> str:
        return "abcdefghijklmnopqrstuvwxyz"[: rng.randrange(1, 24)] + str(rng.randrange(10**6))

    def number() -> int:
        return rng.randrange(1 << rng.choice((8, 16, 31)))

    shared = [word() for _ in range(200_000)]
    kinds = (None, 1, 300, 70_000, 0.5, "ab", "a longer text")
    return {
        "names": lambda: [word() for _ in range(LARGE // 20)],
        "vocabulary": lambda: {f"{word()}{each}": each for each in range(LARGE // 29)},
        "mixed integers": lambda: [number() for _ in range(LARGE // 4)],
        "mixed numbers": lambda: [rng.choice((None, True, rng.random(), number())) for _ in range(LARGE // 4)],
        "records": lambda: [
            {"id": each, "name": word(), "x": rng.random(), "y": rng.choice(kinds)} for each in range(LARGE // 51)
        ],
        "shared strings": lambda: [
            {"id": each, "name": rng.choice(shared), "city": rng.choice(shared)} for each in range(LARGE // 25)
        ],
        "column": lambda: [rng.choice(shared) for _ in range(LARGE // 6)],
        "pairs": lambda: [(rng.choice(shared), rng.randrange(100_000)) for _ in range(LARGE // 11)],
        "lists of integers": lambda: [[number() for _ in range(rng.randrange(1, 12))] for _ in range(LARGE // 28)],
        "lists of strings": lambda: [
            [rng.choice(shared) for _ in range(rng.randrange(2, 20))] for _ in range(LARGE // 56)
        ],
    }


def measure(title: str, paths: list[Path], rounds: int, tools: tuple[str, ...] = TOOLS) -> None:
    """Let each tool scan the list in turn, and print what came of it."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.write("\n".join(map(str, paths)))
        listed.flush()
        results: dict[str, list[dict[str, Any]]] = {name: [] for name in ("holdfast", *tools)}
        for _ in range(rounds):
            results["holdfast"].append(ours(Path(listed.name)))
            for tool in tools:
                command = [str(PEERS), str(ROOT / "bench" / "peer_scanners.py"), tool, listed.name]
                results[tool].append(answer(command))
    print(f"\n{title}: {len(paths)} files")
    print(f"  {'':<11} {'flagged':>9} {'passed':>8} {'failed':>8} {'CPU s':>16} {'MiB':>7} {'CPU / ours':>11}")
    base = median(each["cpu_s"] for each in results["holdfast"])
    for tool, found in results.items():
        verdicts, times = found[0]["verdicts"], sorted(each["cpu_s"] for each in found)
        share = [f"{100 * verdicts.count(each) / len(verdicts):.1f} %" for each in (1, 0, -1)]
        spread = f"{median(times):.2f} ({times[0]:.2f}-{times[-1]:.2f})"
        memory = max(each["memory_mib"] for each in found)
        counted = f"{share[0]:>9} {share[1]:>8} {share[2]:>8}"
        print(f"  {tool:<11} {counted} {spread:>16} {memory:7.0f} {median(times) / base:11.2f}")


def main() -> None:
    """Make the files and measure."""
    arguments = sys.argv[1:]
    given = Path(arguments.pop(arguments.index("--benign") + 1)) if "--benign" in arguments else None
    only = tuple(arguments.pop(arguments.index("--only") + 1).split(",")) if "--only" in arguments else ()
    global LARGE  # noqa: PLW0603 - one size for all that is made
    LARGE = int(arguments.pop(arguments.index("--mib") + 1)) << 20 if "--mib" in arguments else LARGE
    rounds = int(arguments[-1]) if arguments and arguments[-1].isdecimal() else 3
    tools = () if "--alone" in arguments else TOOLS
    code = f"import json, importlib.metadata as m; print(json.dumps({{t: m.version(t) for t in {tools!r}}}))"
    peers = answer([str(PEERS), "-c", code]) if tools else {}
    print(f"holdfast {version('holdfast')}, {peers}, Python {platform.python_version()}, {rounds} rounds")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "nothing").write_bytes(b"")
        measure("nothing", [place / "nothing"], rounds, ())
        if "--large" not in arguments:
            measure("malicious, all classes of bypass", malicious(place / "malicious"), rounds, tools)
            benign = given or place / "benign"
            if given is None:
                maker = [sys.executable, str(ROOT / "bench/benign_files.py"), str(benign), "5"]
                subprocess.run(maker, check=True, stdout=subprocess.DEVNULL)
            measure("benign", sorted(path for path in benign.rglob("*") if path.is_file()), rounds, tools)
        for path in large(place / "large", only):
            measure(f"{path.stem}, {path.stat().st_size >> 20} MiB", [path], rounds, tools[:1])


if __name__ == "__main__":
    main()
