"""HDF5: configurations in attributes are judged, and what leads out of the file is found."""

import struct

import pytest
from tests.unit.engines.scan.honest import (
    DATASET,
    NOWHERE,
    above_low,
    attribute_message,
    collection,
    found,
    hdf5,
    hdf5_new,
    keras_2,
    layer,
    link_message,
    scan,
    string_attribute,
)

from holdfast.core.evidence import Severity

CRITICAL, HIGH, MEDIUM, LOW = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW
BAD = keras_2({"class_name": "Lambda", "config": {"function": ["4wE", None, None]}})
VARIABLE = struct.pack("<B3BI", 0x19, 1, 0, 0, 16) + struct.pack("<B3BI", 0x13, 0, 0, 0, 1)
SCALAR = b"\x01\0\0\0\0\0\0\0"


def heaped(text: bytes) -> bytes:
    """A file whose attribute's text lies in the global heap."""
    plain = hdf5_new(attribute_message("model_config", VARIABLE, SCALAR, struct.pack("<IQI", len(text), 0, 1)))
    data = struct.pack("<IQI", len(text), len(plain), 1)
    return hdf5_new(attribute_message("model_config", VARIABLE, SCALAR, data), more=collection(text))


@pytest.mark.parametrize(
    "data",
    [
        hdf5(string_attribute("model_config", BAD)),
        hdf5(string_attribute("anything", BAD)),
        hdf5(links={"group": (string_attribute("model_config", BAD),)}),
        hdf5_new(string_attribute("training_config", BAD)),
        heaped(BAD),
        hdf5(string_attribute("model_config", BAD), links={"a": DATASET, "b": "/a"}),
        bytes(512) + hdf5_new(string_attribute("x", BAD)),
    ],
)
def test_a_lambda_in_a_configuration_is_found(data: bytes) -> None:
    """In either kind of header, in a text of either kind, at any object, and under any name."""
    assert ("keras.lambda", CRITICAL) in found(data)


def test_a_configuration_in_the_global_heap_is_read() -> None:
    """And an honest one is clean."""
    assert above_low(heaped(keras_2())) == []


def test_two_texts_of_one_number_are_malformed() -> None:
    """Readers differ in which one counts."""
    data = heaped(keras_2())
    at = data.index(b"GCOL") + 8
    (size,) = struct.unpack_from("<Q", data, at)
    again = data[at + 8 : at - 8 + size]
    longer = bytearray(data + again)
    struct.pack_into("<Q", longer, at, size + len(again))
    assert ("hdf5.malformed", MEDIUM) in found(bytes(longer))


EXTERNAL = struct.pack("<H", 14) + b"\0/etc/passwd\0/\0"


@pytest.mark.parametrize(
    ("data", "rule", "severity"),
    [
        (hdf5_new(link_message("e", 64, EXTERNAL)), "hdf5.external-link", HIGH),
        (hdf5_new(link_message("e", 70, EXTERNAL)), "hdf5.external-link", HIGH),
        (hdf5_new(link_message("s", 1, struct.pack("<H", 2) + b"/a")), "hdf5.soft-link", LOW),
        (hdf5(links={"s": "/a"}), "hdf5.soft-link", LOW),
        (hdf5(links={"d": ((0x07, bytes(40)),)}), "hdf5.external-file", HIGH),
        (hdf5(links={"d": ((0x08, bytes([4, 3]) + bytes(12)),)}), "hdf5.external-file", HIGH),
        (hdf5(links={"d": ((0x08, struct.pack("<BBQQ", 3, 1, 0, 1 << 40)),)}), "hdf5.offsets", HIGH),
        (hdf5(links={"d": ((0x0B, bytes([2, 1]) + struct.pack("<HHHH", 32015, 0, 0, 0)),)}), "hdf5.filter", MEDIUM),
        (hdf5_new((0x02, bytes(2) + bytes(8) + NOWHERE)), "hdf5.unsupported", MEDIUM),
        (hdf5_new((0x15, bytes(2) + bytes(8) + NOWHERE)), "hdf5.unsupported", MEDIUM),
        (hdf5(attribute_message("model_config", bytes(8), SCALAR, bytes(8))), "hdf5.unsupported", MEDIUM),
        (hdf5(string_attribute("a", b"import os; os.system('id')")), "hdf5.attribute.executable", HIGH),
        (hdf5(string_attribute("a", b"cos\nsystem\n(S'id'\ntR.")), "hdf5.attribute.executable", HIGH),
        (hdf5(links={"d": (string_attribute("PSEUDOATOM", b"object"),)}), "hdf5.pickled", HIGH),
        (bytes(512) + hdf5_new(), "hdf5.user-block", MEDIUM),
        (hdf5()[:-4], "hdf5.malformed", MEDIUM),
        (hdf5().replace(b"SNOD", b"SN0D"), "hdf5.malformed", MEDIUM),
        (hdf5_new((0x10, struct.pack("<QQ", 48, 40))), "hdf5.malformed", MEDIUM),
    ],
)
def test_what_leads_out_of_the_file_or_is_not_followed_is_found(data: bytes, rule: str, severity: Severity) -> None:
    """Links, external and virtual data, filters from libraries, pickles, heaps, and damage."""
    assert (rule, severity) in found(data)


def test_what_cannot_be_followed_is_searched() -> None:
    """A Lambda layer in a heap that is not read is found by its bytes."""
    data = hdf5_new((0x02, bytes(2) + bytes(8) + NOWHERE), more=BAD)
    assert {("hdf5.unsupported", MEDIUM), ("keras.lambda", CRITICAL)} <= found(data)


def test_a_header_that_leads_to_itself_ends() -> None:
    """A group that holds itself, and a header that goes on in itself."""
    at = 48
    hard = link_message("loop", 0, struct.pack("<Q", at))
    assert above_low(hdf5_new(hard)) == []
    header = struct.pack("<BxHII4x", 1, 1, 1, 24) + struct.pack("<HHB3xQQ", 0x10, 16, 0, 112, 24)
    data = bytearray(hdf5() + bytes(-len(hdf5()) % 8))
    data[64:72] = struct.pack("<Q", 96)
    data[96 : 96 + len(header)] = header
    assert ("hdf5.malformed", MEDIUM) in found(bytes(data))


def test_a_place_inside_an_attribute_is_named() -> None:
    """The path leads to the object and its attribute."""
    data = hdf5(links={"weights": (string_attribute("model_config", keras_2(layer("system", {}, "os"))),)})
    assert any("!/weights@model_config byte" in each.place for each in scan(data)[1])
