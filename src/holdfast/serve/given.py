"""What a call gives by name: of each row its numbers and texts, the entity that it is about, and when that was.

The other way to ask than one matrix of all inputs, and the only one where texts are read or features looked up. A call
says it in any form of the protocol: as tensors with one value for each row, in JSON or as bytes, or as rows of
`/predict`. A guard may add numbers to it; what is whole then becomes rows (`takes`).

Who names an entity may leave out what can be looked up by it, and nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from numpy.typing import NDArray

from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Call
from holdfast.core.schema import Online, Signature
from holdfast.serve.plain import decode_named_rows
from holdfast.serve.protocol import InferRequest, Malformed, Operation, Tensor, decode_texts
from holdfast.serve.takes import Takes
from holdfast.serve.tensors import BYTES
from holdfast.serve.values import values_of

GIVEN: Final = "given"  # the note on a call whose body was read already
ENTITY: Final = "entity."  # begins the name by which an entity is given: `entity.user`
MOMENT: Final = "event_time"  # names when it happened; now if left out


@dataclass(slots=True, kw_only=True)
class Given:
    """What one call gives: columns by name, one value for each row."""

    rows: int
    numbers: dict[str, list[float] | NDArray[Any]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    entity: dict[str, Sequence[object]] = field(default_factory=dict)  # by column of an entity, as it was given
    moments: Sequence[object] | None = None  # the same
    request: InferRequest | None = None  # what else it says, in the protocol


Document = InferRequest | list[dict[str, Any]]


def decode(call: Call) -> Document:
    """Return what stands in a call's body: a request whose tensors may hold texts, or rows by name.

    Raises:
        Malformed: The body is neither.
    """
    if call.operation == Operation.PREDICT:
        return decode_named_rows(call.body)
    return decode_texts(call.body, call.head)


def asked_by(signature: Signature, columns: Sequence[str], *, place: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what calls about the rows of a table give: the numbers, and who a row is about, and when, as texts.

    Args:
        signature: Of the release that is asked.
        columns: Of the table. Where it names no entity, the numbers are all that the release takes.
        place: Of the table.

    Raises:
        InvalidInput: It lacks a feature, and names no entity by which that could be looked up.
    """
    takes = Takes.of(signature)
    if takes is None:
        return tuple(each.name for each in signature.inputs), ()
    numbers, words = _asked(columns, takes)
    for each in signature.inputs:
        if not isinstance(each.online, Online) or each.name in columns:
            continue
        unnamed = [f"{ENTITY}{name}" for name in each.online.entity if f"{ENTITY}{name}" not in words]
        if unnamed:
            raise InvalidInput(
                f"there is neither a column {each.name!r} nor one called {unnamed[0]!r} to look it up by",
                place=place,
                expected="each feature, or all columns of the entity that it is about",
            )
    return numbers, words


def names_entity(document: Document, takes: Takes) -> bool:
    """Say whether a call says which entity it is about, where the release can make use of it.

    What is called like an input is that input, and no entity.
    """
    if not takes.looked_up:
        return False
    if not isinstance(document, InferRequest):
        return any(_is_entity(name, takes) for row in document[:1] for name in row)
    return any(name.startswith(ENTITY) for name in document.parameters or ()) or any(
        _is_entity(tensor.name, takes) for tensor in document.inputs
    )


def given_in(document: Document, takes: Takes) -> Given:
    """Return what a call gives, checked against what the release takes.

    Raises:
        Malformed: The body holds no inputs, or rows that do not have the same names, or values of another kind.
        InvalidInput: Tensors that do not fit: unknown, twice, missing, of another kind, or not one value for each row.
    """
    found = _of_tensors(document, takes) if isinstance(document, InferRequest) else _of_rows(document, takes)
    needed = takes.own if found.entity else takes.numbers
    lacking = [name for name in (*needed, *takes.names) if name not in found.numbers and name not in found.texts]
    if lacking:
        raise InvalidInput(f"{len(lacking)} inputs are missing, the first missing is {lacking[0]!r}")
    return found


