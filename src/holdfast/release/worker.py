"""The job that runs a project's own tests. Runs inside the sandbox.

Command line: GIVEN LEFT. Each file of GIVEN/unit and GIVEN/integration is imported, and each of its functions whose
name begins with `test` is called: without arguments, or with the folder of the release where it takes one. The
project's code shares this process: what is written here is a claim of the project about itself, and recorded as that.
"""

import importlib.util
import inspect
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

RESULTS: Final = "results.json"
RELEASE: Final = "release"
PROJECT: Final = "project"
SORTS: Final = ("unit", "integration")
MAX_WORDS: Final = 500  # characters of what a failed test said


class Ran(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one test ended; `words` is empty where it passed."""

    sort: str
    name: str
    seconds: float
    words: str = ""


def main(args: Sequence[str]) -> int:
    """Run every test and write how each ended; return the exit code."""
    given, left = Path(args[0]), Path(args[1])
    sys.path.insert(0, str(given / PROJECT))
    results = [ran for sort in SORTS for ran in _run_all(given, sort)]
    (left / RESULTS).write_bytes(msgspec.json.encode(results))
    return 0


def _run_all(given: Path, sort: str) -> Iterator[Ran]:
    for path in sorted((given / sort).glob("*.py")):
        try:
            tests = list(_tests(path, sort))
        except BaseException as error:  # noqa: BLE001 - a file that cannot be imported is a failed test
            yield Ran(sort=sort, name=path.name, seconds=0.0, words=_words(error))
            continue
        if not tests:  # empty means no
            yield Ran(sort=sort, name=path.name, seconds=0.0, words="the file holds no test")
        for name, test in tests:
            begun, words = time.perf_counter(), ""
            try:
                test(given / RELEASE) if inspect.signature(test).parameters else test()
            except BaseException as error:  # noqa: BLE001 - whatever a test raises, it has failed
                words = _words(error)
            yield Ran(sort=sort, name=f"{path.name}:{name}", seconds=time.perf_counter() - begun, words=words)


def _tests(path: Path, sort: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    spec = importlib.util.spec_from_file_location(f"{sort}_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in vars(module).items():
        if name.startswith("test") and inspect.isfunction(value) and value.__module__ == module.__name__:
            yield name, value


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_WORDS]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
