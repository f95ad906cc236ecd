"""Scenarios of access: who gets in, what they may, what is on record of it, and how it ends."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from tests.scenarios.office import Office
from tests.unit.core.test_spiffe import ID, Authority

from holdfast import app
from holdfast.core.access import Presented
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, NotFound, PolicyDenied, Refused, Unauthenticated
from holdfast.core.ledger import Draft
from holdfast.faces.http.offers import PUBLIC, offers
from holdfast.lifecycle import access_requests as requests
from holdfast.lifecycle import access_rules as rules
from holdfast.lifecycle import identity, sessions
from holdfast.lifecycle.access import authenticate, authorise
from holdfast.lifecycle.access_coverage import CALLS, coverage
from holdfast.lifecycle.access_questions import actions, explain, review, who_can
from holdfast.lifecycle.workloads import accept_domain
from holdfast.testing.clock import SettableClock


@pytest.fixture(scope="session")
def premises(unlocking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new workspace, with the project file that `init` writes."""
    folder = tmp_path_factory.mktemp("office") / "project"
    folder.mkdir()
    app.init(folder, owner="olivia")
    return folder


@pytest.fixture
def office(premises: Path, tmp_path: Path) -> Iterator[Office]:
    """The control plane of a copy of it."""
    folder = tmp_path / "project"
    shutil.copytree(premises, folder)
    with app.open_plant(folder) as plant:
        clock = SettableClock(plant.clock.now())
        yield Office(replace(plant, clock=clock), clock)


def test_the_first_administrator_comes_by_a_token_that_works_once(office: Office) -> None:
    """It is shown once, only its keyed hash is stored, and where there is an administrator there is no other."""
    token = str(identity.bootstrap(office.plant).document["token"])
    assert token not in office.everything()
    key = str(identity.claim_with(office.plant, name="ada", token=token).document["key"])
    assert office.who(key).groups == ("administrators",)
    for again in (
        lambda: identity.claim_with(office.plant, name="eve", token=token),
        lambda: identity.bootstrap(office.plant),
    ):
        with pytest.raises(Refused, match="an administrator already"):
            again()
    assert [entry.actor for entry in office.record("identity.bootstrap-claimed")] == ["ada"]


def test_a_one_time_token_ends_and_is_replaced(office: Office) -> None:
    """After an hour, when a newer one was printed, and for whoever guesses."""
    first = str(identity.bootstrap(office.plant).document["token"])
    second = str(identity.bootstrap(office.plant).document["token"])
    for wrong in (first, "hfb_" + "A" * 43, "", "é", "x" * 1000):
        with pytest.raises(Refused):
            identity.claim_with(office.plant, name="ada", token=wrong)
    office.later(hours=1)
    with pytest.raises(Refused):
        identity.claim_with(office.plant, name="ada", token=second)
    third = str(identity.bootstrap(office.plant).document["token"])
    assert identity.claim(office.plant, name="ada", token_file=office.write("token", third + "\n")).document["key"]


def test_a_one_time_token_is_spent_even_if_the_administrator_is_gone(office: Office) -> None:
    """A copy of it opens nothing later, whatever has become of the account."""
    token = str(identity.bootstrap(office.plant).document["token"])
    identity.claim_with(office.plant, name="ada", token=token)
    hashed = office.record("identity.bootstrap-offered")[0].body
    office.plant.ledger.append([Draft(kind="identity.disabled", actor="x", stream="identity", body={"name": "ada"})])
    office.plant.ledger.append([Draft(kind="identity.bootstrap-offered", actor="x", stream="identity", body=hashed)])
    with pytest.raises(Refused):
        identity.claim_with(office.plant, name="eve", token=token)


