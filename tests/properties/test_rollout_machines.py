"""Rollouts under any sequence of steps, breaches and words, and a gateway under delay, replay and crash."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.artifact import Artifact
from holdfast.core.machine import Machine
from holdfast.core.routes import SILENT
from holdfast.registry import (
    Standing,
    exchanged,
    promoted,
    renewed,
    rolled_back,
    swapped,
    with_candidate,
    without_candidate,
)
from holdfast.rollout import PROMOTED, Exchange, Plan, Share, Verdict, canary, standby, trial
from holdfast.rollout.plans import Command
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import World

NAMES = tuple(f"release-{letter}" for letter in "abcdef")
STEPS = (0.1, 0.5, 1.0)


class Endpoint(RuleBasedStateMachine):
    """An endpoint as the lifecycle moves it: machines say what happens, standings are what it leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.now = Standing()
        self.machine: Machine[str, Verdict, Command] = canary(STEPS)
        self.cap = 0.0  # what the plan allows the candidate by now
        self.epochs = [0]

    def become(self, after: Standing) -> None:
        """Take the next standing."""
        self.now = after
        self.epochs.append(after.epoch)

    @initialize(release=st.sampled_from(NAMES))
    def first(self, release: str) -> None:
        """Something is promoted."""
        self.become(promoted(self.now, release))

    @rule(release=st.sampled_from(NAMES), plan=st.sampled_from(Plan), share=st.sampled_from([0.05, 0.3, 0.9]))
    def begin(self, release: str, plan: Plan, share: float) -> None:
        """A person puts a release beside the baseline."""
        if self.now.candidate or not self.now.baseline or release == self.now.baseline:
            return
        match plan:
            case Plan.CANARY:
                self.machine = canary(STEPS)
            case Plan.STANDBY:
                self.machine = standby()
            case _:
                self.machine = trial(plan, 0.0 if plan is Plan.SHADOW else share)
        state, (command,) = self.machine.step(self.now.rollout, Verdict.START)
        assert isinstance(command, Share)
        self.cap = command.share
        self.become(with_candidate(self.now, release, command.share, state, plan=plan))

    @precondition(lambda self: self.now.candidate)
    @rule(verdict=st.sampled_from([Verdict.WAIT, Verdict.ADVANCE, Verdict.SWITCH]))
    def step(self, verdict: Verdict) -> None:
        """The analysis or a person says what follows; what the table does not hold does not happen."""
        if (self.now.rollout, verdict) not in self.machine.table:
            return
        state, (command,) = self.machine.step(self.now.rollout, verdict)
        if isinstance(command, Exchange):
            self.become(exchanged(self.now, state))
        elif state == PROMOTED:
            self.become(promoted(self.now, self.now.candidate))
        elif verdict is Verdict.ADVANCE:
            assert command.share > self.cap
            self.cap = command.share
            self.become(with_candidate(self.now, self.now.candidate, command.share, state))

    @precondition(lambda self: self.now.candidate)
    @rule()
    def breach_of_the_candidate(self) -> None:
        """It leads to the baseline, from every state of every plan."""
        baseline = self.now.baseline
        state, (command,) = self.machine.step(self.now.rollout, Verdict.RETURN)
        assert command == Share(0.0)
        assert without_candidate(self.now, state).share == 0.0
        self.become(rolled_back(self.now, "contained", self.now.candidate)[0])
        assert (self.now.baseline, self.now.candidate, self.now.share) == (baseline, "", 0.0)

    @precondition(lambda self: self.now.baseline)
    @rule()
    def breach_of_the_baseline(self) -> None:
        """It leads to what answered before, or to nothing; a candidate whose comparison rests on it goes too."""
        before = self.now
        self.become(rolled_back(before, "contained", before.baseline)[0])
        assert self.now.baseline == (before.previous[-1] if before.previous else "")
        assert (self.now.candidate, self.now.share) == ("", 0.0)

    @precondition(lambda self: self.now.baseline)
    @rule(release=st.sampled_from(NAMES))
    def emergency(self, release: str) -> None:
        """One release answers, alone, and what answered is no way back."""
        gone = set(self.now.releases) - {release}
        if (self.now.baseline, self.now.candidate) == (release, ""):
            return
        self.become(swapped(self.now, release, "contained"))
        assert self.now.releases == (release,)
        assert not gone & set(self.now.previous)

    @rule(release=st.sampled_from(NAMES))
    def promote(self, release: str) -> None:
        """A person puts a release into production at once."""
        self.become(promoted(self.now, release))

    @rule()
    def renew(self) -> None:
        """A newer lease."""
        self.become(renewed(self.now))

    @invariant()
    def candidate_traffic_never_exceeds_the_cap(self) -> None:
        """No share without a candidate, none for the silent, and never more than the plan's step."""
        assert self.now.share <= (self.cap if self.now.candidate else 0.0)
        assert self.now.plan not in SILENT or self.now.share == 0.0

    @invariant()
    def epochs_only_rise(self) -> None:
        """Each change is one newer table."""
        assert self.epochs == list(range(len(self.epochs)))

    @invariant()
    def nobody_stands_twice(self) -> None:
        """A release answers as one thing, and is gone back to once."""
        assert self.now.candidate != self.now.baseline or not self.now.baseline
        assert len(set(self.now.previous)) == len(self.now.previous)
        assert self.now.baseline not in self.now.previous


