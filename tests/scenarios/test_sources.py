"""Scenarios of sources: files of several forms become one record form, and only what a source has signed is let in."""

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scenarios.api import opened
from tests.scenarios.sources import declare, made, rows_of, said

from holdfast import app, files
from holdfast.core.artifact import Kind
from holdfast.core.errors import HoldfastError, InvalidData, NotVerified, Refused
from holdfast.lifecycle import sources
from holdfast.lifecycle.data_record import data_show
from holdfast.lifecycle.data_search import data_search
from holdfast.lifecycle.erasure import data_erase, data_list
from holdfast.lifecycle.lineage_graph import lineage
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.pulling import pull
from holdfast.lifecycle.pushing import push
from holdfast.lifecycle.reply import silent
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.source_state import MERGED, REFUSED, state_of
from holdfast.testing.clock import SettableClock

FILES = """
[sources.a]
kind = "csv"
identity = "shop 4, Ms Till"
schedule = "1d"
rename = { Kunde = "id" }
profile = { rows_at_least = 3, late_after = "1h", stale_after = "3d" }
file = { path = "a.csv" }
[sources.b]
kind = "jsonl"
identity = "web shop"
key = ["id"]
file = { path = "b.jsonl" }
[sources.c]
kind = "parquet"
identity = "archive"
file = { path = "c.parquet" }
"""
ALL = '["source:a", "source:b", "source:c"]'
LINES = [{"id": "j1", "x": 5.10, "label": "no"}, {"id": "j2", "x": 6, "label": "no"}]


@pytest.fixture
def folder(unlocking: Path, tmp_path: Path) -> Path:
    """A project of three files, each of its own form."""
    import polars as pl

    folder = made(tmp_path / "project", FILES, ALL)
    (folder / "a.csv").write_bytes("Kunde;x;label;Straße\nä1;1;yes;ö\nb2;2;no;ü\n".encode("cp1252"))
    text = "".join(json.dumps(line) + "\n" for line in LINES)
    (folder / "b.jsonl").write_text(text + '{"id":"j1","x":7.0,"label":"yes"}\n', encoding="utf-8")
    pl.DataFrame({"id": ["p1"], "x": [2.5], "label": ["yes"]}).write_parquet(folder / "c.parquet")
    return folder


@pytest.fixture
def plant(folder: Path) -> Iterator[Plant]:
    """Its control plane."""
    with app.open_plant(folder) as opened:
        yield opened


@pytest.mark.requirement("DATA-01")
def test_files_of_three_forms_become_one_record_form(plant: Plant) -> None:
    """Declared columns as text and the name of the source; of one key the newest version; the dialect is said."""
    reply = pull(plant)
    assert reply.exit_code == 0
    assert "cp1252, semicolon, double quotes (found out" in json.dumps(reply.document, ensure_ascii=False)
    assert rows_of(plant) == [
        {"id": "b2", "x": "2", "label": "no", "_source": "a"},
        {"id": "j1", "x": "7.0", "label": "yes", "_source": "b"},
        {"id": "j2", "x": "6", "label": "no", "_source": "b"},
        {"id": "p1", "x": "2.5", "label": "yes", "_source": "c"},
        {"id": "ä1", "x": "1", "label": "yes", "_source": "a"},
    ]
    assert "UNUSUAL: 2 rows where 3" in json.dumps(reply.document)


@pytest.mark.requirement("DATA-01")
def test_one_source_that_fails_does_not_stop_the_others_and_stands_in_the_evidence(plant: Plant, folder: Path) -> None:
    """The others go on with their rows; the failure is on record, and a finding of the data set's provenance."""
    (folder / "b.jsonl").unlink()
    reply = pull(plant)
    assert reply.exit_code == 1
    assert reply.document["failed"] == ["b"]
    assert said(plant, "b") == ["source.failed"]
    run(plant, until="ingest")
    dataset = next(
        e for e in plant.ledger.entries() if e.kind == "artifact.recorded" and e.body["kind"] == Kind.DATASET
    )
    filed = next(e for e in plant.ledger.stream(dataset.stream) if e.body.get("control") == "ingest.provenance/1")
    document = json.loads(plant.blobs.get(filed.body["envelope"]))
    text = base64.b64decode(document["payload"]).decode()
    assert "source-failed" in text
    assert "source-empty" in text
    assert "sources_failed" in text


def test_a_pulled_file_is_a_snapshot_and_the_same_file_comes_once(plant: Plant, folder: Path) -> None:
    """A newer file takes the place of the older one; one that did not change brings nothing."""
    pull(plant, source="a")
    assert pull(plant, source="a").document["sources"][0]["rows"] == 0
    (folder / "a.csv").write_text("Kunde,x,label\nnew,3,no\n", encoding="utf-8")
    pull(plant, source="a")
    assert [row["id"] for row in rows_of(plant) if row["_source"] == "a"] == ["new"]
    assert state_of(plant, "a").rows == 3


