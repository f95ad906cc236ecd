"""The loop from production back: what drifts, fails, lies or was damaged leads to a rollback and an incident, once."""

import base64
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.scenarios.stand import (
    MADE_WITH,
    Gateway,
    Spool,
    blob,
    calm,
    damage,
    document,
    drifted,
    evidence,
    file_evidence,
    incident,
    incidents,
    kinds,
    later,
    model_file,
    now,
    parent,
    published_blob,
    releases,
)

from holdfast.adapters.records import encrypt_record
from holdfast.app import unsafe_edit_ledger
from holdfast.core.artifact import Kind, canonical
from holdfast.core.errors import InvalidInput, LedgerBroken, NotVerified, Unavailable
from holdfast.core.evidence import failed
from holdfast.core.ledger import Draft
from holdfast.core.seal import TELEMETRY, Telemetry, open_envelope, seal, seal_payload
from holdfast.core.signals import Signal
from holdfast.core.telemetry import traffic_stream
from holdfast.lifecycle.loop import Seen, look, watch
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.publishing import present_table
from holdfast.lifecycle.reply import Progress
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import project_stream
from holdfast.respond import Posture
from holdfast.serve.events import Group, Head, Noted, link, opened
from holdfast.serve.events import standing as standing_of
from holdfast.testing.memory import MemorySigner


def signals(seen: Seen) -> list[tuple[Signal, str]]:
    """What a round raised, and about what."""
    return [(item.signal, item.subject) for item in seen.raised]


# Drift, errors and latency: the promise is broken.


@pytest.mark.guarantee("G21")
@pytest.mark.requirement("ROLL-07", by="holdfast.lifecycle.promotion:withdraw")
@pytest.mark.requirement("MON-14", by="holdfast.watch.controls:_input_drift")
def test_drifted_traffic_rolls_back_and_opens_an_incident_with_its_timeline(producing: Plant) -> None:
    """Through the real gateway: three columns are rescaled, the release before answers again, and it is all written."""
    first, second = releases(producing)
    gateway = Gateway(producing)
    rows = gateway.rows(second)
    gateway.traffic(rows * np.where(np.arange(rows.shape[1]) < 3, 1.35, 1.0))
    seen = look(producing)
    assert signals(seen) == [(Signal.DRIFT, second)]
    assert "mean_" in seen.raised[0].words
    assert now(producing).baseline == first
    gateway.loader.refresh()
    assert first.removeprefix("sha256:").startswith(gateway.answers_with(rows))
    (opened,) = incidents(producing)
    document = incident(producing, opened)
    assert document["severity"] == "high"
    assert document["signals"][0]["subject"] == second
    times = [int(line["entry"]) for line in document["timeline"]]
    assert times == sorted(times)
    told = {line["what"] for line in document["timeline"]}
    assert {"promoted to production", "taken out of production", "the route table changed"} <= told
    assert any("rolled back" in action for action in document["actions"])


@pytest.mark.requirement("INC-08", by="holdfast.lifecycle.incidents:record_incident")
def test_an_incident_names_the_model_and_the_version_it_is_about(producing: Plant) -> None:
    """From the signal: which endpoint, and which release of it."""
    _, second = releases(producing)
    Spool(plant=producing).tell(second, drifted(producing, second, "mean_texture"))
    look(producing)
    document = incident(producing, incidents(producing)[0])
    assert document["endpoint"] == "endpoint/production/breast-cancer"
    assert document["signals"] == [
        {"signal": "drift", "subject": second, "words": document["signals"][0]["words"]},
    ]
    assert "mean_texture" in document["signals"][0]["words"]


def test_traffic_as_in_training_raises_nothing(producing: Plant) -> None:
    """A window spread as the training rows were is measured, and kept beside the release's own history."""
    _, second = releases(producing)
    before = kinds(producing, second)
    Spool(plant=producing).tell(second, calm(producing, second))
    seen = look(producing)
    assert (seen.windows, seen.raised, seen.done) == (1, (), ())
    assert {item.control for item in seen.evidence} == {"watch.drift/1", "watch.predictions/1", "watch.sli/1"}
    assert kinds(producing, second) == before
    assert kinds(producing, traffic_stream(second)) == ["traffic.measured"]


def test_bad_news_about_traffic_travels_with_the_release(producing: Plant) -> None:
    """Evidence beyond the promise is filed on the release itself, so that every later passport carries it."""
    _, second = releases(producing)
    Spool(plant=producing).tell(second, drifted(producing, second, "mean_texture"))
    look(producing)
    filed = [entry.body["control"] for entry in producing.ledger.stream(second) if entry.kind == "evidence.filed"]
    assert filed[-1] == "watch.drift/1"


