"""The shape of the code where import contracts (pyproject.toml) cannot see it: what modules do with what they import.

Each rule names things, and the doors behind which they may be done; the rest of `src/holdfast` is searched for them. A
door that does not exist yet breaks nothing, and a package that appears is searched from its first line.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Final

import pytest

SOURCE: Final = Path(__file__).parents[2] / "src" / "holdfast"
PURE: Final = ("core/*", "maths/*")


def packages(*names: str) -> tuple[str, ...]:
    """Patterns for packages and everything in them."""
    return tuple(pattern for name in names for pattern in (name, f"{name}.*"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What may be done behind its doors only.

    Attributes:
        why: The reason, printed with each offence.
        names: Patterns of dotted names. What no import explains starts with `?`, so `*.private_bytes` means a method of
            whatever object, and a bare name is a builtin.
        keywords: Arguments that nobody may pass.
        doors: The modules, as path patterns under `src/holdfast`, that may.
        rooms: The modules that the rule is about; all where empty.
    """

    name: str
    why: str
    names: tuple[str, ...]
    keywords: tuple[str, ...] = ()
    doors: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ("*",)

    def holds_in(self, module: str) -> bool:
        """Whether the rule binds the module at this path."""
        return _any(self.rooms, module) and not _any(self.doors, module)


