"""What a model needs of the machine that runs it, and whether a machine offers that (SERV-10). Pure.

Declared in the project, carried in the signed route table. A gateway holds it against what it finds where it runs,
before it loads the model; what cannot be compared is not met.
"""

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from holdfast.core.errors import InvalidInput

_VERSION: Final = re.compile(r"\d+(?:\.\d+)*")


class Needs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of `[needs]`; what is left out is not asked for."""

    python: str = ""  # the lowest version, or with `==` before it the one whose digits it must begin with
    libraries: dict[str, str] = {}  # the same, by the name of the distribution
    machine: tuple[str, ...] = ()  # as uname tells it: "x86_64", "aarch64"; one of them
    cpu: tuple[str, ...] = ()  # flags, as the kernel tells them: "avx2", "asimd"; all of them
    memory_mb: Annotated[int, Meta(ge=0, le=1 << 24)] = 0


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine has."""

    python: str
    libraries: dict[str, str]  # installed versions of those that are asked about
    machine: str
    cpu: frozenset[str]
    memory_mb: int


def check_needs(needs: Needs) -> None:
    """Check that every version can be compared.

    Raises:
        InvalidInput: One cannot.
    """
    for name, wanted in (("python", needs.python), *needs.libraries.items()):
        if wanted and not _VERSION.fullmatch(wanted.removeprefix("==")):
            raise InvalidInput(f"the version {wanted[:40]!r} of {name[:40]}", place="needs", expected="3.11, or ==1.31")


def unmet(needs: Needs, offered: Offered) -> tuple[str, ...]:
    """Return what a machine lacks, in words; nothing where it has all.

    >>> here = Offered(python="3.7.2", libraries={}, machine="x86_64", cpu=frozenset(), memory_mb=512)
    >>> unmet(Needs(python="3.8"), here)
    ('python 3.8 or newer is needed, and 3.7.2 is here',)
    """
    found = []
    here = {"python": offered.python} | {name: offered.libraries.get(name, "") for name in needs.libraries}
    for name, wanted in (("python", needs.python), *needs.libraries.items()):
        if wanted and not _fits(wanted, here[name]):
            words = f"exactly {wanted.removeprefix('==')}" if wanted.startswith("==") else f"{wanted} or newer"
            found.append(f"{name} {words} is needed, and {here[name] or 'none'} is here")
    if needs.machine and offered.machine not in needs.machine:
        found.append(f"a machine of {' or '.join(needs.machine)} is needed, and this one is {offered.machine}")
    lacking = [flag for flag in needs.cpu if flag not in offered.cpu]
    if lacking:
        found.append(f"the processor lacks {', '.join(lacking)}")
    if needs.memory_mb > offered.memory_mb:
        found.append(f"{needs.memory_mb} MB of memory are needed, and {offered.memory_mb} are here")
    return tuple(found)


def _fits(wanted: str, here: str) -> bool:
    numbers = _VERSION.match(here)
    if numbers is None:
        return False
    asked = [int(part) for part in wanted.removeprefix("==").split(".")]
    have = [int(part) for part in numbers[0].split(".")]
    return have[: len(asked)] == asked if wanted.startswith("==") else have >= asked
