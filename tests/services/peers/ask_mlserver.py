"""MLServer's types, converters and stubs against a gateway: `ask_mlserver.py HTTP GRPC KEY MODEL`; prints JSON.

MLServer has no client of its own for REST but `mlserver infer`, which is run; over gRPC its users take the stub.
"""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import grpc as grpcio
from mlserver.codecs import NumpyCodec, NumpyRequestCodec, StringCodec
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.converters import (
    ModelInferRequestConverter,
    ModelInferResponseConverter,
    ModelMetadataResponseConverter,
)
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    Parameters,
    RepositoryIndexResponse,
)

HTTP, GRPC, KEY, MODEL = sys.argv[1:]
ROWS = [[50.0, 15.0, 0.1], [20.0, 5.0, -1.0]]


def request() -> InferenceRequest:
    """The rows as MLServer's codec encodes them."""
    import numpy as np

    made = NumpyRequestCodec.encode_request(np.array(ROWS))
    made.inputs[0].name = "input"
    made.parameters = Parameters(content_type="np")
    return made


def decoded(response: InferenceResponse) -> list[Any]:
    """Labels and probabilities, as MLServer's codecs decode them."""
    outputs = {output.name: output for output in response.outputs}
    probabilities = NumpyCodec.decode_output(outputs["probabilities"])
    return [StringCodec.decode_output(outputs["label"]), probabilities.tolist()]


def fetched(path: str, body: bytes | None = None) -> bytes:
    """Ask over HTTP."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"http://{HTTP}{path}", body, headers), timeout=60) as answer:
        found: bytes = answer.read()
        return found


def batch() -> list[Any]:
    """`mlserver infer`, which speaks through tritonclient."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
        given.write_text(request().model_dump_json(exclude_none=True) + "\n")
        command = [
            Path(sys.executable).with_name("mlserver"),
            "infer",
            "-u",
            HTTP,
            "-m",
            MODEL,
            "-i",
            given,
            "-o",
            made,
        ]
        command += ["-H", f"Authorization:Bearer {KEY}", "-w", "1"]
        subprocess.run(command, check=True, capture_output=True, timeout=120, env=dict(os.environ))
        return decoded(InferenceResponse.model_validate_json(made.read_text().splitlines()[0]))


def http() -> dict[str, Any]:
    """Everything over HTTP."""
    body = request().model_dump_json(exclude_none=True).encode()
    index = RepositoryIndexResponse.model_validate_json(fetched("/v2/repository/index", b"{}"))
    answer = InferenceResponse.model_validate_json(fetched(f"/v2/models/{MODEL}/infer", body))
    return {
        "model": MetadataModelResponse.model_validate_json(fetched(f"/v2/models/{MODEL}")).name,
        "index": [row.name for row in index.root],
        "answers": [decoded(answer), batch()],
    }


def grpc() -> dict[str, Any]:
    """Everything over gRPC."""
    metadata = (("authorization", f"Bearer {KEY}"),)
    with grpcio.insecure_channel(GRPC) as channel:
        stub = GRPCInferenceServiceStub(channel)
        answers = [
            decoded(ModelInferResponseConverter.to_types(stub.ModelInfer(made, metadata=metadata)))
            for made in (
                ModelInferRequestConverter.from_types(request(), model_name=MODEL),
                ModelInferRequestConverter.from_types(request(), model_name=MODEL, use_raw=True),
            )
        ]
        about = stub.ModelMetadata(pb.ModelMetadataRequest(name=MODEL), metadata=metadata)
        index = stub.RepositoryIndex(pb.RepositoryIndexRequest(), metadata=metadata)
        try:
            stub.ModelInfer(ModelInferRequestConverter.from_types(request(), model_name=MODEL))
            refused = ""
        except grpcio.RpcError as error:
            refused = f"{error.code()} {error.details()}"
        return {
            "live": stub.ServerLive(pb.ServerLiveRequest()).live,
            "ready": stub.ServerReady(pb.ServerReadyRequest()).ready,
            "model_ready": stub.ModelReady(pb.ModelReadyRequest(name=MODEL), metadata=metadata).ready,
            "model": ModelMetadataResponseConverter.to_types(about).name,
            "index": [row.name for row in index.models],
            "answers": answers,
            "refused": refused,
        }


print(json.dumps({"http": http(), "grpc": grpc()}))
