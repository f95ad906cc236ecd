"""The repository is TUF's: python-tuf's own client, which knows nothing of us, finds the same documents."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater

from holdfast.engines.repository import POLICY_NAME, REVOKED_NAME, ROUTES_NAME, TRUST_NAME
from holdfast.testing.memory import MemorySigner
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import World

BASE = "http://control.example/"


class FromMemory(FetcherInterface):
    """Fetches from a dictionary of files."""

    def __init__(self, world: World) -> None:
        self.world = world

    def _fetch(self, url: str) -> Iterator[bytes]:
        data = self.world.published.present().get(url.removeprefix(BASE))
        if data is None:
            raise DownloadHTTPError("not found", 404)
        return iter([data])


@pytest.fixture
def world() -> World:
    """A world of today, for a client that looks at the real clock."""
    made = World(datetime.now(UTC).replace(microsecond=0))
    made.publish(made.table(made.release()))
    return made


def client(world: World, folder: Path) -> Updater:
    """The public client, told the first root as ours are told the root keys."""
    (folder / "targets").mkdir(exist_ok=True)
    return Updater(
        metadata_dir=str(folder),
        metadata_base_url=BASE,
        target_dir=str(folder / "targets"),
        target_base_url=BASE + "targets/",
        fetcher=FromMemory(world),
        bootstrap=world.carrier.roots[0],
    )


@pytest.mark.parametrize("name", [TRUST_NAME, ROUTES_NAME, POLICY_NAME])
def test_the_public_client_finds_every_document(world: World, tmp_path: Path, name: str) -> None:
    """Through root, timestamp, snapshot, targets and the delegation, under the hash that was signed."""
    updater = client(world, tmp_path)
    updater.refresh()
    found = updater.get_targetinfo(name)
    assert found is not None
    assert Path(updater.download_target(found)).read_bytes() == world.published.documents[name]


def test_the_public_client_follows_a_newer_state_and_refuses_an_older_one(world: World, tmp_path: Path) -> None:
    """Its rollback checks hold on what we write."""
    old = dict(world.published.present())
    client(world, tmp_path).refresh()
    world.publish(world.table(world.release(tiny_model(bias=3.0))))
    client(world, tmp_path).refresh()
    world.published.files = old
    with pytest.raises(RepositoryError):
        client(world, tmp_path).refresh()


def test_the_public_client_follows_a_rotated_root(world: World, tmp_path: Path) -> None:
    """The second root is signed by the first one's key and by its own."""
    heir = MemorySigner("root", owner="erin", start=world.start)
    keys = tuple(key for key in world.trust.keys if key.role != "root")
    trust = msgspec.structs.replace(world.carrier.trust, keys=(*keys, heir.public))
    after = world.carrier.next_root(trust, [world.signers["root"], heir])
    world.published.files = dict(world.published.present()) | {"2.root.json": after}
    with pytest.raises(RepositoryError):  # targets.json is signed by the old key, which the new root does not name
        client(world, tmp_path).refresh()
    assert (tmp_path / "root_history" / "2.root.json").exists()


def test_the_offline_list_of_revocations_is_a_target_like_the_others(world: World, tmp_path: Path) -> None:
    """Whoever audits a gateway can read it with any client."""
    world.carrier.revoked = ("sha256:" + "0" * 64,)
    updater = client(world, tmp_path)
    updater.refresh()
    found = updater.get_targetinfo(REVOKED_NAME)
    assert found is not None
    assert b"sha256:0000" in Path(updater.download_target(found)).read_bytes()
