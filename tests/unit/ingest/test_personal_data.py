"""Personal data stays out of a data set: declared columns are not read, others are caught by their values."""

import hashlib
import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from tests.unit.ingest.world import COLUMNS, csv, parquet, project, run

from holdfast.core.errors import InvalidData
from holdfast.core.evidence import Severity
from holdfast.engines.checksums import is_card, is_iban, is_ip, is_nanp, is_phone, is_ssn
from holdfast.engines.personal import redact, scan
from holdfast.ingest.quarantine import WITHHELD, shown

NOTES = COLUMNS + 'notes = { type = "string", use = "ignored", nullable = true }\n'
MAIL = COLUMNS + 'mail = { type = "string", use = "personal" }\n'


def entities(values: list, name: str = "column") -> list[str]:
    """What a search of one column finds."""
    return [hit.entity for hit in scan(pl.DataFrame({name: values}))]


@pytest.mark.parametrize(
    ("entity", "values"),
    [
        ("email", ["ada@example.org", "x", "y"]),
        ("email", ["write to Grace.Hopper+navy@mail.example.co.uk today"]),
        ("iban", ["DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19"]),
        ("iban", ["please pay to FR14 2004 1010 0505 0001 3M02 606 by Friday"]),
        ("card", ["4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005"]),
        ("card", [4111111111111111, 5555555555554444, 6011111111111117]),
        ("card", [4111111111111111.0, 5555555555554444.0, None]),
        ("us-ssn", ["123-45-6789", "219-09-9999"]),
        ("ip", ["203.0.113.77", "198.51.100.4"]),
        ("ip", ["2001:db8:85a3::8a2e:370:7334"]),
        ("phone", ["+49 30 1234567", "+1-202-555-0143"]),
        ("phone", ["(202) 555-0143", "202-555-0143"]),
        ("phone", ["020 7946 0958", "07911 123456", "0171/1234567"]),
        ("phone", ["06 12 34 56 78", "06.12.34.56.78"]),
        ("phone", ["the daughter, tel 01712345678", "nothing", "nothing else"]),
        ("phone", ["before noon: 202-555-0143 is the number", *[f"routine {number}" for number in range(500)]]),
    ],
)
def test_personal_values_are_found_in_columns(entity: str, values: list[Any]) -> None:
    """Whole values and values in a sentence, with and without separators, as text and as numbers."""
    assert entities(values) == [entity]


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("phone", ["5552345678", "01712345678", "4915112345678"], ["phone"]),
        ("mobile_number", [15112345678, 15112345679], ["phone"]),
        ("ssn", ["219099999", "123456789"], ["us-ssn"]),
        ("order", ["5552345678", "01712345678", "4915112345678"], []),
        ("mobile_visits", [3, 4, 5, 6, 7, 8, 9, 1234567], []),
    ],
)
def test_a_columns_name_tells_what_its_bare_digits_are(name: str, values: list[Any], found: list[str]) -> None:
    """Digits alone are a telephone number only where the column says so, and mostly holds such."""
    assert entities(values, name) == found


