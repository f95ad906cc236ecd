"""The 256 bytes and what each does, in the order of the standard library's `pickletools`."""

from typing import Final

from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.pickles import constants, entries, execution, replay, structures
from holdfast.engines.scan.pickles.machine import Dialect, Handler, Judge, Machine
from holdfast.engines.scan.pickles.values import BUFFER, EMPTY, FLOAT, LIST, SET

_HANDLERS: Final[dict[int | str, Handler]] = {
    "(": structures.mark,
    ".": structures.stop,
    "0": structures.pop,
    "1": structures.pop_mark,
    "2": structures.dup,
    "F": constants.decimal_float,
    "G": constants.fixed(8, FLOAT),
    "I": constants.decimal,
    "L": constants.decimal,
    "J": constants.small(4, signed=True),
    "K": constants.small(1),
    "M": constants.small(2),
    0x8A: constants.long(1),
    0x8B: constants.long(4),
    "N": constants.constant(None),
    0x88: constants.constant(value=True),
    0x89: constants.constant(value=False),
    "S": constants.quoted,
    "T": constants.text(4, "latin-1"),
    "U": constants.text(1, "latin-1"),
    "V": constants.unicode_line,
    "X": constants.text(4),
    0x8C: constants.short_text,
    0x8D: constants.text(8),
    "B": constants.octets(4, "bytes"),
    "C": constants.octets(1, "bytes"),
    0x8E: constants.octets(8, "bytes"),
    0x96: constants.octets(8, "bytearray"),
    0x97: constants.constant(BUFFER),
    0x98: structures.readonly_buffer,
    "]": constants.constant(LIST),
    "l": structures.list_,
    "a": structures.append,
    "e": structures.appends,
    "}": structures.empty_dict,
    "d": structures.dict_,
    "s": structures.setitem,
    "u": structures.setitems,
    ")": constants.constant(EMPTY),
    "t": structures.tuple_,
    0x85: structures.tuples(1),
    0x86: structures.tuples(2),
    0x87: structures.tuples(3),
    0x8F: constants.constant(SET),
    0x90: structures.additems,
    0x91: structures.frozenset_,
    "p": entries.put,
    "q": entries.binput(1),
    "r": entries.binput(4),
    0x94: entries.memoize,
    "g": entries.get,
    "h": entries.binget(1),
    "j": entries.binget(4),
    "c": execution.global_,
    0x93: execution.stack_global,
    0x82: execution.extension(1),
    0x83: execution.extension(2),
    0x84: execution.extension(4),
    "P": execution.persistent_line,
    "Q": execution.persistent,
    "R": execution.reduce,
    0x81: execution.newobj,
    0x92: execution.newobj_ex,
    "i": execution.inst,
    "o": execution.obj,
    "b": execution.build,
    0x80: structures.proto,
    0x95: structures.frame,
}


def _table() -> tuple[Handler, ...]:
    found: list[Handler] = [structures.unknown] * 256
    for opcode, handler in _HANDLERS.items():
        found[opcode if isinstance(opcode, int) else ord(opcode)] = handler
    return tuple(found)


TABLE: Final = _table()


def new_machine(content: Content, examination: Examination, judge: Judge, dialect: Dialect = Dialect.PLAIN) -> Machine:
    """Return a machine for one pickle with an empty stack and an empty memo."""
    return Machine(content, examination, judge, TABLE, replay.read_again, dialect)
