"""Approvals and waivers: whose signed word counts, for how many of the seats that a policy asks for, and until when.

Pure. A person takes one seat at most, whatever roles and keys the person has: the seats of all rules are filled
together. A role counts if the root keys have granted it, never because a person claims it; whoever wrote the training
code takes no seat that is kept for others, and waives nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.artifact import Kind
from holdfast.core.authorship import authors_of, wrote
from holdfast.core.errors import InvalidInput
from holdfast.core.passport import Dossier, Node
from holdfast.core.trust import Trust

_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MAX_SEATS: Final = 16  # approvals of one rule: more is a vote


class Approvals(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many distinct persons must have approved, in which role; several roles mean any of them."""

    role: str | tuple[str, ...]
    count: int = 1
    not_author: bool = False  # the approvals of those who wrote the training code do not count
    rule: str = ""  # what the words are about, such as `signoff.design`; empty: the release as a whole

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles whose word counts."""
        return (self.role,) if isinstance(self.role, str) else self.role


class Waivers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who may waive a rule that says it can be waived, how many of them it takes, and for how long at most."""

    role: str | tuple[str, ...]
    count: int = 2  # a quorum, without the author
    longest: str = "30d"  # a waiver that would last longer from now on does not count yet

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles whose word counts."""
        return (self.role,) if isinstance(self.role, str) else self.role


def seconds(text: str) -> int:
    """Return a duration such as `30d` in seconds.

    >>> seconds("15m")
    900

    Raises:
        InvalidInput: It is not a positive whole number and one of s, m, h, d.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise InvalidInput(f"{text!r} is not a duration", expected="for example 90s, 15m, 12h or 30d")
    return int(found[1]) * _UNITS[found[2]]


def check_approvals(wanted: Approvals, place: str) -> None:
    """Check that a rule asks for something that can be given.

    Raises:
        InvalidInput: By nobody, by no role, or by a crowd.
    """
    if not 1 <= wanted.count <= MAX_SEATS:
        words = "an approval by nobody" if wanted.count < 1 else f"{wanted.count} approvals"
        raise InvalidInput(words, place=place, expected=f"count of at least 1 and at most {MAX_SEATS}")
    if not all(wanted.roles) or not wanted.roles:
        raise InvalidInput("an approval in no role", place=place, expected='role = "owner"')


