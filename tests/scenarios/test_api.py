"""The control plane over HTTP: who gets in, what each role may do, and what is answered once, in pages, or later."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from tests.scenarios.api import Api, opened
from tests.scenarios.stand import releases

from holdfast import app
from holdfast.core.ports import JobState
from holdfast.faces.http.known import LOOK_S
from holdfast.faces.http.offers import JOBS, PATHS, PUBLIC, WITHHELD, offers
from holdfast.faces.http.strict import MAX_BODY
from holdfast.lifecycle import COMMANDS
from holdfast.lifecycle.access_memory import STREAM
from holdfast.lifecycle.jobs import carry_out
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import promote

MODEL: Final = "breast-cancer"


@pytest.fixture(scope="module")
def small(unlocking: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A new workspace in which nothing has happened."""
    folder = tmp_path_factory.mktemp("small")
    app.init(folder, owner="Ada")
    with app.open_plant(folder) as plant:
        yield plant


@pytest.fixture(scope="module")
def api(small: Plant) -> Iterator[Api]:
    """Its API."""
    with opened(small) as found:
        yield found


def routes(api: Api) -> list[tuple[str, str, dict[str, Any]]]:
    """Every route of the API's own description, with a request that is well formed."""
    found = []
    document = api.describe()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            target = path
            query = []
            for parameter in operation.get("parameters", ()):
                example = parameter["schema"].get("examples", ["x"])[0]
                if parameter["in"] == "path":
                    target = target.replace(f"{{{parameter['name']}}}", str(example))
                elif parameter["in"] == "query" and parameter.get("required"):
                    query.append(f"{parameter['name']}={example}")
            schema = _schema(document, operation)
            body = {name: _example(each) for name, each in schema.get("properties", {}).items()}
            body = {name: value for name, value in body.items() if name in schema.get("required", ())}
            more = {"json": body} if method == "post" else {}
            found.append((method.upper(), target + ("?" + "&".join(query) if query else ""), more))
    return found


def _schema(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    reference = content.get("$ref") or next((each["$ref"] for each in content.get("anyOf", ()) if "$ref" in each), "")
    return document["components"]["schemas"].get(reference.rpartition("/")[2], {})


def _example(schema: dict[str, Any]) -> Any:
    return schema.get("examples", ["x"])[0]


def test_every_command_is_offered_or_withheld_for_a_reason() -> None:
    """Each command that opens a workspace has a route or a reason; so has each option that names a file."""
    offered = {offer.command.words for offer in offers()}
    withheld = {each.words for each in WITHHELD}
    assert not offered & withheld
    ruled = {(rule.words, rule.option) for rule in PATHS}
    for command in COMMANDS:
        if command.opens != "workspace":
            assert command.words not in offered
        elif command.words not in withheld:
            assert command.words in offered
            paths = {(command.words, option.name) for option in command.options if option.kind == "path"}
            assert paths <= ruled, "say in faces/http/offers.py what becomes of this file over HTTP"
    assert set(JOBS) <= offered


@pytest.mark.guarantee("G40")
def test_no_route_answers_without_a_credential_unless_it_is_listed(api: Api) -> None:
    """401 for every route, every method, and for routes that do not exist; the public ones are listed in one place."""
    assert PUBLIC == ("/healthz", "/readyz")
    listed = [(method, target) for method, target, _ in routes(api)]
    assert len(listed) >= len(offers())
    for method, target in [
        *listed,
        ("GET", "/v1/openapi.json"),
        ("GET", "/v1/nowhere"),
        ("DELETE", "/"),
        ("GET", "/docs"),
    ]:
        for other in {method, "GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"}:
            answer = api.ask(other, target, role="")
            assert answer.status_code == 401, (other, target)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            if other != "HEAD":
                assert answer.json()["detail"] == "nobody valid has asked"
    for path in PUBLIC:
        answer = api.ask("GET", path, role="")
        assert answer.status_code == 200
        assert answer.json() == {"status": "ok"}
        assert api.ask("POST", path, role="").status_code == 405


ADMINISTRATORS_ONLY: Final = {
    "ledger_rebuild", "key_issue", "key_revoke", "data_erase", "registry_purge", "registry_hold", "registry_unhold",
    "registry_collect", "revoke", "logs_prune", "access_add", "access_groups", "access_disable", "access_enable",
    "access_link", "access_key", "access_revoke", "access_provider", "secret_grant", "secret_withdraw", "secret_remove",
    "source_forget", "dlp_forget",
}  # fmt: skip
EVERYBODY: Final = {"access_request", "feature_get"}  # the second decides by feature, once there is one
NOBODY: Final = {"dlp_reveal", "dlp_protected"}  # without a request of access that somebody else has approved
"""Who may ask for what changes something; operators for all the rest, and everybody for what changes nothing."""


def may(role: str, name: str) -> bool:
    """What the table says of a role and an operation that changes something."""
    if name in NOBODY:
        return False
    if name in EVERYBODY or role == "administrator":
        return True
    return role == "operator" and name not in ADMINISTRATORS_ONLY


def test_each_role_may_ask_for_what_the_table_says_and_for_nothing_else(api: Api) -> None:
    """Role by route: 403 exactly where the table has no such role; rows are not for everybody who may look."""
    names = {offer.path: offer.name for offer in offers()}
    rows = {offer.name for offer in offers() if offer.command.action == "data.read"}
    for method, target, more in routes(api):
        name = names.get(target.partition("?")[0], "")
        for role in ("viewer", "operator", "administrator"):
            status = api.ask(method, target, role=role, **more).status_code
            looks = method == "GET" and (role != "viewer" or name not in rows)
            expected = looks or may(role, name)
            assert (status != 403) == expected, (role, method, target, status)
            assert status not in {401, 500}, (role, method, target, status)
    denied = [entry for entry in api.plant.ledger.entries() if entry.kind == "access.denied"]
    assert {entry.actor for entry in denied} == {"viewer", "operator", "administrator"}  # the last for what nobody may


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer hfc_",
        "Bearer hf_0000000000000000000000000000000000000000000",
        "Bearer hfc_0000000000000000000000000000000000000000000",
        "Basic YWRhOmFkYQ==",
        "Bearer " + "hfc_" + "0" * 4000,
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
        "Bearer hfc_' OR '1'='1",
    ],
)
def test_what_is_no_credential_is_nobody(api: Api, authorization: str) -> None:
    """Another scheme, a gateway's key, an unsigned token, a guess: one and the same answer."""
    answer = api.ask("GET", "/v1/jobs", role="", headers={"authorization": authorization})
    assert answer.status_code == 401
    assert answer.json()["detail"] == "nobody valid has asked"


