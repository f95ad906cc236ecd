"""What a recogniser finds beside our patterns: arbitration, pieces, actions, evidence; nothing where it is not lent."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ingest.names import Names
from tests.unit.ingest.test_dlp_actions import CALLS, rows
from tests.unit.ingest.world import TOKEN_KEY, csv, project, run

from holdfast.core.dlp import Action, Dlp, Presidio, kind_of
from holdfast.core.errors import InvalidData, InvalidProject, Refused, Unavailable
from holdfast.core.feature import FeatureCode, FeatureView
from holdfast.core.ports import Recognised, no_token_key
from holdfast.core.project import Project
from holdfast.engines.dlp import treat
from holdfast.engines.events import compile_view, read_events
from holdfast.engines.personal import Span, scan
from holdfast.engines.personal.recognised import MAX_PIECE, OVERLAP, arbitrated, found, hits, masked, settled
from holdfast.engines.tokens import Tokens

NOTES = ["met Ada Lovelace in Paris", "called ada@example.org", "nothing to say", "Grace Hopper wrote, +49 30 1234567"]
KINDS = ("person", "location")


def declared(dlp: str = "", columns: str = CALLS) -> Project:
    """A project that declares Presidio, and further lines of `[dlp]`."""
    return project(columns, features=f'[dlp]\n{dlp}\n[dlp.presidio]\nmodel = "names"')


def lend(_: Presidio) -> Names:
    """The recogniser, whatever is declared."""
    return Names()


def spans_of(text: str, names: Names | None = None) -> list[tuple[str, str]]:
    """What is found in one text, as kind and words."""
    (places,) = found([text], names or Names())
    return [(place.entity, text[place.start : place.stop]) for place in places]


@pytest.mark.requirement("ACC-01", by="holdfast.engines.personal.recognised:hits")
def test_names_and_places_are_found_in_columns_of_text() -> None:
    """By kind, with distinct values and rows; a column of codes has none, and one of numbers is not read."""
    frame = pl.DataFrame({"notes": [*NOTES, NOTES[0]], "code": ["a1", "b2", "c3", "d4", "e5"], "n": [1, 2, 3, 4, 5]})
    names = Names()
    seen = {(hit.column, hit.entity): (hit.values, hit.rows, hit.rests_on) for hit in scan(frame, names)}
    assert seen["notes", "person"] == (2, 3, "recogniser")
    assert seen["notes", "location"] == (1, 2, "recogniser")
    assert {column for column, _ in seen} == {"notes"}
    assert {kind for _, kind in seen} >= {"email", "phone"}
    assert {tuple(about) for _, about in names.asked} == {("notes",), ("code",)}


def test_only_distinct_values_that_may_hold_a_name_are_handed_over() -> None:
    """Not a value twice; no digits, hashes, moments, unless a kind may be digits."""
    values = ["Paris", "Paris", "12345", "2024-01-01T10:00:00Z", "0" * 64, "8c4c3ad4-0000-4000-8000-00000000000a", None]
    names = Names()
    assert [hit.rows for hit in hits(pl.Series("where", values), names)] == [2]
    assert [text for texts, _ in names.asked for text in texts] == ["Paris"]
    digits = Names(reads_digits=True)
    list(hits(pl.Series("where", values), digits))
    assert len([text for texts, _ in digits.asked for text in texts]) == 5


def test_a_column_that_is_to_be_skipped_is_read_by_patterns_alone() -> None:
    """A column of species is not one of names."""
    frame = pl.DataFrame({"notes": NOTES})
    names = Names(skips=frozenset({"notes"}))
    assert {hit.entity for hit in scan(frame, names)} == {hit.entity for hit in scan(frame)}
    assert not names.asked


@pytest.mark.requirement("ACC-01", by="holdfast.engines.personal.recognised:arbitrated")
def test_where_finds_meet_ours_stands_and_the_name_keeps_the_rest() -> None:
    """A name with an address in it: both go, and neither is read twice."""
    text = "from Ada Lovelace <ada@example.org> today"
    everything = Names(known={"Ada Lovelace <ada@example.org>": "person", "example": "location"})
    assert spans_of(text, everything) == [("person", "Ada Lovelace"), ("email", "ada@example.org")]


def test_of_a_recognisers_own_finds_the_surest_then_the_longest_counts() -> None:
    """As Presidio may report one stretch as two kinds."""
    text = "Paris Hilton"
    seen = [
        Recognised(kind="location", start=0, stop=5, score=0.9),
        Recognised(kind="person", start=0, stop=12, score=0.8),
    ]
    assert arbitrated(text, (), seen, KINDS) == (
        Span(entity="location", start=0, stop=5),
        Span(entity="person", start=6, stop=12),
    )
    level = [Recognised(kind=each.kind, start=each.start, stop=each.stop, score=0.8) for each in seen]
    assert arbitrated(text, (), level, KINDS) == (Span(entity="person", start=0, stop=12),)


def test_what_was_masked_is_no_find() -> None:
    """`[person]` may look like a name to a model; a name in brackets that is no kind stays one."""
    seen = [Recognised(kind="person", start=0, stop=20, score=0.9)]
    assert arbitrated("[person] and [email]", (), seen, KINDS) == (Span(entity="person", start=9, stop=12),)
    assert arbitrated("[ada-of-paris] wrote", (), seen, KINDS) == (Span(entity="person", start=0, stop=20),)


PLACES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 20), st.sampled_from(KINDS), st.floats(0.1, 1)), max_size=12
)


@given(text=st.text("ab .,[]", min_size=80, max_size=80), ours=st.integers(0, 60), places=PLACES)
def test_no_character_has_two_kinds_and_no_letter_of_a_find_stays(
    text: str, ours: int, places: list[tuple[int, int, str, float]]
) -> None:
    """Whatever a recogniser reports."""
    mine = Span(entity="email", start=ours, stop=ours + 10)
    seen = [Recognised(kind=kind, start=at, stop=at + length, score=score) for at, length, kind, score in places]
    kept = arbitrated(text, [mine], seen, KINDS)
    taken = [at for span in kept for at in range(span.start, span.stop)]
    assert len(taken) == len(set(taken))
    assert mine in kept
    letters = {at for each in seen for at in range(each.start, each.stop) if text[at].isalnum()}
    assert letters <= set(taken)


@given(before=st.integers(0, 3 * MAX_PIECE), after=st.integers(0, MAX_PIECE))
def test_a_long_text_is_read_in_pieces_and_every_name_has_its_place(before: int, after: int) -> None:
    """Wherever a piece ends; no piece is longer than may be."""
    text = "x " * (before // 2) + "Ada Lovelace" + " y" * (after // 2)
    names = Names()
    assert spans_of(text, names) == [("person", "Ada Lovelace")]
    pieces = [piece for texts, _ in names.asked for piece in texts]
    assert max(map(len, pieces)) <= MAX_PIECE
    assert sum(map(len, pieces)) <= len(text) + OVERLAP * len(pieces)


def test_many_texts_are_asked_for_in_batches_and_answered_in_order() -> None:
    """Each answer belongs to its text, also where a long one is among them."""
    texts = [f"note {n}" if n % 3 else f"note {n} Paris" for n in range(1000)]
    texts[500] = "y " * MAX_PIECE + "Paris"
    names = Names()
    seen = list(found(texts, names))
    assert [bool(each) for each in seen] == ["Paris" in text for text in texts]
    assert max(len(asked) for asked, _ in names.asked) <= 256


def test_a_recogniser_that_answers_too_little_is_not_believed() -> None:
    """An answer that is missing would count as nothing found."""

    class Short(Names):
        def find(self, texts: Sequence[str], about: Sequence[str]) -> list[list[Recognised]]:
            return super().find(texts, about)[:-1]

    with pytest.raises(Unavailable, match="answered 3 of 4 texts"):
        list(found(NOTES, Short()))


@pytest.mark.requirement("ACC-01", by="holdfast.engines.personal.recognised:settled")
def test_masked_texts_are_searched_until_nothing_more_is_found() -> None:
    """Without one name a model sees another, and that goes too, at its own place."""
    names = Names(turns={"[person]": "and Bob", "[person] [person]": "for Eve"})
    text = "so Ada Lovelace and Bob went to Paris for Eve"
    (places,) = settled([text], names, "notes") or [()]
    assert masked(text, places) == "so [person] [person] went to [location] [person]"


def test_a_text_that_never_settles_costs_the_column() -> None:
    """It is dropped rather than stored with a name that may be left."""

    class Endless(Names):
        def _find(self, text: str) -> list[Recognised]:
            more = [(at, at + 1) for at, char in enumerate(text) if char == "x"][:1]
            return [Recognised(kind="person", start=start, stop=stop, score=0.9) for start, stop in more]

    frame = pl.DataFrame({"notes": ["x a x b x c x d x e x f", "plain", "words", "only"]})
    names = Endless()
    treated = treat(frame, scan(frame, names), Dlp(default=Action.MASK), no_token_key, names)
    assert treated.drop == ("notes",)


@pytest.mark.requirement("ACC-01", by="holdfast.engines.dlp:recogniser_of")
@pytest.mark.requirement("ACC-02", by="holdfast.engines.personal.recognised:settled")
def test_names_in_notes_are_masked_at_ingest_and_the_evidence_says_what_found_them(tmp_path: Path) -> None:
    """The rest of the text stays; no name is left in the data set, and the search can be repeated."""
    source = rows([*NOTES[:2], *(f"routine {n}" for n in range(8))])
    done = run(tmp_path, source, declared('default = "mask"'), lend)
    notes = done.rows.get_column("tel").to_list()
    assert notes[:3] == ["met [person] in [location]", "called [email]", "routine 0"]
    measured = done.measures("ingest.personal/1")
    assert (measured["personal_rows_mask"], measured["personal_values_left"]) == (3, 0)
    assert done.evidence("ingest.personal/1").facts["presidio_pipeline"] == "names 1"
    assert ("personal-person", "tel") in done.findings("ingest.personal/1")
    kept = [blob for blob in done.ws.blobs.held.values() if not blob.startswith(b"id,")]  # type: ignore[attr-defined]
    assert not [blob for blob in kept if b"Lovelace" in blob]


def test_texts_that_all_name_somebody_stay_texts_and_a_column_of_names_goes_as_a_whole(tmp_path: Path) -> None:
    """Half of the rows being names, the others are some that the model does not know."""
    notes = run(tmp_path / "1", rows(["today Ada Lovelace came to see us"] * 9), declared('default = "mask"'), lend)
    assert notes.rows.get_column("tel").unique().to_list() == ["today [person] came to see us"]
    people = ["Ms Ada Lovelace", "Grace Hopper"] * 3 + ["Katherine Johnson"] * 3
    named = run(tmp_path / "2", rows(people), declared('default = "mask"'), lend)
    assert named.rows.get_column("tel").unique().to_list() == ["[person]"]


def test_nothing_declared_is_drop_and_every_action_is_there(tmp_path: Path) -> None:
    """As for kinds that have a pattern."""
    people = rows(["Ada Lovelace", "Grace Hopper"] * 6)
    dropped = run(tmp_path / "1", people, declared(), lend)
    assert "tel" not in dropped.rows.columns
    assert ("personal-person", "tel") in dropped.findings("ingest.personal/1")
    hidden = run(tmp_path / "2", people, declared('entities = { person = "pseudonym" }'), lend)
    assert all(each.startswith("person_") for each in hidden.rows.get_column("tel"))
    turned = run(tmp_path / "3", people, declared('columns = { tel = "tokenise" }'), lend)
    assert Tokens(TOKEN_KEY).value("person", turned.rows.get_column("tel")[0]) == "Ada Lovelace"
    allowed = run(tmp_path / "4", people, declared('entities = { person = "allow" }'), lend)
    assert allowed.rows.get_column("tel")[0] == "Ada Lovelace"
    assert allowed.measures("ingest.personal/1")["personal_values_left"] == 12
    with pytest.raises(InvalidData, match=r"rows hold personal data \(person\), which \[dlp\] blocks") as refusal:
        run(tmp_path / "5", people, declared('entities = { person = "block" }'), lend)
    assert "Lovelace" not in str(refusal.value)


def test_an_undeclared_column_is_searched_and_days_beside_persons_are_days_of_birth(tmp_path: Path) -> None:
    """What is undeclared is told; a person's neighbour says what a day is."""
    source = csv("id,x,label,note", *(f"r{n},{n},{'yes' if n % 2 else 'no'},met Ada Lovelace" for n in range(4)))
    done = run(tmp_path, source, declared(columns=CALLS.rsplit("tel", 1)[0]), lend)
    assert ("personal-person", "note") in done.findings("ingest.personal/1")
    days = [f"{1930 + n}-0{1 + n % 9}-1{n % 9}" for n in range(60)]
    frame = pl.DataFrame({"who": ["Ada Lovelace"] * 60, "day": days})
    assert {(hit.column, hit.entity) for hit in scan(frame, Names())} == {("who", "person"), ("day", "date-of-birth")}
    assert not scan(frame)


