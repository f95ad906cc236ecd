"""What `files sign`, a run and a gate leave is read by other people's code: bundles, shards, and each predicate."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Final

import pytest
from tests.conftest import absent
from tests.scenarios.stand import model_file, parent, releases

from holdfast import app
from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import InvalidRecipe
from holdfast.engines.signing import model_signing
from holdfast.faces.cli import invoke
from holdfast.faces.demo.data import write_data
from holdfast.faces.demo.stage import copy_project, example
from holdfast.lifecycle.attesting import attestations_export
from holdfast.lifecycle.openlineage import data_events
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.signing import DATASET_SIGNED, signature_of

PATIENCE_S: Final = 120.0


def public_verifies(peers: Path, folder: Path, signature: Path, public: Path) -> bool:
    """Whether the public command accepts a signature over a folder as it is now."""
    given = ["--public_key", public, "--signature", signature, "--no-ignore-git-paths", folder]
    line = [str(peers / "model_signing"), "verify", "key", *map(str, given)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    return done.returncode == 0


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder of two files, one of three shards."""
    (tmp_path / "model" / "d").mkdir(parents=True)
    (tmp_path / "model" / "weights.bin").write_bytes(bytes(range(256)) * 1024)
    (tmp_path / "model" / "d" / "card.md").write_bytes(b"# Card\n")
    return tmp_path / "model"


@pytest.mark.requirement("SUP-10", by="holdfast.files:sign")
def test_the_public_command_verifies_what_files_sign_writes(
    model: Path, unlocking: Path, tmp_path: Path, peers: Path
) -> None:
    """With its default file beside the others, which both leave out; and refuses it after a change, as ours does."""
    assert invoke(["files", "key", str(tmp_path / "key")]) == 0
    assert invoke(["files", "sign", str(model), "--key", str(tmp_path / "key")]) == 0
    public = tmp_path / "key" / "public.pem"
    assert public_verifies(peers, model, model / "model.sig", public)
    (model / "d" / "card.md").write_bytes(b"# Another\n")
    assert not public_verifies(peers, model, model / "model.sig", public)
    assert invoke(["files", "verify", str(model), "--key", str(public)]) == 4


