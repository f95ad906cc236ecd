"""What the gateway's adapters promise: the runtime, the published folder, the memory file."""

import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from holdfast.adapters.published import MAX_MEMORY, MemoryFile, PublishedFolder, read_bounded
from holdfast.adapters.runtime import OnnxRuntime
from holdfast.adapters.supervisor import Supervisor
from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, NotVerified, Unavailable
from holdfast.serve.loading import Remembered
from holdfast.testing.tiny import tiny_model


def test_a_model_answers_with_labels_and_probabilities() -> None:
    """The logistic regression of the test kit, computed by hand."""
    model = OnnxRuntime().load(tiny_model((0.02, 0.1, 1.0), -2.0), features=3, classes=2)
    labels, probabilities = model.run(np.array([[50, 15, 0.1], [0, 0, 0]], dtype=np.float32))
    scores = np.array([0.6, -2.0])
    assert labels.tolist() == [1, 0]
    assert probabilities.dtype == np.float64
    assert probabilities[:, 1] == pytest.approx(1 / (1 + np.exp(-scores)), abs=1e-6)


def graph(**changes: Any) -> bytes:
    """A model whose input or outputs are not what the gateway serves."""
    kinds: dict[str, Any] = {
        "input": TensorProto.FLOAT,
        "label": TensorProto.INT64,
        "probabilities": TensorProto.FLOAT,
    } | changes
    nodes = [
        helper.make_node("Cast", [str(kinds.get("named", "input"))], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Softmax", ["real"], ["soft"]),
        helper.make_node("Cast", ["soft"], ["probabilities"], to=kinds["probabilities"]),
        helper.make_node("ArgMax", ["real"], ["index"], axis=1, keepdims=0),
        helper.make_node("Cast", ["index"], ["label"], to=kinds["label"]),
    ]
    made = helper.make_graph(
        nodes,
        "odd",
        [helper.make_tensor_value_info(str(kinds.get("named", "input")), kinds["input"], ["n", kinds.get("width", 3)])],
        [
            helper.make_tensor_value_info("label", kinds["label"], ["n"]),
            helper.make_tensor_value_info("probabilities", kinds["probabilities"], ["n", kinds.get("width", 3)]),
        ],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (b"", "cannot load"),
        (b"not a model", "cannot load"),
        (tiny_model()[:-20], "cannot load"),
        (graph(named="x"), "one float32 tensor"),
        (graph(input=TensorProto.DOUBLE), "one float32 tensor"),
        (graph(label=TensorProto.INT32), "label and probabilities"),
        (graph(probabilities=TensorProto.DOUBLE), "label and probabilities"),
        (graph(width=4), "a width of 4"),
    ],
)
def test_bytes_that_are_no_model_of_ours_do_not_load(model: bytes, words: str) -> None:
    """Whatever the bytes are, the answer is one error, and nothing of the runtime's own words."""
    with pytest.raises(NotVerified, match=words):
        OnnxRuntime().load(model, features=3, classes=3)


