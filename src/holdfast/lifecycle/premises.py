"""Premises: what must be in order around a release before it is let out: signature, keys, secrets, tests, runbooks.

As with probes, the state of the installation fails until it is put right; what is said of the release stays.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.core.artifact import Artifact, Digest, Kind, parse_manifest
from holdfast.core.control import Control, Report
from holdfast.core.entitlement import MESSAGE
from holdfast.core.errors import HoldfastError, NotFound, Refused, StageFailed
from holdfast.core.evidence import exactly
from holdfast.core.passport import RECORDED
from holdfast.core.ports import Workspace
from holdfast.core.project import Project
from holdfast.core.trust import check_signature
from holdfast.engines.secrets.scan import Collector
from holdfast.engines.secrets.sources import parts
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.routing import project_of
from holdfast.lifecycle.runner import project_stream
from holdfast.lifecycle.signing import check_signed
from holdfast.release.tests import TESTS, Suite
from holdfast.release.worker import SORTS

NEEDED: Final = ("release", "registry", "ledger", "watch", "respond", "person")
"""Roles without whose keys a release can be neither let out, nor watched, nor taken back."""
MAX_SOURCE: Final = 1 << 20  # bytes of a file that is looked through; a longer one is data
MAX_FILES: Final = 5000  # of a project's folder that are looked through
MIN_RUNBOOK: Final = 200  # characters; fewer tell nobody what to do
OWN_FOLDERS: Final = frozenset({".holdfast", ".git", ".venv", "__pycache__"})
_LINK: Final = re.compile(r"\]\(([^)#\s]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Premise:
    """What is looked at: a release, and the installation and project folder around it."""

    plant: Plant
    subject: Digest

    @property
    def project(self) -> Project:
        """The project that the release was made from."""
        return project_of(self.plant, self.subject)


def _registered(premise: Premise) -> Report:
    """Look the release up in the history of its project, and verify its signature over the bytes stored now."""
    plant, subject = premise.plant, premise.subject
    made = [
        entry
        for entry in plant.ledger.stream(project_stream(premise.project))
        if entry.kind == "stage.finished" and any(item["digest"] == subject for item in entry.body["artifacts"])
    ]
    recorded = plant.last(subject, RECORDED)
    if not made or recorded is None or recorded.body["kind"] != Kind.RELEASE:
        raise StageFailed("no run of the project made this release", place=subject)
    folder = parse_manifest(plant.blobs.get(subject))
    for file in folder.files:
        plant.blobs.path(Digest(file.digest))  # hashed on the way: what is verified is what is stored
    check_signed(plant, subject, folder)
    return Report(measures=(exactly("registered", 1.0), exactly("verified", 1.0), exactly("files", len(folder.files))))


def _keys(premise: Premise) -> Report:
    """Let the key store sign with each role that is needed, verify it as others would, and look for secrets outside."""
    plant = premise.plant
    unusable = [words for role in NEEDED if (words := _unusable(plant, role))]
    if unusable:
        raise StageFailed(f"keys that cannot be used: {'; '.join(unusable)}", place="key store")
    found = list(_secrets(plant.home.root))
    if found:
        raise StageFailed(f"secrets lie in the project's folder: {', '.join(found[:5])}", place="project")
    measures = (exactly("keys_usable", len(NEEDED)), exactly("secrets_in_tree", 0.0))
    return Report(measures=measures, facts={"custody": plant.custody})


def _unusable(plant: Plant, role: str) -> str:
    """Return why a role's key cannot be used; empty where it can."""
    try:
        signer, message = plant.keys.signer(role), plant.entropy.token(32)
        key = plant.trust.key(signer.keyid)
        if key is None or key.role != role or not key.not_before <= plant.clock.now() < key.not_after:
            return f"{role}: the trust does not name this key, or not now"
        check_signature(key, message, signer.sign(message))
    except HoldfastError as error:
        if isinstance(error, Refused) and error.place == MESSAGE:
            return ""  # a signer process has the key, and has read that this says nothing
        return f"{role}: {error.message}"
    return ""


