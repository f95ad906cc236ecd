"""Ports of the control plane as a service: jobs, answers, sessions, secrets, other servers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from holdfast.core.artifact import Digest

if TYPE_CHECKING:  # cryptography takes memory that whoever only knows the ports need not have
    from holdfast.core.identity import Session


class Secrets(Protocol):
    """Secrets for jobs, encrypted at rest: which job may have which is decided elsewhere."""

    def put(self, name: str, value: bytes) -> int:
        """Keep a secret, instead of its earlier value; return its version."""
        ...

    def get(self, name: str) -> tuple[int, bytes]:
        """Return a secret's version and the secret.

        Raises:
            NotFound: There is none of this name.
            NotVerified: The stored bytes were changed.
            Unavailable: The store is locked.
        """
        ...

    def remove(self, name: str) -> None:
        """Destroy a secret.

        Raises:
            NotFound: There is none of this name.
        """
        ...


class Sessions(Protocol):
    """Sign-ons that go on; losing them makes people sign on again."""

    def open(self, session: "Session", now: datetime) -> None:
        """Keep a new session, and forget those that have expired."""
        ...

    def get(self, session: str, now: datetime) -> "Session | None":
        """Return a session that is neither closed nor expired."""
        ...

    def renew(self, session: str, old: str, new: str) -> bool:
        """Put a new hash in the place of the old one; say whether the old one was there."""
        ...

    def close(self, session: str) -> bool:
        """End a session; say whether there was one."""
        ...

    def close_all(self, name: str) -> int:
        """End every session of an account; return how many there were."""
        ...

    def count(self, name: str, now: datetime) -> int:
        """Return how many sessions of an account go on."""
        ...


class Web(Protocol):
    """Other services over HTTPS, each answer bounded in size and time, no redirect followed."""

    def get(self, url: str) -> tuple[int, bytes]:
        """Return status and body of a GET.

        Raises:
            InvalidInput: The address is not one that may be asked: neither HTTPS nor this machine.
            Unavailable: Nobody answers, too late, or too much.
        """
        ...

    def post(self, url: str, fields: Mapping[str, str]) -> tuple[int, bytes]:
        """Return status and body of a POST of form fields.

        Raises:
            InvalidInput: The address is not one that may be asked: neither HTTPS nor this machine.
            Unavailable: Nobody answers, too late, or too much.
        """
        ...

    def tell(self, url: str, document: bytes) -> tuple[int, bytes]:
        """Return status and body of a POST of a JSON document.

        Raises:
            InvalidInput: The address is not one that may be asked: neither HTTPS nor this machine.
            Unavailable: Nobody answers, too late, or too much.
        """
        ...


class JobState(StrEnum):
    """Where a job of the control plane stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A command that a worker carries out: who asked for it, who works on it, and what came of it."""

    id: str
    command: str  # its words, joined by spaces
    options: Mapping[str, Any]
    asked_by: str
    asked_at: datetime
    state: JobState
    worker: str = ""
    attempts: int = 0
    result: Mapping[str, Any] = field(default_factory=dict)  # the reply's document, or the error's


class Jobs(Protocol):
    """The commands that wait for a worker, and those that one has leased."""

    def ask(self, command: str, options: Mapping[str, Any], asked_by: str) -> Task:
        """Put a command into the queue.

        Raises:
            Unavailable: Too many wait already.
        """
        ...

    def find(self, job: str) -> Task:
        """Return a job.

        Raises:
            NotFound: There is no such job.
        """
        ...

    def newest(self, count: int, *, before: str | None = None) -> tuple[Task, ...]:
        """Return the newest jobs, newest last; of those asked for before a job, if it is named.

        Raises:
            NotFound: There is no such job.
        """
        ...

    def lease(self, worker: str) -> Task | None:
        """Take the oldest job that waits, or whose worker has not been heard of, and hold it for this worker."""
        ...

    def renew(self, job: str, worker: str) -> bool:
        """Hold a job for longer; False where it was cancelled, or another worker has it."""
        ...

    def finish(self, job: str, worker: str, state: JobState, result: Mapping[str, Any]) -> bool:
        """Say what came of a job; False where it is no longer this worker's."""
        ...

    def cancel(self, job: str) -> Task:
        """Cancel a job that has not ended.

        Raises:
            NotFound: There is no such job.
            Conflict: It has ended.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What was answered to a request that may be repeated."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Answers(Protocol):
    """The answers to requests that carry an idempotency key."""

    def begin(self, key: str, request: Digest) -> Answered | None:
        """Return what was answered to this request, or None where it is to be carried out now, by nobody else.

        Raises:
            Conflict: The key was used for another request, or the first one is still being carried out.
        """
        ...

    def keep(self, key: str, answer: Answered) -> None:
        """Keep the answer for as long as the key is remembered."""
        ...

    def forget(self, key: str) -> None:
        """Let the request be made again: it was not carried out."""
        ...
