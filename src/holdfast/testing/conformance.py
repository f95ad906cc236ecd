"""What the author of a plug-in runs: one function for each protocol, which raises at the first promise that is broken.

A control or a guard that passes keeps the promises that the rest of Holdfast relies on. Whether it measures the right
thing is for its own tests.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, TypeVar

import numpy as np

from holdfast.core.artifact import Artifact, Kind, digest_bytes
from holdfast.core.control import Control, run
from holdfast.core.evidence import Evidence, MadeWith, Outcome
from holdfast.core.guard import Answer, Call, Chain, Guard, Refusal
from holdfast.core.trust import ROLES

Context = TypeVar("Context")

SECRET: Final = "hf_conformance-secret"  # noqa: S105 - planted, to see where it turns up
MAX_PUBLIC: Final = 300  # characters of what a caller is told; more is a stack trace or an echo
REFUSING: Final = range(400, 600)  # HTTP statuses that say no
_MADE_WITH: Final = MadeWith(code=digest_bytes(b"conformance"), configuration=digest_bytes(b"conformance"), seed=7)


class BrokenPromiseError(AssertionError):
    """A plug-in does not do what its protocol says."""


def check_control(
    control: Control[Context], context: Context, *, kind: Kind = Kind.MODEL, broken: Sequence[Context] = ()
) -> Evidence:
    """Check that a control keeps its promises, and return its evidence on a good context.

    1. Its stage has a role that may speak about the kind of artifact.
    2. It measures, or says why it does not apply; what it says can be sealed.
    3. The same context gives the same evidence, timings excepted, whatever the global random generators hold.
    4. On a context that it cannot work with it fails: it neither looks as if it had measured, nor excuses itself.

    Args:
        control: The control.
        context: What it works on.
        kind: The kind of artifact it measures.
        broken: Contexts that it cannot work with: missing files, empty samples, a model that answers NaN.

    Raises:
        BrokenPromiseError: With the promise that is broken.
    """
    subject = Artifact(kind=kind, digest=digest_bytes(b"conformance"), size=1)
    with _seeded(1):
        evidence = run(control, context, subject, _MADE_WITH)
    if kind not in ROLES.get(evidence.stage, ()):  # 1.
        raise BrokenPromiseError(f"{control.name}: the role {evidence.stage} may not speak about a {kind}")
    if evidence.outcome is Outcome.FAILED:  # 2.
        raise BrokenPromiseError(f"{control.name} failed on a good context: {evidence.reason}")
    with _seeded(2):
        again = run(control, context, subject, _MADE_WITH)
    if again.reproducible != evidence.reproducible:  # 3.
        raise BrokenPromiseError(f"{control.name} measured two things on one context; take randomness from the seed")
    for bad in broken:  # 4.
        found = run(control, bad, subject, _MADE_WITH)
        if found.outcome is not Outcome.FAILED:
            raise BrokenPromiseError(f"{control.name} is {found.outcome} on a context it cannot work with, not failed")
    return evidence


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Put the global random generators into a known state, and afterwards back into their own."""
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - the legacy generator is the global one
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the same
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)  # noqa: NPY002 - the same


def check_guard(guard: Guard, call: Callable[[], Call], answer: Callable[[], Answer]) -> None:
    """Check that a guard keeps its promises.

    1. It has a name.
    2. It lets a good call and its answer pass, and leaves alone what it did not establish.
    3. It answers malformed calls with a refusal of its own or lets them pass; it does not break.
    4. A refusal names the guard, has a status that says no, and tells the caller nothing of the inside and no secret.
    5. An answer that comes out has the shape of the one that went in, or less of it and a flag that says so, and
       holds probabilities.

    Args:
        guard: The guard.
        call: Makes a fresh call that the guard lets pass, as it is when the guard's turn has come.
        answer: Makes a fresh answer to that call.

    Raises:
        BrokenPromiseError: With the promise that is broken.
    """
    if not guard.name.strip():  # 1.
        raise BrokenPromiseError("a guard without a name cannot be listed in a route table")
    chain = Chain((guard,))
    before, given = call(), call()
    passed = chain.admit(given)
    if not isinstance(passed, Call):  # 2.
        raise BrokenPromiseError(f"{guard.name} refused a good call: {passed.detail or passed.public}")
    _check_call(guard.name, before, passed)
    _check_answer(guard.name, answer(), chain.release(passed, answer()))  # 5.
    for name, changes in _MALFORMED.items():  # 3.
        found = chain.admit(replace(call(), **changes))
        if isinstance(found, Refusal):
            _check_refusal(guard.name, found, name)


