"""Secrets in text: what has a format and a checksum is found, what only looks like it is not."""

from pathlib import Path

import pytest
from bench.secret_corpus import TOKENS, Draw, negatives, secrets
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engines.secrets.checks import base62_crc32, is_age, is_grafana, is_jwt, is_private_key
from holdfast.engines.secrets.context import is_placeholder, is_random
from holdfast.engines.secrets.scan import scan, scan_bytes
from holdfast.engines.secrets.text import find

ROOT = Path(__file__).parents[3]
EACH = 25
SEED = 7
CHANCE = "9dQ2vLx0TzR4kWm7Yb3NcE8h"  # in two pieces, so that this file holds nothing to be found


def rules(text: bytes | str) -> list[str]:
    """Return which rules find something in a text."""
    return [hit.rule for hit in find(text.encode() if isinstance(text, str) else text)]


@pytest.mark.requirement("ACC-09", by="holdfast.engines.secrets.text:find")
def test_of_a_labelled_corpus_nearly_all_is_found_and_nothing_else(tmp_path: Path) -> None:
    """Recall of at least 0.97 over every format and context; at most one false alarm in a thousand harmless files."""
    hits, total = 0, 0
    for sample in secrets(SEED, EACH):
        (tmp_path / sample.name).write_text(sample.text, encoding="utf-8")
        hits += bool(scan([tmp_path / sample.name]).leaks)
        total += 1
    assert hits >= 0.97 * total
    harmless = list(negatives(SEED, EACH * 2))
    assert len(harmless) >= total
    false = []
    for sample in harmless:
        (tmp_path / sample.name).write_text(sample.text, encoding="utf-8")
        false += [sample.name for _ in scan([tmp_path / sample.name]).leaks]
    assert len(false) <= len(harmless) / 1000, false


@pytest.mark.requirement("ACC-09", by="holdfast.engines.secrets.context:is_random")
def test_this_repository_has_no_secret_and_gives_no_false_alarm() -> None:
    """Sources, tests with their vectors, documentation, policies and lock files full of hashes: nothing."""
    found = scan(
        [ROOT / name for name in ("src", "tests", "docs", "policies", "locks", "scripts", "evidence", "bench")]
    )
    assert found.files > 500
    assert [leak.place for leak in found.leaks] == []
    assert [where for where, _ in found.unread if "/vectors/" not in where] == []  # archives there are made to be odd


def test_the_name_of_a_file_is_no_secret() -> None:
    """Where a secret lies is no secret itself: in a folder of a gateway, in a configuration."""
    assert rules('{"format":"holdfast-opener-1","secret":"gateway-9f31c07de2b84a65.unlock"}') == []
    assert rules('secret_key: "f3a91b7c20de4865.pem"') == []
    assert rules(f'{{"secret":"gateway-{CHANCE}"}}') == ["assigned"]


@pytest.mark.parametrize("sort", sorted(TOKENS))
def test_each_known_format_is_named_for_what_it_is(sort: str) -> None:
    """Of forty tokens of each format nearly all are found, by its own rule and not as something drawn by chance."""
    draw, named = Draw(11), 0
    for _ in range(40):
        found = rules(f"\nvalue = {TOKENS[sort](draw)}\n")
        named += bool(found) and "assigned" not in found
    assert named >= 38


def test_a_checksum_tells_a_token_from_its_picture() -> None:
    """The published example of a GitHub token is one; with one character changed it is none."""
    body = "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ"
    assert base62_crc32(body.encode()) == "0mLq17"
    assert rules(f"x ghp_{body}0mLq17 y") == ["github.ghp"]
    assert rules(f"x ghp_{body}0mLq18 y") == []
    assert rules(f"x ghp_{body}0mLq17Z y") == []  # longer than a token is another thing
    assert rules(f"x longghp_{body}0mLq17 y") == []  # and so is the middle of a word


def test_an_access_key_with_its_secret_beside_it_is_worse_than_alone() -> None:
    """The id alone is of medium severity; with forty characters drawn by chance near it, critical."""
    identity, secret = "AK" + "IA" + "Q3EGZ7NBSWXCV5TR", "wB3" + "xQ9z+Kd0fGh2LmN4pRs6TuV8yZaC1eF5iJ7kOqW"
    alone = find(f"id={identity}".encode())
    assert [(hit.rule, hit.severity) for hit in alone] == [("aws.id", "medium")]
    both = find(f"id={identity}\nkey={secret[:40]}".encode())
    assert [(hit.rule, hit.severity) for hit in both] == [("aws.secret", "critical")]
    assert rules("AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY") == []


