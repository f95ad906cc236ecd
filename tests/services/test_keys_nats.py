"""The credentials of a NATS user: read without a package that only source is published of, and believed by a server."""

import asyncio
import base64
import binascii
import hashlib
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.conftest import absent

from holdfast.adapters.keys_nats import read_credentials
from holdfast.core.errors import InvalidInput, Refused

OPERATOR, ACCOUNT, USER = 14 << 3, 0 << 3, 20 << 3
READY_S: Final = 30.0


def sealed(head: bytes, raw: bytes) -> str:
    """Bytes as NKeys writes them."""
    body = head + raw
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode().rstrip("=")


class Nkey:
    """A key of one kind."""

    def __init__(self, kind: int) -> None:
        self.kind, self.key = kind, Ed25519PrivateKey.generate()
        self.public = sealed(bytes((kind,)), self.key.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        head = bytes((18 << 3 | self.kind >> 5, (self.kind & 31) << 3))
        return sealed(head, self.key.private_bytes_raw())

    def token(self, subject: "Nkey", name: str, kind: str, **more: Any) -> str:
        """A JWT of NATS about another key."""
        claims = {"iat": int(time.time()), "iss": self.public, "name": name, "sub": subject.public}
        claims |= {"jti": hashlib.sha256(name.encode()).hexdigest(), "nats": {"type": kind, "version": 2, **more}}
        parts = ({"typ": "JWT", "alg": "ed25519-nkey"}, claims)
        body = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
        return f"{body}.{base64.urlsafe_b64encode(self.key.sign(body.encode())).decode().rstrip('=')}"


def written(path: Path, token: str, seed: str) -> Path:
    """A credentials file, as the tools of NATS write it."""
    path.write_text(
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\nKeep it secret.\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n\n*****\n"
    )
    path.chmod(0o600)
    return path


def listens(port: int) -> bool:
    """Whether somebody listens at a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.services
def test_a_server_believes_the_user_of_a_credentials_file_and_no_other(tmp_path: Path) -> None:
    """A server whose operator vouches for an account, which vouches for a user."""
    nats = pytest.importorskip("nats")
    program = shutil.which("nats-server")
    if program is None:
        absent("nats-server", "`make services` installs it")
    operator, account, user, stranger = Nkey(OPERATOR), Nkey(ACCOUNT), Nkey(USER), Nkey(USER)
    limits = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": -1}
    of_account = operator.token(account, "a", "account", limits=limits)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "server.conf").write_text(
        f'listen: "127.0.0.1:{port}"\noperator: "{operator.token(operator, "o", "operator")}"\n'
        f'resolver: MEMORY\nresolver_preload: {{ {account.public}: "{of_account}" }}\n'
    )
    command = [program, "-c", str(tmp_path / "server.conf")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + READY_S
        while time.monotonic() < end and not listens(port):
            time.sleep(0.05)
        token = account.token(user, "u", "user", subs=-1, data=-1, payload=-1)

        async def quiet(_error: Exception) -> None:
            """Whoever asks is told."""

        async def ask(seed: str) -> bool:
            found = read_credentials(written(tmp_path / "user.creds", token, seed))
            options: dict[str, Any] = {"user_jwt_cb": found.token.encode, "signature_cb": found.sign}
            client = nats.NATS()
            try:
                await client.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False, error_cb=quiet, **options)
                return bool(client.is_connected)
            finally:
                await client.close()
                if client._transport is not None:
                    client._transport.close()
                await asyncio.sleep(0.01)

        assert asyncio.run(ask(user.seed))
        with pytest.raises(Exception, match=r"(?i)authorization"):
            asyncio.run(ask(stranger.seed))
    finally:
        process.terminate()
        process.wait()


def test_what_is_no_credentials_file_is_refused(tmp_path: Path) -> None:
    """A block too few, a seed of another kind or with a letter changed, and a file that others may read."""
    user = Nkey(USER)
    path = written(tmp_path / "user.creds", "a.b.c", user.seed)
    assert read_credentials(path).token == "a.b.c"
    for seed in (
        Nkey(ACCOUNT).seed,
        user.public,
        user.seed[:-1],
        "SU",
        f"{user.seed[:30]}{'A' if user.seed[30] != 'A' else 'B'}{user.seed[31:]}",
    ):
        with pytest.raises(InvalidInput, match="seed"):
            read_credentials(written(path, "a.b.c", seed))
    path.write_text(f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n")
    with pytest.raises(InvalidInput, match="credentials of a NATS user"):
        read_credentials(path)
    path.chmod(0o644)
    with pytest.raises(Refused):
        read_credentials(path)
