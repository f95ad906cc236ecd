"""The kernel calls the warden needs and Python does not offer: Landlock, seccomp, capabilities, prctl.

It turns numbers into system calls and raises `OSError` when the kernel says no. Which paths, which filter and
which rights are decided elsewhere. Sources: landlock(7), seccomp(2), seccomp_unotify(2), capabilities(7).
"""

import ctypes
import fcntl
import os
import stat
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

SECCOMP_CALL: Final = {"x86_64": 317, "aarch64": 277}
LANDLOCK_CREATE_RULESET: Final = 444  # the same number on every architecture, as are the next two
LANDLOCK_ADD_RULE: Final = 445
LANDLOCK_RESTRICT_SELF: Final = 446

# landlock(7): rights on files and folders, in the order of their bits
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
REFER, TRUNCATE = 1 << 13, 1 << 14
ALL_FILE_RIGHTS: Final = ((5, (1 << 16) - 1), (3, (1 << 15) - 1), (2, (1 << 14) - 1), (1, (1 << 13) - 1))
RIGHTS_ON_A_FILE: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
ALL_TCP_RIGHTS: Final = 0b11  # bind, connect
ALL_SCOPES: Final = 0b11  # abstract Unix sockets, signals
TRUNCATE_ABI: Final = 3
TCP_ABI: Final = 4
SCOPE_ABI: Final = 6

READ: Final = READ_FILE | READ_DIR
READ_AND_RUN: Final = READ | EXECUTE
# Neither EXECUTE, so that a job cannot run what it wrote, nor MAKE_SYM, MAKE_SOCK, MAKE_FIFO or MAKE_CHAR,
# so that what a reader finds afterwards are regular files and folders.
READ_AND_WRITE: Final = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER | TRUNCATE
DEVICE: Final = READ_FILE | WRITE_FILE

_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 4, 24, 36, 38, 47
_CAPABILITY_VERSION_3: Final = 0x20080522
_SECCOMP_SET_MODE_FILTER, _SECCOMP_GET_ACTION_AVAIL = 1, 2
_SECCOMP_FILTER_FLAG_NEW_LISTENER: Final = 1 << 3
_SECCOMP_RET_USER_NOTIF: Final = 0x7FC00000
_NOTIF_RECV, _NOTIF_SEND = 0xC0502100, 0xC0182101  # _IOWR('!', 0, 80 bytes), _IOWR('!', 1, 24 bytes)
_NOTIF_CONTINUE: Final = 1
_NOTIF_BYTES: Final = 80

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class Notice(NamedTuple):
    """One system call of the job that waits for the warden's answer."""

    id: int
    pid: int
    call: int
    arguments: tuple[int, ...]


class _Program(ctypes.Structure):
    """`struct sock_fprog` of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _syscall(number: int, *arguments: int | None) -> int:
    """Make one system call; `None` is a null pointer.

    Raises:
        OSError: The kernel refused, with its reason.
    """
    result = int(_libc.syscall(ctypes.c_long(number), *(ctypes.c_void_p(value) for value in arguments)))
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _prctl(option: int, first: int = 0, second: int = 0) -> bool:
    return int(_libc.prctl(option, *(ctypes.c_ulong(value) for value in (first, second, 0, 0)))) == 0


def landlock_abi() -> int:
    """Return the version of Landlock this kernel offers, 0 for none."""
    try:
        return _syscall(LANDLOCK_CREATE_RULESET, None, 0, 1)
    except OSError:
        return 0


def can_supervise() -> bool:
    """Say whether seccomp can ask a supervisor (user notification, kernel 5.0)."""
    wanted = ctypes.c_uint32(_SECCOMP_RET_USER_NOTIF)
    number = SECCOMP_CALL.get(os.uname().machine)
    try:
        return number is not None and _syscall(number, _SECCOMP_GET_ACTION_AVAIL, 0, ctypes.addressof(wanted)) == 0
    except OSError:
        return False


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent has died."""
    if not _prctl(_PR_SET_CHILD_SUBREAPER, 1):
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")