def test_equal_rows_give_an_equal_file(plant: Plant) -> None:
    """What the sources have sent is put together to the same bytes each time, so that a run knows it again."""
    from holdfast.lifecycle.inputs import take_in

    pull(plant)
    assert take_in(plant)[1][Kind.SOURCE] == take_in(plant)[1][Kind.SOURCE]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"Kunde;x\na;1\n", "in no reading"),
        (b"Kunde,x,label\n", "no rows"),
        (b'Kunde,x,label\na,"1,no\nb,2,yes\n', "begins here"),
        (b"Kunde,x,label,=cmd|'/c calc'!A1\na,1,no,2\n", "cannot be a column's name"),
        ("Kunde,x,label,gnp\u202e.exe\na,1,no,2\n".encode(), "cannot be a column's name"),
        (b"Kunde,x,label,x\na,1,no,2\n", "column 2 too"),
        (b"Kunde,x,label,n\x1bote\na,1,no,2\n", "cannot be a column's name"),
        (b"Kunde,x,label,_row\na,1,no,2\n", "is called _row"),
        (b"Kunde,x,label\na,1,no\nb,2\nc\n", "2 of 3 rows cannot be read"),
        (b"Kunde,x,label\n" + b"a" * 200_000 + b",1,no\n", "cannot be read"),
        (b"PK\x03\x04" + b"\x00" * 100, "a ZIP archive"),
    ],
)
def test_a_bad_file_is_told_with_its_reason_and_what_was_there_stays(
    plant: Plant, folder: Path, data: bytes, words: str
) -> None:
    """One message each; the rows of the pull before are what a run gets."""
    pull(plant)
    before = rows_of(plant)
    (folder / "a.csv").write_bytes(data)
    reply = pull(plant, source="a")
    assert reply.exit_code == 1
    assert words in reply.document["sources"][0]["words"]
    assert [row["id"] for row in rows_of(plant)] == [row["id"] for row in before]


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + b"\x00" * 50 + b"PAR1"])
def test_a_damaged_parquet_file_is_told(plant: Plant, folder: Path, data: bytes) -> None:
    """A short one, a cut one, one whose footer is nonsense."""
    (folder / "c.parquet").write_bytes(data)
    reply = pull(plant, source="c")
    assert reply.exit_code == 1
    assert "HF220" in reply.document["sources"][0]["words"]


def test_a_credential_that_was_not_granted_is_not_sent(plant: Plant, folder: Path) -> None:
    """A source gets the secret that it declares only once somebody has granted it."""
    declare(
        folder,
        '[sources.a]\nkind = "api"\nidentity = "api"\nkey = ["id"]\ncredential = "token"\n'
        'api = { url = "http://127.0.0.1:9", limit = { requests = 1 } }\n',
    )
    reply = pull(plant)
    assert "may not have the secret 'token'" in reply.document["sources"][0]["words"]
    assert "secret.refused" in [entry.kind for entry in plant.ledger.stream("secrets")]


def test_what_is_due_follows_from_the_schedule(plant: Plant) -> None:
    """Due at first, late behind its schedule and what is usual, stale where nothing has come for too long."""
    assert sources.due(plant).document["due"] == ["a"]
    pull(plant)
    assert sources.due(plant).document["late"] == []
    later = replace(plant, clock=SettableClock(plant.clock.now() + timedelta(hours=26)))
    assert "LATE" in sources.due(later).document["sources"][0]["words"]
    assert sources.due(later).exit_code == 1
    much_later = replace(plant, clock=SettableClock(plant.clock.now() + timedelta(days=4)))
    assert "STALE" in sources.due(much_later).document["sources"][0]["words"]


def test_rows_of_a_source_are_forgotten_with_their_key(plant: Plant) -> None:
    """Nobody can read them again, and what was made of them is named."""
    pull(plant)
    rows_of(plant)
    batch = state_of(plant, "a").arrivals[0].digest
    reply = sources.forget(plant, source="a", reason="The shop asked for it.")
    assert reply.document["data_sets"]
    with pytest.raises(HoldfastError):
        plant.blobs.get(batch)
    assert state_of(plant, "a").arrivals == ()


# Pushed files


@pytest.fixture
def till(unlocking: Path, tmp_path: Path) -> Path:
    """The key of a till."""
    files.source_key(tell=silent, folder=tmp_path / "till-key", owner="Till 4")
    return tmp_path / "till-key"


@pytest.fixture
def shop(till: Path, tmp_path: Path) -> Iterator[Plant]:
    """A workspace to which the till may push."""
    folder = made(tmp_path / "shop", pushed(till))
    with app.open_plant(folder) as opened:
        yield opened


