"""Taking back: an artifact, an API key; what follows for everything that answers, and what cannot be undone."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import msgspec
import pytest
from tests.scenarios.stand import Gateway, kinds, later, now, parent, releases

from holdfast.adapters.offline import OfflineFolder
from holdfast.core.artifact import Digest, Kind
from holdfast.core.consent import RETURN, check_consent, consent
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, NotFound, NotVerified, PolicyDenied
from holdfast.core.ledger import Draft
from holdfast.core.passport import AUTHORIZED
from holdfast.core.seal import AUTHORIZATION, unseal
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import issue_key, promote, rollback
from holdfast.lifecycle.publishing import present_table
from holdfast.lifecycle.repository import apply, propose, sign
from holdfast.lifecycle.revocation import renew_lease, revoke, revoke_key
from holdfast.lifecycle.routing import case_of, current_project
from holdfast.testing.memory import MemorySigner


def short(digest: str) -> str:
    """The part of a digest that callers see."""
    return digest.removeprefix("sha256:")[:12]


def test_a_revoked_release_makes_way_for_the_one_before(producing: Plant) -> None:
    """One command: on record by the owner's signed word, signed by the root key, and out of production."""
    first, second = releases(producing)
    gateway = Gateway(producing)
    rows = gateway.rows(second)
    reply = revoke(producing, digest=second, reason="Its training data was poisoned.")
    assert reply.document == {"revoked": second, "withdrawn": [second], "signed_offline": True}
    assert now(producing).releases == (first,)
    entry = producing.last(second, "artifact.revoked")
    assert entry is not None
    word = unseal(
        producing.blobs.get(Digest(entry.body["envelope"])), AUTHORIZATION, producing.trust, at=entry.moment
    ).value
    assert (word.action, word.subject, word.person) == ("revoke", second, producing.person)
    assert second in msgspec.json.decode(producing.offline.newest().revoked, type=list[str])
    gateway.loader.refresh()
    assert gateway.answers_with(rows) == short(first)
    with pytest.raises(PolicyDenied):
        promote(producing, release=second, reason="Let us try again.")


@pytest.mark.guarantee("G28")
def test_a_revoked_source_takes_everything_that_learned_from_it_out_of_production(producing: Plant) -> None:
    """Both releases derive from the same rows: nothing answers any more, on the gateway too."""
    gateway = Gateway(producing)
    _, second = releases(producing)
    rows = gateway.rows(second)
    features = parent(producing, parent(producing, second, Kind.MODEL), Kind.FEATURES)
    source = parent(producing, parent(producing, features, Kind.DATASET), Kind.SOURCE)
    reply = revoke(producing, digest=short(source), reason="The rows were collected without consent.")
    assert reply.document["withdrawn"] == [second]
    assert now(producing).releases == ()
    table = present_table(producing, current_project(producing))
    assert table is not None
    assert source in table.revoked
    gateway.loader.refresh()
    assert gateway.ask(rows[:1]).status != 200


def test_what_nothing_derives_from_is_revoked_and_gateways_are_told_all_the_same(producing: Plant) -> None:
    """The release before is revoked: the one that answers goes on, and nothing can be rolled back to any more."""
    first, second = releases(producing)
    epoch = now(producing).epoch
    reply = revoke(producing, digest=first, reason="It leaks a training row.")
    assert (reply.document["withdrawn"], now(producing).releases, now(producing).epoch) == ([], (second,), epoch + 1)
    rollback(producing, reason="Back, please.")
    assert now(producing).releases == ()


def test_root_keys_that_are_elsewhere_do_not_hold_a_revocation_up(producing: Plant) -> None:
    """They cannot sign now: the release is out all the same, and the reply says what is still due."""
    _, second = releases(producing)

    absent = Mock(wraps=producing.offline, revoke=Mock(side_effect=NotFound("there is no key of role root")))
    reply = revoke(replace(producing, offline=absent), digest=second, reason="It was poisoned.")
    assert second not in now(producing).releases
    assert reply.document["signed_offline"] is False
    assert "root keys have not signed it yet" in reply.says


