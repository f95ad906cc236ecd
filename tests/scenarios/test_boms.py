"""Scenarios of bills of materials: made by a run, asked about, handed out, and held against the signed release."""

import json
from pathlib import Path

import pytest
from tests.scenarios.stand import parent, releases
from tests.unit.advisories.test_matching import record

import holdfast
from holdfast import outside
from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import InvalidInput, NotFound, NotVerified, Unavailable, UsageError
from holdfast.lifecycle.advisories import make, take
from holdfast.lifecycle.bom_diff import diff
from holdfast.lifecycle.bom_export import export
from holdfast.lifecycle.bom_impact import impact
from holdfast.lifecycle.boms import completeness, index, show
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.registry_download import download
from holdfast.lifecycle.registry_retention import archive
from holdfast.lifecycle.registry_states import alias, quarantine
from holdfast.lifecycle.reply import Progress


def silent(_: Progress) -> None:
    """Tell nobody."""


class TestImpact:
    """Which releases something bad reaches."""

    @pytest.mark.requirement("SUP-09", by="holdfast.lifecycle.bom_impact:hits_of")
    def test_every_release_and_where_it_answers_is_told(self, producing: Plant) -> None:
        """A library of both releases, one of which answers: proved by evidence, and read again from the signed bill."""
        first, second = releases(producing)
        alias(producing, name="champion", release=second, reason="The best.")
        reply = holdfast.impact(producing, about="component", what="numpy", prove=True)
        hits = {hit["release"]: hit for hit in reply.document["hits"]}
        assert set(hits) == {first, second}
        assert reply.document["in_production"] == 1
        answering = hits[second]
        assert answering["aliases"] == ["champion"]
        assert answering["in_production"]
        assert answering["parts"].startswith("library numpy ")
        assert answering["proof"] == {"state": "production", "in_bill": True, "agrees": True}
        assert not hits[first]["in_production"]
        assert impact(producing, about="component", what="numpy", versions="<1").document["hits"] == []
        quarantine(producing, release=second, reason="Its numpy is bad.")
        after = {h["release"]: h for h in impact(producing, about="component", what="numpy").document["hits"]}
        assert after[second]["state"] == "quarantined"
        assert not after[second]["in_production"]
        assert after[first]["in_production"]  # what answers now is the earlier one, as affected as it was

    def test_rows_recipe_and_model_are_asked_about_by_digest(self, producing: Plant) -> None:
        """The rows lead through data set, features and model to both; a model to its own release alone."""
        first, second = releases(producing)
        model = parent(producing, second, Kind.MODEL)
        features = parent(producing, model, Kind.FEATURES)
        source = parent(producing, parent(producing, features, Kind.DATASET), Kind.SOURCE)
        found = impact(producing, about="dataset", what=source).document["hits"]
        assert {hit["release"] for hit in found} == {first, second}
        assert [step.split()[0] for step in found[0]["path"]] == ["dataset", "dataset", "features", "model", "release"]
        assert [h["release"] for h in impact(producing, about="model", what=model[:20]).document["hits"]] == [second]
        recipe = parent(producing, model, Kind.RECIPE)
        assert len(impact(producing, about="code", what=recipe).document["hits"]) == 2
        assert len(impact(producing, about="code", what=producing.code).document["hits"]) == 2

    def test_an_advisory_and_a_licence(self, producing: Plant, tmp_path: Path) -> None:
        """An OSV record of a version that is installed reaches both, one of a version that is not reaches none."""
        for version, count in (("0", 2), ("99999", 0)):
            affected = [{"package": {"ecosystem": "PyPI", "name": "numpy"},
                         "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": version}]}]}]  # fmt: skip
            file = tmp_path / f"{version}.json"
            file.write_text(json.dumps({"id": "OSV-2026-7", "modified": "2026-01-01T00:00:00Z", "affected": affected}))
            reply = impact(producing, about="advisory", file=file)
            assert len(reply.document["hits"]) == count
            assert "OSV-2026-7" in reply.says
        assert len(impact(producing, about="licence", what="BSD-3-Clause").document["hits"]) == 2
        assert impact(producing, about="licence", what="Beerware").document["hits"] == []

    def test_an_advisory_of_the_newest_snapshot_by_any_of_its_names(self, plant: Plant, tmp_path: Path) -> None:
        """What was taken in, signed, is asked by name; a name that it does not know is no good news."""
        folder = tmp_path / "osv"
        folder.mkdir()
        bad = record("GHSA-1", events=[{"introduced": "0"}, {"fixed": "999"}], aliases=["CVE-2026-7"])
        (folder / "GHSA-1.json").write_text(json.dumps(bad))
        make(plant, source=folder, date=plant.clock.now().isoformat(), out=tmp_path / "osv.zip")
        take(plant, snapshot=tmp_path / "osv.zip")
        found = impact(plant, about="advisory", what="cve-2026-7").document
        assert [hit["release"] for hit in found["hits"]] == releases(plant)
        assert found["about"] == "advisory GHSA-1"
        with pytest.raises(NotFound):
            impact(plant, about="advisory", what="CVE-2026-8")

    def test_a_question_about_nothing_is_an_error(self, producing: Plant, tmp_path: Path) -> None:
        """Never an answer that nothing is affected."""
        for asked in ({"about": "weather", "what": "x"}, {"about": "component"}, {"about": "advisory"},
                      {"about": "dataset", "what": "x", "versions": "<1"}):  # fmt: skip
            with pytest.raises(UsageError):
                impact(producing, **asked)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            impact(producing, about="advisory", file=tmp_path / "missing.json")
        with pytest.raises(Unavailable, match="no snapshot"):
            impact(producing, about="advisory", what="CVE-2026-1")


