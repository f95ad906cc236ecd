"""Security events and telemetry: nothing is lost, nothing is counted twice, and no line can be changed unseen."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.adapters.spool import Spool
from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import NotVerified, Unavailable
from holdfast.core.seal import TELEMETRY, Telemetry, unseal
from holdfast.core.telemetry import Window, add_windows
from holdfast.maths.sketch import profile
from holdfast.serve import Recorder
from holdfast.serve.events import ANYBODY, Head, Noted, SecurityLog, link, opened, read_events
from holdfast.serve.state import TrainingProfile
from holdfast.serve.telemetry import MAX_PENDING, Meter
from holdfast.testing.world import Serving, World, with_key

LOADED = ("signature.verified", "model.loaded", "state.loaded")
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def noted(kind: str = "refused.gateway", caller: str = "peer:1", seconds: float = 0.0) -> Noted:
    """An event some seconds after noon."""
    return Noted(time=NOON + timedelta(seconds=seconds), kind=kind, caller=caller, detail="why")


@given(
    st.lists(
        st.tuples(st.sampled_from(["refused.a", "detected.b"]), st.sampled_from(["x", "y", "z"]), st.floats(0, 5)),
        max_size=60,
    ).map(lambda events: sorted(events, key=lambda event: event[2])),
    st.lists(st.integers(0, 60), max_size=5),
)
def test_counts_add_up_to_what_was_noted_whenever_they_are_collected(
    events: list[tuple[str, str, float]], stops: list[int]
) -> None:
    """Kind by kind and caller by caller, first events and repeats together are exactly what happened."""
    log, collected = SecurityLog(), []
    for number, (kind, caller, seconds) in enumerate(events):
        log.note(noted(kind, caller, seconds))
        if number in stops:
            collected += log.collect(NOON + timedelta(seconds=seconds))
    collected += log.collect(NOON + timedelta(seconds=60))
    for kind, caller in {(kind, caller) for kind, caller, _ in events}:
        happened = sum(1 for event in events if event[:2] == (kind, caller))
        assert sum(event.count for event in collected if (event.kind, event.caller) == (kind, caller)) == happened
    assert log.total == len(events)


def test_the_first_event_of_a_second_is_there_at_once_and_its_repeats_when_the_second_is_over() -> None:
    """An operator does not wait for the end of the second to see that something happens."""
    log = SecurityLog()
    for _ in range(5):
        log.note(noted())
    assert [event.count for event in log.collect(NOON)] == [1]
    assert log.collect(NOON) == []
    assert [(event.count, event.detail) for event in log.collect(NOON + timedelta(seconds=1))] == [
        (4, "repeats of the same second")
    ]


def test_callers_beyond_the_bound_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood from many addresses cannot grow the memory without bound; its size is still told exactly."""
    monkeypatch.setattr("holdfast.serve.events.MAX_CALLERS", 3)
    log = SecurityLog()
    for number in range(10):
        for _ in range(2):
            log.note(noted(caller=f"peer:{number}"))
    collected = log.collect(NOON + timedelta(seconds=1))
    assert sum(event.count for event in collected) == 20
    assert len(collected) <= 8
    assert {event.caller for event in collected} == {"peer:0", "peer:1", "peer:2", "peer:3", ANYBODY}


def test_a_chain_of_events_reads_back_as_it_was_written() -> None:
    """Lines continue a chain, in one group or in several."""
    events = [noted(seconds=number) for number in range(4)]
    whole, head = link(events, Head())
    first, middle = link(events[:1], Head())
    second, end = link(events[1:], middle)
    assert (first + second, end) == (whole, head)
    found, read = read_events(whole, Head())
    assert [event.sequence for event in found] == [0, 1, 2, 3]
    assert read == head
    assert read_events(second)[1] == head


def _lines(count: int = 5) -> list[bytes]:
    return link([noted(seconds=number) for number in range(count)], Head())[0].splitlines(keepends=True)


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (lambda lines: [lines[0], lines[1].replace(b'"why"', b'"hmm"'), *lines[2:]], "line 3"),
        (lambda lines: lines[1:], "line 1"),
        (lambda lines: [*lines[:2], *lines[3:]], "line 3"),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], "line 3"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "line 1"),
        (lambda lines: [*lines[:4], lines[4][:-9]], "line 5"),
        (lambda lines: [lines[0].replace(b":", b": ", 1), *lines[1:]], "line 1"),
        (lambda lines: [b"\n", *lines], "line 1"),
    ],
)
def test_a_changed_missing_repeated_moved_or_cut_line_is_found(
    spoil: Callable[[list[bytes]], list[bytes]], place: str
) -> None:
    """Whoever edits the file shows themselves, and where."""
    with pytest.raises(NotVerified) as caught:
        read_events(b"".join(spoil(_lines())), Head())
    assert caught.value.place == place


