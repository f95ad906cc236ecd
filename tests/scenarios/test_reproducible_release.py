"""The release itself: two packagings of one project are one digest."""

from tests.scenarios.stand import blob, releases

from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.runner import run


def test_packaging_the_same_again_gives_the_same_release(plant: Plant) -> None:
    """The package is lost and made anew from what it was made of: neither the moment nor the run is in it."""
    (first,) = releases(plant)
    for path in blob(plant, first):
        path.chmod(0o600)
        path.unlink()
    run(plant)
    assert releases(plant) == [first, first]
