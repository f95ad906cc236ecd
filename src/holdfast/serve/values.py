"""The values of tensors: flat numbers that fit their datatype and shape, and the rows of 32-bit floats they become."""

import math
import struct
from array import array
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import InvalidInput
from holdfast.serve.protocol import Malformed, Tensor
from holdfast.serve.tensors import AS_JSON, BOUNDS, ELEMENTS

MANY: Final = 256  # values from which on numpy's cast is worth its overhead


def values_of(tensor: Tensor, name: str) -> list[float] | NDArray[Any]:
    """Return a tensor's values flat, if datatype and size are right; the shape has one or two dimensions.

    Many values come as doubles, so that what follows is said of all at once.
    """
    values = tensor.data
    whole = isinstance(values, list)  # else it came as bytes, whose values are what their datatype says
    if tensor.datatype not in (AS_JSON if whole else ELEMENTS):
        raise InvalidInput(f"input {name!r} must have one of the datatypes {', '.join(sorted(AS_JSON))}", place=name)
    # Python's integers do not wrap around, so no product of a shape can overflow into a small one.
    if min(tensor.shape) < 1 or math.prod(tensor.shape) != len(values):
        raise InvalidInput(f"input {name!r} does not hold as many values as its shape says")
    if not whole:
        return values
    if tensor.parameters is not None and "binary_data_size" in tensor.parameters:
        raise Malformed("a tensor must have either data or a binary_data_size")
    if tensor.datatype == "BOOL" and set(map(type, values)) != {bool}:
        raise Malformed("a tensor of BOOL holds true and false, and no other tensor does")
    found = values if len(values) < MANY else _doubles(values)
    if tensor.datatype in BOUNDS and not _are_whole(found, tensor.datatype):
        raise InvalidInput(f"input {name!r} holds values that are no {tensor.datatype}")
    return found


def _are_whole(values: list[float] | NDArray[np.float64], datatype: str) -> bool:
    """Say whether all values are whole numbers within the bounds of a datatype."""
    if isinstance(values, list):
        least, greatest = BOUNDS[datatype]
        return all(value.is_integer() and least <= value <= greatest for value in values)
    low, high = _DOUBLES[datatype]
    return bool(((values >= low) & (values <= high) & (np.trunc(values) == values)).all())


def _last_double(bound: int) -> float:
    """Return the greatest double that is not above a bound: none is 2^63 - 1, and the nearest one is above it."""
    nearest = float(bound)
    return nearest if nearest <= bound else math.nextafter(nearest, -math.inf)


_DOUBLES: Final = {name: (float(least), _last_double(greatest)) for name, (least, greatest) in BOUNDS.items()}


def _doubles(values: list[float]) -> NDArray[np.float64]:
    """Return many values as an array: in a third of the time that numpy takes."""
    return np.frombuffer(struct.pack(f"{len(values)}d", *values))


def check_count(rows: int, max_rows: int) -> None:
    """Check that a call has rows, and no more than one may have.

    Raises:
        InvalidInput: It has none, or more.
    """
    if rows < 1:
        raise InvalidInput("there are no rows")
    if rows > max_rows:
        raise InvalidInput(f"{rows} rows, at most {max_rows} are allowed in one call")


def array_of(flat: list[float] | NDArray[Any], rows: int, width: int, max_rows: int) -> NDArray[np.float32]:
    """Return flat values as float32 rows; what float32 cannot hold becomes infinite, and so is inside no range."""
    check_count(rows, max_rows)
    if isinstance(flat, list) and len(flat) < MANY:
        # Through C's own cast, which overflows to infinity in silence where numpy would warn.
        return np.frombuffer(array("f", flat), dtype=np.float32).reshape(rows, width)
    values = _doubles(flat) if isinstance(flat, list) else flat
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32).reshape(rows, width)


def side_by_side(columns: Sequence[list[float] | NDArray[Any]], count: int) -> NDArray[np.float32]:
    """Return columns of `count` values each as float32 rows of shape (count, columns), as `array_of` makes them."""
    lists = [each for each in columns if isinstance(each, list)]
    if len(lists) == len(columns):
        flat = list(chain.from_iterable(lists))
        if count == 1:  # then one lies as the other
            return array_of(flat, count, len(columns), count)
        return np.ascontiguousarray(array_of(flat, len(columns), count, len(columns)).T)
    found = np.empty((count, len(columns)), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for number, each in enumerate(columns):
            found[:, number] = each
    return found
