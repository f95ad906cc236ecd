"""Models of PyTorch: weights alone become safetensors; a module, or TorchScript, becomes ONNX where torch exports it.

Runs inside the sandbox, and needs torch in the environment that Holdfast runs in. Weights are read by torch's own
restricted reader (`weights_only`); only what is no table of tensors is built as an object.
"""

import importlib
import io
import json
import struct
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.boosted.graphs import GRAPH
from holdfast.engines.boosted.trees import CannotError
from holdfast.engines.canonical_onnx import OPSET, Shape, canonical_model
from holdfast.release.foreign.opened import CLASSIFICATION, VALUES, WEIGHTS, described

ALIGNED: Final = 8  # bytes that the header of safetensors is padded to
NAMES: Final = {
    "torch.float64": "F64",
    "torch.float32": "F32",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.int64": "I64",
    "torch.int32": "I32",
    "torch.int16": "I16",
    "torch.int8": "I8",
    "torch.uint8": "U8",
    "torch.bool": "BOOL",
}
NESTED: Final = ("state_dict", "model_state_dict", "model")  # where a checkpoint keeps its weights


def reader(*, script: bool) -> Callable[[Path], Any]:
    """Return what opens a file of torch; torch itself is loaded first, so that its start is not taken for the file's.

    Raises:
        ImportError: torch is not installed.
    """
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    torch.nn.Linear(1, 1)(torch.zeros(1, 1))

    def load(path: Path) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if script:
                return Module(torch, torch.jit.load(str(path), map_location="cpu"))
            try:
                found = torch.load(path, map_location="cpu", weights_only=True)
            except Exception:  # noqa: BLE001 - no table of tensors: then it is an object, built as its pickle says
                found = torch.load(path, map_location="cpu", weights_only=False)
        return of_object(torch, found)

    return load


def of_object(torch: Any, found: Any) -> Any:
    """Return weights, or a module, that a file held.

    Raises:
        CannotError: It is neither.
    """
    if isinstance(found, torch.nn.Module):
        return Module(torch, found)
    weights = next((found[key] for key in NESTED if isinstance(found, Mapping) and key in found), found)
    if not isinstance(weights, Mapping) or not weights:
        raise CannotError(f"a {type(found).__name__} is neither weights nor a module")
    if not all(isinstance(key, str) and isinstance(each, torch.Tensor) for key, each in weights.items()):
        raise CannotError("the weights are no table of tensors by name")
    return Weights(torch, weights)


class Weights:
    """Tensors by name, without the architecture that they are of."""

    def __init__(self, torch: Any, tensors: Mapping[str, Any]) -> None:
        """Take the tensors."""
        self._torch, self._tensors = torch, tensors

    @property
    def facts(self) -> dict[str, Any]:
        """How many there are; nothing says what they compute."""
        return described("torch state dict", 0, width=len(self._tensors), task=WEIGHTS)

    def answer(self, rows: NDArray[np.float32]) -> Any:  # noqa: ARG002 - as every opened model is asked
        """Answer nothing."""
        raise CannotError("weights answer nothing")

    def document(self) -> bytes:
        """Return them as safetensors: a header of names, types, shapes and places, then the bytes."""
        header, parts, at = dict[str, Any](), list[bytes](), 0
        for name, tensor in sorted(self._tensors.items()):
            kind = NAMES.get(str(tensor.dtype))
            if kind is None or tensor.layout is not self._torch.strided:
                raise CannotError(f"a tensor of type {tensor.dtype} has no place in safetensors")
            data = _bytes(self._torch, tensor)
            header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [at, at + len(data)]}
            parts.append(data)
            at += len(data)
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode()
        text += b" " * (-len(text) % ALIGNED)
        return struct.pack("<Q", len(text)) + text + b"".join(parts)

    def compare(self, document: bytes) -> None:
        """Check that a document holds just these tensors, bit for bit.

        Raises:
            CannotError: It does not.
        """
        (size,) = struct.unpack_from("<Q", document)
        header = json.loads(document[8 : 8 + size])
        if header.keys() != self._tensors.keys():
            raise CannotError("the weights were written under other names")
        for name, tensor in self._tensors.items():
            start, end = (8 + size + each for each in header[name]["data_offsets"])
            same = header[name]["shape"] == list(tensor.shape) and header[name]["dtype"] == NAMES[str(tensor.dtype)]
            if not same or document[start:end] != _bytes(self._torch, tensor):
                raise CannotError(f"the tensor {name[:80]!r} was written otherwise than it is")


def _bytes(torch: Any, tensor: Any) -> bytes:
    plain = tensor.detach().contiguous().cpu().reshape(-1)
    return bytes(plain.view(torch.uint8).numpy().tobytes()) if plain.numel() else b""


class Module:
    """A module with its architecture: an object, or TorchScript."""

    def __init__(self, torch: Any, module: Any) -> None:
        """Take the module, and answer two rows with it to learn what it gives.

        Raises:
            CannotError: It takes no rows of numbers.
        """
        self._torch, self._module = torch, module.eval()
        self._features = next((int(each.shape[1]) for each in module.parameters() if each.dim() == 2), 0)  # noqa: PLR2004
        if not self._features:
            raise CannotError("no layer of the module takes rows of numbers")
        try:
            given = np.random.default_rng(0).standard_normal((8, self._features)).astype(np.float32)
            self._seen = np.asarray(self.answer(given))
        except RuntimeError as error:
            raise CannotError(f"the module does not answer rows of {self._features} numbers") from error
        if self._seen.ndim != 2 or len(self._seen) != len(given):  # noqa: PLR2004
            raise CannotError(f"the module answers in the shape {self._seen.shape}")

    @property
    def facts(self) -> dict[str, Any]:
        """What it takes and gives: classes where its answers are probabilities, values where they are not."""
        seen, kind = self._seen, type(self._module)
        width = seen.shape[1]
        likely = width > 1 and bool((seen >= 0).all()) and bool(np.allclose(seen.sum(axis=1), 1, atol=1e-4))
        names = tuple(map(str, range(width))) if likely else ()
        task = CLASSIFICATION if likely else VALUES
        return described(
            f"{kind.__module__}.{kind.__qualname__}", self._features, classes=names, width=width, task=task
        )

    def answer(self, rows: NDArray[np.float32]) -> Any:
        """Return what it gives."""
        with self._torch.no_grad():
            found = self._module(self._torch.from_numpy(np.ascontiguousarray(rows)))
        return np.asarray(found.numpy(), dtype=np.float64).reshape(len(rows), -1)

    def document(self) -> bytes:
        """Return it as canonical ONNX, by torch's exporter of TorchScript, which works without network."""
        import onnx

        facts, written = self.facts, io.BytesIO()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the exporter, about itself
                self._torch.onnx.export(
                    self._module,
                    (self._torch.zeros(2, self._features),),
                    written,
                    dynamo=False,
                    input_names=["input"],
                    output_names=["answers"],
                    dynamic_axes={"input": {0: "rows"}, "answers": {0: "rows"}},
                    opset_version=OPSET[""],
                )
            shape = Shape(features=self._features, classes=facts["width"], graph=GRAPH)
            model = onnx.load_model_from_string(written.getvalue())
            return canonical_model(model, "answers", shape, values=facts["task"] == VALUES)
        except (MemoryError, CannotError):
            raise
        except Exception as error:
            words = str(error).strip().partition("\n")[0]
            raise CannotError(f"the module cannot be exported to ONNX: {words}") from error
