"""Attacks by others on a guarded gateway over real HTTP, and what honest clients meet there.

    python bench/bench_attacks.py PEERS [--targets 100] [--sets elec,mnist] [--attacks foolbox/boundary] [--only benign]

`PEERS` is the interpreter of an environment with `foolbox==3.3.4`, `adversarial-robustness-toolbox==1.20.1`,
`numpy<2`, `packaging` and `matplotlib`. Each attack gets 1,000 queries on each target, and ends at the first that is
refused. Success is a row of another class as close as HopSkipJump comes undefended in the median, and twice as close as
the nearest real row of another class. Before each target the gateway forgets, so that targets do not help one another;
of what honest clients send it forgets nothing. `undefended` is the same attack where the detector only alerts.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.attack_data import SETS, Attacked, attacked
from bench.attack_server import assemble, key

from holdfast.maths.cusum import alarm_at
from holdfast.maths.nearness import CHAIN, FALSE_ALARMS, HONEST, fit_space

BUDGET: Final = 1000
ATTACKS: Final = (
    "foolbox/boundary",
    "foolbox/hopskipjump",
    "foolbox/pointwise",
    "foolbox/blended-noise",
    "foolbox/salt-and-pepper",
    "foolbox/gaussian-noise",
    "art/hopskipjump",
    "art/boundary",
    "art/sign-opt",
    "art/geoda",
    "art/square",
    "art/zoo",
    "art/simba",
)
BLOCK: Final = {"name": "query-sequence", "configuration": {"reaction": {"action": "block"}}}
ALERT: Final = {"name": "query-sequence", "configuration": {"reaction": {"action": "alert"}}}
SPLIT: Final = 50  # identities of one attacker


def describe(folder: Path, data: Attacked, guards: Sequence[Any], clients: int, *, label_only: bool = True) -> None:
    """Write what the server needs."""
    space = fit_space(
        data.known, data.known_answers, classes=data.classes, alarm=alarm_at(FALSE_ALARMS, HONEST), chain=CHAIN
    )
    everything = np.concatenate([data.learned, data.known, data.sent])
    said = {
        "low": everything.min(axis=0).tolist(),
        "high": everything.max(axis=0).tolist(),
        "classes": data.classes,
        "guards": list(guards),
        "clients": clients,
        "space": msgspec.to_builtins(space),
        "label_only": label_only,
    }
    (folder / "world.json").write_text(json.dumps(said))
    (folder / "model.onnx").write_bytes(data.document)


@dataclass(slots=True)
class Server:
    """A gateway that runs."""

    process: "subprocess.Popen[str]"
    port: int

    def forget(self) -> None:
        """Let the detectors forget."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("forget\n")
        self.process.stdin.flush()
        self.process.stdout.readline()


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Run the server until the block ends."""
    command = [sys.executable, str(Path(__file__).with_name("attack_server.py")), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(process, int(process.stdout.readline()))
        finally:
            process.kill()


def attack(
    peers: str, folder: Path, data: Attacked, name: str, *, targets: int, each: int = 0, keys: int = 1
) -> list[dict[str, Any]]:
    """Attack targets one after the other, and return what became of each."""
    said = json.loads((folder / "world.json").read_text())
    low, high = np.array(said["low"]), np.array(said["high"])
    span = np.where(high > low, high - low, 1.0)
    right = np.flatnonzero(data.sent_answers == data.sent_labels)[: 4 * targets]
    chosen = np.random.default_rng(7).permutation(right)[:targets]
    np.savez(
        folder / "targets.npz",
        rows=(data.sent[chosen] - low) / span,
        labels=data.sent_answers[chosen],
        others=(data.known[:2000] - low) / span,
        other_labels=data.known_answers[:2000],
    )
    found = []
    with serving(folder) as server:
        config = {
            "port": server.port,
            "low": said["low"],
            "high": said["high"],
            "classes": data.classes,
            "attack": name,
            "budget": BUDGET,
            "targets": str(folder / "targets.npz"),
            "numbers": list(range(len(chosen))),
            "keys": [[key(each) for each in range(keys)]],
            "rows_for_each_key": each,
        }
        (folder / "attack.json").write_text(json.dumps(config))
        command = [peers, str(Path(__file__).with_name("peer_attacks.py")), str(folder / "attack.json")]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for line in process.stdout:
                found.append(json.loads(line))
                server.forget()
                process.stdin.write("\n")
                process.stdin.flush()
    return found


def told(name: str, data: str, results: Sequence[dict[str, Any]], near: float) -> None:
    """Print what became of the targets of one attack."""
    if not results:
        print(f"{data:9} {name:24} did not run")
        return
    ended = [each["ended"] for each in results]
    stopped = [each["queries"] for each in results if each["ended"] == "stopped"]
    others = sorted({each for each in ended if each not in {"stopped", "budget", "finished"}})
    queries = sorted(each["queries"] if each["ended"] == "stopped" else BUDGET for each in results)
    success = sum(each["best"] <= min(near, each["start"] / 2) for each in results) / len(results)
    print(
        f"{data:9} {name:24} targets {len(results):3}  stopped {len(stopped) / len(results):6.1%}"
        f"  query median {statistics.median(queries):6.0f} worst {queries[-1]:5}"
        f"  finished {ended.count('finished')} budget {ended.count('budget')}"
        f"  success {success:6.1%} {'; '.join(others)[:90]}",
        flush=True,
    )


def honest(data: Attacked, folder: Path, clients: int) -> None:
    """Send what honest clients send, through the guards in one process, and count who is suspected."""
    draw = np.random.default_rng(3)
    gateway = assemble(folder)
    sorts = {"shuffled rows": 0, "rows in order": 0, "few rows again and again": 0, "the same row": 0}
    suspected, spent = dict.fromkeys(sorts, 0), []
    for number in range(clients):
        kind = tuple(sorts)[number % len(sorts)]
        sorts[kind] += 1
        start = int(draw.integers(max(1, len(data.sent) - HONEST)))
        size = min(HONEST, len(data.sent))
        rows = (
            data.sent[start : start + HONEST]
            if kind == "rows in order"
            else data.sent[draw.permutation(len(data.sent))[:HONEST]]
        )
        if kind == "few rows again and again":
            rows = rows[draw.integers(0, 20, size)]
        elif kind == "the same row":
            rows = np.repeat(rows[:1], size, axis=0)
        refused = False
        headers = ((b"authorization", b"Bearer " + key(number).encode()),)
        for row in rows.tolist():
            tensor = {"name": "input", "shape": [1, len(row)], "datatype": "FP64", "data": row}
            body = msgspec.json.encode({"inputs": [tensor]})
            begun = time.thread_time_ns()
            status = gateway.call(headers, body=body).status
            if kind in {"shuffled rows", "rows in order"}:
                spent.append(time.thread_time_ns() - begun)
            refused = refused or status != 200
        suspected[kind] += refused
    for kind, count in sorts.items():
        print(f"{data.name:9} honest: {kind:26} clients {count:4}  refused something: {suspected[kind]}", flush=True)
    median, high = np.percentile(spent, [50, 99]) / 1000
    print(
        f"{data.name:9} gateway with detector: {median:.0f} µs of the processor a call, p99 {high:.0f} µs", flush=True
    )


def main() -> None:
    """Run what was asked for."""
    asked = argparse.ArgumentParser()
    asked.add_argument("peers")
    asked.add_argument("--targets", type=int, default=100)
    asked.add_argument("--undefended", type=int, default=10)
    asked.add_argument("--clients", type=int, default=400)
    asked.add_argument("--sets", default=",".join(SETS))
    asked.add_argument("--attacks", default=",".join(ATTACKS))
    asked.add_argument("--only", default="attacks,adaptive,benign")
    given = asked.parse_args()
    for name in given.sets.split(","):
        data = attacked(name)
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            describe(folder, data, (ALERT,), 1)
            free = attack(given.peers, folder, data, "foolbox/hopskipjump", targets=given.undefended)
            near = statistics.median(each["best"] for each in free)
            print(
                f"{name}: success is a distance of {near:.3f}, what HopSkipJump reaches undefended in the median",
                flush=True,
            )
            describe(folder, data, (BLOCK,), 1)
            for each in given.attacks.split(",") if "attacks" in given.only else ():
                told(each, name, attack(given.peers, folder, data, each, targets=given.targets), near)
            if "adaptive" in given.only:
                describe(folder, data, (ALERT,), SPLIT)
                results = attack(given.peers, folder, data, "adaptive", targets=given.undefended)
                told("adaptive, undefended", name, results, near)
                describe(folder, data, (BLOCK,), SPLIT)
                results = attack(given.peers, folder, data, "adaptive", targets=given.targets)
                told("adaptive", name, results, near)
                results = attack(given.peers, folder, data, "adaptive", targets=given.targets, each=1, keys=SPLIT)
                told("adaptive, 50 identities", name, results, near)
            if "benign" in given.only:
                describe(folder, data, (BLOCK,), given.clients)
                honest(data, folder, given.clients)
                describe(folder, data, (), given.clients)
                print("without the detector:")
                honest(data, folder, min(8, given.clients))


if __name__ == "__main__":
    main()
