"""A thousand rows in one call: the gateway's core with every inline guard, beside ONNX Runtime alone on the same rows.

    python bench/bench_rows.py [calls [trees]]

One process without a socket; the model and the guards of `bench_gateway.py`. The core's whole way (headers, guards,
decoding, model, encoding) and the bare model in turn, call by call; CPU time of the thread. Rows that telemetry keeps
are put into their cells every twenty calls, as the worker's watcher does, and that time is told apart.

Aim (issue 5): ONNX Runtime is at least 90 % of a call.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import bench_gateway

ROWS: Final = 1000
CALLS: Final = 200
TREES: Final = 100
SETTLED_EVERY: Final = 20
WANTED: Final = [{"name": name, "parameters": {"binary_data": True}} for name in ("label", "probabilities")]


def request(rows: Any, datatype: str, *, outputs: bool) -> Any:
    """Return a call about rows: as JSON, or as bytes of a datatype, with outputs as bytes where wanted."""
    from holdfast.serve import HttpRequest
    from holdfast.testing.world import INFER, WITH_KEY

    tensor: dict[str, Any] = {"name": "input", "shape": rows.shape, "datatype": datatype}
    kind = {"FP32": "<f4", "FP64": "<f8"}.get(datatype)
    raw = rows.astype(kind).tobytes() if kind else b""
    tensor |= {"parameters": {"binary_data_size": len(raw)}} if kind else {"datatype": "FP64"}
    tensor |= {} if kind else {"data": rows.ravel().tolist()}
    head = json.dumps({"inputs": [tensor]} | ({"outputs": WANTED} if outputs else {})).encode()
    length = ((b"inference-header-content-length", str(len(head)).encode()),) if kind else ()
    return HttpRequest(method="POST", path=INFER, headers=(*WITH_KEY, *length), body=head + raw, peer="127.0.0.1")


def serving(document: bytes, rows: list[list[float]], folder: Path) -> Any:
    """Return a gateway with the guards of the other bench, its limits in shared cells."""
    from holdfast.adapters.cells import SharedCells
    from holdfast.adapters.runtime import OnnxRuntime
    from holdfast.core.routes import GuardSpec
    from holdfast.core.schema import Field, Signature
    from holdfast.testing.world import World

    inputs = tuple(
        Field(name=f"feature_{number}", minimum=min(column), maximum=max(column) * 2 + 1)
        for number, column in enumerate(zip(*rows, strict=True))
    )
    world = World(datetime.now(UTC))
    release = world.release(document, signature=Signature(inputs=inputs, classes=("malignant", "benign")))
    guards = tuple(GuardSpec(name=name, configuration=given) for name, given in bench_gateway.CONTROLS.items())
    world.publish(world.table(release, guards=guards))
    found = world.serving(OnnxRuntime(), cells=SharedCells(folder / "limits.cells"))
    found.look()
    return found.gateway


def took(work: Callable[[], Any]) -> float:
    """Return the CPU time of one piece of work, µs."""
    begun = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - begun) / 1000


def main(calls: int, trees: int) -> None:
    """Measure in turn, and print."""
    from holdfast.adapters.heap import give_large_blocks_back
    from holdfast.adapters.runtime import OnnxRuntime

    give_large_blocks_back()  # as a worker does
    document, some = bench_gateway.model(trees)
    rows = np.array((some * (ROWS // len(some) + 1))[:ROWS])
    with tempfile.TemporaryDirectory() as name:
        gateway = serving(document, some, Path(name))
        model, small = OnnxRuntime().load(document, features=len(some[0]), classes=2), rows.astype(np.float32)
        ways: dict[str, Callable[[], Any]] = {"ONNX Runtime": lambda: model.run(small)}
        for label, kind, outputs in (
            ("JSON", "JSON", False),
            ("FP32 in, JSON out", "FP32", False),
            ("FP32 in, bytes out", "FP32", True),
            ("FP64 in, bytes out", "FP64", True),
        ):
            ways[label] = partial(gateway.handle, request(rows, kind, outputs=outputs))
            assert ways[label]().status == 200
        times: dict[str, list[float]] = {label: [] for label in ways}
        settled: list[float] = []
        for number in range(calls):
            for label, work in ways.items():
                times[label].append(took(work))
            if number % SETTLED_EVERY == SETTLED_EVERY - 1:
                settled.append(took(gateway.untold) / (SETTLED_EVERY * (len(ways) - 1)))
    bare = times["ONNX Runtime"]
    for label, found in times.items():
        share = [100 * one / other for one, other in zip(bare, found, strict=True)]
        print(f"{label:20}{bench_gateway.shown(found):>32} µs   ONNX Runtime is {bench_gateway.shown(share)} % of it")
    print(f"{'telemetry, later':20}{statistics.median(settled):9.1f} µs a call")


if __name__ == "__main__":
    main(max(int(sys.argv[1]), SETTLED_EVERY) if sys.argv[1:] else CALLS, int(sys.argv[2]) if sys.argv[2:] else TREES)
