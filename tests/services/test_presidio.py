"""The real Presidio over a small real pipeline, made here and saved to a folder: no pipeline is on the package index.

Both live in an environment of their own (.venv-presidio, `make services`), whose packages are in the versions of ours;
they are put behind ours on the path.
"""

import json
import logging
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl
import pytest
from tests.conftest import ROOT, absent
from tests.scenarios.shop import edit, features_of, new_shop
from tests.unit.ingest.test_dlp_actions import CALLS, rows
from tests.unit.ingest.world import PROJECT, project, run

from holdfast.app.recognising import open_recogniser
from holdfast.core.artifact import Kind
from holdfast.core.dlp import Presidio
from holdfast.core.errors import InvalidProject, MissingExtra, Unavailable
from holdfast.engines.personal import scan
from holdfast.faces.cli import invoke
from holdfast.lifecycle.runner import run as execute
from holdfast.lifecycle.verbs import newest_on

PACKAGES: Final = ROOT / ".venv-presidio" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
PEOPLE: Final = ("Ada Lovelace", "Grace Hopper")
NOTE: Final = "met Ada Lovelace in Paris, at Elm Street 4, write to ada@example.org"
PATTERNS: Final = [
    *({"label": "PERSON", "pattern": name} for name in PEOPLE),
    {"label": "GPE", "pattern": "Paris"},
    {"label": "STREET", "pattern": [{"LOWER": "elm"}, {"LOWER": "street"}, {"IS_DIGIT": True}]},
    {"label": "ORG", "pattern": "Analytical Engines"},
]
FIRST: Final = ("Ada", "Grace", "Alan", "Emmy", "Mary", "Kurt")
LAST: Final = ("Lovelace", "Hopper", "Turing", "Noether", "Jackson")
SENTENCES: Final = ("met {} today", "{} called about the order", "sent it to {} on Monday")


@pytest.fixture(scope="module")
def spacy() -> Iterator[Any]:
    """spaCy, with Presidio beside it."""
    if not (PACKAGES / "presidio_analyzer").is_dir():
        absent("the environment of Presidio (.venv-presidio)", "`make services` makes it")
    sys.path.append(str(PACKAGES))
    import spacy

    yield spacy
    sys.path.remove(str(PACKAGES))