@pytest.mark.parametrize(
    ("digest", "reason", "error"),
    [
        ("sha256:" + "0" * 64, "why not", NotFound),
        ("abc", "why not", InvalidInput),
        ("", "why not", InvalidInput),
        ("release", "", InvalidInput),
        ("release", "two\nlines", InvalidInput),
    ],
)
def test_a_revocation_of_nothing_or_without_reason_changes_nothing(
    producing: Plant, digest: str, reason: str, error: type[HoldfastError]
) -> None:
    """Bad input is told in words, before anything is written."""
    size = producing.ledger.size()
    with pytest.raises(error):
        revoke(producing, digest=digest.replace("release", releases(producing)[0]), reason=reason)
    assert producing.ledger.size() == size


# ── keys of callers, and leases ─────────────────────────────────────────────────────────────────────────────────────


def test_a_revoked_api_key_is_refused_at_the_next_look_and_others_go_on(producing: Plant) -> None:
    """Both keys of the client go; another client's stays; a new key for the client is a new key."""
    other = str(issue_key(producing, client="another").document["key"])
    gateway = Gateway(producing)
    issue_key(producing, client="a-caller")
    gateway.loader.refresh()
    rows = gateway.rows(releases(producing)[1])
    assert gateway.ask(rows[:1]).status == 200
    reply = revoke_key(producing, client="a-caller")
    assert reply.document == {"client": "a-caller", "revoked": 2, "withdrawn": []}
    gateway.loader.refresh()
    assert gateway.ask(rows[:1]).status == 401
    gateway.key, mine = other, gateway.key
    assert gateway.ask(rows[:1]).status == 200
    gateway.key = str(issue_key(producing, client="a-caller").document["key"])
    gateway.loader.refresh()
    assert gateway.ask(rows[:1]).status == 200
    gateway.key = mine
    assert gateway.ask(rows[:1]).status == 401
    with pytest.raises(NotFound):
        revoke_key(producing, client="nobody")


def test_an_api_key_is_revoked_even_where_what_answers_has_lost_its_permit(producing: Plant) -> None:
    """No table can name the release any more: it is taken out, and the key with it."""
    issue_key(producing, client="a-caller")
    _, second = releases(producing)
    producing.ledger.append([_revocation(second)])
    reply = revoke_key(producing, client="a-caller")
    assert reply.document["withdrawn"] == [second]
    table = present_table(producing, current_project(producing))
    assert table is not None
    assert [each.id for each in table.credentials] == []


def test_a_renewed_lease_begins_anew_or_ends_what_has_no_right_to_it(producing: Plant) -> None:
    """`holdfast lease renew` decides again: a good release gets more time, a revoked one leaves."""
    ahead = later(producing, timedelta(minutes=3))
    reply = renew_lease(ahead)
    table = present_table(producing, current_project(producing))
    assert table is not None
    assert reply.document == {"epoch": table.epoch, "expires": table.expires.isoformat(), "withdrawn": []}
    assert table.expires > producing.clock.now() + timedelta(minutes=15)
    _, second = releases(producing)
    producing.ledger.append([_revocation(second)])
    reply = renew_lease(ahead)
    assert (reply.exit_code, reply.document["withdrawn"]) == (1, [second])


def test_without_anything_in_production_there_is_no_lease(plant: Plant) -> None:
    """And a key that was issued can still be taken back."""
    with pytest.raises(NotFound):
        renew_lease(plant)
    issue_key(plant, client="early")
    assert revoke_key(plant, client="early").document["revoked"] == 1


def _revocation(digest: str) -> Draft:
    return Draft(kind="artifact.revoked", actor="alice", stream=digest, body={"reason": "found later"})


# ── what may come back ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_promotion_says_what_may_answer_again_and_a_rollback_needs_no_more(producing: Plant) -> None:
    """The owner's word on the first release was signed when the second went in: the gateway follows the way back."""
    first, second = releases(producing)
    words = [entry for entry in producing.ledger.stream(first) if entry.kind == AUTHORIZED]
    told = unseal(
        producing.blobs.get(Digest(words[-1].body["envelope"])), AUTHORIZATION, producing.trust, at=words[-1].moment
    ).value
    assert (told.action, told.rule) == ("rollback", RETURN)
    gateway = Gateway(producing)
    rows = gateway.rows(second)
    assert gateway.answers_with(rows) == short(second)
    rollback(producing, reason="It answers oddly.")
    gateway.loader.refresh()
    assert gateway.answers_with(rows) == short(first)
    assert "release.returned" in kinds(producing, second)