def _harmless() -> dict[str, list]:
    rng = random.Random(1)  # noqa: S311 - numbers to search in, not secrets
    n = 400
    day = [f"{rng.randrange(1, 29):02}" for _ in range(n)]
    month = [f"{rng.randrange(1, 13):02}" for _ in range(n)]
    clock = [f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}" for _ in range(n)]
    four = [[f"{rng.randrange(10_000):04}" for _ in range(4)] for _ in range(n)]
    return {
        "small integers": [rng.randrange(10**6) for _ in range(n)],
        "integers of 9 digits": [str(rng.randrange(10**8, 10**9)) for _ in range(n)],
        "integers of 10 digits": [str(rng.randrange(10**9, 10**10)) for _ in range(n)],
        "integers of 16 digits": [rng.randrange(10**15, 10**16) for _ in range(n)],
        "serial numbers in groups": [" ".join(group) for group in four],
        "serial numbers with hyphens": ["-".join(group) for group in four],
        "uuids": [str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(n)],
        "hashes": [hashlib.sha256(str(number).encode()).hexdigest() for number in range(n)],
        "epoch milliseconds": [1_700_000_000_000 + 1013 * number for number in range(n)],
        "epoch microseconds": [str(1_700_000_000_000_000 + 1013 * number) for number in range(n)],
        "compact timestamps": [f"2024{m}{d}{c.replace(':', '')}" for d, m, c in zip(day, month, clock, strict=True)],
        "ISO timestamps": [f"2024-{m}-{d}T{c}.123456+02:00" for d, m, c in zip(day, month, clock, strict=True)],
        "German timestamps": [f"{d}.{m}.2024 {c}" for d, m, c in zip(day, month, clock, strict=True)],
        "US timestamps": [f"{m}/{d}/2024 {c}" for d, m, c in zip(day, month, clock, strict=True)],
        "versions": [".".join(str(rng.randrange(limit)) for limit in (5, 20, 60, 99)) for _ in range(n)],
        "Windows builds": [f"10.0.{rng.randrange(10_000, 30_000)}.{rng.randrange(3000)}" for _ in range(n)],
        "decimals": [str(rng.gauss(0, 100)) for _ in range(n)],
        "floats": [rng.gauss(0, 100) for _ in range(n)],
        "vectors": [" ".join(f"{rng.random():.4f}" for _ in range(6)) for _ in range(n)],
        "numbers in groups of two": [" ".join(f"{rng.randrange(100):02}" for _ in range(6)) for _ in range(n)],
        "part numbers 3-3-4": [f"{rng.randrange(1000):03}-{rng.randrange(1000):03}-{group[0]}" for group in four],
        "part numbers 3-2-4": [f"{rng.randrange(1000):03}-{rng.randrange(100):02}-{group[0]}" for group in four],
        "zip codes": [f"{rng.randrange(10**5):05}-{group[0]}" for group in four],
        "order numbers": [f"ORD-{rng.randrange(10**9)}" for _ in range(n)],
        "invoice numbers": [f"INV/2024/{rng.randrange(10**6):06}" for _ in range(n)],
        "MAC addresses": [":".join(f"{rng.randrange(256):02x}" for _ in range(6)) for _ in range(n)],
        "coordinates": [f"{rng.uniform(-90, 90):.6f}, {rng.uniform(-180, 180):.6f}" for _ in range(n)],
        "prices": [f"{rng.randrange(10**7):,}.00" for _ in range(n)],
        "ISBNs": [f"978-3-{rng.randrange(10**5):05}-{rng.randrange(1000):03}-{number % 10}" for number in range(n)],
        "times": [f"{c}:{rng.randrange(100):02}" for c in clock],
        "paths": [f"/var/log/{rng.randrange(10**9)}/x-{rng.randrange(10**6)}.log" for _ in range(n)],
        "object identifiers": [f"1.3.6.1.4.1.{rng.randrange(99_999)}.{rng.randrange(200)}" for _ in range(n)],
        "social handles": [f"@user{number}" for number in range(n)],
        "loopback": ["127.0.0.1", "0.0.0.0", "::1"],  # noqa: S104 - text to be searched
    }


@pytest.mark.parametrize("name", list(_harmless()))
def test_what_only_looks_like_personal_data_is_left_alone(name: str) -> None:
    """A false alarm costs a column: numbers, ids, moments, versions and hashes are nobody's."""
    assert entities(_harmless()[name]) == []


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (is_iban, "NO9386011117947", "NO9386011117948"),
        (is_iban, "MT84MALT011000012345MTLCAST001S", "MT84MALT011000012345MTLCAST001"),
        (is_card, "4012888888881881", "4012888888881882"),
        (is_card, "3782 822463 10005", "3782 8224 6310 005"),
        (is_card, "2720990000000007", "2721000000000004"),
        (is_card, "6011000990139424", "0000000000000000"),
        (is_ssn, "899-01-0001", "900-01-0001"),
        (is_ssn, "001-01-0001", "666-01-0001"),
        (is_ssn, "001-01-0001", "001-00-0001"),
        (is_ssn, "001-01-0001", "001-01-0000"),
        (is_ip, "192.0.2.1", "192.0.2.256"),
        (is_ip, "192.0.2.1", "1.2.3.4"),
        (is_ip, "192.0.2.1", "224.0.0.33"),
        (is_ip, "fd00:1:2:3::4", "::1"),
        (is_nanp, "(202) 555-0143", "(102) 555-0143"),
        (is_nanp, "202-555-0143", "202-155-0143"),
        (is_nanp, "202-555-0143", "292-555-0143"),
        (is_phone, "+44 20 7946 0958", "+04 20 7946 0958"),
        (is_phone, "+442079460958", "+1.2345678901"),
        (is_phone, "+442079460958", "+12345678"),
        (is_phone, "020 7946 0958", "020 7946"),
    ],
)
def test_each_checksum_and_numbering_rule_tells_right_from_wrong(
    check: Callable[[str], bool], good: str, bad: str
) -> None:
    """One character decides."""
    assert check(good)
    assert not check(bad)