class Delayed(RuleBasedStateMachine):
    """A gateway that is told late, told again what is old, or dies: the epoch that it serves never falls."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.runtime = OnnxRuntime()
        self.releases: list[Artifact] = [self.world.release(tiny_model(bias=-2.0 - n)) for n in range(3)]
        self.made: list[dict[str, bytes]] = []
        self.highest = 0
        self.serving = self.world.serving(self.runtime)
        self.newer(0, 0, 0.0)

    @rule(baseline=st.integers(0, 2), candidate=st.integers(0, 2), share=st.sampled_from([0.0, 0.5, 1.0]))
    def newer(self, baseline: int, candidate: int, share: float) -> None:
        """The control plane publishes a newer table, with or without a candidate."""
        beside: dict[str, Any] = {}
        if candidate != baseline:
            beside = {"candidate": self.releases[candidate], "share": share}
        self.world.published.files = None  # whatever an attacker has put there
        self.world.publish(self.world.table(self.releases[baseline], **beside))
        self.made.append(dict(self.world.published.present()))
        self.world.published.files = self.made[-1]

    @rule(which=st.integers(0, 40), torn=st.booleans())
    def replay(self, which: int, torn: bool) -> None:
        """Whoever holds the folder shows an older state again, whole or mixed with the newest."""
        old = self.made[which % len(self.made)]
        self.world.published.files = {**old, **self.made[-1]} if torn else dict(old)

    @rule(seconds=st.sampled_from([1, 60, 400]))
    def delay(self, seconds: int) -> None:
        """Time passes, and the gateway looks at nothing."""
        self.world.clock.advance(timedelta(seconds=seconds))

    @rule()
    def look(self) -> None:
        """The gateway looks."""
        self.serving.look()

    @rule()
    def crash(self) -> None:
        """It dies, and another process with the same memory begins."""
        memory = self.serving.memory
        self.serving = self.world.serving(self.runtime)
        self.serving.loader.memory = memory
        self.serving.memory = memory

    @rule()
    def call(self) -> None:
        """Somebody calls: what answers is of the state that is served."""
        assert self.serving.call().status in {200, 503}

    def teardown(self) -> None:
        """The newest table is served whatever happened before: none of it has locked the gateway out."""
        self.newer(0, 1, 0.5)
        self.serving.look()
        state = self.serving.gateway.state
        assert state is not None
        assert state.epoch > self.highest or not self.highest
        assert self.serving.call().status == 200

    @invariant()
    def the_served_epoch_never_falls(self) -> None:
        """Not after any replay, and not after a restart."""
        state = self.serving.gateway.state
        if state is not None:
            assert state.epoch >= self.highest
            self.highest = state.epoch


FAST = settings(max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
EndpointTest = pytest.mark.guarantee("G20")(Endpoint.TestCase)
Endpoint.TestCase.settings = FAST
DelayedTest = pytest.mark.guarantee("G80")(Delayed.TestCase)
DelayedTest = pytest.mark.requirement("ACC-16", by="holdfast.serve.loading:_check_table")(Delayed.TestCase)
Delayed.TestCase.settings = settings(FAST, max_examples=40)
