"""Models of PyTorch taken in: weights bit for bit, modules and TorchScript answering alike; where torch is there."""

import pickle
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.unit.release import stands

from holdfast.core.artifact import Digest, Kind
from holdfast.core.control import run
from holdfast.core.evidence import Evidence, Outcome
from holdfast.core.ports import JobEnd, JobResult, Tier
from holdfast.engines.boosted.trees import CannotError
from holdfast.release.foreign import CONVERSION, TRIGGERS, Examined
from holdfast.release.foreign.material import Facts, Look
from holdfast.release.foreign.torch_models import Weights, of_object, reader

torch: Any = pytest.importorskip(
    "torch", reason="torch is not installed: it is no dependency, and too large for every run"
)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, about TorchScript
ENDED = JobResult(end=JobEnd.FINISHED, exit_code=0, stdout=b"", stderr=b"", wall_s=1.0, cpu_s=1.0, tier=Tier.PROCESS)
ROWS = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)


def network(*, likely: bool) -> Any:
    """A small network; its answers are probabilities, or scores."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)]
    return torch.nn.Sequential(*layers, *([torch.nn.Softmax(dim=1)] if likely else [])).eval()


def saved(path: Path, way: str) -> Path:
    """A file as torch writes it."""
    model = network(likely=way != "scores")
    if way == "weights":
        torch.save(model.state_dict(), path)
    elif way == "old weights":
        torch.save({"epoch": 3, "state_dict": model.state_dict()}, path, _use_new_zipfile_serialization=False)
    elif way in {"module", "scores"}:
        torch.save(model, path)
    elif way == "pickle":
        path.write_bytes(pickle.dumps(model))
    else:
        (torch.jit.script(model) if way == "script" else torch.jit.trace(model, torch.zeros(1, 4))).save(str(path))
    return path


def examined(place: Path, way: str) -> Examined:
    """A model of torch under examination."""
    path = saved(place / "theirs.pt", way)
    ws = stands.workspace(place / "ws")
    under = Examined(ws=ws, subject=stands.folder(ws, Kind.FOREIGN, {"m.pt": path.read_bytes()}), reference=ROWS)
    loaded = of_object(torch, pickle.loads(path.read_bytes())) if way == "pickle" else None  # noqa: S301 - made here
    facts = (loaded or reader(script=way in {"script", "trace"})(path)).facts
    under._look = Look(job=ENDED, events=(), whole=True, facts=msgspec.convert(facts, Facts), words="")
    return under


def measured(control: Any, under: Examined) -> tuple[Evidence, dict[str, float]]:
    """The evidence of a control, and its measures by name."""
    evidence = run(control, under, under.subject, stands.MADE_WITH)
    return evidence, {measure.name: measure.value for measure in evidence.measures}


@pytest.mark.requirement("SUP-02", by="holdfast.release.foreign.torch_models:Module.document")
@pytest.mark.parametrize("way", ["module", "pickle", "script", "trace", "scores"])
def test_a_network_answers_alike_after_the_conversion(way: str, tmp_path: Path) -> None:
    """By torch's own exporter, offline; probabilities make a classifier, scores make values."""
    under = examined(tmp_path, way)
    evidence, found = measured(CONVERSION, under)
    assert evidence.outcome is Outcome.MEASURED, evidence.reason
    assert evidence.facts["task"] == ("values" if way == "scores" else "classification")
    assert found["parity_max_abs"] < 1e-4
    assert found["label_changes"] == 0
    assert measured(TRIGGERS, under)[0].outcome is Outcome.MEASURED


@pytest.mark.requirement("SUP-02", by="holdfast.release.foreign.torch_models:Weights.compare")
@pytest.mark.parametrize("way", ["weights", "old weights"])
def test_weights_alone_become_safetensors_bit_for_bit(way: str, tmp_path: Path) -> None:
    """A second job compares them; one swapped weight, a name or a shape is seen."""
    under = examined(tmp_path, way)
    evidence, found = measured(CONVERSION, under)
    assert evidence.outcome is Outcome.MEASURED, evidence.reason
    assert (found["tensors"], evidence.facts["task"]) == (4, "weights")
    assert measured(TRIGGERS, under)[0].outcome is Outcome.NOT_APPLICABLE
    written = under.ws.blobs.get(Digest(evidence.facts["converted"]))
    model = Weights(torch, network(likely=True).state_dict())
    model.compare(written)
    swapped = bytearray(written)
    swapped[-1] ^= 1
    with pytest.raises(CannotError, match="otherwise"):
        model.compare(bytes(swapped))
    with pytest.raises(CannotError, match="names"):
        model.compare(written.replace(b'"0.bias"', b'"9.bias"'))


@pytest.mark.parametrize("found", [{}, [1, 2], {"a": 1}, {"model": {3: 4}}], ids=str)
def test_what_is_neither_weights_nor_a_module_is_refused(found: Any) -> None:
    """Nothing is guessed."""
    with pytest.raises(CannotError):
        of_object(torch, found)


def test_a_module_that_takes_no_rows_of_numbers_is_refused() -> None:
    """A convolution over pictures has no place in a table."""
    with pytest.raises(CannotError, match="rows of numbers"):
        of_object(torch, torch.nn.Conv2d(1, 2, 3))
