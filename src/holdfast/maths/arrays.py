"""What every function of this package demands of its arrays: one dimension, numbers, finite, not empty.

Decides what is refused; computes nothing. Text is never read as a number, and a masked array is refused because numpy
drops the mask without a word.
"""

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

_NUMBERS: Final = "biuf"  # numpy's kinds of dtype: bool, int, unsigned, float
_CLASSES: Final = "biufU"  # a class may also be named by text
MAX_TALLY: Final = 2**53  # beyond it a float64 can no longer tell one count from the next


def numbers(values: npt.ArrayLike, name: str) -> Floats:
    """Return one-dimensional, non-empty numbers as float64; NaN and infinities may be among them.

    Raises:
        ValueError: Not one-dimensional, empty, masked, or not numeric.

    >>> numbers([1, 2], "x")
    array([1., 2.])
    """
    array = _vector(values, name)
    if array.dtype.kind not in _NUMBERS:
        raise ValueError(f"{name} must be numbers, got dtype {array.dtype}")
    return array.astype(np.float64, copy=False)


def finite(values: npt.ArrayLike, name: str) -> Floats:
    """Return one-dimensional, non-empty, finite numbers as float64.

    Raises:
        ValueError: As `numbers`, or NaN or infinity among them.

    >>> finite([True, 0.5], "x")
    array([1. , 0.5])
    """
    array = numbers(values, name)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity")
    return array


def probabilities(values: npt.ArrayLike, name: str) -> Floats:
    """Return one-dimensional, non-empty numbers between 0 and 1.

    Raises:
        ValueError: As `finite`, or a number outside [0, 1].

    >>> probabilities([0, 1, 0.25], "p")
    array([0.  , 1.  , 0.25])
    """
    array = finite(values, name)
    if array.min() < 0 or array.max() > 1:
        raise ValueError(f"{name} must lie between 0 and 1")
    return array


def binary(values: npt.ArrayLike, name: str) -> Flags:
    """Return labels 0 and 1 as booleans; 1 is the positive class.

    Raises:
        ValueError: As `finite`, or a value that is neither 0 nor 1.

    >>> binary([0, 1.0], "y")
    array([False,  True])
    """
    array = finite(values, name)
    positive: Flags = array == 1
    if not (positive | (array == 0)).all():
        raise ValueError(f"{name} must hold nothing but 0 and 1")
    return positive


def classes(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """Return class or group names as they are: text or numbers, none of them missing.

    An object array, which is how data frames hand over text, is accepted if every element is a `str`.

    Raises:
        ValueError: Not one-dimensional, empty, masked, of another type, or with NaN or None among them.

    >>> classes(["b", "a"], "group").tolist()
    ['b', 'a']
    """
    array = _vector(values, name)
    if array.dtype.kind == "O" and all(isinstance(value, str) for value in array):
        array = array.astype(np.str_)
    if array.dtype.kind not in _CLASSES:
        raise ValueError(f"{name} must be text or numbers without missing values, got dtype {array.dtype}")
    return finite(array, name) if array.dtype.kind == "f" else array


def tallies(values: npt.ArrayLike, name: str) -> Floats:
    """Return counts (whole numbers, none negative, at least one positive) as float64.

    Raises:
        ValueError: As `finite`, or a count that is negative, fractional or above `MAX_TALLY`, or nothing counted.

    >>> tallies((3, 0), "counts")
    array([3., 0.])
    """
    array = finite(values, name)
    if array.min() < 0 or array.max() > MAX_TALLY or (array != np.floor(array)).any():
        raise ValueError(f"{name} must be whole numbers from 0 to {MAX_TALLY}")
    if not array.any():
        raise ValueError(f"{name} counts nothing")  # empty means no
    return array


def same_length(**arrays: npt.NDArray[Any]) -> None:
    """Demand one length of all arrays.

    Raises:
        ValueError: Two of them differ; the message names every length.

    >>> same_length(x=np.zeros(2), y=np.ones(2))
    """
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"rows do not pair up: {lengths}")


def _vector(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray):
        message = f"{name} is a masked array; decide what its missing values mean first"
        raise ValueError(message)  # noqa: TRY004 - callers catch one error for every unusable sample
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty")  # empty means no
    return array
