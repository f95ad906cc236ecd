"""Canonical JSON against the vectors printed in RFC 8785."""

import struct

import pytest

from holdfast.core.artifact import canonical, digest_json
from holdfast.core.errors import InvalidInput

NUMBERS = {  # appendix B: IEEE 754 bits to text
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555555": "333333333.3333333",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers_are_written_as_ecmascript_writes_them(bits: str, text: str) -> None:
    """Appendix B: every listed double has the listed text."""
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical(number).decode() == text


def test_the_worked_example_comes_out_as_printed() -> None:
    """Section 3.2.2: literals, numbers and a string with every kind of escape."""
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    wanted = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(value).decode() == wanted


def test_names_are_sorted_by_utf16_code_units() -> None:
    """Section 3.2.3: the listed property names sort as listed."""
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    order = [
        canonical({name: 0}).decode()[2:-4]
        for name in ("\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33")
    ]
    text = canonical(value).decode()
    places = [text.index(name) for name in order]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**53, {"a": "\ud800"}], ids=["nan", "inf", "2**53", "surrogate"]
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    """Values outside I-JSON are an error, never a guess."""
    with pytest.raises(InvalidInput):
        digest_json(value)
