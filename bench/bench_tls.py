"""What TLS costs where it ends in the process: the gateway with every inline guard, by TLS 1.3 and in the clear.

    python bench/bench_tls.py [rounds]

The server, the guards and the model of `bench_gateway.py`, one worker each, in turn, round by round: single rows on
connections that are kept (a handshake is paid once for each). CPU time is the server's own.

Aim (issue 5): at least 75 % of the throughput in the clear.
"""

import asyncio
import json
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import bench_gateway as base

ROUNDS: Final = 5
WAYS: Final = ("clear", "tls")


def certify(folder: Path) -> None:
    """Write a key and a certificate for this machine's own address."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (folder / "server.key").write_bytes(secret)
    (folder / "server.key").chmod(0o600)


def serve(way: str, folder: Path) -> None:
    """Be one of the servers, and say on standard output where it listens."""
    from holdfast.adapters.http_server import Tls
    from holdfast.adapters.supervisor import bind
    from holdfast.edge import EdgeConfig, Worker

    listening = bind("127.0.0.1", 0)
    tls = Tls(certificate=folder / "server.crt", key=folder / "server.key") if way == "tls" else None

    def started() -> None:
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()

    class Secured(Worker):
        """A worker that ends TLS."""

        def __init__(self, *, config: EdgeConfig, **rest: object) -> None:
            super().__init__(config=replace(config, tls=tls), **rest)  # type: ignore[arg-type]

    import holdfast.edge

    holdfast.edge.Worker = Secured  # type: ignore[misc]
    base.guarded(folder, listening, started)


def client(port: int, request_file: Path, certificate: str) -> None:
    """Keep a server busy for a while; print how many calls were answered, and how long each took."""
    import uvloop

    request, times = request_file.read_bytes(), list[float]()
    context = ssl.create_default_context(cafile=certificate) if certificate else None
    if context is not None:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    length = _length(port, request, context)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(base.CONNECTIONS):
            await loop.create_connection(lambda: base.Caller(request, length, times), "127.0.0.1", port, ssl=context)
        await asyncio.sleep(base.SECONDS)

    uvloop.run(run())
    times.sort()
    found = {"calls": len(times), "p50": times[len(times) // 2] * 1e6, "p99": times[len(times) * 99 // 100] * 1e6}
    sys.stdout.write(json.dumps(found))


def _length(port: int, request: bytes, context: ssl.SSLContext | None) -> int:
    """Make one call, check that it is answered, and return the length of the answer."""
    with socket.create_connection(("127.0.0.1", port)) as plain:
        connection = context.wrap_socket(plain, server_hostname="127.0.0.1") if context else plain
        connection.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        lines = head.lower().split(b"\r\n")
        length = next(int(line[16:]) for line in lines if line.startswith(b"content-length: "))
        while len(body) < length:
            body += connection.recv(65536)
        return len(head) + 4 + length


def measure(process: subprocess.Popen[str], port: int, request_file: Path, certificate: str) -> dict[str, float]:
    """Return what one server did while it was kept busy."""
    before = base.cpu_s(process.pid)
    command = [sys.executable, __file__, "client", str(port), str(request_file), certificate]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    used = base.cpu_s(process.pid) - before
    return found | {"cpu": used / found["calls"] * 1e6, "rate": found["calls"] / base.SECONDS}


def main(rounds: int) -> None:
    """Measure both in turn, and print."""
    from holdfast.testing.world import API_KEY, INFER

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        body = base.prepare(folder)
        certify(folder)
        head = f"POST {INFER} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {API_KEY}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        (folder / "request").write_bytes(head.encode() + body)
        servers, results = [], {way: list[dict[str, float]]() for way in WAYS}
        try:
            for way in WAYS:
                command = [sys.executable, __file__, "server", way, str(folder)]
                process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                assert process.stdout is not None
                certificate = str(folder / "server.crt") if way == "tls" else ""
                servers.append((way, process, int(process.stdout.readline()), certificate))
            for _ in range(rounds + 1):  # the first round warms up and is not counted
                for way, process, port, certificate in servers:
                    results[way].append(measure(process, port, folder / "request", certificate))
        finally:
            for _, process, _, _ in servers:
                process.terminate()
                process.communicate()
    report({way: found[1:] for way, found in results.items()})


def report(results: dict[str, list[dict[str, float]]]) -> None:
    """Print the figures, and TLS against clear in each round."""
    for way, found in results.items():
        cpu, rate = base.shown([one["cpu"] for one in found]), base.shown([one["rate"] for one in found])
        p99 = statistics.median(one["p99"] for one in found)
        print(f"{way:8}{cpu:>26} µs CPU{rate:>28} requests/s  p99 {p99:.0f} µs")
    pairs = list(zip(results["tls"], results["clear"], strict=True))
    rates = base.shown([100 * tls["rate"] / clear["rate"] for tls, clear in pairs])
    per_cpu = base.shown([100 * clear["cpu"] / tls["cpu"] for tls, clear in pairs])
    print(f"TLS against clear: throughput {rates} %, requests per CPU second {per_cpu} % (aim 75 %)")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["server", way, folder]:
            serve(way, Path(folder))
        case ["client", port, request_file, certificate]:
            client(int(port), Path(request_file), certificate)
        case arguments:
            main(int(arguments[0]) if arguments else ROUNDS)
