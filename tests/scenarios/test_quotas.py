"""Quotas: what one workspace may take of a machine that others share, set by whoever runs the machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenarios.api import Api, opened
from tests.scenarios.conftest import reseed

from holdfast import app
from holdfast.core.errors import InvalidInput, QuotaExceeded
from holdfast.core.ports import JobState
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.quotas import quota, quota_set
from holdfast.lifecycle.runner import run


@pytest.fixture
def small(bare: Path) -> Iterator[Plant]:
    """The control plane of a workspace without a project."""
    with app.open_plant(bare) as found:
        yield found


def sealed(root: Path) -> set[str]:
    """The files of rows and models that lie in a workspace."""
    return {path.name for path in (root / ".holdfast" / "sealed" / "bytes").rglob("*") if path.is_file()}


def test_nothing_set_is_no_limit_and_what_is_set_is_on_record(small: Plant) -> None:
    """Shown beside what is used; what is left out of a change stays, 0 takes a limit away."""
    assert quota(small).document["quotas"] == {"stored_bytes": 0, "jobs": 0, "requests_per_s": 0}
    small.sealed("rows x").put(b"rows")
    quota_set(small, stored_bytes=10**9, jobs=2)
    shown = quota_set(small, jobs=3).document
    assert shown["quotas"] == {"stored_bytes": 10**9, "jobs": 3, "requests_per_s": 0}
    assert 0 < shown["used"]["stored_bytes"] < 10**6
    assert quota_set(small, stored_bytes=0).document["quotas"]["stored_bytes"] == 0
    entries = [entry for entry in small.ledger.stream("quota") if entry.kind == "quota.set"]
    assert [entry.actor for entry in entries] == ["ada"] * 3
    for wrong in (-1, 1 << 60):
        with pytest.raises(InvalidInput):
            quota_set(small, jobs=wrong)


@pytest.mark.guarantee("G61")
def test_a_run_that_finds_no_room_is_refused_and_goes_on_when_there_is(plant: Plant, project: Path) -> None:
    """Rows and models are refused, evidence of it is not; what is stored already takes no more room."""
    used = quota_set(plant, stored_bytes=10**9).document["used"]["stored_bytes"]
    quota_set(plant, stored_bytes=used + 1)
    run(plant)  # every stage is reused: nothing new is stored
    reseed(project, 8)
    size = plant.ledger.size()
    held = sealed(project)
    with app.open_plant(project) as later:
        with pytest.raises(QuotaExceeded, match="no room for"):
            run(later)
        assert sealed(project) == held
        assert "stage.failed" in {entry.kind for entry in later.ledger.entries(size)}
        quota_set(later, stored_bytes=0)
        assert run(later).document["release"]


@pytest.mark.guarantee("G61")
def test_a_full_workspace_stops_nobody_else(plant: Plant, finished: Path, tmp_path: Path) -> None:
    """Its quota is its own: another workspace on the machine goes on."""
    quota_set(plant, stored_bytes=1, jobs=1)
    with pytest.raises(QuotaExceeded):
        plant.sealed("rows x").put(b"rows")
    other = tmp_path / "other"
    other.mkdir()
    app.init(other, owner="Grace")
    with app.open_plant(other) as free:
        free.sealed("rows x").put(b"rows")
        assert free.jobs.ask("run", {}, "grace").state is JobState.WAITING
        assert free.jobs.ask("run", {}, "grace").state is JobState.WAITING


def test_jobs_beyond_the_quota_are_refused_until_one_has_ended(small: Plant) -> None:
    """Those that wait and those that run count; over HTTP it is 429, and the same request may be made again."""
    quota_set(small, jobs=1)
    with opened(small) as api:
        first = api.ask("POST", "/v1/watch", json={})
        assert first.status_code == 202
        headers = {"idempotency-key": "second"}
        refused = api.ask("POST", "/v1/watch", json={}, headers=headers)
        assert refused.status_code == 429
        assert "1 jobs" in refused.json()["detail"]
        assert small.jobs.lease("worker") is not None
        assert api.ask("POST", "/v1/watch", json={}, headers=headers).status_code == 429
        small.jobs.finish(first.json()["job"], "worker", JobState.DONE, {})
        assert api.ask("POST", "/v1/watch", json={}, headers=headers).status_code == 202


def test_a_workspace_asks_its_server_no_more_often_than_its_quota_says(small: Plant) -> None:
    """Whoever asks: one caller's requests leave none for another; without a quota all pass."""
    quota_set(small, requests_per_s=3)

    def status(api: Api, role: str) -> int:
        return api.ask("GET", "/v1/jobs", role=role).status_code

    with opened(small) as api:
        seen = [status(api, role) for role in ("viewer", "administrator") * 20]
        assert seen[:3] == [200, 200, 200]
        assert 429 in seen
        quota_set(small, requests_per_s=0)
        api.door._desk.known.look()
        assert {status(api, "viewer") for _ in range(20)} == {200}


def test_no_caller_over_the_network_sets_the_quota(small: Plant) -> None:
    """Not even its administrators: they are those whom it holds back."""
    quota_set(small, requests_per_s=100)
    with opened(small) as api:
        assert api.ask("POST", "/v1/quota/set", json={"requests-per-s": 0}).status_code == 404
        assert api.ask("GET", "/v1/quota/show").json()["quotas"]["requests_per_s"] == 100
