"""Opcodes that execute: imports, calls, states. What they would do is handed to the judge."""

from holdfast.core.evidence import Severity
from holdfast.engines.scan.pickles.machine import Break, Dialect, Handler, How, Machine
from holdfast.engines.scan.pickles.structures import tuple_from
from holdfast.engines.scan.pickles.values import (
    MAX_TEXT,
    PASSIVE,
    PERSISTENT,
    TEXT,
    UNKNOWN,
    Constant,
    Global,
    Instance,
    Tuple,
    Value,
    kind,
)


def global_(machine: Machine, position: int) -> int:
    """`c`: import a name."""
    module, after = _name(machine, position)
    name, after = _name(machine, after)
    _import(machine, module, name, position - 1)
    return after


def stack_global(machine: Machine, position: int) -> int:
    """STACK_GLOBAL: import a name that lies on the stack, wherever it came from."""
    name, module = machine.pop(position - 1), machine.pop(position - 1)
    if not isinstance(module, str) or not isinstance(name, str):
        if _may_be_text(module) and _may_be_text(name):
            words = "an import whose name is not in the stream as a short string"
            machine.add(Severity.HIGH, "pickle.unknown-callable", position - 1, words)
            machine.stack.append(UNKNOWN)
            return position
        raise Break(position - 1, "an import whose name is not a string")
    _import(machine, module, name, position - 1)
    return position


def _import(machine: Machine, module: str, name: str, at: int) -> None:
    found = Global(module, name, at)
    machine.judge.imports(found)
    machine.stack.append(found)


def _name(machine: Machine, position: int) -> tuple[str, int]:
    line, after = machine.line(position)
    if after - position > MAX_TEXT:
        words = f"an imported name of {after - position} bytes"
        machine.add(Severity.HIGH, "pickle.unknown-callable", position, words)
    try:
        return line.decode("utf-8"), after
    except UnicodeDecodeError:
        raise Break(position, "an imported name that is not UTF-8") from None


def extension(width: int) -> Handler:
    """EXT1, EXT2 and EXT4: an import by a number that each installation assigns."""

    def push(machine: Machine, position: int) -> int:
        code, after = machine.number(position, width)
        words = f"an import by the number {code}, which copyreg.add_extension gives to any name"
        machine.add(Severity.HIGH, "pickle.extension", position - 1, words)
        machine.stack.append(UNKNOWN)
        return after

    return push


def persistent_line(machine: Machine, position: int) -> int:
    """`P`: an object by a name that the program gives a meaning."""
    line, after = machine.line(position)
    _persistent(machine, line.decode("ascii", "replace"), position - 1)
    return after


def persistent(machine: Machine, position: int) -> int:
    """BINPERSID: an object by a value on the stack."""
    _persistent(machine, machine.pop(position - 1), position - 1)
    return position


def _persistent(machine: Machine, identity: Value, at: int) -> None:
    if machine.identities is not None:
        machine.identities.append(identity)
    if machine.dialect is Dialect.TORCH and (container := _container(identity)):
        machine.stack.append(container)
        return
    if not (machine.dialect is Dialect.TORCH and _is_storage(identity)):
        words = "an object that only the program behind this file can make (persistent id)"
        machine.add(Severity.MEDIUM, "pickle.persistent-id", at, words)
    machine.stack.append(PERSISTENT)


def reduce(machine: Machine, position: int) -> int:
    """`R`: call."""
    args, callee = machine.pop(position - 1), _callable(machine.pop(position - 1), position - 1)
    machine.stack.append(machine.judge.calls(How.CALL, callee, _arguments(args), position - 1))
    return position


def newobj(machine: Machine, position: int) -> int:
    """NEWOBJ: a new object of a class, without its initialiser."""
    args, cls = machine.pop(position - 1), _callable(machine.pop(position - 1), position - 1)
    machine.stack.append(machine.judge.calls(How.NEW, cls, _arguments(args), position - 1))
    return position


def newobj_ex(machine: Machine, position: int) -> int:
    """NEWOBJ_EX: the same with keyword arguments."""
    named, args, cls = (machine.pop(position - 1) for _ in range(3))
    given, cls = _arguments(args), _callable(cls, position - 1)
    items = [*given.items, named]
    both = Tuple(tuple(items), given.length + 1, given.weight + 1)
    machine.stack.append(machine.judge.calls(How.NEW, cls, both, position - 1))
    return position


def inst(machine: Machine, position: int) -> int:
    """`i`: import a class and call it with everything to the mark."""
    module, after = _name(machine, position)
    name, after = _name(machine, after)
    args = tuple_from(machine, machine.opened(machine.to_mark(position - 1)), position - 1)
    found = Global(module, name, position - 1)
    machine.judge.imports(found)
    machine.stack.append(machine.judge.calls(How.CALL, found, args, position - 1))
    return after


def obj(machine: Machine, position: int) -> int:
    """`o`: call the first after the mark with the others."""
    items = machine.opened(machine.to_mark(position - 1))
    if not items:
        raise Break(position - 1, "nothing to call")
    machine.stack.append(
        machine.judge.calls(
            How.CALL, _callable(items[0], position - 1), tuple_from(machine, items[1:], position - 1), position - 1
        )
    )
    return position


def build(machine: Machine, position: int) -> int:
    """`b`: set the state of the object below; joblib writes an array's raw bytes after it."""
    state = machine.pop(position - 1)
    target = machine.pop(position - 1)
    built = machine.judge.builds(target, state, position - 1)
    machine.stack.append(built)
    return machine.arrays(built, position)


def _callable(value: Value, at: int) -> Value:
    """Return a value that is about to be called.

    Raises:
        Break: It is a number, a string or a container: CPython stops.
    """
    if kind(value) in PASSIVE:
        raise Break(at, f"a call of a value of kind {kind(value)}")
    return value


def _may_be_text(value: Value) -> bool:
    if isinstance(value, Instance):
        return not value.certain
    if isinstance(value, Constant):
        return value.kind == "str"
    return isinstance(value, str) or value is TEXT or value is UNKNOWN or value is PERSISTENT


def _arguments(value: Value) -> Tuple:
    return value if isinstance(value, Tuple) else Tuple((value,), -1, 1)


def _container(identity: Value) -> Global | None:
    """Return the class that a persistent id of torch's older form stands for: ("module", the class, file, source)."""
    if isinstance(identity, Tuple) and identity.length == len(identity.items) == 4 and identity.items[0] == "module":
        return identity.items[1] if isinstance(identity.items[1], Global) else None
    return None


def _is_storage(identity: Value) -> bool:
    """Return whether a persistent id is torch's: ("storage", a storage class, key, device, number of elements)."""
    if not isinstance(identity, Tuple) or identity.length not in {5, 6} or not identity.items:
        return False
    word, storage, key, device, count, *_ = identity.items
    named = isinstance(storage, Global) and storage.module in {"torch", "torch.storage"}
    return word == "storage" and named and all(isinstance(each, str) for each in (key, device)) and type(count) is int
