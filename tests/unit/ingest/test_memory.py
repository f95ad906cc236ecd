"""Memory of the steps up to a stored data set: a fraction of what the table takes when it is open several times.

Each test has a process of its own, whose peak is the kernel's: rows are many enough that one more copy of them shows,
and the limits generous enough that nothing else does.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROWS: Final = 400_000
NUMBERS: Final = 12
OPEN_MB: Final = ROWS * (NUMBERS * 8 + 3 * 16) / 1e6  # numbers of 8 bytes, and three columns of texts of 16
AS_NUMBERS_MB: Final = ROWS * NUMBERS * 13 * 4 / 1e6  # what all rows together would become for the screens

CHILD: Final = """
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from tests.unit.ingest.test_memory import NUMBERS, ROWS
from tests.unit.ingest.world import project, workspace

ROOT, STEP = Path(sys.argv[1]), sys.argv[2]
MANY = [f"x{each}" for each in range(NUMBERS)]


def memory(which):
    with open("/proc/self/status", encoding="utf-8") as file:  # ru_maxrss would begin with that of whoever started this
        return next(int(line.split()[1]) for line in file if line.startswith(which))


def held():
    return memory("VmRSS:")


def told(before):
    print((memory("VmHWM:") - before) / 1000)


def stored():
    from holdfast.engines.dataset import store_dataset
    from holdfast.ingest import settled, sources
    from holdfast.ingest.contract import hold_pieces
    from holdfast.ingest.holdback import hold_back, schema_of

    columns = "".join(f'{name} = {{ type = "float" }}\\n' for name in MANY)
    declared = project(
        'id = { type = "string", use = "id" }\\n' + columns + 'town = { type = "category", use = "slice" }\\n'
        'label = { type = "category", use = "label", allowed = ["no", "yes"] }\\n'
    )
    rng, step = np.random.default_rng(1), 50_000
    with (ROOT / "rows.csv").open("wb") as file:
        for start in range(0, ROWS, step):
            numbers = {name: rng.integers(0, 1000, step) / 4 for name in MANY}
            names = {"town": rng.choice(["Graz", "Ulm"], step), "label": rng.choice(["no", "yes"], step)}
            rows = pl.DataFrame({"id": [f"c{start + each:08d}" for each in range(step)], **numbers, **names})
            rows.write_csv(file, include_header=start == 0)
    ws = workspace(ROOT / "ws")
    before = held()
    with tempfile.TemporaryDirectory(dir=ws.scratch) as folder:
        batch, read, beside = hold_pieces(sources.pieces(ROOT / "rows.csv", declared), declared, folder=Path(folder))
        searched = hold_back(batch, beside, declared)
        batch, _ = settled(batch, searched.batch, declared)
        store_dataset(ws, schema_of(declared, searched), batch.frame)
    assert (read.rows_in, batch.frame.height) == (ROWS, ROWS)
    told(before)


def screened():
    from holdfast.engines.screens.material import learned

    rng = np.random.default_rng(1)
    columns = {name: rng.integers(0, 1000, ROWS) / 4 for name in MANY}
    labels = rng.integers(0, 2, ROWS)
    some = rng.permutation(ROWS)[:4000].reshape(2, -1)
    before = held()
    made = list(learned(columns, labels, 2).parts([np.sort(each) for each in some]))
    assert [each.features.shape for each in made] == [(2000, NUMBERS * 13)] * 2
    told(before)


{"stored": stored, "screened": screened}[STEP]()
"""


@pytest.mark.parametrize(("step", "limit"), [("stored", 4 * OPEN_MB), ("screened", AS_NUMBERS_MB / 2)])
def test_no_step_holds_several_copies_of_the_rows(step: str, limit: float, tmp_path: Path) -> None:
    """Open whole, rows took six times their own size on their way to the store, and all of the other in the screens."""
    command = [sys.executable, "-c", CHILD, str(tmp_path), step]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < limit