def test_of_two_who_claim_at_once_one_is_told(office: Office) -> None:
    """The token makes one administrator, not two."""
    token, ends = str(identity.bootstrap(office.plant).document["token"]), []

    def take(name: str) -> None:
        try:
            identity.claim_with(office.plant, name=name, token=token)
            ends.append("made")
        except HoldfastError as error:
            ends.append(error.code)

    threads = [threading.Thread(target=take, args=(name,)) for name in ("ada", "eve", "mallory")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends.count("made") == 1
    assert len(identity.directory(office.plant).administrators) == 1


@pytest.mark.requirement("ACC-06", by="holdfast.core.tokens:_in_force")
def test_a_token_lasts_fifteen_minutes_and_no_credential_outlives_what_it_came_from(office: Office) -> None:
    """A token ends by itself, with its key, and with its account; weak, changed or copied ones open nothing."""
    office.administrator()
    key = office.employ("emil", "engineers")
    token = office.token(key)
    assert office.who(token).name == "emil"
    for weak in (token[:-3] + "AAA", token.rpartition(".")[0] + ".", "hf_" + "A" * 43, key[:-1], "", "x" * 9000):
        with pytest.raises(Unauthenticated):
            office.who(weak)
    office.later(minutes=14, seconds=59)
    assert office.who(token).name == "emil"
    office.later(seconds=1)
    with pytest.raises(Unauthenticated):
        office.who(token)
    fresh = office.token(key)
    assert office.who(fresh, nonce="once").name == "emil"
    with pytest.raises(Unauthenticated):
        office.who(fresh, nonce="once")
    number = next(each.id for each in identity.directory(office.plant).keys.values() if each.name == "emil")
    identity.revoke(office.plant, key=number)
    for dead in (key, fresh):
        with pytest.raises(Unauthenticated):
            office.who(dead)
    assert {entry.body["why"] for entry in office.record("access.unauthenticated")} >= {
        "the token has expired",
        "no such API key, or it has ended",
        "what the token was made from has ended",
        "the request was answered before",
    }


def test_a_request_with_a_nonce_is_answered_once(office: Office) -> None:
    """The same request a second time comes from somebody who has copied it; also after a restart."""
    key = office.administrator()
    assert office.who(key, nonce="n-1").name == "ada"
    with pytest.raises(Unauthenticated):
        office.who(key, nonce="n-1")
    assert office.who(key, nonce="n-2").name == "ada"
    with app.open_plant(office.plant.home.root) as again, pytest.raises(Unauthenticated):
        authenticate(again, Presented(authorization=f"Bearer {key}", peer="x", nonce="n-2"))


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer  {}", "bearer\t{}", "{}", "Bearer {} x", "Digest {}", "Bearer é"],
)
def test_what_is_presented_otherwise_is_nobody(office: Office, header: str) -> None:
    """One answer to all of it, which tells nothing; what was wrong is on record."""
    key = office.administrator()
    with pytest.raises(Unauthenticated) as told:
        authenticate(office.plant, Presented(authorization=header.format(key), peer="10.0.0.1"))
    assert (told.value.message, told.value.http_status) == ("nobody valid has asked", 401)
    assert told.value.__cause__ is None
    assert office.record("access.unauthenticated")


def test_keys_are_stored_as_keyed_hashes_and_end(office: Office) -> None:
    """Shown once, in no entry and no file; expired or revoked it opens nothing."""
    office.administrator()
    key = office.employ("emil", "engineers", days=2)
    assert key not in office.everything()
    assert all(key.encode() not in path.read_bytes() for path in office.plant.home.root.rglob("*") if path.is_file())
    office.later(days=2)
    with pytest.raises(Unauthenticated):
        office.who(key)


def test_a_key_s_scope_narrows_its_tokens_too(office: Office) -> None:
    """What a key may not ask for, no token made from it may."""
    key = office.employ("bot", "engineers", sort="service", scope="registry.read")
    for credential in (key, office.token(key)):
        assert office.may(credential, "registry.read")
        assert not office.may(credential, "pipeline.run")


def test_an_account_that_is_disabled_is_out_at_once(office: Office) -> None:
    """Its keys and tokens too; enabled again, its keys work and its earlier sessions do not."""
    office.administrator()
    key = office.employ("emil", "engineers")
    token = office.token(key)
    identity.disable(office.plant, name="emil")
    for credential in (key, token):
        with pytest.raises(Unauthenticated):
            office.who(credential)
    identity.enable(office.plant, name="emil")
    assert office.who(key).name == "emil"


def test_groups_are_those_of_now_not_of_the_token(office: Office) -> None:
    """Somebody who leaves a group has left it before the next request."""
    office.administrator()
    token = office.token(office.employ("rita", "reviewers"))
    assert office.may(token, "registry.promote")
    identity.regroup(office.plant, name="rita", groups="engineers")
    assert not office.may(token, "registry.promote")


