"""XGBoost models, in JSON, in UBJSON and in the binary form of old versions.

The format runs no code; readers in C++ believe the counts and indices of its trees, so each is checked. The binary form
has no structure that two versions agree on and is no longer read by XGBoost itself (3.1): it is not judged.
"""

from collections.abc import Iterator
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan import plain
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models import jsontree, ubjson
from holdfast.engines.scan.models.allowed import words
from holdfast.engines.scan.models.binary import damage, note
from holdfast.engines.scan.models.jsontree import Numbers, Row, Table, Value
from holdfast.engines.scan.report import shown
from holdfast.engines.scan.wire import Malformed

HEAD: Final = 64  # bytes in which the first key of UBJSON stands
ARRAYS: Final = ("left_children", "right_children", "parents", "split_indices", "split_conditions", "default_left")
OLD: Final = (b"binf", b"bs64", b"CONFIG-offset:")


def known(view: memoryview) -> bool:
    """Return whether a content is JSON with a learner and its booster."""
    return jsontree.names(view, "learner", "gradient_booster")


def known_binary(view: memoryview) -> bool:
    """Return whether a content is UBJSON that begins with one of XGBoost's keys."""
    head = bytes(view[:HEAD])
    return head[:1] == b"{" and any(
        key in head for key in (b"\x07learner{", b"\x06Config{", b"\x05Model{", b"\x07version[")
    )


def known_old(view: memoryview) -> bool:
    """Return whether a content begins like the binary form of old versions."""
    return bytes(view[:14]).startswith(OLD)


def scan(content: Content, examination: Examination) -> None:
    """Scan a model in JSON."""
    plain.scan(content, examination)
    _model(jsontree.read(content, examination, "xgboost"), content, examination)


def scan_binary(content: Content, examination: Examination) -> None:
    """Scan a model in UBJSON."""
    _model(ubjson.read(content, examination, "xgboost"), content, examination)


def scan_old(content: Content, examination: Examination) -> None:
    """Say that the binary form of old versions is not judged."""
    said = "the binary form of old versions, which is not judged: save the model as JSON or UBJSON"
    examination.add(Severity.MEDIUM, "xgboost.unsupported", content.path, said)


def _model(root: Value, content: Content, examination: Examination) -> None:
    if not isinstance(root, Table):
        return
    with damage("xgboost.malformed", content, examination):
        for key, value in root.items():
            if key in {"Model", "Config"} and isinstance(value, Table):  # what a Booster's own state holds
                _learner(value.table("learner"), content, examination, settings=key == "Config")
            elif key not in {"learner", "version"}:
                said = f"the field {shown(key)!r}, which the format does not have"
                examination.add(Severity.MEDIUM, "xgboost.unknown-field", content.at(root.at), said)
        if "learner" in root:
            _learner(root.table("learner"), content, examination, settings=False)


def _learner(learner: Table, content: Content, examination: Examination, *, settings: bool) -> None:
    for key in sorted(learner.keys() - words("xgboost", "learner")):
        said = f"the field {shown(key)!r} of the learner, which the format does not have"
        examination.add(Severity.MEDIUM, "xgboost.unknown-field", content.at(learner.at), said)
    for key, value in learner.table("attributes").items():
        if isinstance(value, str):
            place = content.at(learner.table("attributes").at)
            note(
                "xgboost.attribute",
                f"the attribute {shown(key)!r}",
                value.encode("utf-8", "replace"),
                place,
                examination,
            )
    objective, booster = learner.table("objective"), learner.table("gradient_booster")
    for named, allowed in ((objective, "objectives"), (booster, "boosters")):
        name = named.text("name")
        if name not in words("xgboost", allowed) and not (settings and not name):
            said = f"{shown(name)!r} is not one of XGBoost's {allowed}"
            examination.add(Severity.MEDIUM, "xgboost.unknown-name", content.at(named.at), said)
    features = _whole(learner.table("learner_model_param").get("num_feature"))
    for tree in _trees(booster, content, examination):
        examination.step(64)
        _Tree(tree, features, content, examination).check()


def _trees(booster: Table, content: Content, examination: Examination) -> Iterator[Table]:
    """Yield the trees of a booster, and of the one inside it that drops some."""
    for model in (booster.table("model"), booster.table("gbtree").table("model")):
        trees = model.get("trees")
        if not isinstance(trees, Row):
            continue
        count = _whole(model.table("gbtree_model_param").get("num_trees"))
        groups = model.get("tree_info")
        if count != len(trees) or not isinstance(groups, (Numbers, Row)) or len(groups) != count:
            said = f"{count} trees are declared and {len(trees)} are there"
            examination.add(Severity.HIGH, "xgboost.shape", content.at(trees.at), said)
        for tree in trees:
            if not isinstance(tree, Table):
                raise Malformed(trees.at, "a tree that is none")
            yield tree


class _Tree:
    """The checks of one tree: what a reader takes for indices stays inside of its arrays, and leads nowhere twice."""

    def __init__(self, tree: Table, features: int, content: Content, examination: Examination) -> None:
        self.tree, self.features, self.content, self.examination = tree, features, content, examination

    def check(self) -> None:
        count = _whole(self.tree.table("tree_param").get("num_nodes"))
        arrays = dict[str, list[float]]()
        for name in ARRAYS:
            array = self.tree.get(name)
            if not isinstance(array, Numbers):
                if name in self.tree and isinstance(array, Row) and len(array) == count:
                    continue  # truth values, in old versions
                raise Malformed(self.tree.at, f"a tree without the array {name!r}")
            if len(array) != count:
                self._add(f"{count} nodes and {len(array)} values of {name!r}", array.at)
                return
            arrays[name] = array.values() if name in ARRAYS[:4] else []
        children = [each for name in ARRAYS[:2] for each in arrays[name] if each != -1]
        if any(not 0 < each < count for each in children) or len(set(children)) != len(children):
            self._add("a child that is no node of the tree, is its root, or has two parents", self.tree.at)
        if self.features > 0 and any(not 0 <= each < self.features for each in arrays["split_indices"]):
            self._add(f"a split by a feature beyond the {self.features} that there are", self.tree.at)

    def _add(self, said: str, at: int) -> None:
        self.examination.add(Severity.HIGH, "xgboost.shape", self.content.at(at), said)


def _whole(value: Value) -> int:
    """Return a number that stands alone or in a text, as XGBoost writes its parameters, or -1."""
    text = value.decode() if isinstance(value, bytes) else value
    return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 19 else -1
