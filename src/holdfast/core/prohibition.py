"""Prohibitions: the part of a policy that is written in CEL, and can only forbid (ADR 3).

An error forbids, and so does anything but a clear false; an installation without the engine forbids too. What an
expression may look at, and how much it may cost, is decided here; which prohibitions there are, in the policy.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from holdfast.core.errors import InvalidInput
from holdfast.core.passport import Dossier

MAX_CEL: Final = 1000  # characters of one expression: it has no cost limit of its own
_BLANK: Final = r"(?:\s|//[^\n]*)*"  # what CEL skips between two words: white space and comments
_MACRO: Final = re.compile(rf"\.{_BLANK}(?:all|exists|exists_one|map|filter){_BLANK}\(")


class Forbid(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A prohibition in CEL; true forbids, and so does every error."""

    id: str
    because: str
    cel: str


def check_forbid(forbid: Forbid) -> None:
    """Check what an expression may cost, before anything is evaluated.

    Raises:
        InvalidInput: It is long, or one macro could run inside another.
    """
    if len(forbid.cel) > MAX_CEL or len(_MACRO.findall(forbid.cel)) > 1:
        raise InvalidInput(
            "the expression is too costly", place=f"rule {forbid.id}", expected="one macro, 1000 characters"
        )


def objections(prohibitions: Sequence[Forbid], dossier: Dossier) -> Iterator[tuple[str, str]]:
    """Yield the id of each prohibition that applies, and why in words."""
    if not prohibitions:
        return
    try:
        import cel
    except ImportError:
        yield "cel", "the policy holds CEL prohibitions, and holdfast[cel] is not installed to evaluate them"
        return
    views = _views(dossier)
    for forbid in prohibitions:
        words = next(filter(None, (_objection(cel.evaluate, forbid, view) for view in views)), "")
        if words:
            yield forbid.id, words


def _objection(evaluate: Callable[[str, dict[str, Any]], object], forbid: Forbid, view: dict[str, Any]) -> str:
    """Return why a prohibition applies, or nothing."""
    try:
        answer = evaluate(forbid.cel, view)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong in the evaluator forbids
        return f"the prohibition cannot be evaluated: {str(error)[:200]} ({forbid.because})"
    return "" if answer is False else f"it is forbidden ({forbid.because})"


def _views(dossier: Dossier) -> list[dict[str, Any]]:
    """Return what a prohibition may look at: per control the worst interval of each measure, and the signed facts.

    Where two pieces of evidence state a fact differently, neither may hide the other: there is one view for each piece,
    in which its own facts stand, and a prohibition that applies in one of them applies.
    """
    measures: dict[str, dict[str, dict[str, float]]] = {}
    facts: dict[str, str] = {}
    own: list[dict[str, str]] = []
    for node in dossier.nodes.values():
        for item in node.filed:
            own.append({f"{item.evidence.control}:{key}": value for key, value in item.evidence.facts.items()})
            facts |= own[-1]
            known = measures.setdefault(item.evidence.control, {})
            for measure in item.evidence.measures:
                old = known.get(measure.name, {"low": measure.low, "high": measure.high})
                known[measure.name] = {"low": min(old["low"], measure.low), "high": max(old["high"], measure.high)}
    differing = [facts | mine for mine in own if facts | mine != facts]
    return [{"measures": measures, "facts": view, "subject": dossier.subject} for view in (facts, *differing)]
