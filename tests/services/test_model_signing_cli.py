"""The public `model_signing` command and ours understand each other's signatures, and refuse the same tampering."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives import serialization
from tests.unit.release import stands
from tests.unit.release.stands import key

from holdfast.core.artifact import Digest, parse_manifest
from holdfast.core.errors import NotVerified
from holdfast.engines.signing.folder import read_folder
from holdfast.engines.signing.model_signing import pem, sign, verify

PATIENCE_S: Final = 120.0  # the command imports a great deal


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A release outside the workspace: its folder, the bundle beside it, and the public key."""

    command: Path
    folder: Path
    bundle: Path
    public: Path

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run the public command."""
        line = [str(self.command), *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE_S)

    def verified(self) -> bool:
        """Whether the public command accepts the bundle over the folder as it is now."""
        given = ("--public_key", self.public, "--signature", self.bundle, "--no-ignore-git-paths")
        done = self.run("verify", "key", *given, self.folder)
        assert "Traceback" not in done.stderr
        said = done.stdout + done.stderr
        assert ("Verification succeeded" in said) == (done.returncode == 0), said
        return done.returncode == 0


@pytest.fixture
def exported(tmp_path: Path, peers: Path) -> Exported:
    """A real release, signed by us and written out as a consumer would get it."""
    made = stands.world(tmp_path / "world").packaged()
    folder, blobs = tmp_path / "tumours", made.world.ws.blobs
    manifest = parse_manifest(blobs.get(made.release.digest))
    folder.mkdir()
    for file in manifest.files:
        (folder / file.path).write_bytes(blobs.get(Digest(file.digest)))
    bundle, public = tmp_path / "model.sig", tmp_path / "release.pub"
    bundle.write_bytes(sign(manifest, "tumours", key(), [key().trusted]))
    public.write_bytes(pem(key().trusted))
    return Exported(command=peers / "model_signing", folder=folder, bundle=bundle, public=public)


@pytest.mark.guarantee("G22")
def test_the_public_command_verifies_what_we_sign(exported: Exported) -> None:
    """Out of the box: a consumer needs the folder, the bundle and the public key, and nothing of ours."""
    assert exported.verified()


@pytest.mark.guarantee("G22")
def test_the_public_command_refuses_a_release_after_any_change(exported: Exported, tmp_path: Path) -> None:
    """One flipped byte in any file, a file more, less or renamed, another key: all refused."""
    original = tmp_path / "original"
    shutil.copytree(exported.folder, original)

    def restore() -> None:
        shutil.rmtree(exported.folder)
        shutil.copytree(original, exported.folder)

    for path in ("model.onnx", "card.md"):
        data = bytearray((exported.folder / path).read_bytes())
        data[len(data) // 2] ^= 1
        (exported.folder / path).write_bytes(data)
        assert not exported.verified()
        restore()
    (exported.folder / "evil.so").write_bytes(b"x")
    assert not exported.verified()
    restore()
    (exported.folder / "card.md").rename(exported.folder / "README.md")
    assert not exported.verified()
    restore()
    exported.public.write_bytes(pem(key(2).trusted))
    assert not exported.verified()
    exported.public.write_bytes(pem(key().trusted))
    assert exported.verified()


@pytest.mark.parametrize("ignoring", ["--ignore-git-paths", "--no-ignore-git-paths"])
def test_we_verify_what_the_public_command_signs(ignoring: str, exported: Exported, tmp_path: Path) -> None:
    """With the release key in its hands, over the same folder; and we refuse the folder after a change."""
    private = tmp_path / "release.pem"
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(key().private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    done = exported.run(
        "sign", "key", "--private_key", private, "--signature", exported.bundle, ignoring, exported.folder
    )
    assert done.returncode == 0, done.stderr
    bundle = exported.bundle.read_bytes()
    signed = verify(bundle, read_folder(exported.folder), [key().trusted])
    assert signed.name == "tumours"
    assert len(signed.files) == 6
    (exported.folder / ".gitattributes").write_bytes(b"* filter=evil\n")
    with pytest.raises(NotVerified, match=r"not signed: '\.gitattributes'"):
        verify(bundle, read_folder(exported.folder), [key().trusted])


def test_statement_and_provenance_are_valid_in_toto(exported: Exported, peers: Path) -> None:
    """The reference library of in-toto attestations parses and accepts both."""
    program = (
        "import base64, json, sys\n"
        "from google.protobuf import json_format\n"
        "from in_toto_attestation.v1 import statement, statement_pb2\n"
        "for path in sys.argv[1:]:\n"
        "    document = json.load(open(path))\n"
        "    if 'dsseEnvelope' in document:\n"
        "        document = json.loads(base64.b64decode(document['dsseEnvelope']['payload']))\n"
        "    parsed = json_format.ParseDict(document, statement_pb2.Statement())\n"
        "    statement.Statement.copy_from_pb(parsed).validate()\n"
        "    print(parsed.predicate_type)\n"
    )
    line = [str(peers / "python"), "-c", program, str(exported.bundle), str(exported.folder / "provenance.intoto.json")]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.stdout.split() == ["https://model_signing/signature/v1.0", "https://slsa.dev/provenance/v1"], (
        done.stderr
    )


def test_the_provenance_predicate_is_valid_slsa(exported: Exported, peers: Path) -> None:
    """The reference schema of SLSA provenance v1 knows every field we write, and finds those that it demands."""
    program = (
        "import json, sys\n"
        "from google.protobuf import json_format\n"
        "from in_toto_attestation.predicates.provenance.v1 import provenance_pb2\n"
        "predicate = json.load(open(sys.argv[1]))['predicate']\n"
        "parsed = json_format.ParseDict(predicate, provenance_pb2.Provenance())\n"
        "definition, details = parsed.build_definition, parsed.run_details\n"
        "print(definition.build_type, details.builder.id, len(definition.resolved_dependencies))\n"
        "print(details.metadata.started_on.ToJsonString())\n"
    )
    path = exported.folder / "provenance.intoto.json"
    line = [str(peers / "python"), "-c", program, str(path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    wanted = ["https://holdfast.dev/build/model/v1", "holdfast:builder/clinic", "6", "2025-06-01T12:30:00Z"]
    assert done.stdout.split() == wanted, done.stderr
