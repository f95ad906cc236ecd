"""A guarded gateway over real HTTP for `bench_attacks`, in a small signed world: `attack_server.py FOLDER`.

Reads `model.onnx` and `world.json` from the folder, says on standard output where it listens, and obeys one word a line
on standard input: `forget` makes the detectors forget whom and what they have seen.
"""

import json
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from holdfast.adapters import http_server
from holdfast.adapters.runtime import OnnxRuntime
from holdfast.adapters.supervisor import bind
from holdfast.core.routes import GuardSpec
from holdfast.core.schema import Field, Signature
from holdfast.maths.nearness import Space
from holdfast.serve.asgi import entrances
from holdfast.serve.guards.surroundings import LocalCells
from holdfast.testing.world import GUARDS, MODEL, Serving, World


def key(client: int) -> str:
    """Return a client's API key."""
    return "hf_" + f"{client:043d}"


def assemble(folder: Path) -> Serving:
    """Return the gateway."""
    said: dict[str, Any] = json.loads((folder / "world.json").read_text())
    inputs = tuple(
        Field(name=f"c{number}", minimum=low, maximum=high)
        for number, (low, high) in enumerate(zip(said["low"], said["high"], strict=True))
    )
    signature = Signature(inputs=inputs, classes=tuple(f"k{number}" for number in range(said["classes"])))
    space = msgspec.convert(said["space"], Space)
    world = World()
    limit = {"rate_per_s": 1e6, "burst": 1_000_000}
    guards = (
        GuardSpec(name="within-size", configuration={"max_bytes": 8 << 20}),
        GUARDS[1],
        GuardSpec(name="within-rate", configuration=limit),
        GuardSpec(name="valid-input", configuration={"max_rows": 4096, "margin": 10.0, "outside": "flag"}),
        *(GuardSpec(**each) for each in said["guards"]),
        GuardSpec(name="coarse-output", configuration={"label_only": said["label_only"]}),
    )
    keys = tuple(world.credential(key(each), client=f"c{each}", models=(MODEL,)) for each in range(said["clients"]))
    release = world.release((folder / "model.onnx").read_bytes(), signature=signature, space=space)
    world.publish(world.table(release, guards=guards, credentials=keys))
    serving = world.serving(OnnxRuntime())
    serving.look()
    if serving.gateway.state is None:
        raise serving.complaints[-1]
    return serving


def obey(serving: Serving) -> None:
    """Obey what is said on standard input."""
    for line in sys.stdin:
        if line.strip() == "forget":
            serving.loader.ground.watched.kept.clear()
            assert isinstance(serving.loader.cells, LocalCells)
            serving.loader.cells.held.clear()  # what workers would share: sums of clients, and who is suspected
            serving.look()
            serving.loader.refresh()
            serving.events()
            sys.stdout.write("forgotten\n")
            sys.stdout.flush()


def main() -> None:
    """Serve until standard input ends."""
    serving, listening = assemble(Path(sys.argv[1])), bind("127.0.0.1", 0)

    def started() -> None:
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        threading.Thread(target=obey, args=(serving,), daemon=True).start()

    app, direct = entrances(serving.gateway)
    http_server.run(app, listening, on_started=started, on_malformed=lambda _: None, direct=direct)


if __name__ == "__main__":
    main()
