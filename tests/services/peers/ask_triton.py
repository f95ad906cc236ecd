"""tritonclient, unmodified, against a gateway: `ask_triton.py HTTP GRPC KEY MODEL`; prints its answers as JSON."""

import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException

HTTP, GRPC, KEY, MODEL = sys.argv[1:]
ROWS = [[50.0, 15.0, 0.1], [20.0, 5.0, -1.0]]


def inferred(face: Any, client: Any, headers: dict[str, str], datatype: str, wanted: Any, **options: Any) -> Any:
    """Ask for the rows in one datatype; return labels and probabilities."""
    kinds = {"FP32": np.float32, "FP64": np.float64, "FP16": np.float16}
    tensor = face.InferInput("input", [2, 3], datatype)
    tensor.set_data_from_numpy(np.array(ROWS, kinds[datatype]), **options)
    found = client.infer(MODEL, [tensor], outputs=wanted, headers=headers, request_id="7")
    labels, probabilities = found.as_numpy("label"), found.as_numpy("probabilities")
    return [
        [label.decode() if isinstance(label, bytes) else label for label in labels.tolist()],
        None if probabilities is None else probabilities.tolist(),
    ]


def http() -> dict[str, Any]:
    """Everything over HTTP."""
    headers, client = {"Authorization": f"Bearer {KEY}"}, over_http.InferenceServerClient(HTTP)
    said = dict.fromkeys(("label", "probabilities"))
    as_json = [over_http.InferRequestedOutput(name, binary_data=False) for name in said]
    as_bytes = [over_http.InferRequestedOutput(name) for name in said]
    metadata = client.get_model_metadata(MODEL, headers=headers)
    (version,) = metadata["versions"]
    answers = [
        inferred(over_http, client, headers, "FP32", None),
        inferred(over_http, client, headers, "FP64", as_bytes),
        inferred(over_http, client, headers, "FP32", as_json),
        inferred(over_http, client, headers, "FP64", as_json, binary_data=False),
        inferred(over_http, client, headers, "FP16", None),
    ]
    try:
        inferred(over_http, client, {}, "FP32", None)
        refused = ""
    except InferenceServerException as error:
        refused = f"{error.status()} {error.message()}"
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(MODEL, headers=headers),
        "version_ready": client.is_model_ready(MODEL, version, headers=headers),
        "other_version_ready": client.is_model_ready(MODEL, "1", headers=headers),
        "server": client.get_server_metadata()["name"],
        "model": metadata["name"],
        "index": [row["name"] for row in client.get_model_repository_index(headers=headers)],
        "answers": answers,
        "refused": refused,
    }


def grpc() -> dict[str, Any]:
    """Everything over gRPC."""
    headers, client = {"authorization": f"Bearer {KEY}"}, over_grpc.InferenceServerClient(GRPC)
    wanted = [over_grpc.InferRequestedOutput(name) for name in ("label", "probabilities")]
    metadata = client.get_model_metadata(MODEL, headers=headers)
    try:
        inferred(over_grpc, client, {}, "FP32", None)
        refused = ""
    except InferenceServerException as error:
        refused = f"{error.status()} {error.message()}"
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(MODEL, headers=headers),
        "version_ready": client.is_model_ready(MODEL, metadata.versions[0], headers=headers),
        "server": client.get_server_metadata().name,
        "model": metadata.name,
        "index": [row.name for row in client.get_model_repository_index(headers=headers).models],
        "answers": [
            inferred(over_grpc, client, headers, "FP32", None),
            inferred(over_grpc, client, headers, "FP64", wanted),
        ],
        "refused": refused,
    }


print(json.dumps({"http": http(), "grpc": grpc()}))
