"""From a permit to what the gateway obeys: races, replays, deaths in between, and damage to what was published."""

import os
from dataclasses import replace
from datetime import timedelta
from unittest.mock import Mock

import msgspec
import pytest
from tests.scenarios.stand import (
    MADE_WITH,
    Gateway,
    blob,
    damage,
    document,
    evidence,
    file_evidence,
    kinds,
    later,
    model_file,
    now,
    parent,
    published_blob,
    releases,
)

from holdfast import app
from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import Conflict, NotVerified, PolicyDenied, Refused
from holdfast.core.evidence import failed
from holdfast.core.ledger import Draft
from holdfast.core.policy import Action
from holdfast.lifecycle.loop import look
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.policies import load_policy
from holdfast.lifecycle.promotion import accept_policy, issue_key, promote, rollback
from holdfast.lifecycle.proof import why
from holdfast.lifecycle.publishing import ROUTED, endpoint_stream, present_table, settle
from holdfast.lifecycle.routing import commit, current_project, draw, renew
from holdfast.registry import promoted, renewed, with_candidate


class DiedError(Exception):
    """The process is gone."""


def dying(plant: Plant) -> Plant:
    """The same control plane, in a process that dies before it publishes anything."""
    return replace(plant, published=Mock(wraps=plant.published, put=Mock(side_effect=DiedError)))


def bad_news(plant: Plant, release: str) -> None:
    """File a failure on the model that a release is made of."""
    model = parent(plant, release, Kind.MODEL)
    file_evidence(plant, failed("assess.robustness/1", model, Kind.MODEL, MADE_WITH, "the attack crashed"))


def test_a_death_between_appending_and_publishing_is_completed_from_the_ledger(plant: Plant) -> None:
    """The ledger is the truth: the next `settle` publishes what it names, and the gateway answers."""
    with pytest.raises(DiedError):
        promote(dying(plant), reason="The power went.")
    assert now(plant).baseline == releases(plant)[0]
    assert not document(plant, "routes.dsse.json").exists()
    settle(plant, current_project(plant))
    gateway = Gateway(plant)
    assert releases(plant)[0].removeprefix("sha256:").startswith(gateway.answers_with(gateway.rows(releases(plant)[0])))


def test_publishing_again_changes_nothing(producing: Plant) -> None:
    """`settle` may be called at any time: the same files, not even written again."""
    before = {path: path.stat().st_mtime_ns for path in producing.home.published.rglob("*")}
    size = producing.ledger.size()
    assert settle(producing, current_project(producing)) == ()
    assert {path: path.stat().st_mtime_ns for path in producing.home.published.rglob("*")} == before
    assert producing.ledger.size() == size


@pytest.mark.guarantee("G07")
@pytest.mark.requirement("SUP-14", by="holdfast.lifecycle.publishing:_restore")
def test_a_damaged_published_model_is_not_served_and_a_good_copy_put_back(producing: Plant) -> None:
    """One bit of the gateway's copy is flipped: it refuses, the copy is restored, the damaged one kept as evidence."""
    release = releases(producing)[1]
    damaged = model_file(producing, release)
    gateway = Gateway(producing)
    damage(published_blob(producing, damaged))
    with pytest.raises(NotVerified):
        gateway.loader.refresh()
    assert settle(producing, current_project(producing)) == (damaged,)
    assert producing.ledger.stream("published")[-1].body["digest"] == damaged
    (kept,) = (producing.home.published / "damaged").iterdir()
    assert kept.name.startswith(damaged.removeprefix("sha256:"))
    gateway.loader.refresh()
    assert release.removeprefix("sha256:").startswith(gateway.answers_with(gateway.rows(release)))


@pytest.mark.parametrize("what", ["a link", "a folder", "nothing", "other bytes", "a pipe"])
def test_whatever_stands_in_place_of_a_published_document_is_replaced(producing: Plant, what: str) -> None:
    """Somebody who can write to the gateway's folder changes what the gateway reads until the next look, no longer."""
    path = document(producing, "policy.toml")
    good = path.read_bytes()
    path.unlink()
    match what:
        case "a link":
            path.symlink_to("/etc/passwd")
        case "other bytes":
            path.write_bytes(good + b"\n")
        case "a pipe":
            os.mkfifo(path)
        case "a folder":
            path.mkdir()
            path.rmdir()
        case _:
            pass
    settle(producing, current_project(producing))
    assert path.read_bytes() == good
    assert not path.is_symlink()


