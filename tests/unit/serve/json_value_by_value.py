"""Bodies of JSON read value by value, as the gateway read all of them at first: what its faster ways must agree with.

The same parser, but only into Python's own values; members told apart by the standard library; every value looked at
alone. Nothing here is fast, and nothing of it is used by the gateway.
"""

import json
import math
from array import array
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from holdfast.core.errors import InvalidInput
from holdfast.serve.plain import words_of_rows
from holdfast.serve.protocol import INPUT, InferRequest, Malformed, RequestedOutput, words_of
from holdfast.serve.refusals import INVALID_INPUT, MALFORMED
from holdfast.serve.tensors import AS_JSON, BOUNDS

Outcome = bytes | tuple[str, str]
"""Rows as float32, or the code and the public words of a refusal."""

_BROKEN: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_Parameters = dict[str, str | int | float | bool | None]


class Tensor(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[float | bool | list[float | bool]] | msgspec.UnsetType = msgspec.UNSET
    parameters: _Parameters | None = None


class Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    inputs: tuple[Tensor, ...]
    id: str | None = None
    parameters: _Parameters | None = None
    outputs: tuple[RequestedOutput, ...] | None = None
    model_name: str | None = None


class Rows(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    rows: list[dict[str, float]]


def infer(body: bytes, names: Sequence[str], max_rows: int) -> Outcome:
    """What a call of the protocol to a model with these inputs comes to; of `id` and the like nothing is said."""
    try:
        request: Any
        try:
            request = msgspec.json.decode(body, type=InferRequest)
        except _BROKEN as error:
            first = error
            try:
                request = msgspec.json.decode(body, type=Request)
            except _BROKEN:
                raise Malformed(words_of(first)) from None
        _each_once(body)
        tensors = [(each, _flat(each)) for each in request.inputs]
        if not tensors:
            raise Malformed("there are no inputs")  # noqa: TRY301 - the same words for the caller
        if len(tensors) == 1 and tensors[0][0].name == INPUT:
            return _matrix(*tensors[0], len(names), max_rows)
        return _columns(tensors, names, max_rows)
    except Malformed as finding:
        return MALFORMED.code, str(finding)
    except InvalidInput as finding:
        return INVALID_INPUT.code, f"{INVALID_INPUT.public}: {finding.message}"


def predict(body: bytes, names: Sequence[str], max_rows: int) -> Outcome:
    """What a plain call comes to."""
    try:
        try:
            rows = msgspec.json.decode(body, type=Rows).rows
        except _BROKEN as error:
            raise Malformed(words_of_rows(body, error)) from None
        _each_once(body)
        for number, row in enumerate(rows):
            if row.keys() != set(names):
                missing = [name for name in names if name not in row]
                such = f", the first missing is {missing[0]!r}" if missing else ""
                unknown = len(row.keys() - set(names))
                words = f"in row {number}, {len(missing)} inputs are missing and {unknown} are unknown{such}"
                raise Malformed(words)  # noqa: TRY301 - the same
        return _floats([row[name] for row in rows for name in names], len(rows), max_rows)
    except Malformed as finding:
        return MALFORMED.code, str(finding)
    except InvalidInput as finding:
        return INVALID_INPUT.code, f"{INVALID_INPUT.public}: {finding.message}"


def _each_once(body: bytes) -> None:
    def distinct(pairs: list[tuple[str, Any]]) -> None:
        if len({key for key, _ in pairs}) != len(pairs):
            raise Malformed("a key is given twice")

    try:
        json.loads(body, object_pairs_hook=distinct)
    except (ValueError, RecursionError):
        raise Malformed("the body is not valid JSON") from None


def _flat(tensor: Any) -> list[Any]:
    if tensor.data is msgspec.UNSET or (
        isinstance(tensor, Tensor) and (tensor.parameters or {}).get("binary_data_size") is not None
    ):
        raise Malformed("a tensor must have either data or a binary_data_size")
    if not isinstance(tensor, Tensor):
        return list(tensor.data)
    data: list[Any] = tensor.data
    if any(isinstance(each, list) for each in data):
        widths = {len(row) if isinstance(row, list) else -1 for row in data}
        if len(widths) != 1 or tensor.shape != (len(data), *widths):
            raise Malformed("the rows of a tensor do not have its shape")
        data = [value for row in data for value in row]
    if any(isinstance(value, bool) is not (tensor.datatype == "BOOL") for value in data):
        raise Malformed("a tensor of BOOL holds true and false, and no other tensor does")
    return data


def _matrix(tensor: Any, data: list[Any], width: int, max_rows: int) -> Outcome:
    if len(tensor.shape) != 2 or tensor.shape[1] != width:
        raise InvalidInput(f"the tensor {INPUT} must have shape [n, {width}]")
    _check(tensor, data, INPUT)
    return _floats(data, tensor.shape[0], max_rows)


def _columns(tensors: list[tuple[Any, list[Any]]], names: Sequence[str], max_rows: int) -> Outcome:
    by_name = {tensor.name: (tensor, data) for tensor, data in tensors}
    if len(by_name) != len(tensors):
        raise InvalidInput("an input is given twice")
    if by_name.keys() != set(names):
        missing = [name for name in names if name not in by_name]
        raise InvalidInput(f"{len(missing)} inputs are missing, {len(by_name.keys() - set(names))} are unknown")
    shape = tensors[0][0].shape
    count = shape[0] if shape else 0
    columns = []
    for name in names:
        tensor, data = by_name[name]
        if tensor.shape not in {(count,), (count, 1)}:
            raise InvalidInput(f"input {name!r} must have shape [n] or [n, 1], the same n as the others")
        _check(tensor, data, name)
        columns.append(np.frombuffer(_floats(data, count, max_rows), np.float32))
    return np.stack(columns, axis=1).tobytes()


def _check(tensor: Any, data: list[Any], name: str) -> None:
    if tensor.datatype not in AS_JSON:
        raise InvalidInput(f"input {name!r} must have one of the datatypes {', '.join(sorted(AS_JSON))}")
    if min(tensor.shape) < 1 or math.prod(tensor.shape) != len(data):
        raise InvalidInput(f"input {name!r} does not hold as many values as its shape says")
    if tensor.parameters is not None and "binary_data_size" in tensor.parameters:
        raise Malformed("a tensor must have either data or a binary_data_size")
    if tensor.datatype == "BOOL" and not all(isinstance(value, bool) for value in data):
        raise Malformed("a tensor of BOOL holds true and false, and no other tensor does")
    bounds = BOUNDS.get(tensor.datatype)
    if bounds is not None and not all(value.is_integer() and bounds[0] <= value <= bounds[1] for value in data):
        raise InvalidInput(f"input {name!r} holds values that are no {tensor.datatype}")


def _floats(values: list[Any], rows: int, max_rows: int) -> bytes:
    if rows < 1:
        raise InvalidInput("there are no rows")
    if rows > max_rows:
        raise InvalidInput(f"{rows} rows, at most {max_rows} are allowed in one call")
    return array("f", values).tobytes()


def deepest(body: bytes) -> int:
    """The deepest nesting of brackets outside strings, byte by byte."""
    inside, escaped, now, most = False, False, 0, 0
    for each in body:
        if escaped:
            escaped = False
        elif inside:
            escaped, inside = each == ord("\\"), each != ord('"')
        elif each == ord('"'):
            inside = True
        else:
            now += (each in b"[{") - (each in b"]}")
            most = max(most, now)
    return most
