"""Sign-on at a real provider process on loopback: browser, device and workload, and what a hostile provider tries."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.scenarios.office import Office

from holdfast import app
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, NotFound, Refused, Unauthenticated, Unavailable
from holdfast.lifecycle import identity
from holdfast.lifecycle.providers import accept_provider
from holdfast.lifecycle.sign_on import Returned, begin, by_device, exchange, finish, login
from holdfast.testing.clock import SettableClock

CALLBACK = "https://holdfast.example.com/v1/sign-on/callback"


@dataclass(frozen=True)
class Login:
    """A provider, and the workspace that takes its word."""

    url: str
    office: Office

    def tell(self, path: str, body: Any) -> Any:
        """Tell the provider something."""
        return httpx.post(self.url + path, json=body).json()

    def browse(self, url: str) -> Returned:
        """What a browser brings back that goes where it is sent."""
        answer = httpx.get(url)
        assert answer.status_code == 302
        assert answer.headers["location"].startswith(CALLBACK + "?")
        query = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
        return Returned(state=query["state"], code=query["code"], cookie="", issuer=query["iss"])

    def sign_on(self) -> Any:
        """Sign on by browser."""
        url, cookie = begin(self.office.plant, "work")
        return finish(self.office.plant, replace(self.browse(url), cookie=cookie))


@pytest.fixture(scope="module")
def premises(unlocking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new workspace."""
    folder = tmp_path_factory.mktemp("sign-on") / "project"
    folder.mkdir()
    app.init(folder, owner="olivia")
    return folder


