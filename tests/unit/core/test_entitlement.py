"""What a signer reads in a message before it signs: each role says its own, and nothing that only looks like it."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from holdfast.core import tokens
from holdfast.core.artifact import canonical
from holdfast.core.entitlement import purpose_of
from holdfast.core.errors import Refused
from holdfast.core.ledger import Checkpoint

ORIGIN = "holdfast/test"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
PACK = (
    f"holdfast evidence pack v1\nrelease {DIGEST}\nmanifest {DIGEST}\ntime 2026-03-01T00:00:00.000000+00:00\n".encode()
)
METADATA = {"_type": "timestamp", "spec_version": "1.0.31", "version": 3, "expires": "2026-03-02T00:00:00Z", "meta": {}}


class Asked:
    """A key that keeps what it is asked to sign."""

    keyid = "k" * 64
    role = tokens.ROLE

    def sign(self, message: bytes) -> bytes:
        self.message = message
        return b"s"


def asked(**changed: Any) -> bytes:
    """What the key of tokens is asked to sign, by `mint` itself, perhaps changed."""
    key = Asked()
    tokens.mint(tokens.Subject(name="ada", session="key:1"), key, issuer=ORIGIN, jti="j", now=NOW)
    head, payload = key.message.split(b".")
    claims = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4))) | changed
    return head + b"." + base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")


def test_what_each_role_says_has_a_word() -> None:
    """The registry's metadata by type, a token, a pack's note, a checkpoint."""
    for kind in ("targets", "snapshot", "timestamp"):
        assert purpose_of("registry", canonical(METADATA | {"_type": kind}), origin=ORIGIN) == kind
    assert purpose_of("tokens", asked(), origin=ORIGIN) == "token"
    assert purpose_of("ledger", PACK, origin=ORIGIN) == "pack"
    body = Checkpoint(origin=ORIGIN, size=1, root=b"r" * 32, time=NOW).body
    assert purpose_of("ledger", body, origin=ORIGIN) == "checkpoint"


@pytest.mark.parametrize(
    ("role", "message"),
    [
        ("registry", canonical(METADATA | {"_type": "root"})),
        ("registry", canonical(METADATA | {"spec_version": "2.0"})),
        ("registry", canonical({key: value for key, value in METADATA.items() if key != "expires"})),
        ("registry", b'{"_type":"timestamp","a":' + b"[" * 100_000),
        ("registry", b"{"),
        ("assess", canonical(METADATA)),
        ("registry", PACK),
        ("tokens", canonical(METADATA)),
        ("tokens", asked(iss="holdfast/other")),
        ("tokens", asked(aud="another")),
        ("tokens", asked(exp=int(NOW.timestamp()) + 3600)),
        ("tokens", asked(admin=True)),
        ("tokens", asked() + b".s"),
        ("tokens", asked()[:-3]),
        ("tokens", b"." + asked()),
        ("tokens", b"\xff." + b"a" * 10),
        ("tokens", b"a" * 5000 + b".b"),
        ("assess", asked()),
        ("ledger", asked()),
        ("ledger", PACK + b"more\n"),
        ("ledger", PACK.replace(b"manifest", b"document")),
        ("ledger", PACK.replace(b"v1", b"v2")),
        ("assess", PACK),
        ("emperor", PACK),
    ],
)
def test_what_is_not_a_roles_to_say_is_refused(role: str, message: bytes) -> None:
    """Another role's words, a root, another workspace's or a longer token, something appended or unreadable."""
    with pytest.raises(Refused):
        purpose_of(role, message, origin=ORIGIN)
