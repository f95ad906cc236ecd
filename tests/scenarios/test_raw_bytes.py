"""Raw bytes: what every file that is left on a disk shows to whoever takes the disk away.

The way is gone with a real project: rows taken in, trained, released, promoted, staged, served here and on another
host, archived and backed up. Then nothing runs any more, and every file is searched for rows, weights, code and
requests.
"""

import base64
import csv
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from tests.scenarios.conftest import reseed
from tests.scenarios.stand import Gateway, model_file, releases

from holdfast import app
from holdfast.adapters.published import published_file
from holdfast.adapters.sealed_index import DiskIndex
from holdfast.config import read_settings
from holdfast.core.artifact import Digest
from holdfast.core.errors import HoldfastError, NotVerified, Unavailable
from holdfast.edge import assemble, config_of
from holdfast.lifecycle.loop import look
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.publishing import settle
from holdfast.lifecycle.registry_retention import archive
from holdfast.lifecycle.registry_staging import stage
from holdfast.lifecycle.restoring import backup
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.verification import verify
from holdfast.serve import HttpRequest

CORRELATION = "order-4711-of-jane-roe"
VALUE = 17.6180339887
HISTORY = ("ledger.db", "ledger.db-wal")
"""History lies in the clear (N17): names, digests and counts, and what gateways have recorded once it was taken in."""

SAID = (b'{"$schema"', b'{"_type"', b'{"row"')
"""How blobs begin that say in our own words what evidence says too: bill of materials, provenance, reasons."""


class Place:
    """A project on this host, and the folder of a gateway on another."""

    def __init__(self, root: Path) -> None:
        self.project, self.remote, self.backup = root / "project", root / "remote", root / "monday.hfb"
        self.scratch = root / "scratch"

    def left(self) -> dict[str, bytes]:
        """Every file that lies on a disk now, the owner's own project files apart: they were never taken over."""
        roots = (self.project / ".holdfast", self.remote, self.scratch)
        paths = [path for root in roots if root.exists() for path in sorted(root.rglob("*")) if path.is_file()]
        return {path.as_posix(): path.read_bytes() for path in (*paths, self.backup)}


