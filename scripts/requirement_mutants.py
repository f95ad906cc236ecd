"""The pytest plugin behind `make requirements-mutate`: takes each function away that a mark names, and watches.

    pytest -p requirement_marks -p requirement_mutants tests

1. Collect once, keep the tests whose marks name a function.
2. Run them all as they are. A test that fails already proves nothing by failing later.
3. For each function: fork, disable it in the child, run the tests that name it. Each must fail.

A fork keeps what was collected and imported, so a function costs the time of its own tests and no more. Tests that
start commands are held to the same question: children inherit the function's name (see `mutation/sitecustomize.py`).
"""

import json
import os
import re
import select
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

import pytest
from _pytest.runner import runtestprotocol  # the one part of pytest's runner that can be called item by item

from mutation.disabling import DISABLED_VARIABLE, UnknownTargetError, disable
from requirement_marks import by_target

TIME_LIMIT_S: Final = 900
"""Seconds for the tests of one function: a disabled function may leave a test waiting for ever."""

WHOLE_LIMIT_S: Final = 3600
"""Seconds for all marked tests together, as they are."""

Verdict: TypeAlias = Literal["killed", "SURVIVED", "BROKEN", "skipped"]
Outcome: TypeAlias = Literal["passed", "failed", "skipped"]

MEANING: Final[Mapping[Verdict, str]] = {
    "killed": "the test fails without the function, as it must",
    "SURVIVED": "the test passes without the function: it does not show what it claims",
    "BROKEN": "nothing can be said: the test fails by itself, the function does not exist, or the run did not end",
    "skipped": "the test did not run here",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """What became of one test when one function was taken away."""

    rows: tuple[str, ...]
    target: str
    test: str
    verdict: Verdict
    reason: str = ""


class MutantRun:
    """Replaces pytest's own loop over tests."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keeps the tests whose marks name a function."""
        wanted = {item.nodeid for pairs in by_target(items).values() for _, item in pairs}
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in wanted])
        items[:] = [item for item in items if item.nodeid in wanted]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Runs the tests with and without each function; what is not killed is counted as a failed test."""
        if session.testsfailed or session.config.option.collectonly:
            return False
        refuse_busy_pools()
        write = session.config.get_terminal_writer().line
        write("")
        untouched = in_child(lambda: run_functions(session.items), limit_s=WHOLE_LIMIT_S)
        mutants: list[Mutant] = []
        for target, pairs in sorted(by_target(session.items).items()):
            for mutant in judge(target, pairs, untouched):
                mutants.append(mutant)
                write(f"{mutant.verdict:<9} {' '.join(mutant.rows):<18} {mutant.target}  {mutant.test}")
                if mutant.reason:
                    write(f"          {mutant.reason}")
        write("")
        for verdict, meaning in MEANING.items():
            write(f"{sum(mutant.verdict == verdict for mutant in mutants):5d} {verdict:<9} {meaning}")
        session.testsfailed = sum(mutant.verdict in {"SURVIVED", "BROKEN"} for mutant in mutants)
        session.testscollected = len(mutants)
        return True


def refuse_busy_pools() -> None:
    """Ends the run where collecting the tests has started polars' workers: a fork has none, and would wait for them.

    Tables belong into tests, or behind a `lambda` where they are parameters.
    """
    tasks = Path("/proc/self/task")
    names = [(task / "comm").read_text(encoding="utf-8").strip() for task in tasks.iterdir()] if tasks.is_dir() else []
    if any(re.fullmatch(r"polars-\d+", name) for name in names):
        pytest.exit("collecting the tests has computed with polars, whose threads do not survive a fork", returncode=2)


def judge(target: str, pairs: Sequence[tuple[str, pytest.Item]], untouched: Mapping[str, str]) -> tuple[Mutant, ...]:
    """What the tests that name `target` do without it.

    Args:
        target: `module:function`.
        pairs: The tests that name it, each with the row it claims to show.
        untouched: For each test, what it does with the function in place.
    """
    rows: dict[str, dict[str, None]] = {}
    for row, item in pairs:
        rows.setdefault(function_of(item), {})[row] = None

    def without() -> dict[str, str]:
        os.environ[DISABLED_VARIABLE] = target
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, (str(Path(__file__).parent / "mutation"), os.environ.get("PYTHONPATH")))
        )
        disable(target)
        return run_functions([item for _, item in pairs if untouched.get(function_of(item)) == "passed"])

    outcomes = in_child(without)
    mutants: list[Mutant] = []
    for test, named in rows.items():
        # A child that came to no answer tells its reason under "", for all its tests alike.
        before, after = (told.get(test, told.get("", "")) for told in (untouched, outcomes))
        verdict, reason = _verdict(before, after)
        mutants.append(Mutant(rows=tuple(named), target=target, test=test, verdict=verdict, reason=reason))
    return tuple(mutants)


def _verdict(before: str, after: str) -> tuple[Verdict, str]:
    match before, after:
        case "skipped", _:
            return "skipped", ""
        case "passed", "failed":
            return "killed", ""
        case "passed", "passed":
            return "SURVIVED", ""
        case "passed", "skipped":
            return "SURVIVED", "without the function the test is skipped, which nobody would notice"
        case "failed", _:
            return "BROKEN", "the test fails with the function in place"
        case "passed", fault:
            return "BROKEN", fault
        case fault, _:
            return "BROKEN", f"the tests could not be run as they are: {fault}"


def function_of(item: pytest.Item) -> str:
    """The id of a test without its parameters."""
    return item.nodeid.partition("[")[0]


def run_functions(items: Sequence[pytest.Item]) -> dict[str, str]:
    """Runs tests, and returns `{test: outcome}`.

    The cases of a parametrised test count as one: failed where a case failed, skipped only where all were.
    """
    outcomes: dict[str, str] = {}
    unique = list({item.nodeid: item for item in items}.values())
    for item, following in zip(unique, [*unique[1:], None], strict=True):
        test, outcome = function_of(item), _run(item, following)
        outcomes[test] = min((outcomes.get(test, outcome), outcome), key=("failed", "passed", "skipped").index)
    return outcomes


def _run(item: pytest.Item, following: pytest.Item | None) -> Outcome:
    reports = runtestprotocol(item, log=False, nextitem=following)
    if any(report.failed for report in reports):
        return "failed"
    return "skipped" if any(report.skipped for report in reports) else "passed"


def in_child(work: Callable[[], dict[str, str]], *, limit_s: int = TIME_LIMIT_S) -> dict[str, str]:
    """Does work in a forked child, so that what it breaks dies with it.

    Returns:
        What the work returns, or `{"": reason}` where it ended otherwise or took longer than `limit_s`.
    """
    receive, send = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork among threads; the threads seen here idle in libraries that tests have imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(receive)
        os.setpgid(0, 0)
        _report(send, work)
    os.close(send)
    answer: bytes | None = None
    try:
        answer = _read_all(receive, until=time.monotonic() + limit_s)
    finally:
        os.close(receive)
        if answer is None:  # too slow, or somebody pressed Ctrl-C: the child is in a group of its own and would stay
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if answer is None:
        return {"": f"no end after {limit_s} s"}
    result: dict[str, str] = json.loads(answer) if answer else {"": "the process ended without an answer"}
    return result


def _report(send: int, work: Callable[[], dict[str, str]]) -> None:
    """Sends what the work returns and ends the process, without a clean-up that belongs to the parent."""
    try:
        try:
            answer = work()
        except UnknownTargetError as error:
            answer = {"": str(error)}
        except BaseException:  # noqa: BLE001  # whatever happens here has to be told by the parent
            answer = {"": traceback.format_exc(limit=-3)}
        with os.fdopen(send, "wb") as pipe:
            pipe.write(json.dumps(answer).encode())
    finally:
        os._exit(0)


def _read_all(receive: int, *, until: float) -> bytes | None:
    """All bytes until the other end is closed, or None when that takes too long."""
    chunks: list[bytes] = []
    while select.select([receive], [], [], max(0.0, until - time.monotonic()))[0]:
        chunk = os.read(receive, 65_536)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
    return None


def pytest_configure(config: pytest.Config) -> None:
    """Takes the place of the loop."""
    config.pluginmanager.register(MutantRun(), "mutants-of-this-run")
