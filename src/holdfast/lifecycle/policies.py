"""Policies: where the rules come from that a project names: shipped ones by name, or files of the project."""

from pathlib import Path
from typing import Final

from holdfast.core.artifact import Digest
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.policy import MAX_POLICY, Policy, parse_policy
from holdfast.lifecycle.inputs import read_given

FOLDERS: Final = (
    Path(__file__).resolve().parents[3] / "policies",  # a checkout
    Path(__file__).resolve().parents[1] / "_policies",  # an installed wheel
)


def load_policy(name: str, root: Path) -> tuple[Policy, Digest, bytes]:
    """Return a policy, its digest and its bytes: a shipped one by name, or a file of the project.

    Raises:
        NotFound: There is no such policy.
        InvalidInput: It is malformed, or lies outside the project.
    """
    shipped = {path.stem: path for path in shipped_policies()}
    place = "holdfast.toml: gates.policy"
    try:
        path = shipped.get(name) or (root / name).resolve()
        there = path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, links in a circle, a zero byte
        raise InvalidInput(f"the policy {name[:80]!r} cannot be a file", place=place) from error
    if path not in shipped.values() and not path.is_relative_to(root.resolve()):
        raise InvalidInput(f"the policy {name!r} lies outside the project", place=place)
    if not there:
        expected = ", ".join(sorted(shipped)) + " or a file of the project"
        remedy = "Name one of them under [gates]; a file must be accepted with `holdfast policy accept`."
        raise NotFound(f"there is no policy {name!r}", place=place, expected=expected, remedy=remedy)
    text = read_given(path, limit=MAX_POLICY + 1, what=f"the policy {name!r}")
    policy, digest = parse_policy(text)
    return policy, digest, text


def shipped_policies() -> tuple[Path, ...]:
    """Return the files of the policies that come with Holdfast, by whose names projects choose."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    return tuple(sorted(folder.glob("*.toml"))) if folder else ()


def accepted_at_first() -> tuple[Path, ...]:
    """Return the policies that the root of a new workspace accepts: the shipped ones, and those of the intake."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    return (*shipped_policies(), *(sorted((folder / "intake").glob("*.toml")) if folder else ()))


def intake_policy_file(sort: str) -> Path:
    """Return the file of the policy by which things of a sort from outside leave their quarantine."""
    return next(path for folder in FOLDERS if (path := folder / "intake" / f"{sort}.toml").is_file())


def scan_policy_file() -> Path:
    """Return the file that says what findings of a scan mean, unless somebody names another."""
    return next(path for folder in FOLDERS if (path := folder / "scan" / "default.toml").is_file())
