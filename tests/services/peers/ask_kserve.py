"""KServe's inference clients, unmodified, against a gateway: `ask_kserve.py HTTP GRPC KEY MODEL`; prints JSON."""

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

HTTP, GRPC, KEY, MODEL = sys.argv[1:]
URL = f"http://{HTTP}"
ROWS = [[50.0, 15.0, 0.1], [20.0, 5.0, -1.0]]


def request(*, binary: bool) -> InferRequest:
    """The rows, as JSON or as bytes."""
    tensor = InferInput(name="input", shape=[2, 3], datatype="FP64")
    tensor.set_data_from_numpy(np.array(ROWS), binary_data=binary)
    return InferRequest(model_name=MODEL, infer_inputs=[tensor])


def decoded(response: Any) -> list[Any]:
    """Labels and probabilities, as KServe decodes them."""
    outputs = {output.name: output for output in response.outputs}
    labels = outputs["label"].as_numpy().tolist()
    names = [label.decode() if isinstance(label, bytes) else label for label in labels]
    return [names, outputs["probabilities"].as_numpy().tolist()]


async def http() -> dict[str, Any]:
    """Everything over HTTP."""
    headers, client = {"Authorization": f"Bearer {KEY}"}, InferenceRESTClient(RESTConfig(protocol="v2"))
    try:
        await client.infer(URL, request(binary=True), MODEL)
        refused = ""
    except Exception as error:  # noqa: BLE001 - what it raises is what is looked at
        refused = str(error)
    asked = [await client.infer(URL, request(binary=each), MODEL, dict(headers)) for each in (False, True)]
    return {
        "live": await client.is_server_live(URL),
        "ready": await client.is_server_ready(URL),
        "model_ready": await client.is_model_ready(URL, MODEL, headers),
        "answers": [decoded(answer) for answer in asked],
        "refused": refused,
    }


async def grpc() -> dict[str, Any]:
    """Everything over gRPC."""
    headers, client = (("authorization", f"Bearer {KEY}"),), InferenceGRPCClient(GRPC)
    try:
        await client.infer(request(binary=True))
        refused = ""
    except Exception as error:  # noqa: BLE001 - what it raises is what is looked at
        refused = str(error)
    asked = [await client.infer(request(binary=each), headers=headers) for each in (False, True)]
    return {
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "model_ready": await client.is_model_ready(MODEL, headers=headers),
        "answers": [decoded(answer) for answer in asked],
        "refused": refused,
    }


async def main() -> None:
    """Both, one after the other."""
    print(json.dumps({"http": await http(), "grpc": await grpc()}))


asyncio.run(main())