def test_names_in_rows_that_are_set_aside_are_not_shown(tmp_path: Path) -> None:
    """The quarantine quotes offending values: a name among them is masked."""
    source = csv(
        "id,x,label,tel", "a,1,no,fine", "b,2,yes,fine", "c,Ada Lovelace,no,fine", "d,3,yes,fine", "e,4,no,fine"
    )
    done = run(tmp_path, source, declared(), lend)
    shown = json.dumps([why.found for item in done.aside.values() for why in item.reasons])
    assert "[person]" in shown
    assert "Lovelace" not in shown


def test_rows_of_views_are_searched_as_well() -> None:
    """By the same code, with the same facts; whoever forgets to lend the recogniser is refused."""
    view = FeatureView(
        owner="shop",
        description="clicks",
        source="clicks.csv",
        entity=("who",),
        event_time="at",
        columns={"who": "string", "at": "timestamp", "note": "string", "n": "int"},
        features={"n": FeatureCode(code="n", type="int")},
        timestamp_formats=("%Y-%m-%d",),
    )
    data = csv("who,at,note,n", *(f"u{n},2026-01-01,met Ada Lovelace {n},{n}" for n in range(4))).encode()
    dlp = Dlp(default=Action.MASK, presidio=Presidio(model="names"))
    events = read_events(compile_view("clicks", view), data, dlp, recogniser=Names())
    assert [(each.column, each.entity) for each in events.searched.acted] == [("note", "person")]
    assert events.searched.left == 0
    assert events.searched.made_with == {"presidio_pipeline": "names 1"}
    with pytest.raises(Refused, match=r"\[dlp.presidio\]"):
        read_events(compile_view("clicks", view), data, dlp)