@pytest.fixture
def here(premises: Path, tmp_path: Path) -> Iterator[Login]:
    """A provider process, and a workspace that takes its word about people and about workloads."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("oidc_provider.py")), str(port)])
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url)
        folder = tmp_path / "project"
        shutil.copytree(premises, folder)
        with app.open_plant(folder) as plant:
            office = Office(plant, SettableClock(plant.clock.now()))
            common = f'issuer = "{url}"\nclient_id = "holdfast"\n'
            people = f'name = "work"\nsort = "people"\nredirect_uri = "{CALLBACK}"\nname_claim = "preferred_username"\n'
            mapped = '[groups]\nml = ["engineers"]\nrisk = ["reviewers"]\n'
            accept_provider(plant, file=office.write("work.toml", common + people + mapped))
            ci = 'name = "ci"\nsort = "workloads"\n[[workload]]\naccount = "deployer"\n'
            ci += 'claims = { sub = "repo:org/name:ref:refs/heads/main" }\n'
            accept_provider(plant, file=office.write("ci.toml", common + ci))
            yield Login(url, office)
    finally:
        process.kill()
        process.wait()


def _wait_for(url: str) -> None:
    for _ in range(200):
        try:
            httpx.get(url + "/fetches")
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the provider did not start")


def test_a_person_signs_on_by_browser(here: Login) -> None:
    """Code, PKCE, state, nonce and issuer; the account has the mapped groups and a session of its own."""
    session = here.sign_on()
    principal = here.office.who(session.token)
    assert (principal.name, principal.groups) == ("emil", ("engineers",))
    here.tell("/people", {"sub": "subject-1", "groups": ["risk", "unmapped"], "preferred_username": "another"})
    assert here.office.who(here.sign_on().token).groups == ("reviewers",)
    assert here.office.who(session.token).groups == ("reviewers",)
    assert "subject-1" not in here.office.everything()


def test_what_comes_back_otherwise_signs_nobody_on(here: Login) -> None:
    """Another state, cookie, issuer or code, and each of them a second time or too late."""
    plant = here.office.plant
    url, cookie = begin(plant, "work")
    good = replace(here.browse(url), cookie=cookie)
    _, another = begin(plant, "work")
    late = replace(plant, clock=SettableClock(plant.clock.now().replace(year=plant.clock.now().year + 1)))
    for wrong in (
        replace(good, state="x"),
        replace(good, state="é"),
        replace(good, cookie=""),
        replace(good, cookie=another),
        replace(good, cookie=cookie[:-1] + ("0" if cookie[-1] != "0" else "1")),
        replace(good, cookie="x" * 9000),
        replace(good, issuer=""),
        replace(good, issuer="https://evil.example.com"),
        replace(good, code="guessed"),
    ):
        with pytest.raises(Unauthenticated):
            finish(plant, wrong)
    with pytest.raises(Unauthenticated):
        finish(late, good)
    assert finish(plant, good).name == "emil"
    with pytest.raises(Unauthenticated):
        finish(plant, good)


def test_an_intercepted_code_is_worth_nothing_without_the_verifier(here: Login) -> None:
    """Somebody who reads the redirect cannot exchange it in another sign-on."""
    url, _ = begin(here.office.plant, "work")
    stolen = here.browse(url)
    url, cookie = begin(here.office.plant, "work")
    mine = here.browse(url)
    with pytest.raises(Unauthenticated):
        finish(here.office.plant, Returned(state=mine.state, code=stolen.code, cookie=cookie, issuer=here.url))


@pytest.mark.parametrize(
    "wrong",
    [
        {"claims": {"nonce": "another"}},
        {"claims": {"aud": "another"}},
        {"claims": {"iss": "https://evil.example.com"}},
        {"claims": {"exp": 1}},
        {"claims": {"at_hash": "another"}},
        {"claims": {"preferred_username": "../x"}},
        {"claims": {"groups": []}},
        {"key": True},
    ],
    ids=range(8),
)
def test_a_token_that_does_not_fit_signs_nobody_on(here: Login, wrong: dict[str, Any]) -> None:
    """And makes no account."""
    here.tell("/misbehave", wrong)
    with pytest.raises(Unauthenticated):
        here.sign_on()
    assert not identity.directory(here.office.plant).accounts


def test_a_provider_that_is_another_is_not_believed(here: Login) -> None:
    """What its discovery document says must be what we were told of it."""
    here.tell("/misbehave", {"discovery": {"issuer": "https://evil.example.com"}})
    with pytest.raises(HoldfastError):
        begin(here.office.plant, "work")
    here.tell("/misbehave", {"discovery": {"jwks_uri": "http://10.0.0.1/keys"}})
    with pytest.raises(HoldfastError):
        begin(here.office.plant, "work")
    with pytest.raises(NotFound):
        begin(here.office.plant, "nobody")


def test_a_name_that_is_taken_is_not_taken_over(here: Login) -> None:
    """A provider cannot make its subject the account of somebody else."""
    here.office.administrator("emil")
    with pytest.raises(Conflict):
        here.sign_on()
    assert identity.directory(here.office.plant).accounts["emil"].groups == ("administrators",)


def test_who_is_disabled_stays_out(here: Login) -> None:
    """Whatever the provider says; and groups given here are left alone."""
    here.sign_on()
    identity.regroup(here.office.plant, name="emil", groups="engineers,personal-data")
    assert here.office.who(here.sign_on().token).groups == ("engineers", "personal-data")
    identity.disable(here.office.plant, name="emil")
    with pytest.raises(Unauthenticated):
        here.sign_on()


def test_new_keys_of_a_provider_are_fetched_but_not_for_everybody_s_asking(here: Login) -> None:
    """An unknown key id makes us ask again, at most once a minute."""
    here.sign_on()
    here.tell("/rotate", {})
    with pytest.raises(Unauthenticated):
        here.sign_on()
    before = httpx.get(here.url + "/fetches").json()["keys"]
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            here.sign_on()
    assert httpx.get(here.url + "/fetches").json()["keys"] == before
    ahead = replace(here.office.plant, clock=SettableClock(here.office.plant.clock.now()))
    ahead.clock.set(ahead.clock.now().replace(microsecond=0))  # type: ignore[attr-defined]
    here.office.plant.memory.hold(f"keys of {here.url}", None)
    assert here.sign_on().name == "emil"


def test_a_person_signs_on_by_a_code_from_the_command_line(here: Login, tmp_path: Path) -> None:
    """Waiting as the provider asks; the session is kept in a private file, and makes tokens."""
    waited: list[float] = []
    session = by_device(here.office.plant, "work", wait=waited.append)
    assert (session.name, waited) == ("emil", [1, 1, 6])
    patch = pytest.MonkeyPatch()
    patch.setattr("time.sleep", lambda _: None)
    patch.setattr(by_device, "__kwdefaults__", {"wait": lambda _: None})
    try:
        login(here.office.plant, provider="work", session_file=tmp_path / "session")
    finally:
        patch.undo()
    assert (tmp_path / "session").stat().st_mode & 0o077 == 0
    here.tell("/misbehave", {"device": "access_denied"})
    with pytest.raises(Refused, match="declined"):
        by_device(here.office.plant, "work", wait=waited.append)
    here.tell("/misbehave", {"device": "authorization_pending"})
    clock = here.office.clock

    def pass_time(seconds: float) -> None:
        here.office.later(seconds=seconds * 50)

    with pytest.raises(Refused, match="in time"):
        by_device(replace(here.office.plant, clock=clock), "work", wait=pass_time)


def test_a_pipeline_exchanges_its_own_token_once(here: Login) -> None:
    """A branch is a service account; another branch, another audience, or the same token again are nobody."""
    identity.add(here.office.plant, name="deployer", sort="service", groups="engineers")
    here.tell("/people", {"sub": "repo:org/name:ref:refs/heads/main"})
    own = here.tell("/workload", {"audience": "holdfast"})["token"]
    token, claims = exchange(here.office.plant, own, "ci")
    assert here.office.who(token).name == "deployer"
    assert claims.exp - claims.iat == 900
    others = [own, here.tell("/workload", {"audience": "another"})["token"]]
    here.tell("/people", {"sub": "repo:org/name:ref:refs/heads/dev"})
    others.append(here.tell("/workload", {"audience": "holdfast"})["token"])
    for other in others:
        with pytest.raises(Unauthenticated):
            exchange(here.office.plant, other, "ci")
    with pytest.raises(Unauthenticated):
        exchange(here.office.plant, others[-1], "work")
    identity.disable(here.office.plant, name="deployer")
    with pytest.raises(Unauthenticated):
        here.office.who(token)


def test_the_web_is_asked_within_limits(here: Login) -> None:
    """Neither plain HTTP to other machines, nor files, nor credentials in addresses; and nobody there is an error."""
    web = here.office.plant.web
    for url in ("http://10.0.0.1/", "file:///etc/passwd", "https://user:pw@example.com/", "ftp://x/", "http://", "x"):
        with pytest.raises(InvalidInput):
            web.get(url)
    with pytest.raises(Unavailable):
        web.get("http://127.0.0.1:1/")
    status, body = web.get(here.url + "/keys")
    assert (status, list(json.loads(body))) == (200, ["keys"])
    assert web.get(f"{here.url}/authorization?state=1&redirect_uri=http://127.0.0.1:1/")[0] == 302
