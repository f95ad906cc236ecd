"""Whatever an attacker does with well-signed files of several states: what a gateway remembers never falls."""

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError, NotFound
from holdfast.engines.repository import TIMESTAMP_NAME, Repository, Versions, read_repository
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import World

STATES = 4


@cache
def states() -> tuple[World, tuple[dict[str, bytes], ...]]:
    """A world, and every file of each of its published states, oldest first."""
    world, made = World(), []
    for number in range(STATES):
        world.publish(world.table(world.release(tiny_model(bias=float(number)))))
        made.append(dict(world.published.present()))
    return world, tuple(made)


@given(st.lists(st.tuples(st.integers(0, STATES - 1), st.integers(0, STATES - 1)), min_size=1, max_size=8))
def test_what_is_remembered_never_falls(steps: list[tuple[int, int]]) -> None:
    """Each step offers the timestamp of one state over the files of another: taken whole and newer, or refused."""
    world, made = states()
    remembered = Versions()
    for newest, rest in steps:
        files = made[rest] | {TIMESTAMP_NAME: made[newest][TIMESTAMP_NAME]}

        def fetch(name: str, _: int, files: dict[str, bytes] = files) -> bytes:
            if name not in files:
                raise NotFound(name)
            return files[name]

        before = remembered
        try:
            reached = read_repository(Repository(fetch=fetch, pinned=world.root), remembered, world.clock.now())
            reached.routes()
        except HoldfastError:
            assert newest != rest or before.timestamp > newest + 1
            continue
        remembered = reached.versions
        assert newest == rest
        assert all(new >= old for new, old in zip(remembered.height(), before.height(), strict=True))
