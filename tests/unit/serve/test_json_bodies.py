"""However a body of JSON is read, it comes to what it comes to where each value is looked at alone."""

import json
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.serve import json_value_by_value as one_by_one

from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.schema import Field, Signature
from holdfast.serve.counting import FEW, LONG, count_up_to
from holdfast.serve.encoding import encode_predict
from holdfast.serve.guards.inputs import Domain, ValidInput, ValidInputSettings
from holdfast.serve.guards.size import depth
from holdfast.serve.plain import decode_named_rows, decode_rows
from holdfast.serve.protocol import Malformed, decode_infer, decode_texts
from holdfast.serve.tensors import AS_JSON, BOUNDS
from holdfast.serve.values import MANY

NAMES = ("a", "b:c", "d")
PLAIN = ("a", "bc", "é x")
ORDERS = [*permutations(PLAIN), ("a", "bc", "a"), ("a", "bc", "x:y")]  # of names in a plain body; two are refused
MAX_ROWS = 200
GAP = " " * LONG  # where it stands in a body, that is a long one
NUMBERS = (
    [
        "0",
        "-0",
        "-0.0",
        "1",
        "1.0",
        "-1.5",
        "1E5",
        "0.1e1",
        "3.4028236e38",
        "1e308",
        "5e-324",
        "1e-400",
        "0." + "1" * 5000,
    ]
    + ["9007199254740993", "1.1754944e-38", "16777217", "123456789.123456789"]
    + [str(bound + step) for low, high in BOUNDS.values() for bound in (low, high) for step in (-1, 0, 1)]
)
OTHERS = ["true", "false", "null", '"1"', "NaN", "Infinity", "-Infinity", "[]", "[1]", "{}", "01", "1.", "-", "+1", ""]
OTHERS += ["1e400", "-1e400", "9" * 5000, "-" + "9" * 400]
numbers = st.sampled_from(NUMBERS) | st.floats(allow_nan=False, allow_infinity=False).map(repr)
small = st.integers(0, 9).map(str)
values = st.lists(small, min_size=1, max_size=5) | st.lists(numbers, min_size=1, max_size=3)
counts = st.integers(1, 4) | st.sampled_from([MANY // 3, MANY // 3 + 1, MANY, MAX_ROWS, MAX_ROWS + 1])


def spread(few: Sequence[str], count: int) -> list[str]:
    """So many values, of a few over and over."""
    return (list(few) * (count // len(few) + 1))[:count]


def flat(texts: Sequence[str]) -> str:
    """An array of these."""
    return f"[{','.join(texts)}]"


def nested(texts: Sequence[str], width: int) -> str:
    """An array of arrays of so many; the last may hold fewer."""
    return flat([flat(texts[at : at + width]) for at in range(0, len(texts), width)])


def tensor(name: str, shape: Sequence[int], datatype: str, data: str, more: str = "") -> str:
    """One tensor, with more members where given."""
    said = f'"name":{json.dumps(name)},"shape":{json.dumps(list(shape))},"datatype":"{datatype}","data":{data}'
    return f"{{{said}{more}}}"


def body_of(*tensors: str, more: str = "") -> bytes:
    """A request."""
    return f'{{"inputs":[{",".join(tensors)}]{more}}}'.encode()


def plain(rows: Sequence[Sequence[str]], names: Sequence[str] = PLAIN) -> bytes:
    """A plain request; names may be given twice."""
    written = [
        "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in zip(names, row, strict=True)) + "}"
        for row in rows
    ]
    return f'{{"rows":[{",".join(written)}]}}'.encode()


@st.composite
def infer_bodies(draw: st.DrawFn) -> bytes:
    """Requests as a matrix, flat or nested, and by column; mostly right, and now and then wrong in one place."""
    count, datatype = draw(counts), draw(st.sampled_from([*sorted(AS_JSON), "FP16", "BYTES"]) | st.just("FP64"))
    few = draw(st.lists(st.sampled_from(["true", "false"]), min_size=1) if datatype == "BOOL" else values)
    said = spread(few, count * len(NAMES))
    if draw(st.integers(0, 3)) == 0:
        said[draw(st.integers(0, len(said) - 1))] = draw(st.sampled_from(OTHERS))
    more = draw(
        st.sampled_from(
            [""] * 6 + [',"id":"x"', ',"id":"x:y"', ',"parameters":{"p":1}', ',"id":null', ',"id":"","id":""']
        )
    )
    extra = draw(
        st.sampled_from([""] * 6 + [',"parameters":{"q":true}', ',"parameters":{"binary_data_size":0}', ',"name":"a"'])
    )
    form = draw(st.sampled_from(["flat", "nested", "columns", "mixed"]))
    if form in {"flat", "nested"}:
        shape = draw(st.sampled_from([(count, len(NAMES))] * 4 + [(count,), (len(NAMES), count), (0, 3), (-1, 3)]))
        data = flat(said) if form == "flat" else nested(said, draw(st.sampled_from([len(NAMES)] * 4 + [1, 2])))
        found = body_of(tensor("input", shape, datatype, data, extra), more=more)
    else:
        parts = [said[at :: len(NAMES)] for at in range(len(NAMES))]
        shapes = [draw(st.sampled_from([(count,), (count, 1)])) for _ in NAMES]
        forms = [
            flat(part) if form == "columns" else nested(part, len(shape))
            for part, shape in zip(parts, shapes, strict=True)
        ]
        forms = [
            flat(part) if len(shape) == 1 else each for each, part, shape in zip(forms, parts, shapes, strict=True)
        ]
        tensors = [tensor(name, shape, datatype, data) for name, shape, data in zip(NAMES, shapes, forms, strict=True)]
        found = body_of(*draw(st.permutations(tensors)), more=more)
    return draw(spoiled(found))


@st.composite
def plain_bodies(draw: st.DrawFn) -> bytes:
    """Plain requests; mostly right, and now and then wrong in one place."""
    count = draw(counts)
    said = spread(draw(values), count * len(PLAIN))
    if draw(st.integers(0, 3)) == 0:
        said[draw(st.integers(0, len(said) - 1))] = draw(st.sampled_from(OTHERS))
    rows = [said[at : at + len(PLAIN)] for at in range(0, len(said), len(PLAIN))]
    body = plain(rows, draw(st.sampled_from(ORDERS)))
    return draw(spoiled(body))


@st.composite
def spoiled(draw: st.DrawFn, body: bytes) -> bytes:
    """A body as it is, or long, and now and then with another byte somewhere, or one byte less or more."""
    if draw(st.booleans()):
        body = body.replace(b"[", b"[" + GAP.encode(), 1)
    if draw(st.integers(0, 3)):
        return body
    at, less = draw(st.integers(0, len(body))), draw(st.integers(0, 1))
    more = draw(st.sampled_from([b"", *(bytes([each]) for each in b'{}[]",:\\ 0-.eE\x00\xff\xc3')]))
    return body[:at] + more + body[at + less :]


def guard_of(names: Sequence[str]) -> ValidInput:
    """The guard of a model whose inputs may be anything."""
    limits = ValidInputSettings(max_rows=MAX_ROWS)
    signature = Signature(inputs=tuple(Field(name=name) for name in names), classes=("no", "yes"))
    return ValidInput(max_rows=MAX_ROWS, domains={"digest": Domain.of(signature, limits)})


GUARDS: dict[tuple[str, ...], ValidInput] = {names: guard_of(names) for names in (NAMES, PLAIN)}


def outcome(body: bytes, names: tuple[str, ...], operation: str) -> one_by_one.Outcome:
    """What a body comes to at the gateway, before ranges are looked at."""
    call = Call(
        model="m", headers={}, body=body, correlation="c", received_s=0.0, operation=operation, release="digest"
    )
    found = GUARDS[names]._decoded(call)
    if isinstance(found, Refusal):
        return found.code, found.public
    assert found.flags.c_contiguous
    assert found.dtype == np.float32
    assert found.shape[1] == len(names)
    return found.tobytes()


@pytest.mark.requirement("SERV-01", by="holdfast.serve.protocol:decode_infer")
@settings(max_examples=400)
@given(infer_bodies())
def test_a_request_comes_to_what_its_values_come_to_one_by_one(body: bytes) -> None:
    """Flat, nested and by column, of every datatype, short and long: the same bits, or the same refusal."""
    assert outcome(body, NAMES, "infer") == one_by_one.infer(body, NAMES, MAX_ROWS)


@pytest.mark.requirement("SERV-01", by="holdfast.serve.plain:decode_rows")
@settings(max_examples=400)
@given(plain_bodies())
def test_a_plain_request_comes_to_what_its_values_come_to_one_by_one(body: bytes) -> None:
    """Rows by name, in any order of names: the same bits, or the same refusal."""
    assert outcome(body, PLAIN, "predict") == one_by_one.predict(body, PLAIN, MAX_ROWS)


@pytest.mark.requirement("GATE-09", by="holdfast.serve.values:_are_whole")
@pytest.mark.parametrize("datatype", sorted(BOUNDS))
@pytest.mark.parametrize("count", [1, MANY // 3 + 1])
def test_whole_numbers_end_where_their_datatype_ends(datatype: str, count: int) -> None:
    """One by one and many at once; 2^63 - 1 is read as the double 2^63, which is no INT64, as it always was."""
    low, high = BOUNDS[datatype]
    for bound, step in ((low, -1), (high, 1)):
        for value in (str(bound), str(bound + step), str(bound + 4096 * step), f"{bound}.5", f"{bound - 2048 * step}"):
            rows = [*spread(["1"], (count - 1) * len(NAMES)), "1", value, "1"]
            body = body_of(tensor("input", (count, len(NAMES)), datatype, flat(rows)))
            assert outcome(body, NAMES, "infer") == one_by_one.infer(body, NAMES, MAX_ROWS), value


@pytest.mark.requirement("GATE-09", by="holdfast.serve.protocol:_each_once")
@pytest.mark.parametrize("gap", ["", GAP], ids=["short", "long"])
@pytest.mark.parametrize(
    "twice",
    [
        '{"inputs":[%s{"name":"input","shape":[1,3],"datatype":"FP64","data":[1,2,3],"data":[4,5,6]}]}',
        '{"inputs":[%s{"name":"input","shape":[1,3],"datatype":"FP64","data":[1,2,3],"\\u0064ata":[4,5,6]}]}',
        '{"inputs":[%s{"name":"input","shape":[1,3],"datatype":"FP64","data":[[1,2,3]],"data":[[4,5,6]]}]}',
        '{"inputs":[%s],"inputs":[{"name":"input","shape":[1,3],"datatype":"FP64","data":[4,5,6]}]}',
        '{"id":"a","inputs":[%s{"name":"input","shape":[1,3],"datatype":"FP64","data":[4,5,6]}],"id":"b"}',
    ],
)
def test_of_two_values_for_one_member_nobody_takes_one(gap: str, twice: str) -> None:
    """In a long body colons are searched for, and no longer counted: the second member is found all the same."""
    with pytest.raises(Malformed, match="twice"):
        decode_infer((twice % gap).encode())


@pytest.mark.requirement("GATE-09", by="holdfast.serve.plain:_by_field")
@pytest.mark.parametrize("more", [',"a":9', ',"\\u0061":9', ""], ids=["the same", "spelt otherwise", "none"])
@pytest.mark.parametrize("gap", ["", GAP], ids=["short", "long"])
def test_of_two_values_for_one_input_nobody_takes_one(more: str, gap: str) -> None:
    """A type with fields keeps the last of two; that there were two is seen by the colons."""
    body = f'{{"rows":[{{"a":1,"b":2{more}}},{gap}{{"b":4,"a":3}}]}}'.encode()
    if more:
        with pytest.raises(Malformed, match="twice"):
            decode_rows(body, ("a", "b"))
    else:
        assert decode_rows(body, ("a", "b")) == [1, 2, 3, 4]


@pytest.mark.parametrize("value", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000])
@pytest.mark.parametrize(
    "form", ['{"inputs":[{"name":"input","shape":[1,3],"datatype":"FP64","data":%s}]}', '{"rows":[{"a":%s}]}']
)
def test_endless_nesting_is_no_number_in_any_form(value: str, form: str) -> None:
    """Each way of reading refuses it, and the words are those of the first."""
    body = (form % value).encode()
    for operation, judge in (("infer", one_by_one.infer), ("predict", one_by_one.predict)):
        assert outcome(body, PLAIN, operation) == judge(body, PLAIN, MAX_ROWS)


texts = st.text(max_size=6) | st.sampled_from([":", '"', "\\", "a:b", "\u2028"])


@given(st.lists(st.fixed_dictionaries({"n": st.integers(0, 9), "t": texts}), max_size=4), st.booleans(), st.booleans())
def test_colons_in_texts_are_no_members(rows: list[dict[str, Any]], ascii_: bool, twice: bool) -> None:
    """A text may hold any number of them; a member given twice beside it is found, and a text is left as it is."""
    body = json.dumps({"rows": rows}, ensure_ascii=ascii_).encode()
    if twice and rows:
        with pytest.raises(Malformed, match="twice"):
            decode_named_rows(body[:-3] + b',"n":1}]}')
    else:
        assert decode_named_rows(body) == rows


@given(st.lists(texts, min_size=1, max_size=4), st.booleans())
def test_colons_in_tensors_of_texts_are_no_members(said: list[str], twice: bool) -> None:
    """The same of the protocol."""
    document = {"inputs": [{"name": "t", "shape": [len(said)], "datatype": "BYTES", "data": said}]}
    body = json.dumps(document).encode()
    if twice:
        with pytest.raises(Malformed, match="twice"):
            decode_texts(body[:-3] + b',"name":"t"}]}', None)
    else:
        found: Any = decode_texts(body, None).inputs[0].data
        assert found == said


@given(st.binary(max_size=60), st.sampled_from([b":", b"["]), st.integers(0, 2 * FEW), st.booleans())
@example(some=b":" * 60, character=b":", most=119, long=True)
@example(some=b":" * 60, character=b":", most=120, long=True)
@example(some=b":" * 9, character=b":", most=17, long=True)
@example(some=b":" * 9, character=b":", most=18, long=True)
def test_a_character_is_counted_as_far_as_asked(some: bytes, character: bytes, most: int, long: bool) -> None:
    """Exactly up to what is asked, and beyond it only that it is more."""
    body = some + b" " * (LONG * long) + some
    found, there = count_up_to(body, character, most), body.count(character)
    assert found == there if there <= most else found > most


@pytest.mark.requirement("GATE-09", by="holdfast.serve.guards.size:depth")
@settings(max_examples=400)
@given(st.lists(st.sampled_from(['"', "\\", "[", "]", "{", "}", "a", '""', '"a"']), max_size=16).map("".join))
@example('"["[]"]"')
@example('"[""]"[')
@example('"\\"["[')
@example('"[')
def test_brackets_in_strings_do_not_nest(text: str) -> None:
    """Whatever stands between quotes, escaped ones and strings without an end among them."""
    assert depth(text.encode()) == one_by_one.deepest(text.encode())


class_names = st.text(max_size=6) | st.sampled_from(['"', "\\", "\n", "", "label", "é", "c1"])


@pytest.mark.requirement("SERV-01", by="holdfast.serve.encoding:encode_predict")
@given(
    st.lists(class_names, min_size=1, max_size=4, unique=True),
    st.lists(st.integers(0), max_size=5),
    st.lists(st.floats(), min_size=1, max_size=4),
    st.booleans(),
)
def test_predictions_are_written_as_dictionaries_would_be(
    classes: list[str], said: list[int], few: list[float], scores: bool
) -> None:
    """Byte for byte, whatever the classes are called; without probabilities where a guard left none."""
    labels = np.array([each % len(classes) for each in said], np.int64)
    shape = (len(said), len(classes) if scores else 0)
    probabilities = np.resize(np.array(few), shape) if scores and said else np.zeros(shape)
    signature = Signature(inputs=(), classes=tuple(classes))
    predictions: list[dict[str, Any]] = [{"label": classes[label]} for label in labels.tolist()]
    for prediction, row in zip(predictions, probabilities.tolist(), strict=True):
        if scores:
            prediction["probabilities"] = dict(zip(classes, row, strict=True))
    expected = msgspec.json.encode({"model": "m", "version": "v", "predictions": predictions})
    answer = Answer(labels=labels, probabilities=probabilities)
    assert encode_predict(answer, signature, model="m", version="v") == expected
