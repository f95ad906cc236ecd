"""What people see: one line stays one line, a page needs nothing else, and words from outside stay words."""

import io
import json
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from holdfast.core.errors import InvalidInput, PolicyDenied
from holdfast.faces.render import complain, show, show_table
from holdfast.faces.report import report, write_report
from holdfast.faces.screen import Screen, shown
from holdfast.lifecycle.reply import Progress, Reply, Table

HOSTILE = "<script>alert(1)</script>\x1b[2J\u202e\" onload='x' & {{ 7 * 7 }} [bold]x[/] :smile:"


@given(st.text())
def test_shown_text_can_command_no_terminal(text: str) -> None:
    """Whatever it was, it is one line without control, format or surrogate characters, and can be written out."""
    seen = shown(text)
    assert not {unicodedata.category(char) for char in seen} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert seen.encode().decode() == seen


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"))))
def test_harmless_text_is_shown_as_it_is(text: str) -> None:
    """Letters, numbers, signs and spaces of every script."""
    assert shown(text) == text


def test_a_table_in_a_pipe_has_one_row_a_line_whatever_the_cells_hold() -> None:
    """Tabs and line breaks inside a cell do not make columns and rows."""
    out = io.StringIO()
    table = Table(title="T", columns=("a", "b"), rows=[("x\ty", "1\n2"), (HOSTILE, "[red]z[/]")])
    show_table(Console(file=out, emoji=False), table)
    lines = out.getvalue().splitlines()
    assert [line.count("\t") for line in lines] == [0, 1, 1, 1]
    assert lines[3].endswith("[red]z[/]")


def test_an_empty_table_is_not_shown() -> None:
    """Nothing to see."""
    out = io.StringIO()
    show_table(Console(file=out), Table(title="T", columns=("a",), rows=[]))
    assert out.getvalue() == ""


def test_marks_of_rich_inside_words_are_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody colours our output from outside, and nothing in brackets or colons disappears."""
    show(Reply(says="[bold]x[/] :smile: \\[y]"), as_json=False)
    assert capsys.readouterr().out == "[bold]x[/] :smile: \\[y]\n"


def test_json_is_one_line_even_if_words_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    """For programs nothing is replaced: they get the very words."""
    show(Reply(says="a\nb", document={"cell": HOSTILE}, exit_code=4), as_json=True)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"says": "a\nb", "cell": HOSTILE}


def test_a_complaint_names_code_place_reasons_and_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    """In that order, each on a line of its own."""
    complain(PolicyDenied("no", reasons=("[a] first", "[b] second\x1b[1m"), place="sha256:abc"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "HF410 sha256:abc no"
    assert lines[1:3] == ["  • [a] first", "  • [b] second\\x1b[1m"]
    assert lines[3].startswith("  → ")


def test_progress_in_a_pipe_is_one_line_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    """Beginnings are for terminals; endings are told, with hostile words made harmless."""
    with Screen() as screen:
        screen.tell(Progress(stage="train", state="started", words="…"))
        screen.tell(Progress(stage="train", state="failed", words="a\nb\x1b[2J"))
        screen.tell(Progress(stage="The [gate]", state="heading", words=""))
        screen.tell(Progress(stage="[x]", state="shown", words="y"))
    assert capsys.readouterr().err.splitlines() == [
        "no  train     a b\\x1b[2J",
        "",
        "The [gate]",
        "  [x]          y",
    ]


def test_progress_is_silent_where_the_answer_is_for_a_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing on standard error with `--json`."""
    with Screen(quiet=True) as screen:
        screen.tell(Progress(stage="train", state="finished", words="done"))
    assert capsys.readouterr().err == ""


def document(text: str) -> dict[str, Any]:
    """What `why` answers with, and this text wherever words come from outside."""
    measure = {"name": text, "value": 0.5, "low": 0.4, "high": 0.6, "n": 10, "unit": text}
    evidence = {
        "control": text,
        "outcome": text,
        "measures": [measure],
        "findings": [{"severity": text, "place": text, "message": text}],
        "reason": text,
        "facts": {text: text},
        "signed_by": [text],
        "time": text,
    }
    link = {
        "kind": text,
        "digest": text,
        "parents": [{"kind": text, "digest": text}],
        "verified": False,
        "words": text,
        "evidence": [evidence, {**evidence, "measures": []}],
        "authorizations": [{"person": text, "action": text, "reason": text}],
    }
    return {
        "model": text,
        "owner": text,
        "release": text,
        "in_production": True,
        "epoch": 3,
        "workspace": text,
        "checkpoint": {"size": 7, "root": text},
        "decision": "denied",
        "reasons": [text],
        "chain": [link],
        "history": [{"position": 1, "time": text, "kind": text, "actor": text, "about": text}],
    }


def test_a_page_shows_hostile_words_and_obeys_none() -> None:
    """Names, reasons, findings and actors that would be markup are text; the page stays one that loads nothing."""
    story: list[Mapping[str, Any]] = [{"title": HOSTILE, "words": HOSTILE, "rows": [(HOSTILE, HOSTILE, HOSTILE, True)]}]
    page = report(document(HOSTILE), story)
    assert "<script" not in page
    assert "onload='x'" not in page
    assert "&lt;script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert not re.search(r"\b(?:src|href)\s*=|@import|url\(|https?://", page)
    assert "default-src 'none'" in page


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """With its place."""
    with pytest.raises(InvalidInput, match="cannot be written") as told:
        write_report(tmp_path / "no" / "page.html", document("x"))
    assert told.value.place.endswith("page.html")