# ── meters ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def meter() -> Meter:
    """A meter of two inputs, profiled on a thousand even rows each."""
    even = np.linspace(0.0, 1.0, 1000)
    training = TrainingProfile(inputs={"a": profile(even), "b": profile(even * 10)}, score=profile(even))
    return Meter(profile=training, names=("a", "b"))


@given(
    st.lists(
        st.lists(st.tuples(st.floats(-1, 2, width=32), st.floats(-5, 15, width=32)), min_size=1, max_size=4),
        max_size=12,
    ),
    st.sets(st.integers(0, 12)),
)
def test_windows_add_up_to_what_was_observed_however_often_they_are_told(
    calls: list[list[tuple[float, float]]], tells: set[int]
) -> None:
    """Told in pieces or at once: the same counts, each value in the cell that the profile says."""
    found, windows = meter(), []
    for number, rows in enumerate(calls):
        values = np.array(rows, dtype=np.float32)
        found.observe(0.003, values, np.full(len(rows), 0.5), 1)
        if number in tells:
            window, reading = found.untold()
            found.tell(reading)
            windows.append(window)
    windows.append(found.untold()[0])
    total = windows[0]
    for window in windows[1:]:
        total = add_windows(total, window)
    values = np.array([row for rows in calls for row in rows], dtype=np.float32).reshape(-1, 2)
    assert (total.requests, total.rows, total.flagged) == (len(calls), len(values), len(calls))
    assert total.inputs["a"] == found.profile.inputs["a"].bin(values[:, 0])
    assert total.inputs["b"] == found.profile.inputs["b"].bin(values[:, 1])
    assert sum(total.scores) == len(values)
    assert sum(total.latency) == len(calls)


def test_a_window_that_could_not_be_written_is_part_of_the_next() -> None:
    """Nothing is forgotten because a disk was full for a while."""
    found = meter()
    found.observe(0.003, np.array([[0.5, 5.0]], dtype=np.float32), np.array([0.5]), 0)
    lost, _ = found.untold()
    found.observe_failure(2.0)
    window, _ = found.untold()
    assert (lost.requests, window.requests, window.failures, window.rows) == (1, 2, 1, 1)
    assert window.latency[5] == 1  # 3 ms: above 2.5 and below 5
    assert window.latency[-1] == 1  # 2 s: above the last edge


def test_rows_that_wait_for_their_cells_are_bounded() -> None:
    """A gateway whose records nobody keeps does not grow for ever."""
    found = meter()
    row = np.array([[0.5, 5.0]], dtype=np.float32)
    for _ in range(MAX_PENDING + 10):
        found.observe(0.001, row, np.array([0.5]), 0)
    assert len(found._pending) <= MAX_PENDING
    assert sum(found.untold()[0].scores) == MAX_PENDING + 10


def test_many_rows_are_put_into_their_cells_before_the_window_ends() -> None:
    """A worker looks twenty times a second whether many rows wait: they would be cold, and memory, by the end."""
    found = meter()
    rows = np.full((5000, 2), 0.5, dtype=np.float32)
    found.observe(0.001, rows[:1], np.full(1, 0.5), 0)
    assert not found.full
    for _ in range(30):
        found.observe(0.001, rows, np.full(5000, 0.5), 0)
    assert found.full
    found.settle()
    assert not found.full
    assert len(found._pending) == 0
    window, _ = found.untold()
    assert sum(window.scores) == sum(window.inputs["a"]) == 150_001


# ── the recorder and its spool ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def gateway() -> Serving:
    """A gateway that serves."""
    return World().serve(OnnxRuntime())


def encrypted(record: bytes) -> bytes:
    """Stands for encryption: nothing of what went in can be seen, and `decrypted` undoes it."""
    return b"sealed " + bytes(byte ^ 0x5A for byte in record)


def decrypted(record: bytes) -> bytes:
    """What only the control plane can do."""
    if not record.startswith(b"sealed "):
        raise NotVerified("the encrypted bytes were changed")
    return bytes(byte ^ 0x5A for byte in record.removeprefix(b"sealed "))


