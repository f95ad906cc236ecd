"""Reads code from outside, as text. Runs inside the sandbox: parsers of source have crashed on hostile text before.

Command line: FOLDER OUT. Nothing of the folder is imported or run. Writes `code.json`.
"""

import ast
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import msgspec

from holdfast.core.evidence import Finding, Severity
from holdfast.engines.secrets.scan import scan
from holdfast.release.foreign.notebooks import NotNotebookError, module_of

RESULT: Final = "code.json"
MAX_SOURCE: Final = 4 << 20  # bytes of one file of source
MAX_KEPT: Final = 500  # findings
LICENCES: Final = ("licen[cs]e*", "copying*", "notice*")
BINARIES: Final = frozenset(
    {".so", ".pyd", ".dll", ".dylib", ".exe", ".pyc", ".pyo", ".jar", ".whl", ".egg", ".a", ".o"}
)
_PINNED: Final = re.compile(r"[A-Za-z0-9._-]+(\[[^\]]*\])?\s*(==|===)\s*[^*\s;,]+\s*(;.*)?(\s*--hash=\S+|\s*\\)*")

DANGEROUS: Final = (
    (Severity.HIGH, "code.execution", ("eval", "exec", "compile", "__import__", "runpy.*", "code.*", "builtins.*")),
    (Severity.HIGH, "code.process", ("os.system", "os.popen", "os.exec*", "os.spawn*", "os.posix_spawn*", "os.fork*")),
    (Severity.HIGH, "code.process", ("subprocess.*", "pty.*", "multiprocessing.*", "asyncio.create_subprocess_*")),
    (Severity.HIGH, "code.objects", ("pickle.load*", "_pickle.load*", "marshal.load*", "shelve.open", "dill.load*")),
    (
        Severity.HIGH,
        "code.objects",
        ("cloudpickle.load*", "joblib.load", "torch.load", "pandas.read_pickle"),
    ),
    (Severity.HIGH, "code.objects", ("yaml.load", "yaml.unsafe_load*", "yaml.full_load*", "jsonpickle.*")),
    (Severity.MEDIUM, "code.network", ("socket.*", "urllib.request.*", "http.client.*", "requests.*", "httpx.*")),
    (Severity.MEDIUM, "code.network", ("aiohttp.*", "ftplib.*", "smtplib.*", "paramiko.*", "websockets.*")),
    (Severity.MEDIUM, "code.native", ("ctypes.*", "cffi.*", "importlib.import_module", "importlib.reload")),
)
"""Calls that a reviewer must look at, by what they reach for. What is reached otherwise is not seen."""


class CodeReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was read in a folder of code."""

    files: int
    python_files: int
    unread: tuple[str, ...]
    licences: tuple[str, ...]
    requirements: int
    unpinned: int
    secrets: int
    dangerous: int
    binaries: int
    findings: tuple[Finding, ...]


def main(args: Sequence[str]) -> int:
    """Read the folder and write the report; return the exit code."""
    folder, out = Path(args[0]), Path(args[1])
    (out / RESULT).write_bytes(msgspec.json.encode(read_code(folder)))
    return 0


def read_code(folder: Path) -> CodeReport:
    """Return what is in a folder of code."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    named = [(path, path.relative_to(folder).as_posix()) for path in files]
    calls, unread, noted = list[Finding](), list[str](), list[tuple[str, str]]()
    for path, name in named:
        if path.suffix in {".py", ".pyw", ".pyi"}:
            calls += _read(path, name, unread)
        elif path.suffix == ".ipynb":
            calls += _notebook(path, name, unread, noted)
    binaries = [name for path, name in named if path.suffix.lower() in BINARIES]
    needs = [*noted, *(need for path, name in named for need in _requirements(path, name))]
    loose = [need for need in needs if not _PINNED.fullmatch(need[1])]
    leaks = scan([folder]).leaks
    findings = (
        *calls,
        *(_found(name, Severity.MEDIUM, "code.binary", "it cannot be read as source") for name in binaries),
        *(_found(name, Severity.MEDIUM, "code.unpinned", f"not pinned: {need[:100]}") for name, need in loose),
        *(
            _found(_inside(leak.place, folder), leak.severity, "code.secret", f"{leak.says}: {leak.masked}")
            for leak in leaks
        ),
        *(_found(each.partition(":")[0], Severity.MEDIUM, "code.unread", each) for each in unread),
    )
    return CodeReport(
        files=len(files),
        python_files=sum(path.suffix == ".py" for path in files),
        unread=tuple(unread[:MAX_KEPT]),
        licences=tuple(
            name for _, name in named if any(fnmatchcase(Path(name).name.lower(), each) for each in LICENCES)
        ),
        requirements=len(needs),
        unpinned=len(loose),
        secrets=len(leaks),
        dangerous=len(calls),
        binaries=len(binaries),
        findings=findings[:MAX_KEPT],
    )