def test_somebody_administers_always(office: Office) -> None:
    """The only administrator can neither leave nor be disabled."""
    office.administrator()
    with pytest.raises(Refused):
        identity.disable(office.plant, name="ada")
    with pytest.raises(Refused):
        identity.regroup(office.plant, name="ada", groups="engineers")
    office.employ("bea", "administrators")
    with pytest.raises(Refused, match="oneself"):
        identity.regroup(office.over_the_network("ada"), name="ada", groups="administrators,reviewers")
    identity.disable(office.plant, name="ada")
    assert identity.directory(office.plant).administrators == ("bea",)


def test_a_session_s_secret_works_once_and_a_copy_ends_it(office: Office) -> None:
    """Each renewal gives the next one; an earlier one coming back means that somebody copied it."""
    office.employ("emil", "engineers")
    account = identity.directory(office.plant).accounts["emil"]
    first = sessions.open_session(office.plant, account, "test", nonce="a")
    second = sessions.renew(office.plant, first.renewal)
    assert office.who(second.token).name == "emil"
    with pytest.raises(Unauthenticated):
        sessions.renew(office.plant, first.renewal)
    for ended in (second.token, first.token):
        with pytest.raises(Unauthenticated):
            office.who(ended)
    with pytest.raises(Unauthenticated):
        sessions.renew(office.plant, second.renewal)
    with pytest.raises(Refused):
        sessions.open_session(office.plant, account, "test", nonce="a")
    assert first.renewal not in office.everything()


def test_a_session_is_kept_in_a_private_file_and_ends_with_it(office: Office) -> None:
    """Making a token puts the next secret there; signing off closes the session and removes the file."""
    office.employ("emil", "engineers")
    opened = sessions.open_session(office.plant, identity.directory(office.plant).accounts["emil"], "test", nonce="a")
    path = office.write("session", opened.renewal)
    token = str(sessions.token(office.plant, key_file=path).document["token"])
    assert path.read_text().strip() != opened.renewal
    assert path.stat().st_mode & 0o077 == 0
    assert office.who(token).name == "emil"
    sessions.logout(office.plant, session_file=path)
    assert not path.exists()
    with pytest.raises(Unauthenticated):
        office.who(token)


@pytest.mark.requirement("ACC-03", by="holdfast.core.access:may")
@pytest.mark.guarantee("G36")
def test_nothing_is_allowed_that_no_rule_permits_and_all_of_it_is_on_record(office: Office) -> None:
    """Each role may what its rules say, on data, features, artifacts, registry and endpoints, and nothing else."""
    people = {group: office.employ(f"p-{group}", group) for group in ("engineers", "reviewers", "auditors", "callers")}
    people["nobody"] = office.employ("p-nobody")
    expected = {
        ("data.read", "dataset/rows"): {"engineers"},
        ("features.write", "dataset/rows"): {"engineers"},
        ("artifacts.write", "model/m"): {"engineers"},
        ("registry.read", "release/r"): {"engineers", "reviewers", "auditors"},
        ("registry.promote", "release/r"): {"reviewers"},
        ("endpoint.invoke", "model/m"): {"callers"},
        ("access.administer", ""): set(),
        ("no.such-action", "model/m"): set(),
        ("registry.read", "planet/mars"): set(),
    }
    for (action, resource), groups in expected.items():
        assert {group for group, key in people.items() if office.may(key, action, resource)} == groups, action
    told = office.record("access.granted", "access.denied")
    assert sum(entry.body["count"] for entry in told) == len(expected) * len(people)
    granted = {(entry.actor, entry.body["action"]) for entry in told if entry.kind == "access.granted"}
    assert granted == {(f"p-{group}", action) for (action, _), groups in expected.items() for group in groups}
    assert all(entry.body["why"] for entry in told)


