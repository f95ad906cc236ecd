"""What `check_control` asks of a control: the shipped ones keep its promises, and each broken one is caught."""

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from holdfast.core.artifact import Kind
from holdfast.core.control import Control, NotApplicable, Report
from holdfast.core.evidence import Outcome, exactly
from holdfast.core.project import parse_project
from holdfast.core.telemetry import LATENCY_EDGES_MS, Window
from holdfast.maths.sketch import profile
from holdfast.plan import CONTROLS as PLAN
from holdfast.testing import BrokenPromiseError, check_control
from holdfast.watch import CONTROLS as WATCH
from holdfast.watch import Traffic

PROJECT = Path(__file__).parents[2] / "examples" / "breast-cancer" / "holdfast.toml"


def good(_: object) -> Report:
    """What a control should do."""
    return Report(measures=(exactly("share", 0.5, n=100),), timings=(exactly("took_ms", time.perf_counter()),))


@pytest.mark.parametrize("control", PLAN, ids=lambda control: control.name)
def test_the_plans_controls_keep_their_promises(control: Control[Any]) -> None:
    """Tier and classes follow from the project alone."""
    project, _ = parse_project(PROJECT.read_bytes())
    assert check_control(control, project, kind=Kind.PROJECT, broken=(None,)).outcome is Outcome.MEASURED


@pytest.mark.parametrize("control", WATCH, ids=lambda control: control.name)
def test_the_watchs_controls_keep_their_promises(control: Control[Any]) -> None:
    """Drift and service levels follow from a window of counts alone."""
    reference = profile(np.linspace(0, 1, 1000))
    cells = tuple(reference.cells)
    latency = (0,) * len(LATENCY_EDGES_MS) + (1000,)
    window = Window(requests=1000, rows=1000, failures=3, flagged=0, latency=latency, inputs={"a": cells}, scores=cells)
    traffic = Traffic(window=window, inputs={"a": reference}, scores=reference, min_rows=100)
    assert check_control(control, traffic, kind=Kind.RELEASE, broken=(None,)).outcome is Outcome.MEASURED


def test_a_control_of_ones_own_keeps_its_promises() -> None:
    """What a plug-in's author sees when everything is right: the evidence, timings and all."""
    evidence = check_control(Control(name="assess.mine/1", measure=good), {"rows": 100})
    assert evidence.outcome is Outcome.MEASURED
    assert check_control(Control(name="assess.mine/1", measure=lambda _: NotApplicable(reason="r")), 1).reason == "r"


@dataclass
class Counter:
    """A measure that is another one each time."""

    count: int = 0

    def __call__(self, _: object) -> Report:
        self.count += 1
        return Report(measures=(exactly("count", self.count),))


def crash(_: object) -> Report:
    """A control with a defect."""
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("name", "measure", "broken", "words"),
    [
        ("assess.mine/1", crash, (), "failed on a good context: ZeroDivisionError"),
        ("assess.mine/1", lambda _: None, (), "failed on a good context"),
        ("assess.mine/1", lambda _: Report(), (), "holds no measure"),
        ("assess.mine/1", lambda _: Report(measures=(exactly("a", np.nan),)), (), "not inside its interval"),
        ("assess.mine/1", lambda _: Report(measures=(exactly("a", 1, n=0),)), (), "empty sample"),
        ("assess.mine", good, (), "not a control name"),
        ("assess.mine/1", Counter(), (), "two things on one context"),
        ("assess.mine/1", lambda _: Report(measures=(exactly("a", random.random()),)), (), "two things on one context"),  # noqa: S311 - the defect that is looked for
        ("assess.mine/1", lambda _: Report(measures=(exactly("a", np.random.rand()),)), (), "two things"),  # noqa: NPY002 - the same
        ("assess.mine/1", good, (None,), "is measured on a context it cannot work with"),
        ("assess.mine/1", lambda context: good(0) if context else NotApplicable(reason="r"), (None,), "not-applicable"),
        ("rumour.mine/1", good, (), "the role rumour may not speak about a model"),
        ("features.mine/1", good, (), "the role features may not speak about a model"),
    ],
)
def test_a_broken_promise_is_named(name: str, measure: Any, broken: tuple[object, ...], words: str) -> None:
    """Crashes, silence, empty samples, hidden randomness, optimism and foreign roles are told apart."""
    with pytest.raises(BrokenPromiseError, match=words):
        check_control(Control(name=name, measure=measure), {"rows": 100}, broken=broken)


def test_the_check_leaves_the_global_generators_as_they_were() -> None:
    """Whoever checks a plug-in in the middle of a test suite changes nothing for the tests after it."""
    before, numpy_before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index] # noqa: NPY002 - the global one
    check_control(Control(name="assess.mine/1", measure=good), 1)
    assert random.getstate() == before
    assert np.random.get_state()[1].tolist() == numpy_before  # type: ignore[index] # noqa: NPY002 - the global one
