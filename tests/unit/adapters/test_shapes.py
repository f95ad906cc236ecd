"""Structs described before threads decode them: without it, a process dies of decoding one for the first time twice."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

STRUCTS: Final = "".join(
    f"class C{k}(msgspec.Struct):\n    a: int\n    b: tuple[str, ...] = ()\n    c: 'C{k - 1} | None' = None\n"
    for k in range(1, 30)
)
RACE: Final = """
import importlib, sys, threading
from holdfast.adapters.shapes import prepare_structs

sys.setswitchinterval(1e-6)
sys.path.insert(0, sys.argv[1])
import made
if sys.argv[2] == "prepared":
    prepare_structs("made")

def decode(module, barrier):
    barrier.wait()
    import msgspec
    msgspec.convert({"a": 1, "c": {"a": 2, "b": ["x"]}}, module.C29)

for number in range(60):
    module = importlib.import_module(f"made.m{number}")
    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=decode, args=(module, barrier)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
assert made.m0.__spec__.loader.get_source("made.m0") == made.m0.__spec__.loader.get_data(made.m0.__file__).decode()
print("all decoded")
"""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A package of modules of Structs that nobody has decoded."""
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    for number in range(60):
        (folder / f"m{number}.py").write_text(f"import msgspec\nclass C0(msgspec.Struct):\n    a: int\n{STRUCTS}")
    return tmp_path


def test_threads_that_decode_a_struct_for_the_first_time_at_once_all_do(made: Path) -> None:
    """Each module is imported after the preparation, as a server imports what a command needs."""
    command = [sys.executable, "-c", RACE, str(made), "prepared"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "all decoded\n", "")


def test_a_struct_that_names_what_comes_later_is_described_then(made: Path) -> None:
    """An annotation of a module that is still being imported is no reason to stop."""
    (made / "made" / "first.py").write_text(
        "import msgspec\nclass A(msgspec.Struct):\n    b: 'B | None' = None\nimport made.second\n"
        "from made.second import B\n"
    )
    (made / "made" / "second.py").write_text("import msgspec\nclass B(msgspec.Struct):\n    c: 'int' = 0\n")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from holdfast.adapters.shapes import prepare_structs\n"
        "prepare_structs('made'); prepare_structs('made')\n"
        "import made.first, msgspec\n"
        "assert msgspec.convert({'b': {}}, made.first.A).b == made.second.B()\n"
        "assert sum(type(finder).__name__ == '_Finder' for finder in sys.meta_path) == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(made)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
