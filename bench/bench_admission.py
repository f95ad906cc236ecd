"""Warm admission: what is done again each time something is to answer, with everything in memory and no key cold.

    python bench/bench_admission.py [rounds]

Aim: signature, policy and inclusion proof together at p99 5 ms. Measured on the release of the example project, whose
passport holds its whole history: open the passport (every envelope's signature, every entry's inclusion proof, the
checkpoint's signature) and decide by the baseline policy; one envelope alone; one inclusion proof alone; and building a
passport from the ledger, which happens when something is promoted. On a busy machine the wall's p99 is mostly waiting;
the processor's is not.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

ROUNDS: Final = 300


def told(name: str, work: Callable[[], object], rounds: int) -> None:
    """Time something, on the wall and of the processor, and print medians and p99."""
    work()
    walls, cpus = [], []
    for _ in range(rounds):
        begun, began = time.perf_counter(), time.thread_time()
        work()
        cpus.append(1000 * (time.thread_time() - began))
        walls.append(1000 * (time.perf_counter() - begun))
    both = (sorted(walls), sorted(cpus))
    shown = [f"median {times[rounds // 2]:8.3f}  p99 {times[int(rounds * 0.99)]:8.3f}" for times in both]
    print(f"{name:<42} wall ms {shown[0]}   processor ms {shown[1]}")


def main() -> None:
    """Measure on one workspace."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from bench.workplace import MODEL, make_workspace

    from holdfast import app
    from holdfast.core.artifact import Digest
    from holdfast.core.merkle import leaf_hash, verify_inclusion
    from holdfast.core.passport import open_passport, parse_passport
    from holdfast.core.policy import Action, Permit
    from holdfast.core.seal import ROUTES, unseal
    from holdfast.lifecycle.publishing import ROUTED
    from holdfast.lifecycle.resolving import lookup
    from holdfast.lifecycle.routing import judge, rules_of
    from holdfast.registry import build_passport

    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as place:
        os.environ["HOLDFAST_UNLOCK_DIR"] = f"{place}/unlock"
        folder = Path(place) / "project"
        folder.mkdir()
        make_workspace(folder)
        with app.open_plant(folder) as plant:
            plant.unlock()
            found = lookup(plant, MODEL)
            document, trust, rules = plant.blobs.get(found.passport), plant.trust, rules_of(plant, found.release)
            passport = parse_passport(document)
            kept = (
                f"{len(document) / 1000:.0f} kB, {len(passport.entries)} entries, {len(passport.envelopes)} envelopes"
            )
            print(f"the release's passport: {kept}")
            routed = plant.last(f"endpoint/production/{MODEL}", ROUTED)
            assert routed is not None
            envelope = plant.blobs.get(Digest(routed.body["table"]))
            entry, size, root = routed, plant.ledger.size(), plant.ledger.root()
            path, leaf = plant.ledger.inclusion(entry.position, size), leaf_hash(entry.document)

            def admit() -> None:
                dossier = open_passport(parse_passport(document), trust, origin=plant.origin)
                assert isinstance(judge(plant, rules, dossier, Action.SERVE), Permit)

            dossier = open_passport(passport, trust, origin=plant.origin)

            def admit_known() -> None:
                unseal(envelope, ROUTES, trust, at=plant.clock.now())
                verify_inclusion(leaf, entry.position, size, path, root)
                assert isinstance(judge(plant, rules, dossier, Action.SERVE), Permit)

            told("one signature, one proof, one decision", admit_known, rounds)
            told("the whole passport opened, and decided", admit, rounds)
            told("one signed table verified", lambda: unseal(envelope, ROUTES, trust, at=plant.clock.now()), rounds)
            told("one inclusion proof", lambda: verify_inclusion(leaf, entry.position, size, path, root), rounds)
            signed = plant.ledger.checkpoint()
            told(
                "a passport built from the ledger",
                lambda: build_passport(plant.ledger, plant.blobs, found.release, signed),
                max(10, rounds // 10),
            )
            told("an alias resolved, nothing kept", lambda: lookup(plant, MODEL), max(10, rounds // 3))


if __name__ == "__main__":
    main()
