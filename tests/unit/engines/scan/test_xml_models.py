"""PMML and OpenVINO: no document type is followed, and functions, layers and constants are what they may be."""

import pytest
from tests.unit.engines.scan.honest import above_low, found, scan
from tests.unit.engines.scan.honest_graphs import PMML_SPACE, openvino, pmml

from holdfast.core.evidence import Severity

HIGH, MEDIUM = Severity.HIGH, Severity.MEDIUM
LAUGHS = "<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]>"
OUTSIDE = "<!DOCTYPE x SYSTEM 'file:///etc/passwd'>"
NESTED = '<layer type="If" version="opset8"><body><layer type="Their" version="opset1"/></body></layer>'
HUGE = 'element_type="f32" shape="99999999999,99999999999" offset="0" size="8"'
INCLUDED = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"/>'


@pytest.mark.parametrize(
    ("data", "rule", "severity"),
    [
        (pmml(head=LAUGHS), "xml.doctype", HIGH),
        (pmml(head=OUTSIDE), "xml.doctype", HIGH),
        (openvino().replace(b"<net", OUTSIDE.encode() + b"<net"), "xml.doctype", HIGH),
        (pmml(INCLUDED), "xml.include", HIGH),
        (openvino(INCLUDED), "xml.include", HIGH),
        (pmml(head="<?xml-stylesheet href='x.xsl'?>"), "xml.instruction", MEDIUM),
        (pmml('<Apply function="com.their.Function"/>'), "pmml.function", HIGH),
        (pmml('<Apply function="their"/>'), "pmml.function", MEDIUM),
        (pmml('<Aggregate function="x-their"/>'), "pmml.function", MEDIUM),
        (pmml("<TableLocator/>"), "pmml.external", HIGH),
        (pmml('<thing xmlns="urn:their"/>'), "pmml.foreign", MEDIUM),
        (pmml(space="urn:their"), "pmml.foreign", MEDIUM),
        (pmml("<Extension>__import__('os')</Extension>"), "pmml.extension", HIGH),
        (pmml("<Extension><a>__imp</a><b>ort__('os')</b></Extension>"), "pmml.extension", HIGH),
        (pmml('<Extension name="x" value="/bin/sh -c id"/>'), "pmml.extension", HIGH),
        (pmml()[:-4], "pmml.malformed", MEDIUM),
        (pmml("&unknown;"), "pmml.malformed", MEDIUM),
        (openvino()[:-4], "openvino.malformed", MEDIUM),
        (openvino(version="9"), "openvino.unsupported", MEDIUM),
        (openvino('<layer type="Their" version="opset1"/>'), "openvino.custom-operator", HIGH),
        (openvino('<layer type="ReLU" version="extension"/>'), "openvino.custom-operator", HIGH),
        (openvino(NESTED), "openvino.custom-operator", HIGH),
        (openvino(data='element_type="f32" shape="2, 3" offset="0" size="25"'), "openvino.constant", HIGH),
        (openvino(data='element_type="f32" shape="2, -3" offset="0" size="24"'), "openvino.constant", HIGH),
        (openvino(data='element_type="f32" shape="2" offset="-8" size="8"'), "openvino.constant", HIGH),
        (openvino(data=HUGE), "openvino.constant", HIGH),
        (openvino(data='element_type="x9" shape="2" offset="0" size="8"'), "openvino.type", MEDIUM),
    ],
)
def test_what_a_model_in_xml_must_not_hold_is_found(data: bytes, rule: str, severity: Severity) -> None:
    """Entities, files, classes by name, other vocabularies, programs in extensions, custom layers, wrong constants."""
    assert (rule, severity) in found(data)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_no_encoding_hides_a_model(encoding: str) -> None:
    """The reader of XML finds the encoding by itself, and so does the scan."""
    data = pmml('<Apply function="com.their.Function"/>', head="").decode().lstrip().encode(encoding)
    assert scan(data)[0] == ("PMML",)
    assert ("pmml.function", HIGH) in found(data)


def test_prefixes_comments_and_spaces_hide_nothing() -> None:
    """The root element is found wherever it begins."""
    text = f'\n\n<!-- <net> --><p:PMML xmlns:p="{PMML_SPACE}"><p:Apply function="a.B"/></p:PMML>'
    assert ("pmml.function", HIGH) in found(text.encode())


def test_depth_is_bounded() -> None:
    """A finding says what was not scanned."""
    assert ("limit.xml", MEDIUM) in found(pmml("<Node>" * 2000 + "</Node>" * 2000))


def test_constants_of_half_bytes_and_of_texts_are_clean() -> None:
    """Four bits to an element; texts have no fixed width."""
    assert above_low(openvino(data='element_type="u4" shape="3" offset="0" size="2"')) == []
    assert above_low(openvino(data='element_type="string" shape="3" offset="0" size="20"')) == []
