"""The project as a thing that strangers clone: licence, locks, verbs, continuous integration, the built package."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import holdfast
from requirement_marks import GROUP, read_table

ROOT: Final = Path(__file__).parents[2]
PYPROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
APACHE_2: Final = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"

LOCKS: Final = {
    "demo": (("demo",), ("build",)),
    "dev": (("demo", "server"), ("build", "test", "check")),
    "gateway": (("gateway",), ()),
    "lock": ((), ("lock",)),
    "peers": ((), ("peers",)),
    "peers-data": ((), ("peers-data",)),
    "peers-inference": ((), ("peers-inference",)),
    "peers-kserve": ((), ("peers-kserve",)),
    "peers-mlflow": ((), ("peers-mlflow",)),
    "peers-serving": ((), ("peers-serving",)),
    "presidio": (("presidio",), ()),
}
"""For each lock: the extras and the dependency groups it is made from."""

PIN: Final = re.compile(
    r"^(?P<name>[a-z0-9]+(?:[-_.][a-z0-9]+)*)(?:\[[a-z0-9, -]+\])?==(?P<version>[0-9][0-9a-z.+!]*)"
    r"(?: ; (?P<marker>[^#]+?))? \\$"
)
HASH: Final = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def pins(lock: str) -> dict[str, Version]:
    """The version of each package in a lock; fails on any line that is not a pin with hashes."""
    found: dict[str, Version] = {}
    hashed = True
    for line in (ROOT / "locks" / f"{lock}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        if pin := PIN.match(line):
            assert hashed, f"{lock}: the package before {line!r} has no hash"
            found[canonicalize_name(pin["name"])] = Version(pin["version"])
            hashed = False
        else:
            assert HASH.match(line), f"{lock}: neither a pin nor a hash: {line!r}"
            hashed = True
    assert hashed
    return found


def asked_for(lock: str) -> list[Requirement]:
    """What pyproject.toml asks for directly, for the extras and groups of a lock."""
    extras, groups = LOCKS[lock]
    project = PYPROJECT["project"]
    texts: list[str] = list(project["dependencies"]) if extras else []
    waiting = list(extras)
    while waiting:
        for text in project["optional-dependencies"][waiting.pop()]:
            requirement = Requirement(text)
            if requirement.name == project["name"]:
                waiting += requirement.extras
            else:
                texts.append(text)
    texts += [text for group in groups for text in PYPROJECT["dependency-groups"][group]]
    return [Requirement(text) for text in texts]


def test_licence_is_the_whole_of_apache_2() -> None:
    """The licence file is the published text, byte for byte, and the package says so."""
    assert sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2
    assert PYPROJECT["project"]["license"] == "Apache-2.0"


def test_package_and_project_name_one_version() -> None:
    """The version that evidence records is the one that was released."""
    assert holdfast.__version__ == PYPROJECT["project"]["version"]


def test_no_lock_is_unknown() -> None:
    """Each file under locks/ is one that these tests check."""
    assert {file.stem for file in (ROOT / "locks").iterdir()} == {*LOCKS, "sigstore"}


def test_the_lock_of_sigstores_verifier_pins_each_package_with_a_hash_and_names_no_registry() -> None:
    """What `npm ci` gets for a test is what was looked at."""
    lock = (ROOT / "locks" / "sigstore" / "package-lock.json").read_text(encoding="utf-8")
    packages = {name: each for name, each in json.loads(lock)["packages"].items() if name}
    assert {"node_modules/@sigstore/verify", "node_modules/@sigstore/bundle"} <= packages.keys()
    assert all(each["version"] and each["integrity"].startswith("sha512-") for each in packages.values())
    assert "://" not in lock


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_each_package_with_hashes_and_names_no_index(lock: str) -> None:
    """A lock holds pins and hashes and nothing else: no index, no link, no path of the machine that wrote it."""
    assert pins(lock)
    assert "://" not in (ROOT / "locks" / f"{lock}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_what_pyproject_asks_for(lock: str) -> None:
    """Whoever changes pyproject.toml has to run `make lock`."""
    locked = pins(lock)
    missing = [
        str(requirement)
        for requirement in asked_for(lock)
        if not requirement.specifier.contains(locked.get(canonicalize_name(requirement.name), "0"), prereleases=True)
    ]
    assert not missing


@pytest.mark.parametrize(("narrow", "wide"), [("demo", "dev"), ("gateway", "demo")])
def test_wide_lock_holds_the_narrow_one(narrow: str, wide: str) -> None:
    """`make demo` and `make test` share an environment, so the versions that both hold must be the same."""
    assert pins(narrow).items() <= pins(wide).items()


def test_what_tests_put_behind_our_packages_agrees_with_them() -> None:
    """Presidio lies in an environment of its own, and runs on our versions of what both hold."""
    beside, ours = pins("presidio"), pins("dev")
    assert {name: beside[name] for name in beside.keys() & ours.keys()} == {
        name: ours[name] for name in beside.keys() & ours.keys()
    }
    assert not {"spacy", "torch", "nvidia-cublas"} & ours.keys()
    assert not {name for name in beside if name in {"torch", "cupy"} or name.startswith("nvidia-")}


@pytest.mark.parametrize(("lock", "most"), [("gateway", 25), ("demo", 75)])
def test_number_of_packages_stays_within_its_budget(lock: str, most: int) -> None:
    """Holdfast itself counts as one."""
    assert len(pins(lock)) + 1 <= most


def test_peers_are_in_no_environment_of_ours() -> None:
    """What checks us from outside must not be what we run."""
    assert "model-signing" in pins("peers")
    assert not any("model-signing" in pins(lock) for lock in LOCKS if lock != "peers")


def test_continuous_integration_knows_one_variable_and_three_verbs() -> None:
    """`.ci/run` runs what people run; that absent services are errors is all it adds."""
    script = ROOT / ".ci" / "run"
    lines = [line for line in script.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert os.access(script, os.X_OK)
    assert [line for line in lines if line.startswith("export")] == ["export HOLDFAST_REQUIRE_SERVICES=1"]
    assert [line for line in lines if line.startswith("make")] == ["make services", "make check", "make test"]
    assert lines[0] == "set -euo pipefail"
    assert lines[-1] == "make test"


def test_make_alone_prints_its_verbs() -> None:
    """A stranger types `make` and reads what there is."""
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    verbs = re.findall(r"^  make ([a-z-]+) ", done.stdout, flags=re.MULTILINE)
    assert verbs[:3] == ["help", "demo", "test"]
    assert {"check", "services", "bench", "record", "docs", "requirements", "requirements-mutate", "lock"} <= set(verbs)


def test_requirements_table_counts_its_own_rows() -> None:
    """The heading of each group says how many rows follow, and 413 rows stand in 19 groups."""
    path = ROOT / "docs" / "requirements.md"
    groups = read_table(path)
    headings = [line for line in path.read_text(encoding="utf-8").splitlines() if GROUP.match(line)]
    said = [int(heading.rpartition("(")[2].rstrip(")")) for heading in headings]
    assert [len(group.rows) for group in groups] == said
    assert len({row for group in groups for row in group.rows}) == 413
    assert len(groups) == 19


def test_wheel_carries_code_types_and_policies_and_nothing_else(tmp_path: Path) -> None:
    """An installed gateway finds the shipped policies inside the package, and no test, key or build script."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    code = [file.relative_to(ROOT / "src").as_posix() for file in (ROOT / "src").rglob("*") if file.is_file()]
    assert {name for name in code if "__pycache__" not in name} <= names
    assert "holdfast/py.typed" in names
    policies = {
        f"holdfast/_policies/{file.relative_to(ROOT / 'policies')}" for file in (ROOT / "policies").rglob("*.toml")
    }
    assert policies
    assert policies <= names
    assert {"holdfast/_evidence/verify.py", "holdfast/_evidence/README.md"} <= names
    assert {name.partition("/")[0] for name in names} == {"holdfast", f"{wheel.name.partition('-py3')[0]}.dist-info"}
