"""What the compiled system-call filter decides, read instruction by instruction as the kernel reads it."""

import errno
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.sandbox.filter import ALLOW, ASK, KILL, RULES, asked_calls, compile_filter
from holdfast.adapters.sandbox.inside.warden import NEVER, STARTS
from holdfast.adapters.sandbox.syscalls import ARCHITECTURES, LAST_KNOWN, NUMBERS

MACHINES = tuple(ARCHITECTURES)
REFUSE = 0x50000 | errno.EPERM
UNKNOWN = 0x50000 | errno.ENOSYS
IGNORE = 0x50000
LOAD, AND, RETURN, EQUAL, BITS, AT_LEAST = 0x20, 0x54, 0x06, 0x15, 0x45, 0x35


def decide(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """Run classic BPF over a `struct seccomp_data`, as linux/filter.h defines its few instructions."""
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("=iIQ6Q", number, architecture, 0, *padded)
    instructions = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        code, yes, no, value = instructions[at]
        at += 1
        if code == RETURN:
            return value
        if code == LOAD:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == AND:
            accumulator &= value
        else:
            holds = {EQUAL: accumulator == value, BITS: bool(accumulator & value), AT_LEAST: accumulator >= value}
            at += yes if holds[code] else no


def outcome(machine: str, call: str, *arguments: int) -> int:
    """What the filter of an architecture does with one of its calls."""
    column, audit = ARCHITECTURES[machine]
    number = NUMBERS[call][column]
    assert number is not None
    return decide(compile_filter(machine), audit, number, *arguments)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("call", "arguments", "expected"),
    [
        ("socket", (2, 1, 0), ASK),
        ("socketpair", (1, 1, 0), ALLOW),
        ("socketpair", (16, 1, 0), REFUSE),
        ("clone", (0x01200011,), ASK),
        ("clone", (0x003D0F00,), ASK),  # a thread
        ("clone", (0x10000011,), REFUSE),  # in a user namespace of its own
        ("clone3", (), UNKNOWN),
        ("kill", (1, 9), ASK),
        ("setsid", (), REFUSE),
        ("prlimit64", (0, 7), ALLOW),
        ("prlimit64", (1, 7), REFUSE),
        ("openat", (0xFFFFFF9C, 0, 0o100, 0o644), ALLOW),
        ("openat", (0xFFFFFF9C, 0, 0o100, 0o4755), REFUSE),
        ("openat", (0xFFFFFF9C, 0, 0, 0o4755), ALLOW),  # nothing is made: the mode means nothing
        ("openat", (0xFFFFFF9C, 0, 0o1001), ALLOW),  # emptied by who may write it
        ("openat", (0xFFFFFF9C, 0, 0o1000), REFUSE),  # emptied by who may only read it
        ("openat", (0xFFFFFF9C, 0, 0o2001003), REFUSE),  # and by who asked for neither
        ("openat2", (), UNKNOWN),
        ("ioctl", (0, 0x5401), ALLOW),
        ("ioctl", (0, 0x5412), REFUSE),
        ("ioctl", (0, 0xFFFFFFFF_00005412), REFUSE),  # the kernel looks at the low half, and so does the filter
        ("fcntl", (0, 2), ALLOW),
        ("fcntl", (0, 8), REFUSE),
        ("fchmodat", (), IGNORE),
        ("io_uring_setup", (), REFUSE),
        ("ptrace", (), ASK),
    ],
)
def test_call_is_decided_as_the_rules_say(machine: str, call: str, arguments: tuple[int, ...], expected: int) -> None:
    """One line for each kind of condition, on each architecture."""
    assert outcome(machine, call, *arguments) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_another_architecture_kill(machine: str) -> None:
    """A 32-bit call would mean something else by the same number."""
    assert decide(compile_filter(machine), 0x40000003, 1) == KILL


@given(number=st.integers(LAST_KNOWN + 1, 0xFFFFFFFF), machine=st.sampled_from(MACHINES))
def test_calls_newer_than_the_table_do_not_exist(number: int, machine: str) -> None:
    """A kernel of tomorrow opens nothing; x32 calls, which have a high bit set, end here too."""
    signed = number - (1 << 32) if number >= 1 << 31 else number
    assert decide(compile_filter(machine), ARCHITECTURES[machine][1], signed) == UNKNOWN


@given(number=st.integers(0, LAST_KNOWN), machine=st.sampled_from(MACHINES))
def test_calls_without_a_rule_are_allowed(number: int, machine: str) -> None:
    """The filter is about what it names and nothing else."""
    column, audit = ARCHITECTURES[machine]
    named = {NUMBERS[rule.call][column] for rule in RULES}
    if number not in named:
        assert decide(compile_filter(machine), audit, number) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_every_rule_is_reached(machine: str) -> None:
    """No rule is dead: each has arguments for which it is the one that decides."""
    column = ARCHITECTURES[machine][0]
    for rule in RULES:
        if NUMBERS[rule.call][column] is None:
            continue
        arguments = [0] * 6
        for argument, test, value, _mask in rule.conditions:
            arguments[argument] = value + 1 if test == "not" else value
        assert outcome(machine, rule.call, *arguments) == rule.action, rule


@pytest.mark.parametrize("machine", MACHINES)
def test_warden_knows_every_call_it_is_asked_about(machine: str) -> None:
    """The plan names the numbers; the warden names what it can answer."""
    answered = {"clone", "fork", "vfork", "kill", "tkill", "tgkill", *STARTS, *NEVER}
    assert set(asked_calls(machine).values()) <= answered
    assert {"clone", "kill", "tgkill"} <= set(asked_calls(machine).values())


@pytest.mark.parametrize(
    ("column", "header", "pattern"),
    [
        (0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h", r"#define __NR_(\w+)\s+(\d+)"),
        (1, "/usr/include/asm-generic/unistd.h", r"#define __NR(?:3264)?_(\w+)\s+(\d+)"),
    ],
    ids=MACHINES,
)
def test_numbers_are_those_of_the_kernel_headers(column: int, header: str, pattern: str) -> None:
    """A wrong number would leave a door open in silence."""
    if not Path(header).exists():
        pytest.skip(f"{header} is absent: install the kernel's headers for user space (linux-libc-dev)")
    defined = {name: int(number) for name, number in re.findall(pattern, Path(header).read_text())}
    ours = {call: numbers[column] for call, numbers in NUMBERS.items()}
    newer = {call for call, number in ours.items() if number is not None and number > max(defined.values())}
    assert {call: number for call, number in ours.items() if call not in newer} == {
        call: defined.get(call) for call in ours if call not in newer
    }
