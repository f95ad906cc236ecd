"""Write the allow-list of the pickle scanner from benign models: `python scripts/allow_list.py`.

Runs in an environment that has the libraries whose files are to be allowed (any of numpy, scipy, scikit-learn, pandas,
XGBoost, LightGBM, torch, joblib), makes benign objects of every kind it knows, stores them in every protocol, and reads
them with the scanner's own machine. What it adds to `allow_list/*.json` is reviewed as a diff: an entry is a decision.
Entries are only ever added; names that a benign file happens to use and an attack would too are in `NEVER`.
"""

import importlib
import io
import pickle
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from allow_list_models import MAKERS
from holdfast.engines.scan.examination import Content, Examination, Limits
from holdfast.engines.scan.pickles.allowed import CLASS_FIRST, FOLDER, MADE, Library, made_of, shape
from holdfast.engines.scan.pickles.machine import Break, Dialect, How
from holdfast.engines.scan.pickles.names import dangerous, modern
from holdfast.engines.scan.pickles.reading import joblib_arrays
from holdfast.engines.scan.pickles.table import new_machine
from holdfast.engines.scan.pickles.values import UNKNOWN, Global, Instance, Tuple, Value
from holdfast.engines.scan.report import Findings

FILES: Final = Path(__file__).resolve().parents[1] / "src/holdfast/engines/scan/pickles" / FOLDER
OWNERS: Final = {"sklearn": "scikit-learn"}
"""Distributions that are called otherwise than their package."""
STANDARD: Final = "python"
NEVER: Final = frozenset(
    {
        "builtins.getattr",  # reaches anything from anything
        "functools.partial",  # calls anything later
        "operator.attrgetter",
        "operator.methodcaller",
        "numpy.load",
        "types.CodeType",
        "types.FunctionType",
    }
)


class Recorder:
    """A judge that lets everything pass and writes it down."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.names: set[str] = set()
        self.calls: dict[str, set[str]] = defaultdict(set)
        self.builds: set[str] = set()
        self.fills_: set[str] = set()

    def imports(self, found: Global) -> None:
        """Write down a name."""
        self.names.add(".".join(modern(found.module, found.name)))

    def calls_(self, how: How, callee: Value, args: Tuple) -> Value:
        """Write down a call."""
        if not isinstance(callee, Global):
            return UNKNOWN
        named = Global(*modern(callee.module, callee.name), callee.at)
        self.calls[named.full].add(shape(how, named.full, args))
        made = made_of(named, args)
        if named.full in CLASS_FIRST:
            self.calls[made].add(MADE)
        return Instance(made, args)

    def builds_(self, target: Value, state: Value) -> Value:
        """Write down whose state is set."""
        if isinstance(target, Instance):
            self.builds.add(target.of)
            return Instance(target.of, target.args, state)
        return target

    def fill(self, target: Value) -> None:
        """Write down what is filled."""
        if isinstance(target, Instance):
            self.fills_.add(target.of)


class _Judge:
    """The recorder as the machine's protocol wants it."""

    def __init__(self, recorder: Recorder) -> None:
        self.to = recorder

    def imports(self, found: Global) -> None:
        self.to.imports(found)

    def calls(self, how: How, callee: Value, args: Tuple, at: int) -> Value:
        del at
        return self.to.calls_(how, callee, args)

    def builds(self, target: Value, state: Value, at: int) -> Value:
        del at
        return self.to.builds_(target, state)

    def fills(self, target: Value, opcode: str, at: int) -> None:
        del opcode, at
        self.to.fill(target)

    def elsewhere(self, content: Content) -> "_Judge":
        del content
        return self

    def constant(self, start: int, end: int) -> None:
        del start, end


def read(data: bytes, recorder: Recorder, dialect: Dialect) -> None:
    """Read one stream into the recorder."""
    content = Content(memoryview(data), "benign")
    examination = Examination(Findings(), lambda _content, _examination: (), Limits())
    machine = new_machine(content, examination, _Judge(recorder), dialect)
    machine.arrays = joblib_arrays(machine)
    position = machine.run(0)
    if position != len(data):
        raise Break(position, "bytes behind the end")


def stored(thing: Any) -> Iterator[tuple[bytes, Dialect]]:
    """Store an object in every way that people do."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.dumps(thing, protocol), Dialect.PLAIN
    joblib = _import("joblib")
    if joblib:
        for protocol in (2, 3, 4, 5):
            file = io.BytesIO()
            joblib.dump(thing, file, protocol=protocol)
            yield file.getvalue(), Dialect.JOBLIB
    torch = _import("torch")
    if torch and type(thing).__module__.startswith(("torch", "collections", "builtins")):
        import zipfile

        for protocol in (2, 3, 4, 5):
            file = io.BytesIO()
            torch.save(thing, file, pickle_protocol=protocol)
            with zipfile.ZipFile(file) as archive:
                name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
                yield archive.read(name), Dialect.TORCH


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def owner(name: str) -> str:
    """Return the distribution that a name belongs to."""
    top = name.partition(".")[0]
    return STANDARD if top in sys.stdlib_module_names else OWNERS.get(top, top)


def _version(library: str) -> str:
    if library == STANDARD:
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    try:
        return version(library).partition("+")[0]
    except PackageNotFoundError:
        return "unknown"


def write(recorder: Recorder) -> None:
    """Add what was recorded to the files, one a library."""
    names = {name for name in recorder.names if name not in NEVER}
    for name in sorted(names):
        if dangerous(*(name.rpartition(".")[::2])) and owner(name) != STANDARD:
            print(f"REVIEW: {name} is on the list of dangers too", file=sys.stderr)
    for library in sorted({owner(name) for name in names}):
        path = FILES / f"{library}.json"
        own = {name for name in names if owner(name) == library}
        before = msgspec.json.decode(path.read_bytes(), type=Library) if path.exists() else None
        calls = {name: set(shapes) for name, shapes in (before.calls.items() if before else ())}
        for name in own & recorder.calls.keys():
            calls.setdefault(name, set()).update(recorder.calls[name])
        after = Library(
            library=library,
            versions=tuple(sorted({*(before.versions if before else ()), _version(library)})),
            names=tuple(sorted(own | set(before.names if before else ()))),
            calls={name: tuple(sorted(shapes)) for name, shapes in sorted(calls.items())},
            builds=tuple(sorted((recorder.builds & own) | set(before.builds if before else ()))),
            fills=tuple(sorted((recorder.fills_ & own) | set(before.fills if before else ()))),
        )
        path.write_bytes(msgspec.json.format(msgspec.json.encode(after), indent=1) + b"\n")
        print(f"{library}: {len(after.names)} names, {len(after.calls)} callables")


def main() -> None:
    """Make, store, read, write."""
    warnings.simplefilter("ignore")
    recorder, kinds = Recorder(), 0
    for make in MAKERS:
        for thing in make():
            kinds += 1
            try:
                for data, dialect in stored(thing):
                    read(data, recorder, dialect)
            except Exception as error:  # noqa: BLE001 - a benign object that its library cannot store is none
                print(f"skipped {type(thing).__name__}: {str(error)[:100]}", file=sys.stderr)
    print(f"{kinds} benign objects")
    write(recorder)


if __name__ == "__main__":
    main()
