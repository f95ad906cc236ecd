"""Two workspaces on one machine, as two tenants have them: what one does neither shows nor counts in the other."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast import app
from holdfast.core.access import Presented
from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import HoldfastError, NotFound, NotVerified, Unauthenticated
from holdfast.core.evidence import MadeWith, failed
from holdfast.core.ledger import Draft, open_checkpoint
from holdfast.core.seal import EVIDENCE, unseal
from holdfast.core.trust import raw_ed25519
from holdfast.lifecycle.access import authenticate
from holdfast.lifecycle.identity import add, directory, issue
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.sessions import token_for

NUMBERS: Final = count()


@dataclass(frozen=True, slots=True)
class Tenants:
    """Two workspaces, opened in one process."""

    pair: tuple[Plant, Plant]


@pytest.fixture(scope="module")
def tenants(unlocking: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    """Both have the same owner, the same unlock folder and the same machine; nothing else is shared."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    for folder in folders:
        app.init(folder, owner="Ada")
    with app.open_plant(folders[0]) as first, app.open_plant(folders[1]) as second:
        first.unlock()
        second.unlock()
        yield Tenants((first, second))


def seen(plant: Plant) -> tuple[Any, ...]:
    """All that a tenant can see of its own workspace."""
    files = {
        str(path.relative_to(plant.home.workspace)): path.read_bytes()
        for part in ("blobs", "sealed", "published", "keys")
        for path in sorted((plant.home.workspace / part).rglob("*"))
        if path.is_file()
    }
    entries = list(plant.ledger.entries())
    return len(entries), entries[-1], plant.trust, directory(plant), plant.jobs.newest(100), files


# What a tenant does; each returns how the other must not take what came of it.

Probe = Callable[[Plant], Any]


def hires(plant: Plant) -> Probe:
    """An account with a key and a token: neither says anything to the other workspace."""
    name = f"person-{next(NUMBERS)}"
    add(plant, name=name, groups="administrators,engineers,reviewers")
    key = str(issue(plant, name=name).document["key"])
    who = authenticate(plant, Presented(authorization=f"Bearer {key}", peer="10.0.0.1"))
    credentials = [key, token_for(plant, who)[0]]

    def probe(other: Plant) -> None:
        for credential in credentials:
            with pytest.raises(Unauthenticated):
                authenticate(other, Presented(authorization=f"Bearer {credential}", peer="10.0.0.1"))

    return probe


def seals(plant: Plant) -> Probe:
    """A sealed statement: it is nobody's word in the other workspace."""
    made_with = MadeWith(code=plant.code, configuration=Digest("sha256:" + "0" * 64), data=())
    subject = Digest(f"sha256:{next(NUMBERS):064x}")
    item = failed("assess.quality/1", subject, Kind.MODEL, made_with, "a test")
    envelope = plant.blobs.get(plant.seal(item, EVIDENCE, "assess"))

    def probe(other: Plant) -> None:
        with pytest.raises(NotVerified):
            unseal(envelope, EVIDENCE, other.trust, at=other.clock.now())

    return probe


def stores(plant: Plant) -> Probe:
    """Rows: their digest grants nothing, and the very files, copied over, cannot be read."""
    digest = plant.sealed("artifacts").put(f"rows of tenant {plant.origin}, {next(NUMBERS)}".encode())

    def probe(other: Plant) -> None:
        with pytest.raises(NotFound):
            other.blobs.get(digest)
        stolen = []
        for path in [each for each in (plant.home.workspace / "sealed").rglob("*") if each.is_file()]:
            aim = other.home.workspace / "sealed" / path.relative_to(plant.home.workspace / "sealed")
            if not aim.exists():
                aim.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, aim)
                stolen.append(aim)
        try:
            with pytest.raises(HoldfastError):
                other.blobs.get(digest)
        finally:
            for path in stolen:
                path.unlink()

    return probe


def signs(plant: Plant) -> Probe:
    """A checkpoint: it is of another ledger, and by another key."""
    plant.ledger.append([Draft(kind="note.made", actor="ada", stream="notes", body={"number": next(NUMBERS)})])
    signed = plant.ledger.checkpoint()

    def probe(other: Plant) -> None:
        for key in other.trust.of_role("ledger"):
            for origin in (plant.origin, other.origin):
                with pytest.raises(NotVerified):
                    open_checkpoint(signed, origin=origin, public_key=raw_ed25519(key))

    return probe


def asks(plant: Plant) -> Probe:
    """A job: the other workspace's workers never see it."""
    task = plant.jobs.ask("run", {}, "ada")

    def probe(other: Plant) -> None:
        with pytest.raises(NotFound):
            other.jobs.find(task.id)

    return probe


STEPS: Final = (hires, seals, stores, signs, asks)


@pytest.mark.guarantee("G51")
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 1), st.sampled_from(STEPS)), min_size=1, max_size=6))
def test_what_one_tenant_does_neither_shows_nor_counts_in_the_other(
    tenants: Tenants, steps: list[tuple[int, Callable[[Plant], Probe]]]
) -> None:
    """Whatever they do, in any order: the other's view is what it was, and what came of it is refused there."""
    for who, step in steps:
        own, other = tenants.pair[who], tenants.pair[1 - who]
        before = seen(other)
        probe = step(own)
        assert seen(other) == before, step.__name__
        probe(other)
