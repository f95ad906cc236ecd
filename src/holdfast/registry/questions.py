"""Questions that bills of materials answer, as parts to look for and artifacts to descend from.

What can be bad: a component, in some versions; a data set, a model or code, by name or digest; a licence; what an
advisory affects. A question that names nothing is an error, never an answer of no hits.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from holdfast.core.bill import MAX_TEXT, Part, comparable
from holdfast.core.errors import InvalidInput, UsageError
from holdfast.core.ports import Sought
from holdfast.engines.package_url import parse_purl
from holdfast.registry.advisory import Advisory
from holdfast.registry.ranges import parse_range, within

ABOUT: Final = ("component", "dataset", "model", "code", "licence", "advisory")
_KIND_OF: Final[Mapping[str, str]] = {"dataset": "data", "model": "model", "code": "code"}
_DIGEST: Final = re.compile(r"(sha256:)?[0-9a-f]{64}")
_BEGINNING: Final = re.compile(r"(sha256:)?[0-9a-f]{8,63}")
_NAMED: Final = re.compile(r"(?P<name>[^<>=!~,\s]+?)\s*(?P<range>(?:[<>=!~]=?|===).*)?")
_WORD: Final = re.compile(r"[a-z0-9.+-]+", re.IGNORECASE)


def _every(_: Part) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for."""

    words: str
    names: tuple[str, ...] = ()  # of parts; which of those it is about, `accepts` says
    digests: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    accepts: Callable[[Part], bool] = _every
    roots: Mapping[str, str] = field(default_factory=dict)  # artifacts to descend from, and what each is called
    follows: bool = False  # descend from the matching parts as well: they are artifacts themselves


def narrowed(wanted: Wanted, variants: Sequence[Part]) -> tuple[Sought, tuple[Part, ...]]:
    """Return what is to be looked for, and which of the parts that bear a sought name it is about.

    Where every version of a name is, only the name is looked for: a thousand versions make no better question.
    """
    judged = [(part, wanted.accepts(part)) for part in variants]
    accepted = tuple(part for part, is_wanted in judged if is_wanted)
    refused = {_name(part) for part, is_wanted in judged if not is_wanted}
    whole = {_name(part) for part in accepted} - refused
    single = tuple(part for part in accepted if _name(part) not in whole)
    sought = Sought(whole=tuple(sorted(whole)), parts=single, digests=wanted.digests, licences=wanted.licences)
    return sought, accepted


def _name(part: Part) -> tuple[str, str, str]:
    return part.kind, part.ecosystem, part.name


def component(what: str, versions: str | None) -> Wanted:
    """Return the question about a component: a name, a name with a range, or a package URL.

    Raises:
        InvalidInput: It cannot be read, or versions are given twice.
    """
    ecosystem, name, inside = "", what.strip(), ""
    if name.lower().startswith("pkg:"):
        named = parse_purl(name)
        ecosystem, name, inside = named.ecosystem, named.name, f"==={named.version}" if named.version else ""
    else:
        matched = _NAMED.fullmatch(name)
        name, inside = (matched["name"], matched["range"] or "") if matched else ("", "")
    if not name or len(name) > MAX_TEXT or (inside and versions):
        expected = "a name, as numpy or numpy<2, or a package URL; versions once"
        raise InvalidInput(f"{what[:80]!r} names no component", expected=expected)
    clauses = parse_range(inside or versions or "") if inside or versions else ()

    def accepts(part: Part) -> bool:
        if part.kind != "library" or (ecosystem and part.ecosystem not in {"", ecosystem}):
            return False
        return part.name in {name, comparable(part.ecosystem, name)} and within(part.ecosystem, part.version, clauses)

    names = tuple(sorted({name, name.lower(), comparable("pypi", name)}))
    words = f"component {name}" + (f" {inside or versions}" if clauses else "")
    return Wanted(words=words, names=names, accepts=accepts)


def artifact(about: str, what: str, meant: Callable[[str], tuple[str, ...]]) -> Wanted:
    """Return the question about a data set, a model or code: a digest, the beginning of one on record, or a name.

    Args:
        about: `dataset`, `model` or `code`.
        what: Which.
        meant: Returns the artifacts on record whose digest begins so.

    Raises:
        InvalidInput: More than one begins so, or nothing is named.
    """
    text, kind = what.strip(), _KIND_OF[about]
    found = meant(text) if _DIGEST.fullmatch(text) or _BEGINNING.fullmatch(text) else ()
    if len(found) > 1:
        raise InvalidInput(f"more than one artifact begins with {text[:80]}", expected="more of its digest")
    whole = found[0] if found else text
    if _DIGEST.fullmatch(whole):
        digest = whole.removeprefix("sha256:")
        roots = {f"sha256:{digest}": f"{about} {digest[:12]}"}
        return Wanted(words=f"{about} {digest[:12]}", digests=(digest,), roots=roots)
    if not text or len(text) > MAX_TEXT:
        raise InvalidInput(f"this names no {about}", expected="a digest, or a name as a bill of materials has it")
    return Wanted(
        words=f"{about} {text!r}",
        names=(text.lower(),),
        accepts=lambda part: part.kind == kind,
        follows=True,
    )


def licence(what: str, known: Iterable[str]) -> Wanted:
    """Return the question about a licence: every part whose licence is this one, or an expression that names it.

    Raises:
        InvalidInput: No licence is named.
    """
    text = what.strip().lower()
    if not text or len(text) > MAX_TEXT:
        raise InvalidInput("this names no licence", expected="an SPDX identifier, or a name as a bill has it")
    fitting = tuple(each for each in known if text in {each.lower(), *(w.lower() for w in _WORD.findall(each))})
    return Wanted(words=f"licence {what.strip()}", licences=fitting)


def advised(advisory: Advisory) -> Wanted:
    """Return the question about what an advisory affects."""
    return Wanted(
        words=f"advisory {advisory.id}",
        names=tuple(sorted({each.name for each in advisory.targets})),
        accepts=lambda part: part.kind == "library" and any(each.holds(part) for each in advisory.targets),
    )


def check_about(about: str) -> None:
    """Check that a question is about something that bills tell of.

    Raises:
        UsageError: It is not.
    """
    if about not in ABOUT:
        raise UsageError(f"no question is about {about[:80]!r}", expected=", ".join(ABOUT))
