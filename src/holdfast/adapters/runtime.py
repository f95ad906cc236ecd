"""ONNX Runtime, set up to answer one request at a time on one core, the same way each time.

Decides which bytes are a model the gateway can serve: one float32 input `input` of shape [n, features], an int64 output
`label` of shape [n] and a float32 output `probabilities` of shape [n, classes]. Everything else is refused at load.
"""

import threading
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import NotVerified

_INPUT: Final = "input"
_OUTPUTS: Final = ("label", "probabilities")
_TYPES: Final = {"label": "tensor(int64)", "probabilities": "tensor(float)"}
_QUIET: Final = 4  # fatal only: what goes wrong is raised, and nothing of a model belongs on standard error


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A model in an ONNX Runtime session."""

    _session: Any
    _outputs: tuple[str, ...] = field(default=_OUTPUTS)

    def run(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return labels, shape (n,), and class probabilities, shape (n, classes), for rows of shape (n, features)."""
        labels, probabilities = self._session.run(self._outputs, {_INPUT: rows})
        return labels, probabilities.astype(np.float64)


class OnnxRuntime:
    """Makes models of verified bytes (port `Runtime` of `holdfast.serve`)."""

    __slots__ = ("_loading", "_threads")

    def __init__(self, *, threads: int = 1) -> None:
        """Load nothing yet.

        Args:
            threads: For the arithmetic of one call: of one row one is fastest, of thousands more may be.
        """
        self._loading, self._threads = threading.Lock(), threads

    def load(self, model: bytes, *, features: int, classes: int) -> OnnxModel:
        """Return the model in these bytes.

        The bytes are handed over as they are, never a path, so that nothing can be swapped between check and use; a
        model that keeps tensors in files beside it does not load.

        Raises:
            NotVerified: The bytes are no model, or not one of this many features and classes.
        """
        import onnxruntime  # with the first model: a gateway that has none to answer with does without its 19 MB

        with self._loading:
            try:
                session = onnxruntime.InferenceSession(
                    model, _options(self._threads), providers=["CPUExecutionProvider"]
                )
            except Exception as error:
                raise NotVerified(f"ONNX Runtime cannot load the model: {type(error).__name__}") from error
        session.disable_fallback()  # it would set up another provider in the middle of a call, and print
        _check(session, features, classes)
        return OnnxModel(session)


def _options(threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads  # a hop between threads costs more than a small model's arithmetic
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.use_deterministic_compute = True
    options.log_severity_level = _QUIET
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _check(session: Any, features: int, classes: int) -> None:
    """Check that a session takes and gives what the gateway's protocol promises."""
    inputs, outputs = session.get_inputs(), {output.name: output for output in session.get_outputs()}
    if [entry.name for entry in inputs] != [_INPUT] or inputs[0].type != "tensor(float)":
        raise NotVerified("the model does not take one float32 tensor", expected=f"{_INPUT} [n, {features}]")
    if {name: output.type for name, output in outputs.items()} != _TYPES:
        raise NotVerified("the model does not give a label and probabilities", expected="int64 and float32")
    widths = (inputs[0].shape[-1], outputs["probabilities"].shape[-1])
    for width, expected in zip(widths, (features, classes), strict=True):
        if (
            isinstance(width, int) and width != expected
        ):  # a name in place of a number leaves it open; warm-up will tell
            raise NotVerified(f"the model has a width of {width} where its signature says {expected}")
