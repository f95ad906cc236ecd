"""The reference lists every rule that a test of these formats knows, and each rule that it lists has a test."""

import re
from pathlib import Path

from holdfast.engines.scan.models.allowed import words

HERE = Path(__file__).parent
PAGE = Path(__file__).parents[4] / "docs" / "reference" / "scan-formats.md"
FORMATS = (
    "safetensors|gguf|template|keras|hdf5|tensorflow|msgpack|xgboost|lightgbm|catboost|xml|pmml|openvino|torchscript"
    "|executorch|tflite|coreml"
)
RULE = re.compile(rf'"((?:{FORMATS})\.[a-z-]+(?:\.[a-z-]+)?)"')


def test_rules_tests_and_reference_agree() -> None:
    """A finding whose rule nobody can look up helps nobody; a row that no test reaches may be a promise."""
    tested = {rule for file in HERE.glob("test_*.py") for rule in RULE.findall(file.read_text(encoding="utf-8"))}
    tested -= words("keras", "modules") | {"keras.utils"}
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    listed = {rule for row in rows for rule in re.findall(rf"`((?:{FORMATS})\.[a-z.-]+)`", row.split("|")[1])}
    assert tested == listed
