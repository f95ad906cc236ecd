"""Clear text: this machine alone is answered and asked without TLS."""

import pytest

from holdfast.core.errors import InvalidInput, Refused
from holdfast.core.exposure import check_secure, is_local, where_tls_ends


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_machine_is_answered_in_clear(host: str) -> None:
    """Loopback addresses, and the one name that is never looked up."""
    assert is_local(host)
    assert where_tls_ends(host, tls=False) == "nowhere"


@pytest.mark.guarantee("G55")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "192.0.2.1", "fe80::1", "2001:db8::1"])  # noqa: S104
def test_other_machines_are_not(host: str) -> None:
    """Refused without TLS; with it, or with a terminator that somebody named, it is said where TLS ends."""
    assert not is_local(host)
    with pytest.raises(Refused, match="without TLS"):
        where_tls_ends(host, tls=False)
    assert where_tls_ends(host, tls=True) == "here"
    assert where_tls_ends(host, tls=False, terminated=True) == "terminator"
    with pytest.raises(InvalidInput):
        where_tls_ends(host, tls=True, terminated=True)


@pytest.mark.parametrize("host", ["", "example.org", "localhost.example.org", "127.0.0.1.example.org", "0x7f.1"])
def test_what_a_name_server_decides_is_no_address(host: str) -> None:
    """A name could be this machine's today, and another's tomorrow."""
    for tls in (False, True):
        with pytest.raises(InvalidInput):
            where_tls_ends(host, tls=tls)


@pytest.mark.guarantee("G55")
@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.5:8081",
        "http://plane.example/",
        "http://localhost.example",
        "http://127.0.0.1@plane.example",
        "https://user:word@plane.example",
        "https://",
        "https://plane.example:port",
        "https://[::1",
        "ftp://127.0.0.1",
        "//plane.example",
        "",
    ],
)
def test_nobody_else_is_asked_in_clear(url: str) -> None:
    """Nor with a credential in the address, nor at one that is none."""
    with pytest.raises(InvalidInput, match="not the address of a service"):
        check_secure(url, "a service")


@pytest.mark.parametrize(
    "url", ["https://plane.example:8081/x", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost"]
)
def test_tls_and_this_machine_are_asked(url: str) -> None:
    """The two ways that are left."""
    check_secure(url, "a service")
