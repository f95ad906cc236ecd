"""The inventory: what answers calls without being on the list is reported, whatever shows it."""

import pytest

from holdfast.core.artifact import digest_bytes
from holdfast.plan.inventory import Answering, Listed, unlisted

SERVED = digest_bytes(b"served")
OTHER = digest_bytes(b"other")
CANCER = Listed(
    model="cancer",
    owner="Ada",
    sensitivity="personal",
    exposure="internal",
    stakes="safety",
    stage="production",
    version=SERVED,
    workspace="w",
    serving=(SERVED,),
)


@pytest.mark.parametrize(
    ("model", "version", "words"),
    [
        ("cancer", SERVED, ""),
        ("cancer", SERVED.removeprefix("sha256:")[:12], ""),
        ("cancer", "", ""),
        ("", SERVED, ""),
        ("shadow", "", "no model 'shadow'"),
        ("shadow", SERVED, "no model 'shadow'"),
        ("cancer", OTHER, "this version of it is not in production"),
        ("", OTHER, "not in production here"),
        ("", "", "does not say"),
    ],
)
def test_what_answers_is_held_against_the_list(model: str, version: str, words: str) -> None:
    """Another name, another version under a known name, a release nobody put there, a server that does not say."""
    found = unlisted([CANCER], [Answering(model=model, version=version, shown_by="a server")])
    assert (words in found[0][1]) if words else (found == ())


def test_with_nothing_listed_everything_that_answers_is_unlisted() -> None:
    """An empty list excuses nobody."""
    assert len(unlisted([], [Answering(model="cancer", version=SERVED, shown_by="a server")])) == 1
