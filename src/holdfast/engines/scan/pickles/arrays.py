"""The raw bytes of arrays that joblib writes between the opcodes of a pickle: how many there are.

After `joblib.numpy_pickle.NumpyArrayWrapper` (BSD-3-Clause). What cannot be told exactly is not skipped.
"""

from math import prod
from typing import Final

from holdfast.engines.scan.pickles.values import Instance, Mapping, Tuple, Value

WRAPPER: Final = "joblib.numpy_pickle.NumpyArrayWrapper"
OBJECTS: Final = -1
"""Instead of a size: the array holds objects, and a pickle of its own follows."""
UNKNOWN_SIZE: Final = -2
"""Instead of a size: the description does not tell."""
_HAS_OBJECT: Final = 0x01  # NPY_ITEM_HASOBJECT in the flags of a dtype
_CHARACTER: Final = 4  # bytes of a character of a numpy string
_STATE: Final = 8  # entries of a dtype's state from its third version on


def size(wrapper: Value) -> int:
    """Return how many bytes of an array follow a wrapper's BUILD, without padding; or `OBJECTS`, or `UNKNOWN_SIZE`."""
    if not isinstance(wrapper, Instance) or not isinstance(wrapper.state, Mapping) or not wrapper.state.whole:
        return UNKNOWN_SIZE
    shape, dtype = wrapper.state.entries.get("shape"), wrapper.state.entries.get("dtype")
    each = _item(dtype)
    if each == OBJECTS:
        return OBJECTS
    if each < 0 or not isinstance(shape, Tuple) or shape.length != len(shape.items):
        return UNKNOWN_SIZE
    sizes = [item for item in shape.items if type(item) is int and item >= 0]
    return prod(sizes) * each if len(sizes) == shape.length else UNKNOWN_SIZE


def padded(wrapper: Value) -> bool:
    """Return whether a byte with the length of a padding comes first, as joblib writes since 1.1."""
    entries = wrapper.state.entries if isinstance(wrapper, Instance) and isinstance(wrapper.state, Mapping) else {}
    return type(entries.get("numpy_array_alignment_bytes")) is int


def _item(dtype: Value) -> int:
    """Return the bytes of one element of a dtype, or a negative number as `size` does."""
    if not isinstance(dtype, Instance) or dtype.of != "numpy.dtype" or dtype.args is None or not dtype.args.items:
        return UNKNOWN_SIZE
    code, state = dtype.args.items[0], dtype.state
    if not isinstance(code, str) or not code:
        return UNKNOWN_SIZE
    flags = state.items[7] if isinstance(state, Tuple) and len(state.items) >= _STATE else 0
    if code[0] == "O" or (type(flags) is int and flags & _HAS_OBJECT):
        return OBJECTS
    if not code[1:].isdecimal() or len(code) > 12:
        return UNKNOWN_SIZE
    return int(code[1:]) * (_CHARACTER if code[0] == "U" else 1)