def test_a_model_that_keeps_tensors_in_files_beside_it_does_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the verified bytes are the model: a file that they point at was never verified."""
    (tmp_path / "weights").write_bytes(np.zeros((3, 2), dtype=np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    model = onnx.load_from_string(tiny_model())
    (weights,) = [tensor for tensor in model.graph.initializer if tensor.name == "weights"]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", "weights"
    with pytest.raises(NotVerified, match="cannot load"):
        OnnxRuntime().load(model.SerializeToString(), features=3, classes=2)


def test_the_same_rows_get_the_same_bits_every_time() -> None:
    """One thread and no spinning: two sessions and two calls agree to the last bit."""
    rows = np.random.default_rng(7).normal(size=(50, 3)).astype(np.float32)
    first, second = (OnnxRuntime().load(tiny_model(), features=3, classes=2) for _ in range(2))
    assert first.run(rows)[1].tobytes() == second.run(rows)[1].tobytes() == first.run(rows)[1].tobytes()


# ── the published folder ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_document_is_read_whole_and_within_its_limit(tmp_path: Path) -> None:
    """The limit is the last length that is read."""
    (tmp_path / "routes").write_bytes(b"12345")
    folder = PublishedFolder(tmp_path)
    assert folder.document("routes", 5) == b"12345"
    with pytest.raises(InvalidInput, match="too long"):
        folder.document("routes", 4)
    with pytest.raises(NotFound):
        folder.document("trust", 5)


def test_a_link_or_a_pipe_in_place_of_a_document_is_refused(tmp_path: Path) -> None:
    """Whoever can plant names in the folder cannot make the gateway read elsewhere, or wait for ever."""
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder"):
        with pytest.raises(HoldfastError):
            read_bounded(tmp_path / name, 100, name)


def test_a_blob_beyond_its_limit_or_with_another_digest_is_refused(tmp_path: Path) -> None:
    """The store verifies; the loader verifies again."""
    digest = digest_bytes(b"12345")
    path = tmp_path / "blobs" / "sha256" / digest[7:9] / digest[9:]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"12345")
    folder = PublishedFolder(tmp_path)
    assert folder.blob(digest, 5) == b"12345"
    with pytest.raises(InvalidInput):
        folder.blob(digest, 4)
    path.write_bytes(b"12346")
    with pytest.raises(NotVerified):
        folder.blob(digest, 5)


def test_the_stamp_changes_when_a_document_is_replaced_and_only_then(tmp_path: Path) -> None:
    """Also when the new one has the same length and comes within the same second."""
    folder = PublishedFolder(tmp_path)
    absent = folder.stamp("routes")
    for content in (b"1", b"2", b"3"):
        (tmp_path / "new").write_bytes(content)
        before = folder.stamp("routes")
        (tmp_path / "new").replace(tmp_path / "routes")
        assert folder.stamp("routes") not in {before, absent}
        assert folder.stamp("routes") == folder.stamp("routes")


# ── the memory file ─────────────────────────────────────────────────────────────────────────────────────────────────


def memory(tmp_path: Path) -> MemoryFile[Remembered]:
    """The gateway's memory in a file."""
    return MemoryFile(path=tmp_path / "state.json", type=Remembered, join=Remembered.joined)


def test_what_is_kept_is_recalled_by_the_next_process(tmp_path: Path) -> None:
    """A first start recalls nothing; every later one what was kept."""
    assert memory(tmp_path).recall() == Remembered()
    kept = Remembered(trust_version=3, epoch=7, content="sha256:…")
    memory(tmp_path).keep(kept)
    assert memory(tmp_path).recall() == kept


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"epoch":"7"}', b'{"epoch":7,"more":1}', b"\xff", b" " * (MAX_MEMORY + 1)]
)
def test_a_memory_that_cannot_be_read_is_an_error_and_no_fresh_start(tmp_path: Path, content: bytes) -> None:
    """Forgetting would let older tables in again."""
    (tmp_path / "state.json").write_bytes(content)
    with pytest.raises(NotVerified, match="memory cannot be read"):
        memory(tmp_path).recall()
    with pytest.raises(NotVerified):
        memory(tmp_path).keep(Remembered(epoch=8))
    assert (tmp_path / "state.json").read_bytes() == content


def test_what_several_workers_keep_never_falls(tmp_path: Path) -> None:
    """Workers keep epochs in any order at once: the highest one stays."""
    threads = [
        threading.Thread(target=memory(tmp_path).keep, args=(Remembered(epoch=epoch),)) for epoch in (3, 9, 1, 7, 5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory(tmp_path).recall().epoch == 9
    memory(tmp_path).keep(Remembered(epoch=2))
    assert memory(tmp_path).recall().epoch == 9


def test_a_memory_that_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was kept before is untouched."""
    memory(tmp_path).keep(Remembered(epoch=1))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        memory(tmp_path).keep(Remembered(epoch=2))
    assert msgspec.json.decode((tmp_path / "state.json").read_bytes())["epoch"] == 1


@pytest.mark.parametrize("workers", [0, -1, 257])
def test_a_number_of_workers_that_makes_no_sense_is_refused(workers: int) -> None:
    """Before anything is bound or forked."""
    supervisor = Supervisor(host="127.0.0.1", port=0, workers=workers, work=lambda *_: None, on_ready=lambda _: None)
    with pytest.raises(InvalidInput, match="workers"):
        supervisor.run()