def test_guessing_credentials_ends_for_that_address(small: Plant) -> None:
    """After a burst of failures the address is told to wait, before anything is looked up."""
    with opened(small, failure_burst=3, failures_per_s=0.001) as api:
        found = [api.ask("GET", "/v1/jobs", role="").status_code for _ in range(5)]
        assert found == [401, 401, 401, 429, 429]


def test_one_principal_cannot_take_every_turn(small: Plant) -> None:
    """A spent allowance is 429 with a time to wait; another principal's is untouched."""
    with opened(small, rate_per_s=0.001, burst=2) as api:
        found = [api.ask("GET", "/v1/jobs", role="viewer") for _ in range(3)]
        assert [answer.status_code for answer in found] == [200, 200, 429]
        assert int(found[-1].headers["retry-after"]) >= 1
        assert api.ask("GET", "/v1/jobs", role="operator").status_code == 200


def test_a_full_house_says_when_to_come_again(small: Plant) -> None:
    """More at once than the cap: 503 with Retry-After."""
    with opened(small, at_once=0) as api:
        answer = api.ask("GET", "/v1/jobs")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1


def test_what_takes_too_long_is_told_so(small: Plant) -> None:
    """The caller gets an answer in time; what has begun goes on."""
    with opened(small, timeout_s=0.0) as api:
        assert api.ask("GET", "/v1/jobs").status_code == 503


def test_errors_are_problem_details_and_tell_more_to_administrators_only(api: Api) -> None:
    """RFC 9457 with code and correlation id; places and remedies only for who may read the server's files anyway."""
    for role in ("viewer", "administrator"):
        answer = api.ask("GET", "/v1/resolve/nobody", role=role, headers={"x-correlation-id": "my-request-1"})
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        document = answer.json()
        assert {"type", "title", "status", "detail", "code", "instance"} <= set(document)
        assert ("remedy" in document) == ("place" in document) == (role == "administrator")
    wrong = api.ask("POST", "/v1/promote", json={"reason": 1, "evil": "<script>secret</script>"})
    assert wrong.status_code == 422
    assert "secret" not in wrong.text
    assert str(api.plant.home.root) not in api.ask("POST", "/v1/promote", role="operator", json={"reason": "x"}).text


