"""The tools behind `make requirements` and `make requirements-mutate`, on a tiny project of their own."""

import importlib
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from mutation.disabling import DisabledError, UnknownTargetError, disable, find
from requirement_marks import read_table

ROOT: Final = Path(__file__).parents[2]
SCRIPTS: Final = ROOT / "scripts"

TABLE: Final = """
## 1. DATA: Data (4)

| Id | Name | A working implementation must | Figure |
| --- | --- | --- | --- |
| DATA-01 | Doubles | Double. |  |
| DATA-02 | Halves | Halve. |  |
| DATA-03 | Squares | Square. |  |
| DATA-04 | Roots | Root. |  |
"""

PRODUCT: Final = """
    import functools

    def double(x):
        return 2 * x

    def halve(x):
        return x / 2

    class Shape:
        def __init__(self, side):
            self.side = side

        def area(self):
            return self.side**2

        @classmethod
        def unit(cls):
            return cls(1)

        @staticmethod
        def corners(*, flat=True):
            return 4

        @property
        def name(self):
            return "square"

    @functools.lru_cache
    def remembered(x):
        return x

    def bind(factor, offset):
        def scaled(x, power=1):
            return factor * x**power + offset
        return scaled

    triple = bind(3, 0)
    TABLE = {"double": double}
    LIMIT = 10
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with a table of four requirements and a product, but no tests yet."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "requirements.md").write_text(TABLE)
    (tmp_path / "tests").mkdir()
    (tmp_path / "product.py").write_text(textwrap.dedent(PRODUCT))
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\ntestpaths = ["tests"]\n')
    return tmp_path


def write_tests(project: Path, source: str, name: str = "test_product.py") -> None:
    """Writes one file of tests into the project."""
    head = "import pytest\nimport product\nfrom product import TABLE, double, halve\n\n"
    (project / "tests" / name).write_text(head + textwrap.dedent(source))


def requirements(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the tool on the project, as make does."""
    return subprocess.run(
        [sys.executable, str(SCRIPTS / "requirements.py"), *arguments, f"--root={project}"],
        cwd=project,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_report_names_rows_with_a_passing_test_and_rows_with_none(project: Path) -> None:
    """A row is shown by a passing test, spoiled by a failing one, and not shown by a skipped or expected failure."""
    write_tests(
        project,
        """
        @pytest.mark.requirement("DATA-01")
        def test_doubles(): assert double(2) == 4

        @pytest.mark.requirement("DATA-02")
        def test_halves(): assert halve(2) == 1

        @pytest.mark.requirement("DATA-02")
        def test_halves_odd_numbers(): assert halve(3) == 1

        @pytest.mark.requirement("DATA-03")
        @pytest.mark.xfail
        def test_squares(): assert False
        """,
    )
    done = requirements(project, "report")
    assert "DATA  Data: 1 of 4" in done.stdout
    assert "passing  DATA-01\n" in done.stdout
    assert "failing  DATA-02\n" in done.stdout
    assert "skipped  DATA-03\n" in done.stdout
    assert "none     DATA-04\n" in done.stdout
    assert "4 requirements: 1 with a passing test, 1 with a failing one" in done.stdout
    assert done.returncode == 1


def test_report_reads_the_last_run_only_while_nothing_has_changed(project: Path) -> None:
    """An unchanged tree is not run again; one changed byte makes the last result worthless."""
    write_tests(project, '@pytest.mark.requirement("DATA-01")\ndef test_doubles(): assert double(2) == 4\n')
    first, second = requirements(project, "report"), requirements(project, "report")
    assert "Running the suite" in first.stdout
    assert "nothing has changed" in second.stdout
    assert "passing  DATA-01" in second.stdout
    write_tests(project, '@pytest.mark.requirement("DATA-01")\ndef test_doubles(): assert double(2) == 5\n')
    third = requirements(project, "report")
    assert "Running the suite" in third.stdout
    assert "failing  DATA-01" in third.stdout


def test_result_of_a_suite_that_came_to_no_end_is_not_believed(project: Path) -> None:
    """A run that breaks off says nothing, though some tests had passed."""
    write_tests(
        project,
        """
        @pytest.mark.requirement("DATA-01")
        def test_doubles(): assert double(2) == 4

        def test_stops(): pytest.exit("enough", returncode=3)
        """,
    )
    done = requirements(project, "report")
    assert done.returncode == 1
    assert "came to no end" in done.stderr
    assert json.loads((project / "build" / "requirements.json").read_text())["exit_status"] == 3


@pytest.mark.parametrize(
    ("mark", "complaint"),
    [
        ('"DATA-99"', "there is no requirement 'DATA-99'"),
        ('"data-01"', "there is no requirement 'data-01'"),
        ("", "a mark is written"),
        ('"DATA-01", "DATA-02"', "a mark is written"),
        ('"DATA-01", function="product:double"', "a mark is written"),
        ('"DATA-01", by="product.double"', "is not written as"),
        ('"DATA-01", by="product:double()"', "is not written as"),
    ],
)
def test_mark_that_names_no_requirement_is_refused_at_collection(project: Path, mark: str, complaint: str) -> None:
    """No test runs while a mark is wrong, so that a mistyped id cannot pass as evidence."""
    write_tests(project, f"@pytest.mark.requirement({mark})\ndef test_doubles(): assert double(2) == 4\n")
    done = requirements(project, "report")
    assert done.returncode == 1
    assert complaint in done.stdout + done.stderr
    assert "1 passed" not in done.stdout


def test_table_without_rows_is_refused(tmp_path: Path) -> None:
    """An empty table would make each mark wrong or each right; it is an error of its own."""
    empty = tmp_path / "requirements.md"
    empty.write_text("# Nothing yet\n")
    with pytest.raises(ValueError, match="holds no rows"):
        read_table(empty)


def test_mark_survives_only_if_its_test_does_not_need_the_function(project: Path) -> None:
    """Each marked test must fail without its function, through whichever name the test or product reaches it."""
    write_tests(
        project,
        """
        @pytest.mark.requirement("DATA-01", by="product:double")
        def test_doubles_by_imported_name(): assert double(2) == 4

        @pytest.mark.requirement("DATA-01", by="product:double")
        def test_doubles_by_table(): assert TABLE["double"](2) == 4

        @pytest.mark.requirement("DATA-03", by="product:Shape.area")
        def test_squares(): assert product.Shape(3).area() == 9

        @pytest.mark.requirement("DATA-02", by="product:halve")
        def test_says_nothing(): assert TABLE

        @pytest.mark.requirement("DATA-04", by="product:halve")
        def test_swallows_errors():
            try:
                halve(2)
            except Exception:
                pass
        """,
    )
    done = requirements(project, "mutate")
    verdicts = {line.split("::")[1]: line.split()[0] for line in done.stdout.splitlines() if "::" in line}
    assert verdicts == {
        "test_doubles_by_imported_name": "killed",
        "test_doubles_by_table": "killed",
        "test_squares": "killed",
        "test_says_nothing": "SURVIVED",
        "test_swallows_errors": "SURVIVED",
    }
    assert done.returncode == 1


def test_mutation_run_succeeds_when_each_function_is_missed(project: Path) -> None:
    """Exit status 0 means: no survivor. One failing case of a parametrised test is enough, and a fixture may fail."""
    write_tests(
        project,
        """
        @pytest.fixture(scope="session")
        def four(): return double(2)

        @pytest.mark.requirement("DATA-01", by="product:double")
        def test_doubles(four): assert four == 4

        @pytest.mark.requirement("DATA-02", by="product:halve")
        @pytest.mark.parametrize("x", [0, 2])
        def test_halves(x): assert x == 0 or halve(x) == 1

        def test_is_not_marked(): assert False
        """,
    )
    done = requirements(project, "mutate")
    assert "    2 killed" in done.stdout
    assert "    0 SURVIVED" in done.stdout
    assert done.returncode == 0


def test_mutation_reaches_commands_that_a_test_starts(project: Path) -> None:
    """A test of a command line is held to the same question, because children inherit the function's name."""
    write_tests(
        project,
        """
        import subprocess, sys

        @pytest.mark.requirement("DATA-01", by="product:double")
        def test_doubles_in_a_child():
            code = "import product; print(product.TABLE['double'](21))"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            assert done.stdout == "42\\n"
        """,
    )
    done = requirements(project, "mutate")
    assert "    1 killed" in done.stdout
    assert done.returncode == 0


def test_failure_that_is_not_due_to_the_mutation_is_no_proof(project: Path) -> None:
    """A test that fails anyway, a function that is not there and a process that dies are not taken for a proof."""
    write_tests(
        project,
        """
        import os

        @pytest.mark.requirement("DATA-01", by="product:double")
        def test_fails_anyway(): assert double(2) == 5

        @pytest.mark.requirement("DATA-02", by="product:divide")
        def test_names_nothing(): assert halve(2) == 1

        @pytest.mark.requirement("DATA-03", by="product:LIMIT")
        def test_names_a_number(): assert product.LIMIT == 10

        @pytest.mark.requirement("DATA-04", by="product:halve")
        def test_dies():
            try:
                assert halve(2) == 1
            except Exception:
                os._exit(1)

        @pytest.mark.requirement("DATA-04", by="product:triple")
        @pytest.mark.skip(reason="no service")
        def test_is_skipped(): assert product.triple(1) == 3
        """,
    )
    done = requirements(project, "mutate")
    assert "the test fails with the function in place" in done.stdout
    assert "'product:divide' does not exist" in done.stdout
    assert "'product:LIMIT' is a int, not a Python function" in done.stdout
    assert "the process ended without an answer" in done.stdout
    assert "    4 BROKEN" in done.stdout
    assert "    1 skipped" in done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("target", "call"),
    [
        ("double", lambda product: product.double(1)),
        ("double", lambda product: product.TABLE["double"](1)),
        ("triple", lambda product: product.triple(1, power=2)),
        ("remembered", lambda product: product.remembered(1)),
        ("Shape.area", lambda product: product.Shape(1).area()),
        ("Shape.unit", lambda product: product.Shape.unit()),
        ("Shape.corners", lambda product: product.Shape.corners(flat=False)),
        ("Shape.name", lambda product: product.Shape(1).name),
        ("Shape.__init__", lambda product: product.Shape(1)),
    ],
)
def test_disabled_function_raises_whatever_it_is(
    project: Path, monkeypatch: pytest.MonkeyPatch, target: str, call: Callable[[ModuleType], object]
) -> None:
    """Plain, cached, closed-over, class, static and property functions can all be taken away."""
    monkeypatch.syspath_prepend(project)
    monkeypatch.delitem(sys.modules, "product", raising=False)
    import product  # type: ignore[import-not-found]  # written by the fixture

    product.remembered(1)
    disable(f"product:{target}")
    with pytest.raises(DisabledError, match=f"product:{target} is disabled"):
        call(product)
    monkeypatch.delitem(sys.modules, "product")


@pytest.mark.parametrize("target", ["json:missing", "no_such_module:f", "json:JSONDecoder", "math:sqrt"])
def test_only_functions_that_exist_can_be_disabled(target: str) -> None:
    """A class, a C function or a name that is not there would silently stay enabled."""
    with pytest.raises(UnknownTargetError):
        find(target)


def test_every_function_that_a_mark_of_ours_names_is_there() -> None:
    """One that was moved or renamed would leave a claim that no mutation run can try."""
    named = {
        found
        for path in ROOT.joinpath("tests").rglob("test_*.py")
        if path != Path(__file__)
        for found in re.findall(r'by="(holdfast[\w.]*):([\w.]+)"', path.read_text(encoding="utf-8"))
    }
    assert len(named) > 400
    gone = []
    for module, name in sorted(named):
        at: Any = importlib.import_module(module)
        for part in name.split("."):
            at = getattr(at, part, None)
        if at is None:
            gone.append(f"{module}:{name}")
    assert not gone
