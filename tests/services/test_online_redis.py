"""Online features in a real Redis: the same as in a file, and a clear end where it is gone, locked or silent."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.conftest import absent
from tests.services.test_limits_of_machines import Store
from tests.unit.adapters.test_online_stores import check_store

from holdfast.adapters.online_redis import RedisFeatures
from holdfast.core.errors import InvalidInput, Unavailable

pytestmark = pytest.mark.services


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Store]:
    """A Redis of this test alone, which asks for a password."""
    program = shutil.which("redis-server")
    if program is None:
        absent("redis-server", "`make services` installs it")
    found = Store(program, tmp_path, "secret")
    found.start()
    yield found
    found.stop()


def opened(redis: Store, **changes: object) -> RedisFeatures:
    """Features in it."""
    given = {"url": f"redis://127.0.0.1:{redis.port}/1", "prefix": "shop", "password": "secret", "timeout_s": 5.0}
    return RedisFeatures(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.requirement("FEAT-02", by="holdfast.adapters.online_redis:RedisFeatures.get")
def test_redis_keeps_values(redis: Store) -> None:
    """What every store must do, with bytes that look like the protocol; another workspace's keys are its own."""
    check_store(lambda: opened(redis))
    with closing(opened(redis, prefix="other")) as other:
        assert list(other.get(["a/2/x"])) == [None]


def test_a_store_that_is_gone_or_refuses_is_unavailable_and_comes_back(redis: Store) -> None:
    """In bounded time: the wrong password, a killed server, one that never answers; afterwards it is used again."""
    store = opened(redis)
    store.replace("a/1/", {"a/1/x": b"1"})
    with pytest.raises(Unavailable, match=r"(?i)password|pass"):
        opened(redis, password="wrong").get(["a/1/x"])
    redis.stop()
    with pytest.raises(Unavailable):
        store.get(["a/1/x"])
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(Unavailable):
            opened(redis, url=f"redis://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.05).get(["a/1/x"])
    redis.start()
    assert list(store.get(["a/1/x"])) == [None]
    store.close()


@pytest.mark.parametrize("url", ["http://h/0", "redis:///0", "redis://:pw@h/0", "redis://h/x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """A password in it as well: every child process could read it."""
    with pytest.raises(InvalidInput):
        RedisFeatures(url=url, prefix="p")
