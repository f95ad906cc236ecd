"""Authorship: who wrote the code that trained a model, as it is on record, and whether a person is one of them.

Approvals and waivers do not count from those who wrote what they would judge. Nobody here wrote what came from outside:
in its author's place stands whoever has signed for its origin, and so has spoken for it already. Names are compared so
that a doubt makes somebody an author: a match that should not be costs an approval, a match that is missed costs the
separation of duties.
"""

import re
from typing import Final

import msgspec

from holdfast.core.artifact import Kind
from holdfast.core.evidence import Outcome
from holdfast.core.passport import Dossier, Node, current

AUTHORSHIP: Final = "train.authorship/1"
KNOWN: Final = "known"  # the measure: 1 where history or the project file names who wrote the recipe
VOUCHED: Final = "intake.origin"  # what a person's word on something foreign is about who signs for its origin
AUTHORS: Final = "authors"  # the fact: a JSON list of "Name <address>"
_IDENTITY: Final = re.compile(r"\s*(?P<name>[^<>]*?)\s*(?:<\s*(?P<address>[^<>]*?)\s*>)?\s*")


def authors_of(dossier: Dossier) -> frozenset[str] | None:
    """Return everybody who wrote the code of any model in the closure; None where that is not on record for each.

    Of what came from outside, and of a model that was made of it, these are the persons who signed for its origin.
    """
    found: set[str] = set()
    for node in dossier.nodes.values():
        if node.kind is Kind.FOREIGN:
            named = _vouching(node)
        elif node.kind is Kind.MODEL and Kind.FOREIGN not in {kind for kind, _ in node.parents}:
            named = _named(node)
        else:
            continue
        if named is None:
            return None
        found |= named
    return frozenset(found) if found else None  # empty means no: code that nobody wrote does not exist


def _vouching(foreign: Node) -> set[str] | None:
    words = (word.value for word in foreign.authorizations)
    return {word.person for word in words if (word.action, word.rule) == ("approve", VOUCHED)} or None


def _named(model: Node) -> set[str] | None:
    """Return the union of what every piece of evidence says: a later one takes nobody off the list."""
    filed = [item.evidence for item in current(model, AUTHORSHIP)]
    found: set[str] = set()
    for evidence in filed:
        known = any(measure.name == KNOWN and measure.low >= 1 for measure in evidence.measures)
        if evidence.outcome is not Outcome.MEASURED or not known:
            return None
        try:
            found |= set(msgspec.json.decode(evidence.facts.get(AUTHORS, ""), type=tuple[str, ...]))
        except msgspec.MsgspecError:
            return None
    return found if filed else None


def same_person(one: str, other: str) -> bool:
    """Say whether two identities may be one person's: equal addresses, equal names, or a name that is an address.

    >>> same_person("Ada <ada@example.org>", "ada lovelace <ADA@example.org>")
    True
    >>> same_person("ada", "Ada Lovelace <ada@example.org>")
    True
    >>> same_person("Ada <ada@example.org>", "Bob <bob@example.org>")
    False
    """
    (name, address), (their_name, their_address) = _parts(one), _parts(other)
    if address and their_address:
        return address == their_address or (bool(name) and name == their_name)
    mine = {name, address, address.partition("@")[0]} - {""}
    return bool(mine & ({their_name, their_address, their_address.partition("@")[0]} - {""}))


def _parts(identity: str) -> tuple[str, str]:
    """Return name and address of an identity, folded so that case and spacing make no difference."""
    found = _IDENTITY.fullmatch(identity)
    name, address = (found["name"], found["address"] or "") if found else (identity, "")
    if "@" in name and not address:
        name, address = "", name
    return " ".join(name.split()).casefold(), address.casefold()


def wrote(person: str, authors: frozenset[str]) -> bool:
    """Say whether a person may be one of the authors."""
    return any(same_person(person, author) for author in authors)
