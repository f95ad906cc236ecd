"""Five attacks that fail in front of the reader, each on the real thing or on a copy of it.

1. A changed model file. 2. A release that nobody signed. 3. Calls without a key, and malformed ones. 4. A burst. 5. An
edited ledger entry.
"""

import base64
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast import app
from holdfast.client import Client
from holdfast.core.artifact import Digest, parse_manifest
from holdfast.core.errors import HoldfastError, LedgerBroken
from holdfast.core.seal import open_envelope
from holdfast.edge import Running, assemble, config_of
from holdfast.faces.demo.stage import Stage
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.routing import current_project, standing

CHAPTER: Final = "3. Attacks"
BURST: Final = 300  # calls, as fast as one client can make them; the key may make 100 at once


def run(stage: Stage, plant: Plant, gateway: Running, key: str, rows: NDArray[np.float64]) -> None:
    """Make every attack; each must fail, and the model must still answer afterwards."""
    changed_model_file(stage, plant)
    unsigned_release(stage, plant)
    without_key_and_malformed(stage, plant, gateway, key)
    burst(stage, plant, gateway, key, rows)
    edited_ledger(stage, plant)


def changed_model_file(stage: Stage, plant: Plant) -> None:
    """Flip one bit of the model in a copy of what the gateway reads, and start a gateway on it."""

    def attack(published: Path) -> None:
        release = parse_manifest(plant.blobs.get(Digest(standing(plant, current_project(plant)).baseline)))
        hexadecimal = release.file("model.onnx").digest.removeprefix("sha256:")
        (entry,) = (published / "index" / hexadecimal[:2] / hexadecimal[2:]).iterdir()
        encrypted = entry.read_text(encoding="utf-8").removeprefix("sha256:")
        path = published / "blobs" / "sha256" / encrypted[:2] / encrypted[2:]
        changed = bytearray(path.read_bytes())
        changed[len(changed) // 2] ^= 1
        path.chmod(0o600)
        path.write_bytes(changed)

    _refused_by_gateway(stage, "one bit of the model file is flipped", attack)


def unsigned_release(stage: Stage, plant: Plant) -> None:
    """Route to another release without the registry's signature: edit the table and keep the old seal."""

    def attack(published: Path) -> None:
        path = max((published / "targets").glob("*.routes.dsse.json"), key=lambda each: each.stat().st_mtime_ns)
        payload, _ = open_envelope(path.read_bytes())
        envelope = msgspec.json.decode(path.read_bytes())
        forged = payload.replace(standing(plant, current_project(plant)).baseline.encode(), b"sha256:" + b"0" * 64)
        envelope["payload"] = base64.b64encode(forged).decode()
        path.write_bytes(msgspec.json.encode(envelope))

    _refused_by_gateway(stage, "the route table names a release nobody signed", attack)


def _refused_by_gateway(stage: Stage, what: str, attack: Callable[[Path], None]) -> None:
    """Attack a copy of the workspace's published folder and load it as a gateway does; it must refuse."""
    copy = stage.root / "attacked"
    workspace = copy / ".holdfast"
    shutil.copytree(stage.root / ".holdfast" / "published", workspace / "published")
    shutil.copytree(
        stage.root / ".holdfast" / "gateway",
        workspace / "gateway",
        ignore=shutil.ignore_patterns("spool", "state.json"),
    )
    try:
        attack(workspace / "published")
        _, loader, _ = assemble(config_of(copy), 0)
        try:
            loader.refresh()
        except HoldfastError as error:
            stage.show(CHAPTER, what, "not served", f"{error.code} {error.message}")
            return
        stage.expect(holds=False, what=f"a gateway refuses when {what}")
    finally:
        shutil.rmtree(copy)


def without_key_and_malformed(stage: Stage, plant: Plant, gateway: Running, key: str) -> None:
    """Call without a key, with a wrong one, and with a tensor that is not the model's."""
    model = current_project(plant).project.name
    row = np.zeros((1, 3))
    for what, given in (
        ("a call without a key", ""),
        ("a call with a guessed key", "hf_" + "A" * 43),
        ("a malformed tensor", key),
    ):
        try:
            with Client(gateway.url, given) as client:
                client.infer(model, row)
        except HoldfastError as error:
            stage.show(CHAPTER, what, "refused", f"{error.code} {error.message}")
        else:
            stage.expect(holds=False, what=f"{what} is refused")


def burst(stage: Stage, plant: Plant, gateway: Running, key: str, rows: NDArray[np.float64]) -> None:
    """Call as fast as possible: what is beyond the key's limit is turned away."""
    model, limited = current_project(plant).project.name, 0
    with Client(gateway.url, key, retries=0) as client:
        for number in range(BURST):
            try:
                client.infer(model, rows[number % len(rows)][np.newaxis])
            except HoldfastError:
                limited += 1
    stage.expect(limited > 0, "a burst is limited")
    stage.show(CHAPTER, f"a burst of {BURST} calls", f"{limited} limited", "the key's own limit, told with Retry-After")


def edited_ledger(stage: Stage, plant: Plant) -> None:
    """Edit one entry in a copy of the ledger, as somebody with the database would; the audit finds and locates it."""
    copy = stage.root / "edited"
    shutil.copytree(stage.root / ".holdfast", copy / ".holdfast", ignore=shutil.ignore_patterns("scratch", "spool"))
    shutil.copyfile(stage.root / "holdfast.toml", copy / "holdfast.toml")
    position = plant.ledger.size() // 2
    try:
        app.unsafe_edit_ledger(copy, position, b'"actor":"', b'"actor":"not ')
        with app.open_plant(copy, tell=stage.tell) as other:
            try:
                other.ledger.verify(())
            except LedgerBroken as error:
                stage.expect(str(position) in error.place, "the edited entry is located")
                stage.show(
                    CHAPTER, f"entry {position} of the ledger is edited", f"found at {error.place}", error.message
                )
                return
        stage.expect(holds=False, what="an edited ledger entry is found")
    finally:
        shutil.rmtree(copy)
