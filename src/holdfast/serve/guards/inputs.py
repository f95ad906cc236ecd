"""What a model may be asked: the inputs of its signature, all of them, once, as finite numbers in their range.

Margin policy. A value inside its declared range passes. One outside it by at most `margin` times the width of the range
passes, and its row is flagged in the answer and counted. What lies farther out is refused (`outside = "reject"`) or
flagged like the rest (`outside = "flag"`). An input without declared bounds may be any finite float32. One of a column
of whole numbers takes no fraction, whatever the policy: it would be a value of another type, not a distant one.
"""

import math
import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, ClassVar, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Refusal, broken
from holdfast.core.schema import Signature
from holdfast.serve.guards.surroundings import Surroundings
from holdfast.serve.plain import decode_rows, decode_text_rows
from holdfast.serve.protocol import (
    INPUT,
    InferRequest,
    Malformed,
    Operation,
    Tensor,
    decode_binary,
    decode_infer,
    decode_texts,
    wanted,
)
from holdfast.serve.refusals import INVALID_INPUT, MALFORMED, NO_SUCH_PATH
from holdfast.serve.spoiled import SPOILED, Found, of_body, of_fractions, of_rows
from holdfast.serve.tensors import AS_JSON, BOUNDS, BYTES, ELEMENTS
from holdfast.serve.texts import Texts

MOST_ROWS: Final = 100_000  # of one call, whatever the table says: more belongs into a batch
AT_A_TIME: Final = 16  # rows that are compared as one
MANY_ROWS: Final = 64  # from which on that pays
MANY: Final = 256  # values from which on numpy's cast is worth its overhead
MAX_REQUEST_ID: Final = 128  # characters; it is echoed
OUT_OF_RANGE: Final = "out-of-range"
_FLOAT32: Final = float(np.finfo(np.float32).max)
_MATRIX: Final = 2  # dimensions


class ValidInputSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many rows a call may hold, and how far from its declared range a value may lie."""

    max_rows: int
    margin: float = 1.0
    outside: Literal["reject", "flag"] = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """The inputs of one release, ready to be compared with; arrays have shape (features,)."""

    names: tuple[str, ...]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]
    texts: Texts | None = None  # what callers give instead, where the release takes texts
    whole: NDArray[np.bool_] | None = None  # shape (features,); None: none of them is
    lows: NDArray[np.float32] = field(init=False)  # shape (features * AT_A_TIME,)
    highs: NDArray[np.float32] = field(init=False)

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the numbers that callers give."""
        return self.names if self.texts is None else self.texts.numbers

    def __post_init__(self) -> None:
        """Lay the bounds out for several rows."""
        object.__setattr__(self, "lows", np.tile(self.low, AT_A_TIME))
        object.__setattr__(self, "highs", np.tile(self.high, AT_A_TIME))

    def holds(self, rows: NDArray[np.float32]) -> bool:
        """Say whether every value of rows of shape (n, features), laid out row by row, is inside its declared range.

        Some rows at a time are compared as one: numpy takes longer to begin a short row than to compare it.
        """
        groups = len(rows) // AT_A_TIME
        whole, rest = rows[: groups * AT_A_TIME].reshape(groups, -1), rows[groups * AT_A_TIME :]
        inside = (whole >= self.lows) & (whole <= self.highs), (rest >= self.low) & (rest <= self.high)
        return all(b"\0" not in each.tobytes() for each in inside)

    def broken(self, rows: NDArray[np.float32]) -> NDArray[np.bool_] | None:
        """Return which finite values of rows are fractions where whole numbers belong; None where none is."""
        if self.whole is None:
            return None
        found: NDArray[np.bool_] = (np.rint(rows) != rows) & self.whole
        return found if b"\1" in found.tobytes() else None

    @classmethod
    def of(cls, signature: Signature, settings: ValidInputSettings) -> "Domain":
        """Return the domain of a signature under a margin policy."""
        low, high, lowest, highest = [], [], [], []
        for each in signature.inputs:
            bottom = -_FLOAT32 if each.minimum is None else max(each.minimum, -_FLOAT32)
            top = _FLOAT32 if each.maximum is None else min(each.maximum, _FLOAT32)
            bounded = each.minimum is not None and each.maximum is not None
            # Of a range open to one side nobody knows the width: there, the bound itself is the limit.
            slack = settings.margin * (top - bottom) if bounded else 0.0
            reach = math.inf if settings.outside == "flag" else slack
            low.append(bottom)
            high.append(top)
            lowest.append(max(bottom - reach, -_FLOAT32))
            highest.append(min(top + reach, _FLOAT32))
        arrays = [np.array(bounds, dtype=np.float32) for bounds in (low, high, lowest, highest)]
        names = tuple(each.name for each in signature.inputs)
        bounds = {"low": arrays[0], "high": arrays[1], "lowest": arrays[2], "highest": arrays[3]}
        whole = np.array([each.whole is True for each in signature.inputs])
        return cls(names=names, texts=Texts.of(signature), whole=whole if whole.any() else None, **bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidInput:
    """A call holds rows that the model was made for; NaN and infinity are inside no range."""

    name: str = "valid-input"
    together: ClassVar[bool] = True
    max_rows: int
    domains: Mapping[str, Domain]

    def admit(self, call: Call) -> Call | Refusal:
        """Decode the body, compare it with the release's signature, and write down the rows."""
        rows = self._decoded(call)
        if isinstance(rows, Refusal):
            return rows
        return self._compared(call, rows, self.domains[call.release])

    def admit_all(self, found: list[Call | Refusal]) -> None:
        """Put in the place of each call what `admit` says of it; where all rows are inside, they are compared at once.

        A call whose decoding or comparing raises is refused, as the chain would refuse it, and it alone.
        """
        decoded: dict[str, list[tuple[int, Call, NDArray[np.float32]]]] = {}
        for number, call in enumerate(found):
            if isinstance(call, Refusal):
                continue
            try:
                rows = self._decoded(call)
            except Exception as error:  # noqa: BLE001 - fail closed, whatever it is
                rows = broken(self, error)
            if isinstance(rows, Refusal):
                found[number] = rows
            else:
                decoded.setdefault(call.release, []).append((number, call, rows))
        for release, group in decoded.items():
            domain = self.domains[release]
            every = np.concatenate([rows for _, _, rows in group])
            inside = b"\0" not in ((every >= domain.low) & (every <= domain.high)).tobytes()
            if inside and domain.broken(every) is None:
                for _, call, rows in group:
                    call.rows = rows
            else:
                for number, call, rows in group:
                    try:
                        found[number] = self._compared(call, rows, domain)
                    except Exception as error:  # noqa: BLE001 - the same, and nobody else's call is meant
                        found[number] = broken(self, error)

    def _decoded(self, call: Call) -> NDArray[np.float32] | Refusal:
        """Return the rows in a body."""
        domain = self.domains.get(call.release)
        if domain is None:  # the key names a model that this table does not serve
            return NO_SUCH_PATH.refusal(self.name, f"{call.model} is not served")
        try:
            return self._rows(call, domain)
        except Malformed as finding:
            if call.operation == Operation.PREDICT:
                call.notes[SPOILED] = of_body(call.body, domain.given)
            return MALFORMED.refusal(self.name, str(finding), public=str(finding))
        except InvalidInput as finding:
            if finding.place in domain.names:
                call.notes[SPOILED] = Found(inputs={finding.place: (0, 1, 0)}, rows=1)
            words = f"{INVALID_INPUT.public}: {finding.message}"
            return INVALID_INPUT.refusal(self.name, finding.message, public=words)

    def _compared(self, call: Call, rows: NDArray[np.float32], domain: Domain) -> Call | Refusal:
        """Write down the rows if they are inside, or may be outside."""
        call.rows = rows
        if not (len(rows) >= MANY_ROWS and domain.holds(rows)):
            inside = (rows >= domain.low) & (rows <= domain.high)
            # The same as not inside.all(), in a quarter of its time on a single row.
            if b"\0" in inside.tobytes() and (refusal := self._outside(call, rows, inside, domain)) is not None:
                return refusal
        fractions = domain.broken(rows)
        return call if fractions is None else self._broken(call, fractions, domain)

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:
        """Let the answer out with what must be said about its input."""
        if call.flags:
            answer.flags = (*answer.flags, *call.flags)
        return answer

    def _rows(self, call: Call, domain: Domain) -> NDArray[np.float32]:
        if domain.texts is not None:
            return self._texts(call, domain.texts)
        if call.operation == Operation.PREDICT:
            flat = decode_rows(call.body, domain.names)
            return _array(flat, len(flat) // len(domain.names), len(domain.names), self.max_rows)
        request = decode_infer(call.body) if call.head is None else decode_binary(call.body, call.head)
        _take(request, call)
        if len(request.inputs) == 1 and request.inputs[0].name == INPUT:
            return self._matrix(request.inputs[0], domain)
        return self._columns(request.inputs, domain.names)

    def _texts(self, call: Call, takes: Texts) -> NDArray[np.float32]:
        """Return the rows of a call to a release that takes texts, and write the texts down for other guards."""
        if call.operation == Operation.PREDICT:
            rows = decode_text_rows(call.body, takes.numbers, takes.names)
            texts = {name: [row[name] for row in rows] for name in takes.names}
            flat = [row[name] for row in rows for name in takes.numbers]
            numbers = _array(flat, len(rows), len(takes.numbers), self.max_rows)
        else:
            request = decode_texts(call.body, call.head)
            _take(request, call)
            numbers, texts = self._mixed(request.inputs, takes)
        found = takes.rows(numbers, texts)
        call.texts = texts
        return found

    def _mixed(self, tensors: Sequence[Tensor], takes: Texts) -> tuple[NDArray[np.float32], dict[str, list[str]]]:
        """Return numbers and texts of one tensor for each, all of shape [n] or [n, 1]."""
        given: dict[str, list[str]] = {}
        for tensor in tensors:
            if tensor.datatype == BYTES and tensor.name in takes.names and tensor.name not in given:
                data: Any = tensor.data
                given[tensor.name] = data
        if given.keys() != set(takes.names):
            raise InvalidInput(f"{len(takes.names) - len(given)} texts are missing: one tensor of BYTES for each")
        rest = [tensor for tensor in tensors if tensor.datatype != BYTES]
        count = len(next(iter(given.values())))
        shapes = {tensor.shape for tensor in tensors}
        if len(tensors) != len(given) + len(takes.numbers) or not shapes <= {(count,), (count, 1)}:
            raise InvalidInput(
                "each input is one tensor of shape [n] or [n, 1], the same n for all, and there are no others"
            )
        if any(len(texts) != count for texts in given.values()):
            raise InvalidInput("an input does not hold as many texts as its shape says")
        numbers = self._columns(rest, takes.numbers) if rest else _array([], count, 0, self.max_rows)
        return numbers, given

    def _matrix(self, tensor: Tensor, domain: Domain) -> NDArray[np.float32]:
        """Return the rows of the one tensor `input`, of shape [n, features]."""
        width = len(domain.names)
        if len(tensor.shape) != _MATRIX or tensor.shape[1] != width:
            raise InvalidInput(f"the tensor {INPUT} must have shape [n, {width}]")
        return _array(_values(tensor, INPUT), tensor.shape[0], width, self.max_rows)

    def _columns(self, tensors: Sequence[Tensor], names: Sequence[str]) -> NDArray[np.float32]:
        """Return the rows of one tensor for each input, each of shape [n] or [n, 1]."""
        by_name = {tensor.name: tensor for tensor in tensors}
        if len(by_name) != len(tensors):
            raise InvalidInput("an input is given twice")
        if by_name.keys() != set(names):
            missing = [name for name in names if name not in by_name]
            raise InvalidInput(f"{len(missing)} inputs are missing, {len(by_name.keys() - set(names))} are unknown")
        count = tensors[0].shape[0] if tensors[0].shape else 0
        columns = []
        for name in names:
            tensor = by_name[name]
            if tensor.shape not in {(count,), (count, 1)}:
                raise InvalidInput(f"input {name!r} must have shape [n] or [n, 1], the same n as the others")
            columns.append(_values(tensor, name))
            _check_count(count, self.max_rows)
        return _side_by_side(columns, count)

    def _outside(
        self, call: Call, rows: NDArray[np.float32], inside: NDArray[np.bool_], domain: Domain
    ) -> Refusal | None:
        """Refuse or flag a call with values outside their declared range; None where it is flagged."""
        call.notes[SPOILED] = of_rows(rows, inside, domain.names)
        bearable = (rows >= domain.lowest) & (rows <= domain.highest)  # comparing with NaN is false: never bearable
        if not bearable.all():
            row, column = np.argwhere(~bearable)[0].tolist()
            words = f"{INVALID_INPUT.public}: input {domain.names[column]!r} of row {row} is out of its range"
            return INVALID_INPUT.refusal(self.name, f"{int((~bearable).sum())} values out of range", public=words)
        call.flags = (*call.flags, OUT_OF_RANGE)
        call.flagged = int((~inside).any(axis=1).sum())
        return None

    def _broken(self, call: Call, fractions: NDArray[np.bool_], domain: Domain) -> Refusal:
        """Refuse a call with fractions where whole numbers belong."""
        call.notes[SPOILED] = of_fractions(fractions, domain.names)
        row, column = np.argwhere(fractions)[0].tolist()
        words = f"{INVALID_INPUT.public}: input {domain.names[column]!r} of row {row} takes whole numbers only"
        return INVALID_INPUT.refusal(self.name, f"{int(fractions.sum())} fractions of whole numbers", public=words)


def _take(request: InferRequest, call: Call) -> None:
    """Check what a request says beside its inputs, and write down what it wants."""
    if request.id is not None and len(request.id) > MAX_REQUEST_ID:
        raise Malformed(f"the id is longer than {MAX_REQUEST_ID} characters")
    if not request.inputs:  # empty means no
        raise Malformed("there are no inputs")
    if request.model_name is not None and request.model_name != call.model:
        raise Malformed("model_name is another model's than the path's")
    call.request_id = request.id or ""
    if request.outputs is not None or request.parameters is not None:
        call.outputs, call.binary = wanted(request)


def _values(tensor: Tensor, name: str) -> list[float] | NDArray[Any]:
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


def _check_count(rows: int, max_rows: int) -> None:
    if rows < 1:
        raise InvalidInput("there are no rows")
    if rows > max_rows:
        raise InvalidInput(f"{rows} rows, at most {max_rows} are allowed in one call")


def _array(flat: list[float] | NDArray[Any], rows: int, width: int, max_rows: int) -> NDArray[np.float32]:
    """Return flat values as float32 rows; what float32 cannot hold becomes infinite, and so is inside no range."""
    _check_count(rows, max_rows)
    if isinstance(flat, list) and len(flat) < MANY:
        # Through C's own cast, which overflows to infinity in silence where numpy would warn.
        return np.frombuffer(array("f", flat), dtype=np.float32).reshape(rows, width)
    values = _doubles(flat) if isinstance(flat, list) else flat
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32).reshape(rows, width)


def _side_by_side(columns: Sequence[list[float] | NDArray[Any]], count: int) -> NDArray[np.float32]:
    """Return columns of `count` values each as float32 rows of shape (count, columns), as `_array` makes them."""
    lists = [each for each in columns if isinstance(each, list)]
    if len(lists) == len(columns):
        flat = list(chain.from_iterable(lists))
        return np.ascontiguousarray(_array(flat, len(columns), count, len(columns)).T)
    found = np.empty((count, len(columns)), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for number, each in enumerate(columns):
            found[:, number] = each
    return found


def valid_input(settings: ValidInputSettings, surroundings: Surroundings) -> ValidInput:
    """Build the guard for every release of the table.

    Raises:
        InvalidInput: A limit that admits nothing, or a negative margin.
    """
    if not 1 <= settings.max_rows <= MOST_ROWS or not 0 <= settings.margin < math.inf:
        raise InvalidInput(
            "valid-input has a limit that means nothing", place="routes", expected=f"1 to {MOST_ROWS} rows"
        )
    domains = {digest: Domain.of(signature, settings) for digest, signature in surroundings.signatures.items()}
    return ValidInput(max_rows=settings.max_rows, domains=domains)