@pytest.mark.guarantee("G21")
@pytest.mark.parametrize(
    ("broken", "signal"), [({"failures": 60}, Signal.ERRORS), ({"slow": 60}, Signal.LATENCY)], ids=["errors", "latency"]
)
def test_a_broken_service_level_rolls_back(producing: Plant, broken: dict[str, int], signal: Signal) -> None:
    """More failures, or slower answers, than promised, beyond what chance explains."""
    first, second = releases(producing)
    Spool(plant=producing).tell(second, calm(producing, second, **broken))
    assert signals(look(producing)) == [(signal, second)]
    assert now(producing).baseline == first
    assert len(incidents(producing)) == 1


def test_too_little_traffic_says_nothing(producing: Plant) -> None:
    """A handful of rows, however odd, raises no alarm; they count once enough have come."""
    _, second = releases(producing)
    window = drifted(producing, second, "mean_texture")
    few = msgspec.structs.replace(
        window,
        rows=3,
        requests=3,
        latency=(3, *window.latency[1:]),
        inputs={name: (*((0,) * (len(cells) - 2)), 3, 0) for name, cells in window.inputs.items()},
        scores=(*((0,) * (len(window.scores) - 2)), 3, 0),
    )
    Spool(plant=producing).tell(second, few)
    seen = look(producing)
    assert (seen.windows, seen.evidence, seen.raised) == (1, (), ())


def test_a_second_signal_after_the_rollback_adds_to_the_incident(producing: Plant) -> None:
    """Drift that goes on under the earlier release opens no second incident and moves no traffic."""
    first, second = releases(producing)
    spool = Spool(plant=producing)
    spool.tell(second, drifted(producing, second, "mean_texture"))
    look(producing)
    spool.tell(first, drifted(producing, first, "mean_texture"))
    look(producing)
    assert now(producing).baseline == first
    assert [entry.kind for entry in incidents(producing)] == ["incident.opened", "incident.extended"]


def test_a_promotion_by_the_owner_ends_the_incident(producing: Plant) -> None:
    """Putting a release into production again is what resolves it, and it is on record."""
    _, second = releases(producing)
    Spool(plant=producing).tell(second, drifted(producing, second, "mean_texture"))
    look(producing)
    assert now(producing).posture == Posture.CONTAINED
    promote(producing, reason="The scanner was recalibrated.", release=second)
    assert now(producing).posture == Posture.STEADY
    assert [entry.kind for entry in incidents(producing)] == ["incident.opened", "incident.closed"]


def test_looking_twice_does_nothing_twice(producing: Plant) -> None:
    """The second look finds nothing new: no entry, no signal, no other table."""
    _, second = releases(producing)
    Spool(plant=producing).tell(second, drifted(producing, second, "mean_texture"))
    look(producing)
    size, table = producing.ledger.size(), document(producing, "routes.dsse.json").read_bytes()
    seen = look(producing)
    assert (seen.windows, seen.raised, seen.done) == (0, (), ())
    assert producing.ledger.size() == size
    assert document(producing, "routes.dsse.json").read_bytes() == table


# Integrity: what the gateway refuses to load.


@pytest.mark.guarantee("G21")
def test_a_gateway_that_cannot_verify_a_model_leads_to_a_rollback_and_an_incident(producing: Plant) -> None:
    """One bit of the published model is flipped: the gateway refuses and says so; the release before answers."""
    first, second = releases(producing)
    gateway = Gateway(producing)
    rows = gateway.rows(second)
    damage(published_blob(producing, model_file(producing, second)))
    with pytest.raises(NotVerified):
        gateway.loader.refresh()
    gateway.write()
    seen = look(producing)
    assert signals(seen) == [(Signal.INTEGRITY_FAILURE, second)]
    assert any(words.startswith("restored") for words in seen.done)
    assert now(producing).baseline == first
    assert incident(producing, incidents(producing)[0])["severity"] == "critical"
    gateway.loader.refresh()
    assert first.removeprefix("sha256:").startswith(gateway.answers_with(rows))


@pytest.mark.requirement("ROLL-12", by="holdfast.registry.standing:rolled_back")
def test_an_integrity_failure_with_nothing_to_go_back_to_ends_in_the_safe_state(plant: Plant) -> None:
    """Nothing answers: that is declared, signed and published, and the gateway obeys it."""
    promote(plant, reason="The only one.")
    (release,) = releases(plant)
    gateway = Gateway(plant)
    rows = gateway.rows(release)
    damage(published_blob(plant, model_file(plant, release)))
    with pytest.raises(NotVerified):
        gateway.loader.refresh()
    gateway.write()
    seen = look(plant)
    assert any("safe state" in words for words in seen.done)
    assert now(plant).baseline == ""
    gateway.loader.refresh()
    assert gateway.answers_with(rows) in {"403", "404"}