def _secrets(root: Path) -> Iterator[str]:
    """Yield where a secret lies in a project's folder, by the scan that `secrets scan` is; never what it is."""
    into, looked_at = Collector(), 0
    for folder, below, names in os.walk(root):
        below[:] = sorted(set(below) - OWN_FOLDERS)
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_SOURCE:
                continue
            looked_at += 1
            if looked_at > MAX_FILES:  # fail closed: what nobody has looked through is not clean
                yield f"more than {MAX_FILES} files, of which the rest was not looked at"
                return
            for part in parts(path):
                into.take(path.relative_to(root).as_posix(), part)
    yield from (f"{leak.path} ({leak.says})" for leak in into.leaks)
    yield from (f"{place} (not read: {why})" for place, why in into.unread)


def _runbooks(premise: Premise) -> Report:
    """Read each runbook that the project names, and follow its links to other files."""
    named = premise.project.respond.runbooks
    if not named:  # empty means no
        raise StageFailed("the project names no runbook", place="holdfast.toml: respond.runbooks")
    root, links = premise.plant.home.root.resolve(), 0
    for name in named:
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise StageFailed(f"the runbook {name!r} lies outside the project", place=name)
        text = read_given(path, limit=MAX_SOURCE, what="the runbook").decode(errors="replace")
        if len(text.strip()) < MIN_RUNBOOK:
            raise StageFailed(f"the runbook {name!r} says next to nothing", place=name)
        for link in _LINK.findall(text):
            if "://" in link or link.startswith("mailto:"):
                continue  # whether a place elsewhere answers cannot be checked here, and may differ in an incident
            links += 1
            if not (path.parent / link).resolve().is_file():
                raise StageFailed(f"the runbook {name!r} leads to {link!r}, which is not there", place=name)
    return Report(measures=(exactly("runbooks", len(named)), exactly("links_followed", float(links))))


def suite_of(premise: Premise, ws: Workspace) -> Suite:
    """Return the release with the tests that its project declares, read from the project's folder as it is now.

    Raises:
        InvalidInput: A test file is missing or cannot be read.
        NotFound: A test file lies outside the project.
    """
    plant, project = premise.plant, premise.project
    declared = {"unit": project.tests.unit, "integration": project.tests.integration}
    return Suite(
        ws=ws,
        release=Artifact(kind=Kind.RELEASE, digest=premise.subject, size=0),
        tests={sort: {Path(name).name: _inside(plant, name) for name in declared[sort]} for sort in SORTS},
        beside=_code_beside(premise),
    )


def _code_beside(premise: Premise) -> dict[str, bytes]:
    """Return the project's code that its tests import; none where the model came from outside."""
    plant, train = premise.plant, premise.project.train
    if train.outside:
        return {}
    code = parse_manifest(plant.blobs.get(_recipe_of(premise))).files
    return {Path(train.recipe.partition(":")[0]).name: plant.blobs.get(Digest(code[0].digest))}


def _recipe_of(premise: Premise) -> Digest:
    """Return the recipe that the release's model was made by, from its recorded derivation."""
    digest: str = premise.subject
    for kind in (Kind.MODEL, Kind.RECIPE):
        recorded = premise.plant.last(digest, RECORDED)
        parents = recorded.body["parents"] if recorded else ()
        digest = next((str(each["digest"]) for each in parents if each["kind"] == kind), "")
    if not digest:
        raise NotFound("the ledger knows no recipe that this was made by", place=premise.subject)
    return Digest(digest)


def _inside(plant: Plant, name: str) -> bytes:
    root = plant.home.root.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise NotFound(f"the test file {name!r} lies outside the project", place="holdfast.toml: tests")
    return read_given(path, limit=MAX_SOURCE, what="the test file")


@contextmanager
def workspace(plant: Plant, project: Project) -> Iterator[Workspace]:
    """Give a control an empty folder of its own, and the sandbox tier that the project asks for; never a weaker one."""
    scratch = plant.scratch / plant.entropy.token(8).hex()
    scratch.mkdir(mode=0o700, parents=True)
    try:
        sandbox = plant.open_sandbox(project.train.tier)
        yield Workspace(blobs=plant.blobs, sandbox=sandbox, clock=plant.clock, scratch=scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _tests(premise: Premise) -> Report:
    with workspace(premise.plant, premise.project) as ws:
        report = TESTS.measure(suite_of(premise, ws))
    if not isinstance(report, Report):
        raise StageFailed("the tests say that they do not apply", place=TESTS.name)
    return report


PREMISES: Final = (
    Control(name="registry.signature/1", measure=_registered),
    Control(name=TESTS.name, measure=_tests),
    Control(name="registry.keys/1", measure=_keys),
    Control(name="respond.runbooks/1", measure=_runbooks),
)