def test_an_older_word_does_not_let_a_release_follow_a_newer_one(producing: Plant) -> None:
    """What counts is when the owner spoke: the first release may follow the second, and nothing approved after it."""
    first, second = (case_of(producing, Digest(each)).dossier for each in releases(producing))
    moment = producing.clock.now()
    floor = consent(second, moment)
    assert floor is not None
    assert check_consent(first, floor, moment) is not None
    with pytest.raises(NotVerified, match="without a recorded rollback"):
        check_consent(first, floor + timedelta(days=1), moment)


def test_too_few_root_keys_sign_nothing_that_gateways_would_not_believe(producing: Plant) -> None:
    """Two persons must sign, and one is here: the revocation holds online, and the published targets stay good."""
    folder = OfflineFolder(producing.home.workspace / "offline")
    before = folder.newest()
    bob = MemorySigner("root", owner="bob", start=producing.clock.now())
    two = msgspec.structs.replace(producing.trust, root_threshold=2, keys=(*producing.trust.keys, bob.public))
    mine = producing.keys.signer("root")
    with pytest.raises(NotVerified, match="signed by 1 of those that must"):
        folder.follow(two, [mine], revoked=[releases(producing)[0]])
    assert folder.newest() == before
    assert len(folder.roots()) == 1
    folder.follow(two, [mine, bob], revoked=[releases(producing)[0]])
    assert len(folder.roots()) == 2
    assert folder.newest() != before


def test_root_holders_elsewhere_sign_one_after_the_other(producing: Plant, tmp_path: Path) -> None:
    """Propose here, sign there, apply here: what was revoked online alone is now revoked for good."""
    _, second = releases(producing)
    producing.ledger.append([_revocation(second)])
    renew_lease(producing)
    targets = producing.offline.newest().targets
    proposed = propose(producing, out=tmp_path / "proposal")
    assert second in proposed.document["revoked"]
    with pytest.raises(NotVerified, match="signed by 0 of those that must"):
        apply(producing, file=tmp_path / "proposal")
    assert producing.offline.newest().targets == targets
    signed = sign(producing, file=tmp_path / "proposal", out=tmp_path / "signed")
    assert ("is revoked for good", second) in signed.tables[0].rows
    apply(producing, file=tmp_path / "signed")
    assert second in msgspec.json.decode(producing.offline.newest().revoked, type=list[str])
    with pytest.raises(Conflict, match="kept meanwhile"):
        apply(producing, file=tmp_path / "signed")
    with pytest.raises(InvalidInput, match="cannot be written"):
        propose(producing, out=tmp_path / "proposal")
    (tmp_path / "nonsense").write_bytes(b"{}")
    with pytest.raises(NotVerified, match="no proposal"):
        sign(producing, file=tmp_path / "nonsense", out=tmp_path / "never")
    gateway = Gateway(producing)
    assert second in gateway.loader.memory.recall().revoked


def test_a_canary_and_what_it_may_replace_follow_one_another_in_every_table(producing: Plant) -> None:
    """Approval and the way back are said at one moment: the gateway loads both now, and each of them alone later."""
    first, second = releases(producing)
    gateway = Gateway(producing)
    rollback(producing, reason="Let us begin anew.")
    gateway.loader.refresh()
    promote(producing, release=second, reason="With care this time.", canary=True)
    for _ in range(2):
        gateway.loader.refresh()
        state = gateway.gateway.state
        assert state is not None
        assert set(state.releases) == {first, second}
        renew_lease(producing)
    rollback(producing, reason="The candidate is slow.")
    gateway.loader.refresh()
    promote(producing, release=second, reason="It was the network.")
    gateway.loader.refresh()
    assert gateway.answers_with(gateway.rows(second)) == short(second)