def test_a_defect_tells_nothing_of_the_inside(small: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever breaks, the caller learns that something did."""

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("/etc/secret and a stack of frames")

    monkeypatch.setattr("holdfast.lifecycle.jobs.jobs", broken)
    with opened(small) as api:
        answer = api.ask("GET", "/v1/jobs")
    assert answer.status_code == 500
    assert "secret" not in answer.text


def test_answers_are_safe_to_show(api: Api) -> None:
    """No cache, no sniffing, no frame, no banner; every answer names its request."""
    for target, role in (("/v1/jobs", "viewer"), ("/v1/jobs", ""), ("/healthz", "")):
        headers = api.ask("GET", target, role=role).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert len(headers["x-correlation-id"]) == 32
        assert "server" not in headers


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b'{"a": 1, "a": 2}', {}, 400),
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b'{"reason": "x", "reason": "y"}', {}, 400),
        (b'{"reason": "\xff"}', {}, 400),
        (b'{"reason": "x"}', {"content-type": "text/plain"}, 415),
        (b'{"reason": "x"}', {"content-type": "application/json; charset=utf-16"}, 415),
        (b'{"reason": "x"}', {"content-encoding": "gzip"}, 415),
        (b'{"a":' + b"[" * 50_000, {}, 413),
        (b" " * (MAX_BODY + 1), {}, 413),
        (b'{"reason": "x", "html": "/etc/passwd"}', {}, 422),
        (b"{}", {}, 422),
        (b'{"reason": "x"}', {"idempotency-key": "a b"}, 400),
    ],
)
def test_bad_content_is_refused_before_anything_happens(
    api: Api, content: bytes, headers: dict[str, str], status: int
) -> None:
    """Duplicate keys, other encodings, depth, length, unknown options: each with its own status."""
    before = api.plant.ledger.size()
    answer = api.ask("POST", "/v1/promote", content=content, headers={"content-type": "application/json", **headers})
    assert answer.status_code == status, answer.text
    # What was asked earlier is counted for a second before it is on record; nothing else may have been added.
    assert {entry.stream for entry in api.plant.ledger.entries(before)} <= {STREAM}


@pytest.mark.guarantee("G42")
def test_a_request_with_a_key_is_carried_out_once(api: Api) -> None:
    """The same answer again, marked; another request under the key is a conflict; keys are each principal's own."""
    headers = {"idempotency-key": "my-key-1"}
    first = api.ask("POST", "/v1/ledger/checkpoint", headers=headers, json={})
    assert first.status_code == 200
    assert "idempotent-replayed" not in first.headers
    count = len(api.plant.ledger.checkpoints())
    again = api.ask("POST", "/v1/ledger/checkpoint", headers=headers, json={})
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert len(api.plant.ledger.checkpoints()) == count
    assert api.ask("POST", "/v1/ledger/rebuild", headers=headers, json={}).status_code == 409
    other = api.ask("POST", "/v1/ledger/checkpoint", headers=headers, json={}, role="operator")
    assert "idempotent-replayed" not in other.headers


def test_a_secret_is_shown_once_even_to_a_repeated_request(plant: Plant) -> None:
    """An API key is in the first answer only, and nowhere in the database."""
    with opened(plant) as api:
        asking: dict[str, Any] = {"headers": {"idempotency-key": "k"}, "json": {"client": "ward"}}
        key = api.ask("POST", "/v1/key/issue", **asking).json()["key"]
        again = api.ask("POST", "/v1/key/issue", **asking)
        assert again.status_code == 409
        assert key not in again.text
        issued = [entry for entry in plant.ledger.entries() if entry.kind == "credential.issued"]
        assert len(issued) == 1
    for path in plant.home.workspace.glob("ledger.db*"):
        assert key.encode() not in path.read_bytes()


def test_the_log_comes_in_pages_without_gap_or_repeat(api: Api) -> None:
    """Following `next` from the newest page gives every entry once."""
    found: list[int] = []
    cursor, pages = "", 0
    size = api.plant.ledger.size()  # counts of earlier requests may still be added before the newest page is read
    while True:
        page = api.ask("GET", f"/v1/log?limit=7{cursor}").json()
        found += [entry["position"] for entry in page["entries"]]
        pages += 1
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == list(reversed(range(len(found))))
    assert len(found) >= size
    assert pages >= size // 7
    for wrong in ("cursor=x", "cursor=YmVmb3JlIC0x", "limit=0", "limit=100000", "before=3", "cursor=%C3%A9"):
        assert api.ask("GET", f"/v1/log?{wrong}").status_code in {400, 422}, wrong


def test_what_is_counted_agrees_with_its_number(api: Api) -> None:
    """One gateway, no secrets, as many accounts as tests have made."""
    said = {path: api.ask("GET", f"/v1/{path}").json()["says"] for path in ("gateways", "secret/list", "access/users")}
    assert said["gateways"].startswith("1 gateway; ")
    assert said["secret/list"] == "0 secrets."
    listed = api.ask("GET", "/v1/access/users").json()["accounts"]
    assert said["access/users"] == f"{len(listed)} accounts."


def test_a_long_command_is_a_job(api: Api) -> None:
    """202 with a place to ask; the worker's news are found there; a cancelled job cannot be cancelled again."""
    answer = api.ask("POST", "/v1/run", json={"until": "nowhere"}, role="operator")
    assert answer.status_code == 202
    place = answer.headers["location"]
    assert api.ask("GET", place, role="viewer").json()["state"] == "waiting"
    task = api.plant.jobs.find(answer.json()["job"])
    state, result = carry_out(api.plant, task)
    assert state == JobState.FAILED
    assert result["code"].startswith("HF")
    assert api.ask("POST", "/v1/job/cancel", json={"job": task.id}).json()["state"] == "cancelled"
    assert api.ask("POST", "/v1/job/cancel", json={"job": task.id}).status_code == 409
    assert api.ask("GET", "/v1/jobs/unknown").status_code == 404


def test_a_policy_comes_as_content_and_no_path_of_the_server_is_read(api: Api, tmp_path: Path) -> None:
    """The text is in the request; a path in its place is just a text that is no policy."""
    text = Path("policies/baseline.toml").read_text(encoding="utf-8").replace("baseline", "mine")
    assert api.ask("POST", "/v1/policy/accept", json={"file": text}).status_code == 200
    secret = tmp_path / "secret"
    secret.write_text(text, encoding="utf-8")
    assert api.ask("POST", "/v1/policy/accept", json={"file": str(secret)}).status_code == 422


def test_the_description_is_openapi_and_tells_errors_keys_and_schemes(api: Api) -> None:
    """OpenAPI 3.1; each operation has an id, a summary and problem details; the schemes are there."""
    document = api.describe()
    assert document["openapi"].startswith("3.1")
    ids = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert len(ids) == len(set(ids))
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert "application/problem+json" in operation["responses"]["403"]["content"]
    assert set(document["components"]["securitySchemes"]) == {"bearer", "certificate"}


def test_promotion_goes_the_same_way_as_everywhere(plant: Plant) -> None:
    """Over HTTP the same policy decides; afterwards the alias resolves to the release, and is answered quickly."""
    with opened(plant) as api:
        assert api.ask("GET", f"/v1/resolve/{MODEL}").status_code == 404
        (release,) = releases(plant)
        answer = api.ask("POST", "/v1/promote", json={"reason": "It is good."})
        assert answer.status_code == 200, answer.text
        for _ in range(3):
            found = api.ask("GET", f"/v1/resolve/{MODEL}", role="viewer")
            assert found.json()["release"] == release
        assert api.ask("GET", f"/v1/resolve/{MODEL}@production").json()["release"] == release
        assert api.ask("GET", f"/v1/resolve/{MODEL}", role="").status_code == 401
        assert api.ask("GET", f"/v1/resolve?alias={MODEL}").json()["release"] == release


def test_what_is_resolved_follows_the_ledger_and_the_lease(plant: Plant) -> None:
    """A rollback is seen within moments; when the lease has ended nothing is told any more."""
    import time
    from datetime import timedelta

    from holdfast.testing.clock import SettableClock

    promote(plant, reason="First.")
    clock = SettableClock(plant.clock.now())
    with opened(replace(plant, clock=clock)) as api:
        time.sleep(3 * LOOK_S)
        assert api.ask("GET", f"/v1/resolve/{MODEL}").status_code == 200
        clock.advance(timedelta(days=2))
        assert api.ask("GET", f"/v1/resolve/{MODEL}").status_code == 503
        clock.advance(timedelta(days=-2))
        assert api.ask("POST", "/v1/rollback", json={"reason": "It was wrong."}).status_code in {200, 503, 403}
        time.sleep(3 * LOOK_S)
        assert json.loads(api.ask("GET", f"/v1/resolve/{MODEL}").content)["code"] == "HF300"
