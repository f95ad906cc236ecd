"""A host of its own for a test: a network namespace behind one cable, which can be cut while everything goes on."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.conftest import absent

RELAY: Final = """
import asyncio, sys

async def main(host, port, where):
    async def serve(reader, writer):
        kind, _, rest = where.partition(":")
        if kind == "unix":
            there = await asyncio.open_unix_connection(rest)
        else:
            there = await asyncio.open_connection(kind, int(rest))

        async def carry(source, sink):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(carry(reader, there[1]), carry(there[0], writer), return_exceptions=True)

    server = await asyncio.start_server(serve, host, int(port))
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main(*sys.argv[1:]))
"""


class Elsewhere:
    """A host that can be reached by one address, over a cable; cut, packets vanish and nobody is told."""

    def __init__(self) -> None:
        self.name = f"hf{secrets.token_hex(4)}"
        self.inside, outside = f"{self.name}i", f"{self.name}o"
        net, at = secrets.randbelow(256), 4 * secrets.randbelow(63)
        here, self.address = f"198.18.{net}.{at + 1}", f"198.18.{net}.{at + 2}"  # RFC 2544: between test devices only
        self.children: list[subprocess.Popen[bytes]] = []
        _ip("netns", "add", self.name)
        _ip("link", "add", outside, "type", "veth", "peer", "name", self.inside, "netns", self.name)
        _ip("addr", "add", f"{here}/30", "dev", outside)
        _ip("link", "set", outside, "up")
        _ip("-n", self.name, "addr", "add", f"{self.address}/30", "dev", self.inside)
        _ip("-n", self.name, "link", "set", "lo", "up")
        self.heal()

    def cut(self) -> None:
        """Pull the cable out."""
        _ip("-n", self.name, "link", "set", self.inside, "down")

    def heal(self) -> None:
        """Put it back."""
        _ip("-n", self.name, "link", "set", self.inside, "up")

    def words(self, *command: str) -> list[str]:
        """A command as it is said to run on that host."""
        return ["ip", "netns", "exec", self.name, *command]

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program there; it ends with the host."""
        process = subprocess.Popen(self.words(*command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.children.append(process)
        return process

    def relay(self, where: str) -> int:
        """Carry what comes to a port of that host on to `host:port` or `unix:path` there; return the port."""
        return _port(self.start(sys.executable, "-c", RELAY, self.address, "0", where))

    def relay_here(self, port: int) -> int:
        """Carry what comes to a port of this host's loopback over the cable; return that port."""
        process = subprocess.Popen(
            [sys.executable, "-c", RELAY, "127.0.0.1", "0", f"{self.address}:{port}"], stdout=subprocess.PIPE
        )
        self.children.append(process)
        return _port(process)

    def end(self) -> None:
        """Take it away, with all that runs there."""
        for each in self.children:
            each.kill()
            each.communicate()
        _ip("netns", "del", self.name)


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """Lend a host, or skip where none can be made."""
    if shutil.which("ip") is None:
        absent("the program ip", "`make services` installs it")
    if os.geteuid() != 0:
        absent("a network of one's own", "run as root, where network namespaces are allowed")
    try:
        host = Elsewhere()
    except subprocess.CalledProcessError as error:
        absent("a network of one's own", f"run where network namespaces are allowed: {error.stderr.decode().strip()}")
    try:
        yield host
    finally:
        host.end()


def _port(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
