"""What the controls on a foreign model share: its files, one look at it in the sandbox, one conversion."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.artifact import Artifact, Digest, Manifest, parse_manifest
from holdfast.core.errors import InvalidData, StageFailed
from holdfast.core.ports import MIB, JobEnd, JobResult, Workspace
from holdfast.engines.jobs import MAX_DOCUMENT, MAX_MODEL, Left, collect, demand_finished, last_words, make_room
from holdfast.engines.scan.files import Entry
from holdfast.engines.scan.sweep import FileReport
from holdfast.release.foreign.opened import CLASSIFICATION, MAX_CLASSES, VALUES, WEIGHTS
from holdfast.release.foreign.watching import END, MARK
from holdfast.release.foreign.worker import ANSWERS, CONVERTED, EDGES, EXIT_CANNOT, EXIT_MISSING, FACTS

SWEEPER: Final = "holdfast.engines.scan.sweep"
WORKER: Final = "holdfast.release.foreign.worker"
MAX_FEATURES: Final = 10_000
MAX_REPORTS: Final = 64 * MIB  # of a sweep's report
PROBES: Final = 240  # generated rows for the comparison, a quarter of them with values missing
SCALES: Final = (1.0, 10.0, 1000.0)
SEED: Final = 20_260_729  # of the generated rows: the same for everybody, so that anybody can repeat it
MAX_EDGES: Final = 200  # rows at the thresholds of a model's own trees
FORMS: Final = {
    "ONNX": "onnx",
    "safetensors": "weights",
    "XGBoost JSON": "xgboost",
    "XGBoost UBJSON": "xgboost",
    "LightGBM": "lightgbm",
}
"""How a file is read whose content is of one of these formats."""
PACKED: Final = frozenset({"zlib", "gzip", "bzip2", "xz", "lzma", "lz4", "numpy array", "npy"})


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a loaded model says of itself: a claim, bounded here, and checked by what it answers."""

    type: str
    features: int
    classes: tuple[str, ...]
    predicts: bool
    task: str = CLASSIFICATION  # or values (a regressor, scores of a network), or weights, which answer nothing
    width: int = 0  # how many numbers it gives for a row
    library: bool = True  # whether its own library answers for it; else what was read of it does

    @property
    def answers(self) -> int:
        """How many numbers a row is answered with."""
        return self.width or len(self.classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that was done while the model was loaded."""

    kind: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One load in the sandbox: how it ended, what it did, and what the model says it is."""

    job: JobResult
    events: tuple[Event, ...]
    whole: bool  # whether the trail came to its end and no line of it is missing
    facts: Facts | None
    words: str  # why there are no facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A model in a format that holds no code, and what both answered to the same rows."""

    document: bytes
    kept: bool  # it was in such a format already, and its bytes are the same
    rows: NDArray[np.float32]
    answers: NDArray[np.float64]  # of the original; NaN where it refused a row
    edges: int = 0  # how many of the rows, the last ones, lie at thresholds of the model's own trees


@dataclass(slots=True, kw_only=True)
class Examined:
    """A foreign model under examination; each step is done once, whoever asks first."""

    ws: Workspace
    subject: Artifact
    reference: NDArray[np.float32] | None = None  # rows of the kind the model is meant for, brought by a person
    _reports: tuple[FileReport, ...] = ()
    _look: Look | None = None
    _converted: Converted | None = None
    made: dict[str, Digest] = field(default_factory=dict)

    @property
    def manifest(self) -> Manifest:
        """The files as they came."""
        return parse_manifest(self.ws.blobs.get(self.subject.digest))

    @property
    def reports(self) -> tuple[FileReport, ...]:
        """What the scan found in each file.

        Raises:
            StageFailed: The scanner did not come to its end, or read other bytes than are stored.
        """
        self._reports = self._reports or _sweep(self.ws, self.manifest)
        return self._reports

    @property
    def model(self) -> tuple[str, Path]:
        """The one file that is a model, and the format it is read as, as `form_of` names it.

        Raises:
            StageFailed: There is none, or more than one.
        """
        found = [(form, report) for report in self.reports if (form := form_of(report.formats))]
        if len(found) != 1:
            words = ", ".join(sorted({name for report in self.reports for name in report.formats})) or "nothing known"
            raise StageFailed(
                f"{len(found)} files are models that can be read here; a conversion of {words} is unavailable",
                place=self.subject.digest,
                expected="one file: a pickle (also of joblib), ONNX, safetensors, XGBoost, LightGBM or torch",
            )
        form, report = found[0]
        return form, self.ws.blobs.path(Digest(report.digest))

    @property
    def look(self) -> Look:
        """One load of the model in the sandbox, under an audit hook."""
        if self._look is None:
            form, path = self.model
            self._look = _look(self.ws, form, path)
        return self._look

    @property
    def converted(self) -> Converted:
        """The model in a format that holds no code.

        Raises:
            StageFailed: It cannot be converted, with the reason.
        """
        self._converted = self._converted or _convert(self)
        return self._converted


def form_of(formats: tuple[str, ...]) -> str:
    """Return how a file of these formats is loaded; empty where it is nothing that is loaded here.

    >>> form_of(("zlib", "pickle")), form_of(("ONNX",)), form_of(("zip", "torch", "pickle", "TorchScript"))
    ('pickle', 'onnx', 'torchscript')
    """
    first = formats[0] if formats else ""
    if first in FORMS:
        return FORMS[first]
    if "torch" in formats[:2] and first in {"zip", "torch"}:
        return "torchscript" if "TorchScript" in formats else "torch"
    beside = {"pickle", "text", "torch"}  # a pickled module holds tensors as torch writes them
    return "pickle" if "pickle" in formats and first != "torch" and not set(formats) - PACKED - beside else ""


def _sweep(ws: Workspace, manifest: Manifest) -> tuple[FileReport, ...]:
    place = Path(tempfile.mkdtemp(prefix="sweep-", dir=ws.scratch))
    listed, out = place / "files.json", place / "out"
    out.mkdir()
    paths = tuple(ws.blobs.path(Digest(file.digest)) for file in manifest.files)
    entries = [Entry(path=file.path, at=str(path)) for file, path in zip(manifest.files, paths, strict=True)]
    listed.write_bytes(msgspec.json.encode(entries))
    written = out / "reports.jsonl"
    job = ws.sandbox.python(
        SWEEPER, (str(listed), str(written)), readable=tuple(dict.fromkeys((listed, *paths))), writable=out
    )
    if job.end is not JobEnd.FINISHED or job.exit_code != 0:
        raise StageFailed(f"the scanner ended as {job.end}: {last_words(job)}", place=SWEEPER)
    data = _taken(out, written.name, MAX_REPORTS)
    try:
        reports = tuple(msgspec.json.decode(line, type=FileReport) for line in data.splitlines())
    except msgspec.MsgspecError as error:
        raise StageFailed(f"the scanner's report cannot be read: {error}", place=SWEEPER) from error
    seen = [(each.path, each.digest, each.size) for each in reports]
    if seen != [(file.path, file.digest, file.size) for file in manifest.files]:
        raise StageFailed("the scanner read other bytes than are stored", place=manifest.digest)
    return reports


def _taken(folder: Path, name: str, limit: int) -> bytes:
    from holdfast.engines.jobs import Room

    return collect(Room(given=folder, left=folder), {name: limit}).files.get(name, b"")


def _look(ws: Workspace, form: str, path: Path) -> Look:
    if form == "weights":
        raise StageFailed("bare weights are not loaded: they hold numbers and names only", place="safetensors")
    room = make_room(Path(tempfile.mkdtemp(prefix="look-", dir=ws.scratch)), "look")
    job = ws.sandbox.python(WORKER, ("look", form, str(path), str(room.left)), readable=(path,), writable=room.left)
    left = collect(room, {FACTS: MAX_DOCUMENT})
    events, whole = trail(job.stdout)
    facts, words = _facts(left, job)
    return Look(job=job, events=events, whole=whole, facts=facts, words=words)


def trail(stdout: bytes) -> tuple[tuple[Event, ...], bool]:
    """Return what a job's hook reported, and whether the trail is whole: it ended, and no line is missing."""
    events, ends = [], list[str]()
    for line in stdout.decode(errors="replace").split("\n"):
        if not line.startswith(MARK):
            continue
        try:
            found = json.loads(line.removeprefix(MARK))
            kind, what = str(found["kind"]), str(found["what"])
        except (ValueError, KeyError, TypeError):
            kind, what = "unreadable", ""
        if kind == END:
            ends.append(what)
        else:
            events.append(Event(kind=kind, what=what))
    return tuple(events), ends == [str(len(events))]


def _facts(left: Left, job: JobResult) -> tuple[Facts | None, str]:
    if job.exit_code == EXIT_MISSING:
        return None, (
            f"{last_words(job)} is not installed in the environment that Holdfast runs in, so this format cannot be "
            "read: unavailable"
        )
    if job.end is not JobEnd.FINISHED or FACTS not in left.files:
        return None, f"loading it ended as {job.end}: {last_words(job) or 'without a word'}"
    try:
        facts = msgspec.json.decode(left.files[FACTS], type=Facts)
    except msgspec.MsgspecError:
        return None, "what it says of itself cannot be read"
    return facts, ""


def probes(features: int, reference: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return rows to compare two models on: generated ones of three scales, some with values missing, and given ones.

    Args:
        features: How many values a row has.
        reference: Rows of the kind the model is meant for, shape (n, features); the first thousand are taken.

    Raises:
        InvalidData: They have another width.
    """
    random = np.random.default_rng(SEED)
    rows = random.standard_normal((PROBES, features)) * np.resize(SCALES, PROBES)[:, None]
    if reference is not None:
        if reference.shape[1] != features:
            words = f"the reference rows have {reference.shape[1]} values"
            raise InvalidData(words, place="--rows", expected=f"{features}, as the model takes")
        rows = np.concatenate((rows, reference[:1000]))
    missing = rows[: PROBES // 4]
    missing[random.random(missing.shape) < 1 / max(features, 2)] = np.nan
    missing[np.arange(len(missing)), random.integers(features, size=len(missing))] = np.nan
    return np.asarray(rows, dtype=np.float32)


def _convert(examined: Examined) -> Converted:
    form, path = examined.model
    nothing = np.empty((0, 0), np.float32)
    if form == "weights":
        return Converted(document=path.read_bytes(), kept=True, rows=nothing, answers=nothing.astype(np.float64))
    facts = examined.look.facts
    if facts is None:
        raise StageFailed(examined.look.words, place=form)
    if facts.task == WEIGHTS:
        left = _converting(examined, form, path, nothing, {CONVERTED: MAX_MODEL})
        _compare_weights(examined, form, path, left[CONVERTED])
        return Converted(document=left[CONVERTED], kept=False, rows=nothing, answers=nothing.astype(np.float64))
    _check_convertible(facts, form)
    rows = probes(facts.features, examined.reference)
    if form == "onnx":
        return Converted(document=path.read_bytes(), kept=True, rows=rows, answers=np.empty((0, 0)))
    row, most = 4 * facts.features, len(rows) + MAX_EDGES
    wanted = {ANSWERS: 8 * most * facts.answers, EDGES: row * MAX_EDGES, CONVERTED: MAX_MODEL}
    left = _converting(examined, form, path, rows, wanted)
    if len(left[EDGES]) % row or len(left[ANSWERS]) != 8 * facts.answers * (len(rows) + len(left[EDGES]) // row):
        raise StageFailed("the conversion left no whole rows and answers", place=form)
    edges = np.frombuffer(left[EDGES], "<f4").reshape(-1, facts.features)
    if not np.isfinite(edges).all():
        raise StageFailed("the conversion left rows that are none", place=form)
    answers = np.frombuffer(left[ANSWERS], "<f8").reshape(-1, facts.answers)
    return Converted(
        document=left[CONVERTED], kept=False, rows=np.concatenate((rows, edges)), answers=answers, edges=len(edges)
    )


def _check_convertible(facts: Facts, form: str) -> None:
    enough = facts.task == VALUES or len(facts.classes) > 1  # one class is no choice
    if 1 <= facts.features <= MAX_FEATURES and enough and 1 <= facts.answers <= MAX_CLASSES:
        return
    words = f"a {facts.type} with {facts.features} features and {len(facts.classes)} classes cannot be converted"
    raise StageFailed(words, place=form, expected="a fitted classifier or regressor of rows of numbers")


def _converting(
    examined: Examined, form: str, path: Path, rows: NDArray[np.float32], wanted: Mapping[str, int]
) -> Mapping[str, bytes]:
    """Return what a conversion in the sandbox left, all that was wanted of it.

    Raises:
        StageFailed: A library is missing, the model cannot be converted, or something was not left.
    """
    room = make_room(Path(tempfile.mkdtemp(prefix="convert-", dir=examined.ws.scratch)), "convert")
    given = room.given / "rows.npy"
    np.save(given, rows)
    args = ("convert", form, str(path), str(room.left), str(given))
    _demand(examined.ws.sandbox.python(WORKER, args, readable=(path, room.given), writable=room.left), form)
    left = collect(room, wanted).files
    if wanted.keys() - left.keys():
        raise StageFailed(f"the conversion left no {min(wanted.keys() - left.keys())}", place=form)
    return left


def _demand(job: JobResult, form: str) -> None:
    if job.exit_code == EXIT_MISSING:
        words = f"{last_words(job)} is not installed in the environment that Holdfast runs in: no conversion without it"
        raise StageFailed(words, place=form)
    if job.exit_code == EXIT_CANNOT:
        raise StageFailed(last_words(job) or "it cannot be converted", place=form)
    demand_finished(job, "the conversion")


def _compare_weights(examined: Examined, form: str, path: Path, written: bytes) -> None:
    """Check in a second job, which wrote nothing, that written weights are those of the file.

    Raises:
        StageFailed: They are others.
    """
    room = make_room(Path(tempfile.mkdtemp(prefix="compare-", dir=examined.ws.scratch)), "compare")
    held = room.given / "written.safetensors"
    held.write_bytes(written)
    args = ("compare", form, str(path), str(room.left), str(held))
    _demand(examined.ws.sandbox.python(WORKER, args, readable=(path, room.given), writable=room.left), form)