def hide_memory(*, hidden: bool) -> None:
    """Close (or open again) this process's /proc entries to others of the same user; a new program opens them."""
    _prctl(_PR_SET_DUMPABLE, 0 if hidden else 1)


def give_up_privileges() -> None:
    """Lose every capability for good, in this process and in whatever it starts.

    Raises:
        OSError: The kernel refused.
    """
    if not _prctl(_PR_SET_NO_NEW_PRIVS, 1):
        raise OSError(ctypes.get_errno(), "cannot set no_new_privs")
    for capability in range(64):  # past the last one, and for who may not drop any, the call just fails
        _prctl(_PR_CAPBSET_DROP, capability)
    _prctl(_PR_CAP_AMBIENT, 4)  # clear all
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
    nothing = ctypes.create_string_buffer(24)
    if _libc.capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "cannot drop capabilities")


def confine_files(grants: Iterable[tuple[str, int]], abi: int) -> None:
    """Forbid every file action but the granted ones, TCP, and signals to others, as far as Landlock knows them.

    Args:
        grants: Paths, each with its rights; a grant of a folder holds for all beneath it.
        abi: The version of Landlock to use, at least 1 and at most the kernel's.

    Raises:
        OSError: A path cannot be opened, or the kernel refused.
    """
    handled = next(rights for since, rights in ALL_FILE_RIGHTS if abi >= since)
    tcp = ALL_TCP_RIGHTS if abi >= TCP_ABI else 0
    scopes = ALL_SCOPES if abi >= SCOPE_ABI else 0
    size = 24 if scopes else 16 if tcp else 8  # an older kernel refuses a longer structure than it knows
    ruleset = ctypes.create_string_buffer(struct.pack("=QQQ", handled, tcp, scopes))
    ruleset_fd = _syscall(LANDLOCK_CREATE_RULESET, ctypes.addressof(ruleset), size, 0)
    for path, rights in grants:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allowed = rights & handled
        if not stat.S_ISDIR(os.fstat(beneath).st_mode):
            allowed &= RIGHTS_ON_A_FILE
        rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed, beneath))
        _syscall(LANDLOCK_ADD_RULE, ruleset_fd, 1, ctypes.addressof(rule), 0)
        os.close(beneath)
    _syscall(LANDLOCK_RESTRICT_SELF, ruleset_fd, 0)
    os.close(ruleset_fd)


def confine_calls(program: bytes) -> int:
    """Install a seccomp filter on this process and return the descriptor its questions come to.

    Args:
        program: Classic BPF instructions of 8 bytes each.

    Raises:
        OSError: The kernel refused; `EBUSY` when a supervisor above has taken the only listener.
    """
    code = ctypes.create_string_buffer(program, len(program))
    fprog = _Program(len(program) // 8, ctypes.addressof(code))
    number = SECCOMP_CALL[os.uname().machine]
    return _syscall(number, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_NEW_LISTENER, ctypes.addressof(fprog))


def next_notice(listener: int) -> Notice | None:
    """Take one waiting system call from a listener, or `None` when its caller has died meanwhile."""
    buffer = bytearray(_NOTIF_BYTES)
    try:
        fcntl.ioctl(listener, _NOTIF_RECV, buffer)
    except OSError:
        return None
    notice, pid, _flags, call, _arch, _pointer, *arguments = struct.unpack("=QIIiIQ6Q", buffer)
    return Notice(notice, pid, call, tuple(arguments))


def answer(listener: int, notice: Notice, error: int) -> None:
    """Let a waiting system call go on (`error` 0) or fail with an error number."""
    flags = 0 if error else _NOTIF_CONTINUE
    try:
        fcntl.ioctl(listener, _NOTIF_SEND, struct.pack("=QqiI", notice.id, 0, -error, flags))
    except OSError:
        return  # the caller was killed while it waited: there is nobody to answer
