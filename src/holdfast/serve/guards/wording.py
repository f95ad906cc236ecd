"""What texts may say: no orders to the model (`prompt-injection`), nothing unsafe or sensitive (`text-content`).

Both look at the texts that `valid-input` has written down, before the model does. A caller whose text is refused learns
that it was, and nothing of why; the record names the rules and kinds, the row, and the text's digest, never the text.
Where a text is changed instead, the rows are made of the changed one, and the answer carries the flag `text-changed`.

`text-content` also looks at what answers: a model here says names of classes, so these are looked at once for each
release, and what is told of them is held back or replaced.
"""

import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.schema import Signature
from holdfast.engines.injection.finding import look, without
from holdfast.engines.personal.stretches import spans
from holdfast.engines.texts import folded
from holdfast.serve.guards.reactions import Reaction, Reactor
from holdfast.serve.guards.surroundings import Surroundings
from holdfast.serve.protocol import Operation
from holdfast.serve.refusals import INJECTED, UNSAFE, WITHHELD, Saying
from holdfast.serve.takes import Takes, change

PROMPT_INJECTION: Final = "prompt-injection"
TEXT_CONTENT: Final = "text-content"
CHANGED: Final = "text-changed"  # the flag in an answer
DIGITS: Final = 12  # of a text's digest in the record: enough to find it by, too few to prove anything
MOST_WORDS: Final = 5000
LONGEST_PHRASE: Final = 5  # words
_NATIONAL: Final = "national-id"
_WORD: Final = re.compile(r"\w+")

Changed: TypeAlias = dict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong with one text: in words for the record, and the text without it, if it can be taken out."""

    words: str
    changed: str | None = None


def _find(call: Call, takes: Takes, judge: Callable[[str], Finding | None]) -> tuple[list[str], Changed, bool]:
    """Return what is on record of a call's texts, those that were changed, and whether each could be."""
    told, changed, able = list[str](), Changed(), True
    for name in takes.names:
        for row, text in enumerate(call.texts[name]):
            finding = judge(text)
            if finding is None:
                continue
            told.append(f"{name}, row {row}: {finding.words}; text {digest_bytes(text.encode())[7 : 7 + DIGITS]}")
            if finding.changed is None:
                able = False
            else:
                changed.setdefault(name, list(call.texts[name]))[row] = finding.changed
    return told, changed, able


def _answered(
    call: Call, takes: Takes, found: tuple[list[str], Changed, bool], *, action: str, saying: Saying, reactor: Reactor
) -> Call | Refusal:
    """Do with a call what the table says: refuse it, change its texts, or only put it on record."""
    told, changed, able = found
    if not told:
        return call
    detail = f"{len(told)} texts; {'; '.join(told[:3])}"
    if action == "refuse" or (action != "alert" and not able):
        return saying.refusal(reactor.guard, detail)
    if action != "alert":
        try:
            change(call, takes, changed)
        except InvalidInput:  # a mark is longer than what it stands for, and the text then longer than it may be
            return saying.refusal(reactor.guard, detail)
        if CHANGED not in call.flags:
            call.flags = (*call.flags, CHANGED)
    reactor.note(call, detail)
    return call


class PromptInjectionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From which score on a text gives orders, and what is done with it."""

    threshold: Annotated[float, Meta(ge=0.5, le=50)] = 1.5
    action: Literal["refuse", "neutralise", "alert"] = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptInjection:
    """No text tells the model what to do."""

    name: str = PROMPT_INJECTION
    one_way: ClassVar[bool] = True
    together: ClassVar[bool] = True
    threshold: float
    action: str
    takes: Mapping[str, Takes]
    reactor: Reactor

    def admit(self, call: Call) -> Call | Refusal:
        """Look at each text of a call; a model that takes none has none."""
        takes = self.takes.get(call.release)
        if takes is None:
            return call
        found = _find(call, takes, self._judged)
        return _answered(call, takes, found, action=self.action, saying=INJECTED, reactor=self.reactor)

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:  # noqa: ARG002 - the protocol's signature
        """Let every answer out."""
        return answer

    def _judged(self, text: str) -> Finding | None:
        found = look(text)
        if found.score < self.threshold:
            return None
        words = f"score {found.score:g} by {', '.join(found.rules)}"
        if self.action != "neutralise":
            return Finding(words=words)
        clean = without(text, found.spans)
        # What is left is looked at once more: a text from which orders cannot be taken is refused.
        able = look(clean).score < self.threshold
        return Finding(words=words, changed=clean if able else None)


def _takes(surroundings: Surroundings) -> dict[str, Takes]:
    """Return what the releases take that read texts."""
    made = {digest: Takes.of(signature) for digest, signature in surroundings.signatures.items()}
    return {digest: takes for digest, takes in made.items() if takes is not None and takes.texts}


def _reactor(surroundings: Surroundings, guard: str, action: str) -> Reactor:
    """Return what puts detections on record; what follows is this module's own."""
    return surroundings.reactor(guard, Reaction(action="alert" if action in {"alert", "off"} else "flag"), {})


def prompt_injection(settings: PromptInjectionSettings, surroundings: Surroundings) -> PromptInjection:
    """Build the guard for every release of the table that takes texts."""
    return PromptInjection(
        threshold=settings.threshold,
        action=settings.action,
        takes=_takes(surroundings),
        reactor=_reactor(surroundings, PROMPT_INJECTION, settings.action),
    )


Kind: TypeAlias = Literal[
    "email", "url", "iban", "card", "us-ssn", "ip", "phone", "date-of-birth", "secret", "national-id"
]


class TextContentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which kinds of data and which words may not be in a text or an answer, and what is done."""

    kinds: tuple[Kind, ...] = ("email", "iban", "card", "us-ssn", "ip", "phone", "date-of-birth", "secret")
    words: tuple[str, ...] = ()  # and phrases of up to five words, in any case
    input: Literal["refuse", "mask", "alert", "off"] = "refuse"
    output: Literal["refuse", "mask", "alert", "off"] = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What may not be said: kinds of data, and words as their folded words joined by blanks."""

    kinds: frozenset[str]
    words: frozenset[str]
    longest: int  # words of the longest phrase

    def judged(self, text: str) -> Finding | None:
        """Return what is in a text that may not be, and the text with a mark in the place of each."""
        found = [(span.start, span.stop, str(span.entity)) for span in self._spans(text)]
        found += [(start, stop, "word") for start, stop in self._words(text)]
        if not found:
            return None
        parts, end = list[str](), 0
        for start, stop, kind in sorted(found):
            if start < end:  # a word inside of what is masked already
                continue
            parts += [text[end:start], f"[{kind}]"]
            end = stop
        counted = {
            kind: sum(1 for each in found if each[2] == kind) for kind in dict.fromkeys(each[2] for each in found)
        }
        words = ", ".join(f"{count} {kind}" for kind, count in counted.items())
        return Finding(words=words, changed="".join([*parts, text[end:]]))

    def _spans(self, text: str) -> list[Any]:
        general = _NATIONAL in self.kinds
        found = spans(text, national_ids=general)
        return [
            span for span in found
            if span.entity in self.kinds or (general and span.entity.startswith(_NATIONAL))
        ]  # fmt: skip

    def _words(self, text: str) -> list[tuple[int, int]]:
        """Return where listed words and phrases stand, whatever their case and forms."""
        if not self.words:
            return []
        tokens = [(folded(match[0]), match.start(), match.end()) for match in _WORD.finditer(text)]
        found = []
        for at, (_, start, _) in enumerate(tokens):
            sizes = range(1, min(self.longest, len(tokens) - at) + 1)
            found += [
                (start, tokens[at + size - 1][2])
                for size in sizes
                if " ".join(token for token, _, _ in tokens[at : at + size]) in self.words
            ]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a release may not say: which classes, in words for the record, and the names that stand in their place."""

    wrong: Mapping[int, str]
    masked: tuple[str, ...]

    @classmethod
    def of(cls, signature: Signature, content: Content) -> "Told":
        """Look at the names of a release's classes."""
        judged = [content.judged(name) for name in signature.classes]
        masked = [
            name if finding is None else finding.changed or "[withheld]"
            for name, finding in zip(signature.classes, judged, strict=True)
        ]
        # Names stay distinct: they are keys of an answer.
        names = [name if masked.count(name) == 1 else f"{name} {at}" for at, name in enumerate(masked)]
        wrong = {at: finding.words for at, finding in enumerate(judged) if finding is not None}
        return cls(wrong=wrong, masked=tuple(names))


