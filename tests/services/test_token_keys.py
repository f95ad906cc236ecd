"""A PKCS#11 token, tested with SoftHSM: what is its own beside what every key service does (`test_key_services`)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from holdfast.adapters.clock import SystemClock
from holdfast.adapters.key_places import TokenPlace
from holdfast.adapters.service_keys import ServiceKeys
from holdfast.adapters.token_service import TokenService
from holdfast.core.errors import NotFound, Refused, Unavailable
from holdfast.core.trust import check_signature

pytestmark = pytest.mark.services


@pytest.fixture
def service(token_place: TokenPlace) -> Iterator[TokenService]:
    """The token."""
    found = TokenService(token_place)
    yield found
    found.close()


def window() -> tuple[datetime, datetime]:
    """A day from now."""
    return SystemClock().now(), SystemClock().now() + timedelta(days=1)


def test_the_session_is_held_open_and_opened_again_when_the_token_drops_it(
    service: TokenService, tmp_path: Path
) -> None:
    """One login for many signatures; a session that is gone costs one more, not an error."""
    keys = ServiceKeys(service, tmp_path / "token")
    key = keys.make("train", "ada", *window())
    signer = keys.signer_of(key.keyid)
    signer.sign(b"one")
    session = service.session._session
    signer.sign(b"two")
    assert service.session._session is session
    session.close()
    check_signature(key, b"three", signer.sign(b"three"))
    assert keys.custody() == "hsm"


def test_a_wrong_pin_an_open_pin_file_and_a_strange_token_are_told(token_place: TokenPlace, tmp_path: Path) -> None:
    """Each with what is missing, and never with the PIN."""
    wrong, opened = tmp_path / "wrong", tmp_path / "open"
    for path, mode in ((wrong, 0o600), (opened, 0o644)):
        path.write_text("000000")
        path.chmod(mode)
    for place, error in (
        (replace(token_place, pin_file=wrong), Unavailable),
        (replace(token_place, pin_file=opened), Refused),
        (replace(token_place, pin_file=tmp_path / "absent"), NotFound),
        (replace(token_place, label="another"), Unavailable),
        (replace(token_place, module=tmp_path / "absent.so"), Unavailable),
    ):
        with pytest.raises(error) as caught:
            TokenService(place).check()
        assert "000000" not in str(caught.value.document())
