"""Addresses of services that hold keys: a PKCS#11 token, AWS KMS, the transit engine of Vault or OpenBao.

An address says where a service is and where its credentials lie. It never is a credential: what carries one is refused.

    pkcs11:token=LABEL?module-path=/usr/lib/libtoken.so&pin-source=/etc/holdfast/pin        (RFC 7512, these three)
    awskms://REGION[/PREFIX][?endpoint=https://…]
    vault://HOST[:PORT]/MOUNT[/PREFIX]?token_file=/etc/holdfast/vault-token[&allow_http=true]
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from holdfast.core.errors import InvalidInput
from holdfast.core.exposure import is_local

MAX_ADDRESS: Final = 2048  # characters
PREFIX: Final = "holdfast"  # what the names of our keys begin with, where an address names nothing else
_REGION: Final = re.compile(r"[a-z]{2,}(-[a-z0-9]+){1,4}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPlace:
    """A PKCS#11 token, by its label."""

    module: Path  # the token's library
    label: str
    pin_file: Path  # the user PIN, in a file that only its owner may read

    def __str__(self) -> str:
        return f"pkcs11:token={quote(self.label)}?module-path={quote(str(self.module))}&pin-source={self._pin()}"

    def _pin(self) -> str:
        return quote(str(self.pin_file))

    def identity(self) -> str:
        """Return what stays the same while its files move."""
        return f"hsm {self.label}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KmsPlace:
    """AWS KMS in one region; credentials come from where its clients look for them."""

    region: str
    prefix: str
    endpoint: str = ""  # another than Amazon's public one: a VPC endpoint, or a FIPS one

    def __str__(self) -> str:
        return f"awskms://{self.region}/{self.prefix}" + (f"?endpoint={quote(self.endpoint)}" if self.endpoint else "")

    def identity(self) -> str:
        """Return what stays the same whichever way it is reached: a key's own name says the account."""
        return f"kms {self.region}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultPlace:
    """A transit engine."""

    url: str
    mount: str
    prefix: str
    token_file: Path  # the Vault token, in a file that only its owner may read, as an agent's sink writes it

    def __str__(self) -> str:
        scheme, _, host = self.url.partition("://")
        plain = "&allow_http=true" if scheme == "http" else ""
        return f"vault://{host}/{self.mount}/{self.prefix}?token_file={quote(str(self.token_file))}{plain}"

    def identity(self) -> str:
        """Return what stays the same while its files move."""
        return f"vault {self.url}/{self.mount}"


Place: TypeAlias = TokenPlace | KmsPlace | VaultPlace


def parse_place(text: str) -> Place:
    """Return the service that an address names.

    Raises:
        InvalidInput: It is no address of this sort, carries a credential, or would send one in the clear.
    """
    if len(text) > MAX_ADDRESS or not text.isprintable():
        raise _wrong("the address cannot be read")
    try:
        parts = urlsplit(text)
        options = parse_qs(parts.query, strict_parsing=bool(parts.query))
        has_port = parts.port is not None
    except ValueError as error:
        raise _wrong(f"the address cannot be read: {error}") from error
    if "@" in parts.netloc or parts.fragment or any(len(values) != 1 for values in options.values()):
        raise _wrong("an address names a place, never a credential, and each part once")
    said = {name: values[0] for name, values in options.items()}
    if parts.scheme == "pkcs11":
        return _token(parts, said)
    if parts.scheme == "awskms" and not has_port:
        return _kms(parts, said)
    if parts.scheme == "vault":
        return _vault(parts, said)
    raise _wrong("this names no service that holds keys")


def _token(parts: SplitResult, said: dict[str, str]) -> TokenPlace:
    name, _, label = parts.path.partition("=")
    module, pin = said.get("module-path", ""), said.get("pin-source", "").removeprefix("file:")
    if parts.netloc or name != "token" or not label or ";" in label or set(said) != {"module-path", "pin-source"}:
        raise _wrong("the token is not named as it must be")
    return TokenPlace(module=_absolute(module), label=unquote(label), pin_file=_absolute(pin))


def _kms(parts: SplitResult, said: dict[str, str]) -> KmsPlace:
    prefix = parts.path.strip("/") or PREFIX
    if not _REGION.fullmatch(parts.netloc) or not _NAME.fullmatch(prefix) or set(said) - {"endpoint"}:
        raise _wrong("the region or the prefix is none, or an option is unknown")
    endpoint = said.get("endpoint", "")
    if endpoint:
        at = urlsplit(endpoint)
        if at.scheme != "https" and not (at.scheme == "http" and is_local(at.hostname or "")):
            raise _wrong("the endpoint is asked over HTTPS only")
        if "@" in at.netloc or at.query or at.fragment:
            raise _wrong("an endpoint names a place, never a credential")
    return KmsPlace(region=parts.netloc, prefix=prefix, endpoint=endpoint)


def _vault(parts: SplitResult, said: dict[str, str]) -> VaultPlace:
    mount, _, prefix = parts.path.strip("/").partition("/")
    prefix = prefix or PREFIX
    if not parts.hostname or not _NAME.fullmatch(mount) or not _NAME.fullmatch(prefix):
        raise _wrong("the server, the engine's mount or the prefix is not named")
    if set(said) - {"token_file", "allow_http"} or "token_file" not in said:
        raise _wrong("an option is unknown, or the token's file is not named")
    plain = said.get("allow_http") == "true"
    if plain and not is_local(parts.hostname):
        raise _wrong("a token is sent over HTTPS only")
    scheme = "http" if plain else "https"
    return VaultPlace(
        url=f"{scheme}://{parts.netloc}", mount=mount, prefix=prefix, token_file=_absolute(said["token_file"])
    )


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise _wrong("a file is named by its whole path")
    return path


def _wrong(words: str) -> InvalidInput:
    return InvalidInput(
        words,
        place="the address of a key service",
        expected="awskms://REGION[/PREFIX], vault://HOST/MOUNT[/PREFIX]?token_file=FILE, or "
        "pkcs11:token=LABEL?module-path=FILE&pin-source=FILE",
    )
