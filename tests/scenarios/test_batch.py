"""Batches: one row out for each row in, through any crash, by the same guards as a request, and signed."""

import csv
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from tests.scenarios.disk_world import DiskWorld

from holdfast.adapters import published, tables
from holdfast.adapters.clock import SystemClock
from holdfast.core.batch import MANIFEST, PLAN, Manifest, Part, Plan, check_whole, part_name
from holdfast.core.errors import Conflict, InvalidData, NotVerified, Refused, Unavailable
from holdfast.core.routes import GuardSpec
from holdfast.core.seal import BATCH, unseal
from holdfast.edge.batch import run
from holdfast.serve.batch import check_parts
from holdfast.serve.scoring import Interrupted
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import API_KEY, GUARDS

ROWS = 90
PART = 16
COLUMNS = ("id", "age", "mean radius", "trend")


class Crash(BaseException):
    """The process ends here: nothing above may handle it."""


def write_input(path: Path, rows: int = ROWS, *, odd: bool = True) -> list[list[str]]:
    """A table of rows; with `odd` ones that no guard lets through, and one that is flagged."""
    rng = random.Random(7)  # noqa: S311 - rows, no secrets
    table = [
        [f"r{n}", f"{rng.uniform(0, 100):.3f}", f"{rng.uniform(0, 30):.3f}", f"{rng.gauss(0, 1):.3f}"]
        for n in range(rows)
    ]
    if odd:
        table[3][1] = ""  # missing
        table[20][2] = "1e6"  # far outside
        table[21][1] = "nan"
        table[40][3] = "1_000"  # a number to Python alone
        table[50][1] = "120"  # within the margin: flagged
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *table])
    return table


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> DiskWorld:
    """A small world with one release."""
    return DiskWorld(tmp_path_factory.mktemp("batch") / "world")


def score(world: DiskWorld, source: Path, output: Path, **more: Any) -> Manifest:
    """Run a batch; by default a good one."""
    arguments: dict[str, Any] = {"model": "tiny", "key": API_KEY, "keep": ("id",), "part_rows": PART} | more
    return run(world.config, source=source, output=output, **arguments)


def rows_of(output: Path, manifest: Manifest) -> list[dict[str, str]]:
    """All rows of the output, in order."""
    found: list[dict[str, str]] = []
    for part in manifest.parts:
        with (output / part_name(part.number, "csv")).open(newline="", encoding="utf-8") as file:
            found += list(csv.DictReader(file))
    return found


@pytest.fixture(scope="module")
def good(world: DiskWorld, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Manifest]:
    """Input, output and manifest of a batch that nothing disturbed."""
    folder = tmp_path_factory.mktemp("good")
    write_input(folder / "in.csv")
    manifest = score(world, folder / "in.csv", folder / "out")
    return folder / "in.csv", folder / "out", manifest


@pytest.mark.requirement("SERV-02", by="holdfast.serve.scoring:Scorer.score")
def test_each_row_has_one_row_in_order(good: tuple[Path, Path, Manifest]) -> None:
    """Bad rows are in the output with their reason, and take none of their neighbours with them."""
    _, output, manifest = good
    found = rows_of(output, manifest)
    assert [row["id"] for row in found] == [f"r{n}" for n in range(ROWS)]
    assert [int(row["row"]) for row in found] == list(range(ROWS))
    refused = {int(row["row"]): row["code"] for row in found if row["outcome"] == "refused"}
    assert refused == {3: "HF240", 20: "HF245", 21: "HF240", 40: "HF240"}
    reasons = [row["reason"] for row in found if row["code"] == "HF240"]
    assert reasons == ["no number in 'age'", "no number in 'age'", "no number in 'trend'"]
    assert {int(row["row"]) for row in found if row["flags"]} == {50}
    assert all(row["label"] in {"benign", "malignant"} for row in found if row["outcome"] == "answered")
    assert manifest.outcomes == {"answered": ROWS - 4, "refused": 4}
    assert manifest.flags == {"out-of-range": 1}


