"""CatBoost's binary models: a FlatBuffer with the trees, and parts behind it that the buffer names.

After `model.fbs` of the CatBoost repository. Readers in C++ believe tree sizes and offsets: they are checked. The parts
(statistics of categories, texts, embeddings) are known by name; what they hold is not judged.
"""

from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models.binary import damage, note, number, piece
from holdfast.engines.scan.models.flatbuffer import Buffer
from holdfast.engines.scan.report import shown

MAGIC: Final = b"CBM1"
PARTS: Final = frozenset({"static_provider_v1", "text_process_v2", "embed_process_1"})
VERSION, TREES, NOTES, PART_IDS = range(4)
"""Fields of TModelCore."""
DIMENSION, SPLITS, SIZES, STARTS = range(4)
LEAVES = 8
STEPS = 10
"""Fields of TModelTrees."""
MAX_DEPTH: Final = 16  # splits of one symmetric tree; CatBoost's own limit


def known(view: memoryview) -> bool:
    """Return whether a content begins as a model of CatBoost."""
    return bytes(view[:4]) == MAGIC


def scan(content: Content, examination: Examination) -> None:
    """Check the buffer, its trees, its notes and what stands behind it."""
    with damage("catboost.malformed", content, examination):
        size = number(content.view, 4, 4)
        buffer = Buffer(piece(content.view, 8, size), 8)
        root = buffer.root()
        version = buffer.text(root, VERSION)
        if not version.startswith(b"FlabuffersModel_v"):
            said = f"the version {shown(version)!r}, which is not known"
            examination.add(Severity.MEDIUM, "catboost.unsupported", content.at(8), said)
            return
        for table in buffer.tables(root, NOTES):
            name, text = shown(buffer.text(table, 0)), buffer.text(table, 1)
            note("catboost.metadata", f"the note {name!r}", text, content.at(8 + table), examination)
        parts = [part.rstrip(b"\0").decode("utf-8", "replace") for part in buffer.texts(root, PART_IDS)]
        for part in sorted(set(parts) - PARTS):
            said = f"a part of the kind {shown(part)!r}, which is not known"
            examination.add(Severity.HIGH, "catboost.part", content.at(8), said)
        if len(content.view) > 8 + size and not parts:
            said = f"{len(content.view) - 8 - size} bytes behind the model, which belong to no part"
            examination.add(Severity.HIGH, "catboost.trailing", content.at(8 + size), said)
        trees = buffer.table(root, TREES)
        if trees is not None:
            _trees(buffer, trees, content, examination)


def _trees(buffer: Buffer, trees: int, content: Content, examination: Examination) -> None:
    splits = buffer.vector(trees, SPLITS, 4)[1]
    sizes, starts = buffer.numbers(trees, SIZES, "i"), buffer.numbers(trees, STARTS, "i")
    leaves, steps = buffer.vector(trees, LEAVES, 8)[1], buffer.vector(trees, STEPS, 4)[1]
    examination.step(len(sizes) + splits)
    wrong = len(sizes) != len(starts) or any(
        size < 0 or start < 0 or start + size > splits for size, start in zip(sizes, starts, strict=False)
    )
    if not wrong and not steps:  # symmetric: each tree has a leaf for each combination of its splits
        wrong = any(size > MAX_DEPTH for size in sizes)
        dimension = buffer.whole(trees, DIMENSION)
        wrong = wrong or sum(1 << size for size in sizes) * dimension != leaves
    if wrong:
        said = f"{len(sizes)} trees that their {splits} splits and {leaves} leaves do not fit"
        examination.add(Severity.HIGH, "catboost.shape", content.at(8 + trees), said)
