"""Small models that ask for a lot: literal shapes, repeats and trip counts, and functions that unfold without end.

Judges what stands in the file as a number. What a model computes at run time is bounded by the sandbox and the gateway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final, TypeAlias

from holdfast.core.evidence import Severity
from holdfast.engines.scan.report import Findings

LARGE: Final = 1 << 24  # elements one operator is told to make: 64 MiB of float32, beyond any tabular model
HUGE: Final = 1 << 28  # elements: 1 GiB of float32, more than the gateway's memory allows
MANY_TRIPS: Final = 100_000  # of one loop; exporters write 2**63 - 1 for "until the condition fails"
MAX_UNFOLDED: Final = 1_000_000  # nodes after every local function is written out

Literal: TypeAlias = tuple[int, ...]
Key: TypeAlias = tuple[str, str, str]
"""Domain, name and overload of a local function."""

_PRODUCT_OF_INPUT: Final = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1, "Resize": 3}
_LARGEST_OF_INPUT: Final = {"Pad": 1, "OneHot": 1, "HannWindow": 0, "HammingWindow": 0, "BlackmanWindow": 0, "DFT": 1}
_PRODUCT_OF_SHAPE: Final = frozenset({"RandomNormal", "RandomUniform"})
SHAPE: Final = "shape"  # the one attribute that decides a size
WATCHED: Final = frozenset({*_PRODUCT_OF_INPUT, *_LARGEST_OF_INPUT, *_PRODUCT_OF_SHAPE, "Range", "Loop"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One node whose first inputs, or shape, decide how much it makes."""

    op: str
    inputs: tuple[str, ...]
    shape: Literal
    place: str


def elements(node: Watched, literals: Mapping[str, Literal]) -> int:
    """Return how many elements a node is told to make by literals, or 0 where no literal tells."""
    given = [literals.get(name, ()) for name in node.inputs]

    def at(index: int) -> Literal:
        return given[index] if index < len(given) else ()

    if node.op in _PRODUCT_OF_INPUT:
        return _product(at(_PRODUCT_OF_INPUT[node.op]))
    if node.op in _LARGEST_OF_INPUT:
        return max((abs(value) for value in at(_LARGEST_OF_INPUT[node.op])), default=0)
    if node.op in _PRODUCT_OF_SHAPE:
        return _product(node.shape)
    if node.op == "Range" and all(len(at(index)) == 1 for index in range(3)) and at(2)[0]:
        return max(0, (at(1)[0] - at(0)[0]) // at(2)[0])
    return 0


def _product(values: Literal) -> int:
    """Return the product of sizes, at most 2**63 so that it stays a number one can print."""
    return min(prod(abs(value) for value in values), 1 << 63) if values else 0


def judge(nodes: Sequence[Watched], literals: Mapping[str, Literal], findings: Findings) -> None:
    """Report each node that is told to make or repeat more than a model of its size would."""
    for node in nodes:
        if node.op == "Loop":
            trips = (literals.get(node.inputs[0], ()) if node.inputs else ()) or (0,)
            if trips[0] > MANY_TRIPS:
                words = f"Loop may run {trips[0]} times"
                findings.add(Severity.MEDIUM, "onnx.resources", node.place, words)
            continue
        count = elements(node, literals)
        if count >= LARGE:
            severity = Severity.HIGH if count >= HUGE else Severity.MEDIUM
            findings.add(severity, "onnx.resources", node.place, f"{node.op} is told to make {count:.3g} elements")


def judge_functions(calls: Mapping[Key, Mapping[Key, int]], findings: Findings, place: str) -> None:
    """Report local functions that call themselves, or unfold into more nodes than any reader can hold.

    Args:
        calls: For each function, how many nodes of each operator its body holds; an operator that is no function
            counts one.
        findings: Where to report.
        place: The file.
    """
    unfolded: dict[Key, int] = {}
    for root in calls:
        stack, open_ = [root], set[Key]()
        while stack:
            key = stack[-1]
            if key in unfolded:
                open_.discard(stack.pop())
                continue
            waiting = [callee for callee in calls[key] if callee in calls and callee not in unfolded]
            if key in open_ and waiting:
                words = f"the local function {key[1]!r} calls itself"
                findings.add(Severity.HIGH, "onnx.function.recursion", place, words)
                return  # one is enough, and the sizes of the rest are not defined
            if waiting:
                open_.add(key)
                stack += waiting
                continue
            size = sum(count * (1 + unfolded.get(callee, 0)) for callee, count in calls[key].items())
            unfolded[key] = min(size, MAX_UNFOLDED + 1)
    worst = max(unfolded.values(), default=0)
    if worst > MAX_UNFOLDED:
        words = f"its local functions unfold into more than {MAX_UNFOLDED} nodes"
        findings.add(Severity.HIGH, "onnx.function.expansion", place, words)