def test_what_is_declared_and_not_lent_stops_before_a_row_is_read(tmp_path: Path) -> None:
    """Rows that nobody searched must not pass for rows in which nothing was found."""
    with pytest.raises(Refused, match=r"\[dlp.presidio\]"):
        run(tmp_path, b"\x00 no table at all", declared())


@pytest.mark.parametrize(
    "said",
    ['model = ""', 'model = "m"\nscore = 0', 'model = "m"\nscore = 1.5', 'model = "m"\nentities = []',
     'model = "m"\nentities = ["A NAME"]', 'model = "m"\nlanguage = "english"', 'model = "m"\nskip = ["nowhere"]',
     "score = 0.4", 'model = "m"\nunknown = 1'],
)  # fmt: skip
def test_a_declaration_that_cannot_be_meant_is_refused(said: str) -> None:
    """With its place in the project file."""
    with pytest.raises(InvalidProject, match=r"dlp|'nowhere' is not a declared column"):
        project(CALLS, features=f"[dlp.presidio]\n{said}")


def test_one_kind_has_one_name() -> None:
    """What Presidio and we both know is called as here."""
    assert [kind_of(label) for label in ("PERSON", "EMAIL_ADDRESS", "CREDIT_CARD", "US_SSN", "Street")] == [
        "person", "email", "card", "us-ssn", "street",
    ]  # fmt: skip


def test_without_the_declaration_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    """Neither the packages nor the adapter: start-up and memory stay what they were."""
    (tmp_path / "a.csv").write_text("note\nmet Ada Lovelace\n")
    script = (
        "import json, sys; from pathlib import Path; from holdfast.faces.cli import invoke\n"
        f"code = invoke(['dlp', 'scan', {str(tmp_path / 'a.csv')!r}])\n"
        "print(json.dumps([code, sorted(name for name in sys.modules if 'presidio' in name or 'spacy' in name)]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]