RULES: Final = (
    Rule(
        name="environment",
        why="settings are read once and in one place, so that a run can be repeated from what it recorded",
        names=("os.environ", "os.environ.*", "os.environb", "os.getenv*", "os.putenv", "os.unsetenv", "posix.environ"),
        doors=("config.py", "adapters/side_effects.py"),  # the second looks only whether something changed it
    ),
    Rule(
        name="private keys",
        why="whoever can make or load a private key can sign",
        names=(
            "*.private_bytes",
            "*.private_bytes_raw",
            "*.load_*_private_key",
            "*.generate_private_key",
            "*.derive_private_key",
            "*.from_private_bytes",
            "*PrivateKey",
            "*PrivateKey.generate",
        ),
        doors=("adapters/keys*", "testing/memory.py"),
    ),
    Rule(
        name="child processes",
        why="what can start a process can leave the sandbox",
        names=(
            *packages("subprocess", "multiprocessing", "pty", "asyncio.subprocess"),
            "asyncio.create_subprocess_*",
            "concurrent.futures.ProcessPoolExecutor",
            "os.exec*",
            "os.fork*",
            "os.popen",
            "os.posix_spawn*",
            "os.spawn*",
            "os.system",
        ),
        doors=("adapters/sandbox*", "adapters/supervisor*", "adapters/git_history.py"),  # docs/adr/0235
    ),
    Rule(
        name="foreign objects",
        why="reading a file must not be able to run it",
        names=(
            *packages("pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"),
            "torch.load",
            "torch.save",
            "pandas.read_pickle",
        ),
        keywords=("allow_pickle",),
        doors=("release/foreign/worker.py",),  # runs inside the sandbox only; docs/adr/0225
    ),
    Rule(
        name="code from text",
        why="text that is executed is a program nobody has reviewed",
        names=("eval", "exec", "compile", "builtins.*"),
    ),
    Rule(
        name="databases",
        why="what is stored here must be storable elsewhere, so SQL is an adapter",
        names=packages("sqlalchemy", "alembic", "sqlite3", "psycopg"),
        doors=("adapters/*",),
    ),
    Rule(
        name="sockets",
        why="all that is remote is an adapter, the gateway's listener or a client of it",
        names=("socket.*", *packages("http.client", "urllib.request", "httpx", "requests", "aiohttp")),
        doors=("adapters/*", "edge/*", "up.py", "client/*", "control_plane.py", "faces/*"),
    ),
    Rule(
        name="the clock",
        why="what decides takes `now`: only then can it be tested and repeated",
        names=("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.*.today", "time.time*"),
        rooms=(*PURE, "engines/*", "plan/*", "registry/*", "rollout/*", "respond/*"),
    ),
    Rule(
        name="unseeded randomness",
        why="randomness comes in as a generator, so that the same seed gives the same evidence",
        names=(
            "random.[a-z]*",
            *(f"numpy.random.{name}" for name in ("seed", "rand*", "choice", "shuffle", "permutation", "normal")),
            *packages("secrets"),
            "os.urandom",
            "uuid.uuid[14]",
        ),
        rooms=(*PURE, "engines/*", "features/*", "train/*", "assess/*", "rollout/*"),
    ),
    Rule(
        name="training code in what answers requests",
        why="the gateway holds nothing that trains, stores or starts a process",
        names=packages("torch", "sklearn", "skl2onnx", "polars", "duckdb", "pandas", "onnx", "sandlock"),
        rooms=("serve/*", "edge/*", "client.py", "adapters/runtime*"),
    ),
    Rule(
        name="engines in the core",
        why="nouns and numerics are values and arithmetic, to be read without any framework",
        names=packages(
            *("torch", "polars", "onnx", "onnxruntime", "sklearn", "scipy"),
            *("uvicorn", "asyncio", "jinja2", "rich", "click", "logging"),
        ),
        rooms=PURE,
    ),
    Rule(
        name="input and output in the core",
        why="a decision is a pure function; files are read and written by who calls it",
        names=(
            "open",
            "*.read_text",
            "*.read_bytes",
            "*.write_text",
            "*.write_bytes",
            "os.open",
            "os.walk",
            "os.listdir",
            "os.scandir",
            "os.stat",
            "os.replace",
            "pathlib.Path.*",
            "*.iterdir",
            "*.rglob",
            "*.mkdir",
            "*.unlink",
            "*.is_file",
            "*.is_dir",
            *packages("tempfile", "shutil", "glob", "mmap"),
        ),
        rooms=PURE,
    ),
    Rule(
        name="printing and exiting",
        why="libraries never print or exit; faces do",
        names=("print", "input", "exit", "quit", "sys.exit", "sys.stdout", "sys.stdout.*", "os._exit"),
        doors=(
            "faces/*",
            "__main__.py",
            "edge/*",
            "*/worker.py",
            "engines/scan/sweep.py",
            "adapters/sandbox*",
            "adapters/supervisor*",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Uses:
    """What a module uses: dotted names, and the keywords of its calls, each with its line."""

    names: frozenset[tuple[int, str]]
    keywords: frozenset[tuple[int, str]]


@cache
def uses(source: str) -> Uses:
    """What a module uses; each is read once for all rules."""
    tree = ast.parse(source)
    known = _imports(tree)
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return Uses(
        names=frozenset(_mentions(tree, known, _bound(tree) | known.keys())),
        keywords=frozenset((node.lineno, keyword.arg) for node in calls for keyword in node.keywords if keyword.arg),
    )


def offences(rule: Rule, source: str) -> list[tuple[int, str]]:
    """The lines of a module that do what the rule is about, with the name of what they do."""
    used = uses(source)
    found = {(line, name) for line, name in used.names if _any(rule.names, name)}
    found |= {(line, f"{keyword}=") for line, keyword in used.keywords if keyword in rule.keywords}
    return sorted(found)


def _mentions(tree: ast.Module, known: dict[str, str], bound: set[str]) -> Iterator[tuple[int, str]]:
    """Every dotted name that a module imports, uses or, as text, asks to be imported."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)
            case ast.Attribute():
                yield node.lineno, _dotted(node, known)
            case ast.Call(func=ast.Name(id=name)) if name not in bound:
                yield node.lineno, name
            case _:
                pass
        match node:
            case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]) if _dotted(function, known) in {
                "importlib.import_module",
                "?__import__",
            }:
                yield node.lineno, name
            case _:
                pass


def _imports(tree: ast.Module) -> dict[str, str]:
    """What imported names stand for: `{"np": "numpy", "Path": "pathlib.Path"}`."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    first = alias.name.partition(".")[0]
                    known[alias.asname or first] = alias.name if alias.asname else first
            case ast.ImportFrom(module=str(module), names=names, level=0):
                known |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in names}
            case _:
                pass
    return known


def _bound(tree: ast.Module) -> set[str]:
    """Names that a module gives to things of its own: a function called `compile` is not the builtin."""
    bound: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                bound.add(name)
            case _:
                pass
    return bound


def _dotted(node: ast.expr, known: dict[str, str]) -> str:
    """`np.random.seed` as `numpy.random.seed`, and `key().sign` as `?.sign`."""
    match node:
        case ast.Name(id=name):
            return known.get(name, f"?{name}")
        case ast.Attribute(value=value, attr=attribute):
            return f"{_dotted(value, known)}.{attribute}"
        case _:
            return "?"


def _any(patterns: tuple[str, ...], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def modules() -> Iterator[tuple[str, str]]:
    """The path under `src/holdfast` and the text of each module."""
    for file in sorted(SOURCE.rglob("*.py")):
        yield file.relative_to(SOURCE).as_posix(), file.read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_is_done_behind_its_door_only(rule: Rule) -> None:
    """No module outside the doors of a rule does what the rule is about."""
    found = [
        f"src/holdfast/{module}:{line}: {name}"
        for module, source in modules()
        if rule.holds_in(module)
        for line, name in offences(rule, source)
    ]
    assert not found, f"{rule.why}\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        ("environment", "import os\nhome = os.environ['HOME']"),
        ("environment", "from os import environ as e\nhome = e['HOME']"),
        ("environment", "import os\nhome = os.getenv('HOME')"),
        ("private keys", "from x import serialization as s\nkey = s.load_pem_private_key(data, None)"),
        ("private keys", "from cryptography.x import Ed25519PrivateKey"),
        ("private keys", "def leak(key): return key.private_bytes(1, 2, 3)"),
        ("child processes", "def f():\n    import subprocess\n"),
        ("child processes", "import os as o\no.fork()"),
        ("child processes", "import asyncio\nasyncio.create_subprocess_exec('ls')"),
        ("foreign objects", "import importlib\nimportlib.import_module('pickle').loads(b'')"),
        ("foreign objects", "__import__('marshal')"),
        ("foreign objects", "import numpy as np\nnp.load(f, allow_pickle=False)"),
        ("code from text", "eval('1')"),
        ("databases", "from sqlalchemy.engine import Engine"),
        ("sockets", "import urllib.request as u"),
        ("the clock", "from datetime import datetime, UTC\nnow = datetime.now(UTC)"),
        ("unseeded randomness", "import random\nrandom.shuffle(rows)"),
        ("unseeded randomness", "import numpy as np\nnp.random.shuffle(rows)"),
        ("training code in what answers requests", "import polars as pl"),
        ("engines in the core", "from onnxruntime import InferenceSession"),
        ("input and output in the core", "open('f')"),
        ("input and output in the core", "def f(path): return path.read_bytes()"),
        ("printing and exiting", "print('done')"),
    ],
)
def test_search_finds_what_each_rule_forbids(rule: str, source: str) -> None:
    """The search sees through aliases, late imports, methods of unknown objects and imports by text."""
    (searched,) = (each for each in RULES if each.name == rule)
    assert offences(searched, source)


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        ("environment", "def run(environ): return environ['HOME']"),
        ("code from text", "import re\nre.compile('a')"),
        ("code from text", "def compile(rules): ...\ncompile(())"),
        ("unseeded randomness", "import numpy as np\ndef f(random: np.random.Generator): return random.normal()"),
        ("unseeded randomness", "import numpy as np\nnp.random.default_rng(7).shuffle(rows)"),
        ("the clock", "def f(self): return self.clock.now()"),
        ("foreign objects", "import pickletools"),
    ],
)
def test_search_leaves_harmless_names_alone(rule: str, source: str) -> None:
    """A parameter, a method or a function of our own is not what the rule means."""
    (searched,) = (each for each in RULES if each.name == rule)
    assert not offences(searched, source)


AUDITED_IMPORT: Final = """
import importlib, pkgutil, sys
import cryptography.hazmat.primitives.asymmetric.ec, hashlib, msgspec, numpy, rfc8785  # their start-up is not ours

events = []

def audit(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].endswith((".py", ".pyc", ".so")):
        return
    if event == "open" or event.startswith(("socket.", "subprocess.", "os.exec", "os.fork", "os.system", "sqlite3.")):
        events.append(f"{event} {arguments!r}")

names = []
for package in ("holdfast.core", "holdfast.maths"):
    path = importlib.import_module(package).__path__
    names += [package, *(found.name for found in pkgutil.walk_packages(path, f"{package}."))]
for name in [name for name in sys.modules if name.startswith("holdfast")]:
    del sys.modules[name]
sys.addaudithook(audit)
for name in names:
    importlib.import_module(name)
print(len(names), *events, sep="\\n")
"""


def test_importing_core_and_maths_opens_nothing() -> None:
    """An audit hook sees no file, socket, database or process while the pure packages are imported."""
    done = subprocess.run([sys.executable, "-c", AUDITED_IMPORT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, *events = done.stdout.splitlines()
    assert int(count) >= len(list((SOURCE / "core").glob("*.py")))
    assert not events
