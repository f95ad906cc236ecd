"""What `make fuzz` throws at a gateway, for a moment in each build: honest inputs, and the same damaged by seed."""

import random
from typing import Final

import pytest

fuzz_gateway = pytest.importorskip("fuzz_gateway")
SEED: Final = 20265
PIECES: Final = (b"[", b'{"', b"1e999", b"NaN", b"null", b"-1", b"9" * 30, b'"\xff', b"\0", b":", b",", b"\n\n")


def damaged(data: bytes, draw: random.Random) -> bytes:
    """An input with some of it changed, repeated, lost, or put in."""
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5))):
        at = draw.randrange(len(found) + 1)
        kind = draw.randrange(4)
        if kind == 0 and found:
            found[at % len(found)] = draw.randrange(256)
        elif kind == 1:
            found[at:at] = draw.choice(PIECES)
        elif kind == 2:
            del found[at : at + draw.randrange(1, 9)]
        else:
            found[at:at] = found[max(0, at - 20) : at]
    return bytes(found)


@pytest.mark.guarantee("G11")
@pytest.mark.parametrize("name", sorted(fuzz_gateway.TARGETS))
def test_what_strangers_send_is_answered_or_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No parser of the gateway raises anything but its refusals, and no call is a defect inside."""
    monkeypatch.setattr(fuzz_gateway.Replies, "broken", fuzz_gateway.Replies.broken)  # as it was, afterwards
    fuzz_gateway.gateway.cache_clear()
    honest, draw = fuzz_gateway.seeds()[name], random.Random(SEED)  # noqa: S311 - to be repeated
    for data in honest + [damaged(draw.choice(honest), draw) for _ in range(300)] + [b"", b"\0", b"\xff" * 99]:
        fuzz_gateway.TARGETS[name](data)