def test_complaints_from_before_the_rollback_roll_back_no_further(producing: Plant) -> None:
    """The gateway tries again every few seconds: what it says about the old table is no word about the new one."""
    first, second = releases(producing)
    complaint = Noted(
        time=producing.clock.now(),
        kind="state.refused.HF500",
        caller="gateway",
        detail=f"HF500 {model_file(producing, second)}: the stored bytes no longer have this digest",
    )
    lines, _ = link([complaint] * 3, Head())
    path = events_file(producing)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(lines.splitlines(keepends=True)[:1]))
    look(producing)
    assert now(producing).baseline == first
    path.write_bytes(lines)
    seen = look(producing)
    assert signals(seen) == [(Signal.INTEGRITY_FAILURE, second)] * 2
    assert now(producing).baseline == first
    assert [entry.kind for entry in incidents(producing)] == ["incident.opened", *["incident.extended"] * 2]


def test_a_copy_of_our_own_that_is_damaged_takes_its_release_out(producing: Plant) -> None:
    """Neither copy of the model verifies: it cannot be restored, so the release goes and the one before answers."""
    first, second = releases(producing)
    damaged = model_file(producing, second)
    damage(published_blob(producing, damaged))
    for copy in blob(producing, damaged):
        damage(copy)
    seen = look(producing)
    assert signals(seen)[0] == (Signal.INTEGRITY_FAILURE, second)
    assert now(producing).baseline == first
    assert len(incidents(producing)) == 1


def test_a_broken_ledger_stops_everything(producing: Plant) -> None:
    """Nothing may be written on top of history that does not fit its hashes."""
    stream = project_stream(current_project(producing))
    position = producing.ledger.stream(stream)[-1].position
    endpoint = producing.ledger.stream("endpoint/production/breast-cancer")[-1].position
    for place in (position, endpoint):
        unsafe_edit_ledger(producing.home.root, place, b'"actor":"', b'"actor":"not ')
    with pytest.raises(LedgerBroken):
        look(producing)


# Telemetry that lies.


def forged_by_a_stage(plant: Plant, release: str) -> bytes:
    """A window sealed by another key of the workspace."""
    spool = Spool(plant=plant)
    body, _ = open_envelope(spool.statement(release, msgspec.to_builtins(calm(plant, release))))
    return seal_payload(body, [plant.keys.signer("watch")])


def edited(plant: Plant, release: str) -> bytes:
    """A window with one count changed after it was sealed."""
    envelope = msgspec.json.decode(
        Spool(plant=plant).statement(release, msgspec.to_builtins(calm(plant, release, failures=60)))
    )
    payload = base64.b64decode(envelope["payload"]).replace(b'"failures":60', b'"failures":0')
    return canonical(envelope | {"payload": base64.b64encode(payload).decode()})


def of_another_gateway(plant: Plant, release: str) -> bytes:
    """A window that this gateway seals in another's name."""
    window = msgspec.to_builtins(calm(plant, release))
    return Spool(plant=plant).statement(release, window, gateway="gateway/other")


def of_no_release(plant: Plant, _: str) -> bytes:
    """A window about a release that does not exist."""
    window = msgspec.to_builtins(calm(plant, releases(plant)[0]))
    return Spool(plant=plant).statement("sha256:" + "0" * 64, window)


def impossible(plant: Plant, release: str) -> bytes:
    """A window in which more calls failed than there were."""
    window = calm(plant, release, failures=1)
    return Spool(plant=plant).statement(
        release, msgspec.to_builtins(msgspec.structs.replace(window, failures=window.requests + 1))
    )


def negative(plant: Plant, release: str) -> bytes:
    """A window that takes counts back."""
    window = calm(plant, release)
    return Spool(plant=plant).statement(release, msgspec.to_builtins(msgspec.structs.replace(window, flagged=-1)))


def of_other_columns(plant: Plant, release: str) -> bytes:
    """A window that counts a column the release does not have."""
    window = calm(plant, release)
    changed = msgspec.structs.replace(window, inputs={**window.inputs, "invented": (1, 2, 3)})
    return Spool(plant=plant).statement(release, msgspec.to_builtins(changed))


