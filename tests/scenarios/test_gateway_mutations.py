"""Ten thousand bad states, and histories replayed, delayed and cut short: a gateway answers from none of them."""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import pytest
from tests.conftest import Effort, Record
from tests.scenarios.spoiled_states import MINUTE, RUNTIME, SPOILERS, Scene, scene

from holdfast.core.artifact import Artifact
from holdfast.serve.loading import Remembered
from holdfast.testing.carried import MemoryMemory
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import Serving, World

SEED: Final = 20265
STEPS: Final = 60  # of one history


def short(release: Artifact) -> str:
    """The part of a release's digest that callers see."""
    return release.digest.removeprefix("sha256:")[:12]


def answered_by(serving: Serving) -> str:
    """Which release answers a good call; nothing if none does."""
    response = serving.call()
    return (response.header(b"x-holdfast-release") or b"").decode() if response.status == 200 else ""


def test_the_scene_is_good() -> None:
    """What is spoiled below makes the difference: unspoiled, the newer state is served, also after a restart."""
    it = scene()
    assert answered_by(it.serving) == short(it.old)
    it.serving.look()
    assert answered_by(it.serving) == short(it.new)
    assert answered_by(restarted(it)) == short(it.new)


def restarted(it: Scene) -> Serving:
    """The gateway after a restart: it has its memory, and nothing else."""
    found = it.world.serving(RUNTIME)
    found.loader.memory = found.memory = it.serving.memory
    found.look()
    return found


@pytest.mark.guarantee("G07")
@pytest.mark.requirement("SUP-13", by="holdfast.serve.loading:believe")
def test_no_prediction_comes_from_a_spoiled_state(effort: Effort, record: Record) -> None:
    """A gateway that runs goes on with the older release until its lease ends; one that starts answers nobody."""
    count = effort(ci=500, record=10_000)
    refused, wrong = Counter[str](), list[str]()
    for number in range(count):
        draw = random.Random(f"{SEED}/{number}")  # noqa: S311 - to be repeated, not to be unguessable
        spoil = SPOILERS[number % len(SPOILERS)]
        it = scene()
        spoil(it, draw)
        if draw.random() < 0.5:
            it.serving.look()
            seen = answered_by(it.serving)
            good = seen in {short(it.old), ""}
            it.world.clock.advance(16 * MINUTE)
            it.serving.look()
            good &= answered_by(it.serving) == ""
        else:
            good = answered_by(restarted(it)) == ""
        if good:
            refused[spoil.__name__] += 1
        else:
            wrong.append(f"{spoil.__name__} of seed {SEED}/{number}")
    result = {"mutations": count, "answered": wrong, "refused": dict(refused)}
    record.save("gateway-mutations", seed=SEED, result=result)
    assert wrong == []
    assert refused.total() == count


class Killed(BaseException):
    """The process ends here."""


@dataclass(slots=True)
class Mortal(MemoryMemory):
    """A memory beside which the process may die, just before or just after it has kept something."""

    dies: list[bool] = field(default_factory=list)  # whether it dies at the next times, of which the last is first

    def keep(self, remembered: Remembered) -> None:
        """Keep this, or die before or after."""
        dies = self.dies.pop() if self.dies else None
        if dies is False:
            raise Killed
        super(Mortal, self).keep(remembered)
        if dies is True:
            raise Killed


class History:
    """What was published over time, and one gateway that is shown any of it, restarted and killed at any moment."""

    def __init__(self, seed: str) -> None:
        """Publish the first epoch."""
        self.draw, self.world, self.memory = random.Random(seed), World(), Mortal()  # noqa: S311 - the same
        self.releases = [self.world.release(tiny_model(bias=bias)) for bias in (0.5, 5.0)]
        self.states, self.of = list[dict[str, bytes]](), dict[int, str]()
        self.publish()
        self.serving = self.start()
        self.floor, self.answers, self.kills = 0, 0, 0

    def publish(self) -> None:
        """Publish the next epoch."""
        release = self.draw.choice(self.releases)
        self.world.published.files = None
        table = self.world.publish(self.world.table(release))
        self.of[table.epoch] = short(release)
        self.states.append(dict(self.world.published.present()))

    def start(self) -> Serving:
        """Start a gateway with what the one before has kept."""
        found = self.world.serving(RUNTIME)
        found.loader.memory = found.memory = self.memory
        return found

    def show(self) -> None:
        """Put some state in front of the gateway: the newest, an older one, a mixture, or nothing."""
        kind, published = self.draw.randrange(6), self.world.published
        if kind == 0:
            published.files = dict(self.draw.choice(self.states))
        elif kind == 1:
            one, other = self.draw.choice(self.states), self.states[-1]
            names = one.keys() | other.keys()
            mixed = {name: (one, other)[self.draw.randrange(2)].get(name) for name in names}
            published.files = {name: data for name, data in mixed.items() if data is not None}
        elif kind == 2:
            published.files = {}
        else:
            published.files = dict(self.states[-1])

    def step(self) -> None:
        """Let something happen, let the gateway look, and look at what it answers."""
        draw = self.draw
        if draw.random() < 0.4:
            self.publish()
        self.show()
        if draw.random() < 0.2:
            self.serving = self.start()
        if draw.random() < 0.2:
            self.memory.dies = [draw.random() < 0.5]
            if draw.random() < 0.5:
                self.memory.dies *= 2
                self.memory.dies[-1] = None  # type: ignore[call-overload]
        try:
            self.serving.look()
        except Killed:
            self.kills += 1
            self.serving = self.start()
        self.memory.dies = []
        self.world.clock.advance(timedelta(seconds=draw.randrange(90)))
        self.look_at_answer()

    def look_at_answer(self) -> None:
        """The epoch that answers is none below one that has answered, and answers with its own release."""
        by, state = answered_by(self.serving), self.serving.gateway.state
        if not by:
            return
        assert state is not None
        assert state.epoch >= self.floor, (state.epoch, self.floor)
        assert by == self.of[state.epoch]
        self.floor, self.answers = state.epoch, self.answers + 1


@pytest.mark.guarantee("G08")
def test_the_served_epoch_never_falls(effort: Effort, record: Record) -> None:
    """Whatever state is shown, in whatever order, and wherever the process dies: no older epoch answers again."""
    histories, steps, answers, kills, epochs = effort(ci=8, record=200), 0, 0, 0, 0
    for number in range(histories):
        history = History(f"{SEED}/{number}")
        for _ in range(STEPS):
            history.step()
            steps += 1
        answers, kills, epochs = answers + history.answers, kills + history.kills, epochs + history.floor
    result = {"histories": histories, "steps": steps, "answers": answers, "kills": kills, "fallen": 0}
    record.save("served-epoch", seed=SEED, result=result)
    assert answers > steps / 4
    assert kills > histories / 2
    assert epochs > histories
