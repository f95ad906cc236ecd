"""Lists over HTTP: every one comes in pages, by one way; cursors cannot be made up, and nobody uses another's."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec
import pytest
from tests.scenarios.api import Api, opened
from tests.scenarios.callers import ROLES, issue
from tests.scenarios.test_api_server import running

from holdfast import app
from holdfast.control_plane import ControlPlane
from holdfast.core.errors import InvalidInput
from holdfast.core.feature import REGISTERED, FeatureCode, FeatureView, ViewSpec, stream_of
from holdfast.core.ledger import Draft
from holdfast.faces.http.lists import LISTS
from holdfast.faces.http.offers import Offer, offers
from holdfast.faces.http.pages import MAX_PAGE, PAGE, key_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import issue_key
from holdfast.lifecycle.registry_catalogue import releases_of

GIVEN: Final = {
    "alias": "breast-cancer@production",
    "name": "champion",
    "who": "viewer",
    "action": "registry.read",
    "key": "wdbc-0291",
    "view": "visits",
}
"""What is asked about, where a command needs to be told."""

ASKED: Final[Mapping[tuple[str, ...], dict[str, object]]] = {
    ("bom", "impact"): {"about": "component", "what": "numpy"},
    ("source", "log"): {"source": "till"},
}
"""The same of one command, where another means something else by the name."""


@pytest.fixture(scope="module")
def busy(finished_twice: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API of a workspace in which two releases were promoted, with jobs, accounts, keys and requests for access."""
    folder = tmp_path_factory.mktemp("busy") / "project"
    shutil.copytree(finished_twice, folder)
    with app.open_plant(folder) as plant, opened(plant) as api:
        for client in ("ward-1", "ward-2", "ward-3"):
            issue_key(plant, client=client)
        asking = {"action": "registry.promote", "resource": "model/breast-cancer", "lasts": "1h", "reason": "A try."}
        for number in range(5):
            assert api.ask("POST", "/v1/run", json={"until": f"nowhere-{number}"}).status_code == 202
            assert api.ask("POST", "/v1/access/request", json=asking, role="viewer").status_code in {200, 409}
        put_view_on_record(plant)
        alias = {"name": "champion", "release": releases_of(plant)[0], "reason": "It is."}
        assert api.ask("POST", "/v1/registry/alias", json=alias).status_code == 200
        yield api


def put_view_on_record(plant: Plant) -> None:
    """Three versions of a feature view, as `feature register` leaves them."""
    for number in range(1, 4):
        view = FeatureView(
            owner="Ada",
            description="visits",
            source="visits.csv",
            entity=("patient",),
            event_time="at",
            columns={"patient": "string", "at": "timestamp"},
            features={"seen": FeatureCode(code=f"earlier_events() + {number}", type="float")},
        )
        spec = ViewSpec(name="visits", version=number, digest=view.digest, spec=view)
        draft = Draft(kind=REGISTERED, actor="ada", stream=stream_of("visits"), body=msgspec.to_builtins(spec))
        plant.ledger.append([draft])


def target_of(api: Api, offer: Offer, **more: object) -> str:
    """Return the address of a command, with what it must be told."""
    one, other = releases_of(api.plant)
    given: dict[str, object] = {
        **GIVEN,
        "what": one,
        "before": one,
        "after": other,
        "job": api.plant.jobs.newest(1)[0].id,
    }
    given |= ASKED.get(offer.command.words, {})
    told: dict[str, object] = {each.name: given[each.name] for each in offer.options if each.required}
    told |= ASKED.get(offer.command.words, {}) | more
    query = "&".join(f"{name}={quote(str(value))}" for name, value in told.items())
    return f"{offer.path}?{query}"