def test_a_policy_file_that_is_gone_or_edited_changes_nothing_that_answers(plant: Plant) -> None:
    """An endpoint stands under the very bytes it was promoted under, whatever becomes of the file they came from."""
    promote(plant, reason="Under the shipped policy.")
    table = present_table(plant, current_project(plant))
    assert table is not None
    other = replace(plant, load_policy=lambda _: (_ for _ in ()).throw(AssertionError("nobody reads it")))
    renewal = renew(later(other, timedelta(minutes=8)), current_project(plant))
    assert renewal is not None
    assert renewal.policy == table.policy
    assert document(plant, "policy.toml").read_bytes() == plant.blobs.get(Digest(table.policy))


def test_an_edited_project_file_does_not_loosen_the_guards_of_what_answers(producing: Plant) -> None:
    """Limits and lease are those of the project that the release was made from: a change goes through the gate."""
    before = present_table(producing, current_project(producing))
    text = producing.home.project_file.read_text(encoding="utf-8")
    edited = text.replace("rate_per_s = 200.0", "rate_per_s = 1000000.0").replace('lease = "15m"', 'lease = "23h"')
    assert edited.count("1000000.0") == 1
    assert edited.count('"23h"') == 1
    producing.home.project_file.write_text(edited, encoding="utf-8")
    after = renew(producing, current_project(producing))
    assert before is not None
    assert after is not None
    assert after.guards == before.guards
    assert after.expires - after.issued == before.expires - before.issued


@pytest.mark.guarantee("G05")
def test_evidence_filed_between_decision_and_append_stops_the_promotion(plant: Plant) -> None:
    """What was decided upon must still be all there is when it is acted upon; nothing is written otherwise."""
    project, release = current_project(plant), releases(plant)[0]
    promote_word(plant, release)
    drawn = draw(plant, project, promoted(now(plant), release), subject=release, action=Action.PROMOTE)
    bad_news(plant, release)
    size = plant.ledger.size()
    with pytest.raises(Conflict):
        commit(plant, project, drawn)
    assert plant.ledger.size() == size
    assert now(plant).baseline == ""
    assert not document(plant, "routes.dsse.json").exists()


def promote_word(plant: Plant, release: Digest) -> None:
    """Put the owner's approval and the gates on record, as `promote` does first."""
    from holdfast.lifecycle.promotion import authorize
    from holdfast.lifecycle.registry_gates import file_gates

    authorize(plant, current_project(plant), release, "approve", "It was looked at.")
    file_gates(plant, current_project(plant), release)


def test_a_permit_is_used_once(plant: Plant) -> None:
    """The same drawn table cannot be committed again, and its nonce opens nothing else either."""
    project, release = current_project(plant), releases(plant)[0]
    promote_word(plant, release)
    drawn = draw(plant, project, promoted(now(plant), release), subject=release, action=Action.PROMOTE)
    commit(plant, project, drawn)
    with pytest.raises((Conflict, Refused)):
        commit(plant, project, drawn)
    assert drawn.permit is not None
    note = Draft(kind="note", actor="test", stream="elsewhere", body={})
    with pytest.raises(Refused):
        plant.ledger.append([note], consume_nonce=drawn.permit.nonce)
    assert kinds(plant, endpoint_stream(project)) == [ROUTED]


def test_a_permit_that_has_expired_opens_nothing(plant: Plant) -> None:
    """Whoever waits too long with a decision must ask again."""
    project, release = current_project(plant), releases(plant)[0]
    promote_word(plant, release)
    drawn = draw(plant, project, promoted(now(plant), release), subject=release, action=Action.PROMOTE)
    with pytest.raises(NotVerified, match="expired"):
        commit(later(plant, timedelta(days=2)), project, drawn)
    assert now(plant).epoch == 0


def test_no_release_answers_that_nobody_decided_about(producing: Plant) -> None:
    """A standing with a release that did not answer before is refused unless just that one is asked for."""
    first, second = releases(producing)
    project, here = current_project(producing), now(producing)
    assert here.baseline == second
    for after in (promoted(here, first), with_candidate(here, first, 0.1, "step-0")):
        with pytest.raises(NotVerified, match="nobody decided"):
            draw(producing, project, after)
        with pytest.raises(NotVerified, match="nobody decided"):
            draw(producing, project, after, subject=second)


