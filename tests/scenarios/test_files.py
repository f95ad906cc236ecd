"""Files of anybody, signed and verified on the command line as a stranger's continuous integration would."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from tests.unit.release.stands import key as some_key

from holdfast import app
from holdfast.core.artifact import canonical, digest_bytes
from holdfast.core.errors import HoldfastError, NotFound, NotVerified
from holdfast.core.inclusion import open_proof
from holdfast.core.trust import Trust
from holdfast.engines.signing import model_signing
from holdfast.engines.signing.folder import read_files
from holdfast.engines.signing.witnessed import Given, judge
from holdfast.faces.cli import invoke
from holdfast.lifecycle.plant import Plant

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that no workspace knows: large and small files, one in a folder, one without bytes."""
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(os.urandom(3 << 20))
    (folder / "data" / "rows.csv").write_bytes(b"a,b\n1,2\n" * 1000)
    (folder / "README.md").write_bytes(b"# A model\n")
    (folder / "empty").write_bytes(b"")
    return folder


@pytest.fixture
def key(unlocking: Path, tmp_path: Path) -> Path:
    """A signing key of one's own."""
    assert invoke(["files", "key", str(tmp_path / "key"), "--owner", "ada"]) == 0
    return tmp_path / "key"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and document of a command."""
    capsys.readouterr()
    code = invoke([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.requirement("SUP-10", by="holdfast.files:sign")
@pytest.mark.requirement("SUP-10", by="holdfast.files:verify")
def test_a_stranger_signs_and_verifies_without_a_workspace(
    model: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Key, signature, verification: no project takes part, and the private half lies encrypted."""
    code, made = said(capsys, "files", "sign", str(model), "--key", str(key))
    assert (code, made["files"], made["signature"]) == (0, 4, str(model / "model.sig"))
    code, seen = said(capsys, "files", "verify", str(model), "--key", str(key / "public.pem"))
    assert (code, seen["files"], seen["name"], seen["witnessed"]) == (0, 4, "model", None)
    stored = b"".join(path.read_bytes() for path in key.rglob("*") if path.is_file())
    assert b"PRIVATE KEY" not in stored


TAMPERINGS = {
    "changed: 'README.md'": lambda m: (m / "README.md").write_bytes(b"# B model\n"),
    "missing: 'data/rows.csv'": lambda m: (m / "data" / "rows.csv").unlink(),
    "not signed: '.gitattributes'": lambda m: (m / ".gitattributes").write_bytes(b"* filter=evil\n"),
    "renamed: 'weights.bin' to 'w.bin'": lambda m: (m / "weights.bin").rename(m / "w.bin"),
    "changed: 'README.md', 'weights.bin'": lambda m: swap(m / "README.md", m / "weights.bin"),
    "not signed: 'zero'": lambda m: (m / "zero").write_bytes(b""),
    "holds a link": lambda m: (m / "more").symlink_to(m / "README.md"),
    "there is no signature": lambda m: (m / "model.sig").unlink(),
    "not a model signing bundle": lambda m: (m / "model.sig").write_bytes(b"{}"),
}


