"""Tries what a confined job must not be able to do, and says what it could. Runs inside the sandbox.

It speaks to the kernel through libc: what counts is whether the call is refused, not which Python library would have
made it. A datagram socket that is connected to an address sends nothing, so trying is harmless where it succeeds.
"""

import ctypes
import os
import platform
import struct
from collections.abc import Sequence
from typing import Any, Final

import msgspec

AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
SOCK_STREAM, SOCK_DGRAM = 1, 2
PR_GET_SECCOMP, PR_GET_NO_NEW_PRIVS = 21, 39
NOWHERE: Final = bytes((192, 0, 2, 1))  # TEST-NET-1, RFC 5737: no host has this address
PORT: Final = 9  # discard, RFC 863


class Confinement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a job found it could do.

    Attributes:
        network_tried: How many ways to a network were tried.
        network_open: Those that were not refused.
        paths_tried: How many undeclared paths were tried.
        paths_readable: Those that could be read.
        seccomp: Mode of the system call filter: 0 none, 2 filter.
        no_new_privileges: Whether programs started from here can gain rights.
        kernel: Release of the running kernel.
    """

    network_tried: int
    network_open: tuple[str, ...]
    paths_tried: int
    paths_readable: tuple[str, ...]
    seccomp: int
    no_new_privileges: bool
    kernel: str


def try_everything(undeclared: Sequence[str]) -> Confinement:
    """Return what can be done from this process.

    Args:
        undeclared: Paths of files and folders, each holding something, that this job was not given.
    """
    libc: Any = ctypes.CDLL(None, use_errno=True)
    ways = (("inet", AF_INET, SOCK_STREAM), ("inet6", AF_INET6, SOCK_STREAM), ("unix", AF_UNIX, SOCK_STREAM))
    opened = [name for name, family, kind in ways if _socket(libc, family, kind)]
    opened += ["route"] if _route(libc) else []
    return Confinement(
        network_tried=len(ways) + 1,
        network_open=tuple(opened),
        paths_tried=len(undeclared),
        paths_readable=tuple(path for path in undeclared if _readable(path)),
        seccomp=max(int(libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0)), 0),
        no_new_privileges=int(libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)) == 1,
        kernel=platform.release(),
    )


def _socket(libc: Any, family: int, kind: int) -> bool:
    descriptor = int(libc.socket(family, kind, 0))
    if descriptor >= 0:
        os.close(descriptor)
    return descriptor >= 0


def _route(libc: Any) -> bool:
    """Say whether a datagram socket can be pointed at an address outside this machine; nothing is sent."""
    descriptor = int(libc.socket(AF_INET, SOCK_DGRAM, 0))
    if descriptor < 0:
        return False
    address = struct.pack("=H", AF_INET) + struct.pack("!H", PORT) + NOWHERE + bytes(8)
    connected = int(libc.connect(descriptor, address, len(address))) == 0
    os.close(descriptor)
    return connected


def _readable(path: str) -> bool:
    """Say whether anything can be learned from what lies at a path: a byte of a file, a name in a folder."""
    try:
        if os.path.isdir(path):  # noqa: PTH112 - the path is a string from the command line
            return bool(os.listdir(path))  # noqa: PTH208 - the same
        with open(path, "rb") as file:  # noqa: PTH123 - the same
            return bool(file.read(1))
    except OSError:
        return False
