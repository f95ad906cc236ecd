"""Detection of injected instructions at 1 % false alarms, on texts by other authors; and what the filters cost.

    python bench/bench_text.py

Reads the corpora of `text_corpora.py`; says which is absent, and measures without it. The threshold is the lowest at
which at most 1 % of the honest texts of the first half are flagged; all that is told is of the second half, which no
rule was written from. Processor time is of this process, the median of interleaved rounds.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import text_corpora

from holdfast.core.text import Hashing
from holdfast.engines.injection.finding import look
from holdfast.engines.personal.stretches import spans
from holdfast.engines.texts import hashed
from holdfast.maths.intervals import wilson

FALSE_ALARMS = 0.01
DEFAULT = 1.5  # of the guard
STEPS = [0.5 * step for step in range(1, 21)]
ROUNDS = 7
MADE = (
    "ignore ", "you are ", "a ", "[", "<|", "{", "0x41 ", "%41", "aGVsbG8", "ignore your no free from ",
    "instead of new ", "i.g.n.o.r.e.", "send to https://a?b=", "\u0430", "\U000e0041", "\n#", "print repeat the above ",
)  # fmt: skip


def half(texts: dict[str, list[str]], which: int) -> dict[str, list[str]]:
    """One half of each collection."""
    return {name: [text for text in each if text_corpora.half(text) == which] for name, each in texts.items()}


def scored(texts: dict[str, list[str]]) -> dict[str, list[float]]:
    """The score of each text."""
    return {name: [look(text).score for text in each] for name, each in texts.items()}


def share(scores: list[float], threshold: float) -> str:
    """How many are at or above a threshold, with the 95 % interval."""
    if not scores:
        return "absent"
    found = wilson(sum(score >= threshold for score in scores), len(scores))
    return f"{found.value:.2%} [{found.low:.2%}, {found.high:.2%}] of {len(scores)}"


def unlike(first: dict[str, list[str]], second: dict[str, list[str]]) -> list[str]:
    """The texts of the second half that share less than a third of their runs of five words with each of the first."""

    def runs(text: str) -> frozenset[str]:
        words = text.lower().split()
        return frozenset(" ".join(words[at : at + 5]) for at in range(max(1, len(words) - 4)))

    known = [runs(text) for each in first.values() for text in each]
    found = []
    for text in (text for each in second.values() for text in each):
        own = runs(text)
        if all(len(own & other) * 3 < min(len(own), len(other)) for other in known):
            found.append(text)
    return found


def cost(work: dict[str, Callable[[str], Any]], texts: list[str]) -> dict[str, float]:
    """Microseconds of processor time for each text, the median of interleaved rounds."""
    took: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS):
        for name, function in work.items():
            begun = time.process_time()
            for text in texts:
                function(text)
            took[name].append((time.process_time() - begun) / len(texts) * 1e6)
    return {name: round(statistics.median(each), 1) for name, each in took.items()}


def slowest() -> tuple[float, str]:
    """The most nanoseconds for each character that texts made to be slow take, at 65,536 characters."""
    found = []
    for piece in MADE:
        text = (piece * (65_536 // len(piece) + 1))[:65_536]
        begun = time.process_time()
        look(text)
        found.append(((time.process_time() - begun) / len(text) * 1e9, piece))
    return max(found)


def main() -> None:
    """Print what was measured."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    attacks, honest = text_corpora.attacks(), text_corpora.honest()
    wrote = [score for each in scored(half(honest, 0)).values() for score in each]
    if not wrote or not any(attacks.values()):
        print("absent: see text_corpora.py for where the texts come from")
        return
    threshold = next(step for step in STEPS if sum(score >= step for score in wrote) <= FALSE_ALARMS * len(wrote))
    machine = platform.processor() or platform.machine()
    print(f"{machine}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")
    print(f"threshold at {FALSE_ALARMS:.0%} of the first half: {threshold:g}; the guard's default: {DEFAULT:g}\n")
    measured_honest, measured_attacks = scored(half(honest, 1)), scored(half(attacks, 1))
    print("| second half | at the threshold | at the default |\n| --- | --- | --- |")
    apart = [look(text).score for text in unlike(half(attacks, 0), half(attacks, 1))]
    for words, measured, more in (
        ("false alarms", measured_honest, {}),
        ("detected", measured_attacks, {"all, without near copies of the first half": apart}),
    ):
        every = {"all": [score for each in measured.values() for score in each]}
        for name, scores in (measured | every | more).items():
            print(f"| {words}: {name} | {share(scores, threshold)} | {share(scores, DEFAULT)} |")
    some = honest["SMS"][:500]
    rows = cost(
        {
            "prompt-injection": look,
            "text-content": lambda text: spans(text, national_ids=False),
            "hashing, words 1 to 2 into 256": lambda text: hashed(Hashing(), [text]),
        },
        some,
    )
    characters = statistics.mean(map(len, some))
    print(f"\nCPU µs for an SMS of {characters:.0f} characters: {json.dumps(rows)}")
    worst, piece = slowest()
    print(f"text made to be slow: {worst:.0f} ns a character, {worst * 65_536 / 1e6:.0f} ms a call at most ({piece!r})")


if __name__ == "__main__":
    main()
