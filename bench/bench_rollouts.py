"""What rollouts cost: choosing a release, a switch of blue and green, and a shadow beside live calls.

    .venv/bin/python bench/bench_rollouts.py

The choice is timed in CPU time. The switch is timed against a running gateway of the example project, from the command
until the other release answers a caller, with calls going on. The shadow is measured as what a caller of the gateway's
core sees, with and without copies, interleaved. Beside other work the wall-clock figures are worse than the code is.
"""

import statistics
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from holdfast import app
from holdfast.adapters.runtime import OnnxRuntime
from holdfast.client import Client
from holdfast.core.errors import HoldfastError
from holdfast.edge import start
from holdfast.faces.demo.data import write_data
from holdfast.faces.demo.stage import copy_project, example
from holdfast.lifecycle.exchanges import bluegreen_prepare, bluegreen_switch
from holdfast.lifecycle.promotion import issue_key, promote
from holdfast.lifecycle.reply import short
from holdfast.lifecycle.runner import run
from holdfast.serve.state import Route
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import World

CHOICES = 200_000
SWITCHES = 12
CALLS = 3_000  # of each kind beside a shadow, in ten turns
"""Counts of what is timed."""


def choosing() -> None:
    """Print what choosing a release costs, without and with a rollout."""
    world = World()
    serving = world.serve(OnnxRuntime())
    state = serving.gateway.state
    assert state is not None
    (route,) = state.routes.values()
    split = replace(route, candidate=route.baseline, share=0.1, salt="ab" * 16)
    flag = replace(split, segment={"country": frozenset({"de", "at"})})
    unit = {"x-holdfast-unit": "user-1", "x-holdfast-attributes": "country=de; plan=pro"}
    for name, chosen, headers in (("no rollout", route, {}), ("canary", split, {}), ("flag", flag, unit)):
        print(f"choosing, {name:10} {_each(chosen, headers):6.2f} µs of CPU")


def _each(route: Route, headers: dict[str, str]) -> float:
    begun = time.process_time()
    for _ in range(CHOICES):
        route.choose("0123456789abcdef", headers)
    return (time.process_time() - begun) / CHOICES * 1e6


def shadowing() -> None:
    """Print what callers of the core wait, with and without a shadow that gets a copy of every call."""
    world = World()
    first, second = world.release(tiny_model(bias=-2.0)), world.release(tiny_model(bias=2.0))
    world.publish(world.table(first, candidate=second))
    serving = world.serving(OnnxRuntime())
    serving.look()
    state = serving.gateway.state
    assert state is not None
    ((name, route),) = state.routes.items()
    plain = replace(state, routes={name: replace(route, candidate=None)})
    shadowed = replace(state, routes={name: replace(route, plan="shadow", mirrored=1.0)})
    took: dict[str, list[float]] = {"alone": [], "with a shadow": []}
    for _ in range(10):
        for label, now in (("alone", plain), ("with a shadow", shadowed)):
            serving.gateway.swap(now)
            for number in range(CALLS // 10):
                serving.ticks.seconds += 0.01  # within the caller's rate
                begun = time.perf_counter()
                assert serving.call().status == 200
                took[label].append((time.perf_counter() - begun) * 1e6)
                if number % 10 == 0:
                    time.sleep(0.001)  # as a server waits for the next request
            serving.gateway.shadow.wait()
    for label, each in took.items():
        p50, p99 = statistics.median(each), float(np.quantile(each, 0.99))
        print(f"a call {label:14} {p50:7.0f} µs (median), {p99:7.0f} µs (99 %)")
    assert route.candidate is not None
    window = {digest: found for digest, found, _ in serving.gateway.untold()}[route.candidate.digest].shadow
    print(f"copies: {window.rows if window else 0} asked, {window.dropped if window else 0} dropped")


def switching() -> None:
    """Print how long it takes until the other release answers, by the command and as a caller sees it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy_project(example(), root)
        write_data(example(), root)
        app.init(root)
        with app.open_plant(root) as plant:
            releases = []
            for seed in (None, 8):
                project = root / "holdfast.toml"
                lines = project.read_text(encoding="utf-8").splitlines()
                if seed is not None:
                    lines = [f"seed = {seed}" if line.startswith("seed = ") else line for line in lines]
                project.write_text("\n".join(lines), encoding="utf-8")
                releases.append(str(run(plant).document["release"]))
                if seed is None:
                    promote(plant, reason="Blue.")
            bluegreen_prepare(plant, release=releases[1], reason="Green.")
            key = str(issue_key(plant, client="bench").document["key"])
            with start(root) as gateway, Client(gateway.url, key, retries=0) as client:
                names = client.metadata("breast-cancer")["parameters"]["features"]
                row = np.array([[(field["minimum"] or 0.0) for field in names]])
                seen, stop, failed = [""], threading.Event(), [0]

                def call() -> None:
                    while not stop.is_set():
                        try:
                            seen[0] = client.infer("breast-cancer", row).release
                        except HoldfastError:
                            failed[0] += 1
                        stop.wait(0.005)

                thread = threading.Thread(target=call)
                thread.start()
                commands, answers, busy, obeyed = [], [], [], []
                timestamp = root / ".holdfast" / "published" / "timestamp.json"
                for number in range(SWITCHES):
                    wanted = short(releases[(number + 1) % 2])
                    begun, worked = time.perf_counter(), time.thread_time()
                    bluegreen_switch(plant, reason="Change places.")
                    busy.append(time.thread_time() - worked)
                    commands.append(time.perf_counter() - begun)
                    while seen[0] != wanted:
                        time.sleep(0.001)
                    answers.append(time.perf_counter() - begun)
                    obeyed.append(time.time() - timestamp.stat().st_mtime)
                stop.set()
                thread.join()
    print(
        f"switch, the command's own work     {statistics.median(busy):.2f} s of CPU (median), {max(busy):.2f} s (most)"
    )
    words = ("the command returns", "the other answers", "so, once published")
    for what, took in zip(words, (commands, answers, obeyed), strict=True):
        print(f"switch, until {what:20} {statistics.median(took):.2f} s (median), {max(took):.2f} s (most)")
    print(f"failed calls in {SWITCHES} switches: {failed[0]}")


if __name__ == "__main__":
    choosing()
    shadowing()
    switching()
