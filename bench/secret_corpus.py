"""A labelled corpus for scanners of secrets, made from a seed: valid secrets in context, and what looks like them.

Every secret is made here, in the format its issuer publishes, and opens nothing; no literal of this file has that form.
"""

import base64
import json
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from holdfast.engines.secrets.checks import base62_crc32

LOWER: Final = "abcdefghijklmnopqrstuvwxyz"
DIGITS: Final = "0123456789"
BASE62: Final = LOWER + LOWER.upper() + DIGITS
HEX: Final = DIGITS + "abcdef"
URLSAFE: Final = BASE62 + "-_"

Draw = random.Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One file: its name, its text, the secret in it (empty where it holds none) and what it is."""

    name: str
    text: str
    secret: str
    sort: str


def some(draw: Draw, alphabet: str, size: int) -> str:
    """Return characters by chance."""
    return "".join(draw.choice(alphabet) for _ in range(size))


def _upper(draw: Draw) -> str:
    return some(draw, LOWER.upper() + DIGITS, 9)


def _checked(draw: Draw, prefix: str) -> str:
    body = some(draw, BASE62, 30)
    return f"{prefix}_{body}{base62_crc32(body.encode())}"


def _bytes(draw: Draw, size: int) -> bytes:
    return draw.randbytes(size)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _jwt(draw: Draw) -> str:
    head = json.dumps({"alg": draw.choice(["HS256", "RS256", "ES256"]), "typ": "JWT"}).encode()
    body = json.dumps({"iss": "issuer", "sub": some(draw, DIGITS, 8), "exp": draw.randrange(10**9, 2 * 10**9)}).encode()
    return f"{_b64url(head)}.{_b64url(body)}.{_b64url(_bytes(draw, 32))}"


def _macaroon(draw: Draw) -> str:
    identifier = json.dumps({"version": 1, "id": str(uuid.UUID(int=draw.getrandbits(128)))}).encode()[:120]
    body = b"\x02\x01\x08pypi.org\x02" + bytes([len(identifier)]) + identifier + b"\0\0\x06\x20" + _bytes(draw, 32)
    return "pypi-" + _b64url(body)


def _pem(draw: Draw) -> str:
    sort = draw.randrange(3)
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    if sort == 0:
        key: object = ec.derive_private_key(draw.getrandbits(250) + 2, ec.SECP256R1())
        form = serialization.PrivateFormat.PKCS8
    elif sort == 1:
        key, form = ed25519.Ed25519PrivateKey.from_private_bytes(_bytes(draw, 32)), serialization.PrivateFormat.OpenSSH
    else:
        key, form = _RSA, serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(encoding, form, plain).decode()  # type: ignore[attr-defined, no-any-return]


_RSA: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)  # slow to make: one serves all

TOKENS: Final[dict[str, Callable[[Draw], str]]] = {
    "github-classic": lambda draw: _checked(draw, draw.choice(["ghp", "gho", "ghs", "ghr", "ghu"])),
    "github-fine-grained": lambda draw: f"github_pat_{some(draw, BASE62, 22)}_{some(draw, BASE62, 59)}",
    "gitlab": lambda draw: f"glpat-{some(draw, URLSAFE, 20)}",
    "npm": lambda draw: _checked(draw, "npm"),
    "pypi": _macaroon,
    "slack": lambda draw: f"xoxb-{some(draw, DIGITS, 12)}-{some(draw, DIGITS, 13)}-{some(draw, BASE62, 24)}",
    "slack-webhook": lambda draw: (
        f"https://hooks.slack.com/services/T{_upper(draw)}/B{_upper(draw)}/{some(draw, BASE62, 24)}"
    ),
    "google-api-key": lambda draw: "AIza" + some(draw, URLSAFE, 35),
    "stripe": lambda draw: f"sk_live_{some(draw, BASE62, 24)}",
    "hugging-face": lambda draw: "hf" + "_" + some(draw, LOWER + LOWER.upper(), 34),
    "openai": lambda draw: f"sk-{some(draw, BASE62, 20)}T3Blbk{'FJ'}{some(draw, BASE62, 20)}",
    "anthropic": lambda draw: f"sk-ant-api03-{some(draw, URLSAFE, 93)}AA",
    "sendgrid": lambda draw: f"SG.{some(draw, URLSAFE, 22)}.{some(draw, URLSAFE, 43)}",
    "digitalocean": lambda draw: f"dop_v1_{some(draw, HEX, 64)}",
    "azure": lambda draw: "DefaultEndpointsProtocol=https;AccountName=store;AccountKey=" + _b64(_bytes(draw, 64)),
    "jwt": _jwt,
    "private-key": _pem,
    "age": lambda draw: _age(_bytes(draw, 32)),
}


def _age(data: bytes) -> str:
    """Return an age secret key: Bech32 of 32 bytes (BIP-173)."""
    alphabet, prefix = "qpzry9x8gf2tvdw0s3jn54khce6mua7l", "age-secret-key-"
    number = int.from_bytes(data) << 4  # 256 bits are 51 groups of five and one bit
    values = [number >> (shift * 5) & 31 for shift in range(51, -1, -1)]
    expanded = [ord(char) >> 5 for char in prefix] + [0] + [ord(char) & 31 for char in prefix]
    check = 1
    for value in (*expanded, *values, 0, 0, 0, 0, 0, 0):
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= term if top >> bit & 1 else 0
    check ^= 1
    values += [check >> 5 * (5 - place) & 31 for place in range(6)]
    return (prefix + "1" + "".join(alphabet[value] for value in values)).upper()


def _frames(draw: Draw, secret: str) -> tuple[str, str]:
    """Return a file name and a text with a secret in it, as it leaks in practice."""
    multiline = "\n" in secret
    frames: list[Callable[[], tuple[str, str]]] = [
        lambda: ("settings.py", f'"""Settings."""\n\nimport os\n\nCLIENT = connect(\n    "{secret}",\n)\n'),
        lambda: (".env", f"DEBUG=1\nVALUE={secret}\nPORT=80\n"),
        lambda: ("config.json", json.dumps({"region": "eu", "value": secret}, indent=1)),
        lambda: ("run.log", f"2026-01-02T03:04:05Z INFO calling with {secret} from host-7\n"),
        lambda: ("note.ipynb", _notebook(draw, secret)),
        lambda: ("deploy.yaml", f"steps:\n  - run: login\n    with: {secret}\n"),
    ]
    if multiline:
        frames = [
            lambda: ("key.pem", secret),
            lambda: ("key.py", f'KEY = """{secret}"""\n'),
            lambda: ("account.json", json.dumps({"type": "service_account", "private_key": secret}, indent=2)),
            lambda: ("note.ipynb", _notebook(draw, secret)),
        ]
    return draw.choice(frames)()


def _notebook(draw: Draw, secret: str) -> str:
    source = {"cell_type": "code", "source": ["x = 1\n", f"client = open_client('{secret}')\n"], "outputs": []}
    said = {
        "cell_type": "code",
        "source": ["show()\n"],
        "outputs": [{"output_type": "stream", "text": [secret + "\n"]}],
    }
    return json.dumps({"cells": [draw.choice([source, said])], "nbformat": 4, "nbformat_minor": 5, "metadata": {}})


def secrets(seed: int, each: int) -> Iterator[Sample]:
    """Yield secrets of every format, then pairs, addresses and assignments without a format."""
    draw = Draw(seed)
    for sort, make in TOKENS.items():
        for number in range(each):
            secret = make(draw)
            name, text = _frames(draw, secret)
            yield Sample(name=f"{sort}-{number}-{name}", text=text, secret=secret, sort=sort)
    for number in range(each):
        identity, secret = "AK" + "IA" + some(draw, LOWER.upper() + "234567", 16), some(draw, BASE62 + "+/", 40)
        text = f"[default]\naws_access_key_id = {identity}\naws_secret_access_key = {secret}\n"
        yield Sample(name=f"aws-{number}-credentials", text=text, secret=secret, sort="aws-pair")
        password = some(draw, BASE62, 14)
        text = f"DATABASE_URL=postgresql://service:{password}@db.internal:5432/orders\n"
        yield Sample(name=f"url-{number}.env", text=text, secret=password, sort="url-password")
        name, secret = draw.choice(["API_KEY", "db_password", "clientSecret", "auth_token"]), some(draw, BASE62, 24)
        text = draw.choice([f'{name} = "{secret}"\n', f"{name}: '{secret}'\n", f"export {name}={secret}\n"])
        yield Sample(name=f"assigned-{number}.py", text=text, secret=secret, sort="assigned")
        password = some(draw, LOWER, 3) + some(draw, LOWER.upper(), 2) + some(draw, DIGITS, 2) + some(draw, "!$%&+", 2)
        password = "".join(draw.sample(password, len(password)))
        text = f'connect(user="app", password="{password}")\n'
        yield Sample(name=f"password-{number}.py", text=text, secret=password, sort="password")


def negatives(seed: int, each: int) -> Iterator[Sample]:
    """Yield what only looks like a secret: digests, identifiers, placeholders, pictures, minified code."""
    draw = Draw(seed + 1)
    for number in range(each):
        for sort, text in _harmless(draw):
            yield Sample(name=f"{sort}-{number}.txt", text=text, secret="", sort=sort)


def _harmless(draw: Draw) -> Iterator[tuple[str, str]]:
    yield (
        "lock",
        f"numpy==2.2.1 \\\n    --hash=sha256:{some(draw, HEX, 64)} \\\n    --hash=sha256:{some(draw, HEX, 64)}\n",
    )
    yield "npm-lock", json.dumps({"resolved": "https://r/x.tgz", "integrity": "sha512-" + _b64(_bytes(draw, 64))})
    yield "commit", f"Merge commit {some(draw, HEX, 40)} into main (see token handling)\n"
    yield (
        "uuid",
        f'token_id = "{uuid.UUID(int=draw.getrandbits(128))}"\nsecret: {uuid.UUID(int=draw.getrandbits(128))}\n',
    )
    yield "digest", f'password_hash = "{some(draw, HEX, 64)}"\napi_key_sha256: {some(draw, HEX, 64)}\n'
    yield "placeholder", "api_key = '<your-api-key>'\npassword: changeme\ntoken = \"xxxxxxxxxxxxxxxxxxxxxxxx\"\n"
    yield "template", "password: ${DB_PASSWORD}\ntoken={{ vault.token }}\nurl: postgres://user:%(password)s@db/x\n"
    yield (
        "code",
        "token = tokenizer.next_token_of(stream)\nsecret_key = settings.SECRET_KEY_BASE_2\npassword = getpass()\n",
    )
    yield "near-github", f"ghp_{some(draw, BASE62, 36)}\nnpm_{some(draw, BASE62, 36)}\n"  # no right checksum
    yield "documented", 'aws_access_key_id = "AKIAIOSFODNN7EXAMPLE"\n'
    yield "pem-stub", "-----BEGIN PRIVATE KEY-----\n(your key here)\nMIIEexample...\n-----END PRIVATE KEY-----\n"
    yield "public", f"-----BEGIN PUBLIC KEY-----\n{_b64(_bytes(draw, 91))}\n-----END PUBLIC KEY-----\n"
    picture = {"output_type": "display_data", "data": {"image/png": _b64(_bytes(draw, 3000))}}
    yield "picture", json.dumps({"cells": [{"source": ["plot()"], "outputs": [picture]}], "nbformat": 4})
    yield (
        "minified",
        "!function(e,t){var n=e.token||t.secret;"
        + "".join(
            f"function {some(draw, LOWER, 1)}{some(draw, DIGITS, 2)}(e){{return e.token={some(draw, LOWER, 2)}[{n}]}}"
            for n in range(200)
        ),
    )
    yield "address", f"https://user:password@example.com/{some(draw, BASE62, 20)}\nhttp://localhost:8080/@scope/name\n"
    yield (
        "words",
        'secret_name = "projects/orders/secrets/database-password"\nTOKEN_HEADER = "X-Authentication-Token"\n',
    )
