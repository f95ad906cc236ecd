"""The table of calls: nothing of ours opens a socket that no row of it names."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import holdfast
from holdfast.lifecycle.access_coverage import CALLS

PACKAGE: Final = Path(holdfast.__file__).parent
NETWORK: Final = frozenset(
    {
        *(
            "aiohttp",
            "asyncpg",
            "boto3",
            "botocore",
            "ftplib",
            "hvac",
            "grpc",
            "http.client",
            "http.server",
            "httpx",
            "imaplib",
            "nats",
        ),
        *("obstore", "psycopg", "redis", "requests", "smtplib", "socket", "socketserver", "ssl", "telnetlib"),
        *("urllib.request", "urllib3", "uvicorn", "websockets", "xmlrpc", "holdfast.adapters.http_server"),
    }
)
"""Modules by which one speaks to others."""

CALLED: Final = frozenset({"create_engine", "create_connection", "start_server", "open_connection", "create_server"})
"""Functions that do, in modules which also do much else."""


def imported(tree: ast.AST) -> Iterator[str]:
    """Names that a module imports, each with every package above it; and functions of `CALLED` that it mentions."""
    for node in ast.walk(tree):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            yield from {name} & CALLED
        for name in found:
            parts = name.split(".")
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def speaking() -> set[str]:
    """Modules of the package that open sockets."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if path.is_relative_to(PACKAGE / "testing"):
            continue
        if (NETWORK | CALLED) & set(imported(ast.parse(path.read_text(encoding="utf-8")))):
            found.add(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
    return found


def test_no_socket_is_opened_that_the_table_of_calls_does_not_name() -> None:
    """Whoever adds a client or a listener says who is known there, and by what; or that nobody is yet."""
    named = {module for call in CALLS for module in call.modules}
    assert speaking() == named


def test_a_call_is_covered_by_both_or_says_what_is_missing() -> None:
    """No row claims a half."""
    assert all(call.covered != bool(call.missing) for call in CALLS)
    assert len({(call.asker, call.asked) for call in CALLS}) == len(CALLS)
