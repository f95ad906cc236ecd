"""Impact: which releases something bad reaches, and by which way. Pure; where parts stand is read by an adapter.

Two ways lead to a release: its bill of materials lists the part, or it derives from the thing: directly, or through a
data set, features, a model, a base model. A hit says both, so that nobody has to believe it: the way can be walked.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from holdfast.core.passport import REVOKED
from holdfast.core.ports import Holder, Surroundings
from holdfast.registry.record import ARCHIVED, CLEARED, PURGED, QUARANTINED, RESTORED, RETIRED
from holdfast.registry.states import State

PRODUCTION: Final = "production"
ALIAS: Final = "alias/"
_NOTHING: Final[tuple[Any, ...]] = ()
FROM_OUTSIDE: Final = "from outside"  # no release: whether it may be used, `intake list` says
ON_RECORD: Final = "on record"  # neither answering nor barred; how far it has come is `registry show`'s to say


class Hit(msgspec.Struct, frozen=True, gc=False):  # in no cycle: ten thousand need not be walked to find that out
    """One release that is reached."""

    release: str
    model: str
    parts: str  # what its own bill lists of it, the first in words and how many more
    path: tuple[str, ...]  # from the bad thing down to the release, where it derives from it


@lru_cache(maxsize=4096)  # ten thousand bills say few different things
def in_words(example: str, parts: int) -> str:
    """Return what a bill lists of what is looked for: one part in words, and how many more."""
    first = " ".join(example.removesuffix("()").split())  # of a part without version or licence
    return first if parts == 1 else f"{first} and {parts - 1} more"


def ways(roots: Mapping[str, str], edges: Iterable[tuple[str, str, str]]) -> dict[str, tuple[str, ...]]:
    """Return the shortest way from a root to everything that derives from it, each step as kind and digest.

    Args:
        roots: Digest to what the root is called.
        edges: All that lie below: child, parent, and what the parent is.
    """
    below: dict[str, list[str]] = {}
    kinds: dict[str, str] = {}
    for child, parent, kind in edges:
        below.setdefault(parent, []).append(child)
        kinds[parent] = kind
    found: dict[str, tuple[str, ...]] = {root: (words,) for root, words in roots.items()}
    waiting = list(found)
    for here in waiting:  # grows while it is walked: breadth first, so that the first way found is a shortest
        for child in below.get(here, ()):
            if child not in found:
                found[child] = (*found[here], f"{kinds.get(child, 'release')} {child[7:19]}")
                waiting.append(child)
    return found


def merged(held: Mapping[str, Holder], reached: Mapping[str, tuple[str, ...]], around: "Around") -> tuple[Hit, ...]:
    """Return every release that holds the part or is reached, those that answer first, then by model and digest."""
    models = around.models
    live: list[Hit] = []
    hits: list[Hit] = []
    for release in sorted(sorted(models), key=models.__getitem__):  # sorting is stable
        holder, path = held.get(release), reached.get(release, ())
        if holder is None and not path:
            continue
        parts = in_words(holder.example, holder.parts) if holder is not None else ""
        (live if release in around.producing else hits).append(Hit(release, models[release], parts, path))
    return (*live, *hits)


def told(hit: Hit, around: "Around") -> dict[str, Any]:
    """Return a hit as JSON data."""
    return {
        "release": hit.release,
        "model": hit.model,
        "source": "supplier" if hit.release in around.outside else "release",
        "state": around.state(hit.release),
        "aliases": around.aliases.get(hit.release, _NOTHING),
        "in_production": hit.release in around.producing,
        "answers": around.answers.get(hit.release, _NOTHING),
        "parts": hit.parts,
        "path": hit.path,
    }


class Around:
    """What surrounds hits, turned so that each can be looked up by its release."""

    def __init__(self, surroundings: Surroundings) -> None:
        """Turn names and endpoints around."""
        self._marks = surroundings.marks
        self.models, self.releases = surroundings.models, surroundings.releases
        self.outside = surroundings.outside
        self.answers: dict[str, list[dict[str, Any]]] = {}
        self.aliases: dict[str, list[str]] = {}
        for stream, place, release, share in surroundings.endpoints:
            if share > 0:
                _, environment, model = stream.split("/", 2)
                answer = {"environment": environment, "endpoint": model, "as": place, "share": share}
                self.answers.setdefault(release, []).append(answer)
        self.producing = frozenset(
            release
            for release, answers in self.answers.items()
            if any(each["environment"] == PRODUCTION for each in answers)
        )
        for name, release in sorted(surroundings.pointers.items()):
            if name.startswith(ALIAS):
                self.aliases.setdefault(release, []).append(name.removeprefix(ALIAS))

    def state(self, release: str) -> str:
        """Return a release's state as the newest entries claim it; `registry show` proves it."""
        if release not in self._marks and release not in self.answers:  # nearly all
            return FROM_OUTSIDE if release in self.outside else ON_RECORD
        marks = self._marks.get(release, {})
        for kind, state in ((PURGED, State.PURGED), (REVOKED, State.REVOKED), (RETIRED, State.RETIRED)):
            if kind in marks:
                return str(state)
        if marks.get(QUARANTINED, -1) > marks.get(CLEARED, -1):
            return str(State.QUARANTINED)
        if marks.get(ARCHIVED, -1) > marks.get(RESTORED, -1):
            return "archived"
        places = {(each["environment"], each["as"]) for each in self.answers.get(release, ())}
        for place, state in _PLACES:
            if place in places:
                return str(state)
        return ON_RECORD


_PLACES: Final = (
    (("production", "baseline"), State.PRODUCTION),
    (("production", "candidate"), State.CANARY),
    (("staging", "baseline"), State.STAGING),
)
