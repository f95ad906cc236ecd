"""What gateways are told of access: the rules' answers, compiled into the signed table that they look up."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from tests.scenarios.office import Office
from tests.scenarios.stand import Gateway, now
from tests.unit.core.test_spiffe import ID, Authority

from holdfast.core.errors import InvalidInput
from holdfast.lifecycle import access_requests as requests
from holdfast.lifecycle import identity
from holdfast.lifecycle.access_compiled import compiled
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import issue_key
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.sessions import logout, open_session
from holdfast.lifecycle.workloads import accept_domain
from holdfast.testing.clock import SettableClock


def test_a_gateway_answers_whom_the_rules_let_call_and_nobody_else(producing: Plant) -> None:
    """A caller's key works at the gateway once issued, and not any more once it is revoked or out of the group."""
    office = Office(producing, SettableClock(producing.clock.now()))
    gateway = Gateway(producing)
    rows = gateway.rows(now(producing).baseline)[:1]
    caller, engineer = office.employ("shop", "callers", sort="service"), office.employ("emil", "engineers")
    narrow = office.employ("kiosk", "callers", sort="service", scope="registry.read")

    def status(key: str) -> int:
        gateway.loader.refresh()
        gateway.key = key
        return gateway.ask(rows).status

    assert (status(caller), status(engineer), status(narrow)) == (200, 401, 401)
    told = identity.regroup(producing, name="shop", groups="engineers")
    assert "epoch" in told.says
    assert status(caller) == 401
    identity.regroup(producing, name="shop", groups="callers")
    assert status(caller) == 200
    number = next(key.id for key in identity.directory(producing).keys.values() if key.name == "shop")
    identity.revoke(producing, key=number)
    assert status(caller) == 401


@pytest.mark.requirement("GATE-01", by="holdfast.lifecycle.access_identities:identities")
@pytest.mark.requirement("GATE-02", by="holdfast.lifecycle.access_identities:identities")
@pytest.mark.requirement("GATE-20", by="holdfast.lifecycle.access_identities:ended")
def test_a_gateway_knows_accounts_by_their_tokens_and_workloads_by_their_certificates(producing: Plant) -> None:
    """Whom the rules let call is let in by either proof, until the account, its key or its group ends."""
    office = Office(producing, SettableClock(producing.clock.now()))
    gateway, day = Gateway(producing), timedelta(days=1)
    rows = gateway.rows(now(producing).baseline)[:1]
    caller, engineer = office.employ("shop", "callers", sort="service"), office.employ("emil", "engineers")
    ours = Authority(now=producing.clock.now())
    bundle = office.write("bundle.pem", ours.certificate.public_bytes(serialization.Encoding.PEM))
    accept_domain(producing, domain="prod.example.com", bundle=bundle)
    told = identity.link(producing, name="shop", spiffe=ID)
    assert "epoch" in told.says
    leaf = ours.leaf(ID, start=producing.clock.now() - day, end=producing.clock.now() + day)

    def asked(**proof: Any) -> int:
        gateway.loader.refresh()
        return gateway.ask(rows, **proof).status

    shop, emil = office.token(caller), office.token(engineer)
    assert (asked(token=shop), asked(token=emil), asked(certificate=leaf)) == (200, 401, 200)
    identity.regroup(producing, name="shop", groups="engineers")
    assert (asked(token=shop), asked(certificate=leaf)) == (401, 401)
    identity.regroup(producing, name="shop", groups="callers")
    assert (asked(token=shop), asked(certificate=leaf)) == (200, 200)
    account = identity.directory(producing).known("shop")
    assert account is not None
    signed_on = open_session(producing, account, "test", nonce="once")
    assert asked(token=signed_on.token) == 200
    logout(producing, session_file=office.write("session", signed_on.renewal))
    number = next(key.id for key in identity.directory(producing).keys.values() if key.name == "shop")
    identity.revoke(producing, key=number)
    assert (asked(token=shop), asked(token=signed_on.token), asked(certificate=leaf)) == (401, 401, 200)
    identity.disable(producing, name="shop")
    assert asked(certificate=leaf) == 401


def test_a_key_is_for_what_it_was_issued_for(producing: Plant) -> None:
    """`holdfast key issue --operations look`: a key that describes the model to whoever builds against it."""
    gateway = Gateway(producing)
    rows = gateway.rows(now(producing).baseline)[:1]
    gateway.key = str(issue_key(producing, client="builder", operations="look").document["key"])
    gateway.loader.refresh()
    assert gateway.ask(rows).status == 403
    for words in ("", "infer,infer", "train", "infer, look"):
        with pytest.raises(InvalidInput):
            issue_key(producing, client="builder", operations=words)


def test_what_is_compiled_is_what_the_rules_say(producing: Plant) -> None:
    """For models that are served, until the key or the box ends; where the rules cannot be read, nobody may call."""
    clock = SettableClock(producing.clock.now())
    plant = replace(producing, clock=clock)
    office = Office(plant, clock)
    model = current_project(plant).project.name
    office.employ("shop", "callers", sort="service", days=3)
    office.employ("otto", "operators")
    asked = requests.request(
        office.over_the_network("otto"), action="endpoint.invoke", resource=f"model/{model}", lasts="2h", reason="r"
    )
    assert [each.id.partition("/")[0] for each in compiled(plant, (model,))] == ["shop"]
    office.employ("rita", "reviewers")
    requests.approve(office.over_the_network("rita"), request=str(asked.document["id"]))
    both = {each.id.partition("/")[0]: each for each in compiled(plant, (model, "another"))}
    assert both["shop"].models == (model, "another")
    assert both["otto"].models == (model,)
    assert both["otto"].expires - clock.now() <= timedelta(hours=2)
    clock.advance(timedelta(hours=2))
    assert [each.id.partition("/")[0] for each in compiled(plant, (model,))] == ["shop"]
    clock.advance(timedelta(days=3))
    assert not compiled(plant, (model,))
    assert not compiled(plant, ())
