"""Tensors as bytes: the datatypes of Open Inference Protocol v2, and its binary tensor data extension.

The extension: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md. A
body is a head of JSON, as long as the header `Inference-Header-Content-Length` says, and behind it the data of its
tensors in their order, little-endian, each as long as its `binary_data_size` says. Every byte must belong to a tensor,
and every length must follow from shape and datatype: nothing is padded, cut, or guessed.
"""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_LENGTH: Final = struct.Struct("<I")
MAX_DIMENSIONS: Final = 8  # of a tensor's shape; a matrix has two
BF16: Final = "BF16"
ELEMENTS: Final[Mapping[str, np.dtype[Any]]] = {
    "BOOL": np.dtype("u1"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    BF16: np.dtype("<u2"),  # the upper half of a float32, which numpy has no type for
}
"""How one element of each datatype lies in bytes; of numbers, that is: BYTES holds texts."""
BYTES: Final = "BYTES"
AS_JSON: Final = frozenset(ELEMENTS) - {"FP16", BF16}
"""The datatypes that JSON can carry; the protocol sends 16-bit floats as bytes only."""
BOUNDS: Final[Mapping[str, tuple[int, int]]] = {
    name: (int(np.iinfo(kind).min), int(np.iinfo(kind).max)) for name, kind in ELEMENTS.items() if "INT" in name
}
"""The least and the greatest value of each datatype of whole numbers."""


class BadTensor(Exception):
    """Bytes are not the tensor that they are said to be; the words may be shown to the caller."""


def from_bytes(data: memoryview, datatype: str, shape: Sequence[int]) -> NDArray[Any]:
    r"""Return the elements in these bytes, flat in row-major order.

    Args:
        data: Exactly the tensor's bytes, little-endian.
        datatype: One of `ELEMENTS`.
        shape: Of the tensor; each dimension at least 0.

    Raises:
        BadTensor: The datatype is none that has elements of one size, or the length is not the shape's.

    >>> from_bytes(memoryview(b"\0\0\x80?"), "FP32", (1, 1)).tolist()
    [1.0]
    """
    kind = ELEMENTS.get(datatype)
    if kind is None:
        raise BadTensor(f"a tensor must have one of the datatypes {', '.join(ELEMENTS)}")
    if len(shape) > MAX_DIMENSIONS or min(shape, default=0) < 0:
        raise BadTensor("a tensor has a shape that means nothing")
    # Python's integers do not wrap around, so no product of a shape can overflow into a small one.
    if math.prod(shape) * kind.itemsize != len(data):
        raise BadTensor("a tensor does not hold as many bytes as its shape and datatype say")
    found: NDArray[Any] = np.frombuffer(data, dtype=kind)
    if datatype == BF16:
        return (found.astype("<u4") << 16).view("<f4")
    if datatype == "BOOL" and found.size and found.max() > 1:
        raise BadTensor("a tensor of BOOL holds bytes other than 0 and 1")
    return found


def from_texts(data: memoryview, shape: Sequence[int]) -> list[str]:
    r"""Return the texts in the bytes of a BYTES tensor, flat: each its length in four bytes and its UTF-8.

    Raises:
        BadTensor: They are more or fewer than the shape says, one is cut off, or one is no UTF-8.

    >>> from_texts(memoryview(b"\x02\x00\x00\x00ab\x00\x00\x00\x00"), (2,))
    ['ab', '']
    """
    if len(shape) > MAX_DIMENSIONS or min(shape, default=0) < 0:
        raise BadTensor("a tensor has a shape that means nothing")
    count, found, at = math.prod(shape), list[str](), 0
    if count * _LENGTH.size > len(data):  # before anything is made for so many
        raise BadTensor("a tensor does not hold as many texts as its shape says")
    for _ in range(count):
        begin = at + _LENGTH.size
        if begin > len(data):
            raise BadTensor("a tensor does not hold as many texts as its shape says")
        at = begin + _LENGTH.unpack_from(data, at)[0]
        if at > len(data):
            raise BadTensor("a text of a tensor is cut off")
        try:
            found.append(str(data[begin:at], "utf-8"))
        except UnicodeDecodeError:
            raise BadTensor("a text of a tensor is no UTF-8") from None
    if at != len(data):
        raise BadTensor("there are bytes behind the last text of a tensor")
    return found


def texts(values: Iterable[str]) -> bytes:
    r"""Return texts as a BYTES tensor: each its length in four bytes, little-endian, and its UTF-8.

    >>> texts(["ab", ""])
    b'\x02\x00\x00\x00ab\x00\x00\x00\x00'
    """
    encoded = [value.encode() for value in values]
    return b"".join(part for each in encoded for part in (struct.pack("<I", len(each)), each))