def pushed(key: Path) -> str:
    """A source whose files this key signs."""
    public = declared(key)
    return f'[sources.a]\nkind = "csv"\nidentity = "till 4"\nsigned_by = ["{public}"]\n'


def declared(key: Path) -> str:
    """A key as a project declares it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    from holdfast.core.submission import key_text

    public = load_pem_public_key((key / "public.pem").read_bytes())
    return key_text(public.public_bytes(Encoding.Raw, PublicFormat.Raw))


def file_of(folder: Path, key: Path, number: int, *, source: str = "a", rows: str = "t1,1,no\n") -> Path:
    """A file that a till has signed."""
    path = folder / f"day-{number}.csv"
    path.write_text("id,x,label\n" + rows, encoding="utf-8")
    files.source_sign(tell=silent, file=path, source=source, sequence=number, key=key)
    return path


def test_a_data_set_of_a_source_that_pushes_says_how_its_rows_come(shop: Plant) -> None:
    """Nothing is to be pulled where rows are handed in by whoever signs them."""
    with pytest.raises(InvalidData) as caught:
        run(shop, until="ingest")
    assert "source push a FILE" in str(caught.value)
    assert "pull" not in str(caught.value)


@pytest.mark.requirement("DATA-16")
def test_what_a_source_has_signed_is_let_in_and_on_record(shop: Plant, till: Path, tmp_path: Path) -> None:
    """Each submission adds its rows, and stands on record with number, key, digest and rows."""
    push(shop, source="a", file=file_of(tmp_path, till, 1))
    push(shop, source="a", file=file_of(tmp_path, till, 2, rows="t2,2,yes\n"))
    assert [row["id"] for row in rows_of(shop)] == ["t1", "t2"]
    bodies = [entry.body for entry in shop.ledger.stream("source/a")]
    assert [body["sequence"] for body in bodies] == [1, 2]
    assert all(body["key"] == declared(till) and body["rows"] == 1 for body in bodies)


def spoofed(folder: Path, till: Path) -> Path:
    """Signed by a key that the project does not declare."""
    files.source_key(tell=silent, folder=folder / "mallory", owner="Mallory")
    return file_of(folder, folder / "mallory", 2)


def tampered(folder: Path, till: Path) -> Path:
    """Changed after it was signed."""
    path = file_of(folder, till, 2)
    path.write_text(path.read_text().replace("t1,1", "t1,9"), encoding="utf-8")
    return path


def renumbered(folder: Path, till: Path) -> Path:
    """An earlier submission under a new number, which nobody has signed."""
    path = file_of(folder, till, 1)
    beside = path.with_name(path.name + ".submission.json")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"sequence": 9}), encoding="utf-8")
    return path


def replayed(folder: Path, till: Path) -> Path:
    """The very submission that was taken in before."""
    return file_of(folder, till, 1)


def elsewhere(folder: Path, till: Path) -> Path:
    """Signed by the right key for another source."""
    return file_of(folder, till, 2, source="b")


def unsigned(folder: Path, till: Path) -> Path:
    """Without a signature."""
    path = file_of(folder, till, 2)
    path.with_name(path.name + ".submission.json").unlink()
    return path


def unreadable(folder: Path, till: Path) -> Path:
    """Signed by the right key, and no table."""
    path = folder / "day-2.csv"
    path.write_bytes(b"\x00\x01\x02")
    files.source_sign(tell=silent, file=path, source="a", sequence=2, key=till)
    return path


@pytest.mark.guarantee("G85")
@pytest.mark.requirement("DATA-16")
@pytest.mark.parametrize(
    ("attack", "error", "words"),
    [
        (spoofed, NotVerified, "does not declare"),
        (tampered, NotVerified, "not the one that was signed"),
        (renumbered, NotVerified, "signature is wrong"),
        (replayed, Refused, "not new"),
        (elsewhere, NotVerified, "signed for the source 'b'"),
        (unsigned, Refused, "nobody has signed"),
        (unreadable, InvalidData, ""),
    ],
)
def test_what_is_not_a_sources_own_or_not_new_is_refused_and_on_record(
    shop: Plant,
    till: Path,
    tmp_path: Path,
    attack: Callable[[Path, Path], Path],
    error: type[HoldfastError],
    words: str,
) -> None:
    """Nothing of it becomes a row, and digest, reason and claim are on record."""
    push(shop, source="a", file=file_of(tmp_path, till, 1))
    before = rows_of(shop)
    with pytest.raises(error) as refusal:
        push(shop, source="a", file=attack(tmp_path, till))
    assert words in refusal.value.message
    last = shop.ledger.stream("source/a")[-1]
    assert last.kind == REFUSED
    assert last.body["digest"].startswith("sha256:")
    assert last.body["reason"]
    assert rows_of(shop) == before


@pytest.mark.requirement("DATA-16")
def test_nothing_is_parsed_before_it_is_verified(
    shop: Plant, till: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of somebody else never reaches a parser."""
    seen: list[Path] = []
    monkeypatch.setattr("holdfast.ingest.records.look", lambda path, *_: seen.append(path))
    with pytest.raises(NotVerified):
        push(shop, source="a", file=spoofed(tmp_path, till))
    assert seen == []


