"""A small world whose model takes a number and a text, and a project of messages to learn from."""

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.routes import GuardSpec
from holdfast.core.schema import Field, Signature
from holdfast.core.text import Hashing, TextInput, bucket_name
from holdfast.engines.texts import UNICODE
from holdfast.serve import HttpResponse
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import GUARDS, INFER, MODEL, Serving, World

BUCKETS = 8
HASHING = Hashing(buckets=BUCKETS, longest=1, most_characters=2000)
TEXT = TextInput(name="message", at=1, hashing=HASHING, unicode=UNICODE)
SIGNATURE = Signature(
    inputs=(
        Field(name="age", minimum=0.0, maximum=100.0),
        *(Field(name=bucket_name("message", bucket), minimum=-1.0, maximum=1.0) for bucket in range(BUCKETS)),
    ),
    classes=("benign", "malignant"),
    texts=(TEXT,),
)
WEIGHTS = (0.01, *(0.5 * (-1) ** bucket * (bucket + 1) for bucket in range(BUCKETS)))
PREDICT = f"/predict/{MODEL}"


def reading(*guards: GuardSpec, world: World | None = None, signature: Signature = SIGNATURE) -> Serving:
    """A gateway that serves the model, with these guards behind `valid-input`."""
    world = world or World()
    release = world.release(tiny_model(WEIGHTS, 0.0), signature=signature)
    fine = GuardSpec(name="coarse-output", configuration={"decimals": 9})
    large = GuardSpec(name="within-size", configuration={"max_bytes": 1 << 20})
    world.publish(world.table(release, guards=(large, *GUARDS[1:4], *guards, fine)))
    found = world.serving(OnnxRuntime())
    found.look()
    return found


def say(serving: Serving, *texts: str, age: float = 40.0) -> HttpResponse:
    """A plain call with these texts."""
    rows = [{"age": age, "message": text} for text in texts]
    return serving.call(path=PREDICT, body=json.dumps({"rows": rows}).encode())


def tensors(texts: Sequence[Any], **changed: Any) -> bytes:
    """A call of the protocol with these texts."""
    number = {"name": "age", "shape": [len(texts)], "datatype": "FP64", "data": [40.0] * len(texts)}
    text = {"name": "message", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)} | changed
    return json.dumps({"inputs": [number, text]}).encode()


def infer(serving: Serving, body: bytes) -> HttpResponse:
    """A call of the protocol."""
    return serving.call(path=INFER, body=body)


PROJECT = """
[project]
name = "messages"
owner = "Dana Data <dana@example.org>"

[risk]
sensitivity = "synthetic"
exposure = "internal"
stakes = "experimental"

[data]
source = "messages.csv"
format = "csv"
origin = "made for tests"
licence = "CC0-1.0"

[data.columns]
id = { type = "string", use = "id" }
length = { type = "int", minimum = 0, maximum = 500 }
message = { type = "string", use = "text" }
label = { type = "category", use = "label", allowed = ["ham", "spam"] }

[features.texts.message]
buckets = 32
most_characters = 400

[train]
recipe = "train.py:train"
positive = "spam"

[gates]
policy = "research"
"""
RECIPE = """
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def train(data, params, seed):
    model = make_pipeline(StandardScaler(), LogisticRegression(random_state=seed))
    return model.fit(data.train.features, data.train.labels)
"""
HAM = "see you at home after the lecture shall we meet for dinner tonight my friend is late again sorry"
SPAM = "free prize claim your cash award now call to win a holiday urgent winner reply with the code"


def write_messages(folder: Path, *, messages: int = 400, serving: str = "") -> None:
    """Write the project, its recipe and its rows."""
    rng = random.Random(11)  # noqa: S311 - rows of a test
    (folder / "holdfast.toml").write_text(PROJECT + serving, encoding="utf-8")
    (folder / "train.py").write_text(RECIPE, encoding="utf-8")
    with (folder / "messages.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "length", "message", "label"])
        for number in range(messages):
            spam = rng.random() < 0.4
            lists = (SPAM.split() if rng.random() < (0.8 if spam else 0.1) else HAM.split() for _ in range(12))
            words = [rng.choice(each) for each in lists]
            text = " ".join(words)
            writer.writerow([f"m{number}", len(text), text, "spam" if spam else "ham"])