def test_every_list_of_every_command_comes_in_pages(busy: Api) -> None:
    """Walk the table: an answer to GET holds no list that is not declared, and page by page gives the same rows."""
    asked = [offer for offer in offers() if offer.method == "GET"]
    assert set(LISTS) <= {offer.command.words for offer in asked}
    paged = 0
    for offer in asked:
        answer = busy.ask("GET", target_of(busy, offer, **({"limit": MAX_PAGE} if offer.lists else {})))
        assert answer.status_code == 200, (offer.path, answer.text)
        whole = answer.json()
        lists = {name for name, value in whole.items() if isinstance(value, list)}
        assert lists == {each.name for each in offer.lists}, f"say in faces/http/lists.py how {offer.path} is paged"
        assert ("next" in whole) == bool(offer.lists)
        if offer.in_parts or not offer.lists:
            continue
        rows = {each.name: [key_of(row, each) for row in whole[each.name]] for each in offer.lists}
        found: dict[str, list[Any]] = {name: [] for name in rows}
        size = max(2, sum(map(len, rows.values())) // 2)  # two or three pages of each
        for page in pages(busy, target_of(busy, offer), size):
            assert sum(len(page[name]) for name in rows) <= size
            for each in offer.lists:
                found[each.name] += [key_of(row, each) for row in page[each.name]]
            paged += 1
        if offer.command.words in SPEAKS_OF_USE:
            found, rows = (_without_advice(each) for each in (found, rows))
        assert found == rows, offer.path
    assert paged > len(LISTS)


SPEAKS_OF_USE: Final = {("access", "review")}
"""Lists whose rows say what was used of late: asking for them page by page changes what they say, not of whom."""


def _without_advice(lists: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {name: [key[:2] if isinstance(key, tuple) else key for key in keys] for name, keys in lists.items()}


def pages(api: Api, target: str, limit: int, role: str = "administrator") -> Iterator[dict[str, Any]]:
    """Yield the pages of a list."""
    cursor = ""
    while True:
        answer = api.ask("GET", f"{target}&limit={limit}{cursor}", role=role)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        yield page
        if page["next"] is None:
            return
        cursor = f"&cursor={page['next']}"


@pytest.mark.parametrize(("path", "name", "key"), [("jobs", "jobs", "job"), ("events/list", "events", "number")])
def test_what_is_new_shifts_no_page_of_what_was_there(busy: Api, path: str, name: str, key: str) -> None:
    """Jobs are asked for, and refusals happen, between two pages: every old row comes once, newest first."""
    (everything,) = pages(busy, f"/v1/{path}?", MAX_PAGE)
    old = [row[key] for row in everything[name]]
    assert len(old) >= 5
    found = []
    for page in pages(busy, f"/v1/{path}?", 2):
        found += [row[key] for row in page[name]]
        assert busy.ask("POST", "/v1/run", json={}).status_code == 202
        assert busy.ask("POST", "/v1/ledger/checkpoint", json={}, role="viewer").status_code == 403
    assert [each for each in found if each in set(old)] == old
    assert len(found) == len(set(found))


def test_accounts_are_added_while_they_are_listed(busy: Api) -> None:
    """Before and behind the cursor: every account that was there at first comes exactly once."""
    old = [each["name"] for each in busy.ask("GET", "/v1/access/users").json()["accounts"]]
    found = []
    for number, page in enumerate(pages(busy, "/v1/access/users?", 1)):
        found += [each["name"] for each in page["accounts"]]
        for name in (f"aaa-{number}", f"oper-{number}", f"zzz-{number}")[: 3 if number < 3 else 0]:
            issue(busy.plant, name=name, role="viewer")
    assert set(old) >= {*ROLES}
    assert all(found.count(name) == 1 for name in old)
    assert len(found) == len(set(found))
    assert found == sorted(found)


def test_a_cursor_that_is_not_from_this_call_is_refused_in_the_same_words(busy: Api) -> None:
    """Made up, of another caller, list or option: one answer, which says nothing of why."""
    cursor = busy.ask("GET", "/v1/jobs?limit=2").json()["next"]
    plan = busy.ask("GET", "/v1/access/users?limit=1").json()["next"]
    assert busy.ask("GET", f"/v1/jobs?limit=3&cursor={cursor}").status_code == 200, "pages may change their size"
    told = set()
    for role, target in (
        ("viewer", f"/v1/jobs?cursor={cursor}"),
        ("administrator", f"/v1/access/users?cursor={cursor}"),
        ("administrator", f"/v1/events/list?cursor={cursor}"),
        ("administrator", f"/v1/jobs?cursor={plan}"),
        ("administrator", f"/v1/jobs?cursor={cursor[:-2]}AA"),
        ("administrator", f"/v1/jobs?cursor={'A' * 80}"),
        ("administrator", "/v1/jobs?cursor=%C3%A9"),
        ("administrator", f"/v1/log?about=policy&cursor={busy.ask('GET', '/v1/log?limit=1').json()['next']}"),
    ):
        answer = busy.ask("GET", target, role=role)
        assert answer.status_code == 400, target
        assert answer.headers["content-type"] == "application/problem+json"
        told.add((answer.json()["detail"], answer.json()["code"], answer.json()["expected"]))
    assert len(told) == 1
    assert busy.ask("GET", f"/v1/jobs?cursor={'A' * 5000}").status_code in {400, 413, 422}
    for wrong in ("limit=0", f"limit={MAX_PAGE + 1}", "limit=x", "last=3", "before=3"):
        assert busy.ask("GET", f"/v1/jobs?{wrong}").status_code == 422, wrong


def test_the_description_tells_of_pages(busy: Api) -> None:
    """Each operation with lists takes `limit` and `cursor`, and says that it gives `next`."""
    document = busy.describe()
    for offer in offers():
        operation = document["paths"][offer.path][offer.method.lower()]
        taken = {each["name"]: each["schema"] for each in operation.get("parameters", ())}
        schema = operation["responses"]["202" if offer.is_job else "200"]["content"]["application/json"]["schema"]
        assert ("cursor" in taken) == ("next" in schema["properties"]) == bool(offer.lists)
        if offer.lists:
            assert taken["limit"]["default"] == PAGE
            assert taken["limit"]["maximum"] == MAX_PAGE
            assert {each.name for each in offer.lists} <= set(schema["required"])


def test_the_client_walks_over_all_pages(bare: Path) -> None:
    """`rows` yields each row of a list, whichever page it is on; where there are several lists, one is named."""
    with app.open_plant(bare) as plant:
        key = issue(plant, name="administrator", role="administrator")
        for number in range(7):
            issue(plant, name=f"nurse-{number}", role="viewer")
    with running(bare, "--no-gateway", "--job-workers", "0") as up, ControlPlane(up.said["url"], key) as plane:
        names = [each["name"] for each in plane.rows("access users", limit=3)]
        assert names == ["administrator", *(f"nurse-{number}" for number in range(7))]
        assert [len(page["accounts"]) for page in plane.pages("access users", limit=3)] == [3, 3, 2]
        assert all(text.startswith("sha256:") for text in plane.rows("trust show", of="policies", limit=1))
        with pytest.raises(InvalidInput, match="which list"):
            next(plane.rows("trust show"))
        with pytest.raises(InvalidInput, match="which list"):
            next(plane.rows("access users", of="nobody"))
