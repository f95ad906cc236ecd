"""A thousand rows in one call: the gateway's core with every inline guard, beside ONNX Runtime alone on the same rows.

    python bench/bench_rows.py [calls [trees]]

One process without a socket; the model and the guards of `bench_gateway.py`. The core's whole way (headers, guards,
decoding, model, encoding) and the bare model in turn, call by call; CPU time of the thread. Rows come in each form in
which JSON can bring them, and as bytes. Rows that telemetry keeps are put into their cells every 45 calls, as a worker
does twenty times a second, and that time is told apart.

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
SETTLED_EVERY: Final = 5
WANTED: Final = [{"name": name, "parameters": {"binary_data": True}} for name in ("label", "probabilities")]


def request(rows: Any, datatype: str, *, outputs: bool) -> Any:
    """Return a call about rows as bytes of a datatype, with outputs as bytes where wanted."""
    raw = rows.astype({"FP32": "<f4", "FP64": "<f8"}[datatype]).tobytes()
    tensor = {"name": "input", "shape": rows.shape, "datatype": datatype, "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [tensor]} | ({"outputs": WANTED} if outputs else {})).encode()
    return post(head + raw, more=((b"inference-header-content-length", str(len(head)).encode()),))


def requests(rows: Any) -> dict[str, Any]:
    """Return calls about rows as JSON, in each form in which it can bring them."""
    from holdfast.testing.world import MODEL

    def tensor(name: str, shape: Any, data: Any, datatype: str = "FP64") -> dict[str, Any]:
        return {"name": name, "shape": shape, "datatype": datatype, "data": data}

    names = [f"feature_{number}" for number in range(rows.shape[1])]
    whole = rows.round().astype(int).ravel().tolist()
    columns = [tensor(name, [len(rows)], column) for name, column in zip(names, rows.T.tolist(), strict=True)]
    found = {
        "JSON": [tensor("input", rows.shape, rows.ravel().tolist())],
        "JSON, nested rows": [tensor("input", rows.shape, rows.tolist())],
        "JSON, whole numbers": [tensor("input", rows.shape, whole, "INT64")],
        "JSON, by column": columns,
    }
    plain = {"rows": [dict(zip(names, row, strict=True)) for row in rows.tolist()]}
    calls = {label: post(json.dumps({"inputs": tensors}).encode()) for label, tensors in found.items()}
    return calls | {"/predict": post(json.dumps(plain).encode(), path=f"/predict/{MODEL}")}


def post(body: bytes, *, path: str = "", more: Any = ()) -> Any:
    """Return a call with a key."""
    from holdfast.serve import HttpRequest
    from holdfast.testing.world import INFER, WITH_KEY

    return HttpRequest(method="POST", path=path or INFER, headers=(*WITH_KEY, *more), body=body, peer="127.0.0.1")


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
        asked = requests(rows) | {
            "FP32 in, JSON out": request(rows, "FP32", outputs=False),
            "FP32 in, bytes out": request(rows, "FP32", outputs=True),
            "FP64 in, bytes out": request(rows, "FP64", outputs=True),
        }
        ways |= {label: partial(gateway.handle, each) for label, each in asked.items()}
        assert all(gateway.handle(each).status == 200 for each in asked.values())
        times: dict[str, list[float]] = {label: [] for label in ways}
        settled: list[float] = []
        for number in range(calls):
            for label, work in ways.items():
                times[label].append(took(work))
            if number % SETTLED_EVERY == SETTLED_EVERY - 1:
                settled.append(took(gateway.settle) / (SETTLED_EVERY * (len(ways) - 1)))
    bare = times["ONNX Runtime"]
    for label, found in times.items():
        share = [100 * one / other for one, other in zip(bare, found, strict=True)]
        print(f"{label:20}{bench_gateway.shown(found):>32} µs   ONNX Runtime is {bench_gateway.shown(share)} % of it")
    print(f"{'telemetry, later':20}{statistics.median(settled):9.1f} µs a call")


if __name__ == "__main__":
    main(max(int(sys.argv[1]), SETTLED_EVERY) if sys.argv[1:] else CALLS, int(sys.argv[2]) if sys.argv[2:] else TREES)