def _inside(place: str, folder: Path) -> str:
    return place.removeprefix(f"{folder}/")


def _found(place: str, severity: Severity, rule: str, message: str) -> Finding:
    return Finding(place=place, severity=severity, rule=rule, message=message)


def _read(path: Path, name: str, unread: list[str]) -> list[Finding]:
    try:
        if path.stat().st_size > MAX_SOURCE:
            raise ValueError(f"over {MAX_SOURCE} bytes")  # noqa: TRY301 - one place says why it was not read
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
        return list(_calls(tree, name))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        unread.append(f"{name}: {type(error).__name__}")
        return []


def _notebook(path: Path, name: str, unread: list[str], needs: list[tuple[str, str]]) -> Iterator[Finding]:
    """Yield what the cells of a notebook call, what IPython would do beside them, and note what they install."""
    try:
        if path.stat().st_size > MAX_SOURCE:
            raise NotNotebookError(f"over {MAX_SOURCE} bytes")  # noqa: TRY301 - one place says why it was not read
        module = module_of(path.read_bytes())
    except NotNotebookError as error:
        unread.append(f"{name}: {error}, of which secrets alone were looked for")
        return
    needs += [(name, need) for need in module.needs]
    unread += [f"{name}: cell {number} is no Python" for number in module.broken]
    for magic in module.magics:
        if magic.sort == "unread":
            unread.append(f"{name}: cell {magic.cell}, {magic.words}")
        else:
            yield _found(f"{name}:cell {magic.cell}", Severity.HIGH, f"code.{magic.sort}", f"it has {magic.words}")
    for found in _calls(ast.parse(module.text), name):
        line = int(found.place.rpartition(":")[2])
        yield msgspec.structs.replace(found, place=f"{name}:cell {module.cells[line - 1]}")


def _calls(tree: ast.Module, name: str) -> Iterator[Finding]:
    """Yield dangerous calls, also through imports under other names."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                first = each.name.partition(".")[0]  # `import a.b` binds a
                known[each.asname or first] = each.name if each.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            known |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = _dotted(node.func, known)
            unsafe = any(each.arg == "allow_pickle" for each in node.keywords)
            if unsafe and called.endswith(".load"):
                yield _found(f"{name}:{node.lineno}", Severity.HIGH, "code.objects", f"{called}(allow_pickle=…)")
            for severity, rule, patterns in DANGEROUS:
                if called and any(fnmatchcase(called, pattern) for pattern in patterns):
                    yield _found(f"{name}:{node.lineno}", severity, rule, f"it calls {called}")
                    break


def _dotted(node: ast.expr, known: dict[str, str]) -> str:
    parts = list[str]()
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([known.get(node.id, node.id), *reversed(parts)])


def _requirements(path: Path, name: str) -> Iterator[tuple[str, str]]:
    """Yield what a file of requirements asks for, or the dependencies of a pyproject."""
    if fnmatchcase(path.name, "requirements*.txt") and path.stat().st_size <= MAX_SOURCE:
        text = path.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ")
        for line in text.splitlines():
            need = line.partition(" #")[0].strip()
            if need and not need.startswith(("#", "-r", "-c", "--hash", "-i", "--index")):
                yield name, need
    elif path.name == "pyproject.toml" and path.stat().st_size <= MAX_SOURCE:
        import tomllib

        try:
            project = tomllib.loads(path.read_text(encoding="utf-8", errors="replace")).get("project", {})
        except (tomllib.TOMLDecodeError, RecursionError):
            project = {}
        needs = project.get("dependencies", []) if isinstance(project, dict) else []
        yield from ((name, need) for need in needs if isinstance(need, str))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