def test_the_public_library_verifies_our_shards_and_ours_its(
    model: Path, unlocking: Path, tmp_path: Path, peers: Path
) -> None:
    """Both hash the same parts under the same names; the library's own command has no way to ask for them."""
    key, public = tmp_path / "key", tmp_path / "key" / "public.pem"
    assert invoke(["files", "key", str(key)]) == 0
    signature = tmp_path / "model.sig"
    given = ["--key", str(key), "--signature", str(signature), "--shard-size", "100000"]
    assert invoke(["files", "sign", str(model), *given]) == 0
    program = (
        "import sys, model_signing.verifying as v, model_signing.hashing as h\n"
        "how = h.Config().use_shard_serialization(hashing_algorithm='sha256', shard_size=100000)\n"
        "v.Config().use_elliptic_key_verifier(public_key=sys.argv[1]).set_hashing_config(how).verify(*sys.argv[2:4])\n"
    )
    line = [str(peers / "python"), "-c", program, str(public), str(model), str(signature)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    private = tmp_path / "private.pem"
    made = subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(private)], check=False
    )
    assert made.returncode == 0
    program = (
        "import sys, model_signing.signing as s, model_signing.hashing as h\n"
        "how = h.Config().use_shard_serialization(hashing_algorithm='sha256', shard_size=100000)\n"
        "s.Config().use_elliptic_key_signer(private_key=sys.argv[1]).set_hashing_config(how).sign(*sys.argv[2:4])\n"
    )
    line = [str(peers / "python"), "-c", program, str(private), str(model), str(signature)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    other = tmp_path / "other.pem"
    line = ["openssl", "ec", "-in", str(private), "-pubout", "-out", str(other)]
    assert subprocess.run(line, capture_output=True, check=False).returncode == 0
    assert invoke(["files", "verify", str(model), "--key", str(other), "--signature", str(signature)]) == 0
    (model / "weights.bin").write_bytes(bytes(256 * 1024))
    assert invoke(["files", "verify", str(model), "--key", str(other), "--signature", str(signature)]) == 4


@pytest.fixture(scope="module")
def exported(unlocking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A promoted release of the example: its attestations, its data set with its signature, and their keys."""
    folder, out = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("exported")
    source = example()
    copy_project(source, folder)
    write_data(source, folder)
    app.init(folder)
    with app.open_plant(folder) as plant:
        run(plant)
        promote(plant, reason="It is good.")
        attestations_export(plant, into=out / "attestations")
        (release,) = releases(plant)
        features = parent(plant, parent(plant, release, Kind.MODEL), Kind.FEATURES)
        dataset = parent(plant, features, Kind.DATASET)
        (out / "data").mkdir()
        for file in parse_manifest(plant.blobs.get(dataset)).files:
            (out / "data" / file.path).write_bytes(plant.blobs.get(Digest(file.digest)))
        (out / "data.sig").write_bytes(signature_of(plant, dataset, DATASET_SIGNED)[1])
        (out / "ingest.pem").write_bytes(model_signing.pem(plant.trust.of_role("ingest")[0]))
        (out / "model.onnx").write_bytes(plant.blobs.get(model_file(plant, release)))
        with (folder / "train.py").open("a", encoding="utf-8") as recipe:
            recipe.write("\nraise SystemExit(3)\n")
        with pytest.raises(InvalidRecipe):
            run(plant)
        data_events(plant, out=out / "events.jsonl")
    return out


@pytest.mark.requirement("SUP-11", by="holdfast.lifecycle.signing:sign_dataset")
def test_the_public_command_verifies_a_data_set(exported: Path, peers: Path) -> None:
    """A data set is signed as a model is, by the key of the role that makes data sets."""
    assert public_verifies(peers, exported / "data", exported / "data.sig", exported / "ingest.pem")
    (exported / "data" / "more.csv").write_bytes(b"1,2\n")
    assert not public_verifies(peers, exported / "data", exported / "data.sig", exported / "ingest.pem")
    (exported / "data" / "more.csv").unlink()


def asked(modules: Path, key: Path, file: Path, bundles: list[Path]) -> list[dict[str, str]]:
    """What the Sigstore project's verifier says of bundles."""
    script = Path(__file__).parent / "peers" / "ask_sigstore.cjs"
    line = ["node", *map(str, (script, modules, key, file, *bundles))]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    return [json.loads(each) for each in done.stdout.splitlines()]


@pytest.mark.requirement("SUP-12", by="holdfast.engines.signing.model_signing:as_bundle")
def test_sigstores_own_verifier_believes_every_attestation_of_a_file(exported: Path, tmp_path: Path) -> None:
    """Each kind of statement, with the key that signed it and a file it names; not with another key or another file."""
    modules = Path(__file__).parents[2] / ".venv-sigstore" / "node_modules"
    if not (modules / ".done").exists():
        absent("Sigstore's verifier", "`make services` installs it")
    folder, model = exported / "attestations", exported / "model.onnx"
    release, registry = (next(folder.glob(f"{role}-*.pem")) for role in ("release", "registry"))
    bundles = sorted(folder.glob("*.sigstore.json"))
    assert len(bundles) == len(list(folder.glob("*-*.dsse.json")))
    decided = [bundle for bundle in bundles if "verification-summary" in bundle.name]
    others = [bundle for bundle in bundles if bundle not in decided]
    assert {said["predicate"] for said in asked(modules, release, model, others)} >= {
        "https://slsa.dev/provenance/v1",
        "https://in-toto.io/attestation/test-result/v0.1",
        "https://in-toto.io/attestation/scai/v0.3",
    }
    assert [said.get("predicate") for said in asked(modules, registry, model, decided)] == [
        "https://slsa.dev/verification_summary/v1"
    ] * len(decided)
    assert all("refused" in said for said in asked(modules, release, model, decided))
    (tmp_path / "other").write_bytes(model.read_bytes() + b"!")
    assert all("refused" in said for said in asked(modules, release, tmp_path / "other", others))
    said = json.loads(others[0].read_bytes())
    said["dsseEnvelope"]["payload"] = said["dsseEnvelope"]["payload"].replace("e", "f", 1)
    (tmp_path / "changed.json").write_text(json.dumps(said))
    (answer,) = asked(modules, release, model, [tmp_path / "changed.json"])
    assert "refused" in answer


PREDICATES: Final = {
    "attributes": "scai.v0.scai_pb2:AttributeReport",
    "test-result": "test_result.v0.test_result_pb2:TestResult",
    "verification-summary": "vsa.v1.vsa_pb2:VerificationSummary",
    "provenance": "provenance.v1.provenance_pb2:Provenance",
}
_PROGRAM: Final = (
    "import base64, importlib, json, sys\n"
    "from google.protobuf import json_format\n"
    "from in_toto_attestation.v1 import statement, statement_pb2\n"
    "module, _, name = sys.argv[2].partition(':')\n"
    "known = getattr(importlib.import_module('in_toto_attestation.predicates.' + module), name)\n"
    "document = json.loads(base64.b64decode(json.load(open(sys.argv[1]))['payload']))\n"
    "parsed = json_format.ParseDict(document, statement_pb2.Statement())\n"
    "statement.Statement.copy_from_pb(parsed).validate()\n"
    "said = document['predicate']\n"
    "if isinstance(said.get('verifiedLevels'), list):\n"
    "    said['verifiedLevels'], = said['verifiedLevels']  # SLSA 1.0 says a list; this library, one text\n"
    "json_format.ParseDict(said, known())\n"
    "print(json.dumps(sorted(each['digest']['sha256'] for each in document['subject'])))\n"
)


@pytest.mark.parametrize("kind", PREDICATES)
def test_the_reference_schema_knows_every_field_of_a_predicate(kind: str, exported: Path, peers: Path) -> None:
    """Parsed by the reference library, which refuses what it does not know; the served model is among the subjects."""
    paths = sorted((exported / "attestations").glob(f"*-{kind}.dsse.json"))
    assert paths
    line = [str(peers / "python"), "-c", _PROGRAM, str(paths[-1]), PREDICATES[kind]]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256((exported / "model.onnx").read_bytes()).hexdigest() in json.loads(done.stdout)


@pytest.mark.requirement("PROV-04", by="holdfast.lifecycle.openlineage:events_of")
def test_the_standards_own_classes_read_every_event(exported: Path, peers: Path) -> None:
    """Every field and facet is one that OpenLineage's generated classes know; none that they need lacks."""
    program = Path(__file__).with_name("peers") / "read_openlineage.py"
    line = [str(peers / "python"), str(program), str(exported / "events.jsonl")]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    told = (exported / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert read["events"] == len(told)
    assert [json.loads(each)["eventType"] for each in told].count("FAIL") == 1
    facets = "columnLineage dataQualityMetrics errorMessage jobType outputStatistics ownership schema version"
    assert read["facets"] == facets.split()
