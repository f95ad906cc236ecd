"""What is done another way once there are many rows says the very same."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET

from holdfast.core.guard import Answer
from holdfast.core.schema import Field, Signature
from holdfast.serve.encoding import MANY, MAX_RECORD, encode_infer
from holdfast.serve.guards.inputs import AT_A_TIME, MANY_ROWS, Domain, ValidInputSettings
from holdfast.serve.protocol import LABEL, Malformed, decode_binary
from holdfast.serve.tensors import texts

WIDTH = 3
DOMAIN = Domain.of(
    Signature(
        inputs=tuple(Field(name=f"f{number}", minimum=-1.0, maximum=float(number)) for number in range(WIDTH)),
        classes=("a", "b"),
    ),
    ValidInputSettings(max_rows=1000),
)
names = st.text(max_size=12) | st.sampled_from(["x" * MAX_RECORD, "ÿ", "\x00", "x" * 124, "x" * 125])


@pytest.mark.requirement("SERV-01", by="holdfast.serve.encoding:_named")
@given(classes=st.lists(names, min_size=1, max_size=5, unique=True), rows=st.integers(1, 3 * MANY), seed=st.integers(0))
@example(classes=["ab", "cd"], rows=MANY, seed=0)
@example(classes=["a", ""], rows=MANY, seed=0)
def test_labels_as_bytes_are_their_names_in_order(classes: list[str], rows: int, seed: int) -> None:
    """However many rows there are, and however long their names, each label is its length and its UTF-8."""
    labels = np.random.default_rng(seed).integers(0, len(classes), rows)
    answer = Answer(labels=labels, probabilities=np.zeros((rows, len(classes))))
    signature = Signature(inputs=(), classes=tuple(classes))
    body, head = encode_infer(
        answer, signature, model="m", version="v", request_id="", outputs=(LABEL,), binary=(LABEL,)
    )
    assert body[head:] == texts(classes[label] for label in labels.tolist())
    assert json.loads(body[:head])["outputs"][0]["parameters"] == {"binary_data_size": len(body) - head}


@pytest.mark.requirement("GATE-09", by="holdfast.serve.guards.inputs:Domain.holds")
@given(
    rows=st.integers(MANY_ROWS, 5 * AT_A_TIME + 7),
    spoiled=st.lists(st.tuples(st.integers(0), st.floats(width=32)), max_size=2),
)
@example(rows=MANY_ROWS + 1, spoiled=[(-1, float("nan"))])
@example(rows=MANY_ROWS, spoiled=[(0, float("inf"))])
def test_many_rows_are_inside_where_each_value_is(rows: int, spoiled: Sequence[tuple[int, float]]) -> None:
    """A value outside, or that is no number, is found wherever it stands, also behind the last whole group."""
    values = np.zeros((rows, WIDTH), np.float32)
    for place, value in spoiled:
        values.ravel()[place % values.size] = value
    each = (values >= DOMAIN.low) & (values <= DOMAIN.high)
    assert DOMAIN.holds(values) == bool(each.all())


@pytest.mark.parametrize(
    ("head", "good"),
    [
        ('{"inputs":[{"name":"a","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":1}}]}', True),
        (
            '{"id":"a:b","inputs":[{"name":"a","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":1}}]}',
            True,
        ),
        (
            '{"inputs":[],"inputs":[{"name":"a","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":1}}]}',
            False,
        ),
        (
            '{"inputs":[{"name":"a","name":"a","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":1}}]}',
            False,
        ),
        (
            '{"inputs":[{"name":"a","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":0,"binary_data_size":1}}]}',
            False,
        ),
    ],
)
def test_a_head_gives_each_member_once(head: str, good: bool) -> None:
    """Members are counted by their colons; a colon in a text is no second member."""
    if good:
        assert decode_binary(head.encode() + b"\x01", len(head)).inputs[0].data == [1]
    else:
        with pytest.raises(Malformed, match="twice"):
            decode_binary(head.encode() + b"\x01", len(head))


@pytest.mark.requirement("GATE-09", by="holdfast.serve.guards.inputs:Domain.fractions")
@given(rows=st.integers(1, 3 * MANY_ROWS), spoiled=st.lists(st.tuples(st.integers(0), st.floats(-3, 3, width=32))))
@example(rows=1, spoiled=[(1, 0.5)])
@example(rows=MANY_ROWS, spoiled=[(-2, 1.5), (0, 0.25)])
def test_a_fraction_is_found_wherever_whole_numbers_belong(rows: int, spoiled: Sequence[tuple[int, float]]) -> None:
    """In one row and in many; in the other inputs a fraction is a value like any."""
    domain = Domain.of(
        Signature(inputs=tuple(Field(name=f"f{n}", whole=n == 1 or UNSET) for n in range(WIDTH)), classes=("a", "b")),
        ValidInputSettings(max_rows=1000),
    )
    values = np.ones((rows, WIDTH), np.float32)
    for place, value in spoiled:
        values.ravel()[place % values.size] = value
    wrong = {row for row, each in enumerate(values[:, 1].tolist()) if not each.is_integer()}
    found = domain.fractions(values)
    assert wrong == (set() if found is None else set(np.flatnonzero(found.any(axis=1)).tolist()))
    assert found is None or found[:, [0, 2]].sum() == 0
