"""A small world for tests of the data stages: blobs in memory, a project from a few lines, and a run of ingest."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import polars as pl

from holdfast.core.artifact import Artifact, Digest, Kind, digest_bytes, parse_manifest
from holdfast.core.control import Result
from holdfast.core.dlp import Presidio
from holdfast.core.errors import NotFound
from holdfast.core.evidence import Evidence, MadeWith
from holdfast.core.ports import Clock, Recogniser, Sandbox, Workspace, no_recogniser
from holdfast.core.project import Project, parse_project
from holdfast.engines.dataset import open_dataset
from holdfast.ingest import ingest
from holdfast.ingest.quarantine import ROWS, SetAside, parse

MADE_WITH: Final = MadeWith(code=digest_bytes(b"code"), configuration=digest_bytes(b"configuration"))

TOKEN_KEY: Final = bytes(range(32))

COLUMNS: Final = """
id = { type = "string", use = "id" }
x = { type = "float", minimum = 0, maximum = 100 }
label = { type = "category", use = "label", allowed = ["no", "yes"] }
"""

PROJECT: Final = """
[project]
name = "test"
owner = "Ada Example"
[risk]
sensitivity = "internal"
exposure = "internal"
stakes = "business"
[data]
source = "rows.csv"
format = "{format}"
origin = "made for a test"
licence = "none"
{data}
[data.columns]
{columns}
[features]
{features}
[train]
recipe = "train.py:train"
positive = "yes"
[gates]
policy = "baseline"
"""


@dataclass
class MemoryBlobs:
    """Blobs that live as long as a test."""

    folder: Path
    held: dict[Digest, bytes] = field(default_factory=dict)

    def put(self, data: bytes) -> Digest:
        digest = digest_bytes(data)
        self.held[digest] = bytes(data)
        return digest

    def put_document(self, data: bytes) -> Digest:
        return self.put(data)

    def check(self, digest: Digest) -> bool:
        self.get(digest)
        return True

    def put_file(self, path: Path) -> Digest:
        return self.put(path.read_bytes())

    def get(self, digest: Digest | str) -> bytes:
        try:
            return self.held[Digest(digest)]
        except KeyError:
            raise NotFound("no such blob", place=digest) from None

    def path(self, digest: Digest) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / digest.removeprefix("sha256:")
        file.write_bytes(self.held[digest])
        return file

    def has(self, digest: Digest) -> bool:
        return digest in self.held


def workspace(folder: Path, open_recogniser: Callable[[Presidio], Recogniser] = no_recogniser) -> Workspace:
    """A workspace without sandbox and clock: the data stages need neither."""
    blobs = MemoryBlobs(folder / "blobs")
    folder.mkdir(parents=True, exist_ok=True)
    return Workspace(
        blobs=blobs,
        sandbox=cast("Sandbox", None),
        clock=cast("Clock", None),
        scratch=folder,
        token_key=lambda: TOKEN_KEY,
        protected_key=lambda: TOKEN_KEY,
        open_recogniser=open_recogniser,
    )


def project(columns: str = COLUMNS, *, data: str = "", features: str = "", form: str = "csv") -> Project:
    """A project with these columns."""
    text = PROJECT.format(columns=columns, data=data, features=features, format=form)
    return parse_project(text.encode())[0]


@dataclass(frozen=True)
class Run:
    """What one run of ingest left behind."""

    ws: Workspace
    result: Result

    @property
    def dataset(self) -> Artifact:
        return self.result.one(Kind.DATASET)

    @property
    def rows(self) -> pl.DataFrame:
        return open_dataset(self.ws.blobs, self.dataset).rows

    @property
    def aside(self) -> dict[int, SetAside]:
        folder = parse_manifest(self.ws.blobs.get(self.result.one(Kind.QUARANTINE).digest))
        found = parse(self.ws.blobs.get(Digest(folder.file(ROWS).digest)))
        assert len({item.row for item in found}) == len(found)
        return {item.row: item for item in found}

    @property
    def codes(self) -> dict[int, list[str]]:
        return {row: [why.code for why in item.reasons] for row, item in self.aside.items()}

    def evidence(self, control: str) -> Evidence:
        return next(item for item in self.result.evidence if item.control == control)

    def measures(self, control: str) -> dict[str, float]:
        evidence = self.evidence(control)
        assert evidence.outcome == "measured", evidence.reason
        return {measure.name: measure.value for measure in evidence.measures}

    def findings(self, control: str) -> list[tuple[str, str]]:
        return [(finding.rule, finding.place) for finding in self.evidence(control).findings]


def run(
    folder: Path,
    source: bytes | str,
    declared: Project | None = None,
    open_recogniser: Callable[[Presidio], Recogniser] = no_recogniser,
) -> Run:
    """Ingest a file."""
    ws = workspace(folder, open_recogniser)
    artifact = ws.store(Kind.SOURCE, source.encode() if isinstance(source, str) else source)
    return Run(ws=ws, result=ingest(ws, declared or project(), artifact, MADE_WITH))


def csv(*lines: str) -> str:
    """Lines as a file."""
    return "".join(f"{line}\n" for line in lines)


def parquet(frame: pl.DataFrame, **options: Any) -> bytes:
    """A table as Parquet bytes."""
    import io

    out = io.BytesIO()
    frame.write_parquet(out, **options)
    return out.getvalue()