def test_a_folder_that_is_not_there_is_not_called_unsigned(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt path is a misspelt path, and no tampering."""
    code, refused = said(capsys, "files", "verify", str(key / "modle"), "--key", str(key / "public.pem"))
    assert (code, refused["error"]["code"]) == (NotFound.exit_code, "HF300")


def swap(left: Path, right: Path) -> None:
    """Let two files change places."""
    one, other = left.read_bytes(), right.read_bytes()
    left.write_bytes(other)
    right.write_bytes(one)


@pytest.mark.requirement("SUP-10", by="holdfast.engines.signing.folder:read_files")
@pytest.mark.parametrize("words", TAMPERINGS)
def test_each_tampering_is_refused_and_the_file_is_named(
    words: str, model: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is that of what does not verify, and the message says which file and what became of it."""
    assert invoke(["files", "sign", str(model), "--key", str(key)]) == 0
    TAMPERINGS[words](model)
    code, refused = said(capsys, "files", "verify", str(model), "--key", str(key / "public.pem"))
    assert code == NotVerified.exit_code
    assert words in refused["error"]["error"]


@pytest.mark.requirement("SUP-10", by="holdfast.files:verify")
def test_a_file_alone_is_bound_to_its_name(model: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a folder the names are listed; of one file the name stands in the subject alone, and is compared."""
    weights, public = model / "weights.bin", str(key / "public.pem")
    assert invoke(["files", "sign", str(weights), "--key", str(key)]) == 0
    assert said(capsys, "files", "verify", str(weights), "--key", public)[0] == 0
    weights.rename(model / "other.bin")
    (model / "weights.bin.sig").rename(model / "other.bin.sig")
    code, refused = said(capsys, "files", "verify", str(model / "other.bin"), "--key", public)
    assert (code, "signed as 'weights.bin'" in refused["error"]["error"]) == (NotVerified.exit_code, True)
    assert said(capsys, "files", "verify", str(model / "other.bin"), "--key", public, "--name", "weights.bin")[0] == 0


def test_shards_cover_every_byte_and_name_the_one_that_changed(
    model: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Large files are hashed in parts by several threads; a file without bytes has none, and is refused."""
    public = str(key / "public.pem")
    line = ["files", "sign", str(model), "--key", str(key), "--shard-size", str(1 << 20)]
    assert said(capsys, *line)[0] == NotVerified.exit_code
    (model / "empty").unlink()
    code, made = said(capsys, *line)
    assert (code, made["files"]) == (0, 5)
    assert said(capsys, "files", "verify", str(model), "--key", public)[0] == 0
    data = bytearray((model / "weights.bin").read_bytes())
    data[(1 << 20) + 5] ^= 1
    (model / "weights.bin").write_bytes(data)
    code, refused = said(capsys, "files", "verify", str(model), "--key", public)
    assert "changed: 'weights.bin:1048576:2097152'" in refused["error"]["error"]
    assert said(capsys, *line[:-1], "7")[0] == 3


def test_threads_find_what_one_finds(model: Path) -> None:
    """However many hash at once, names and digests are the same and in the same order."""
    alone = read_files(model, threads=1)
    assert read_files(model, threads=4) == alone
    assert [name for name, _ in alone] == sorted(name for name, _ in alone)
    for name, digest in alone:
        assert digest == digest_bytes((model / name).read_bytes())


def test_a_key_of_another_tool_is_taken_encrypted_only(model: Path, tmp_path: Path, unlocking: Path) -> None:
    """An encrypted PKCS #8 file signs once its passphrase is named; one in the clear is refused, named or not."""
    private, secret = some_key().private, tmp_path / "passphrase"
    secret.write_text(PASSPHRASE)
    secret.chmod(0o600)
    form, pem = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    (tmp_path / "locked.pem").write_bytes(
        private.private_bytes(pem, form, serialization.BestAvailableEncryption(PASSPHRASE.encode()))
    )
    (tmp_path / "clear.pem").write_bytes(private.private_bytes(pem, form, serialization.NoEncryption()))
    for name in ("locked.pem", "clear.pem"):
        (tmp_path / name).chmod(0o600)
    (tmp_path / "public.pem").write_bytes(model_signing.pem(some_key().trusted))
    line = ["files", "sign", str(model), "--key", str(tmp_path / "locked.pem")]
    assert invoke(line) == 5, "nobody says what opens it"
    assert invoke([*line, "--passphrase-file", str(secret)]) == 0
    assert invoke(["files", "verify", str(model), "--key", str(tmp_path / "public.pem")]) == 0
    line[-1] = str(tmp_path / "clear.pem")
    assert invoke([*line, "--passphrase-file", str(secret)]) == 1


class TestByAWorkspace:
    """What a workspace's trust and its ledger say to somebody who has neither."""

    @pytest.fixture
    def signed(self, plant: Plant, model: Path, tmp_path: Path) -> Path:
        """A model that the workspace's release key has signed, with the proof beside it."""
        line = ["registry", "sign", str(model), "--proof", str(tmp_path / "proof.json"), "--root", str(plant.home.root)]
        assert invoke(line) == 0
        (tmp_path / "trust.json").write_bytes(plant.trust_document())
        (tmp_path / "root.json").write_bytes((plant.home.workspace / "root.json").read_bytes())
        return tmp_path

    def given(self, plant: Plant, signed: Path, **changes: Any) -> Given:
        """Everything that a verifier brings along."""
        root = (signed / "root.json").read_bytes()
        parts: dict[str, Any] = {
            "trust": plant.trust_document(),
            "root": root,
            "fingerprint": digest_bytes(root),
            "proof": (signed / "proof.json").read_bytes(),
        }
        return Given(**(parts | changes))

    @pytest.mark.requirement("SUP-12", by="holdfast.core.inclusion:open_proof")
    def test_the_proof_is_verified_and_its_time_is_told(
        self, plant: Plant, model: Path, signed: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With trust, root, its fingerprint and the proof: the entry's time counts, and another proof is refused."""
        line = [
            "files",
            "verify",
            str(model),
            "--trust",
            str(signed / "trust.json"),
            "--root-file",
            str(signed / "root.json"),
        ]
        line += ["--fingerprint", digest_bytes((signed / "root.json").read_bytes())]
        code, seen = said(capsys, *line, "--proof", str(signed / "proof.json"))
        assert code == 0, seen
        entry, _ = open_proof((signed / "proof.json").read_bytes(), plant.trust)
        assert seen["witnessed"] == entry.moment.isoformat()
        broken = json.loads((signed / "proof.json").read_bytes())
        broken["entry"] = broken["entry"].replace('"name":"model"', '"name":"modal"')
        (signed / "proof.json").write_bytes(canonical(broken))
        code, refused = said(capsys, *line, "--proof", str(signed / "proof.json"))
        assert (code, refused["error"]["code"]) == (NotVerified.exit_code, "HF500")
        assert said(capsys, *line[:-1], "sha256:" + "0" * 64)[0] == NotVerified.exit_code

    @pytest.mark.guarantee("G67")
    def test_what_was_signed_in_time_verifies_for_ever_with_its_proof_alone(
        self, plant: Plant, model: Path, signed: Path
    ) -> None:
        """Twenty years later: with the proof it is good, without it the present time counts and refuses it."""
        bundle, late = (model / "model.sig").read_bytes(), datetime(2050, 1, 1, tzinfo=UTC)
        assert judge(bundle, self.given(plant, signed), late)[1] is not None
        with pytest.raises(NotVerified):
            judge(bundle, self.given(plant, signed, proof=b""), late)
        assert judge(bundle, self.given(plant, signed, proof=b""), plant.clock.now())[1] is None

    @pytest.mark.requirement("SUP-12", by="holdfast.core.inclusion:pinned_trust")
    def test_a_trust_that_nobody_vouches_for_is_not_believed(self, plant: Plant, model: Path, signed: Path) -> None:
        """Another root, a root that asks for no signature, a trust it has not sealed, a role of others."""
        bundle, now = (model / "model.sig").read_bytes(), plant.clock.now()
        lax = canonical(
            msgspec.structs.replace(
                msgspec.json.decode((signed / "root.json").read_bytes(), type=Trust), root_threshold=0
            )
        )
        wrong: list[dict[str, Any]] = [
            {"fingerprint": "sha256:" + "1" * 64},
            {"root": lax, "fingerprint": digest_bytes(lax)},
            {"trust": plant.trust_document().replace(b'"sig":"', b'"sig":"AAAA', 1)},
            {"role": "ingest"},
            {"proof": b"{}"},
        ]
        for changes in wrong:
            with pytest.raises(NotVerified):
                judge(bundle, self.given(plant, signed, **changes), now)
        incomplete: list[dict[str, Any]] = [{"root": b""}, {"key": b"x"}, {"trust": b"", "proof": b""}]
        for changes in incomplete:
            with pytest.raises(HoldfastError):
                judge(bundle, self.given(plant, signed, **changes), now)

    def test_a_proof_about_another_signature_is_refused(self, plant: Plant, model: Path, signed: Path) -> None:
        """A good proof of a good entry does not witness what it does not name."""
        other = model.parent / "other"
        other.mkdir()
        (other / "file").write_bytes(b"x")
        assert invoke(["registry", "sign", str(other), "--root", str(plant.home.root)]) == 0
        with pytest.raises(NotVerified, match="another signature"):
            judge((other / "model.sig").read_bytes(), self.given(plant, signed), plant.clock.now())

    def test_a_revoked_key_signs_nothing_that_verifies(self, plant: Plant, model: Path, signed: Path) -> None:
        """Not even what the ledger took in before: the trust that the verifier has says that it is revoked."""
        from holdfast.lifecycle.compromise import compromise

        bundle = (model / "model.sig").read_bytes()
        keyid = judge(bundle, self.given(plant, signed), plant.clock.now())[0].keyid
        compromise(plant, keyid=keyid[:16], reason="It was seen elsewhere.")
        with app.open_plant(plant.home.root) as again, pytest.raises(NotVerified, match="not trusted"):
            judge(bundle, self.given(again, signed), again.clock.now())
