"""The reference lists every rule of the scanner, with the severities it reports."""

import re
from pathlib import Path

import holdfast.engines.scan

SOURCES = Path(holdfast.engines.scan.__file__).parent
REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
PAGES = tuple(REFERENCE / f"{name}.md" for name in ("release", "scan-formats", "scan-files"))
FILES = (*SOURCES.glob("*.py"), *(SOURCES / "models").glob("*.py"))
RULE = re.compile(r'"((?:onnx|file|json|limit)\.[a-z.-]+)"')


def test_every_rule_is_in_the_reference_and_none_that_does_not_exist() -> None:
    """A finding whose rule nobody can look up helps nobody."""
    reported = {rule for file in FILES for rule in RULE.findall(file.read_text(encoding="utf-8"))}
    lines = [line for page in PAGES for line in page.read_text(encoding="utf-8").splitlines()]
    rows = [line for line in lines if line.startswith("| `")]
    listed = {rule for row in rows for rule in re.findall(r"`((?:onnx|file|json|limit)\.[a-z.-]+)`", row.split("|")[1])}
    assert reported - {"onnx.proto"} == listed
