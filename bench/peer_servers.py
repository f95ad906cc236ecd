"""The servers of models that `bench_servers.py` stands beside ours, each in two ways.

    .venv-serving/bin/python bench/peer_servers.py fastapi FOLDER PORT
    .venv-mlflow/bin/python bench/peer_servers.py mlflow FOLDER
    .venv-inference/bin/python bench/peer_servers.py fit FOLDER

Runs in the peers' own environments, so it imports nothing of ours, and checks nothing that a framework does not check
by itself. The lean way asks ONNX Runtime with one thread, in code of ours: `write` writes what MLServer and BentoML are
started with, `mlflow` the model that `mlflow models serve` reads. The way that each peer's own tutorial shows serves
the scikit-learn model as it was fitted, which `fit` does in the peer's environment, and answers with the label alone:
MLServer by `mlserver-sklearn`, mlflow by its flavour for scikit-learn, BentoML by a service that loads it.
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
BENTOML_SKLEARN = """
import bentoml
import joblib

@bentoml.service(workers=1)
class Boosting:
    def __init__(self):
        self.model = joblib.load("{folder}/model.joblib")

    @bentoml.api
    def predict(self, rows: list[list[float]]) -> list[str]:
        return self.model.predict(rows).tolist()
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


def fit(folder: Path) -> None:
    """Fit the same model again, and write what a peer's own way of serving it reads."""
    import joblib
    import numpy as np
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import GradientBoostingClassifier

    rows, labels = load_breast_cancer(return_X_y=True)
    names = np.array(["malignant", "benign"])
    fitted = GradientBoostingClassifier(n_estimators=100, random_state=0).fit(rows, names[labels])
    folder.mkdir()
    joblib.dump(fitted, folder / "model.joblib")
    (folder / "service.py").write_text(BENTOML_SKLEARN.format(folder=folder))
    settings = {"name": "tiny", "implementation": "mlserver_sklearn.SKLearnModel"}
    settings["parameters"] = {"uri": "./model.joblib"}
    (folder / "model-settings.json").write_text(json.dumps(settings))


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
    import joblib
    import mlflow as tracking

    tracking.pyfunc.save_model(folder / "saved", python_model=str(folder / "pyfunc" / "pyfunc.py"))
    fitted = joblib.load(folder / "mlflow" / "model.joblib")
    tracking.sklearn.save_model(fitted, folder / "saved-sklearn", skops_trusted_types=["sklearn.tree._tree.Tree"])


if __name__ == "__main__":
    if sys.argv[1] == "fastapi":
        fastapi(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1] == "mlflow":
        mlflow(Path(sys.argv[2]))
    elif sys.argv[1] == "fit":
        fit(Path(sys.argv[2]))