class TestBills:
    """What a bill says, and whether it is whole."""

    @pytest.mark.requirement("SUP-08", by="holdfast.lifecycle.boms:listing")
    def test_a_run_lists_what_its_release_consists_of(self, plant: Plant) -> None:
        """Complete in all four kinds of content, on record, and the same in the index as in the signed folder."""
        reply = completeness(plant)
        assert reply.exit_code == 0
        (release,) = releases(plant)
        assert reply.document["bills"] == [{"release": release, "lacks": {}, "indexed": True, "unknown": ""}]
        shown = show(plant)
        assert shown.says.endswith("complete.")
        assert {table.title for table in shown.tables} == {"Model", "Data", "Metrics", "Fairness", "Libraries"}
        assert plant.ledger.rebuild().differed == ()
        assert index(plant).document == {"added": [], "left": []}

    @pytest.mark.requirement("SUP-08", by="holdfast.lifecycle.boms:completeness")
    def test_a_bill_that_cannot_be_read_or_was_not_listed_is_told(self, plant: Plant) -> None:
        """The bill of a release whose bytes are elsewhere is unknown, and the exit code says that something is."""
        (release,) = releases(plant)
        assert completeness(plant, release=release).exit_code == 0
        archive(plant, release=release, reason="Old.")
        reply = completeness(plant)
        assert reply.exit_code == 1
        assert [each["release"] for each in reply.document["bills"] if each["unknown"]] == [release]

    def test_two_bills_side_by_side(self, producing: Plant) -> None:
        """Another seed, another model, other figures; the libraries are the same, and so nothing is said of them."""
        first, second = releases(producing)
        differences = diff(producing, before=first, after=second).document["differences"]
        found = {(each["kind"], each["name"]): each for each in differences}
        assert (found["stated", "seed"]["before"], found["stated", "seed"]["after"]) == ("7", "8")
        assert found["model", "breast-cancer"]["change"] == "changed"
        assert any(kind == "metric" for kind, _ in found)
        assert not any(kind == "library" for kind, _ in found)
        assert diff(producing, before=first, after=first).document["differences"] == []


class TestExports:
    """What strangers get."""

    @pytest.mark.requirement("SUP-08", by="holdfast.lifecycle.bom_export:verify")
    def test_a_stranger_verifies_a_bill_and_the_files_it_is_about(self, plant: Plant, tmp_path: Path) -> None:
        """With the file, the public key and the folder; one byte, one name or one file more is refused."""
        envelope, public, folder = tmp_path / "bom.dsse.json", tmp_path / "release.pub", tmp_path / "release"
        reply = export(plant, out=envelope)
        public.write_text("".join(reply.document["keys"]))
        download(plant, into=folder)
        told = outside.bom_verify(file=envelope, key=public, folder=folder, tell=silent)
        assert told.document["model"] == "breast-cancer"
        assert told.document["lacks"] == []
        assert told.document["files_checked"] == len(told.document["subjects"]) == 6
        (release,) = releases(plant)
        assert any(entry.kind == "bom.exported" for entry in plant.ledger.stream(release))

        card = folder / "card.md"
        card.chmod(0o600)
        card.write_bytes(card.read_bytes() + b" ")
        with pytest.raises(NotVerified, match="another"):
            outside.bom_verify(file=envelope, key=public, folder=folder, tell=silent)
        card.rename(folder / "cards.md")
        with pytest.raises(NotVerified, match=r"missing|does not name"):
            outside.bom_verify(file=envelope, key=public, folder=folder, tell=silent)
        with pytest.raises(InvalidInput):
            outside.bom_verify(file=envelope, key=public, folder=tmp_path / "nowhere", tell=silent)
        envelope.write_bytes(envelope.read_bytes().replace(b'"payload":"ey', b'"payload":"eY'))
        with pytest.raises(NotVerified):
            outside.bom_verify(file=envelope, key=public, tell=silent)

    def test_other_forms_are_the_same_bill(self, plant: Plant, tmp_path: Path) -> None:
        """CycloneDX is the very file of the release, SPDX is made from it; no form is guessed."""
        (release,) = releases(plant)
        export(plant, release=release, form="cyclonedx", out=tmp_path / "bom.cdx.json")
        file = parse_manifest(plant.blobs.get(release)).file("bom.cdx.json")
        assert (tmp_path / "bom.cdx.json").read_bytes() == plant.blobs.get(Digest(file.digest))
        export(plant, release=release, form="spdx", out=tmp_path / "bom.spdx.json")
        graph = json.loads((tmp_path / "bom.spdx.json").read_bytes())["@graph"]
        assert sum(each["type"] == "ai_AIPackage" for each in graph) == 1
        with pytest.raises(UsageError):
            export(plant, form="excel", out=tmp_path / "bom.xls")