def lines_of(path: Path) -> bytes:
    """The events in a file, as the control plane reads them."""
    return opened(path.read_bytes(), decrypted)


def recorder(gateway: Serving, folder: Path, worker: int = 0) -> Recorder:
    """The recorder of a worker over a spool on disk."""
    made = Recorder(
        worker=worker,
        gateway=gateway.gateway,
        spool=Spool(folder, worker),
        signer=gateway.world.signers["gateway"],
        encrypt=encrypted,
        clock=gateway.world.clock,
    )
    made.open()
    return made


def told(gateway: Serving, folder: Path) -> list[Telemetry]:
    """Every statement in the spool, verified as the control plane verifies them, in order."""
    paths = sorted(folder.glob("telemetry-*.dsse.age"))
    documents = [decrypted(path.read_bytes()) for path in paths]
    return [unseal(one, TELEMETRY, gateway.world.trust, at=gateway.world.clock.now()).value for one in documents]


def flush(gateway: Serving, keeper: Recorder) -> None:
    """Let the second end, and write everything."""
    gateway.world.clock.advance(timedelta(seconds=1))
    keeper.write_events()
    keeper.tell_windows()


def test_telemetry_is_sealed_by_the_gateway_and_chained(gateway: Serving, tmp_path: Path) -> None:
    """Each window names the digest of the one before it, is about one release, and counts what happened."""
    keeper = recorder(gateway, tmp_path)
    state = gateway.gateway.state
    assert state is not None
    (release,) = state.releases
    for calls in (3, 2):
        for _ in range(calls):
            assert gateway.call().status == 200
        flush(gateway, keeper)
    statements = told(gateway, tmp_path)
    assert [one.sequence for one in statements] == list(range(len(statements)))
    assert {one.gateway for one in statements} == {"gateway"}
    windows = [msgspec.convert(one.body, Window) for one in statements if one.release == release]
    assert [window.requests for window in windows] == [3, 2]
    previous = ""
    for one, path in zip(statements, sorted(tmp_path.glob("telemetry-*.dsse.age")), strict=True):
        assert one.previous == previous
        previous = digest_bytes(decrypted(path.read_bytes()))


def test_an_anchor_names_the_head_of_the_events(gateway: Serving, tmp_path: Path) -> None:
    """The chain of events is signed for, so that whoever replaces the whole file is found out."""
    keeper = recorder(gateway, tmp_path)
    gateway.call(with_key("hf_" + "B" * 43))
    flush(gateway, keeper)
    (path,) = tmp_path.glob("events-0-*.jsonl")
    events, head = read_events(lines_of(path), Head())
    assert [event.kind for event in events] == [*LOADED, "refused.authenticated.HF241"]
    (anchor,) = [one for one in told(gateway, tmp_path) if not one.release]
    assert anchor.body == {"worker": 0, "events": head.sequence, "head": head.previous}
    flush(gateway, keeper)
    assert len(told(gateway, tmp_path)) == 1  # nothing new happened, nothing new is told


def test_a_restarted_gateway_goes_on_with_both_chains(gateway: Serving, tmp_path: Path) -> None:
    """Also if the control plane has taken every statement away meanwhile, no number is used twice."""
    flush(gateway, recorder(gateway, tmp_path))
    drained = len(told(gateway, tmp_path))
    for path in tmp_path.glob("telemetry-*.dsse.age"):
        path.unlink()
    again = recorder(gateway, tmp_path)
    gateway.call()
    gateway.call(())
    flush(gateway, again)
    statements = told(gateway, tmp_path)
    assert statements[0].sequence == drained
    assert statements[0].previous
    (path,) = tmp_path.glob("events-0-*.jsonl")
    assert [event.sequence for event in read_events(lines_of(path), Head())[0]] == list(range(len(LOADED) + 1))


def test_a_line_that_a_crash_cut_off_is_dropped_and_that_is_on_record(gateway: Serving, tmp_path: Path) -> None:
    """Half a line was never acknowledged: it goes, and the chain goes on after the last whole one."""
    flush(gateway, recorder(gateway, tmp_path))
    (path,) = tmp_path.glob("events-0-*.jsonl")
    with path.open("ab") as file:
        file.write(b'{"caller":"half a li')
    flush(gateway, recorder(gateway, tmp_path))
    events, _ = read_events(lines_of(path), Head())
    assert [event.kind for event in events] == [*LOADED, "spool.torn"]


