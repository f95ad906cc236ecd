"""What gateways on other hosts are handed, and what they tell: the control plane's side of both.

On this machine the published folder is read by anybody, in clear. Beyond it only over mutual TLS, by gateways that the
root keys vouch for; there is no other way, also not behind a terminator, which would have to be believed about who
asks. The process holds no key but that of its certificate, and opens the ledger only to say who was refused.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from holdfast.adapters import http_server
from holdfast.adapters.clock import SystemClock
from holdfast.adapters.durable import read_private
from holdfast.adapters.http_server import Tls
from holdfast.adapters.keys_authority import CERTIFICATE_FILE
from holdfast.adapters.peer import CERTIFICATE
from holdfast.adapters.published import published_file, replace_durably
from holdfast.adapters.received import ReceivedSpool
from holdfast.adapters.supervisor import Listening, bind, probe
from holdfast.app.knocking import recorded
from holdfast.app.trusting import Trusting
from holdfast.core.certificates import MAX_CERTIFICATE, der_of
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.exposure import where_tls_ends
from holdfast.core.gateways import ROLE, known_gateway
from holdfast.core.ports import Clock
from holdfast.lifecycle.home import Home
from holdfast.lifecycle.inbox import SPOOL
from holdfast.lifecycle.reply import Progress, Reply, silent
from holdfast.serve.distribution import Asgi, distribution
from holdfast.serve.events import standing
from holdfast.serve.reception import Reception


def distribute(
    root: Path,
    *,
    tell: Callable[[Progress], None] = silent,
    host: str = "127.0.0.1",
    port: int = 8081,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    ready_file: Path | None = None,
) -> Reply:
    """Hand the published folder to gateways on other hosts until told to stop: `holdfast publish serve`.

    Raises:
        NotFound: There is no workspace, or it has issued no certificate yet.
        Refused: Other machines would be answered without TLS.
        InvalidInput: Half of what TLS needs, or it cannot be used.
        Unavailable: The address cannot be listened on.
    """
    home = Home(root=root.resolve())
    if not home.published.is_dir():
        raise NotFound("there is no workspace here", place=str(root), remedy="Make a workspace with `holdfast init`.")
    tls = mutual(home, tls_cert, tls_key)
    where_tls_ends(host, tls=tls is not None)
    probe(host, port)
    with bind(host, port) as listening:
        shown = f"[{host}]" if ":" in host else host
        url = f"{'https' if tls else 'http'}://{shown}:{listening.getsockname()[1]}"

        def started() -> None:
            if ready_file is not None:
                replace_durably(ready_file, json.dumps({"event": "ready", "url": url, "pid": os.getpid()}).encode())
            words = f"{url} hands out what is published; stop with Ctrl-C"
            tell(Progress(stage="publish", state="finished", words=words))

        try:
            hand_out(home, listening, tls, started)
        finally:
            if ready_file is not None:
                ready_file.unlink(missing_ok=True)
    return Reply(says="The published folder is no longer handed out.")


def hand_out(home: Home, listening: Listening, tls: Tls | None, started: Callable[[], None]) -> None:
    """Answer gateways on a bound socket until SIGTERM or SIGINT; without TLS it is bound to this machine."""
    handing = distribution(lambda name: published_file(home.published, name))
    if tls is None:
        http_server.run(handing, listening, on_started=started, on_malformed=lambda _: None)
        return
    with recorded(home) as knocks:
        door = reception(home, handing, SystemClock(), knocks.refused)
        http_server.run(door, listening, on_started=started, on_malformed=lambda _: None, tls=tls)


def mutual(home: Home, certificate: Path | None, key: Path | None) -> Tls | None:
    """Return what mutual TLS needs: the certificate named, and the workspace's own authority for everybody else's.

    Raises:
        NotFound: The workspace has issued no certificate yet.
        InvalidInput: Half of it is given, or it cannot be used.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise InvalidInput("half of what TLS needs", expected="--tls-cert and --tls-key")
    authority = home.authority / CERTIFICATE_FILE
    if not authority.is_file():
        remedy = "Issue the control plane's certificate with `holdfast cert issue`, and enrol a gateway."
        raise NotFound("this workspace has issued no certificate yet", place=str(authority), remedy=remedy)
    tls = Tls(certificate=certificate, key=key, client_authority=authority)
    http_server.context_of(tls)
    return tls


def reception(home: Home, handing: Asgi, clock: Clock, refused: Callable[[str, str], None]) -> Reception:
    """Return what lets enrolled gateways in, by the trust in force at each request, and keeps what they tell."""
    trusting = Trusting(home, clock)

    def known(certificate: bytes) -> str:
        pem = read_private(home.authority / CERTIFICATE_FILE, what="the authority", limit=MAX_CERTIFICATE)
        return known_gateway(certificate, der_of(pem), trusting(), clock.now())

    def taking(name: str) -> ReceivedSpool:
        folder = home.gateways / name.removeprefix(f"{ROLE}/") / SPOOL
        return ReceivedSpool(folder=folder, gateway=name, check_chain=standing)

    def own(name: str) -> bytes | None:
        path = home.gateways / name.removeprefix(f"{ROLE}/") / CERTIFICATE
        with suppress(NotFound):
            return read_private(path, what="a gateway's certificate", limit=MAX_CERTIFICATE)
        return None

    return Reception(inside=handing, known=known, taking=taking, own=own, refused=refused)
