"""Tokens of a project: made under a key of the platform, turned back only on record, final once the key is gone."""

import pytest
from tests.scenarios.api import opened
from tests.scenarios.callers import ROLES

from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.security import happenings
from holdfast.engines.tokens import Tokens
from holdfast.lifecycle.dlp_tokens import (
    FORGOTTEN,
    MADE,
    REFUSED,
    REVEALED,
    STREAM,
    dlp_forget,
    dlp_reveal,
    token_key,
    tokens_key,
)
from holdfast.lifecycle.erasure import data_erase
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.versions import version_of

REASON = "The customer called and could not say which order."
PHONE = "+49 30 1234567"


def test_the_key_is_drawn_once_and_lies_sealed(plant: Plant) -> None:
    """Another project has another; the key is in no file of the workspace as it is, and not in the ledger."""
    key = token_key(plant, "shop")
    assert token_key(plant, "shop") == key != token_key(plant, "clinic")
    files = [path.read_bytes() for path in plant.home.root.rglob("*") if path.is_file()]
    assert not [data for data in files if key in data or key.hex().encode() in data]
    assert [entry.body["project"] for entry in plant.ledger.stream(STREAM) if entry.kind == MADE] == ["shop", "clinic"]


@pytest.mark.requirement("ACC-01")
@pytest.mark.requirement("ACC-02")
def test_turning_a_token_back_is_on_record_without_the_value(plant: Plant) -> None:
    """Who, what kind and why; the entry counts as a security event, and neither value nor token is in it."""
    name = _project(plant)
    token = Tokens(token_key(plant, name)).token("phone", PHONE)
    reply = dlp_reveal(plant, token=token, kind="phone", reason=REASON)
    assert reply.document["value"] == PHONE
    entry = [each for each in plant.ledger.stream(STREAM) if each.kind == REVEALED][-1]
    assert entry.body["reason"] == REASON
    assert PHONE not in str(entry.body)
    assert token not in str(entry.body)
    told = [event for event in happenings(plant.ledger.entries()) if event.kind == REVEALED]
    assert (told[-1].severity, str(told[-1].sort)) == (4, "access")


def test_no_reason_no_value(plant: Plant) -> None:
    """A pseudonym cannot be turned back at all, and nothing is without a reason."""
    token = Tokens(token_key(plant, _project(plant))).token("phone", PHONE)
    before = [each.kind for each in plant.ledger.stream(STREAM)]
    with pytest.raises(InvalidInput, match="reason"):
        dlp_reveal(plant, token=token, kind="phone", reason=" ")
    with pytest.raises(InvalidInput, match="no token"):
        dlp_reveal(plant, token="phone_abcdefgh", kind="phone", reason=REASON)
    after = plant.ledger.stream(STREAM)
    assert [each.kind for each in after] == [*before, REFUSED, REFUSED]
    assert token not in str([each.body for each in after])
    told = [event for event in happenings(plant.ledger.entries()) if event.kind == REFUSED]
    assert {(event.severity, str(event.sort)) for event in told} == {(3, "access")}


def test_tokens_are_final_once_their_key_is_destroyed(plant: Plant) -> None:
    """That is how they are erased; tokens made afterwards are others."""
    name = _project(plant)
    key = token_key(plant, name)
    plant.erase(tokens_key(name))
    with pytest.raises(NotFound, match="destroyed"):
        dlp_reveal(plant, token=PHONE, kind="phone", reason=REASON)
    assert token_key(plant, name) != key


@pytest.mark.requirement("ACC-02", by="holdfast.lifecycle.dlp_tokens:dlp_forget")
def test_erasing_a_source_says_that_tokens_remain_and_forgetting_makes_them_final(plant: Plant) -> None:
    """A token that was copied elsewhere can be turned back after its rows are gone, until its key is destroyed."""
    name = _project(plant)
    token = Tokens(token_key(plant, name)).token("phone", PHONE)
    source = version_of(plant, "main").commit.source
    erased = data_erase(plant, data=source, reason="Article 17, request 12.")
    assert erased.document["tokens_remain"] == [name]
    assert "`holdfast dlp forget`" in erased.says
    assert dlp_reveal(plant, token=token, kind="phone", reason=REASON).document["value"] == PHONE
    dlp_forget(plant, reason="Article 17, request 12.")
    assert [each.kind for each in plant.ledger.stream(STREAM)][-1] == FORGOTTEN
    with pytest.raises(NotFound, match="destroyed"):
        dlp_reveal(plant, token=token, kind="phone", reason=REASON)
    with pytest.raises(NotFound, match="no tokens"):
        dlp_forget(plant, reason="Again.")


def test_where_no_tokens_were_made_an_erasure_says_nothing_of_them(plant: Plant) -> None:
    """Nobody is sent to destroy what is not there."""
    erased = data_erase(plant, data=version_of(plant, "main").commit.source, reason="Asked for.")
    assert (erased.document["tokens_remain"], "oken" in erased.says) == ([], False)


@pytest.mark.requirement("ACC-02", by="holdfast.lifecycle.dlp_tokens:dlp_reveal")
def test_over_http_nobody_turns_a_token_back_whom_nobody_let(plant: Plant) -> None:
    """By Cedar: no group may; who was let in by another for an hour may, and both answers are on record by name."""
    token = Tokens(token_key(plant, _project(plant))).token("phone", PHONE)
    body = {"token": token, "kind": "phone", "reason": REASON}
    with opened(plant) as api:
        for role in ROLES:
            assert api.ask("POST", "/v1/dlp/reveal", role=role, json=body).status_code == 403
        ask = {"action": "data.reveal", "resource": "workspace/", "lasts": "1h", "reason": REASON}
        asked = api.ask("POST", "/v1/access/request", role="operator", json=ask)
        assert asked.status_code == 200, asked.text
        number = asked.json()["id"]
        answered = api.ask("POST", "/v1/access/approve", role="administrator", json={"request": number})
        assert answered.status_code == 200, answered.text
        answer = api.ask("POST", "/v1/dlp/reveal", role="operator", json=body)
        assert (answer.status_code, answer.json()["value"]) == (200, PHONE)
        assert api.ask("POST", "/v1/dlp/reveal", role="viewer", json=body).status_code == 403
        wrong = api.ask("POST", "/v1/dlp/reveal", role="operator", json=body | {"token": "phone_abc"})
        assert wrong.status_code == 422
        assert token not in wrong.text
    entries = tuple(plant.ledger.entries())
    said = [(each.kind, each.actor) for each in entries if each.stream == STREAM][-2:]
    assert said == [(REVEALED, "operator"), (REFUSED, "operator")]
    denied = [event for event in happenings(iter(entries)) if event.kind == "access.denied"]
    assert {"viewer", "operator", "administrator"} <= {event.actor for event in denied}


def _project(plant: Plant) -> str:
    from holdfast.lifecycle.routing import current_project

    return current_project(plant).project.name