def test_a_file_of_events_that_was_changed_is_set_aside_and_that_is_on_record(gateway: Serving, tmp_path: Path) -> None:
    """The gateway does not build on a chain that does not hold; what was found stays as evidence."""
    for _ in range(2):
        gateway.call(())
        flush(gateway, recorder(gateway, tmp_path))
    (path,) = tmp_path.glob("events-0-*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"sealed":"c2', b'"sealed":"d2'))
    flush(gateway, recorder(gateway, tmp_path))
    assert list(tmp_path.glob("*.jsonl.broken"))
    (fresh,) = tmp_path.glob("events-0-*.jsonl")
    assert [event.kind for event in read_events(lines_of(fresh), Head())[0]] == ["spool.broken"]


def test_a_statement_that_a_crash_left_pending_is_named_when_the_spool_is_opened(
    gateway: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number was taken and the process died before the file had its name: the next one finishes it."""
    keeper = recorder(gateway, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "_name", lambda *_: None)
        flush(gateway, keeper)
    assert told(gateway, tmp_path) == []
    recorder(gateway, tmp_path)
    assert [one.sequence for one in told(gateway, tmp_path)] == [0]


def test_what_a_full_disk_refuses_is_kept_and_written_later(
    gateway: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events and windows survive a disk that was full for a while, in order and counted once."""
    keeper = recorder(gateway, tmp_path)
    gateway.call()
    gateway.call(())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        for step in (keeper.write_events, keeper.tell_windows):
            with pytest.raises(Unavailable, match="No space left"):
                step()
    flush(gateway, keeper)
    (path,) = tmp_path.glob("events-0-*.jsonl")
    assert [event.kind for event in read_events(lines_of(path), Head())[0]] == [
        *LOADED,
        "refused.authenticated.HF241",
    ]
    windows = [one.body["requests"] for one in told(gateway, tmp_path) if one.release]
    assert windows == [1]


def test_workers_share_one_chain_of_statements(gateway: Serving, tmp_path: Path) -> None:
    """Two workers take turns: numbers and digests form one chain, and events stay apart."""
    keepers = [recorder(gateway, tmp_path, worker) for worker in (0, 1)]
    for turn in range(4):
        gateway.call(())
        gateway.call()
        flush(gateway, keepers[turn % 2])
    statements = told(gateway, tmp_path)
    assert [one.sequence for one in statements] == list(range(len(statements)))
    assert len({one.previous for one in statements}) == len(statements)
    assert len(list(tmp_path.glob("events-0-*.jsonl"))) == len(list(tmp_path.glob("events-1-*.jsonl"))) == 1


def test_long_files_of_events_are_closed_and_a_new_one_is_begun(
    gateway: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control plane can take closed files away; the chain runs on through their borders."""
    monkeypatch.setattr("holdfast.adapters.spool.MAX_SEGMENT", 300)
    keeper = recorder(gateway, tmp_path)
    for _ in range(4):
        gateway.call(())
        flush(gateway, keeper)
    files = sorted(tmp_path.glob("events-0-*.jsonl"))
    assert len(files) > 1
    head = Head()
    for file in files:
        _, head = read_events(lines_of(file), head)
    assert head.sequence == len(LOADED) + 4


def test_a_file_of_events_that_was_taken_away_is_followed_by_another(gateway: Serving, tmp_path: Path) -> None:
    """Whoever removes the file cannot stop the record: the chain goes on in a new file."""
    keeper = recorder(gateway, tmp_path)
    flush(gateway, keeper)
    (first,) = tmp_path.glob("events-0-*.jsonl")
    head = read_events(lines_of(first), Head())[1]
    first.unlink()
    gateway.call(())
    flush(gateway, keeper)
    (second,) = tmp_path.glob("events-0-*.jsonl")
    assert second.name == f"events-0-{len(LOADED):012d}.jsonl"
    assert read_events(lines_of(second), head)[1].sequence == len(LOADED) + 1


def test_a_key_that_the_trust_document_does_not_name_tells_nothing(gateway: Serving, tmp_path: Path) -> None:
    """A gateway signs under the name that the root keys gave its key, or not at all."""
    keeper = recorder(gateway, tmp_path)
    keeper.signer = gateway.world.signers["watch"]
    gateway.call()
    with pytest.raises(NotVerified, match="does not name this gateway's key"):
        keeper.tell_windows()
    keeper.signer = gateway.world.signers["gateway"]
    flush(gateway, keeper)
    assert [one.body["requests"] for one in told(gateway, tmp_path) if one.release] == [1]
