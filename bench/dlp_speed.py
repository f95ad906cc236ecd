"""A table of a million cells, nine in ten of them distinct: what a business exports, personal and not."""

import hashlib
import random
import uuid
from collections.abc import Callable
from typing import Final

import polars as pl
from faker import Faker

ROWS: Final = 50_000
_WORDS: Final = 400  # different sentences that texts are put together from


def million(seed: int) -> pl.DataFrame:
    """Return twenty columns of 50,000 rows; one in twenty texts holds something personal."""
    rng, fake = random.Random(seed), Faker("en_US")  # noqa: S311 - data to search in, not secrets
    fake.seed_instance(seed)
    said = [fake.sentence() for _ in range(_WORDS)]

    def text(number: int) -> str:
        inside = f" call {number % 900 + 100}-555-{number % 10_000:04} " if number % 20 == 0 else f" item {number} "
        return rng.choice(said) + inside + rng.choice(said)

    makers: dict[str, Callable[[int], object]] = {
        "id": lambda _: str(uuid.UUID(int=rng.getrandbits(128))),
        "a": lambda n: f"{rng.choice(said)[:4].strip().lower()}.{n}@mail{n % 97}.example.com",
        "b": lambda n: f"+49 30 {rng.randrange(10**7):07}{n % 10}",
        "c": lambda _: f"({rng.randrange(200, 289)}) {rng.randrange(200, 999)}-{rng.randrange(10**4):04}",
        "d": lambda _: f"{rng.randrange(11, 220)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}",
        "e": lambda n: f"https://shop.example.org/{n}/item?{rng.randrange(10**6)}",
        "f": lambda n: hashlib.sha256(str(n).encode()).hexdigest(),
        "g": lambda _: rng.randrange(10**9, 10**10),
        "h": lambda _: rng.randrange(10**15, 10**16),
        "i": lambda _: rng.gauss(0, 1000),
        "j": lambda n: f"2024-{n % 12 + 1:02}-{n % 28 + 1:02} {n % 24:02}:{n % 60:02}:{rng.randrange(60):02}.{n:06}",
        "k": lambda n: f"ORD-{n:08}",
        "l": lambda n: f"{rng.randrange(10**4):04}-{rng.randrange(10**4):04}-{n:06}",
        "m": lambda _: rng.choice(("red", "green", "blue")),
        "n": text,
        "o": lambda n: f"{rng.choice(said)[:12]} {n}",
        "p": lambda _: f"{rng.uniform(-90, 90):.6f}, {rng.uniform(-180, 180):.6f}",
        "q": lambda n: f"{n % 9}.{rng.randrange(30)}.{n}",
        "r": lambda _: str(rng.randrange(10**8, 10**9)),
        "s": lambda n: f"{rng.choice(said)} {rng.choice(said)} {n}",
    }
    return pl.DataFrame({name: [make(number) for number in range(ROWS)] for name, make in makers.items()})
