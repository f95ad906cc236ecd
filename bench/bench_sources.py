"""A business CSV taken in and put into the one record form, in bounded memory; beside Polars' own streaming reader.

python bench/bench_sources.py [MEGABYTES]     default 100; 1000 is the figure in docs/benchmarks.md

Each step runs in a process of its own, whose peak memory and processor time are the kernel's. The peer writes the same
table from the same file with `scan_csv(...).sink_parquet`: it decodes UTF-8 only, pads or refuses rows as a whole, says
no row's fault and looks for no dialect, so that the ratio is the price of those.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

MEGABYTES: Final = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 100
ROUNDS: Final = 1 if MEGABYTES > 200 else 3

PROJECT: Final = """
[project]
name = "bench"
owner = "Ada Example"
[risk]
sensitivity = "internal"
exposure = "internal"
stakes = "business"
[data]
source = "source:a"
origin = "made for a benchmark"
licence = "none"
[data.columns]
id = { type = "string", use = "id" }
a = { type = "float" }
b = { type = "float" }
town = { type = "string", use = "ignored" }
note = { type = "string", use = "ignored" }
label = { type = "category", use = "label", allowed = ["no", "yes"] }
[train]
recipe = "train.py:train"
positive = "yes"
[gates]
policy = "baseline"
[sources.a]
kind = "csv"
identity = "bench"
file = { path = "rows.csv" }
"""


def write(path: Path) -> int:
    """A file of so many megabytes: semicolons, umlauts, quotes; return its rows."""
    rng, rows = random.Random(1), 0  # noqa: S311 - rows, no secrets
    towns = ["Köln", "Zürich", "São Paulo", "Łódź", "Reykjavík", "Aarhus"]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("id;a;b;town;note;label\r\n")
        while file.tell() < MEGABYTES * 1_000_000 if rows % 10_000 == 0 else True:
            note = f'"says ""{rows % 97}""; twice"' if rows % 5 == 0 else f"order {rng.randrange(10**9)} of the day"
            file.write(f"c{rows:09d};{rng.random():.6f};{rng.gauss(0, 9):.4f};{towns[rows % 6]};{note};no\r\n")
            rows += 1
    return rows


def step(name: str, folder: Path) -> None:
    """One step, in this process; prints what it took."""
    rows = 0
    if name == "ours":
        from holdfast.core.project import parse_project
        from holdfast.ingest.records import Batch, look, merge

        project = parse_project(PROJECT.encode())[0]
        source, path, parts = project.sources["a"], folder / "rows.csv", folder / "parts"
        parts.mkdir(exist_ok=True)
        seen = look(path, project, source, "rows.csv")
        batch = Batch(path=path, form="csv", place="rows.csv", dialect=seen.dialect)
        rows = merge([("a", source, [batch])], project, parts)[1]["a"]
        for part in parts.iterdir():
            part.unlink()
    else:
        import polars as pl

        table = pl.scan_csv(folder / "rows.csv", separator=";", infer_schema=False)
        table.sink_parquet(folder / "peer.parquet", compression="zstd", compression_level=3)
        rows = int(pl.scan_parquet(folder / "peer.parquet").select(pl.len()).collect().item())
    used = resource.getrusage(resource.RUSAGE_SELF)
    said = {"rows": rows, "cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}
    sys.stdout.write(json.dumps(said) + "\n")


def main() -> None:
    """Both, turn by turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = write(folder / "rows.csv")
        size = (folder / "rows.csv").stat().st_size
        print(f"{size / 1e6:.0f} MB, {rows} rows of 6 columns")
        found: dict[str, list[dict[str, float]]] = {"ours": [], "polars": []}
        for _ in range(ROUNDS):
            for who, taken in found.items():
                command = [sys.executable, __file__, "step", who, name]
                said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                taken.append(json.loads(said))
                assert taken[-1]["rows"] == rows
        for who, taken in found.items():
            cpu, peak = sorted(each["cpu_s"] for each in taken), max(each["peak_mb"] for each in taken)
            middle = cpu[len(cpu) // 2]
            print(f"{who:8} {middle:7.1f} CPU s ({cpu[0]:.1f} to {cpu[-1]:.1f}), peak {peak:.0f} MB")
        middles = [sorted(each["cpu_s"] for each in taken)[len(taken) // 2] for taken in found.values()]
        print(f"ratio {middles[0] / middles[1]:.1f}: both passes of ours (look, then write) to the peer's one")


if __name__ == "__main__":
    if len(sys.argv) > 3 and sys.argv[1] == "step":
        step(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
