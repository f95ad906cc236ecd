"""LightGBM's text models: sections of `key=value`, whose counts and indices a reader in C++ believes.

Trees are found by the sizes that the header declares, and walked by the indices that they hold: both are checked.
"""

import re
from itertools import pairwise
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan import plain
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models.allowed import words
from holdfast.engines.scan.models.binary import damage
from holdfast.engines.scan.plain import MAX_PLAIN
from holdfast.engines.scan.report import shown
from holdfast.engines.scan.wire import Malformed

MAX_TREES: Final = 1_000_000
MAX_NODES: Final = 1 << 24  # leaves of one tree; LightGBM's own limit is 131,072
HEAD: Final = 1 << 16  # bytes in which the header's first fields stand
_FIELD: Final = re.compile(rb"^(?:version=v[0-9]|(?:num_class|max_feature_idx|tree_sizes|Tree)=[0-9])", re.MULTILINE)
_TREE: Final = re.compile(rb"^Tree=", re.MULTILINE)
_END: Final = re.compile(rb"^end of trees", re.MULTILINE)
_SPLITS: Final = ("split_feature", "threshold", "decision_type", "left_child", "right_child")


def known(view: memoryview) -> bool:
    """Return whether a content begins as a model of LightGBM."""
    first = bytes(view[:6])
    return first.startswith((b"tree\n", b"tree\r\n")) and _FIELD.search(view[:HEAD]) is not None


def scan(content: Content, examination: Examination) -> None:
    """Check the header, the trees and what stands behind them."""
    plain.scan(content, examination)
    if len(content.view) <= MAX_PLAIN:
        with damage("lightgbm.malformed", content, examination):
            _Walk(content, examination).run()


class _Walk:
    """One pass over one model."""

    def __init__(self, content: Content, examination: Examination) -> None:
        self.content, self.view, self.examination = content, content.view, examination
        self.features = -1

    def run(self) -> None:
        starts = [found.start() for found in _TREE.finditer(self.view)]
        ending = _END.search(self.view, starts[-1] if starts else 0)
        if ending is None or len(starts) > MAX_TREES:
            raise Malformed(len(self.view), f"{len(starts)} trees without an end, or more than {MAX_TREES}")
        header = self._section(0, starts[0] if starts else ending.start())
        self._header(header, starts, ending.start())
        for start, end in pairwise([*starts, ending.start()]):
            self._tree(self._section(start, end), start)

    def _section(self, start: int, end: int) -> dict[bytes, bytes]:
        """Return the keys and values of a section; a line without a value is a key too."""
        found = dict[bytes, bytes]()
        lines = bytes(self.view[start:end]).split(b"\n")
        self.examination.step(len(lines))
        for line in lines:
            key, _, value = line.rstrip(b"\r").partition(b"=")
            if key in found and key:
                said = f"the key {shown(key)!r} stands twice, and readers differ in which one counts"
                self._add(Severity.HIGH, "duplicate-key", said, start)
            found.setdefault(key, value)
        return found

    def _header(self, header: dict[bytes, bytes], starts: list[int], end: int) -> None:
        for key in header:
            if key and key.decode("utf-8", "replace") not in words("lightgbm", "header"):
                said = f"the field {shown(key)!r}, which is not known"
                self._add(Severity.MEDIUM, "unknown-field", said, 0)
        sizes = _numbers(header.get(b"tree_sizes", b""), 0)
        real = [after - start for start, after in pairwise([*starts, end])]
        if sizes and sizes != real:
            said = f"{len(sizes)} trees are declared by sizes that the {len(real)} that are there do not have"
            self._add(Severity.HIGH, "shape", said, 0)
        highest = _numbers(header.get(b"max_feature_idx", b""), 0)
        self.features = highest[0] if len(highest) == 1 else -1

    def _tree(self, tree: dict[bytes, bytes], at: int) -> None:
        for key in tree:
            if key and key.decode("utf-8", "replace") not in words("lightgbm", "tree"):
                self._add(
                    Severity.MEDIUM, "unknown-field", f"the field {shown(key)!r} of a tree, which is not known", at
                )
        leaves = _numbers(tree.get(b"num_leaves", b""), at)
        if len(leaves) != 1 or not 0 < leaves[0] <= MAX_NODES:
            raise Malformed(at, "a tree without a number of leaves")
        count = leaves[0]
        values = len(tree.get(b"leaf_value", b"").split())
        if values != count:
            self._add(Severity.HIGH, "shape", f"{count} leaves and {values} values", at)
        if count == 1:
            return
        for name in _SPLITS:
            found = len(tree.get(name.encode(), b"").split())
            if found != count - 1:
                self._add(Severity.HIGH, "shape", f"{count} leaves and {found} values of {name!r}", at)
                return
        self._children(tree, count, at)
        self._categories(tree, at)

    def _children(self, tree: dict[bytes, bytes], count: int, at: int) -> None:
        children = _numbers(tree[b"left_child"], at) + _numbers(tree[b"right_child"], at)
        if len(set(children)) != len(children) or any(not -count <= each < count - 1 or each == 0 for each in children):
            said = "a child that is no node of the tree, is its root, or has two parents"
            self._add(Severity.HIGH, "shape", said, at)
        features = _numbers(tree[b"split_feature"], at)
        if self.features >= 0 and any(not 0 <= each <= self.features for each in features):
            said = f"a split by a feature beyond the {self.features + 1} that there are"
            self._add(Severity.HIGH, "shape", said, at)

    def _categories(self, tree: dict[bytes, bytes], at: int) -> None:
        many = _numbers(tree.get(b"num_cat", b"0"), at)
        if many == [0]:
            return
        bounds = _numbers(tree.get(b"cat_boundaries", b""), at)
        sets = len(tree.get(b"cat_threshold", b"").split())
        if [len(bounds) - 1] != many or bounds != sorted(bounds) or bounds[:1] != [0] or bounds[-1] != sets:
            said = "sets of categories that do not lie where they are said to"
            self._add(Severity.HIGH, "shape", said, at)

    def _add(self, severity: Severity, rule: str, said: str, at: int) -> None:
        self.examination.add(severity, f"lightgbm.{rule}", self.content.at(at), said)


def _numbers(text: bytes, at: int) -> list[int]:
    try:
        return [int(each) for each in text.split()]
    except ValueError as error:
        raise Malformed(at, f"{shown(text, 60)!r} where whole numbers should be") from error
