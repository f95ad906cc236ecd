"""One budget of different rows over several workers, with room in their cells and without."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from holdfast.adapters.cells import SharedCells
from holdfast.maths.distinct import EACH, NUMBERS, estimate, place_of, raised
from holdfast.serve.guards.budget import Budget, Groups, shared_key
from holdfast.serve.guards.surroundings import Cells
from holdfast.testing import SettableClock


def budget(cells: Cells, *, rows: int = 50, seed: int = 0, now_s: float = 1000.0) -> Budget:
    """A worker's view of a budget."""
    return Budget(
        name="extraction",
        rows=rows,
        period_s=60.0,
        key=shared_key(cells, "key", np.random.default_rng(seed)),
        cells=cells,
        clock=SettableClock(),
        monotonic=lambda: now_s,
        groups=Groups(),
    )


def rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Different rows."""
    return np.random.default_rng(seed).random((count, 3), dtype=np.float32)


def test_workers_share_the_key_by_which_they_know_rows(tmp_path: Path) -> None:
    """The first draws it; what the second has drawn is not used."""
    one, other = (SharedCells(tmp_path / "cells", worker=number) for number in range(2))
    assert budget(one, seed=1).key == budget(other, seed=2).key != budget(SharedCells(tmp_path / "new"), seed=2).key


def test_rows_of_one_call_are_charged_all_or_none(tmp_path: Path) -> None:
    """Sixty do not fit into fifty, and cost nothing; then fifty do; the first to be told that it is over is told so."""
    worker = budget(SharedCells(tmp_path / "cells"))
    assert [worker.spend("a", rows(count)) for count in (60, 50, 50)] == ["over at last", "fits", "fits"]
    assert [worker.spend("a", rows(count)) for count in (51, 51, 50)] == ["over", "over", "fits"]
    assert worker.spend("b", rows(51)) == "over at last"


def test_where_the_cells_have_no_room_a_worker_counts_alone(tmp_path: Path) -> None:
    """A budget that cannot be shared is not for that unbounded."""
    worker = budget(SharedCells(tmp_path / "cells", cells=2))
    assert [worker.spend("a", row[None]) for row in rows(51)] == ["fits"] * 50 + ["over at last"]
    assert worker.spend("a", rows(50)) == "fits"


def test_a_clock_that_begins_anew_begins_a_new_period(tmp_path: Path) -> None:
    """After a restart of the machine its monotonic clock is smaller than what the cells hold."""
    cells = SharedCells(tmp_path / "cells")
    assert budget(cells).spend("a", rows(50)) == "fits"
    assert budget(cells).spend("a", rows(50, 1)) == "over at last"
    assert budget(cells, now_s=5.0).spend("a", rows(50, 1)) == "fits"


@pytest.mark.parametrize("count", [30, 300, 3000])
def test_different_things_are_counted_within_a_third(count: int) -> None:
    """Three standard errors and some more, for these draws; each thing seen twice counts once."""
    numbers = [0.0] * NUMBERS
    for hashed in 2 * np.random.default_rng(count).integers(0, 1 << 64, count, dtype=np.uint64).tolist():
        register, rank = place_of(hashed)
        numbers[register // EACH] = raised(numbers[register // EACH], register % EACH, rank)
    assert abs(estimate(numbers) / count - 1) < 1 / 3
