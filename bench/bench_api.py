"""Resolving an alias over HTTP, with authentication and authorisation: requests per second, and p99.

    python bench/bench_api.py [rounds]

Aim: at least 1,500 requests/s on one worker. One process of `holdfast up` answers; another keeps connections busy, one
request at a time on each. Measured in turn: the quick way (`GET /v1/resolve/{alias}`), the same command through the
framework (`GET /v1/resolve?alias=…`), and the public `/healthz`, which is the server alone.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

ROUNDS: Final = 5
SECONDS: Final = 2.0
CONNECTIONS: Final = 16
TARGETS: Final = {
    "GET /v1/resolve/{alias}": "/v1/resolve/breast-cancer@production",
    "GET /v1/resolve?alias=…": "/v1/resolve?alias=breast-cancer",
    "GET /healthz": "/healthz",
}


async def load(url: str, key: str, path: str) -> tuple[int, int, list[float]]:
    """Keep connections busy; return how many were answered 200, how many not, and the times."""
    parts = urlsplit(url)
    head = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    ends = time.perf_counter() + SECONDS
    good, bad, times = 0, 0, []

    async def caller() -> None:
        nonlocal good, bad
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while time.perf_counter() < ends:
            begun = time.perf_counter()
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert b"connection: close" not in answer, answer
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            times.append(1000 * (time.perf_counter() - begun))
            good, bad = (good + 1, bad) if answer.startswith(b"HTTP/1.1 200") else (good, bad + 1)
        writer.close()

    await asyncio.gather(*(caller() for _ in range(CONNECTIONS)))
    return good, bad, times


def client() -> None:
    """Be the load process: `bench_api.py --client URL KEY PATH`."""
    import uvloop

    good, bad, times = uvloop.run(load(*sys.argv[2:5]))
    times.sort()
    print(good / SECONDS, bad, times[int(0.99 * len(times))])


def serve() -> None:
    """Be the server: `bench_api.py --serve FOLDER`; as `holdfast up`, with allowances that are never spent."""
    from holdfast.faces.http.door import Terms
    from holdfast.faces.http.server import serving
    from holdfast.up import UpConfig, run

    folder, plenty = Path(sys.argv[2]), 1e9
    terms = Terms(hosts=frozenset({"127.0.0.1"}), rate_per_s=plenty, burst=plenty, resolve_rate_per_s=plenty)
    config = UpConfig(
        root=folder,
        serving=lambda plant: serving(plant, terms),
        port=0,
        gateway_port=None,
        job_workers=0,
        ready_file=folder / "ready.json",
    )
    run(config, lambda _: None)


def main() -> None:
    """Measure each target in turn, several times over."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from bench.workplace import make_workspace, running

    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in TARGETS}
    refused = 0
    with tempfile.TemporaryDirectory() as place:
        os.environ["HOLDFAST_UNLOCK_DIR"] = f"{place}/unlock"
        folder = Path(place) / "project"
        folder.mkdir()
        key = make_workspace(folder)
        with running(folder, command=[sys.executable, __file__, "--serve", str(folder)]) as up:
            for _ in range(rounds):
                for name, path in TARGETS.items():
                    command = [sys.executable, __file__, "--client", up.said["url"], key, path]
                    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                    rate, bad, slowest = map(float, done.stdout.split())
                    refused += int(bad)
                    found[name].append((rate, slowest))
    print(f"{rounds} rounds of {SECONDS:g} s, {CONNECTIONS} connections, one worker; {refused} answers were not 200")
    for name, measured in found.items():
        rates, slow = zip(*measured, strict=True)
        print(
            f"{name:<26} {statistics.median(rates):8.0f} requests/s  ({min(rates):.0f} to {max(rates):.0f})"
            f"   p99 {statistics.median(slow):6.1f} ms"
        )


if __name__ == "__main__":
    {"--client": client, "--serve": serve}.get((sys.argv[1:2] or [""])[0], main)()