LIES = [
    pytest.param(lambda *_: b"{", id="no envelope"),
    pytest.param(lambda *_: b"", id="nothing"),
    pytest.param(lambda *_: b"x" * ((8 << 20) + 2), id="far too long"),
    pytest.param(edited, id="edited after it was sealed"),
    pytest.param(forged_by_a_stage, id="sealed by another role"),
    pytest.param(of_another_gateway, id="in another gateway's name"),
    pytest.param(of_no_release, id="about no release"),
    pytest.param(impossible, id="more failures than calls"),
    pytest.param(negative, id="counts taken back"),
    pytest.param(of_other_columns, id="other columns"),
    pytest.param(lambda plant, release: Spool(plant=plant).statement(release, {"requests": 1}), id="no window"),
    pytest.param(lambda plant, _: Spool(plant=plant).statement("", {"worker": "x"}), id="no anchor"),
]


@pytest.mark.guarantee("G03")
@pytest.mark.parametrize("lie", LIES)
def test_telemetry_that_cannot_be_believed_is_refused_and_signalled(
    producing: Plant, lie: Callable[[Plant, str], bytes]
) -> None:
    """It changes no measurement, is kept as evidence beside the spool, and counts as an integrity failure."""
    first, second = releases(producing)
    spool = Spool(plant=producing)
    spool.put(lie(producing, second))
    seen = look(producing)
    assert signals(seen) == [(Signal.INTEGRITY_FAILURE, second)]
    assert (seen.windows, seen.evidence) == (0, ())
    assert now(producing).baseline == first
    (kept,) = spool.left()
    assert kept.startswith("telemetry-0000000000.dsse.json.refused-")
    assert producing.ledger.stream("spool")[-1].body["file"] == kept
    assert look(producing).raised == ()


def test_many_lies_at_once_roll_back_once(producing: Plant) -> None:
    """Ten forged statements cannot push an endpoint through all its earlier releases."""
    first, _ = releases(producing)
    spool = Spool(plant=producing)
    for number in range(10):
        spool.put(b"{}", name=f"telemetry-{number:010d}.dsse.json")
    seen = look(producing)
    assert len(seen.raised) == 10
    assert now(producing).baseline == first
    assert [entry.kind for entry in incidents(producing)] == ["incident.opened", *["incident.extended"] * 9]


@pytest.mark.requirement("MON-27", by="holdfast.lifecycle.intake:_gap")
def test_a_missing_statement_is_signalled_once_and_the_chain_goes_on(producing: Plant) -> None:
    """A window that was never told could have held the attack: the gap is on record, what follows is taken in."""
    _, second = releases(producing)
    spool, window = Spool(plant=producing), calm(producing, second)
    spool.tell(second, window)
    look(producing)
    spool.tell(second, window).unlink()
    spool.tell(second, window)
    seen = look(producing)
    assert [item.signal for item in seen.raised] == [Signal.INTEGRITY_FAILURE]
    assert "missing" in seen.raised[0].words
    assert seen.windows == 1
    gateway = next(key.owner for key in producing.trust.of_role("gateway"))
    assert kinds(producing, gateway) == ["telemetry.drained", "telemetry.gap", "telemetry.drained"]
    spool.tell(second, window)
    assert look(producing).raised == ()


def test_a_replayed_statement_is_refused(producing: Plant) -> None:
    """Calm windows of yesterday do not cover up today's."""
    _, second = releases(producing)
    spool, window = Spool(plant=producing), calm(producing, second)
    old = spool.statement(second, msgspec.to_builtins(window))
    spool.put(old)
    spool.tell(second, window)
    look(producing)
    spool.put(old, name="telemetry-0000000007.dsse.json")
    seen = look(producing)
    assert [item.signal for item in seen.raised] == [Signal.INTEGRITY_FAILURE]
    assert "comes after" in seen.raised[0].words


def test_a_second_story_under_the_same_number_is_refused(producing: Plant) -> None:
    """Two statements of one number, both sealed: somebody has the gateway's key or its memory."""
    _, second = releases(producing)
    spool = Spool(plant=producing)
    spool.tell(second, calm(producing, second))
    look(producing)
    other = Spool(plant=producing)
    other.tell(second, calm(producing, second, failures=1))
    seen = look(producing)
    assert [item.signal for item in seen.raised] == [Signal.INTEGRITY_FAILURE]


@pytest.mark.guarantee("G18")
def test_a_watch_that_died_before_it_could_remove_a_statement_counts_it_once(producing: Plant) -> None:
    """The ledger holds it, the file is still there: the next look removes it and says nothing."""
    _, second = releases(producing)
    spool = Spool(plant=producing)
    path = spool.tell(second, calm(producing, second))
    document = path.read_bytes()
    look(producing)
    path.write_bytes(document)
    seen = look(producing)
    assert (seen.windows, seen.raised, spool.left()) == (0, (), [])