@pytest.mark.requirement("DATA-16")
def test_a_submission_can_be_signed_with_openssl(shop: Plant, tmp_path: Path) -> None:
    """A sender needs nothing of ours: the bytes that are signed are documented."""
    from datetime import UTC, datetime

    from holdfast.core.submission import key_text, message, signed
    from holdfast.lifecycle.taking import digest_of

    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is absent")
    pem = tmp_path / "key.pem"
    subprocess.run([openssl, "genpkey", "-algorithm", "ed25519", "-out", pem], check=True)
    der = subprocess.run([openssl, "pkey", "-in", pem, "-pubout", "-outform", "DER"], check=True, capture_output=True)
    raw = der.stdout[-32:]
    declare(shop.home.root, f'[sources.a]\nkind = "csv"\nidentity = "till"\nsigned_by = ["{key_text(raw)}"]\n')
    path = tmp_path / "rows.csv"
    path.write_text("id,x,label\no1,1,no\n", encoding="utf-8")
    digest, size = digest_of(path)
    now = datetime.now(UTC)
    (tmp_path / "message").write_bytes(message("a", 5, digest, size, now))
    command = [openssl, "pkeyutl", "-sign", "-inkey", str(pem), "-rawin", "-in", str(tmp_path / "message")]
    signature = subprocess.run(command, check=True, capture_output=True).stdout
    assert len(base64.b64encode(signature)) == 88
    text = signed("a", 5, digest, size, now, raw, signature).decode()
    assert push(shop, source="a", file=path, signed=text).document["rows"] == 1


@pytest.mark.requirement("DATA-16")
def test_a_file_is_pushed_over_the_network_with_the_same_signature(shop: Plant, till: Path, tmp_path: Path) -> None:
    """Who asks must be allowed to, and what is handed in must be the source's own."""
    path = file_of(tmp_path, till, 1)
    signed = path.with_name(path.name + ".submission.json").read_text(encoding="utf-8")
    given = {"source": "a", "file": path.read_text(encoding="utf-8"), "signed": signed}
    with opened(shop) as api:
        assert api.ask("POST", "/v1/source/push", json=given, role="viewer").status_code == 403
        assert api.ask("POST", "/v1/source/push", json=given | {"file": "id,x,label\nz,1,no\n"}).status_code == 403
        answer = api.ask("POST", "/v1/source/push", json=given)
        assert answer.status_code == 200, answer.text
    assert [row["id"] for row in rows_of(shop)] == ["t1"]


def test_a_data_set_of_sources_is_listed_and_erased_as_any_other(folder: Path) -> None:
    """What it was put together from is on record before it, and is no artifact."""
    from holdfast.lifecycle.inputs import take_in

    with app.open_plant(folder) as plant:
        pull(plant)
        source = take_in(plant)[1][Kind.SOURCE].digest
        assert [each["state"] for each in data_list(plant).document["sources"]] == ["readable"]
        data_erase(plant, data=source, reason="somebody asked for it")
        assert [each["state"] for each in data_list(plant).document["sources"]] == ["erased"]


@pytest.mark.requirement("PROV-04", by="holdfast.lifecycle.lineage_graph:_made_with")
def test_what_a_source_has_sent_is_found_and_followed(plant: Plant) -> None:
    """By the source's name in the catalogue, and from one of its batches down to the version made with it."""
    pull(plant)
    run(plant, until="ingest")
    (found,) = data_search(plant, source="b").document["data"]
    assert [(each["source"], each["rows"]) for each in found["sources"]] == [("a", 2), ("b", 2), ("c", 1)]
    assert data_search(plant, source="d").document["data"] == []
    assert data_show(plant).document["sources"] == found["sources"]
    (batch,) = [each.digest for each in state_of(plant, "b").arrivals]
    walked = lineage(plant, what=batch).document
    assert walked["start"] == batch
    kinds = {each["kind"]: each for each in walked["nodes"]}
    assert {"batch", "source", "dataset"} <= set(kinds)
    assert kinds["batch"]["notes"] == ["batch of b, 3 rows"]
    assert any(each.startswith("from b (") for each in kinds["source"]["notes"])
    (made_of,) = [each for each in plant.ledger.entries() if each.kind == MERGED]
    assert kinds["source"]["digest"] == made_of.stream
