"""What happens to personal data that was found: blocked, dropped, masked, a pseudonym or a token, or allowed."""

import json
from pathlib import Path

import polars as pl
import pytest
from tests.unit.ingest.world import COLUMNS, TOKEN_KEY, csv, project, run

from holdfast.core.dlp import Action, Dlp, strictest
from holdfast.core.errors import InvalidData, InvalidProject
from holdfast.core.evidence import Severity
from holdfast.core.ports import no_token_key
from holdfast.core.project import Project
from holdfast.engines.dlp import treat
from holdfast.engines.personal import scan
from holdfast.engines.tokens import Tokens

PHONES = [f"+49 30 12345{n:02}" for n in range(20)]
CALLS = COLUMNS + 'tel = { type = "string", use = "ignored", nullable = true }\n'


def declared(action: str, columns: str = CALLS, what: str = "default") -> Project:
    """A project with one line in `[dlp]`."""
    return project(columns, features=f'[dlp]\n{what} = "{action}"' if what == "default" else f"[dlp.{what}]\n{action}")


def rows(values: list[str]) -> str:
    """A source whose last column holds these values."""
    return csv("id,x,label,tel", *(f"r{n},{n},{'yes' if n % 2 else 'no'},{value}" for n, value in enumerate(values)))


@pytest.mark.requirement("ACC-01")
def test_masked_values_give_way_to_the_name_of_their_kind(tmp_path: Path) -> None:
    """The column stays, no value does, and the count is in the evidence."""
    done = run(tmp_path, rows(PHONES), declared("mask"))
    assert done.rows.get_column("tel").unique().to_list() == ["[phone]"]
    assert done.measures("ingest.personal/1")["personal_rows_mask"] == 20
    assert done.measures("ingest.personal/1")["personal_values_left"] == 0
    finding = next(each for each in done.evidence("ingest.personal/1").findings if each.place == "tel")
    assert (finding.severity, finding.rule) == (Severity.LOW, "personal-phone")


@pytest.mark.requirement("ACC-01")
def test_tokens_keep_the_form_and_pseudonyms_do_not(tmp_path: Path) -> None:
    """Neither leaves a value in any stored byte; the key turns a token back, and nothing a pseudonym."""
    done = run(tmp_path / "1", rows(PHONES), declared("tokenise"))
    tokens = Tokens(TOKEN_KEY)
    stored = done.rows.get_column("tel").to_list()
    assert [tokens.value("phone", each) for each in stored] == PHONES
    assert all(each.startswith("+") and len(each) == len(PHONES[0]) for each in stored)
    assert done.measures("ingest.personal/1")["personal_rows_tokenise"] == 20
    assert done.measures("ingest.personal/1")["personal_values_left"] == 0
    hidden = run(tmp_path / "2", rows(PHONES), declared("pseudonym"))
    made = hidden.rows.get_column("tel").to_list()
    assert len(set(made)) == 20
    assert all(each.startswith("phone_") for each in made)
    for each in (done, hidden):
        kept = [blob for blob in each.ws.blobs.held.values() if not blob.startswith(b"id,")]  # type: ignore[attr-defined]
        assert not [blob for blob in kept if b"+49 30" in blob]


def test_texts_are_changed_only_where_they_are_personal(tmp_path: Path) -> None:
    """Of a note only the address in it goes; a second search finds nothing left."""
    notes = [f"routine {n}" for n in range(19)] + ["write to ada@example.org now"]
    done = run(tmp_path, rows(notes), declared("mask"))
    assert done.rows.get_column("tel").to_list()[-1] == "write to [email] now"
    assert done.rows.get_column("tel").to_list()[0] == "routine 0"


def test_a_kind_and_a_column_have_actions_of_their_own_and_the_strictest_of_several_counts() -> None:
    """Columns count most, then kinds, `national-id` for every country's; addresses of the web stay by default."""
    dlp = Dlp(
        default=Action.MASK,
        entities={"email": Action.TOKENISE, "national-id": Action.BLOCK},
        columns={"a": Action.ALLOW},
    )
    assert dlp.on("b", "email") is Action.TOKENISE
    assert dlp.on("b", "national-id-pl-pesel") is Action.BLOCK
    assert dlp.on("b", "phone") is Action.MASK
    assert dlp.on("a", "email") is Action.ALLOW
    assert dlp.on("b", "url") is Action.ALLOW
    assert Dlp().on("b", "email") is Action.DROP
    assert strictest([Action.ALLOW, Action.DROP, Action.MASK]) is Action.DROP
    assert strictest([]) is Action.BLOCK


def test_what_is_blocked_stops_the_run_without_saying_a_value(tmp_path: Path) -> None:
    """Nothing is stored."""
    words = r"column 'tel': 20 rows hold personal data \(phone\), which \[dlp\] blocks"
    with pytest.raises(InvalidData, match=words) as refusal:
        run(tmp_path, rows(PHONES), declared("block"))
    assert "12345" not in str(refusal.value)