_MALFORMED: Final[Mapping[str, Mapping[str, Any]]] = {
    "an empty body": {"body": b""},
    "a body that is no text": {"body": b"\xff\xfe\x00"},
    "a body that ends too soon": {"body": b'{"inputs": ['},
    "a body of another shape": {"body": b'{"inputs": {"name": 7}}'},
    "a body that is a number": {"body": b"1e999"},
    "no headers": {"headers": {}},
    "an empty key": {"headers": {"authorization": ""}},
    "a foreign key": {"headers": {"authorization": f"Bearer {SECRET}"}},
    "a key that is no text": {"headers": {"authorization": f"Bearer \udcff{SECRET}"}},
    "an unknown model": {"model": "no-such-model"},
    "a model that is a path": {"model": "../../etc/passwd"},
}


def _check_call(name: str, before: Call, after: Call) -> None:
    """Check that nothing that others have established was changed; `rows`, `flags` and what was empty may be filled."""
    for field in ("model", "headers", "body", "correlation", "received_s", "operation"):
        if getattr(after, field) != getattr(before, field):
            raise BrokenPromiseError(f"{name} changed the call's {field}, which is not a guard's to change")
    for field in ("client", "release"):
        if getattr(before, field) and getattr(after, field) != getattr(before, field):
            raise BrokenPromiseError(f"{name} changed the call's {field}, which another guard had established")
    if after.flags[: len(before.flags)] != before.flags:
        raise BrokenPromiseError(f"{name} took away a flag that the answer must carry")


def _check_answer(name: str, before: Answer, after: Answer | Refusal) -> None:
    if isinstance(after, Refusal):
        raise BrokenPromiseError(f"{name} refused a good answer: {after.detail or after.public}")
    if not _fits(before, after):
        raise BrokenPromiseError(f"{name} changed the shape of an answer")
    if not np.isfinite(after.probabilities).all() or (after.probabilities < 0).any() or (after.probabilities > 1).any():
        raise BrokenPromiseError(f"{name} let out numbers that are no probabilities")
    if after.flags[: len(before.flags)] != before.flags:
        raise BrokenPromiseError(f"{name} took away a flag of the answer")


def _fits(before: Answer, after: Answer) -> bool:
    """Say whether an answer kept its shape, or lost some of it and says so by a flag."""
    shapes = (before.probabilities.shape, before.labels.shape), (after.probabilities.shape, after.labels.shape)
    if shapes[0] == shapes[1]:
        return True
    smaller = all(a <= b for old, new in zip(*shapes, strict=True) for b, a in zip(old, new, strict=True))
    return smaller and len(after.labels) == len(after.probabilities) >= 1 and len(after.flags) > len(before.flags)


def _check_refusal(name: str, refusal: Refusal, what: str) -> None:
    if refusal.code == "HF799":  # what the chain makes of an exception
        raise BrokenPromiseError(f"{name} broke on {what} instead of refusing it: {refusal.detail}")
    if refusal.guard != name:
        raise BrokenPromiseError(f"{name} refused {what} in the name of {refusal.guard}")
    if refusal.status not in REFUSING or not refusal.code:
        raise BrokenPromiseError(f"{name} refused {what} with status {refusal.status} and code {refusal.code!r}")
    told = refusal.public + refusal.code
    if not refusal.public or len(refusal.public) > MAX_PUBLIC or not refusal.public.isprintable():
        raise BrokenPromiseError(f"{name} refused {what} with words that are empty, endless or unprintable")
    if SECRET in told:
        raise BrokenPromiseError(f"{name} tells the caller's secret back to whoever sent it")
    if any(sign in told for sign in ("Traceback", "Error(", "Exception", "/usr/", "site-packages")):
        raise BrokenPromiseError(f"{name} tells the caller about the inside: {refusal.public}")
    if SECRET in refusal.detail:
        raise BrokenPromiseError(f"{name} writes the caller's secret into the log")
