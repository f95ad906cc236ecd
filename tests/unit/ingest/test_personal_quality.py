"""How well personal data is found in what other people's generators write: a reduced run of `bench/bench_dlp.py`."""

import sys
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))

from bench.bench_dlp import SEED, ours
from bench.dlp_corpus import DEVELOPMENT, ENTITIES, HELD_OUT, NEGATIVE, POSITIVE

from holdfast.engines.personal import find, redact, scan, spans

JUDGED = HELD_OUT[::10]  # of the locales that nobody looked at while writing rules


@pytest.fixture(scope="module")
def scores() -> tuple:
    """What is right, false and missed in columns and in sentences of some held-out locales."""
    return ours(JUDGED, SEED)


@pytest.mark.requirement("ACC-01")
@pytest.mark.parametrize("entity", ENTITIES)
def test_each_kind_is_found_in_locales_that_no_rule_was_written_for(entity: str, scores: tuple) -> None:
    """F1 of at least 0.9 over columns and sentences, half of which hold only what looks alike."""
    columns, texts = scores
    right, false, missed = (
        getattr(columns, name)[entity] + getattr(texts, name)[entity] for name in ("right", "false", "missed")
    )
    assert 2 * right / (2 * right + false + missed) >= 0.9


@pytest.mark.requirement("ACC-01")
def test_over_all_kinds_hardly_anything_is_missed_or_false(scores: tuple) -> None:
    """F1 of at least 0.95."""
    columns, texts = scores
    right, false, missed = (
        sum((getattr(columns, name) + getattr(texts, name)).values()) for name in ("right", "false", "missed")
    )
    assert 2 * right / (2 * right + false + missed) >= 0.95


def test_half_of_what_is_judged_holds_nothing_personal_and_no_locale_is_on_both_sides() -> None:
    """A judgement without hard negatives, or on what rules were made for, says nothing."""
    assert len(NEGATIVE) > len(POSITIVE)
    assert not set(DEVELOPMENT) & set(HELD_OUT)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("national-id-pl-pesel", ["44051401359", "02070803628"]),
        ("national-id-it-codicefiscale", ["RSSMRA85T10A562S"]),
        ("national-id-nl-bsn", ["111222333", "123456782"]),
        ("national-id-br-cpf", ["390.533.447-05", "52998224725"]),
        ("national-id-es-nie", ["X1234567L"]),
    ],
)
def test_national_ids_are_kinds_of_their_own_and_each_is_checked(kind: str, values: list[str]) -> None:
    """In a column of that name valid ones are found; with one digit changed they are not."""
    found = [hit.entity for hit in scan(pl.DataFrame({"national_id": values}))]
    assert found == [kind]
    wrong = [value[:-1] + ("0" if value[-1] != "0" else "1") for value in values]
    assert kind not in [hit.entity for hit in scan(pl.DataFrame({"national_id": wrong}))]


def test_bare_national_ids_without_a_name_need_a_column_of_nothing_else() -> None:
    """One number in eleven passes a check digit by chance; a whole column does not."""
    numbers = [str(number) for number in range(123_456_000, 123_466_000)]
    assert scan(pl.DataFrame({"c": numbers})) == ()


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("born on 1987-03-02, order 4111111111111112", ["date-of-birth"]),
        ("shipped on 1987-03-02", []),
        ("order no: 202-555-0143", []),
        ("telephone 5552345678", ["phone"]),
        ("version 1.2.3.104", []),
        ("client ip 1.2.3.4", ["ip"]),
        ("see https://example.org/a?b=1.", ["url"]),
        ("mail ada@example.org or ada@example.com", ["email", "email"]),
    ],
)
def test_words_before_a_value_decide_what_its_shape_leaves_open(text: str, kinds: list[str]) -> None:
    """Dates, bare digits and groups of digits are what the sentence says they are."""
    assert [span.entity for span in find(text)] == kinds


def test_days_are_days_of_birth_by_name_or_beside_other_personal_columns() -> None:
    """Sixty years of days beside telephone numbers are birthdays; days of the last two years are not."""
    days = [f"{1945 + n}-0{n % 9 + 1}-1{n % 9}" for n in range(60)]
    recent = [f"{2023 + n % 2}-0{n % 9 + 1}-{n % 19 + 10}" for n in range(60)]
    phones = [f"+49 30 12345{n:02}" for n in range(60)]
    assert [hit.entity for hit in scan(pl.DataFrame({"Geburtsdatum": recent}))] == ["date-of-birth"]
    assert scan(pl.DataFrame({"c": days})) == ()
    beside = {hit.column: hit for hit in scan(pl.DataFrame({"p": phones, "c": days, "r": recent}))}
    assert set(beside) == {"p", "c"}
    assert beside["c"].rests_on == "neighbours"


def test_secrets_in_columns_and_text_are_found_and_masked() -> None:
    """A token by its format, a password by the name of its column."""
    token = "ghp_" + "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ" + "0mLq17"
    assert [hit.entity for hit in scan(pl.DataFrame({"notes": ["x", f"use {token} to log in"]}))] == ["secret"]
    assert token not in redact(f"use {token} to log in")
    assert [span.entity for span in spans(f"{token} ada@example.org")] == ["secret", "email"]
    chance = ["xK9#mQ2$vL7w", "pT4@bN8!zR3d"]
    assert [hit.entity for hit in scan(pl.DataFrame({"password": chance}))] == ["secret"]
