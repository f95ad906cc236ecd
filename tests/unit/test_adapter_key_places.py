"""Addresses of key services: each is read in one way, names a place, and carries no credential."""

import pytest

from holdfast.adapters.key_places import MAX_ADDRESS, KmsPlace, TokenPlace, VaultPlace, parse_place
from holdfast.core.errors import InvalidInput


@pytest.mark.parametrize(
    "text",
    [
        "pkcs11:token=holdfast?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/holdfast/pin",
        "pkcs11:token=my%20token%3B1?module-path=/lib/a%26b.so&pin-source=/etc/p%3Fin",
        "awskms://eu-central-1/holdfast",
        "awskms://us-gov-west-1/team_a?endpoint=https%3A//kms-fips.us-gov-west-1.amazonaws.com",
        "vault://vault.example.org:8200/transit/holdfast?token_file=/run/holdfast/token",
        "vault://[::1]:8200/transit/p?token_file=/t&allow_http=true",
    ],
)
def test_an_address_and_what_it_says_are_the_same(text: str) -> None:
    """Written again it reads the same."""
    place = parse_place(text)
    assert parse_place(str(place)) == place


def test_what_is_left_out_has_a_default() -> None:
    """The prefix of our keys' names; and RFC 7512 lets a PIN's source begin with `file:`."""
    assert isinstance(found := parse_place("awskms://eu-central-1"), KmsPlace)
    assert found.prefix == "holdfast"
    assert isinstance(engine := parse_place("vault://h/transit?token_file=/t"), VaultPlace)
    assert (engine.url, engine.prefix) == ("https://h", "holdfast")
    assert isinstance(token := parse_place("pkcs11:token=t?module-path=/m.so&pin-source=file:/p"), TokenPlace)
    assert str(token.pin_file) == "/p"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/etc/holdfast/pin",
        "https://vault.example.org/transit?token_file=/t",
        "gcpkms://projects/p",
        "awskms://",
        "awskms://EU/../x",
        "awskms://eu-central-1:443",
        "awskms://id:secret@eu-central-1",
        "awskms://eu-central-1/a/b",
        "awskms://eu-central-1?endpoint=http://kms.example.org",
        "awskms://eu-central-1?endpoint=https://id:secret@kms.example.org",
        "awskms://eu-central-1?secret=s",
        "awskms://eu-central-1?endpoint",
        "vault://h/transit",
        "vault://h/?token_file=/t",
        "vault://h/transit?token_file=t",
        "vault://h/transit?token_file=/t&token=s",
        "vault://h/transit?token_file=/t&token_file=/u",
        "vault://token@h/transit?token_file=/t",
        "vault://h/transit?token_file=/t&allow_http=true",
        "vault://h/transit/a/b?token_file=/t",
        "vault://h:port/transit?token_file=/t",
        "pkcs11:token=t;pin-value=1234?module-path=/m.so&pin-source=/p",
        "pkcs11:token=t?module-path=/m.so&pin-value=1234",
        "pkcs11:object=t?module-path=/m.so&pin-source=/p",
        "pkcs11:token=t?module-path=m.so&pin-source=/p",
        "pkcs11:token=?module-path=/m.so&pin-source=/p",
        "awskms://eu-central-1/\n",
        "awskms://eu-central-1/" + "x" * MAX_ADDRESS,
    ],
)
def test_no_other_address_is_taken_and_none_is_repeated(text: str) -> None:
    """Another scheme, a credential in any place, plain HTTP to elsewhere, a relative file, anything twice."""
    with pytest.raises(InvalidInput) as caught:
        parse_place(text)
    assert "secret" not in str(caught.value.document())
    assert "1234" not in str(caught.value.document())