@pytest.fixture(scope="module")
def models(spacy: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder, with a pipeline beside its file that knows a few names."""
    folder = tmp_path_factory.mktemp("models")
    made = spacy.blank("en")
    made.meta["name"], made.meta["version"] = "few_names", "1.2.3"
    made.add_pipe("entity_ruler").add_patterns(PATTERNS)
    made.to_disk(folder / "few-names")
    return folder


def opened(models: Path, **said: Any) -> Any:
    """The recogniser of a declaration."""
    return open_recogniser(models, Presidio(model="few-names", **said))


def seen(models: Path, text: str, **said: Any) -> dict[str, str]:
    """What it finds in one text: words by kind."""
    (found,) = opened(models, **said).find([text], ())
    return {each.kind: text[each.start : each.stop] for each in found}


@pytest.mark.requirement("ACC-01", by="holdfast.adapters.presidio:open_presidio")
def test_names_places_and_kinds_of_the_pipelines_own_are_found(models: Path) -> None:
    """By default persons and places; whatever else the pipeline knows where it is listed, and nothing that is not."""
    assert seen(models, NOTE) == {"person": "Ada Lovelace", "location": "Paris"}
    assert seen(models, NOTE, entities=("STREET",)) == {"street": "Elm Street 4"}
    assert seen(models, "Analytical Engines, Paris", entities=("ORGANIZATION",)) == {
        "organization": "Analytical Engines"
    }


def test_presidios_own_recognisers_are_off_unless_listed(models: Path) -> None:
    """Ours have check digits; whoever lists one gets it under our name of the kind."""
    recogniser = opened(models)
    assert not recogniser.reads_digits
    text = "card 4111 1111 1111 1111, ada@example.org"
    assert seen(models, text) == {}
    assert seen(models, text, entities=("EMAIL_ADDRESS", "CREDIT_CARD")) == {
        "email": "ada@example.org",
        "card": "4111 1111 1111 1111",
    }
    assert opened(models, entities=("US_BANK_NUMBER",)).reads_digits


def test_words_beside_a_value_count_as_presidio_has_it(models: Path) -> None:
    """A bank number is one where the column says so."""
    recogniser = opened(models, entities=("US_BANK_NUMBER",))
    assert recogniser.find(["945456787654"], ("amount",)) == [[]]
    assert [each.kind for each in recogniser.find(["945456787654"], ("bank", "account"))[0]] == ["us-bank-number"]


def test_evidence_names_versions_and_bytes(models: Path, tmp_path: Path) -> None:
    """Two searches that agree in these find the same; a pipeline that was changed is another."""
    told = opened(models, skip=("species",)).made_with
    assert told["analyzer"].startswith("presidio-analyzer 2.")
    assert told["spacy"].startswith("spacy 3.")
    assert told["pipeline"].startswith("en_few_names 1.2.3, sha256:")
    assert told["settings"] == "language en, score 0.4, PERSON LOCATION"
    assert told["skipped"] == "species"
    shutil.copytree(models / "few-names", tmp_path / "few-names")
    assert opened(tmp_path).made_with == told | {"skipped": "none"}
    meta = tmp_path / "few-names" / "meta.json"
    meta.write_text(meta.read_text().replace("few_names", "few_names "))
    assert opened(tmp_path).made_with["pipeline"] != told["pipeline"]


@pytest.mark.requirement("ACC-01", by="holdfast.adapters.presidio:open_presidio")
@pytest.mark.parametrize(
    ("said", "place", "words"),
    [
        ({"model": "en_core_web_sm"}, ".model", "there is no spaCy pipeline"),
        ({"model": "."}, ".model", "there is no spaCy pipeline"),
        ({"model": "few-names", "entities": ("PERSON", "NRP")}, ".entities", "nothing finds 'NRP'"),
        ({"model": "few-names", "entities": ("PRSON",)}, ".entities", "nothing finds 'PRSON'"),
        ({"model": "few-names", "language": "de"}, "", "of the language 'en'"),
        ({"model": "few-names", "score": 0.9}, ".score", "nothing that the pipeline finds counts"),
    ],
)
def test_what_cannot_be_had_is_refused_before_a_row_is_read(
    models: Path, said: dict[str, Any], place: str, words: str
) -> None:
    """With place, expectation and remedy: a search that can find nothing would look like one that found nothing."""
    with pytest.raises(InvalidProject, match=words) as refusal:
        open_recogniser(models, Presidio(**said))
    assert refusal.value.place == f"[dlp.presidio]{place}"
    assert refusal.value.expected
    assert refusal.value.remedy


def test_a_damaged_pipeline_is_one_clear_error(models: Path, tmp_path: Path) -> None:
    """Never a traceback of spaCy's."""
    shutil.copytree(models / "few-names", tmp_path / "few-names")
    (tmp_path / "few-names" / "config.cfg").write_text("[nlp]\nnothing = here")
    with pytest.raises(Unavailable, match="cannot be loaded"):
        opened(tmp_path)


@pytest.mark.parametrize("name", ["presidio_analyzer", "spacy"])
def test_a_package_that_is_missing_is_told_with_the_extra(
    models: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Declared is not optional."""
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match="is not installed") as refusal:
        opened(models)
    assert "holdfast[presidio]" in refusal.value.remedy


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every attempt to reach another machine, none of which gets through."""
    tried = list[str]()

    def refuse(*arguments: Any, **_: Any) -> None:
        tried.append(str(arguments[-1]))
        raise OSError("no network in this test")

    for name in ("getaddrinfo", "create_connection", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tried


def test_nothing_is_fetched(models: Path, calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a pipeline that is missing nor the list of domains that Presidio's search for addresses wants.

    Presidio as it comes would do both: what it calls is called here, so that the test sees that it would be seen.
    """
    import tldextract
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    assert seen(models, NOTE, entities=("PERSON", "EMAIL_ADDRESS", "URL")) == {
        "person": "Ada Lovelace",
        "email": "ada@example.org",
        "url": "example.org",
    }
    with pytest.raises(InvalidProject):
        open_recogniser(models, Presidio(model="en_core_web_sm"))
    assert calls == []
    tldextract.TLDExtract(cache_dir=str(tmp_path))("example.org")
    assert calls
    fetched = list[str]()
    monkeypatch.setattr("spacy.cli.download", fetched.append, raising=False)
    with pytest.raises(OSError, match="en_core_web_sm"):
        SpacyNlpEngine(models=[{"lang_code": "en", "model_name": "en_core_web_sm"}]).load()
    assert fetched == ["en_core_web_sm"]


def test_no_text_is_in_a_log_or_an_error(
    models: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Presidio's own log quotes what it cannot judge; an error of a recogniser may quote anything."""
    caplog.set_level(logging.DEBUG)
    recogniser = opened(models, entities=("PERSON", "IBAN_CODE"))
    recogniser.find([NOTE, "DE89 3704 0044 0532 0130 00"], ("iban",))

    def fail(*_: Any, **__: Any) -> None:
        logging.getLogger("presidio-analyzer").error("Failed to validate text %s", NOTE)
        raise ValueError(NOTE)

    monkeypatch.setattr(recogniser._analyzer.analyzer_engine, "analyze", fail)
    with pytest.raises(Unavailable, match="Presidio failed with ValueError") as refusal:
        recogniser.find([NOTE], ())
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__
    said = f"{refusal.value} {caplog.text} {capfd.readouterr()}"
    assert "Lovelace" not in said
    assert "3704" not in said


def test_a_text_that_presidio_gave_up_on_is_not_one_in_which_nothing_is(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It skips a pattern that takes too long, and says so in its log alone."""
    from presidio_analyzer import PatternRecognizer

    def slow(*_: Any) -> None:
        raise TimeoutError

    recogniser = opened(models, entities=("US_BANK_NUMBER",))
    monkeypatch.setattr(PatternRecognizer, "validate_result", slow)
    with pytest.raises(Unavailable, match="gave up on a text"):
        recogniser.find(["account 945456787654"], ())


@pytest.mark.requirement("ACC-01", by="holdfast.adapters.presidio:PresidioRecogniser.find")
def test_many_long_texts_have_every_name_at_its_place(models: Path) -> None:
    """Over distinct values, in batches and pieces, by the engine that reads columns."""
    texts = [f"note {n} " + "word " * (n % 7) * 500 + f"of {PEOPLE[n % 2]}, {n}" for n in range(200)]
    frame = pl.DataFrame({"notes": texts * 2, "code": [f"c{n}" for n in range(400)]})
    (hit,) = [hit for hit in scan(frame, opened(models)) if hit.entity == "person"]
    assert (hit.column, hit.values, hit.rows) == ("notes", 200, 400)


@pytest.mark.requirement("ACC-01", by="holdfast.adapters.presidio:PresidioRecogniser.find")
@pytest.mark.requirement("ACC-02", by="holdfast.adapters.presidio:PresidioRecogniser.find")
def test_notes_are_masked_at_ingest_and_none_is_left(models: Path, tmp_path: Path) -> None:
    """The whole way: project file, Presidio, arbitration with our finds, action, evidence."""
    note = NOTE.replace(",", "")
    plan = project(
        CALLS,
        features='[dlp]\ndefault = "mask"\n[dlp.presidio]\nmodel = "few-names"\n'
        'entities = ["PERSON", "LOCATION", "STREET"]',
    )
    source = rows([note, *(f"routine {n}" for n in range(9))])
    done = run(tmp_path, source, plan, lambda declared: open_recogniser(models, declared))
    assert done.rows.get_column("tel")[0] == "met [person] in [location] at [street] write to [email]"
    measured = done.measures("ingest.personal/1")
    assert (measured["personal_rows_mask"], measured["personal_values_left"]) == (4, 0)
    assert done.evidence("ingest.personal/1").facts["presidio_pipeline"].startswith("en_few_names 1.2.3, sha256:")


def declaring(folder: Path, models: Path) -> Path:
    """A project file that declares the pipeline."""
    said = folder / "holdfast.toml"
    pipeline = f'[dlp.presidio]\nmodel = "{models / "few-names"}"\n'
    said.write_text(PROJECT.format(columns=CALLS, data="", features="", format="csv") + pipeline)
    return said


def test_files_are_scanned_by_a_projects_pipeline(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Columns, names of columns and lines of text; the kinds may be allowed, and no value is shown."""
    said = declaring(tmp_path, models)
    table, text = tmp_path / "a.csv", tmp_path / "b.txt"
    table.write_text("id,notes\n1,met Ada Lovelace\n2,nothing\n")
    text.write_text("first\nGrace Hopper\n")
    assert invoke(["dlp", "scan", str(table), str(text)]) == 0
    capsys.readouterr()
    line = ["dlp", "scan", str(table), str(text), "--project", str(said)]
    assert invoke([*line, "--format", "json"]) == 1
    out = capsys.readouterr().out
    found = json.loads(out)
    assert [(each["column"], each["line"], each["entity"]) for each in found["found"]] == [
        ("notes", 0, "person"),
        ("", 2, "person"),
    ]
    assert found["presidio_pipeline"].startswith("en_few_names 1.2.3")
    assert "Lovelace" not in out
    assert invoke([*line, "--allow", "person"]) == 0
    assert invoke([*line, "--format", "sarif"]) == 1
    assert "personal.person" in capsys.readouterr().out


@pytest.mark.requirement("DATA-05", by="holdfast.app.recognising:data_profile")
def test_a_profile_calls_names_personal_where_a_project_is_named(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The column is drafted as personal and none of its values shown; without the project no pattern knows them."""
    said = declaring(tmp_path, models)
    table = tmp_path / "calls.csv"
    names = "".join(f"{n},{PEOPLE[n % 2]}\n" for n in range(40))
    table.write_text(f"id,told\n{names}")

    def profiled(*more: str) -> Any:
        capsys.readouterr()
        assert invoke(["data", "profile", str(table), "--json", *more]) == 0
        return json.loads(capsys.readouterr().out)

    _, told = profiled()["columns"]
    assert told["personal"] == []
    found = profiled("--project", str(said))
    assert found["columns"][1]["personal"] == ["person"]
    assert found["presidio_pipeline"].startswith("en_few_names 1.2.3")
    assert "Lovelace" not in json.dumps(found)
    assert invoke(["data", "profile", str(table), "--form", "toml", "--project", str(said)]) == 0
    assert 'use = "personal"' in capsys.readouterr().out


@pytest.mark.requirement("ACC-01", by="holdfast.lifecycle.cleaning:data_clean")
def test_cleaning_shows_no_name_in_a_project_that_declares_a_pipeline(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither among the changes nor in the rows that are set aside; the rows that hold are as they are without it."""
    declaring(tmp_path, models)
    table, aside = tmp_path / "calls.csv", tmp_path / "aside.jsonl"
    table.write_text("id,x,tel,label\n1,1, asked Ada Lovelace ,yes\n2,2,x,Grace Hopper said no\n")
    line = ["data", "clean", str(table), "--quarantine", str(aside), "--json", "-C", str(tmp_path)]
    assert invoke(line) == 0
    found = json.loads(capsys.readouterr().out)
    (changed,) = found["sample"]
    assert (changed["before"], changed["after"]) == (" asked [person] ", "asked [person]")
    assert found["presidio_settings"].startswith("language en")
    (reason,) = json.loads(aside.read_text())["reasons"]
    assert reason["found"] == "[person] said no"
    assert (found["rows_held"], found["rows_set_aside"]) == (1, 1)


@pytest.mark.parametrize("command", ["profile", "clean"])
def test_what_is_declared_and_cannot_be_had_ends_the_command(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """As it ends a run: a pipeline that is not there is not a search that found nothing."""
    said = declaring(tmp_path, tmp_path / "elsewhere")
    table, out = tmp_path / "calls.csv", tmp_path / "out.csv"
    table.write_text("id,x,tel,label\n1,1,asked Ada Lovelace,yes\n")
    more = ["--project", str(said)] if command == "profile" else ["--out", str(out), "-C", str(tmp_path)]
    assert invoke(["data", command, str(table), *more]) != 0
    assert "there is no spaCy pipeline" in capsys.readouterr().err
    assert not out.exists()


def test_a_profile_by_a_project_without_presidio_is_refused(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who names a project is not to be searched without it."""
    said = tmp_path / "holdfast.toml"
    said.write_text(PROJECT.format(columns=CALLS, data="", features="", format="csv"))
    table = tmp_path / "calls.csv"
    table.write_text("id,tel\n1,x\n")
    assert invoke(["data", "profile", str(table), "--project", str(said)]) != 0
    assert "declares no Presidio" in capsys.readouterr().err


@pytest.mark.requirement("ACC-01", by="holdfast.app.recognising:open_recogniser")
def test_a_run_searches_source_and_views_by_the_declared_pipeline_or_does_not_run(
    models: Path, unlocking: Path, tmp_path: Path
) -> None:
    """A workspace's own way: the pipeline beside the project file; where it is missing, nothing is stored."""
    with new_shop(tmp_path) as shop:
        path = shop.home.root / "clicks.csv"
        clicks = pl.read_csv(path, infer_schema=False)
        clicks.with_columns(pl.lit("met Ada Lovelace").alias("note")).write_csv(path)
        edit(shop, "[train]\n", '[dlp.presidio]\nmodel = "few-names"\n[train]\n')
        with pytest.raises(InvalidProject, match="there is no spaCy pipeline"):
            execute(shop, until="features")
        made = {each.body["kind"] for each in shop.ledger.entries() if each.kind == "artifact.recorded"}
        assert made.isdisjoint({Kind.DATASET, Kind.QUARANTINE, Kind.FEATURES})
        shutil.copytree(models / "few-names", shop.home.root / "few-names")
        execute(shop, until="features")
        digest, _ = features_of(shop)
        told = newest_on(shop, digest)["features.personal/1"]
        assert (told.facts["caught"], [each.rule for each in told.findings]) == ("clicks.note", ["personal-person"])
        assert told.facts["presidio_pipeline"].startswith("en_few_names 1.2.3, sha256:")


def test_the_pipeline_of_the_guide_works_as_it_is_written(
    spacy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever copies it has a pipeline, and the declaration beside it finds its names."""
    guide = (ROOT / "docs" / "how-to" / "a-dlp-rule.md").read_text("utf-8").partition("## Names and places")[2]
    code = re.search(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    declared = re.search(r"```toml\n\[dlp\.presidio\]\n(.*?)```", guide, flags=re.DOTALL)
    assert code
    assert declared
    monkeypatch.chdir(tmp_path)
    exec(compile(code[1], "a-dlp-rule.md", "exec"), {})  # noqa: S102 - the guide is ours
    said = msgspec.toml.decode(declared[1], type=Presidio)
    (found,) = open_recogniser(tmp_path, said).find(["Ada Lovelace in Paris"], ())
    assert [each.kind for each in found] == ["person", "location"]


@pytest.fixture(scope="module")
def learned(spacy: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pipeline that has learned names from a few sentences, as published ones have from many."""
    from spacy.training import Example

    spacy.util.fix_random_seed(7)
    folder, made = tmp_path_factory.mktemp("learned"), spacy.blank("en")
    made.add_pipe("ner").add_label("PERSON")
    examples = [
        Example.from_dict(made.make_doc(text.format(name)), {"entities": [(start, start + len(name), "PERSON")]})
        for name in (f"{first} {last}" for first in FIRST for last in LAST)
        for text in SENTENCES
        for start in [text.index("{")]
    ]
    optimizer = made.initialize(lambda: examples)
    for _ in range(8):
        for begin in range(0, len(examples), 32):
            made.update(examples[begin : begin + 32], sgd=optimizer)
    made.to_disk(folder / "few-names")
    return folder


def test_a_learned_pipeline_answers_the_same_alone_and_among_others(learned: Path, tmp_path: Path) -> None:
    """So the second search of the stored rows sees what the first did, and nothing is left."""
    texts = [SENTENCES[n % 3].format(f"{FIRST[n % 6]} {LAST[n % 5]}") + f", no. {n}" for n in range(150)]
    recogniser = opened(learned, entities=("PERSON",))
    together = recogniser.find(texts, ())
    assert together == [recogniser.find([text], ())[0] for text in texts]
    assert sum(map(bool, together)) > 120
    plan = project(
        CALLS,
        features='[dlp]\ndefault = "mask"\n[dlp.presidio]\nmodel = "few-names"\nentities = ["PERSON"]',
    )
    source = rows([text.replace(",", "") for text in texts])
    done = run(tmp_path, source, plan, lambda declared: open_recogniser(learned, declared))
    assert done.measures("ingest.personal/1")["personal_values_left"] == 0
