"""The pytest plugin that reads `@pytest.mark.requirement("DATA-06", by="holdfast.ingest.cleaning:normalise")`.

It refuses a mark that names no row of the table, and with `--requirements-result=FILE` writes what became of each
marked test. What the rows say is not judged here: that a mark is true is for its author, its reviewer and the mutation
run.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from mutation.disabling import UnknownTargetError, split_target

TABLE: Final = Path("docs/requirements.md")
RESULT: Final = Path("build/requirements.json")
SOURCES: Final = ("src", "tests", "scripts", "policies", "examples", "docs", "locks", "pyproject.toml", "README.md")
"""What a result of the suite depends on; a result made from other bytes is stale."""

GROUP: Final = re.compile(r"^## \d+\. (?P<id>[A-Z0-9]+): (?P<name>.+) \(\d+\)$")
ROW: Final = re.compile(r"^\| (?P<id>[A-Z0-9]+-\d+) \| (?P<name>[^|]+) \|")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One section of the table: its letters, its title and the ids of its rows, in order."""

    id: str
    name: str
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One claim of one test: the row it shows, and the function that does the work where the mark names it."""

    row: str
    by: str | None


def read_table(path: Path) -> tuple[Group, ...]:
    """The groups of a table of requirements, in its order.

    Raises:
        ValueError: The file holds no rows: an empty table would accept or refuse everything.
    """
    titles: list[tuple[str, str]] = []
    rows: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if title := GROUP.match(line):
            titles.append((title["id"], title["name"]))
        elif row := ROW.match(line):
            rows.setdefault(row["id"].partition("-")[0], []).append(row["id"])
    if not rows:
        raise ValueError(f"{path} holds no rows of requirements")
    return tuple(Group(id=letters, name=name, rows=tuple(rows.get(letters, ()))) for letters, name in titles)


def tree_digest(root: Path) -> str:
    """A digest over the names and bytes of all `SOURCES` under a checkout; records of runs do not count."""
    digest = hashlib.sha256()
    for source in SOURCES:
        top = root / source
        files = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
        for path in files:
            name = path.relative_to(root).as_posix()
            if "/__pycache__/" in name or name.startswith("docs/records/"):
                continue
            digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def marks_of(item: pytest.Item) -> tuple[Mark, ...]:
    """The claims of one test.

    Raises:
        ValueError: A mark is not written as one row and, at most, one function.
    """
    return tuple(_read_mark(mark) for mark in item.iter_markers("requirement"))


def _read_mark(mark: pytest.Mark) -> Mark:
    match mark.args, mark.kwargs:
        case (str(row),), {**rest} if set(rest) <= {"by"}:
            by = rest.get("by")
        case _:
            raise ValueError('a mark is written requirement("ROW-1") or requirement("ROW-1", by="module:function")')
    if by is not None:
        try:
            split_target(by)
        except UnknownTargetError as error:
            raise ValueError(str(error)) from error
    return Mark(row=row, by=by)


@dataclass(slots=True, eq=False)  # pytest keeps its plugins in sets
class RequirementMarks:
    """Checks marks as tests are collected, and gathers what became of them."""

    known: frozenset[str]
    result: Path | None
    root: Path
    tree: str = ""
    outcomes: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)

    def pytest_sessionstart(self) -> None:
        """Remembers which bytes the run is about to judge."""
        if self.result is not None:
            self.tree = tree_digest(self.root)

    @pytest.hookimpl(tryfirst=True)  # before -k and -m take tests away: a wrong mark is wrong in every run
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Refuses wrong marks and hands right ones to the reports, which also cross from workers of xdist."""
        faults: dict[str, None] = {}
        for item in items:
            try:
                marks = marks_of(item)
            except ValueError as error:
                faults[f"{item.nodeid}: {error}"] = None
                continue
            for mark in marks:
                if mark.row not in self.known:
                    faults[f"{item.nodeid}: there is no requirement {mark.row!r}"] = None
                item.user_properties.append(("requirement", mark.row))
        if faults:
            raise pytest.UsageError("marks that name no requirement:\n  " + "\n  ".join(faults))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps the worst of set-up, call and tear-down; a test expected to fail shows nothing."""
        rows = tuple(str(value) for name, value in report.user_properties if name == "requirement")
        if not rows:
            return
        outcome = "skipped" if hasattr(report, "wasxfail") else str(report.outcome)
        before, _ = self.outcomes.get(report.nodeid, ("passed", rows))
        worst = min((before, outcome), key=("failed", "skipped", "passed").index)
        self.outcomes[report.nodeid] = (worst, rows)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Writes the result, where one was asked for."""
        if self.result is None or hasattr(session.config, "workerinput"):
            return
        tests = [
            {"test": test, "outcome": outcome, "requirements": list(rows)}
            for test, (outcome, rows) in sorted(self.outcomes.items())
        ]
        content: dict[str, Any] = {"tree": self.tree, "exit_status": int(exitstatus), "tests": tests}
        self.result.parent.mkdir(parents=True, exist_ok=True)
        self.result.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the two options of this plugin."""
    group = parser.getgroup("requirements")
    group.addoption("--requirements-table", type=Path, default=TABLE, help="the table whose rows marks may name")
    group.addoption("--requirements-result", type=Path, default=None, help="write the outcome of each marked test here")


def pytest_configure(config: pytest.Config) -> None:
    """Declares the mark and reads the table."""
    config.addinivalue_line(
        "markers",
        "requirement(row, by=None): fails without the behaviour of this row of docs/requirements.md; "
        "`by` names the function that does the work as 'module:function'",
    )
    root = config.rootpath
    known = frozenset(row for group in read_table(root / config.getoption("requirements_table")) for row in group.rows)
    result = config.getoption("requirements_result")
    plugin = RequirementMarks(known=known, result=None if result is None else root / result, root=root)
    config.pluginmanager.register(plugin, "requirement-marks-of-this-run")


def by_target(items: list[pytest.Item]) -> dict[str, list[tuple[str, pytest.Item]]]:
    """For each function that marks name, the rows it is named for and the tests that name it."""
    targets: dict[str, list[tuple[str, pytest.Item]]] = {}
    for item, mark in _claims(items):
        if mark.by is not None:
            targets.setdefault(mark.by, []).append((mark.row, item))
    return targets


def _claims(items: list[pytest.Item]) -> Iterator[tuple[pytest.Item, Mark]]:
    return ((item, mark) for item in items for mark in marks_of(item))