# What else may lie in the spool.


@pytest.mark.parametrize("name", ["telemetry-0000000000.dsse.json", "events-0-000000000000.jsonl"])
@pytest.mark.parametrize("what", ["a link", "a pipe", "a folder"])
def test_what_is_no_file_is_moved_aside(producing: Plant, name: str, what: str) -> None:
    """No link is followed, no pipe waited for: reading a file of the control plane's choice is what the link is for."""
    secret = producing.home.root / "secret"
    secret.write_bytes(b"nobody else's")
    path = Spool(plant=producing).folder / name
    match what:
        case "a link":
            path.symlink_to(secret)
        case "a pipe":
            os.mkfifo(path)
        case _:
            path.mkdir()
    seen = look(producing)
    assert [item.signal for item in seen.raised] == [Signal.INTEGRITY_FAILURE]
    assert not path.exists()
    assert secret.read_bytes() == b"nobody else's"
    assert look(producing).raised == ()


def test_names_that_are_not_the_gateways_are_left_alone(producing: Plant) -> None:
    """Heads, locks, pending files and whatever somebody else put there."""
    names = ["telemetry.head.json", "pending-0000000000", "telemetry-1.dsse.json", "events-x-1.jsonl", "..", "a"]
    spool = Spool(plant=producing)
    for name in names[:4]:
        (spool.folder / name).write_bytes(b"{}")
    assert look(producing).raised == ()
    assert spool.left() == sorted(names[:4])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_statement_that_may_not_be_read_stops_the_round(producing: Plant) -> None:
    """What cannot be looked at must not look like silence: no lease is renewed meanwhile."""
    _, second = releases(producing)
    path = Spool(plant=producing).tell(second, calm(producing, second))
    path.chmod(0)
    with pytest.raises(Unavailable, match="cannot be read"):
        look(later(producing, timedelta(minutes=10)))
    path.chmod(stat.S_IRUSR)


def test_a_spool_that_is_no_folder_stops_the_round(producing: Plant) -> None:
    """The same, where root may read everything."""
    (producing.home.gateway / "spool").write_bytes(b"")
    table = present_table(producing, current_project(producing))
    with pytest.raises(Unavailable, match="spool cannot be read"):
        look(later(producing, timedelta(minutes=10)))
    assert present_table(producing, current_project(producing)) == table


# Security events.


def events_file(plant: Plant) -> Path:
    """The first file of the first worker's events."""
    return plant.home.gateway / "spool" / "events-0-000000000000.jsonl"


def test_every_security_event_reaches_the_ledger_once(producing: Plant) -> None:
    """Refusals are not sampled: what the gateway noted, the ledger holds, in order, whatever the rounds."""
    gateway = Gateway(producing)
    rows = gateway.rows(releases(producing)[1])
    gateway.key = "hf_" + "A" * 43
    assert gateway.ask(rows[:1]).status == 401
    gateway.write()
    look(producing)
    assert gateway.ask(rows[:1], peer="198.51.100.7").status == 401
    gateway.write()
    look(producing)
    look(producing)
    told = [entry.body for entry in producing.ledger.stream("events/0")]
    assert [event["sequence"] for event in told] == list(range(len(told)))
    assert sum(event["count"] for event in told if event["kind"].startswith("refused.")) == 2
    groups = [msgspec.json.decode(line, type=Group) for line in events_file(producing).read_bytes().splitlines()]
    assert groups[-1].following == len(told)


def noisy(plant: Plant, calls: int = 3) -> Gateway:
    """A gateway that has refused some calls, each noted as an event of its own caller and a line of its own."""
    gateway = Gateway(plant)
    gateway.key = "hf_" + "A" * 43
    rows = gateway.rows(releases(plant)[-1])
    gateway.recorder.write_events()
    for number in range(calls):
        gateway.ask(rows[:1], peer=f"198.51.100.{number}")
        gateway.recorder.write_events()
    return gateway


def line_edited(lines: list[bytes]) -> list[bytes]:
    """One line whose encrypted bytes were changed, and the digest beside them with it."""
    group = msgspec.json.decode(lines[0], type=Group)
    sealed = bytearray(base64.b64decode(group.sealed))
    sealed[-1] ^= 1
    return [relined(group, bytes(sealed)), *lines[1:]]