def _asked(names: Sequence[str], takes: Takes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the numbers that are to be among some names, and those that name an entity and its moment."""
    entity = [name for name in names if _is_entity(name, takes)]
    moment = [name for name in names if entity and _is_moment(name, takes)]
    numbers = [name for name in takes.numbers if not (entity and name in takes.looked_up) or name in names]
    return tuple(numbers), (*entity, *moment)


def _is_entity(name: str, takes: Takes) -> bool:
    return bool(takes.looked_up) and name.startswith(ENTITY) and name not in takes.known


def _is_moment(name: str, takes: Takes) -> bool:
    return bool(takes.looked_up) and name == MOMENT and name not in takes.known


def _of_tensors(request: InferRequest, takes: Takes) -> Given:
    """Return columns of one tensor for each name, all of shape [n] or [n, 1]."""
    if not request.inputs:  # empty means no
        raise Malformed("there are no inputs")
    shape = request.inputs[0].shape
    count = shape[0] if shape else 0
    found = Given(rows=count, request=request)
    if len({tensor.name for tensor in request.inputs}) != len(request.inputs):
        raise InvalidInput("an input is given twice")
    for tensor in request.inputs:
        if tensor.shape not in {(count,), (count, 1)}:
            words = "each input is one tensor of shape [n] or [n, 1], the same n for all, and there are no others"
            raise InvalidInput(words)
        if tensor.name in takes.names:
            found.texts[tensor.name] = _texts(tensor)
        elif tensor.name in takes.known:
            found.numbers[tensor.name] = values_of(tensor, tensor.name)
        elif _is_entity(tensor.name, takes):
            found.entity[tensor.name.removeprefix(ENTITY)] = _texts(tensor)
        elif _is_moment(tensor.name, takes):
            found.moments = _texts(tensor)
        else:
            raise InvalidInput("an input is unknown")
    if takes.looked_up and request.parameters is not None:
        _take_parameters(found, request.parameters)
    return found


def _take_parameters(found: Given, parameters: Mapping[str, object]) -> None:
    """Write down the entity and the moment that parameters name for all rows."""
    for name, value in parameters.items():
        if name.startswith(ENTITY):
            if name.removeprefix(ENTITY) in found.entity:
                raise InvalidInput("an entity is named twice")
            found.entity[name.removeprefix(ENTITY)] = (value,) * found.rows
    if parameters.get(MOMENT) is not None:
        if found.moments is not None:
            raise InvalidInput("the moment is named twice")
        found.moments = (parameters[MOMENT],) * found.rows


def _texts(tensor: Tensor) -> list[str]:
    texts: Any = tensor.data
    if tensor.datatype != BYTES:
        raise InvalidInput(f"input {tensor.name[:80]!r} is a text: a tensor of {BYTES}")
    if len(texts) != tensor.shape[0]:
        raise InvalidInput("an input does not hold as many texts as its shape says")
    return list(texts)


def _of_rows(rows: Sequence[Mapping[str, Any]], takes: Takes) -> Given:
    """Return the columns of rows by name, which all have the same names."""
    if not rows:
        return Given(rows=0)
    numbers, named = _asked(list(rows[0]), takes)
    words = [*takes.names, *named]
    wanted = {*numbers, *words}
    for number, row in enumerate(rows):
        if row.keys() != wanted:
            missing = [name for name in (*numbers, *words) if name not in row]
            such = f", the first missing is {missing[0]!r}" if missing else ""
            unknown = len(row.keys() - wanted)
            raise Malformed(f"in row {number}, {len(missing)} inputs are missing and {unknown} are unknown{such}")
        for names, kind, what in ((numbers, float, "a number"), (words, str, "a text")):
            for name in names:
                if not isinstance(row[name], kind):
                    raise Malformed(f"in row {number}, {name[:80]!r} is not {what}")
    return Given(
        rows=len(rows),
        numbers={name: [row[name] for row in rows] for name in numbers},
        texts={name: [row[name] for row in rows] for name in takes.names},
        entity={name.removeprefix(ENTITY): [row[name] for row in rows] for name in named if name != MOMENT},
        moments=[row[MOMENT] for row in rows] if MOMENT in named else None,
    )