@pytest.fixture
def place(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A copy of the finished project; rows of running stages lie on a disk here, so that what they leave is seen."""
    shutil.copytree(finished, tmp_path / "project")
    monkeypatch.setenv("HOLDFAST_SCRATCH_DIR", str(tmp_path / "scratch"))
    return Place(tmp_path)


@contextmanager
def handed_out(folder: Path) -> Iterator[str]:
    """The published folder on an address, as `holdfast publish serve` hands it out."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = published_file(folder, self.path.removeprefix("/"))
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def go_the_way(place: Place) -> dict[str, list[bytes]]:
    """Stage, promote, serve, refuse, run, archive and back up; return what must be found nowhere, by kind."""
    with app.open_plant(place.project) as plant:
        stage(plant, reason="Looked at first.")
        promote(plant, reason="It is good.")
        gateway = serve(plant)
        look(plant)  # what was recorded so far is taken into the ledger
        serve_elsewhere(place)
        refuse(gateway)  # and this waits in the spool
        reseed(place.project, 8)
        run(plant)
        secrets = secrets_of(place, plant, gateway)
        archive(plant, release=releases(plant)[1], reason="Not needed now.")
        backup(plant, out=place.backup)
        return secrets


def serve(plant: Plant) -> Gateway:
    """A gateway here that has answered, and refused somebody."""
    gateway = Gateway(plant)
    gateway.traffic(gateway.rows(releases(plant)[0])[:5])
    gateway.write()
    return gateway


def refuse(gateway: Gateway) -> None:
    """A call whose key is none, with words of the caller's own in it."""
    body = b'{"inputs":[{"name":"input","shape":[1,1],"datatype":"FP64","data":[%r]}]}' % VALUE
    request = HttpRequest(
        method="POST",
        path="/v2/models/breast-cancer/infer",
        headers=((b"x-api-key", b"hf_" + b"A" * 43), (b"x-correlation-id", CORRELATION.encode())),
        body=body,
        peer="198.51.100.77",
    )
    assert gateway.gateway.handle(request).status == 401
    gateway.write()


def serve_elsewhere(place: Place) -> None:
    """A gateway on another host fetches what is published, with a copy of the gateway's own folder."""
    own = place.project / ".holdfast" / "gateway"
    with handed_out(place.project / ".holdfast" / "published") as url:
        home = place.remote / "home"
        home.mkdir(parents=True)
        config = replace(config_of(place.project), source=url, home=home, records=own / "records.json")
        gateway, loader, recorder = assemble(config, 0)
        recorder.open()
        loader.refresh()
        assert gateway.state is not None
        recorder.write_events()
        recorder.tell_windows()


def secrets_of(place: Place, plant: Plant, gateway: Gateway) -> dict[str, list[bytes]]:
    """What nobody may find: parts of the rows, of every encrypted blob, of the recipe, and of requests."""
    text = (place.project / "patients.csv").read_text(encoding="latin-1")
    rows = list(csv.DictReader(text.splitlines()))
    index = DiskIndex(place.project / ".holdfast" / "sealed" / "index")
    held = [plant.blobs.get(digest) for digest, _ in index.every()]
    numbers = np.asarray(gateway.rows(releases(plant)[0])[:5])
    return {
        "rows": [line.encode() for line in text.splitlines()[1:40]],
        "names": sorted({row["contact_email"].encode() for row in rows if row["contact_email"]})[:40],
        "numbers": [each.tobytes() for row in numbers for each in (row[:4], row[:4].astype("<f4"))],
        "blobs": [part for blob in held if not blob.startswith(SAID) for part in parts(blob)],
        "recipe": [b"def train(data", b"VotingClassifier("],
        "requests": [CORRELATION.encode(), b"198.51.100.77", repr(VALUE).encode()],
        "log lines": [b'"kind":"refused.', b'"kind":"state.loaded"', b'"kind":"spool.'],
        "windows": [b'"unexposed":', b'"latency":['],  # "requests" is half of the name of a guard
    }


def parts(blob: bytes, length: int = 40) -> Iterator[bytes]:
    """Pieces from all over a blob that say something: of more than a few different bytes."""
    for begin in range(0, len(blob) - length, max(length, len(blob) // 5)):
        piece = blob[begin : begin + length]
        if len(set(piece)) > 16:
            yield piece


def encodings(secret: bytes) -> Iterator[bytes]:
    """A secret as it is, as hexadecimal, as UTF-16, and as base64 at each of the three places it can begin at."""
    yield secret
    yield secret.hex().encode()
    yield secret.decode("latin-1").encode("utf-16-le")
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret)
        yield encoded[4 if before else 0 : len(encoded) // 4 * 4 - 4]


def found(left: dict[str, bytes], secrets: list[bytes]) -> set[str]:
    """The files in which one of them can be found, in any encoding."""
    wanted = {each for secret in secrets for each in encodings(secret) if len(each) >= 8}
    return {name for name, data in left.items() if any(each in data for each in wanted)}


@pytest.mark.guarantee("G48")
@pytest.mark.guarantee("G59")
@pytest.mark.guarantee("G60")
@pytest.mark.requirement("ACC-14", by="holdfast.adapters.vault:Vault.seal_stream")
@pytest.mark.requirement("ACC-14", by="holdfast.adapters.vault:Vault.seal")
@pytest.mark.requirement("ACC-14", by="holdfast.adapters.records:encrypt_record")
def test_the_raw_bytes_of_every_file_reveal_nothing(place: Place, socket_enabled: None) -> None:
    """Rows, splits, models, code, published copies, a remote cache, an archive, a backup and records: all encrypted."""
    secrets = go_the_way(place)
    left = place.left()
    assert {kind: len(each) > 1 for kind, each in secrets.items()} == dict.fromkeys(secrets, True)
    assert len(secrets["blobs"]) > 100
    assert any("/remote/home/cache/" in name for name in left)
    assert any("/spool/events-" in name for name in left)
    assert any("/archive/sealed/" in name for name in left)
    assert any("/staging/blobs/" in name for name in left)
    shown = {kind: found(left, each) for kind, each in secrets.items()}
    assert {name for name in shown.pop("log lines") if not name.endswith(HISTORY)} == set()
    assert {name for name in shown.pop("windows") if "/.holdfast/blobs/" not in name} == set()
    assert {kind: names for kind, names in shown.items() if names} == {}
    assert not [name for name, data in left.items() if b"PAR1" in data]
    # History lists what bills of materials name (decision 220); a model's own notes lie nowhere.
    assert {name for name, data in left.items() if b"skl2onnx" in data and not name.endswith(HISTORY)} == set()
    assert not place.scratch.exists() or not [path for path in place.scratch.rglob("*") if path.is_file()]


def test_what_is_searched_for_would_be_found(place: Place, socket_enabled: None) -> None:
    """The search itself is looked at: written down in the clear, each of the secrets is seen, in each encoding."""
    with app.open_plant(place.project) as plant:
        promote(plant, reason="The first.")
        secrets = secrets_of(place, plant, Gateway(plant))
    for kind, each in secrets.items():
        for number, encoded in enumerate(encodings(each[0])):
            assert found({"file": b"before" + encoded + b"after"}, each[:1]) == {"file"}, (kind, number)
        wrapped = base64.b64encode(b"x" + each[0] + b"yz")
        assert found({"file": wrapped}, each[:1]) == {"file"}, kind


@pytest.mark.guarantee("G60")
def test_a_copy_of_the_disk_answers_nobody(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes the whole workspace has the gateway's folder too: without the secrets it loads nothing."""
    with app.open_plant(place.project) as plant:
        promote(plant, reason="The first.")
        assert Gateway(plant).gateway.state is not None
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "nowhere"))
    _, loader, _ = assemble(config_of(place.project), 0)
    with pytest.raises(HoldfastError, match="stays closed"):
        loader.refresh()


def in_the_clear(plant: Plant) -> None:
    """Make a workspace look as one of before: copies in the clear, and a gateway that has no key for reading."""
    published, gateway = plant.home.published, plant.home.gateway
    for digest, _ in DiskIndex(published / "index").every():
        name = digest.removeprefix("sha256:")
        plain = published / "blobs" / "sha256" / name[:2] / name[2:]
        plain.parent.mkdir(parents=True, exist_ok=True)
        plain.write_bytes(plant.published.blobs.get(digest))
    shutil.rmtree(published / "index")
    for path in (published / "shelf.json", gateway / "opener.json", gateway / "records.json"):
        path.unlink()
    (plant.home.workspace / "storage" / "shelf.json").unlink()


@pytest.mark.guarantee("G60")
def test_a_workspace_of_before_is_rewritten_by_the_next_publishing(place: Place) -> None:
    """No step by hand: the gateway says what is missing, records in memory, and reads once something was published."""
    with app.open_plant(place.project) as plant:
        promote(plant, reason="The first.")
        release = releases(plant)[0]
        model = plant.blobs.get(model_file(plant, release))
        in_the_clear(plant)
        assert model in b"".join(place_files(plant))
        gateway, loader, recorder = assemble(config_of(place.project), 0)
        recorder.open()
        with pytest.raises(HoldfastError):
            loader.refresh()
        with pytest.raises(HoldfastError, match="for whom records are encrypted"):
            recorder.write_events()
        settle(plant, current_project(plant))
        assert model not in b"".join(place_files(plant))
        loader.refresh()
        recorder.write_events()
        assert gateway.state is not None
        assert verify(plant).exit_code == 0


def place_files(plant: Plant) -> list[bytes]:
    """The bytes of every published file."""
    return [path.read_bytes() for path in sorted(plant.home.published.rglob("*")) if path.is_file()]


@pytest.mark.guarantee("G50")
def test_a_gateway_on_a_new_machine_gets_another_key(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restore the secret of its key is not there: both are made anew, and the old key reads nothing."""
    with app.open_plant(place.project) as plant:
        promote(plant, reason="The first.")
        before = (plant.home.gateway / "opener.json").read_bytes()
        secret = read_settings().unlock_dir / json.loads(before)["secret"]
        kept = secret.rename(secret.with_suffix(".elsewhere"))
        settle(plant, current_project(plant))
        assert Gateway(plant).gateway.state is not None
        (plant.home.gateway / "opener.json").write_bytes(before)
        kept.replace(secret)
        _, loader, _ = assemble(config_of(place.project), 1)
        with pytest.raises((NotVerified, Unavailable)):
            loader.refresh()
        settle(plant, current_project(plant))
        loader.refresh()


def test_verify_says_what_it_could_check_without_the_secret(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Published copies are looked at in encrypted form, and that is said."""
    with app.open_plant(place.project) as plant:
        promote(plant, reason="The first.")
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "nowhere"))
    with app.open_plant(place.project) as locked:
        assert "in encrypted form only: the keys are locked" in str(verify(locked).document)


def test_a_digest_in_the_index_leads_to_nothing_plain(place: Place) -> None:
    """What is published lies under the digests of encrypted bytes; no file bears the name of a model's digest."""
    with app.open_plant(place.project) as plant:
        promote(plant, reason="The first.")
        name = Digest(model_file(plant, releases(plant)[0])).removeprefix("sha256:")
        assert (plant.home.published / "index" / name[:2] / name[2:]).is_dir()
        assert not (plant.home.published / "blobs" / "sha256" / name[:2] / name[2:]).exists()
