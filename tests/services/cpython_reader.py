"""CPython's own unpickler over many streams, for comparison: `cpython_reader.py STREAMS RESULTS`, inside a sandbox.

Every stream is loaded in a forked child, whatever it does; what it would import is written down and replaced by an
object that lets everything be done to it. STREAMS holds streams behind their lengths; RESULTS gets a line of JSON for
each.
"""

import io
import json
import os
import pickle
import resource
import sys
from typing import Any

BATCH = 100  # streams of one child
MEMORY = 1 << 30  # bytes; a stream that asks for more ends with an error


class Anything:
    """What stands for every imported name: it can be called, filled, given a state and compared."""

    def __init__(self, *_args: Any, **_named: Any) -> None:
        """Take anything."""

    def __call__(self, *_args: Any, **_named: Any) -> "Anything":
        """Give another."""
        return Anything()

    def __setstate__(self, _state: Any) -> None:
        """Take any state."""

    def __setitem__(self, _key: Any, _value: Any) -> None:
        """Take any item."""

    def append(self, _item: Any) -> None:
        """Take any item."""

    def extend(self, _items: Any) -> None:
        """Take any items."""

    def add(self, _item: Any) -> None:
        """Take any item."""


class Reader(pickle.Unpickler):
    """The C unpickler, with imports and persistent ids written down."""

    def __init__(self, file: io.BytesIO) -> None:
        """Start with nothing imported."""
        super().__init__(file)
        self.imported: list[tuple[str, str]] = []

    def find_class(self, module: str, name: str) -> Any:
        """Write a name down and return what stands for it."""
        self.imported.append((module, name))
        return Anything

    def persistent_load(self, _pid: Any) -> Any:
        """Return what stands for any object."""
        return Anything()


def load(stream: bytes) -> dict[str, Any]:
    """Return what CPython imports, whether it finishes, and how much it reads."""
    file = io.BytesIO(stream)
    reader = Reader(file)
    try:
        reader.load()
        ended = "finished"
    except BaseException as error:  # noqa: BLE001 - whatever loading raises
        ended = type(error).__name__
    return {"imported": reader.imported, "ended": ended, "read": file.tell()}


def main() -> None:
    """Load each stream in a child of its batch."""
    data, results = open(sys.argv[1], "rb").read(), open(sys.argv[2], "wb", buffering=0)  # noqa: SIM115, PTH123
    streams, position = [], 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "little")
        streams.append(data[position + 4 : position + 4 + length])
        position += 4 + length
    for start in range(0, len(streams), BATCH):
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            results.writelines(json.dumps(load(each)).encode() + b"\n" for each in streams[start : start + BATCH])
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            results.write(b'"a child died"\n')
            sys.exit(1)


if __name__ == "__main__":
    main()