def test_a_declared_personal_column_is_not_read_and_may_be_absent(tmp_path: Path) -> None:
    """All that is ever done with it is to leave it out; the evidence says that it was there."""
    done = run(
        tmp_path / "1", csv("id,x,label,mail", "a,1,yes,ada@example.org", "b,2,no,bob@example.org"), project(MAIL)
    )
    assert done.rows.columns == ["id", "x", "label"]
    assert ("declared-personal", "mail") in done.findings("ingest.personal/1")
    assert done.measures("ingest.personal/1")["personal_columns_caught"] == 0
    assert not [blob for blob in done.ws.blobs.held.values() if b"ada@" in blob and not blob.startswith(b"id,")]  # type: ignore[attr-defined]
    run(tmp_path / "2", csv("id,x,label", "a,1,yes", "b,2,no"), project(MAIL))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_column_that_turns_out_to_be_personal_is_held_back(tmp_path: Path, form: str) -> None:
    """Declared as harmless notes, it holds an address in one row of a hundred: it goes, as a critical finding."""
    notes = ["routine"] * 99 + ["call +1 202-555-0143"]
    rows = pl.DataFrame(
        {"id": [f"r{n}" for n in range(100)], "x": [1.5] * 100, "label": ["yes", "no"] * 50, "notes": notes}
    )
    source = rows.write_csv().encode() if form == "csv" else parquet(rows)
    done = run(tmp_path, source, project(NOTES, form=form))
    assert done.rows.columns == ["id", "x", "label"]
    assert (
        done.measures("ingest.personal/1").items() >= {"personal_columns_caught": 1, "personal_values_left": 0}.items()
    )
    finding = done.evidence("ingest.personal/1").findings[0]
    assert (finding.place, finding.rule, finding.severity) == ("notes", "personal-phone", Severity.CRITICAL)
    assert not [blob for blob in done.ws.blobs.held.values() if b"555-0143" in blob and blob != source]  # type: ignore[attr-defined]


def test_an_undeclared_personal_column_is_named_and_held_out(tmp_path: Path) -> None:
    """Nobody asked for it, and still somebody should know that it is in the export."""
    done = run(tmp_path, csv("id,x,label,contact", "a,1,yes,ada@example.org", "b,2,no,-"))
    assert ("personal-email", "contact") in done.findings("ingest.personal/1")
    assert done.rows.columns == ["id", "x", "label"]


def test_numbers_of_a_feature_that_are_card_numbers_are_held_back(tmp_path: Path) -> None:
    """A column of numbers is searched too."""
    columns = COLUMNS + 'paid = { type = "int" }\n'
    done = run(
        tmp_path, csv("id,x,label,paid", "a,1,yes,4111111111111111", "b,2,no,5555555555554444"), project(columns)
    )
    assert done.rows.columns == ["id", "x", "label"]
    assert done.measures("ingest.personal/1")["personal_values_left"] == 0


@pytest.mark.parametrize("column", ["id", "label"])
def test_an_id_or_label_that_is_personal_stops_the_run(tmp_path: Path, column: str) -> None:
    """It can neither go nor stay."""
    columns = COLUMNS.replace(', allowed = ["no", "yes"]', "")
    row = {"id": "a", "x": "1", "label": "yes"}
    with pytest.raises(InvalidData, match=f"column '{column}'") as refusal:
        run(
            tmp_path,
            csv("id,x,label", ",".join((row | {column: "ada@example.org"}).values()), "b,2,no"),
            project(columns),
        )
    assert "ada" not in str(refusal.value)
    assert "pseudonyms" in refusal.value.expected


def test_a_stray_address_among_numbers_is_a_fault_of_its_row_and_is_masked(tmp_path: Path) -> None:
    """One slip of one hand must not cost a feature; what the quarantine shows of it gives nobody away."""
    done = run(tmp_path, csv("id,x,label", "a,1,yes", "b,write ada@example.org,no"))
    assert done.codes == {2: ["not-a-number"]}
    assert done.aside[2].reasons[0].found == "write [email]"
    assert done.measures("ingest.personal/1")["personal_columns_caught"] == 0


def test_offending_values_of_a_caught_column_are_withheld(tmp_path: Path) -> None:
    """Nothing of a personal column is shown, not even what is no address."""
    columns = COLUMNS + 'notes = { type = "string", use = "slice", allowed = ["ok", "ada@example.org"] }\n'
    done = run(tmp_path, csv("id,x,label,notes", "a,1,yes,ada@example.org", "b,2,no,Bob Miller"), project(columns))
    assert done.aside[2].reasons[0].found == WITHHELD
    assert b"Miller" not in msgspec.json.encode(list(done.aside.values()))


def test_what_a_reader_sees_is_masked_visible_and_short() -> None:
    """Control characters cannot act on a terminal, and a long value is cut after masking, never through an address."""
    assert shown("\x1b[2J\u202eabc") == "\\x1b[2J\\u202eabc"
    assert shown("x" * 75 + " ada@example.org") == "x" * 75 + " [em…"
    assert len(shown("y" * 10_000)) == 80


def test_every_kind_is_masked_in_text() -> None:
    """Beside each other, in one sentence, with a date that stays."""
    values = "ada@example.org 4111 1111 1111 1111 DE89 3704 0044 0532 0130 00 203.0.113.77 123-45-6789 +1 202-555-0143"
    assert (
        redact(f"{values} on 2024-03-15 10:22:33")
        == "[email] [card] [iban] [ip] [us-ssn] [phone] on 2024-03-15 10:22:33"
    )
