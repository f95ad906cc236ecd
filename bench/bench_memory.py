"""Memory of `holdfast run` over a large CSV, stage by stage: the most that all its processes hold at one time.

python bench/bench_memory.py [MEGABYTES] [STAGE] [PARTS] [VERSIONS]
    default 30, and all stages; `ingest` ends with the version

With VERSIONS the run is repeated, each time in a process of its own, over a file in which one row of ten is another:
later versions are held against those before them. What is said last of all is the last run.

With PARTS only so many of the parts of 40,000 rows are screened for poison, the others are passed over: all of them
take the same memory one after the other, and 1 GB has 425 of twenty seconds.

The table has an id, a town, six numbers and a label that can be learned from two of them. All processes of the run are
looked at ten times a second: what is resident in each, added up, and the same with shared pages counted in parts.
The kernel's own word on the most that any one of them held stands below.
"""

import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench.workplace import memory

LOOK_S: Final = 0.1
TOWNS: Final = ("Aarhus", "Cork", "Graz", "Lyon", "Porto", "Turku", "Ulm", "Zadar")

PROJECT: Final = """
[project]
name = "bench"
owner = "Ada Example"
[risk]
sensitivity = "synthetic"
exposure = "internal"
stakes = "experimental"
[data]
source = "rows.csv"
format = "csv"
origin = "made for a benchmark"
licence = "CC0-1.0"
[data.columns]
id = { type = "string", use = "id" }
town = { type = "category", use = "slice" }
a = { type = "float", minimum = 0, maximum = 1 }
b = { type = "float" }
c = { type = "float" }
d = { type = "float" }
visits = { type = "int", minimum = 0 }
code = { type = "int" }
label = { type = "category", use = "label", allowed = ["no", "yes"] }
[train]
recipe = "train.py:train"
positive = "yes"
[gates]
policy = "research"
"""
RECIPE: Final = """
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def train(data, params, seed):
    model = make_pipeline(StandardScaler(), LogisticRegression(random_state=seed))
    return model.fit(data.train.features, data.train.labels)
"""


def write(folder: Path, megabytes: int, version: int) -> int:
    """A project with a file of so many megabytes; return its rows."""
    rng, rows = random.Random(1), 0  # noqa: S311 - rows, no secrets
    other = random.Random(version + 1)  # noqa: S311 - rows, no secrets
    (folder / "holdfast.toml").write_text(PROJECT, encoding="utf-8")
    (folder / "train.py").write_text(RECIPE, encoding="utf-8")
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        file.write("id,town,a,b,c,d,visits,code,label\n")
        while rows % 10_000 or file.tell() < megabytes * 1_000_000:
            a, b = rng.random(), rng.gauss(0, 9)
            a = other.random() if version and rows % 10 == version % 10 else a
            label = "yes" if a * 10 + b + rng.gauss(0, 3) > 6 else "no"
            rest = f"{rng.gauss(0, 1):.6f},{rng.lognormvariate(2, 1):.3f},{rng.randrange(90)},{rng.randrange(10**5)}"
            file.write(f"c{rows:09d},{TOWNS[rng.randrange(8)]},{a:.6f},{b:.4f},{rest},{label}\n")
            rows += 1
    return rows


def screen_only(parts: int) -> None:
    """Have the screens look at so many parts, and find nothing in the others."""
    import numpy as np

    from holdfast.engines.screens import screening

    inside, looked_at = vars(screening), list[Any]()
    real = inside["_part"]

    def part(material: Any, *rest: Any) -> Any:
        if len(looked_at) < parts:
            looked_at.append(real(material, *rest))
            return looked_at[-1]
        rows = len(material.labels)
        nothing = {"share": np.ones(rows), "loudest": np.zeros(rows, dtype=np.uint8), "triggers": ()}
        return replace(looked_at[-1], **nothing)

    inside["_part"] = part


def run(folder: str, until: str, parts: int) -> None:
    """The run, in this process; each stage is told as it begins."""
    from holdfast import app
    from holdfast.lifecycle.reply import Progress
    from holdfast.lifecycle.runner import run as carry

    def tell(progress: Progress) -> None:
        sys.stdout.write(f"{progress.stage} {progress.state} {progress.words}\n")
        sys.stdout.flush()

    if parts:
        screen_only(parts)
    with app.open_plant(Path(folder), tell=tell) as plant:
        made = carry(plant, until=until or None).document["artifacts"]
        for kind in ("dataset", "features", "split"):
            sys.stdout.write(f"made {kind} {made.get(kind, '')}\n")
    used = resource.getrusage(resource.RUSAGE_SELF)
    sys.stdout.write(f"end {used.ru_maxrss} {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}\n")


def looked(process: "subprocess.Popen[bytes]", said: Path) -> dict[str, list[float]]:
    """What a run's processes held at most, by the stage that was under way: MB resident, MB in parts, seconds."""
    most: dict[str, list[float]] = {}
    while process.poll() is None:
        lines = said.read_text(encoding="utf-8").splitlines()
        stage = lines[-1].split(" ")[0] if lines else "opening"
        stage = f"after {stage}" if lines and " started " not in lines[-1] else stage
        try:
            held = memory(process.pid)
        except OSError:
            continue  # one of them has just ended
        now = most.setdefault(stage, [0.0, 0.0, 0.0])
        most[stage] = [max(now[0], held[0]), max(now[1], held[1]), now[2] + LOOK_S]
        time.sleep(LOOK_S)
    return most


def main() -> None:
    """Write, run, and tell."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    until = sys.argv[2] if len(sys.argv) > 2 else ""
    parts = sys.argv[3] if len(sys.argv) > 3 else "0"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        from holdfast import app

        for version in range(int(sys.argv[4]) if len(sys.argv) > 4 else 1):
            rows = write(folder, megabytes, version)
            if not version:
                app.init(folder)
            size = (folder / "rows.csv").stat().st_size / 1e6
            print(f"version {version + 1}: {size:.0f} MB, {rows} rows of 9 columns", flush=True)
            measure(folder, until, parts)


def measure(folder: Path, until: str, parts: str) -> None:
    """Run once, and tell."""
    said = folder / "said"
    with (
        said.open("wb") as out,
        subprocess.Popen([sys.executable, __file__, "run", str(folder), until, parts], stdout=out) as process,
    ):
        most = looked(process, said)
    for stage, (resident, shared, seconds) in most.items():
        print(f"{stage:16} {resident:7.0f} MB resident, {shared:7.0f} with shared pages in parts, {seconds:6.1f} s")
    lines = said.read_text(encoding="utf-8").splitlines()
    print("\n".join(line for line in lines if " failed " in line or line.startswith("made ")))
    end = lines[-1].split(" ")
    if end[0] != "end":
        raise SystemExit(f"the run did not end: {lines[-1]}")
    own, other = (int(each) * 1024 / 1e6 for each in end[1:])
    print(f"most of one process: {own:.0f} MB, of one that it started {other:.0f} MB", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "run":
        run(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
