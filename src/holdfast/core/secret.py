"""Secrets of jobs: how they are named, who was granted which, and whether a job may have one.

A job gets a secret only if it declared it *and* was granted it. Both are on record; the secret itself never is.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.ledger import Entry

STREAM: Final = "secrets"
STORED: Final = "secret.stored"
REMOVED: Final = "secret.removed"
GRANTED: Final = "secret.granted"
WITHDRAWN: Final = "secret.withdrawn"
RELEASED: Final = "secret.released"
REFUSED: Final = "secret.refused"
MAX_SECRET: Final = 64 * 1024  # bytes; certificates and service-account files have a tenth of it
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """Which secrets there are, and which job was granted which."""

    versions: Mapping[str, int]
    grants: frozenset[tuple[str, str]]  # (secret, job)

    def reasons_against(self, name: str, jobs: Sequence[str], declared: Sequence[str]) -> tuple[str, ...]:
        """Return why a job may not have a secret; nothing where it may.

        Args:
            name: The secret.
            jobs: The names under which the job can have been granted it.
            declared: The secrets it declared.
        """
        reasons = []
        if name not in declared:
            reasons.append("the job did not declare it")
        if not any((name, job) in self.grants for job in jobs):
            reasons.append("the job was not granted it")
        if name not in self.versions:
            reasons.append("there is no such secret")
        return tuple(reasons)


def is_name(name: str) -> bool:
    """Say whether a secret can be called so."""
    return _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """Return a secret's name, which is also that of its file.

    Raises:
        InvalidInput: It cannot be one.
    """
    if not is_name(name):
        expected = "a-z, 0-9, _ and -, beginning with a letter, up to 63"
        raise InvalidInput(f"the secret {name[:80]!r}", expected=expected)
    return name


def fold(entries: Iterable[Entry]) -> Vault:
    """Return which secrets and grants there are. A new value keeps its grants; removing a secret ends them.

    Raises:
        NotVerified: An entry cannot be read.
    """
    versions: dict[str, int] = {}
    grants: set[tuple[str, str]] = set()
    for entry in entries:
        body = entry.body
        try:
            match entry.kind:
                case "secret.stored":
                    versions[body["name"]] = int(body["version"])
                case "secret.removed":
                    versions.pop(body["name"], None)
                    grants = {grant for grant in grants if grant[0] != body["name"]}
                case "secret.granted":
                    grants.add((body["name"], body["job"]))
                case "secret.withdrawn":
                    grants.discard((body["name"], body["job"]))
                case _:
                    pass
        except (KeyError, TypeError, ValueError) as error:
            raise NotVerified("an entry about a secret cannot be read", place=f"entry {entry.position}") from error
    return Vault(versions=versions, grants=frozenset(grants))
