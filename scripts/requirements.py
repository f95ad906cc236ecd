"""Says which rows of docs/requirements.md have a passing test, and whether those tests show what they claim.

    requirements.py report     per group: rows with a passing test, rows with a failing one, rows with none
    requirements.py mutate     disables each function that a mark names: the marked test must then fail

`report` reads the result of the last whole run of the suite if not a byte has changed since, and runs it otherwise.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from requirement_marks import RESULT, TABLE, Group, read_table, tree_digest

SCRIPTS: Final = Path(__file__).parent
ORDER: Final = ("failing", "passing", "skipped")
"""A row is as good as its worst marked test; a test that did not run says nothing while another one passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The rows of one group, sorted by what their tests say."""

    group: Group
    passing: tuple[str, ...]
    failing: tuple[str, ...]
    skipped: tuple[str, ...]
    none: tuple[str, ...]


def standings(table: Sequence[Group], tests: Sequence[Mapping[str, Any]]) -> tuple[Standing, ...]:
    """Sorts all rows by the outcomes of the tests that carry their ids."""
    says = {"passed": "passing", "failed": "failing", "skipped": "skipped"}
    heard: dict[str, set[str]] = {}
    for test in tests:
        for row in test["requirements"]:
            heard.setdefault(row, set()).add(says[test["outcome"]])
    verdicts = {row: next(word for word in ORDER if word in words) for row, words in heard.items()}

    def rows(group: Group, verdict: str) -> tuple[str, ...]:
        return tuple(row for row in group.rows if verdicts.get(row, "none") == verdict)

    return tuple(
        Standing(
            group=group,
            passing=rows(group, "passing"),
            failing=rows(group, "failing"),
            skipped=rows(group, "skipped"),
            none=rows(group, "none"),
        )
        for group in table
    )


def lines(standing: Standing) -> list[str]:
    """What is printed for one group."""
    head = f"{standing.group.id:<5} {standing.group.name}: {len(standing.passing)} of {len(standing.group.rows)}"
    printed = [head]
    for word in ("passing", "failing", "skipped", "none"):
        if rows := getattr(standing, word):
            printed += textwrap.wrap(
                " ".join(rows),
                width=116,
                initial_indent=f"      {word:<8} ",
                subsequent_indent=" " * 15,
                break_on_hyphens=False,
            )
    return printed


def report(root: Path, table: Path) -> int:
    """Prints all groups and the totals. Returns 1 where a marked test fails or the run came to no end."""
    result = current_result(root, table)
    if result is None:
        print("The suite came to no end; nothing can be said about requirements.", file=sys.stderr)
        return 1
    groups = standings(read_table(root / table), result["tests"])
    for standing in groups:
        print("\n".join(lines(standing)))
    totals = {word: sum(len(getattr(group, word)) for group in groups) for word in (*ORDER, "none")}
    print(
        f"\n{sum(totals.values())} requirements: {totals['passing']} with a passing test, "
        f"{totals['failing']} with a failing one, {totals['skipped']} whose tests were skipped, "
        f"{totals['none']} with none"
    )
    return 1 if totals["failing"] else 0


def current_result(root: Path, table: Path) -> dict[str, Any] | None:
    """The result of the whole suite on these very bytes: the last one if it still holds, else one made now."""
    last = _read(root / RESULT)
    if last is not None and last["tree"] == tree_digest(root):
        print(f"From the last whole run ({RESULT}): nothing has changed since.\n")
        return last
    print("Running the suite: the last whole run was made from other bytes, or there is none.\n", flush=True)
    (root / RESULT).unlink(missing_ok=True)
    run_pytest(root, "--quiet", f"--requirements-table={table}", f"--requirements-result={RESULT}")
    print()
    return _read(root / RESULT)


def _read(path: Path) -> dict[str, Any] | None:
    """A stored result; None where there is none, or where its run was cut short (exit status above 1)."""
    if not path.is_file():
        return None
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result if result["exit_status"] in {0, 1} else None


def mutate(root: Path, table: Path, tests: Sequence[str]) -> int:
    """Runs the marked tests without the functions they name. Returns 0 only if each of them then fails."""
    with tempfile.TemporaryDirectory(prefix="holdfast-mutants-") as scratch:
        return run_pytest(
            root,
            *("-p", "requirement_mutants", "--quiet", "--tb=no", f"--requirements-table={table}"),
            f"--basetemp={scratch}/tests",
            *tests,
        )


def run_pytest(root: Path, *arguments: str) -> int:
    """Runs pytest on a checkout with the plugins of this folder; returns its exit status."""
    paths = f"import sys; sys.path[:0] = [{str(SCRIPTS)!r}]; import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    command = [sys.executable, "-c", paths, "-p", "requirement_marks", *arguments]
    return subprocess.run(command, cwd=root, check=False).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="requirements", description="Requirements and the tests that show them.")
    parser.add_argument("verb", choices=("report", "mutate"))
    parser.add_argument("tests", nargs="*", help="mutate: only the marks in these files or folders")
    parser.add_argument("--root", type=Path, default=SCRIPTS.parent, help="the checkout")
    parser.add_argument("--table", type=Path, default=TABLE, help="the table of requirements, seen from the checkout")
    chosen = parser.parse_args(arguments)
    if chosen.verb == "report":
        return report(chosen.root, chosen.table)
    return mutate(chosen.root, chosen.table, chosen.tests)


if __name__ == "__main__":
    sys.exit(main())