@pytest.mark.guarantee("G37")
def test_every_grant_and_denial_is_counted_exactly(office: Office) -> None:
    """A change is on record before the answer, a first denial at once, repeats by their number, and none is lost."""
    key = office.employ("emil", "engineers")
    principal = office.who(key)
    size = office.plant.ledger.size()
    authorise(office.plant, principal, "pipeline.run", "")
    assert office.plant.ledger.size() == size + 1
    for _ in range(250):
        authorise(office.plant, principal, "registry.read", "release/r")
        with pytest.raises(Refused):
            authorise(office.plant, principal, "registry.promote", "release/r")
    with app.open_plant(office.plant.home.root) as plant:
        seen = [entry for entry in plant.ledger.entries(size) if entry.kind == "access.denied"]
    assert seen, "the first denial is on record before anything is written out"
    told = office.record("access.granted", "access.denied")
    counts = {(entry.kind, entry.body["action"]): 0 for entry in told}
    for entry in told:
        counts[entry.kind, entry.body["action"]] += entry.body["count"]
    assert counts == {
        ("access.granted", "pipeline.run"): 1,
        ("access.granted", "registry.read"): 250,
        ("access.denied", "registry.promote"): 250,
    }
    assert len(told) < 10


def test_what_was_counted_is_on_record_after_a_clean_end(premises: Path, tmp_path: Path) -> None:
    """Closing the control plane writes what was in memory only; so do two threads that ask at once."""
    folder = tmp_path / "project"
    shutil.copytree(premises, folder)
    with app.open_plant(folder) as plant:
        office = Office(plant, SettableClock())
        principal = office.who(office.employ("emil", "engineers"))

        def ask() -> None:
            for _ in range(100):
                authorise(plant, principal, "registry.read", "release/r")

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with app.open_plant(folder) as plant:
        told = [entry.body["count"] for entry in plant.ledger.entries() if entry.kind == "access.granted"]
    assert sum(told) == 300


def test_what_cannot_be_put_on_record_is_not_allowed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """No grant without a trace: where the ledger does not take the entry, the answer is an error."""
    principal = office.who(office.employ("emil", "engineers"))

    class Full:
        def __getattr__(self, name: str) -> object:
            return getattr(office.plant.ledger, name)

        def append(self, *_: object, **__: object) -> None:
            raise Conflict("the disk is full")

    with pytest.raises(Conflict):
        authorise(replace(office.plant, ledger=Full()), principal, "pipeline.run", "")  # type: ignore[arg-type]


OWN = b"""
@id("data-stewards")
permit (principal in Group::"stewards", action == Action::"data.write", resource is Dataset);
"""


def test_a_workspace_adds_rules_that_its_root_accepts(office: Office) -> None:
    """They decide beside the shipped ones from then on, and a `forbid` of theirs wins as well."""
    key, engineer = office.employ("stella", "stewards"), office.employ("emil", "engineers")
    assert not office.may(key, "data.write", "dataset/rows")
    rules.accept(office.plant, file=office.write("own.cedar", OWN), reason="Stewards look after rows.")
    assert office.may(key, "data.write", "dataset/rows")
    assert office.may(engineer, "data.write", "dataset/rows")
    stricter = OWN + b'@id("frozen") forbid (principal, action in Action::"data", resource);\n'
    rules.accept(office.plant, file=office.write("own.cedar", stricter), reason="Nobody touches rows this week.")
    assert not office.may(key, "data.write", "dataset/rows")
    assert not office.may(engineer, "data.read", "dataset/rows")
    assert len(office.record("access.policy")) == 2


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'@id("a") permit (principal, action == Action::"x", resource);',
        b"nonsense",
        b'@id("boxed") permit (principal in Group::"a", action == Action::"data.read", resource);',
    ],
)
def test_rules_that_do_not_fit_are_not_accepted(office: Office, text: bytes) -> None:
    """Nor do they change anything; an empty file adds nothing and takes nothing."""
    key = office.employ("emil", "engineers")
    if text:
        with pytest.raises(InvalidInput):
            rules.accept(office.plant, file=office.write("own.cedar", text), reason="r")
    else:
        rules.accept(office.plant, file=office.write("own.cedar", text), reason="r")
    assert office.may(key, "registry.read")


