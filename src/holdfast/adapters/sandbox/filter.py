"""Which system calls a job may make: the rules, and their translation into classic BPF for seccomp.

One filter serves every tier. It refuses what no training job needs and what confinement of files cannot hold:
Landlock says nothing about modes, owners and times of files, about limits and priorities of other processes, or
about sockets other than TCP, and before its third version nothing about emptying files (landlock(7)). The shape
follows seccomp(2) and the groups of systemd's `SystemCallFilter=`.
"""

import errno
import struct
from typing import Final, NamedTuple

from holdfast.adapters.sandbox.syscalls import ARCHITECTURES, LAST_KNOWN, NUMBERS

ALLOW: Final = 0x7FFF0000
ASK: Final = 0x7FC00000  # SECCOMP_RET_USER_NOTIF: the warden decides
KILL: Final = 0x80000000  # SECCOMP_RET_KILL_PROCESS


def _fail(code: int) -> int:
    return 0x00050000 | code


REFUSE: Final = _fail(errno.EPERM)
UNKNOWN: Final = _fail(errno.ENOSYS)  # libraries then use the older call, which the filter can look into
IGNORE: Final = _fail(0)  # the call returns success and does nothing

_CLONE_NEW_NAMESPACE: Final = 0x7E020000
_AF_UNIX: Final = 1
_SET_ID_BITS: Final = 0o6000
_CREATES: Final = 0o100 | 0o20000000  # O_CREAT, O_TMPFILE
_TRUNCATES: Final = 0o1000  # O_TRUNC
_ACCESS_MODE: Final = 0o3
_TERMINAL_INJECTION: Final = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_SIGNAL_BY_DESCRIPTOR: Final = (8, 10, 15)  # fcntl F_SETOWN, F_SETSIG, F_SETOWN_EX
_SIGNAL_BY_IOCTL: Final = (0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP


class Condition(NamedTuple):
    """A test of one argument's low 32 bits under a mask: `is` a value, is `not` it, or has any of its `bits`."""

    argument: int
    test: str
    value: int
    mask: int = 0xFFFFFFFF


class Rule(NamedTuple):
    """What happens to a call when all conditions hold; rules are tried in order, and none means allow."""

    call: str
    action: int
    conditions: tuple[Condition, ...] = ()


def _each(calls: str, action: int, *conditions: Condition) -> tuple[Rule, ...]:
    return tuple(Rule(call, action, conditions) for call in calls.split())


def _sets_id(argument: int) -> Condition:
    return Condition(argument, "bits", _SET_ID_BITS)


def _empties_without_writing(call: str, argument: int) -> tuple[Rule, ...]:
    """Refuse O_TRUNC with an access mode that is not for writing: Landlock before ABI 3 would let it empty the file."""
    mask = _TRUNCATES | _ACCESS_MODE
    return tuple(
        Rule(call, REFUSE, (Condition(argument, "is", _TRUNCATES | mode, mask),)) for mode in (0, _ACCESS_MODE)
    )


RULES: Final = (
    # New processes are counted by the warden, and never get a namespace in which they would have capabilities.
    Rule("clone", REFUSE, (Condition(0, "bits", _CLONE_NEW_NAMESPACE),)),
    *_each("clone fork vfork", ASK),
    Rule("clone3", UNKNOWN),  # its flags are in memory, where a filter cannot look
    # Signals stay in the family, and the family stays in one process group.
    *_each("kill tkill tgkill", ASK),
    *_each("rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal setsid setpgid", REFUSE),
    *(Rule("fcntl", REFUSE, (Condition(1, "is", command),)) for command in _SIGNAL_BY_DESCRIPTOR),
    *(Rule("ioctl", REFUSE, (Condition(1, "is", request),)) for request in _SIGNAL_BY_IOCTL + _TERMINAL_INJECTION),
    # No network of any kind; a pair of connected sockets reaches nobody else.
    Rule("socket", ASK),  # the warden refuses it, and puts on record that it was tried
    Rule("socketpair", REFUSE, (Condition(0, "not", _AF_UNIX),)),
    *_each("connect bind listen accept accept4", ASK),
    # Programs are started from what is readable only; the warden counts them.
    *_each("execve execveat", ASK),
    # Other processes: not their memory, descriptors, limits or priorities.
    Rule("prlimit64", REFUSE, (Condition(0, "not", 0),)),
    *_each("ptrace process_vm_readv process_vm_writev", ASK),  # refused, and on record
    *_each("process_madvise process_mrelease kcmp pidfd_getfd", REFUSE),
    *_each("sched_setaffinity sched_setscheduler sched_setparam sched_setattr setpriority ioprio_set", REFUSE),
    *_each("migrate_pages move_pages", REFUSE),
    # Memory and messages that outlive a process or hide from its limits.
    *_each("memfd_create memfd_secret shmget shmat shmctl shmdt mq_open mq_unlink", REFUSE),
    *_each("msgget msgsnd msgrcv msgctl semget semop semctl semtimedop", REFUSE),
    # Only regular files and folders come out of a sandbox, and none that gives its owner's rights to others.
    *_each("symlink symlinkat mknod mknodat", REFUSE),
    Rule("open", REFUSE, (Condition(1, "bits", _CREATES), _sets_id(2))),
    Rule("openat", REFUSE, (Condition(2, "bits", _CREATES), _sets_id(3))),
    Rule("creat", REFUSE, (_sets_id(1),)),
    Rule("openat2", UNKNOWN),
    # Files are emptied by who may write them.
    Rule("truncate", REFUSE),
    *_empties_without_writing("open", 1),
    *_empties_without_writing("openat", 2),
    # Modes, times: copying tools set them, nothing here depends on them, and Landlock cannot say on which files.
    *_each("chmod fchmod fchmodat fchmodat2 utime utimes utimensat futimesat", IGNORE),
    *_each("chown lchown fchown fchownat", REFUSE),
    *_each("setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr", REFUSE),
    # Mounts, keys, kernel interfaces with a history of privilege escalation, the machine itself.
    *_each("mount umount2 pivot_root chroot unshare setns mount_setattr open_tree move_mount", REFUSE),
    *_each("fsopen fsconfig fsmount fspick name_to_handle_at open_by_handle_at", REFUSE),
    *_each("fanotify_init fanotify_mark inotify_init inotify_init1 inotify_add_watch", REFUSE),
    *_each("quotactl quotactl_fd acct swapon swapoff", REFUSE),
    *_each("keyctl add_key request_key bpf perf_event_open userfaultfd lookup_dcookie", REFUSE),
    *_each("io_uring_setup io_uring_enter io_uring_register personality modify_ldt uselib nfsservctl", REFUSE),
    *_each("kexec_load kexec_file_load init_module finit_module delete_module reboot iopl ioperm", REFUSE),
    *_each("settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname syslog vhangup", REFUSE),
)

# offsets in struct seccomp_data, and the opcodes of linux/bpf_common.h that a filter needs
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_BITS, _IF_AT_LEAST = 0x15, 0x45, 0x35


def _instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def _block(rule: Rule, number: int) -> bytes:
    """Translate one rule, from its end: whatever does not hold jumps over all that follows."""
    code = _instruction(_RETURN, rule.action)
    for argument, test, value, mask in reversed(rule.conditions):
        over = len(code) // 8
        yes, no = (over, 0) if test == "not" else (0, over)
        code = _instruction(_IF_BITS if test == "bits" else _IF_EQUAL, value, yes, no) + code
        # Both architectures are little-endian: the low half of an argument comes first.
        code = _instruction(_LOAD, _ARGUMENTS + 8 * argument) + _instruction(_AND, mask) + code
    return _instruction(_LOAD, _NUMBER) + _instruction(_IF_EQUAL, number, 0, len(code) // 8) + code


def compile_filter(machine: str) -> bytes:
    """Return the filter as BPF instructions of 8 bytes for one architecture (`x86_64` or `aarch64`).

    A 32-bit system call kills the process, since the rules do not speak about those; x32 calls, and calls newer
    than the table, fail as unknown.

    Raises:
        KeyError: An architecture without a table.
    """
    column, audit = ARCHITECTURES[machine]
    code = _instruction(_LOAD, _ARCHITECTURE) + _instruction(_IF_EQUAL, audit, 1, 0) + _instruction(_RETURN, KILL)
    code += _instruction(_LOAD, _NUMBER) + _instruction(_IF_AT_LEAST, LAST_KNOWN + 1, 0, 1)
    code += _instruction(_RETURN, UNKNOWN)
    for rule in RULES:
        number = NUMBERS[rule.call][column]
        if number is not None:
            code += _block(rule, number)
    return code + _instruction(_RETURN, ALLOW)


def asked_calls(machine: str) -> dict[int, str]:
    """Return the calls the warden is asked about, by number."""
    column = ARCHITECTURES[machine][0]
    asked = ((NUMBERS[rule.call][column], rule.call) for rule in RULES if rule.action == ASK)
    return {number: call for number, call in asked if number is not None}
