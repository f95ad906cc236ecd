"""The servers of models that `bench_servers.py` stands beside ours, each as its own tutorial writes it.

    .venv-serving/bin/python bench/peer_servers.py fastapi FOLDER PORT
    .venv-mlflow/bin/python bench/peer_servers.py mlflow FOLDER

Runs in the peers' own environments, so it imports nothing of ours. Every one asks ONNX Runtime with one thread, and
checks nothing that its framework does not check by itself. `mlflow` writes the model that `mlflow models serve` reads;
`write` writes what MLServer and BentoML are started with.
"""

import json
import sys
from pathlib import Path

MLSERVER = """
import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceResponse

NAMES = ("malignant", "benign")

class Boosting(MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession("{folder}/model.onnx", options)
        return True

    async def predict(self, payload):
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        labels, chances = self.session.run(("label", "probabilities"), {{"input": rows}})
        made = [StringCodec.encode_output("label", [NAMES[each] for each in labels])]
        made.append(NumpyCodec.encode_output("probabilities", chances))
        return InferenceResponse(model_name=self.name, outputs=made)
"""
BENTOML = """
import bentoml
import numpy as np
import onnxruntime

NAMES = ("malignant", "benign")

@bentoml.service(workers=1)
class Boosting:
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession("{folder}/model.onnx", options)

    @bentoml.api
    def predict(self, rows: list[list[float]]) -> dict:
        found = self.session.run(("label", "probabilities"), {{"input": np.array(rows, np.float32)}})
        return {{"label": [NAMES[each] for each in found[0]], "probabilities": found[1].tolist()}}
"""
PYFUNC = """
import mlflow
import numpy as np
import onnxruntime

NAMES = ("malignant", "benign")

class Boosting(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession("{folder}/model.onnx", options)

    def predict(self, context, model_input, params=None):
        rows = np.asarray(model_input, np.float32)
        labels, chances = self.session.run(("label", "probabilities"), {{"input": rows}})
        return {{"label": [NAMES[each] for each in labels], "probabilities": chances.tolist()}}

mlflow.models.set_model(Boosting())
"""


def write(folder: Path) -> None:
    """Write what the servers that read files are started with."""
    for name, text in (("boosting.py", MLSERVER), ("service.py", BENTOML), ("pyfunc.py", PYFUNC)):
        place = folder / name.removesuffix(".py")
        place.mkdir()
        (place / name).write_text(text.format(folder=folder))
    settings = {"name": "tiny", "implementation": "boosting.Boosting"}
    (folder / "boosting" / "model-settings.json").write_text(json.dumps(settings))


def fastapi(folder: Path, port: int) -> None:
    """Be an application of FastAPI that answers the same request as ours."""
    import numpy as np
    import onnxruntime
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Tensor(BaseModel):
        name: str
        shape: list[int]
        datatype: str
        data: list[float]

    class Request(BaseModel):
        inputs: list[Tensor]

    class Output(BaseModel):
        name: str
        shape: list[int]
        datatype: str
        data: list[str] | list[float]

    class Response(BaseModel):
        model_name: str
        model_version: str
        outputs: list[Output]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    app, names = FastAPI(), ("malignant", "benign")

    @app.post("/v2/models/tiny/infer")
    async def infer(request: Request) -> Response:
        tensor = request.inputs[0]
        rows = np.array(tensor.data, np.float32).reshape(tensor.shape)
        labels, chances = session.run(("label", "probabilities"), {"input": rows})
        label = Output(name="label", shape=list(labels.shape), datatype="BYTES", data=[names[each] for each in labels])
        flat = chances.ravel().tolist()
        chance = Output(name="probabilities", shape=list(chances.shape), datatype="FP32", data=flat)
        return Response(model_name="tiny", model_version="1", outputs=[label, chance])

    uvicorn.run(app, port=port, log_level="error", access_log=False)


def mlflow(folder: Path) -> None:
    """Write the model that `mlflow models serve` reads."""
    import mlflow as tracking

    tracking.pyfunc.save_model(folder / "saved", python_model=str(folder / "pyfunc" / "pyfunc.py"))


if __name__ == "__main__":
    if sys.argv[1] == "fastapi":
        fastapi(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1] == "mlflow":
        mlflow(Path(sys.argv[2]))