@pytest.mark.parametrize("how", ["not accepted", "gone", "changed", "not a digest"])
def test_rules_that_cannot_be_believed_deny_everything(office: Office, how: str) -> None:
    """Somebody who can write the ledger or the disk, but is not the root key, can only take access away."""
    key = office.employ("rita", "reviewers,engineers,administrators")
    wild = b'@id("mine") permit (principal, action, resource);'
    if how in {"not accepted", "not a digest"}:
        digest = office.plant.blobs.put(wild) if how == "not accepted" else "nothing"
        draft = Draft(kind="access.policy", actor="root", stream="access-rules", body={"rules": digest})
        office.plant.ledger.append([draft])
    else:
        digest = str(rules.accept(office.plant, file=office.write("own.cedar", OWN), reason="r").document["rules"])
        path = office.plant.blobs.path(digest)  # type: ignore[arg-type]
        path.parent.chmod(0o700)
        path.chmod(0o600)
        if how == "gone":
            path.unlink()
        else:
            path.write_bytes(wild)
    for action in ("registry.read", "registry.promote", "pipeline.run", "access.token"):
        assert not office.may(key, action)
    assert all("rules" in entry.body["why"] for entry in office.record("access.denied"))


@pytest.mark.requirement("ACC-04", by="holdfast.lifecycle.access_questions:_accounts")
def test_a_review_proposes_what_nobody_needed_and_a_wildcard_fails(office: Office) -> None:
    """Roles broader than observed use are named with a reduction; a wildcard on a sensitive asset fails the check."""
    busy = office.employ("emil", "engineers,reviewers")
    office.employ("ida", "engineers")
    for _ in range(3):
        assert office.may(busy, "pipeline.run")
        assert office.may(busy, "data.read", "dataset/rows")
    office.record()
    reply = review(office.plant)
    found = {(each["what"], each["name"], each["propose"].partition(" ")[0]) for each in reply.document["proposals"]}
    assert ("account", "ida", "disable") in found
    assert ("account", "emil", "leave") in found
    assert ("group", "engineers", "without") in found
    leave = [each for each in reply.document["proposals"] if each["propose"].startswith("leave")]
    assert [each["propose"] for each in leave] == ["leave group reviewers"]
    scope = [each["propose"] for each in reply.document["proposals"] if each["propose"].startswith("scope")]
    assert scope == ["scope data.read,pipeline.run"]
    assert (reply.exit_code, reply.document["wildcards"]) == (0, [])
    office.later(days=91)
    with_nothing = replace(office.plant)
    assert {each["propose"] for each in review(with_nothing, days=90).document["proposals"]} >= {"disable"}
    wild = office.write("wild.cedar", b'@id("all") permit (principal in Group::"engineers", action, resource);')
    assert rules.check(office.plant, file=wild).exit_code == 1
    with pytest.raises(PolicyDenied):
        rules.accept(office.plant, file=wild, reason="r")


def test_questions_are_answered_with_the_rules_that_decide(office: Office) -> None:
    """Who, by which rule, on an asset of which sensitivity; and nothing is on record for asking."""
    office.employ("emil", "engineers")
    office.employ("rita", "reviewers")
    size = office.plant.ledger.size()
    yes = explain(office.plant, who="rita", action="registry.promote", resource="release/r")
    assert (yes.document["allowed"], yes.document["by"]) == (True, ("reviewers-decide",))
    no = explain(office.plant, who="emil", action="registry.promote", resource="release/r")
    assert (no.document["allowed"], no.document["by"]) == (False, ("forbidden by only-reviewers-decide",))
    found = who_can(office.plant, action="registry.read", resource="release/r").document["accounts"]
    assert [each["name"] for each in found] == ["emil", "rita"]
    assert len(actions(office.plant).document["actions"]) > 40
    assert office.plant.ledger.size() == size
    with pytest.raises(NotFound):
        explain(office.plant, who="nobody", action="registry.read")
    with pytest.raises(InvalidInput):
        explain(office.plant, who="rita", action="registry.raed")


