"""What a model may be asked: the inputs of its signature, all of them, once, as finite numbers in their range.

Margin policy. A value inside its declared range passes. One outside it by at most `margin` times the width of the range
passes, and its row is flagged in the answer and counted. What lies farther out is refused (`outside = "reject"`) or
flagged like the rest (`outside = "flag"`). An input without declared bounds may be any finite float32. One of a column
of whole numbers takes no fraction, whatever the policy: it would be a value of another type, not a distant one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core import places
from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Refusal, broken
from holdfast.core.schema import Signature
from holdfast.serve.given import GIVEN, decode, given_in
from holdfast.serve.guards.surroundings import Surroundings
from holdfast.serve.plain import decode_rows
from holdfast.serve.protocol import (
    INPUT,
    InferRequest,
    Malformed,
    Operation,
    Tensor,
    decode_binary,
    decode_infer,
    wanted,
)
from holdfast.serve.refusals import INVALID_INPUT, MALFORMED, NO_SUCH_PATH
from holdfast.serve.spoiled import SPOILED, Found, of_body, of_fractions, of_rows
from holdfast.serve.takes import Takes
from holdfast.serve.values import array_of, check_count, side_by_side, values_of

MOST_ROWS: Final = 100_000  # of one call, whatever the table says: more belongs into a batch
AT_A_TIME: Final = 16  # rows that are compared as one
MANY_ROWS: Final = 64  # from which on that pays
MOST_TOLD: Final = 1000  # rows of a call whose flagged ones are named: a header must not grow without end
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
    takes: Takes | None = None  # what callers give by name, where that is not all inputs as numbers
    whole: NDArray[np.bool_] | None = None  # shape (features,); None: none of them is
    lows: NDArray[np.float32] = field(init=False)  # shape (features * AT_A_TIME,)
    highs: NDArray[np.float32] = field(init=False)

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the numbers that callers give."""
        return self.names if self.takes is None else self.takes.numbers

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

    def fractions(self, rows: NDArray[np.float32]) -> NDArray[np.bool_] | None:
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
        return cls(names=names, takes=Takes.of(signature), whole=whole if whole.any() else None, **bounds)


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
            if inside and domain.fractions(every) is None:
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
        fractions = domain.fractions(rows)
        return call if fractions is None else self._fractional(call, fractions, domain)

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:
        """Let the answer out with what must be said about its input."""
        if call.flags:
            answer.flags = (*answer.flags, *call.flags)
        return answer

    def _rows(self, call: Call, domain: Domain) -> NDArray[np.float32]:
        takes = domain.takes
        if takes is not None and (takes.texts or GIVEN in call.notes):
            return self._by_name(call, takes)
        if call.operation == Operation.PREDICT:
            flat = decode_rows(call.body, domain.names)
            return array_of(flat, len(flat) // len(domain.names), len(domain.names), self.max_rows)
        request = decode_infer(call.body) if call.head is None else decode_binary(call.body, call.head)
        _take(request, call)
        if len(request.inputs) == 1 and request.inputs[0].name == INPUT:
            return self._matrix(request.inputs[0], domain)
        return self._columns(request.inputs, domain.names)

    def _by_name(self, call: Call, takes: Takes) -> NDArray[np.float32]:
        """Return the rows of a call that gives its inputs by name, and write its texts down for other guards."""
        given = call.notes.pop(GIVEN, None) or given_in(decode(call), takes)
        if given.request is not None:
            _take(given.request, call)
        check_count(given.rows, self.max_rows)
        found = takes.rows(given.rows, given.numbers, given.texts)
        call.texts = given.texts
        return found

    def _matrix(self, tensor: Tensor, domain: Domain) -> NDArray[np.float32]:
        """Return the rows of the one tensor `input`, of shape [n, features]."""
        width = len(domain.names)
        if len(tensor.shape) != _MATRIX or tensor.shape[1] != width:
            raise InvalidInput(f"the tensor {INPUT} must have shape [n, {width}]")
        return array_of(values_of(tensor, INPUT), tensor.shape[0], width, self.max_rows)

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
            columns.append(values_of(tensor, name))
            check_count(count, self.max_rows)
        return side_by_side(columns, count)

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
        flagged = np.flatnonzero(~inside.all(axis=1)).tolist()
        call.flagged = len(flagged)
        if 1 < len(rows) <= MOST_TOLD:
            call.notes[OUT_OF_RANGE] = places.said(flagged)
        return None

    def _fractional(self, call: Call, fractions: NDArray[np.bool_], domain: Domain) -> Refusal:
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