def test_a_standing_that_supposes_another_past_is_refused(producing: Plant) -> None:
    """Two who route at once: the second learns that the endpoint has moved."""
    project = current_project(producing)
    drawn = draw(producing, project, renewed(now(producing)))
    renew(producing, project)
    with pytest.raises(Conflict):
        commit(producing, project, drawn)
    with pytest.raises(Conflict, match="epoch"):
        draw(producing, project, msgspec.structs.replace(now(producing), epoch=99))


@pytest.mark.requirement("INC-11", by="holdfast.lifecycle.promotion:_last_good")
def test_a_rollback_finds_the_last_good_version(producing: Plant) -> None:
    """The release before may not serve any more: it is passed over, here for the declared safe state."""
    first, second = releases(producing)
    bad_news(producing, first)
    assert rollback(producing, reason="The second is wrong.").document == {"withdrawn": second, "serving": ""}
    assert "decision.denied" in kinds(producing, first)
    assert now(producing).baseline == ""
    gateway = Gateway(producing)
    assert gateway.answers_with(gateway.rows(first)) in {"403", "404"}


def test_a_release_passed_over_by_a_rollback_is_not_gone_back_to_later(producing: Plant) -> None:
    """What may not serve is no place to return to."""
    first, _ = releases(producing)
    bad_news(producing, first)
    rollback(producing, reason="The second is wrong.")
    assert now(producing).previous == ()


def test_a_rollback_goes_on_while_others_write(producing: Plant) -> None:
    """A run files evidence on the same artifacts just as the rollback commits: it is decided anew, and goes through."""
    first, second = releases(producing)
    shared, writes = parent(producing, parent(producing, first, Kind.MODEL), Kind.FEATURES), [2]

    class Busy:
        """The ledger, with somebody else who writes just before an append."""

        def __getattr__(self, name: str) -> object:
            return getattr(producing.ledger, name)

        def append(self, drafts: object, **given: object) -> object:
            if given.get("expect") and writes[0]:
                writes[0] -= 1
                item = evidence(shared, "features.view/1", Kind.FEATURES, constant_features=0)
                file_evidence(producing, item)
            return producing.ledger.append(drafts, **given)  # type: ignore[arg-type]

    busy: object = Busy()
    reply = rollback(replace(producing, ledger=busy), reason="It is wrong, whoever else is at work.")  # type: ignore[arg-type]
    assert reply.document == {"withdrawn": second, "serving": first}
    assert writes == [0]


def test_a_canary_while_one_is_going_on_is_refused(producing: Plant) -> None:
    """Nobody replaces a candidate in silence; nor is one begun where nothing could be returned to."""
    first, second = releases(producing)
    promote(producing, reason="Try the first again.", release=first, canary=True)
    size = producing.ledger.size()
    with pytest.raises(Conflict, match="canary is going on"):
        promote(producing, reason="And again.", release=first, canary=True)
    with pytest.raises(Conflict, match="canary is going on"):
        promote(producing, reason="And the other.", release=second, canary=True)
    assert producing.ledger.size() == size
    promote(producing, reason="No need to try it.", release=first)
    assert now(producing).candidate == ""


def test_a_canary_without_anything_to_return_to_is_refused(plant: Plant) -> None:
    """There must be a baseline."""
    size = plant.ledger.size()
    with pytest.raises(Conflict, match="nothing is in production"):
        promote(plant, reason="Straight to a canary.", canary=True)
    assert plant.ledger.size() == size


def test_a_promotion_on_top_of_a_canary_puts_its_end_on_record(producing: Plant) -> None:
    """A candidate that makes way for another release is returned, not forgotten."""
    first, _ = releases(producing)
    promote(producing, reason="Try it.", release=first, canary=True)
    promote(producing, reason="The second stays.", release=releases(producing)[1])
    assert kinds(producing, first)[-1] == "release.returned"