def test_ids_may_be_tokens_but_never_masks(tmp_path: Path) -> None:
    """A masked id tells no row from another."""
    source = csv("id,x,label", *(f"p{n}@example.org,{n},{'yes' if n % 2 else 'no'}" for n in range(20)))
    done = run(tmp_path / "1", source, declared("pseudonym", COLUMNS))
    assert done.rows.get_column("id").n_unique() == 20
    assert done.rows.get_column("id")[0].startswith("email_")
    with pytest.raises(InvalidData, match="column 'id' is the id"):
        run(tmp_path / "2", source, declared("mask", COLUMNS))


def test_what_is_allowed_stays_and_is_counted_as_left(tmp_path: Path) -> None:
    """A project may declare it; whether that is good enough is for the policy."""
    done = run(tmp_path, rows(PHONES), declared("allow"))
    assert done.rows.get_column("tel").to_list() == PHONES
    assert done.measures("ingest.personal/1")["personal_values_left"] == 20
    assert done.measures("ingest.personal/1")["personal_rows_allow"] == 20


def test_numbers_that_cannot_hold_a_token_are_dropped() -> None:
    """A column of numbers has no room for either; where tokens need the key, it is asked for."""
    frame = pl.DataFrame({"card": [4111111111111111, 5555555555554444]})
    treated = treat(frame, scan(frame), Dlp(default=Action.MASK), no_token_key)
    assert treated.drop == ("card",)


def test_a_value_that_no_token_can_be_made_of_gets_a_pseudonym() -> None:
    """Letters beyond ASCII, or too few characters: nobody can turn those back."""
    frame = pl.DataFrame({"mail": ["jürgen@example.org", "ada@example.org"]})
    treated = treat(frame, scan(frame), Dlp(default=Action.TOKENISE), lambda: TOKEN_KEY)
    first, second = treated.frame.get_column("mail").to_list()
    assert first.startswith("email_")
    assert "@" in second


@pytest.mark.requirement("ACC-02")
@pytest.mark.parametrize("action", ["drop", "mask", "pseudonym", "tokenise"])
def test_no_planted_value_is_in_the_data_set_the_quarantine_or_the_evidence(tmp_path: Path, action: str) -> None:
    """Values of every kind, in rows that hold and in rows that are set aside."""
    planted = ["ada@example.org", "4111 1111 1111 1111", "DE89370400440532013000", "203.0.113.77", "219-09-9999"]
    allowed = '", "'.join(planted[:3])
    columns = CALLS.replace('tel = { type = "string"', f'tel = {{ type = "string", allowed = ["{allowed}"]')
    lines = [f"r{n},{n if n < 4 else 'x ' + planted[n]},{'yes' if n % 2 else 'no'},{planted[n]}" for n in range(5)]
    done = run(tmp_path, csv("id,x,label,tel", *lines), declared(action, columns))
    shown = [blob for blob in done.ws.blobs.held.values() if not blob.startswith(b"id,")]  # type: ignore[attr-defined]
    shown.append(json.dumps([str(item) for item in done.result.evidence]).encode())
    for value in planted:
        assert not [blob for blob in shown if value.encode() in blob], value


def test_an_action_for_a_column_that_is_not_declared_is_refused() -> None:
    """A slip of the pen must not leave a column untreated."""
    with pytest.raises(InvalidProject, match="'phone' is not a declared column"):
        declared('phone = "mask"', what="columns")


@pytest.mark.requirement("ACC-01", by="holdfast.core.dlp:dlp_faults")
@pytest.mark.parametrize("kind", ["emial", "person", "national", "PHONE", ""])
def test_an_action_for_a_kind_that_nothing_looks_for_is_refused(kind: str) -> None:
    """A misspelt one would fall to the default without a word; names of persons need Presidio."""
    with pytest.raises(InvalidProject, match=f"nothing looks for '{kind}'") as refusal:
        declared(f'"{kind}" = "block"', what="entities")
    assert "email" in (refusal.value.expected or "")
    for known in ("email", "national-id", "national-id-pl-pesel"):
        assert declared(f'{known} = "block"', what="entities").dlp.entities


def test_kinds_that_presidio_is_asked_for_may_have_actions() -> None:
    """Under the names they have here, and only those that are asked for."""
    presidio = '\n[dlp.presidio]\nmodel = "m"\nentities = ["STREET", "PERSON"]\n'
    assert declared(f'street = "block"\nperson = "mask"{presidio}', what="entities").dlp.presidio
    with pytest.raises(InvalidProject, match="nothing looks for 'location'"):
        declared(f'location = "block"{presidio}', what="entities")
