"""Scenarios of the registry: what becomes of a release, who may change it, and what stays whatever somebody tries."""

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tests.scenarios.conftest import reseed
from tests.scenarios.stand import (
    MADE_WITH,
    Gateway,
    blob,
    damage,
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
from holdfast.adapters.tampering import unsafe_edit_entry
from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import Conflict, HoldfastError, LedgerBroken, NotFound, NotVerified, PolicyDenied, Refused
from holdfast.core.evidence import failed
from holdfast.core.ledger import Draft
from holdfast.core.passport import REVOKED
from holdfast.core.policy import Action
from holdfast.edge import assemble, config_of
from holdfast.lifecycle.loop import look
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import authorize, issue_key, promote, rollback
from holdfast.lifecycle.registry_catalogue import catalogue, entry_of, show
from holdfast.lifecycle.registry_download import download
from holdfast.lifecycle.registry_gates import file_gates
from holdfast.lifecycle.registry_record import record_of
from holdfast.lifecycle.registry_retention import archive, collect, expire, restore, sprawl
from holdfast.lifecycle.registry_rollback import rollback as rollback_to
from holdfast.lifecycle.registry_staging import stage
from holdfast.lifecycle.registry_states import alias, clear, hold, purge, quarantine, resolve, retire, unhold
from holdfast.lifecycle.registry_versions import diff, versions
from holdfast.lifecycle.reply import short
from holdfast.lifecycle.routing import commit, current_project, draw
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.verification import verify
from holdfast.registry import State, promoted
from holdfast.registry.aliases import ALIASED
from holdfast.registry.record import CLEARED, RETIRED
from holdfast.registry.retention import family
from holdfast.registry.views import VIEWS
from holdfast.serve import HttpRequest


def state(plant: Plant, release: str) -> State:
    """The state of a release, folded anew."""
    return record_of(plant, current_project(plant).project.name, Digest(release)).state


def signals(plant: Plant, release: str) -> list[str]:
    """What led a release where it is."""
    return [moved.signal for moved in record_of(plant, current_project(plant).project.name, Digest(release)).trail]


class TestStates:
    """What a release becomes, and by what."""

    def test_a_promotion_walks_every_state(self, plant: Plant) -> None:
        """A finished run is assessed; gates, an approval, staging and a route table lead it into production."""
        (release,) = releases(plant)
        assert state(plant, release) is State.ASSESSED
        stage(plant, release=release, reason="Try it first.")
        assert state(plant, release) is State.STAGING
        promote(plant, reason="It did well.")
        wanted = ["packaged", "scanned-clean", "signed-whole", "measured", "gated", "approved", "staged", "routed"]
        walked = [each for each in signals(plant, release) if each != "spoiled"]  # while a later control runs
        assert list(dict.fromkeys(walked)) == wanted
        assert state(plant, release) is State.PRODUCTION

    def test_staging_is_a_place_that_answers_and_production_is_not_it(self, plant: Plant) -> None:
        """A gateway of the staging environment answers with a staged release; one of production gets nothing."""
        issue_key(plant, client="a-caller")
        stage(plant, reason="Try it first.")
        staging = config_of(plant.home.root, environment="staging")
        gateway, loader, recorder = assemble(staging, 0)
        recorder.open()
        loader.refresh()
        ready = HttpRequest(method="GET", path="/v2/health/ready", headers=(), body=b"", peer="127.0.0.1")
        assert gateway.handle(ready).status == 200
        production, other, notes = assemble(replace(staging, environment="production"), 1)
        notes.open()
        with pytest.raises(NotVerified):
            other.refresh()
        assert production.handle(ready).status == 503

    def test_a_quarantined_release_stops_answering_and_needs_a_word_to_come_back(self, producing: Plant) -> None:
        """Quarantine withdraws in the same append; a forged clearing changes nothing, a signed one starts it again."""
        first, second = releases(producing)
        quarantine(producing, release=second, reason="It said odd things.")
        assert now(producing).baseline == first
        assert state(producing, second) is State.QUARANTINED
        with pytest.raises(PolicyDenied, match="state"):
            promote(producing, release=second, reason="Never mind.")
        forged = Draft(kind=CLEARED, actor="mallory", stream=second, body={"reason": "It is fine.", "envelope": first})
        producing.ledger.append([forged])
        assert state(producing, second) is State.QUARANTINED
        clear(producing, release=second, reason="We looked: it was the input.")
        assert state(producing, second) is State.ASSESSED
        promote(producing, release=second, reason="Looked at.")
        assert state(producing, second) is State.PRODUCTION

    def test_a_forged_routing_or_ending_moves_nothing(self, plant: Plant) -> None:
        """Whoever can write ledger entries, but signs nothing, moves no state."""
        (release,) = releases(plant)
        routed = {"standing": {"epoch": 9, "baseline": release}, "table": release, "pointer": None}
        for kind, stream in (
            ("endpoint.routed", "endpoint/production/breast-cancer"),
            (RETIRED, release),
            ("release.purged", release),
            ("release.promoted", release),
        ):
            plant.ledger.append([Draft(kind=kind, actor="mallory", stream=stream, body={"reason": "x", **routed})])
        assert state(plant, release) is State.ASSESSED

    def test_bad_news_takes_a_candidate_back(self, plant: Plant) -> None:
        """A failed control after the gate spoils what the state stood on."""
        (release,) = releases(plant)
        stage(plant, reason="Try it first.")
        model = parent(plant, release, Kind.MODEL)
        file_evidence(plant, failed("assess.robustness/1", model, Kind.MODEL, MADE_WITH, "the attack crashed"))
        assert state(plant, release) is State.SIGNED

    def test_a_revoked_ancestor_revokes_the_release(self, plant: Plant) -> None:
        """The source is revoked: the release that learned from it may never be used again."""
        (release,) = releases(plant)
        source = next(entry.stream for entry in plant.ledger.entries() if entry.body.get("kind") == Kind.SOURCE)
        plant.ledger.append([Draft(kind=REVOKED, actor="owner", stream=source, body={"reason": "poisoned"})])
        assert state(plant, release) is State.REVOKED
        with pytest.raises(Conflict):
            quarantine(plant, release=release, reason="Too late.")

    def test_of_two_racing_promotions_exactly_one_wins(self, producing: Plant) -> None:
        """Two threads with tables for the same epoch: the fence lets one through, and the endpoint stands by it."""
        project = current_project(producing)
        rollback(producing, reason="Start from the first.")
        first, second = releases(producing)
        authorize(producing, project, second, "approve", "Race.")
        file_gates(producing, project, second)
        before = now(producing)
        drawn = [
            draw(producing, project, promoted(before, second), subject=second, action=Action.PROMOTE) for _ in "ab"
        ]
        start, won, lost = threading.Barrier(2), list[int](), list[HoldfastError]()

        def race(number: int) -> None:
            start.wait()
            try:
                commit(producing, project, drawn[number])
                won.append(number)
            except HoldfastError as error:
                lost.append(error)

        threads = [threading.Thread(target=race, args=(number,)) for number in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert [type(error) for error in lost] == [Conflict]
        assert now(producing).epoch == before.epoch + 1
        assert state(producing, first) is State.APPROVED


class TestCatalogue:
    """One record, for every role."""

    @pytest.mark.requirement("REG-01", by="holdfast.lifecycle.registry_catalogue:entry_of")
    def test_a_record_holds_what_a_registry_must_know(self, plant: Plant) -> None:
        """Artifacts, metadata, signatures, metrics, promotion state; the commit built from, the endpoint, the keys."""
        root = plant.home.root
        (root / ".git").mkdir()
        (root / ".git" / "HEAD").write_text("0123456789abcdef" * 2 + "01234567\n", encoding="utf-8")
        reseed(root, 8)
        run(plant)
        promote(plant, reason="It is better.")
        release = releases(plant)[-1]
        found = entry_of(plant, release)
        assert found["versions"]["model"]["model"] == parent(plant, release, Kind.MODEL)
        assert found["status"] | {"state": "production", "model": "breast-cancer", "share": 1.0} == found["status"]
        assert found["signatures"]["bundle"]
        assert {key["keyid"] for key in found["signatures"]["keys"]} == {
            key.keyid for key in plant.trust.of_role("release")
        }
        assert found["metrics"]["assess.quality/1"]["auc"] > 0.9
        assert found["approvals"] == {"owner": [plant.person]}
        assert found["links"]["code"]["commit"] == "0123456789abcdef" * 2 + "01234567"
        assert found["deployment"] | {"role": "baseline", "epoch": 1} == found["deployment"]
        assert found["signatures"]["custody"] == plant.custody
        assert [moved["state"] for moved in found["history"]][-1] == "production"

    @pytest.mark.requirement("REG-04", by="holdfast.lifecycle.registry_catalogue:_links")
    def test_a_record_links_to_all_it_came_from_and_all_that_came_of_it(self, producing: Plant) -> None:
        """Data, code, configuration, experiment, bill of materials, and the incidents about it."""
        _, second = releases(producing)
        damage(published_blob(producing, model_file(producing, second)))
        for copy in blob(producing, model_file(producing, second)):
            damage(copy)
        look(producing)
        links = entry_of(producing, second)["links"]
        assert all(links["data"].values())
        assert links["code"]["recipe"]
        assert links["configuration"] == parent(producing, second, Kind.PROJECT)
        assert {"train", "release"} <= {run["stage"] for run in links["experiment"]}
        assert links["bom"] == parse_manifest(producing.blobs.get(second)).file("bom.cdx.json").digest
        assert any("does not verify" in incident["reason"] for incident in links["incidents"])

    @pytest.mark.requirement("REG-08", by="holdfast.registry.views:sections")
    def test_three_roles_read_one_record(self, producing: Plant) -> None:
        """Status, versions, health and owner are in the one record that all three are handed; each reads its part."""
        shown = {role: show(producing, view=role) for role in VIEWS}
        assert len(shown) == 3
        records = [reply.document["record"] for reply in shown.values()]
        assert records[0] == records[1] == records[2]
        status = records[0]["status"]
        assert (status["state"], status["owner"]) == ("production", "Ada Example <ada@example.org>")
        assert set(records[0]) >= {"status", "versions", "health"}
        titles = {role: [table.title for table in reply.tables] for role, reply in shown.items()}
        assert all(each[0] == "Status" for each in titles.values())
        assert len({tuple(each) for each in titles.values()}) == 3

    def test_the_list_names_every_release_with_state_and_share(self, producing: Plant) -> None:
        """Both releases are listed; the one that answers has all of the traffic."""
        alias(producing, name="champion", release=releases(producing)[1], reason="It won.")
        listed = catalogue(producing).document["releases"]
        assert [(item["release"], item["state"], item["share"]) for item in listed] == [
            (releases(producing)[0], "approved", 0.0),
            (releases(producing)[1], "production", 1.0),
        ]
        assert listed[1]["aliases"] == ["champion"]


@pytest.mark.guarantee("G30")
class TestImmutable:
    """Somebody with write access to blobs and tables tries to replace the bytes of a registered, aliased model."""

    @pytest.fixture
    def aliased(self, producing: Plant) -> tuple[Plant, Digest, Digest]:
        """A workspace whose alias means its second release."""
        first, second = releases(producing)
        alias(producing, name="champion", release=second, reason="It won.")
        return producing, first, second

    def test_other_bytes_in_the_blob_file_are_not_handed_out(
        self, aliased: tuple[Plant, Digest, Digest], tmp_path: Path
    ) -> None:
        """The stored file is replaced by another model: a download hands out the good bytes, or none."""
        plant, first, second = aliased
        gateway = Gateway(plant)
        onnx, other = model_file(plant, second), blob(plant, model_file(plant, first))[0].read_bytes()
        good = plant.blobs.get(onnx)
        for target in blob(plant, onnx):
            target.chmod(0o600)
            target.write_bytes(other)
        download(plant, release="champion", into=tmp_path / "out")
        assert (tmp_path / "out" / "model.onnx").read_bytes() == good, "restored from what gateways read"
        for target in (*blob(plant, onnx), published_blob(plant, onnx)):
            target.chmod(0o600)
            target.write_bytes(other)
        with pytest.raises(NotVerified):
            download(plant, release="champion", into=tmp_path / "again")
        assert not (tmp_path / "again").exists()
        rows = gateway.rows(first)
        assert gateway.answers_with(rows) == short(second)

    def test_other_bytes_in_the_published_copy_are_not_loaded(self, aliased: tuple[Plant, Digest, Digest]) -> None:
        """The gateway's own copy is replaced: what is loaded goes on, and a new gateway does not load it."""
        plant, first, second = aliased
        gateway = Gateway(plant)
        rows = gateway.rows(second)
        target = published_blob(plant, model_file(plant, second))
        target.chmod(0o600)
        target.write_bytes(plant.blobs.get(model_file(plant, first)))
        assert gateway.answers_with(rows) == short(second)
        _, loader, recorder = assemble(config_of(plant.home.root), 1)
        recorder.open()
        with pytest.raises(NotVerified):
            loader.refresh()

    def test_a_row_of_the_ledger_that_was_edited_is_refused(self, aliased: tuple[Plant, Digest, Digest]) -> None:
        """The alias's entry is edited in the database to mean another release: nothing is answered."""
        plant, first, second = aliased
        entry = plant.ledger.stream("alias/champion")[-1]
        unsafe_edit_entry(plant.home.workspace / "ledger.db", entry.position, second.encode(), first.encode())
        with app.open_plant(plant.home.root) as again, pytest.raises(LedgerBroken):
            resolve(again, name="champion")

    def test_a_move_of_the_alias_that_nobody_signed_moves_nothing(self, aliased: tuple[Plant, Digest, Digest]) -> None:
        """An entry written past the verbs, unsigned or with the word for another release, leaves the alias alone."""
        plant, first, second = aliased
        signed = plant.ledger.stream("alias/champion")[-1].body["envelope"]
        for envelope in ("", signed):
            body = {"pointer": {"name": "alias/champion", "digest": first}, "reason": "x", "envelope": envelope}
            plant.ledger.append([Draft(kind=ALIASED, actor="mallory", stream="alias/champion", body=body)])
        assert resolve(plant, name="champion").document["release"] == second

    def test_an_alias_of_a_release_that_may_not_be_used_answers_nothing(
        self, aliased: tuple[Plant, Digest, Digest]
    ) -> None:
        """Its release is quarantined: the name is refused, not silently moved."""
        plant, _, second = aliased
        quarantine(plant, release="champion", reason="It said odd things.")
        with pytest.raises(Refused, match="quarantined"):
            resolve(plant, name="champion")
        assert state(plant, second) is State.QUARANTINED

    def test_registering_the_same_name_again_is_no_way_to_other_bytes(
        self, aliased: tuple[Plant, Digest, Digest]
    ) -> None:
        """Putting other bytes under a registered digest is impossible: the store names bytes by what they are."""
        plant, first, second = aliased
        other = plant.blobs.get(model_file(plant, first))
        assert plant.blobs.put(other) == model_file(plant, first) != model_file(plant, second)
        recorded = Draft(
            kind="artifact.recorded", actor="mallory", stream=second, body={"kind": "model", "size": 1, "parents": []}
        )
        plant.ledger.append([recorded])
        with pytest.raises((NotVerified, NotFound)):
            promote(plant, release=second, reason="Confusing.")


class TestVersions:
    """What a release is exactly."""

    @pytest.mark.requirement("PROV-07", by="holdfast.registry.versions:differences")
    def test_two_releases_differ_in_what_was_changed_and_in_what_follows(self, plant: Plant) -> None:
        """Seed, a parameter, a column's bound and the recipe are changed; the diff names each of them, leaf by leaf."""
        root = plant.home.root
        text = plant.home.project_file.read_text(encoding="utf-8")
        text = text.replace('kind = "strong"', 'kind = "weak"').replace("seed = 7", "seed = 8")
        text = text.replace("minimum = 5, maximum = 50 }", "minimum = 4, maximum = 50 }", 1)
        plant.home.project_file.write_text(text, encoding="utf-8")
        recipe = root / "train.py"
        recipe.write_text(recipe.read_text(encoding="utf-8") + "\n# another version\n", encoding="utf-8")
        run(replace(plant, code=Digest("sha256:" + "1" * 64)))  # as another version of Holdfast would
        first, second = releases(plant)
        found = diff(plant, before=first, after=second).document
        leaves = {(item["kind"], item["path"]): (item["before"], item["after"]) for item in found["differences"]}
        assert leaves["configuration", "train.params.kind"] == ("strong", "weak")
        assert leaves["configuration", "train.seed"] == (7, 8)
        assert leaves["data", "columns.mean_radius.minimum"] == (5, 4)
        assert ("code", "files.train.py") in leaves
        assert ("model", "files.model.onnx") in leaves
        assert not diff(plant, before=first, after=first).document["differences"]
        assert leaves["infrastructure", "holdfast"] == (plant.code, "sha256:" + "1" * 64)
        assert found["counts"]["infrastructure"] == 1

    @pytest.mark.requirement("PROV-01", by="holdfast.lifecycle.registry_versions:versions_of")
    def test_a_release_resolves_to_five_kinds_and_one_that_lacks_any_is_denied(self, plant: Plant) -> None:
        """All five are told by digest; evidence that says four denies, in words."""
        (release,) = releases(plant)
        found = versions(plant).document["versions"]
        assert set(found) == {"code", "data", "model", "configuration", "infrastructure"}
        assert found["data"]["dataset"] == parent(
            plant, parent(plant, parent(plant, release, Kind.MODEL), Kind.FEATURES), Kind.DATASET
        )
        assert found["infrastructure"]["packages"]["numpy"]
        assert found["infrastructure"]["holdfast"] == plant.code
        file_evidence(plant, evidence(release, "release.version/1", Kind.RELEASE, version_kinds=4))
        with pytest.raises(PolicyDenied) as denied:
            promote(plant, reason="Four of five will do.")
        assert any("version_kinds" in reason for reason in denied.value.reasons)

    @pytest.mark.requirement("PROV-08", by="holdfast.lifecycle.registry_rollback:rollback")
    def test_each_kind_goes_back_to_a_named_release(self, producing: Plant, tmp_path: Path) -> None:
        """The model by a route, the other four as files from which a run makes the same model again."""
        first, _ = releases(producing)
        twin = tmp_path / "twin"
        for kind in ("code", "data", "configuration", "infrastructure"):
            rollback_to(producing, to=first, kind=kind, into=twin, reason="Back to what we knew.")
        assert (twin / "train.py").read_bytes() == (producing.home.root / "train.py").read_bytes()
        assert "numpy==" in (twin / "requirements.txt").read_text(encoding="utf-8")
        app.init(twin)
        with app.open_plant(twin) as other:
            again = run(other, until="train")
        assert again.document["artifacts"]["model"] == parent(producing, first, Kind.MODEL)
        with pytest.raises(Conflict, match="already"):
            rollback_to(producing, to=first, kind="code", into=twin, reason="Again.")
        rollback_to(producing, to=first, kind="configuration", force=True, reason="In place.")
        assert "seed = 7" in producing.home.project_file.read_text(encoding="utf-8")
        rollback_to(producing, to=first, reason="The second is worse.")
        assert now(producing).baseline == first
        assert state(producing, first) is State.PRODUCTION
        assert kinds(producing, f"returns/{first}") == ["versions.returned"] * 5

    def test_going_back_to_what_never_answered_is_refused(self, plant: Plant) -> None:
        """A rollback is not a way round the gate."""
        (release,) = releases(plant)
        with pytest.raises(Conflict):
            rollback_to(plant, to=release, reason="Let it in.")


class TestDownloads:
    """Who gets the bytes."""

    @pytest.mark.requirement("REG-03", by="holdfast.lifecycle.registry_download:_check_entitled")
    def test_every_download_is_on_record_and_an_unauthorised_one_is_refused_and_alerts(
        self, plant: Plant, tmp_path: Path
    ) -> None:
        """The owner gets verified bytes; a person without a role gets nothing, and an incident says so."""
        (release,) = releases(plant)
        download(plant, into=tmp_path / "mine")
        for file in parse_manifest(plant.blobs.get(release)).files:
            assert (tmp_path / "mine" / file.path).read_bytes() == plant.blobs.get(Digest(file.digest))
        (taken,) = plant.ledger.stream(f"downloads/{release}")
        assert (taken.actor, taken.body["release"]) == (plant.person, release)
        stranger = replace(plant, person="Mallory")
        with pytest.raises(Refused, match="Mallory"):
            download(stranger, into=tmp_path / "theirs")
        assert not (tmp_path / "theirs").exists()
        (event,) = plant.ledger.stream("security")
        assert (event.kind, event.actor, event.body["resource"]) == ("security.refused", "Mallory", release)
        assert kinds(plant, "incident/breast-cancer") == ["incident.opened"]

    def test_a_quarantined_release_is_not_handed_out(self, plant: Plant, tmp_path: Path) -> None:
        """What may not answer may not be taken away either."""
        (release,) = releases(plant)
        quarantine(plant, release=release, reason="Look at it.")
        with pytest.raises(Refused, match="quarantined"):
            download(plant, into=tmp_path / "out")

    def test_a_place_that_is_taken_is_refused_before_anything_is_on_record(self, plant: Plant, tmp_path: Path) -> None:
        """Nothing is overwritten."""
        with pytest.raises(Conflict):
            download(plant, into=tmp_path)
        assert not plant.ledger.stream(f"downloads/{releases(plant)[0]}")


@pytest.fixture(scope="session")
def finished_thrice(finished_twice: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with two promoted releases, and a third that never answered."""
    folder = tmp_path_factory.mktemp("thrice") / "project"
    shutil.copytree(finished_twice, folder)
    with app.open_plant(folder) as plant:
        reseed(folder, 9)
        run(plant)
    return folder


@pytest.mark.guarantee("G31")
class TestRetention:
    """What is kept, and what goes."""

    @pytest.fixture
    def third(self, finished_thrice: Path, tmp_path: Path) -> Iterator[tuple[Plant, Digest]]:
        """A copy of it, and the release that never answered."""
        folder = tmp_path / "project"
        shutil.copytree(finished_thrice, folder)
        with app.open_plant(folder) as plant:
            yield plant, releases(plant)[2]

    @pytest.mark.requirement("REG-05", by="holdfast.lifecycle.registry_retention:expire")
    def test_what_nobody_uses_grows_stale_and_is_archived_by_policy_and_comes_back(
        self, third: tuple[Plant, Digest]
    ) -> None:
        """Old ones are flagged, then archived, then restored; what answers, may be gone back to, or is held stays."""
        plant, release = third
        first, second = releases(plant)[:2]
        text = plant.home.project_file.read_text(encoding="utf-8")
        plant.home.project_file.write_text(
            text + '\n[registry]\nstale_after = "10d"\narchive_after = "20d"\n', encoding="utf-8"
        )
        assert expire(plant).document == {"archived": [], "stale": []}
        assert expire(later(plant, timedelta(days=11))).document == {"archived": [], "stale": [release]}
        hold(plant, release=release, reason="A court asked for it.")
        assert expire(later(plant, timedelta(days=21))).document == {"archived": [], "stale": []}
        unhold(plant, release=release, reason="The case is closed.")
        model = model_file(plant, release)
        assert expire(later(plant, timedelta(days=42))).document == {"archived": [release], "stale": []}
        assert not plant.blobs.has(model)
        assert plant.archive.get(model)
        assert verify(plant).exit_code == 0
        with pytest.raises((PolicyDenied, NotVerified, NotFound)):
            promote(plant, release=release, reason="From the archive.")
        restore(plant, release=release, reason="We need it again.")
        assert plant.blobs.get(model)
        promote(plant, release=release, reason="Back from the archive.")
        assert now(plant).baseline == release
        for used in (first, second, release):
            with pytest.raises(Conflict):
                archive(plant, release=used, reason="It answers, or may be gone back to.")

    def test_what_two_archived_releases_share_comes_back_with_either(self, project: Path) -> None:
        """It went away with the second; the first is whole again without that one, and so is the second afterwards."""
        with app.open_plant(project) as plant:
            reseed(project, 8)
            run(plant)
            first, second = releases(plant)
            known = family(plant.ledger.entries())
            shared = known.made_with(first) & known.made_with(second)
            assert Kind.DATASET in {known.kinds[digest] for digest in shared}
            before = {digest for digest, _ in plant.storage.held()}
            for release in (first, second):
                archive(plant, release=release, reason="Nobody uses it.")
            assert not all(plant.blobs.has(Digest(digest)) for digest in shared)
            for release in (first, second):
                restore(plant, release=release, reason="We need it again.")
                for file in parse_manifest(plant.blobs.get(release)).files:
                    assert plant.blobs.get(Digest(file.digest))
                assert all(plant.blobs.has(Digest(digest)) for digest in shared)
                collect(plant, grace="1s")
                assert verify(plant).exit_code == 0
            assert before <= {digest for digest, _ in plant.storage.held()}

    def test_a_purged_release_leaves_a_tombstone_and_nothing_of_its_own(self, third: tuple[Plant, Digest]) -> None:
        """Retired, purged, collected: its bytes are gone, what others share is not, and what is left verifies."""
        plant, release = third
        model, shared = model_file(plant, release), model_file(plant, releases(plant)[1])
        with pytest.raises(Conflict):
            purge(plant, release=release, reason="Not retired yet.")
        retire(plant, release=release, reason="Nobody needs it.")
        hold(plant, release=release, reason="A court asked for it.")
        with pytest.raises(Conflict, match="held"):
            purge(plant, release=release, reason="It is held.")
        assert collect(plant, grace="1s").document["dropped"] == 0
        unhold(plant, release=release, reason="The case is closed.")
        purge(plant, release=release, reason="It may go.")
        assert state(plant, release) is State.PURGED
        found = collect(plant).document
        assert found["set_aside"] >= 1
        assert plant.blobs.get(model), "what is set aside can still be read"
        assert collect(later(plant, timedelta(hours=25))).document["dropped"] == found["set_aside"]
        with pytest.raises(NotFound):
            plant.blobs.get(model)
        assert plant.blobs.get(shared)
        (entry,) = [entry for entry in plant.ledger.stream(release) if entry.kind == "release.purged"]
        stone = json.loads(plant.blobs.get(Digest(entry.body["tombstone"])))
        assert release in {item["digest"] for item in stone["artifacts"]}
        assert verify(plant).exit_code == 0
        assert entry_of(plant, release)["status"]["state"] == "purged"

    def test_collecting_takes_garbage_in_two_steps_and_nothing_else(self, producing: Plant) -> None:
        """A blob that nothing names is set aside, then deleted; a workspace in use loses not one byte that is named."""
        stray = producing.blobs.put(b"left by a process that died")
        assert collect(producing).document["set_aside"] == 1
        assert producing.blobs.get(stray)
        assert collect(producing).document == {"set_aside": 0, "bytes": 0, "dropped": 0, "put_back": 0}
        assert collect(later(producing, timedelta(days=2))).document["dropped"] == 1
        assert not producing.blobs.has(stray)
        assert verify(producing).exit_code == 0
        assert run(producing).document["release"] == releases(producing)[1]

    def test_what_is_named_meanwhile_comes_back(self, producing: Plant) -> None:
        """A blob was set aside and is put on record before the grace period ends: it stays."""
        stray = producing.blobs.put(b"about to be named")
        collect(producing)
        producing.ledger.append([Draft(kind="note", actor="a", stream="notes", body={"blob": stray})])
        assert collect(later(producing, timedelta(days=2))).document["put_back"] == 1
        assert producing.blobs.has(stray)

    def test_a_running_run_is_not_disturbed(self, producing: Plant) -> None:
        """While a run holds its lease, nothing is collected."""
        with producing.ledger.lease("run"), pytest.raises(Conflict):
            collect(producing)

    @pytest.mark.requirement("REG-06", by="holdfast.registry.sprawl:models_in")
    def test_sprawl_names_other_registries_and_models_that_nobody_registered(
        self, producing: Plant, tmp_path: Path
    ) -> None:
        """A second workspace, a foreign registry's folder, a pickle in a corner and a blob without a name are told."""
        root = producing.home.root
        (root / "old").mkdir()
        (root.parent / "second").mkdir()
        app.init(root.parent / "second")
        (root / "mlruns").mkdir()
        (root / "old" / "model.pkl").write_bytes(b"\x80\x04.")
        known = model_file(producing, releases(producing)[1])
        (root / "exported.onnx").write_bytes(producing.blobs.get(known))
        stray = producing.blobs.put(b"nobody's")
        found = sprawl(producing, under=root.parent).document
        assert found["registries"] == sorted([str(root / "mlruns"), str(root.parent / "second" / ".holdfast")])
        assert [item["path"] for item in found["files"]] == ["project/old/model.pkl"]
        assert found["blobs"] == [stray]


@pytest.mark.requirement("REG-07", by="holdfast.core.project:_faults")
def test_a_release_without_an_owner_cannot_be_promoted(plant: Plant) -> None:
    """The project file loses its owner: nothing runs, and nothing is promoted."""
    text = plant.home.project_file.read_text(encoding="utf-8")
    owner = next(line for line in text.splitlines() if line.startswith("owner"))
    plant.home.project_file.write_text(text.replace(owner, 'owner = "  "'), encoding="utf-8")
    with pytest.raises(HoldfastError, match="owner"):
        promote(plant, reason="Nobody answers for it.")


def test_records_are_plain_data(producing: Plant) -> None:
    """What `--json` and the API answer is JSON, whatever the view."""
    assert msgspec.json.encode(show(producing).document)
    assert msgspec.json.encode(catalogue(producing).document)