@pytest.mark.guarantee("G09")
def test_the_lease_of_a_table_ends_with_the_first_permit_it_rests_on(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No table outlives what it was decided upon: an approval that ends in a minute ends the lease with it."""
    monkeypatch.setattr("holdfast.lifecycle.promotion.APPROVAL_LASTS", timedelta(days=20))  # while all else is fresh
    promote(plant, reason="For twenty days.")
    project = current_project(plant)
    almost = later(plant, timedelta(days=20) - timedelta(minutes=3))
    table = renew(almost, project)
    assert table is not None
    assert table.expires - table.issued < timedelta(minutes=4)
    with pytest.raises(PolicyDenied) as denied:
        renew(later(plant, timedelta(days=21)), project)
    assert denied.value.place == releases(plant)[0]


def test_a_renewal_keeps_the_passport_while_nothing_new_is_said(producing: Plant) -> None:
    """Every few minutes a new table, for years: a new passport only when there is something new in it."""
    project = current_project(producing)
    before, first = renew(producing, project), renew(producing, project)
    assert before is not None
    assert first is not None
    assert first.models[0].passport == before.models[0].passport
    producing.ledger.append([Draft(kind="note", actor="owner", stream=releases(producing)[1], body={})])
    same = renew(producing, project)
    assert same is not None
    assert same.models[0].passport == first.models[0].passport  # a note decides nothing
    file_evidence(producing, evidence(releases(producing)[1], "watch.sli/1", Kind.RELEASE, error_rate=0.0))
    second = renew(producing, project)
    assert second is not None
    assert second.models[0].passport != first.models[0].passport


def test_a_key_is_issued_whole_or_not_at_all(producing: Plant) -> None:
    """Where no gateway could be told of it, no key is put on record; else it works at once."""
    issued = issue_key(producing, client="clinic")
    table = present_table(producing, current_project(producing))
    assert table is not None
    assert [credential.id for credential in table.credentials] == ["clinic"]
    assert issued.document["key"] not in document(producing, "routes.dsse.json").read_text(encoding="utf-8")
    bad_news(producing, releases(producing)[1])
    size = producing.ledger.stream("credentials")
    with pytest.raises(PolicyDenied):
        issue_key(producing, client="another")
    assert producing.ledger.stream("credentials") == size


def test_a_damaged_copy_of_our_own_is_never_published(producing: Plant) -> None:
    """Both copies are damaged: `settle` says so, and puts nothing in place."""
    damaged = model_file(producing, releases(producing)[1])
    damage(published_blob(producing, damaged))
    for copy in blob(producing, damaged):
        damage(copy)
    with pytest.raises(NotVerified):
        settle(producing, current_project(producing))
    assert published_blob(producing, damaged).exists()


RULE = '[[rule]]\nid = "a"\nbecause = "b"\napproved_by = { role = "owner" }\n'
DERIVATION = '[derivation]\nrelease = ["model"]\n'


def test_policies_are_accepted_on_top_of_one_another(plant: Plant) -> None:
    """Two plants that were opened at the same time each accept a policy: the trust holds both, each on record."""
    paths = []
    for name in ("one", "two"):
        path = plant.home.root / f"{name}.toml"
        path.write_text(f'name = "{name}"\nversion = 1\npermit_lasts = "1h"\n{DERIVATION}{RULE}', encoding="utf-8")
        paths.append(path)
    with app.open_plant(plant.home.root) as other:
        pairs = zip((plant, other), paths, strict=True)
        digests = {str(accept_policy(each, file=path).document["policy"]) for each, path in pairs}
        for each in (plant, other):  # both know at once
            assert digests <= set(each.trust.policies)
            assert each.trust.version == 3
    assert kinds(plant, "trust").count("policy.accepted") == 2


def test_a_watch_learns_of_a_policy_that_another_process_accepts(producing: Plant) -> None:
    """It was opened before: what is promoted under the new rules must not look unaccepted to it, and be taken out."""
    path = producing.home.root / "mine.toml"
    path.write_text(f'name = "mine"\nversion = 1\npermit_lasts = "1h"\n{DERIVATION}{RULE}', encoding="utf-8")
    before = now(producing)
    with app.open_plant(producing.home.root) as other:
        accept_policy(other, file=path)  # which tells the gateways of the newer trust by a newer table
    assert load_policy("mine.toml", producing.home.root)[1] in producing.trust.policies
    assert now(producing).epoch == before.epoch + 1
    assert not look(producing).done
    assert now(producing).baseline == before.baseline


def test_a_renamed_project_does_not_end_what_is_served_under_its_name(producing: Plant) -> None:
    """A second name would begin a second count of tables, which no gateway obeys: refused wherever it would matter."""
    text = producing.home.project_file.read_text(encoding="utf-8")
    producing.home.project_file.write_text(text.replace('name = "breast-cancer"', 'name = "renamed"'), encoding="utf-8")
    size = producing.ledger.size()
    for command in (look, why, lambda plant: rollback(plant, reason="x"), lambda plant: issue_key(plant, client="a")):
        with pytest.raises(Conflict, match="serves 'breast-cancer'"):
            command(producing)
    assert producing.ledger.size() == size
    producing.home.project_file.write_text(text, encoding="utf-8")
    assert now(producing).baseline == releases(producing)[1]