def relined(group: Group, sealed: bytes) -> bytes:
    """A line with other encrypted bytes."""
    text, digest = base64.b64encode(sealed).decode(), hashlib.sha256(sealed).hexdigest()
    return canonical(msgspec.structs.replace(group, sealed=text, digest=digest)) + b"\n"


def line_removed(lines: list[bytes]) -> list[bytes]:
    """One line is gone."""
    return [lines[0], *lines[2:]]


def lines_swapped(lines: list[bytes]) -> list[bytes]:
    """Two lines in another order."""
    return [lines[1], lines[0], *lines[2:]]


def line_repeated(lines: list[bytes]) -> list[bytes]:
    """One line twice."""
    return [lines[0], *lines]


@pytest.mark.parametrize("tamper", [line_edited, line_removed, lines_swapped, line_repeated])
def test_tampered_security_events_are_signalled_and_kept(
    producing: Plant, tamper: Callable[[list[bytes]], list[bytes]]
) -> None:
    """A line is changed, missing, moved or repeated: an integrity failure; the bytes are kept as evidence."""
    _, second = releases(producing)
    noisy(producing)
    path = events_file(producing)
    path.write_bytes(b"".join(tamper(path.read_bytes().splitlines(keepends=True))))
    seen = look(producing)
    assert {item.signal for item in seen.raised} == {Signal.INTEGRITY_FAILURE}
    assert {item.subject for item in seen.raised} == {second}
    assert look(producing).raised == ()
    assert path.exists()  # the gateway goes on writing to it


@pytest.mark.guarantee("G59")
def test_events_that_somebody_else_encrypted_are_found_out(producing: Plant) -> None:
    """For whom records are encrypted is no secret: a forged line opens, and does not follow the one before it."""
    noisy(producing)
    path = events_file(producing)
    lines = path.read_bytes().splitlines(keepends=True)
    group = msgspec.json.decode(lines[1], type=Group)
    event = producing.open_record(base64.b64decode(group.sealed))
    forged = encrypt_record(
        producing.home.gateway / "records.json",
        event.replace(b"refused.", b"allowed.").replace(b'"count":1', b'"count":0'),
    )
    path.write_bytes(b"".join([lines[0], relined(group, forged), *lines[2:]]))
    assert {item.signal for item in look(producing).raised} == {Signal.INTEGRITY_FAILURE}


def test_what_a_gateway_of_before_left_in_the_clear_is_taken_and_followed(producing: Plant) -> None:
    """After an upgrade lines in the clear are taken in, the chain goes on encrypted, and the old file is removed."""
    noisy(producing)
    path = events_file(producing)
    path.write_bytes(opened(path.read_bytes(), producing.open_record))
    assert b"198.51.100" not in path.read_bytes()
    assert b"refused." in path.read_bytes()
    gateway = noisy(producing)
    gateway.recorder.tell_windows()
    assert look(producing).raised == ()
    assert not path.exists()
    told = [entry.body["sequence"] for entry in producing.ledger.stream("events/0")]
    assert told == list(range(len(told)))
    assert len(told) == 12  # of two gateways: three by which each began, and three refusals


def test_events_whose_end_was_cut_off_before_they_were_taken_are_missed(producing: Plant) -> None:
    """The gateway's sealed anchor says how many there were: cutting off the last ones does not hide them."""
    gateway = noisy(producing)
    gateway.recorder.tell_windows()
    path = events_file(producing)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    seen = look(producing)
    assert [item.signal for item in seen.raised] == [Signal.INTEGRITY_FAILURE]
    assert f"there were {standing_of(b''.join(lines)).sequence}" in seen.raised[0].words


def test_a_file_of_events_that_shrinks_is_signalled_once(producing: Plant) -> None:
    """What the ledger holds is safe, but somebody cut the file."""
    noisy(producing)
    look(producing)
    path = events_file(producing)
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    seen = look(producing)
    assert any("cut off" in item.words for item in seen.raised)
    assert look(producing).raised == ()


def test_a_whole_file_of_events_that_disappears_is_missed(producing: Plant) -> None:
    """The next file does not follow the last one taken."""
    gateway = noisy(producing)
    look(producing)
    gateway.ask(gateway.rows(releases(producing)[1])[:1])
    gateway.recorder.write_events()
    path = events_file(producing)
    lines = path.read_bytes().splitlines(keepends=True)
    last = msgspec.json.decode(lines[-1])
    moment = producing.clock.now()
    kept, _ = link(
        [Noted(time=moment, kind="refused.x", caller="c")], Head(sequence=last["following"], previous="f" * 64)
    )
    path.with_name(f"events-0-{last['following']:012d}.jsonl").write_bytes(kept)
    path.write_bytes(b"".join(lines[:-1]))
    seen = look(producing)
    assert any("missing before" in item.words for item in seen.raised)


