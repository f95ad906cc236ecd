"""Scanners of model formats other than pickles, archives and ONNX: one module for each, with `known` and `scan`."""

from typing import Final

from holdfast.engines.scan.examination import Format
from holdfast.engines.scan.models import (
    catboost,
    coreml,
    executorch,
    gguf,
    hdf5,
    keras,
    lightgbm,
    msgpack,
    openvino,
    pmml,
    safetensors,
    templates,
    tensorflow,
    tflite,
    torchscript,
    xgboost,
)

FORMATS: Final[tuple[Format, ...]] = (
    Format(name="safetensors", known=safetensors.known, scan=safetensors.scan),
    Format(name="GGUF", known=gguf.known, scan=gguf.scan),
    Format(name="chat template", known=templates.known, scan=templates.scan),
    Format(name="tokenizer configuration", known=templates.known_configuration, scan=templates.scan_configuration),
    Format(name="Keras configuration", known=keras.known, scan=keras.scan),
    Format(name="Keras metadata", known=keras.known_metadata, scan=keras.scan_metadata),
    Format(name="HDF5", known=hdf5.known, scan=hdf5.scan),
    Format(name="TensorFlow SavedModel", known=tensorflow.known, scan=tensorflow.scan),
    Format(name="TensorFlow meta graph", known=tensorflow.known_meta_graph, scan=tensorflow.scan_meta_graph),
    Format(name="TensorFlow fingerprint", known=tensorflow.known_fingerprint, scan=tensorflow.scan_fingerprint),
    Format(name="TensorFlow graph", known=tensorflow.known_graph, scan=tensorflow.scan_graph),
    Format(name="XGBoost JSON", known=xgboost.known, scan=xgboost.scan),
    Format(name="XGBoost UBJSON", known=xgboost.known_binary, scan=xgboost.scan_binary),
    Format(name="XGBoost binary", known=xgboost.known_old, scan=xgboost.scan_old),
    Format(name="LightGBM", known=lightgbm.known, scan=lightgbm.scan),
    Format(name="CatBoost", known=catboost.known, scan=catboost.scan),
    Format(name="PMML", known=pmml.known, scan=pmml.scan),
    Format(name="OpenVINO", known=openvino.known, scan=openvino.scan),
    Format(name="MessagePack", known=msgpack.known, scan=msgpack.scan),
    Format(name="ExecuTorch", known=executorch.known, scan=executorch.scan),
    Format(name="TensorFlow Lite", known=tflite.known, scan=tflite.scan),
    Format(name="Core ML", known=coreml.known, scan=coreml.scan),
    Format(name="TorchScript", known=torchscript.known, scan=torchscript.code),
)
"""One row each, recognised by content. What two of them would read is a finding, so each `known` is narrow."""
