"""Lets the nouns and the numerics work while an audit hook listens, and prints what it heard (see test_no_io)."""

import pkgutil
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import cryptography.hazmat.primitives.asymmetric.ed25519
import msgspec
import numpy as np
import rfc8785

LIBRARIES = (cryptography, msgspec, np, np.ma, np.random, rfc8785)
"""What core and maths stand on; loaded before anybody listens, for their imports are not ours to judge."""

CODE = (".py", ".pyc", ".so")
OWN = ("object.", "builtins.id", "sys._getframe", "import", "exec", "marshal.loads", "compile")
heard: list[str] = []
listening = False


def listen(event: str, arguments: tuple[Any, ...]) -> None:
    """Note an event, unless it is the interpreter's own: looking at objects and frames, or loading a module's code."""
    if not listening or event.startswith(OWN):
        return
    reads_code = event == "open" and str(arguments[0]).endswith(CODE) and arguments[1] in {"r", "rb", None}
    looks_for_code = event in {"os.listdir", "os.scandir"}  # the import system's way to find a module
    if not (loading and (reads_code or looks_for_code)):
        heard.append(f"{event} {arguments!r}"[:200])


loading = False


def importing() -> None:
    """Import every module of core and maths."""
    global listening, loading  # noqa: PLW0603 - the hook cannot be taken away, only told not to listen
    loading = listening = True
    for name in ("holdfast.core", "holdfast.maths"):
        package = import_module(name)
        for module in pkgutil.iter_modules(package.__path__):
            import_module(f"{name}.{module.name}")
    listening = loading = False


def deciding() -> Callable[[], None]:
    """Open a passport, decide, audit, unseal, run a control, step a machine, and refuse a wrong project."""
    from holdfast.core.artifact import Digest, File, Kind, canonical, manifest
    from holdfast.core.control import Control, Report, run
    from holdfast.core.errors import InvalidProject
    from holdfast.core.evidence import Outcome, exactly
    from holdfast.core.ledger import audit, entry_hash
    from holdfast.core.machine import Machine
    from holdfast.core.passport import open_passport, parse_passport
    from holdfast.core.policy import Action, Permit, Request, decide, parse_policy
    from holdfast.core.project import parse_project
    from holdfast.core.seal import EVIDENCE, seal, unseal
    from holdfast.testing.chronicle import MADE_WITH, ORIGIN, Chronicle, fulfil

    policy = Path("policies/baseline.toml").read_bytes()
    chronicle = Chronicle(policy)
    made = fulfil(chronicle, policy)
    model = made[Kind.MODEL]
    document = canonical(chronicle.passport(made[Kind.RELEASE]))
    table: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {("on", "push"): ("off", ("click",))}

    def work() -> None:
        dossier = open_passport(parse_passport(document), chronicle.trust, origin=ORIGIN)
        rules, digest = parse_policy(policy)
        request = Request(action=Action.SERVE, environment="production", now=chronicle.start, nonce="1")
        assert isinstance(decide(rules, digest, dossier, request), Permit)
        rows = [(item, entry_hash(item)) for item in chronicle.ledger.documents]
        assert audit(rows).size == len(rows)
        control: Control[None] = Control(name="assess.thing/1", measure=lambda _: Report(measures=(exactly("a", 1),)))
        evidence = run(control, None, model, MADE_WITH)
        assert evidence.outcome is Outcome.MEASURED
        envelope = seal(evidence, EVIDENCE, [chronicle.signers["assess"]])
        assert unseal(envelope, EVIDENCE, chronicle.trust, at=chronicle.start).value == evidence
        assert Machine("light", "on", table).step("on", "push") == ("off", ("click",))
        assert manifest([File(path="a", digest=model.digest, size=1)]).digest != Digest(model.digest)
        try:
            parse_project(b"[project]")
        except InvalidProject as error:
            assert error.place  # noqa: PT017 - no pytest here

    return work


def counting() -> Callable[[], None]:
    """Profile, compare and bound a few hundred numbers."""
    from holdfast.maths.distances import ks_two_sample, population_stability_index
    from holdfast.maths.intervals import bootstrap, clopper_pearson, wilson
    from holdfast.maths.sketch import profile

    generator = np.random.default_rng(7)
    one, two = generator.normal(size=500), generator.normal(size=500)

    def work() -> None:
        assert profile(one).n == len(one)
        assert population_stability_index(one, two) >= 0
        assert ks_two_sample(one, two).statistic < 1
        assert wilson(90, 100).low < clopper_pearson(90, 100).high
        assert bootstrap(np.mean, [one], generator, resamples=50).n == len(one)

    return work


if __name__ == "__main__":
    sys.addaudithook(listen)
    if sys.argv[1] == "importing":
        importing()
    else:
        ready = {"deciding": deciding, "counting": counting}[sys.argv[1]]()
        listening = True
        ready()
        listening = False
    sys.stdout.write("\n".join(heard) or "nothing was heard")