def test_a_closed_file_of_events_is_removed_once_it_is_taken(producing: Plant) -> None:
    """The spool does not grow for ever: the ledger holds every line, and the gateway writes to a newer file."""
    noisy(producing)
    first = events_file(producing)
    lines = first.read_bytes().splitlines(keepends=True)
    first.write_bytes(b"".join(lines[:2]))
    begun = standing_of(b"".join(lines[:2])).sequence
    second = first.with_name(f"events-0-{begun:012d}.jsonl")
    second.write_bytes(b"".join(lines[2:]))
    assert look(producing).raised == ()
    assert not first.exists()
    assert second.exists()
    assert len(producing.ledger.stream("events/0")) == standing_of(b"".join(lines)).sequence


def test_a_line_that_is_being_written_is_taken_when_it_is_whole(producing: Plant) -> None:
    """Half a line is no tampering."""
    noisy(producing)
    path = events_file(producing)
    document = path.read_bytes()
    path.write_bytes(document[:-7])
    assert look(producing).raised == ()
    path.write_bytes(document)
    assert look(producing).raised == ()
    assert len(producing.ledger.stream("events/0")) == standing_of(document).sequence


# The canary.


def begin_canary(plant: Plant) -> tuple[str, str]:
    """Put the first release forward as a candidate beside the second; return baseline and candidate."""
    first, second = releases(plant)
    promote(plant, reason="Let the first prove itself again.", release=first, canary=True)
    return second, first


@pytest.mark.guarantee("G20")
@pytest.mark.requirement("ROLL-02", by="holdfast.lifecycle.steps:_forward")
def test_a_healthy_canary_takes_over_step_by_step(producing: Plant) -> None:
    """A tenth, then a half, then all of the traffic: never more than its step allows, each step on new traffic."""
    baseline, candidate = begin_canary(producing)
    spool, shares = Spool(plant=producing), [now(producing).share]
    for _ in range(2):
        spool.tell(candidate, calm(producing, candidate, requests=60))
        spool.tell(baseline, calm(producing, baseline))
        look(producing)
        shares.append(now(producing).share)
        assert look(producing).done == ()  # what was seen on the last step earns nothing on this one
    assert shares == [0.1, 0.5, 0.0]
    assert (now(producing).baseline, now(producing).candidate) == (candidate, "")
    assert kinds(producing, candidate)[-1] == "release.promoted"
    assert now(producing).previous == (baseline,)


@pytest.mark.guarantee("G20")
@pytest.mark.requirement("ROLL-02", by="holdfast.rollout.analysis:analyse")
def test_a_failing_canary_goes_back_to_the_baseline(producing: Plant) -> None:
    """It fails where the baseline does not: all of the traffic goes back, with the reason on record."""
    baseline, candidate = begin_canary(producing)
    spool = Spool(plant=producing)
    for _ in range(3):
        spool.tell(candidate, calm(producing, candidate, requests=60, failures=15))
        spool.tell(baseline, calm(producing, baseline))
    look(producing)
    assert (now(producing).baseline, now(producing).candidate, now(producing).share) == (baseline, "", 0.0)
    last = producing.ledger.stream(candidate)[-1]
    assert (last.kind, last.actor) == ("release.returned", "rollout")
    assert "worse" in last.body["reason"]


def test_silence_moves_no_canary(producing: Plant) -> None:
    """Without calls there is nothing to earn a step with."""
    _, candidate = begin_canary(producing)
    assert look(producing).done == ()
    assert (now(producing).candidate, now(producing).share) == (candidate, 0.1)


def test_a_canary_about_which_bad_news_comes_goes_back(producing: Plant) -> None:
    """The policy denies it by now: it may not serve its share either, whatever its traffic looks like."""
    baseline, candidate = begin_canary(producing)
    model = parent(producing, candidate, Kind.MODEL)
    file_evidence(producing, failed("assess.robustness/1", model, Kind.MODEL, MADE_WITH, "an attack was found"))
    seen = look(producing)
    assert (now(producing).baseline, now(producing).candidate) == (baseline, "")
    assert any("an attack was found" in words for words in seen.done)


# The lease.