@dataclass(frozen=True, slots=True, kw_only=True)
class TextContent:
    """No text and no answer holds what may not be said."""

    name: str = TEXT_CONTENT
    together: ClassVar[bool] = True
    content: Content
    input: str
    output: str
    takes: Mapping[str, Takes]
    told: Mapping[str, Told]
    reactor: Reactor

    def admit(self, call: Call) -> Call | Refusal:
        """Look at each text of a call."""
        takes = self.takes.get(call.release)
        if takes is None or self.input == "off":
            return call
        found = _find(call, takes, self.content.judged)
        return _answered(call, takes, found, action=self.input, saying=UNSAFE, reactor=self.reactor)

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:
        """Look at what an answer says: its labels, and by `/predict` the names beside probabilities."""
        told = self.told.get(call.release)
        if told is None or not told.wrong or self.output == "off":
            return answer
        named = call.operation == Operation.PREDICT and answer.probabilities.shape[1] > 0
        said = set(range(len(told.masked))) if named else set(answer.labels.tolist())
        wrong = sorted(said & told.wrong.keys())
        if not wrong:
            return answer
        detail = "; ".join(f"class {at}: {told.wrong[at]}" for at in wrong[:3])
        if self.output == "refuse":
            return WITHHELD.refusal(self.name, detail)
        self.reactor.note(call, detail)
        if self.output == "mask":
            answer.classes = told.masked
        return answer


def text_content(settings: TextContentSettings, surroundings: Surroundings) -> TextContent:
    """Build the guard.

    Raises:
        InvalidInput: Nothing is looked for, a word is none, or national ids are and what checks them is not installed.
    """
    if not settings.kinds and not settings.words:  # empty means no
        raise InvalidInput(f"{TEXT_CONTENT} looks for nothing", place="routes", expected="kinds, words, or both")
    if _NATIONAL in settings.kinds and importlib.util.find_spec("stdnum") is None:
        raise InvalidInput(
            f"{TEXT_CONTENT} looks for national ids, and their checks are not installed",
            place="routes",
            remedy="pip install python-stdnum, or leave national-id out of the kinds.",
        )
    content = Content(kinds=frozenset(settings.kinds), words=_phrases(settings.words), longest=_longest(settings.words))
    return TextContent(
        content=content,
        input=settings.input,
        output=settings.output,
        takes=_takes(surroundings),
        told={digest: Told.of(signature, content) for digest, signature in surroundings.signatures.items()},
        reactor=_reactor(surroundings, TEXT_CONTENT, settings.input),
    )


def _phrases(words: Sequence[str]) -> frozenset[str]:
    found = [_WORD.findall(folded(word)) for word in words]
    if len(words) > MOST_WORDS or not all(1 <= len(each) <= LONGEST_PHRASE for each in found):
        expected = f"at most {MOST_WORDS} words, and phrases of up to {LONGEST_PHRASE} words"
        raise InvalidInput(f"{TEXT_CONTENT} has a list that is none", place="routes", expected=expected)
    return frozenset(" ".join(each) for each in found)


def _longest(words: Sequence[str]) -> int:
    return max((len(_WORD.findall(folded(word))) for word in words), default=0)
