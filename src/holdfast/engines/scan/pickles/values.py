"""What lies on a pickle's stack, as far as a reader who executes nothing can know it.

Constants are themselves (None, booleans, integers, short strings); everything else is one of the classes here. Nothing
here is ever called, and no value keeps more than a few others.
"""

from dataclasses import dataclass, field
from typing import Final, TypeAlias

MAX_ITEMS: Final = 16  # of a tuple that are kept; arguments of honest callables are fewer, the rest is counted
MAX_ENTRIES: Final = 64  # of a dictionary with string keys; joblib's description of an array has seven
MAX_TEXT: Final = 1024  # bytes of a string that is kept; names of modules and classes are shorter
HUGE: Final = 1 << 62  # more elements than anybody counts


@dataclass(frozen=True, slots=True)
class Global:
    """A name that loading imports: `module`, `name`, and the byte at which the import happens."""

    module: str
    name: str
    at: int

    @property
    def full(self) -> str:
        """Module and name, as one writes them."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Instance:
    """What a call gave back: `of` is the callable or class, `args` the arguments where they are known.

    A `certain` one comes from a call on the allow-list, so it is no string; any other could be anything.
    """

    of: str
    args: "Tuple | None" = None
    state: "Value" = None
    certain: bool = True


@dataclass(frozen=True, slots=True)
class Tuple:
    """A tuple: its first items, its length, and how many elements it has when written out, which hashing visits."""

    items: "tuple[Value, ...]"
    length: int
    weight: int


@dataclass(slots=True)
class Mapping:
    """A dictionary: the first entries with string keys, and whether everything that was put into it was looked at."""

    entries: "dict[str, Value]" = field(default_factory=dict)
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value of which only the kind is known."""

    kind: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A long string, or bytes, that stand in the stream: where, and in which encoding if it is a string."""

    kind: str
    start: int
    end: int
    encoding: str = ""


FLOAT: Final = Opaque("float")
INT: Final = Opaque("int")
TEXT: Final = Opaque("str")
LIST: Final = Opaque("list")
SET: Final = Opaque("set")
FROZENSET: Final = Opaque("frozenset")
BUFFER: Final = Opaque("buffer")
PERSISTENT: Final = Opaque("persistent")
UNKNOWN: Final = Opaque("unknown")

Value: TypeAlias = bool | int | str | Global | Instance | Tuple | Mapping | Opaque | Constant | None

EMPTY: Final = Tuple((), 0, 1)


_KINDS: Final[dict[type, str]] = {
    type(None): "none",
    bool: "bool",
    int: "int",
    str: "str",
    Global: "global",
    Tuple: "tuple",
    Mapping: "dict",
    Instance: "instance",
}


def kind(value: Value) -> str:
    """Return the kind of a value, as the allow-list writes it."""
    return value.kind if isinstance(value, Opaque | Constant) else _KINDS[type(value)]


PASSIVE: Final = frozenset(
    {"none", "bool", "int", "float", "str", "bytes", "bytearray", "tuple", "list", "dict", "set", "frozenset"}
)
"""Kinds of values that cannot be called."""


def tuple_of(items: "list[Value]") -> Tuple:
    """Return the tuple of values, keeping the first."""
    weight = 1 + sum(item.weight if isinstance(item, Tuple) else 1 for item in items)
    return Tuple(tuple(items[:MAX_ITEMS]), len(items), min(weight, HUGE))
