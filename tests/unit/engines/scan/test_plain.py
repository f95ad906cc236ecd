"""What lies beside models: text that loaders run, programs, pictures, and bytes that nobody understands."""

import re
import struct
from pathlib import Path

import pytest

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content
from holdfast.engines.scan.formats import examine
from holdfast.engines.scan.report import Findings


def found(data: bytes, name: str = "file") -> dict[str, Severity]:
    """Rules and severities of a file."""
    findings = Findings()
    examine(Content(memoryview(data), name), findings)
    return {each.rule: each.severity for each in findings.kept}


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF\x02\x01\x01" + bytes(100),
        b"MZ" + bytes(58) + b"\x80\x00\x00\x00" + bytes(100),
        b"\xcf\xfa\xed\xfe" + bytes(50),
        b"\xca\xfe\xba\xbe" + bytes(50),
        b"\x00asm\x01\x00\x00\x00",
        b"\xa7\x0d\r\n" + bytes(12) + b"\xe3" + bytes(20),
    ],
)
def test_a_program_beside_a_model_is_seen(data: bytes) -> None:
    """Native libraries and bytecode run when they are loaded, whatever they are called."""
    assert found(data, "weights.bin")["file.program"] is Severity.HIGH


def test_a_picture_is_no_unknown_file() -> None:
    """Folders of model hubs hold pictures and tables."""
    for data in (b"\x89PNG\r\n\x1a\n" + bytes(20), b"\xff\xd8\xff\xe0" + bytes(20), b"PAR1" + bytes(20) + b"PAR1"):
        assert found(data) == {"file.not-a-model": Severity.INFO}


def test_text_that_loaders_run_is_seen() -> None:
    """YAML builds objects by tags, and configurations name code that loaders fetch and run."""
    assert found(b"model: !!python/object/apply:os.system [true]\n")["yaml.python-tag"] is Severity.CRITICAL
    assert found(b'{"auto_map": {"AutoModel": "modeling.Model"}}')["config.custom-code"] is Severity.MEDIUM
    assert found(b"#!/bin/sh\ntrue\n") == {"file.script": Severity.LOW}
    assert found("ümlaut, plain text\n".encode()) == {}
    assert found(b'{"a": 1}') == {}


def test_text_that_goes_on_as_something_else_is_not_text() -> None:
    """A beginning in letters does not make the rest readable."""
    assert found(b"words\n" * 1000 + b"\x00\x01\x02") == {"file.unknown": Severity.MEDIUM}
    assert found(struct.pack("<64d", *range(64))) == {"file.unknown": Severity.MEDIUM}


def test_each_rule_of_files_is_in_the_reference() -> None:
    """A rule that scans report is explained to readers."""
    root = Path(__file__).parents[4]
    page = (root / "docs/reference/scan-files.md").read_text(encoding="utf-8")
    names = ("plain", "others", "examination", "formats")
    sources = [(root / f"src/holdfast/engines/scan/{name}.py").read_text(encoding="utf-8") for name in names]
    rules = {rule for text in sources for rule in re.findall(r'"((?:file|yaml|config|limit)\.[a-z-]+)"', text)}
    assert rules
    assert [rule for rule in rules if f"`{rule}`" not in page] == []
