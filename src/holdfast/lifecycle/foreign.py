"""Taking in what comes from outside: stored in quarantine, then measured in the sandbox, each measurement sealed.

What was measured once is not measured again: the worst measurement would count anyway, and the bytes are the same.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast.core.artifact import Artifact, digest_json
from holdfast.core.control import Control
from holdfast.core.errors import InvalidData, SandboxUnavailable
from holdfast.core.evidence import Evidence, Outcome
from holdfast.core.ports import TIERS, Sandbox, Workspace
from holdfast.lifecycle.carrying import carry_out
from holdfast.lifecycle.inputs import ARTIFACTS_KEY, read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.quarantine import Sort, take
from holdfast.lifecycle.reply import Progress, Reply, Table, counted, short
from holdfast.lifecycle.verbs import newest_on

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ROWS_FILE: Final = 256 << 20  # bytes of reference rows
CONFIGURATION: Final = digest_json({"intake": 1})  # how it is measured has no settings yet
NEXT: Final = {
    "model": "Say where it comes from with `holdfast intake record`, then `holdfast intake admit`.",
    "data": "Say where they come from with `holdfast intake record`, then `holdfast intake admit`.",
    "code": "Say where it comes from with `holdfast intake record`, then `holdfast intake admit`.",
}


def model(plant: Plant, *, path: Path, rows: Path | None = None) -> Reply:
    """Take in a model from outside and examine it; it stays in quarantine.

    Args:
        plant: The control plane.
        path: A file, or a folder with one model in it.
        rows: Rows of the kind it is meant for, CSV of numbers or .npy: without them no trigger can be looked for.

    Raises:
        UsageError: There is nothing at this path.
        InvalidInput: It holds links, or is too large.
        InvalidData: The rows are not rows of numbers.
        SandboxUnavailable: No sandbox can be had here; nothing was opened.
    """
    from holdfast.release.foreign import MODEL_CONTROLS, Examined

    reference = read_rows(rows) if rows is not None else None

    def context(ws: Workspace, subject: Artifact) -> Any:
        return Examined(ws=ws, subject=subject, reference=reference)

    return take_and_measure(plant, path, "model", MODEL_CONTROLS, context)


def data(plant: Plant, *, path: Path, label: str, reference: Path | None = None) -> Reply:
    """Take in rows from outside and look for signs of poisoning, bias and missing origin; they stay in quarantine.

    Args:
        plant: The control plane.
        path: A CSV or Parquet file, or a folder with one of them and its papers.
        label: The column that holds the labels.
        reference: Rows that are trusted, with the same label: without them no shift can be measured.

    Raises:
        UsageError: There is nothing at this path.
        InvalidInput: It holds links, or is too large.
    """
    from holdfast.ingest.vetting import MAX_BYTES, VETTING, Vetted

    what = "the file of trusted rows"
    trusted = read_given(reference, limit=MAX_BYTES + 1, what=what) if reference is not None else None

    def context(ws: Workspace, subject: Artifact) -> Any:
        return Vetted(ws=ws, subject=subject, label=label, reference=trusted)

    return take_and_measure(plant, path, "data", (VETTING,), context)


def code(plant: Plant, *, path: Path) -> Reply:
    """Take in code from outside and read it as text, in the sandbox; it stays in quarantine.

    Raises:
        UsageError: There is nothing at this path.
        InvalidInput: It holds links, or is too large.
        SandboxUnavailable: No sandbox can be had to read it in.
    """
    from holdfast.release.foreign.code import CODE, Read

    def context(ws: Workspace, subject: Artifact) -> Any:
        return Read(ws=ws, subject=subject)

    return take_and_measure(plant, path, "code", (CODE,), context)


def take_and_measure(
    plant: Plant,
    path: Path,
    sort: Sort,
    controls: Sequence[Control[Any]],
    context: Callable[[Workspace, Artifact], Any],
) -> Reply:
    """Store something in quarantine and carry the controls of its sort out on it, those that have no result yet."""
    plant.unlock()
    subject = take(plant, path, sort)
    with workspace(plant) as ws:
        shared = context(ws, subject)
        before = newest_on(plant, subject.digest)
        done = []
        for control in controls:
            known = before.get(control.name)
            if known is None or known.outcome is not Outcome.MEASURED:
                plant.tell(Progress(stage="intake", state="started", words=control.name))
                known = carry_out(plant, control, shared, subject, configuration=CONFIGURATION)
            done.append(known)
    return _reply(subject, path.name, sort, done)


@contextmanager
def workspace(plant: Plant) -> Iterator[Workspace]:
    """Give an examination an empty folder and the strongest sandbox that this machine has; which one is evidence.

    Raises:
        SandboxUnavailable: There is none.
    """
    sandbox = _strongest(plant)
    plant.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = plant.scratch / plant.entropy.token(8).hex()
    scratch.mkdir(mode=0o700)
    try:
        yield Workspace(blobs=plant.sealed(ARTIFACTS_KEY), sandbox=sandbox, clock=plant.clock, scratch=scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _strongest(plant: Plant) -> Sandbox:
    for tier in reversed(TIERS[1:]):
        try:
            return plant.open_sandbox(tier)
        except SandboxUnavailable:
            continue
    return plant.open_sandbox(TIERS[0])


def read_rows(path: Path) -> "NDArray[np.float32]":
    """Return rows of numbers that a person brought, from CSV (a head of names is skipped) or .npy.

    Raises:
        InvalidData: They are no table of numbers.
        InvalidInput: The file cannot be read.
    """
    import io

    import numpy as np

    data = read_given(path, limit=MAX_ROWS_FILE + 1, what="the file of rows")
    expected = f"a table of numbers of at most {MAX_ROWS_FILE} bytes, CSV or .npy"
    if len(data) > MAX_ROWS_FILE:
        raise InvalidData("the file of rows is too long", place=str(path), expected=expected)
    try:
        if data.startswith(b"\x93NUMPY"):
            found = np.load(io.BytesIO(data))
        else:
            head = any(char.isalpha() for char in data.partition(b"\n")[0].decode(errors="replace").replace("nan", ""))
            found = np.loadtxt(io.BytesIO(data), delimiter=",", skiprows=int(head), ndmin=2)
        rows = np.asarray(found, dtype=np.float32)
    except (ValueError, TypeError, MemoryError) as error:
        raise InvalidData(f"the rows cannot be read: {str(error)[:200]}", place=str(path), expected=expected) from error
    if rows.ndim != 2 or not rows.size:  # noqa: PLR2004 - rows and columns
        raise InvalidData(f"the rows have the shape {rows.shape}", place=str(path), expected=expected)
    return rows


def _reply(subject: Artifact, name: str, sort: Sort, done: Sequence[Evidence]) -> Reply:
    findings = [
        (str(finding.severity), finding.rule, finding.place, finding.message)
        for item in done
        for finding in item.findings
    ]
    rows = [(item.control, str(item.outcome), item.reason or ", ".join(map(str, item.measures[:6]))) for item in done]
    tables = [Table(title="Examined", columns=("control", "outcome", "measures"), rows=rows)]
    if findings:
        tables.append(Table(title="Findings", columns=("severity", "rule", "where", "what"), rows=findings[:200]))
    document = {
        "subject": subject.digest,
        "sort": sort,
        "name": name,
        "state": "quarantined",
        "evidence": [
            {
                "control": item.control,
                "outcome": str(item.outcome),
                "reason": item.reason,
                "measures": {measure.name: measure.value for measure in item.measures},
                "facts": dict(item.facts),
            }
            for item in done
        ],
        "findings": [dict(zip(("severity", "rule", "place", "message"), row, strict=True)) for row in findings],
    }
    lost = [item.control for item in done if item.outcome is Outcome.FAILED]
    unmeasured = f"; not measured: {', '.join(lost)}" if lost else ""
    found = counted(len(findings), "finding")
    says = f"{name} lies in quarantine as {short(subject.digest)}, with {found}{unmeasured}. {NEXT[sort]}"
    return Reply(says=says, document=document, tables=tables)