def test_structures_are_decoded_not_guessed() -> None:
    """A token that is not signed, a stub of a key and a wrong checksum are none."""
    draw = Draw(3)
    token, key = TOKENS["jwt"](draw), TOKENS["private-key"](draw)
    assert is_jwt(token.encode())
    head, claims, signature = token.split(".")
    assert not is_jwt(f"{head}.{claims}.{signature[:10]}".encode())
    assert not is_jwt(f"{claims}.{claims}.{signature}".encode())  # no algorithm
    assert is_private_key(key.encode())
    lines = key.splitlines()
    assert not is_private_key("\n".join([lines[0], *lines[2:]]).encode())
    assert is_private_key(key.replace("\n", "\\n").encode())
    age = TOKENS["age"](draw)
    assert is_age(age.encode())
    assert not is_age((age[:-1] + ("Q" if age[-1] != "Q" else "P")).encode())
    assert not is_grafana(b"glsa_" + b"a" * 32 + b"_00000000")


@pytest.mark.parametrize(
    "text",
    [
        'password_hash = "5f4dcc3b5aa765d61d8327deb882cf99aa11bb22"',
        'commit_token: "9fceb02d0ae598e95dc970b74767f19372d61af8"',
        "token = next_token_of_the_stream",
        'token: str = "<your token>"',
        "password: ${DB_PASSWORD}",
        'secret = "arn:aws:secretsmanager:eu-central-1:secret/name"',
        'api_key = os.environ["API_KEY_OF_THE_SERVICE_2"]',
        "keys: Mapping[str, ApiKey] = MappingProxyType({})",
        "postgres://user:password@localhost/db",
        "https://service:Xk29dkw02Lq@example.com/",
        '"integrity": "sha512-9Fz1Lq2v0aY8tKxW3bR7mNcD4eG5hJ6iP0oU1yT2rE3wQ4sA5dF6gH7jK8lZ9xC0vB1nM2qW3eR4tY5uI6o=="',
    ],
)
def test_what_only_looks_like_a_secret_is_left_alone(text: str) -> None:
    """Digests by their name, references, placeholders, names of programs, addresses of examples."""
    assert [rule for rule in rules(text) if rule != "assigned" or "commit" not in text] == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (f'API_KEY = "{CHANCE}"', "assigned"),
        (f"export AUTH_TOKEN={CHANCE}", "assigned"),
        (f'{{"clientSecret": "{CHANCE}"}}', "assigned"),
        (f"<password>{CHANCE}</password>", "assigned"),
        (f"token: str = '{CHANCE}'", "assigned"),
        (f"Authorization: Bearer {CHANCE}", "assigned"),
        ("password=" + "'k7$Rq2!xW'", "assigned"),
        (f"mysql://app:{CHANCE[:10]}@db.internal/orders", "url.password"),
        ("Authorization: Basic " + "YXBwOjlkUTJ2THgwVHpSNGs=", "http.basic"),
    ],
)
def test_what_has_no_format_is_found_where_a_secret_stands(text: str, rule: str) -> None:
    """An assignment in the syntaxes of programs, shells, JSON and XML; headers; addresses."""
    assert rules(text) == [rule]


@given(st.binary(max_size=3000))
def test_no_bytes_break_the_scan(data: bytes) -> None:
    """Whatever stands in a file, places lie inside it and in order."""
    hits = find(data)
    assert all(0 <= hit.start < hit.end <= len(data) for hit in hits)
    assert [hit.start for hit in hits] == sorted(hit.start for hit in hits)


@pytest.mark.parametrize(
    "unit",
    [
        b"password=",
        b"-----BEGIN PRIVATE KEY-----",
        b"eyJ",
        b"://a:b@",
        b"AKIA",
        b"token='",
        b"ghp_",
        b"a" * 40 + b"key:",
    ],
)
def test_texts_made_to_slow_a_scan_down_are_read_to_their_end(unit: bytes) -> None:
    """Half a million bytes of what patterns begin with: one that went back over what it read would take hours."""
    assert find(unit * (500_000 // len(unit))) == ()


def test_finds_are_bounded_values_and_named_by_their_text() -> None:
    """A scan over texts in memory says where each find stands, by name, line and column."""
    leak = scan_bytes([("a.txt", f"one\n two API_KEY={CHANCE}\n".encode())]).leaks[0]
    assert leak.place == "a.txt:2:14"
    assert CHANCE[:8] not in repr(leak)


def test_placeholders_and_chance_are_told_apart() -> None:
    """What repeats itself or says what it is is no secret; a UUID is a name."""
    assert is_placeholder(b"xxxxxxxxxxxxxxxxxxxx")
    assert is_placeholder(b"my-example-key-0")
    assert not is_placeholder(CHANCE.encode())
    assert not is_random(b"123e4567-e89b-12d3-a456-426614174000")
    assert not is_random(b"application_settings_of_service")