def check_waivers(wanted: Waivers, place: str) -> None:
    """Check that waivers take at least one person's word and end.

    Raises:
        InvalidInput: They take nobody's word, no role, or last for ever.
    """
    check_approvals(Approvals(role=wanted.role, count=wanted.count), place)
    seconds(wanted.longest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seated:
    """Which rules lack approvals, in words, and until when the best choice of approvals holds."""

    lacking: Mapping[str, tuple[str, ...]]
    until: datetime | None  # None where no approvals are asked for, or they do not suffice


def seat(asked: Sequence[tuple[str, Approvals]], node: Node, dossier: Dossier, now: datetime) -> Seated:
    """Fill the seats that rules of one topic ask for with the persons who approved, so that the last ends latest.

    1. Who rejected it, in any role, has stopped it. 2. Whose approval counts for which rule. 3. As many seats as
    possible are filled, a person taking one. 4. Of the ways to fill all, the one that holds longest counts.

    Args:
        asked: The id of each rule on this artifact that asks for approvals, and what it asks for.
        node: The artifact.
        dossier: The closure, which names the authors.
        now: The moment of the decision.
    """
    if not asked:
        return Seated(lacking={}, until=None)
    rejected = sorted({word.value.person for word in node.authorizations if word.value.action == "reject"})  # 1.
    authors = authors_of(dossier)
    fit = {rule: _fit(wanted, node, dossier.trust, authors, now) for rule, wanted in asked}  # 2.
    filled = _fill(asked, fit)  # 3.
    lacking = {
        rule: (
            *([f"{', '.join(rejected)} rejected it"] if rejected else []),
            *(_missing(wanted, filled[rule], fit[rule], node, authors, now) if filled[rule] < wanted.count else []),
        )
        for rule, wanted in asked
    }
    short = {rule: words for rule, words in lacking.items() if words}
    return Seated(lacking=short, until=None if short else _longest(asked, fit))  # 4.


def _fit(
    wanted: Approvals, node: Node, trust: Trust, authors: frozenset[str] | None, now: datetime
) -> dict[str, datetime]:
    """Return until when each person's approval counts for a rule.

    Unknown authorship lets nobody sit where the author must not: who wrote it could be anybody.
    """
    if wanted.not_author and authors is None:
        return {}
    found = given("approve", wanted.roles, node, trust, now, rule=wanted.rule)
    excluded = authors if wanted.not_author and authors else frozenset[str]()
    return {person: until for person, until in found.items() if not wrote(person, excluded)}


def given(
    action: str, roles: Sequence[str], node: Node, trust: Trust, now: datetime, *, rule: str = ""
) -> dict[str, datetime]:
    """Return until when each person's signed word for an action holds, in one of the roles that were granted."""
    until: dict[str, datetime] = {}
    for word in (verified.value for verified in node.authorizations):
        if (word.action, word.rule) == (action, rule) and word.role in roles and now < word.until:
            granted = trust.granted(word.person, word.role, now)
            if granted is not None:
                until[word.person] = max(min(word.until, granted), until.get(word.person, now))
    return until


def _fill(asked: Sequence[tuple[str, Approvals]], fit: Mapping[str, Mapping[str, datetime]]) -> dict[str, int]:
    """Return how many seats of each rule are filled when as many as possible are (Kuhn 1955, augmenting paths)."""
    seats = [rule for rule, wanted in asked for _ in range(wanted.count)]
    taken: dict[str, int] = {}  # person -> seat

    def place(seat_: int, tried: set[str]) -> bool:
        for person in sorted(fit[seats[seat_]]):
            if person in tried:
                continue
            tried.add(person)
            if person not in taken or place(taken[person], tried):
                taken[person] = seat_
                return True
        return False

    filled = {rule: 0 for rule, _ in asked}
    for index, rule in enumerate(seats):
        filled[rule] += place(index, set())
    return filled


def _longest(asked: Sequence[tuple[str, Approvals]], fit: Mapping[str, Mapping[str, datetime]]) -> datetime | None:
    """Return the latest moment until which some choice of approvals fills every seat."""
    wanted = sum(approvals.count for _, approvals in asked)
    for end in sorted({until for persons in fit.values() for until in persons.values()}, reverse=True):
        lasting = {
            rule: {person: until for person, until in persons.items() if until >= end} for rule, persons in fit.items()
        }
        if sum(_fill(asked, lasting).values()) == wanted:
            return end
    return None


def _missing(
    wanted: Approvals,
    filled: int,
    fit: Mapping[str, datetime],
    node: Node,
    authors: frozenset[str] | None,
    now: datetime,
) -> Iterator[str]:
    """Yield why seats of a rule stay empty."""
    about = f" of {wanted.rule}" if wanted.rule else ""
    yield f"{filled} of {wanted.count} approvals{about} by {' or '.join(wanted.roles)}"
    if wanted.not_author and authors is None:
        yield "who wrote the training code is not on record, so nobody can be told not to be its author"
        return
    if len(fit) > filled:
        yield f"{', '.join(sorted(fit))} count once, for another rule: one person takes one seat"
    for word in (verified.value for verified in node.authorizations):
        meant = (word.action, word.rule) == ("approve", wanted.rule)
        if not meant or word.person in fit or word.role not in wanted.roles:
            continue
        if now >= word.until:
            yield f"the approval of {word.person} ended at {word.until.isoformat()}"
        elif wanted.not_author and wrote(word.person, authors or frozenset()):
            yield f"{word.person} wrote the training code, and so cannot approve it"
        else:
            yield f"the root keys have not granted {word.person} the role {word.role}"


def waived(
    terms: Waivers | None, rule: str, dossier: Dossier, now: datetime, broken: Sequence[Node]
) -> datetime | None:
    """Return until when a rule is waived, or None where it is not.

    A waiver is a word of persons in a granted role, none of whom wrote the training code; it takes as many as the
    policy says, and one that would last longer than the policy allows does not count. It is given for what is decided
    upon, or for each thing from outside that breaks the rule: what was waived when it was let in stays waived, as long
    as the words hold, for what is made of it.
    """
    ends = [_waived(terms, rule, dossier, now, dossier.nodes[dossier.subject])]
    if broken and all(node.kind is Kind.FOREIGN for node in broken):
        each = [_waived(terms, rule, dossier, now, node) for node in broken]
        ends.append(min((end for end in each if end is not None), default=None) if None not in each else None)
    return max((end for end in ends if end is not None), default=None)


def _waived(terms: Waivers | None, rule: str, dossier: Dossier, now: datetime, node: Node) -> datetime | None:
    authors = authors_of(dossier)
    if terms is None or authors is None:
        return None
    found = given("waive", terms.roles, node, dossier.trust, now, rule=rule)
    latest = now + timedelta(seconds=seconds(terms.longest))
    ends = sorted((end for who, end in found.items() if end <= latest and not wrote(who, authors)), reverse=True)
    return ends[terms.count - 1] if len(ends) >= terms.count else None