@pytest.mark.requirement("SERV-02", by="holdfast.edge.batch:_carried_out")
def test_the_output_is_signed_and_checked(world: DiskWorld, good: tuple[Path, Path, Manifest]) -> None:
    """The manifest is sealed by the gateway's key, and names every byte of the output."""
    _, output, manifest = good
    sealed = unseal((output / MANIFEST).read_bytes(), BATCH, world.world.trust, at=SystemClock().now())
    assert sealed.value == manifest
    assert sealed.signers[0].role == "gateway"
    check_whole(sealed.value)
    check_parts(sealed.value, lambda name: tables.read_output(output, name))
    assert manifest.plan.release == world.release.digest
    assert manifest.plan.choice.measured


@pytest.mark.requirement("SERV-02", by="holdfast.serve.batch:check_parts")
def test_a_changed_part_is_found(good: tuple[Path, Path, Manifest]) -> None:
    """One label is exchanged in the output."""
    _, output, manifest = good

    def changed(name: str) -> bytes | None:
        data = tables.read_output(output, name)
        return data.replace(b"benign", b"malign", 1) if data is not None and name == part_name(2, "csv") else data

    with pytest.raises(NotVerified, match="changed"):
        check_parts(manifest, changed)


def steps(monkeypatch: pytest.MonkeyPatch, crash_at: int, *, torn: bool) -> Callable[[], int]:
    """Let the process die at the n-th durable step: before it, or with half of its bytes under a temporary name."""
    real, taken = published.replace_durably, 0

    def write(path: Path, data: bytes) -> None:
        nonlocal taken
        taken += 1
        if taken == crash_at:
            if torn:
                path.with_name(f".{path.name}.1").write_bytes(data[: len(data) // 2])
            raise Crash
        real(path, data)

    monkeypatch.setattr(tables, "replace_durably", write)
    return lambda: taken


def same(output: Path, other: Path, manifest: Manifest) -> bool:
    """Whether two outputs hold the same bytes in all parts."""
    names = [part_name(part.number, "csv") for part in manifest.parts]
    return all((output / name).read_bytes() == (other / name).read_bytes() for name in names)


@pytest.mark.guarantee("G74")
@pytest.mark.requirement("SERV-02", by="holdfast.serve.batch:Batch._finished")
@pytest.mark.parametrize("crash_at", [1, 2, 3, 14])
@pytest.mark.parametrize("torn", [False, True], ids=["before", "torn"])
def test_a_crash_at_any_step_costs_no_row_and_doubles_none(
    world: DiskWorld,
    good: tuple[Path, Path, Manifest],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    crash_at: int,
    torn: bool,
) -> None:
    """Plan, part, record, manifest: whichever was being written, the next run makes the same whole."""
    source, undisturbed, manifest = good
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        steps(patch, crash_at, torn=torn)
        with pytest.raises(Crash):
            score(world, source, output)
    with monkeypatch.context() as patch:
        taken = steps(patch, 10_000, torn=False)
        again = score(world, source, output)
    done = max(0, crash_at - 2) // 2  # parts that were recorded before
    assert taken() == 2 * (len(manifest.parts) - done) + 1 + (crash_at == 1)
    assert same(output, undisturbed, manifest)
    assert (again.rows, again.outcomes) == (manifest.rows, manifest.outcomes)


def test_crashes_after_crashes(
    world: DiskWorld,
    good: tuple[Path, Path, Manifest],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    effort: Callable[..., int],
    record: Any,
) -> None:
    """Runs that die one after the other, at steps drawn by seed, until one does not."""
    source, undisturbed, manifest = good
    seeds, crashes = effort(ci=3, record=60), 0
    for seed in range(seeds):
        rng, output = random.Random(seed), tmp_path / f"out-{seed}"  # noqa: S311 - no secrets
        while not (output / MANIFEST).exists():
            with monkeypatch.context() as patch, suppress(Crash):
                crashes += 1
                steps(patch, rng.randint(1, 12), torn=rng.random() < 0.5)
                score(world, source, output)
        assert same(output, undisturbed, manifest)
    result = {"runs": seeds, "crashes": crashes - seeds, "rows_lost_or_doubled": 0}
    record.save("batch-crashes", seed=f"0 to {seeds - 1}", result=result)


@pytest.mark.requirement("SERV-02", by="holdfast.core.batch:Plan.check_same")
def test_a_restart_with_something_else_is_refused(
    world: DiskWorld, good: tuple[Path, Path, Manifest], tmp_path: Path
) -> None:
    """Another input, another shape of the output: half of each would be neither."""
    source, output, _ = good
    write_input(tmp_path / "other.csv", 10, odd=False)
    with pytest.raises(Conflict, match="input"):
        score(world, tmp_path / "other.csv", output)
    with pytest.raises(Conflict, match="part_rows"):
        score(world, source, output, part_rows=17)
    with pytest.raises(Conflict, match="keep"):
        score(world, source, output, keep=())


def test_a_run_that_asks_for_no_column_of_the_input_binds_nobody(world: DiskWorld, tmp_path: Path) -> None:
    """It is refused before its plan is kept: the same command, corrected, begins in the same folder."""
    write_input(tmp_path / "in.csv", 10, odd=False)
    with pytest.raises(InvalidData, match="patient"):
        score(world, tmp_path / "in.csv", tmp_path / "out", keep=("patient",))
    assert score(world, tmp_path / "in.csv", tmp_path / "out").rows == 10


def test_a_part_that_was_damaged_is_made_anew(
    world: DiskWorld, good: tuple[Path, Path, Manifest], tmp_path: Path
) -> None:
    """A record names a digest; a part without it never happened."""
    source, undisturbed, manifest = good
    output = tmp_path / "out"
    score(world, source, output)
    damaged = output / part_name(1, "csv")
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes()[:-4])
    (output / MANIFEST).unlink()
    score(world, source, output)
    assert same(output, undisturbed, manifest)


@pytest.mark.requirement("SERV-02", by="holdfast.adapters.tables:OutputFolder.__init__")
def test_two_runs_do_not_write_into_one_folder(
    world: DiskWorld, good: tuple[Path, Path, Manifest], tmp_path: Path
) -> None:
    """The second is told, and changes nothing; nor is a folder of something else written into."""
    held = tables.OutputFolder(tmp_path / "out")
    with pytest.raises(Conflict, match="another process"):
        score(world, good[0], tmp_path / "out")
    held.close()
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-ada.txt").write_text("Dear Ada")
    with pytest.raises(Conflict, match="something else"):
        score(world, good[0], tmp_path / "letters")


def test_a_key_that_may_not_call_the_model_scores_nothing(
    world: DiskWorld, good: tuple[Path, Path, Manifest], tmp_path: Path
) -> None:
    """The same guard as for a request."""
    with pytest.raises(Refused, match="HF241"):
        score(world, good[0], tmp_path / "out", key="hf_" + "B" * 43)
    assert not list((tmp_path / "out").glob("part-*"))


@pytest.mark.requirement("SERV-02", by="holdfast.serve.batch:Batch.carry_out")
def test_an_input_that_changes_while_it_is_scored_is_not_signed(
    world: DiskWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody writes into the open file between two parts."""
    source = tmp_path / "in.csv"
    write_input(source, odd=False)

    def meddle(rows: int) -> None:
        if rows == PART:
            with source.open("r+b") as file:
                file.seek(-5, 2)
                file.write(b"9")

    with pytest.raises(NotVerified, match="changed while"):
        score(world, source, tmp_path / "out", progress=meddle)
    assert not (tmp_path / "out" / MANIFEST).exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("id,age,trend\nr,1,2\n", "missing"),
        ("id,age,age,mean radius,trend\nr,1,1,2,3\n", "twice"),
        ('id,age,mean radius,trend\nr,"1,2,3\n', "unexpected end"),
        (b"id,age,mean radius,trend\n\xff\xfe,1,2,3\n", "decode"),
    ],
    ids=["empty", "missing", "twice", "quote", "bytes"],
)
def test_what_is_no_table_is_refused(world: DiskWorld, tmp_path: Path, text: str | bytes, words: str) -> None:
    """Before a manifest says anything about it."""
    source = tmp_path / "in.csv"
    source.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidData, match=words):
        score(world, source, tmp_path / "out")


def test_rows_with_too_few_or_too_many_cells_are_rows(world: DiskWorld, tmp_path: Path) -> None:
    """They are refused one by one, like any other row that is none; blank lines are no rows."""
    source = tmp_path / "in.csv"
    source.write_text("id,age,mean radius,trend\nr0,1,2\n\nr1,1,2,3,4\nr2,40,15,0.5\n")
    manifest = score(world, source, tmp_path / "out")
    assert [row["outcome"] for row in rows_of(tmp_path / "out", manifest)] == ["refused", "refused", "answered"]


def test_parquet_in_parquet_out(world: DiskWorld, good: tuple[Path, Path, Manifest], tmp_path: Path) -> None:
    """The same rows, the same answers, typed."""
    source, output, manifest = good
    table = pl.read_csv(source, schema_overrides=dict.fromkeys(COLUMNS, pl.String))
    numbers = [pl.col(name).cast(pl.Float64, strict=False) for name in COLUMNS[1:]]
    table.select("id", *numbers).write_parquet(tmp_path / "in.parquet")
    made = score(world, tmp_path / "in.parquet", tmp_path / "out")
    frame = pl.concat([pl.read_parquet(tmp_path / "out" / part_name(part.number, "parquet")) for part in made.parts])
    before = rows_of(output, manifest)
    assert frame["label"].to_list() == [row["label"] for row in before]
    assert frame["id"].to_list() == [row["id"] for row in before]
    assert frame.schema["probability benign"] == pl.Float64
    assert frame["probability benign"].null_count() == 4


def test_a_slow_rate_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate limit of the table holds for a batch too: it waits, and loses no row."""
    slow = [replace_configuration(spec, rate_per_s=2.0, burst=2) for spec in GUARDS]
    world = DiskWorld(tmp_path / "world", guards=tuple(slow))
    waits: list[float] = []
    monkeypatch.setattr("holdfast.edge.batch.time.sleep", waits.append)
    write_input(tmp_path / "in.csv", 40, odd=False)
    ticking(monkeypatch, waits)
    manifest = score(world, tmp_path / "in.csv", tmp_path / "out", part_rows=8)
    assert manifest.outcomes == {"answered": 40}
    assert waits


def test_a_gateway_that_is_called_under_certain_names_scores_batches_too(tmp_path: Path) -> None:
    """Without a socket there is no name that was asked for: one of the listed is said."""
    clean = GuardSpec(name="clean-request", configuration={"hosts": ["models.example.org"]})
    world = DiskWorld(tmp_path / "world", guards=(clean, *GUARDS))
    write_input(tmp_path / "in.csv", 20, odd=False)
    assert score(world, tmp_path / "in.csv", tmp_path / "out").outcomes == {"answered": 20}


def replace_configuration(spec: Any, **settings: Any) -> Any:
    """A guard of the rate with other settings; every other as it is."""
    return msgspec.structs.replace(spec, configuration=settings) if spec.name == "within-rate" else spec


def ticking(monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:
    """A monotonic clock that only waiting moves."""
    monkeypatch.setattr("holdfast.edge.assembly.time.perf_counter", lambda: 1000.0 + sum(waits))
    monkeypatch.setattr("holdfast.edge.offline.time.perf_counter", _stepping())


def _stepping() -> Callable[[], float]:
    now = 0.0

    def step() -> float:
        nonlocal now
        now += 0.01
        return now

    return step


@pytest.mark.requirement("SERV-02", by="holdfast.edge.offline:Offline.keep_up")
def test_a_release_that_is_revoked_meanwhile_scores_no_further(tmp_path: Path) -> None:
    """The batch looks at what is published after each part, as a gateway does."""
    world = DiskWorld(tmp_path / "world")
    write_input(tmp_path / "in.csv", odd=False)

    def revoke(rows: int) -> None:
        if rows == 2 * PART:
            world.world.revoke(world.release)
            world.publish(world.world.table(None, revoked=(world.release.digest,)))

    with pytest.raises((Refused, Interrupted, Unavailable)):
        score(world, tmp_path / "in.csv", tmp_path / "out", progress=revoke)
    assert len(list((tmp_path / "out").glob("part-*.csv"))) <= 3
    assert not (tmp_path / "out" / MANIFEST).exists()


@pytest.mark.requirement("SERV-02", by="holdfast.edge.offline:Offline.handle")
def test_a_revocation_reaches_a_batch_within_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part may take long, as where the rate limit has it wait: what is revoked meanwhile finishes no part."""
    slow = [replace_configuration(spec, rate_per_s=2.0, burst=2) for spec in GUARDS]
    world = DiskWorld(tmp_path / "world", guards=tuple(slow))
    write_input(tmp_path / "in.csv", 1100, odd=False)
    waits: list[float] = []

    def revoke(seconds: float) -> None:
        if not waits:
            world.world.revoke(world.release)
            world.publish(world.world.table(None, revoked=(world.release.digest,)))
        waits.append(seconds)

    monkeypatch.setattr("holdfast.edge.batch.time.sleep", revoke)
    monkeypatch.setattr("holdfast.edge.offline.LOOK_S", 0.0)
    ticking(monkeypatch, waits)
    with pytest.raises((Refused, Interrupted, Unavailable)):
        score(world, tmp_path / "in.csv", tmp_path / "out", part_rows=2000)
    assert len(waits) == 1
    assert not list((tmp_path / "out").glob("part-*.csv"))


def test_another_release_does_not_finish_what_one_has_begun(tmp_path: Path) -> None:
    """A batch is by one release."""
    world = DiskWorld(tmp_path / "world")
    write_input(tmp_path / "in.csv", odd=False)

    class Enough(Exception):
        """The run is ended by hand."""

    def end(_rows: int) -> None:
        raise Enough

    with pytest.raises(Enough):
        score(world, tmp_path / "in.csv", tmp_path / "out", progress=end)
    other = world.world.release(tiny_model(bias=5.0))
    world.publish(world.world.table(other))
    with pytest.raises(Conflict, match="release"):
        score(world, tmp_path / "in.csv", tmp_path / "out")


def parts() -> Iterator[tuple[Part, ...]]:
    """Parts that are no whole: one missing, doubled, short, and out of order."""
    whole = tuple(
        Part(number=n, first=10 * n, rows=10, digest="d", size=1, outcomes={"answered": 10}) for n in range(3)
    )
    yield whole[:2]
    yield (*whole[:2], whole[1])
    yield (whole[0], msgspec.structs.replace(whole[1], rows=9), whole[2])
    yield (whole[1], whole[0], whole[2])
    yield ()


@pytest.mark.requirement("SERV-02", by="holdfast.core.batch:check_whole")
@pytest.mark.parametrize("number", range(5))
def test_parts_that_are_no_whole_are_refused(good: tuple[Path, Path, Manifest], number: int) -> None:
    """Rows missing, doubled or in another order."""
    manifest = msgspec.structs.replace(
        good[2], rows=30, parts=list(parts())[number], outcomes={"answered": 30}, reasons={}, flags={}
    )
    with pytest.raises(NotVerified):
        check_whole(manifest)


def test_a_plan_that_somebody_changed_is_not_gone_on_with(
    world: DiskWorld, good: tuple[Path, Path, Manifest], tmp_path: Path
) -> None:
    """It is read strictly."""
    output = tmp_path / "out"
    output.mkdir()
    (output / PLAN).write_text('{"format": 1}')
    with pytest.raises(NotVerified, match="plan"):
        score(world, good[0], output)
    assert msgspec.json.decode((good[1] / PLAN).read_bytes(), type=Plan) == good[2].plan
