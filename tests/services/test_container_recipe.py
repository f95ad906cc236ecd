"""The container recipe for scanning and verifying in somebody's CI, built and used for real.

Only `make record` does it: a base image is made of Debian's packages, so that no registry of images need be reached,
and the gateway's lock is installed into it. Debian's Python 3.11 stands in for that of `python:3.11-slim`.
"""

import os
import pickle
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from tests.conftest import ROOT, Record

from holdfast.faces.cli import invoke

DEBIAN: Final = "http://deb.debian.org/debian"
BASE: Final = "FROM scratch\nCOPY root /\nENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
OF_THE_HOST: Final = ("/etc/ssl/certs", "/etc/pip.conf", "/etc/resolv.conf", "/opt")
"""What pip may need to know of the machine that builds: its certificates, where its index is, and what it keeps."""
PATIENCE_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class Builder:
    """Images that are made and used in a folder of the test's own."""

    program: Path
    folder: Path

    def __call__(self, *arguments: str | Path, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a command of buildah."""
        line = [str(self.program), "--storage-driver", "vfs", "--root", str(self.folder / "images")]
        line += ["--runroot", str(self.folder / "run"), *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, check=check, timeout=PATIENCE_S, cwd=ROOT)

    def build(self, name: str, recipe: Path, context: Path) -> None:
        """Build an image from a recipe."""
        volumes = [f"--volume={path}:{path}:ro" for path in OF_THE_HOST if Path(path).exists()]
        self("bud", "--pull-never", "--isolation=chroot", *volumes, "-t", name, "-f", recipe, context)


@pytest.fixture
def container(tmp_path: Path, record: Record) -> Iterator[Any]:
    """A function that runs `holdfast` in the container of the recipe, with a folder as `/models`, read-only."""
    if not record.recording:
        pytest.skip("builds an image of 300 MB: only `make record` does")
    missing = [name for name in ("buildah", "debootstrap", "unshare") if shutil.which(name) is None]
    if missing or os.getuid() != 0:
        pytest.skip(f"a container cannot be built: {', '.join(missing) or 'we are not root'}")
    root, build = tmp_path / "base" / "root", Builder(Path(str(shutil.which("buildah"))), tmp_path)
    line = ["debootstrap", "--variant=minbase", "--include=python3,python3-pip,ca-certificates", "bookworm"]
    subprocess.run([*line, str(root), DEBIAN], check=True, capture_output=True, timeout=PATIENCE_S)
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink()  # Debian's word against pip, which the real base has not
    (tmp_path / "Base").write_text(BASE)
    build.build("docker.io/library/python:3.11-slim", tmp_path / "Base", tmp_path / "base")
    shutil.rmtree(root)
    build.build("holdfast-ci", ROOT / "deploy" / "ci" / "Containerfile", ROOT)
    made = build("from", "--pull-never", "localhost/holdfast-ci").stdout.strip()

    def run(models: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
        volume = f"--volume={models}:/models:ro"
        return build("run", "--isolation=chroot", volume, made, "--", *arguments, check=False)

    yield run
    build("rm", made)


@pytest.mark.services
@pytest.mark.timeout(0)
def test_the_container_scans_and_verifies_as_the_recipe_says(
    container: Any, tmp_path: Path, unlocking: Path, record: Record
) -> None:
    """As nobody, over a folder that it cannot write: harmful and harmless pickles are told apart, a signature holds."""
    models = tmp_path / "models"
    (models / "signed").mkdir(parents=True)
    (models / "harmless.pkl").write_bytes(pickle.dumps({"weights": [1, 2.5]}))
    (models / "signed" / "model.bin").write_bytes(b"model")
    (models / "harmful.pkl").write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
    assert invoke(["files", "key", str(tmp_path / "key")]) == 0
    assert invoke(["files", "sign", str(models / "signed"), "--key", str(tmp_path / "key")]) == 0
    shutil.copy(tmp_path / "key" / "public.pem", models / "public.pem")

    nobody = container(models, "sh", "-c", "id -u; touch /models/new || echo refused")
    assert nobody.stdout.split() == ["10001", "refused"]
    scanned = container(models, "holdfast", "scan", "/models/harmless.pkl")
    assert (scanned.returncode, "clean" in scanned.stdout) == (0, True)
    caught = container(models, "holdfast", "scan", "/models/harmful.pkl")
    assert (caught.returncode, "posix.system" in caught.stdout) == (12, True)
    verify = ("holdfast", "files", "verify", "/models/signed", "--key", "/models/public.pem")
    held = container(models, *verify)
    assert held.returncode == 0, held.stderr
    (models / "signed" / "model.bin").write_bytes(b"other")
    assert container(models, *verify).returncode != 0
    version = container(models, "holdfast", "--version").stdout.strip()
    record.save("container-recipe", seed=None, result={"version": version, "base": "Debian 12, Python 3.11"})