@pytest.mark.guarantee("G09")
def test_the_lease_is_renewed_when_half_of_it_is_gone(producing: Plant) -> None:
    """Not before: a look every few seconds must not sign a table every few seconds."""
    before = now(producing).epoch
    table = present_table(producing, current_project(producing))
    assert table is not None
    age = producing.clock.now() - table.issued  # the fixture may be minutes old
    look(later(producing, timedelta(minutes=7) - age))
    assert now(producing).epoch == before
    seen = look(later(producing, timedelta(minutes=8) - age))
    assert now(producing).epoch == before + 1
    assert seen.done[0].startswith("lease renewed until")


@pytest.mark.guarantee("G05")
def test_a_release_whose_evidence_turned_bad_is_taken_out(producing: Plant) -> None:
    """The next look denies it a lease, takes it out with the reason, and the release before answers."""
    first, second = releases(producing)
    model = parent(producing, second, Kind.MODEL)
    file_evidence(producing, failed("assess.robustness/1", model, Kind.MODEL, MADE_WITH, "an attack was found"))
    seen = look(producing)
    assert "no lease" in seen.done[0]
    assert "an attack was found" in seen.done[0]
    assert now(producing).baseline == first
    assert producing.ledger.stream(second)[-1].body["reason"].startswith("no lease")


@pytest.mark.guarantee("G05")
def test_a_revocation_takes_out_what_derives_from_it(producing: Plant) -> None:
    """Both releases learned from the same rows: when those are revoked, neither answers."""
    _, second = releases(producing)
    features = parent(producing, parent(producing, second, Kind.MODEL), Kind.FEATURES)
    rows = parent(producing, features, Kind.DATASET)
    producing.ledger.append([Draft(kind="artifact.revoked", actor="owner", stream=rows, body={"reason": "poisoned"})])
    look(producing)
    assert now(producing).baseline == ""
    table = present_table(producing, current_project(producing))
    assert table is not None
    assert table.revoked == (rows,)


@pytest.mark.guarantee("G03")
def test_evidence_that_does_not_verify_is_an_integrity_failure_of_what_answers(producing: Plant) -> None:
    """Somebody filed a report with another stage's key: nothing about the release can be believed any more."""
    first, second = releases(producing)
    model = parent(producing, second, Kind.MODEL)
    file_evidence(producing, evidence(model, "assess.quality/1", auc=1.0, balanced_accuracy=1.0), role="train")
    seen = look(producing)
    assert signals(seen) == [(Signal.INTEGRITY_FAILURE, second)]
    assert now(producing).baseline == first
    assert len(incidents(producing)) == 1


# Going on.


def test_a_watch_goes_on_after_a_round_that_failed(producing: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a project file, while somebody edits it, must not end what keeps the lease; ctrl-C ends it, answering."""
    told: list[Progress] = []
    good = producing.home.project_file.read_text(encoding="utf-8")
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        match len(waits):
            case 1:
                producing.home.project_file.write_text(good[: len(good) // 2], encoding="utf-8")
            case 2:
                producing.home.project_file.write_text(good, encoding="utf-8")
            case _:
                raise KeyboardInterrupt

    monkeypatch.setattr("holdfast.lifecycle.loop.time.sleep", sleep)
    reply = watch(replace(producing, tell=told.append), every=5.0)
    assert waits == [5.0] * 3
    assert [progress.state for progress in told] == ["failed"]
    assert "HF210" in told[0].words
    assert reply.document["signals"] == []


@pytest.mark.parametrize("every", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_watch_needs_a_time_to_wait(producing: Plant, every: float) -> None:
    """Not none, not for ever, not what is no number."""
    with pytest.raises(InvalidInput, match="--every"):
        watch(producing, every=every)


def test_a_watch_with_nothing_in_production_does_nothing(plant: Plant) -> None:
    """No table, no lease, no signal."""
    size = plant.ledger.size()
    reply = watch(plant)
    assert plant.ledger.size() == size
    assert reply.document == {"windows": 0, "signals": [], "done": [], "evidence": []}


def test_statements_about_nothing_in_production_are_taken_in(plant: Plant) -> None:
    """A forged one opens an incident; there is nothing to roll back."""
    spool: Any = Spool(plant=plant)
    spool.put(seal_of_nobody(plant))
    seen = look(plant)
    assert signals(seen) == [(Signal.INTEGRITY_FAILURE, "")]
    assert [entry.kind for entry in incidents(plant)] == ["incident.opened"]
    assert now(plant).epoch == 0


def seal_of_nobody(plant: Plant) -> bytes:
    """A statement sealed by a key that nobody trusts."""
    moment = plant.clock.now()
    told = Telemetry(gateway="g", release="", sequence=0, previous="", start=moment, end=moment, body={})
    return seal(told, TELEMETRY, [MemorySigner("gateway", owner="g", start=moment)], name="telemetry")