@pytest.mark.requirement("ACC-05", by="holdfast.core.boxed:boxed")
@pytest.mark.guarantee("G38")
def test_access_is_asked_for_approved_by_another_and_over_by_itself(office: Office) -> None:
    """Two hours for one action on one asset, and denied again when they are over although nobody has acted."""
    key = office.employ("otto", "operators")
    office.employ("rita", "reviewers")
    assert not office.may(key, "data.read", "dataset/rows")
    asked = requests.request(
        office.over_the_network("otto"), action="data.read", resource="dataset/rows", lasts="2h", reason="An incident."
    )
    number = str(asked.document["id"])
    assert not office.may(key, "data.read", "dataset/rows")
    identity.regroup(office.plant, name="otto", groups="operators,reviewers")
    with pytest.raises(Refused, match="cannot approve"):
        requests.approve(office.over_the_network("otto"), request=number)
    identity.regroup(office.plant, name="otto", groups="operators")
    office.employ("emil", "engineers")
    with pytest.raises(Refused, match="may not access"):
        requests.approve(office.over_the_network("emil"), request=number)
    requests.approve(office.over_the_network("rita"), request=number, reason="Looked at.")
    assert office.may(key, "data.read", "dataset/rows")
    assert not office.may(key, "data.read", "dataset/other")
    assert not office.may(key, "data.write", "dataset/rows")
    office.later(hours=1, minutes=59)
    assert office.may(key, "data.read", "dataset/rows")
    size = office.plant.ledger.size()
    office.later(minutes=1)
    assert not office.may(key, "data.read", "dataset/rows")
    assert [entry.kind for entry in office.plant.ledger.entries(size)][-1:] == ["access.denied"]
    (listed,) = requests.requests(office.plant).document["requests"]
    assert (listed["state"], listed["by"]) == ("over", "rita")
    kinds = [entry.kind for entry in office.plant.ledger.stream("access-requests")]
    assert kinds == ["access.requested", "access.approved"]


def test_a_request_is_answered_once_and_in_time(office: Office) -> None:
    """A second answer, one that comes too late, and one to nothing change nothing."""
    office.employ("otto", "operators")
    plant = office.over_the_network("otto")
    ask: dict[str, Any] = {"action": "data.read", "resource": "dataset/rows", "lasts": "2h", "reason": "r"}
    first, second = (str(requests.request(plant, **ask).document["id"]) for _ in range(2))
    requests.reject(office.plant, request=first, reason="No.")
    for late in (first, "nothing"):
        with pytest.raises((Conflict, NotFound)):
            requests.approve(office.plant, request=late)
    office.later(days=1, minutes=1)
    with pytest.raises(Conflict, match="over"):
        requests.approve(office.plant, request=second)
    for wrong in ({"action": "x.y"}, {"resource": "planet/mars"}, {"lasts": "8d"}, {"lasts": "soon"}, {"reason": " "}):
        with pytest.raises(InvalidInput):
            requests.request(plant, **(ask | wrong))
    with pytest.raises(NotFound, match="no account"):
        requests.request(office.over_the_network("stranger"), **ask)


def test_whoever_acts_by_a_credential_acts_in_its_name_and_as_it_may(office: Office) -> None:
    """On one machine too: with a credential in a file, the rules decide; who is no reviewer approves nothing."""
    office.administrator()
    otto, emil, rita = (
        office.employ(n, g) for n, g in (("otto", "operators"), ("emil", "engineers"), ("rita", "reviewers"))
    )
    asked = requests.request(
        office.plant,
        action="data.read",
        resource="dataset/rows",
        lasts="30m",
        reason="r",
        credential=office.write("otto", otto),
    )
    number = str(asked.document["id"])
    assert asked.document["person"] == "otto"
    with pytest.raises(Refused):
        requests.approve(office.plant, request=number, credential=office.write("emil", emil))
    with pytest.raises(Unauthenticated):
        requests.approve(office.plant, request=number, credential=office.write("junk", "hf_junk"))
    done = requests.approve(office.plant, request=number, credential=office.write("rita", office.token(rita)))
    assert done.document["by"] == "rita"


def test_a_workload_is_who_its_certificate_says(office: Office) -> None:
    """A linked SPIFFE id of the accepted trust domain; of a disabled account, another domain or no domain: nobody."""
    now, day = office.clock.now(), timedelta(days=1)
    ours = Authority(now=now)
    pem = ours.certificate.public_bytes(serialization.Encoding.PEM)

    def shown(*uris: str) -> Presented:
        leaf = ours.leaf(*uris, start=now - day, end=now + day)
        return Presented(authorization="", peer="10.0.0.2", certificate=leaf)

    identity.add(office.plant, name="edge-1", sort="gateway", groups="callers")
    identity.link(office.plant, name="edge-1", spiffe=ID)
    with pytest.raises(Unauthenticated):
        authenticate(office.plant, shown(ID))
    accept_domain(office.plant, domain="prod.example.com", bundle=office.write("bundle.pem", pem))
    found = authenticate(office.plant, shown(ID))
    assert (found.name, found.sort, found.groups) == ("edge-1", "gateway", ("callers",))
    with pytest.raises(Unauthenticated):
        authenticate(office.plant, shown(ID + "-2"))
    identity.add(office.plant, name="edge-2", sort="gateway")
    with pytest.raises(Conflict):
        identity.link(office.plant, name="edge-2", spiffe=ID)
    office.later(days=2)
    with pytest.raises(Unauthenticated):
        authenticate(office.plant, shown(ID))
    office.later(days=-2)
    accept_domain(office.plant, domain="dev.example.com", bundle=office.write("bundle.pem", pem))
    with pytest.raises(Unauthenticated):
        authenticate(office.plant, shown(ID))
    with pytest.raises(InvalidInput):
        accept_domain(office.plant, domain="dev.example.com", bundle=office.write("bundle.pem", b"nothing"))


def test_coverage_says_honestly_what_is_not_covered(office: Office) -> None:
    """Every command and every call between parts is in the list; what is not checked yet is counted as such."""
    reply = coverage(office.plant)
    bare = [each for each in (*reply.document["calls"], *reply.document["commands"]) if not each["covered"]]
    assert reply.document["uncovered"] == len(bare) == sum(not call.covered for call in CALLS)
    assert all(each["missing"] for each in bare)


def test_coverage_asks_every_route_of_a_running_control_plane(office: Office) -> None:
    """A route that answers somebody unknown is told as not covered, and fails the report."""

    class Web:
        """A control plane on the wire, one of whose routes forgets to ask who is there."""

        def get(self, url: str) -> tuple[int, bytes]:
            return self.answer(url.removeprefix("http://127.0.0.1:1"))

        def post(self, url: str, fields: object) -> tuple[int, bytes]:
            return self.answer(url.removeprefix("http://127.0.0.1:1"))

        def tell(self, url: str, document: bytes) -> tuple[int, bytes]:
            return self.answer(url.removeprefix("http://127.0.0.1:1"))

        def answer(self, path: str) -> tuple[int, bytes]:
            if path == self.open:
                return 200, b"{}"
            try:
                authenticate(office.plant, Presented(authorization="", peer="127.0.0.1"))
            except Unauthenticated as error:
                return error.http_status, b"{}"
            return 200, b"{}"

        open = ""

    web = Web()
    plant = replace(office.plant, web=web)
    good = coverage(plant, url="http://127.0.0.1:1/")
    assert good.exit_code == 0
    routes = {each["what"] for each in good.document["routes"]}
    assert {f"{offer.method} {offer.path}" for offer in offers()} < routes
    assert {f"GET {path}" for path in PUBLIC} < routes
    web.open = "/v1/log"
    bad = coverage(plant, url="http://127.0.0.1:1")
    assert bad.exit_code == 1
    assert [each["what"] for each in bad.document["routes"] if not each["covered"]] == ["GET /v1/log"]


def test_accounts_are_named_once_and_plainly(office: Office) -> None:
    """No name twice, none that could be taken for something else, no group without a name."""
    identity.add(office.plant, name="emil")
    with pytest.raises(Conflict):
        identity.add(office.plant, name="emil")
    for name in ("", "Emil", "e" * 64, "../x", "a b", "é", "-x", "a\n"):
        with pytest.raises(InvalidInput):
            identity.add(office.plant, name=name)
    with pytest.raises(InvalidInput):
        identity.add(office.plant, name="x", groups="A B")
    with pytest.raises(InvalidInput):
        identity.add(office.plant, name="x", sort="god")
    for days in (0, 367):
        with pytest.raises(InvalidInput):
            identity.issue(office.plant, name="emil", days=days)
    with pytest.raises(InvalidInput):
        identity.issue(office.plant, name="emil", scope="everything")
    assert [each["name"] for each in identity.users(office.plant).document["accounts"]] == ["emil"]
