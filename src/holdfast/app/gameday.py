"""`holdfast drill gameday`: failures and attacks rehearsed on a copy of the workspace's gateway, under load.

The copy answers on this machine only, from what is published, with a copy of the gateway's own folder: what is done to
it touches neither the gateway that answers in production nor its records, and the copy is removed afterwards.
"""

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

from holdfast.adapters import load
from holdfast.adapters.durable import read_private
from holdfast.adapters.supervisor_child import Child
from holdfast.app.loadtest import MAX_KEY, Traffic
from holdfast.core.errors import InvalidInput, Unavailable
from holdfast.lifecycle.gamedays import begin, chosen, hold, subject_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.readiness import drill_rollback
from holdfast.lifecycle.reply import Progress, Reply
from holdfast.lifecycle.routing import current_project
from holdfast.respond.gameday import Rehearsed, rehearsal
from holdfast.rollout.load import GOOD, Due, Slo

WORKERS: Final = 2
LOOK_S: Final = 0.02
ATTACKS_S: Final = 5.0
AFTER_S: Final = 1.0  # calls go on for so long after the gateway is itself again
CUT_S: Final = 1.0
IN_A_ROW: Final = 20  # connections without a sign of what was wrong: each worker has then answered
MOST_RATE: Final = 200.0
SHARED: Final = ("HOLDFAST_LIMITS_URL", "HOLDFAST_FEATURES_URL", "HOLDFAST_TRACES_URL")  # the copy asks nobody's store
OWN: Final = ("spool", "ready.json", "loaded-*.json", "integrity.json", "*.lock", "staging")  # the copy has its own

Found = tuple[float | None, float | None]


def gameday(
    plant: Plant, *, key_file: Path, only: str | None = None, rate: float = 10.0, signed: bool = False
) -> Reply:
    """Hold a game day, and put its score on record as evidence; exit code 1 if a rehearsal is not passed.

    Args:
        plant: The control plane.
        key_file: A file with an API key that may call the model.
        only: One rehearsal by name; by default those that the project declares.
        rate: Calls a second meanwhile.
        signed: Sign each call, where the route table demands it.

    Raises:
        NotFound: No release answers.
        InvalidInput: There is no such rehearsal, or the rate makes no sense.
        Unavailable: The copy does not become ready: its lease is over, for example.
    """
    if not 0 < rate <= MOST_RATE:
        raise InvalidInput(f"{rate:g} calls a second", place="--rate", expected=f"up to {MOST_RATE:g}")
    plant.unlock()
    release, names = subject_of(plant), chosen(plant, only)
    key = read_private(key_file, what="the file with the API key", limit=MAX_KEY).decode("ascii", "replace").strip()
    begin(plant, release, names)
    day: list[Rehearsed] = []
    with copied(plant) as copy:
        party = _Party(copy=copy, model=current_project(plant).project.name, key=key, rate=rate, signed=signed)
        for name in names:
            rolled = name == "rollback"
            found = _rolled_back(drill_rollback(plant, release=release)) if rolled else party.rehearse(name)
            day.append(found)
            plant.tell(Progress(stage="gameday", state="shown", words=f"{name}: {rehearsal(name).does}"))
    return hold(plant, release, day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy of a gateway that runs."""

    workspace: Path
    child: Child
    url: str

    @property
    def address(self) -> tuple[str, int]:
        """Where it answers."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 80

    def pid(self, number: int) -> int:
        """Return a worker's process, as it said itself once it had loaded."""
        return int(json.loads((self.workspace / "gateway" / f"loaded-{number}.json").read_bytes())["pid"])

    def health(self) -> tuple[int, bytes, bool]:
        """Return what a worker says of itself: status, body, and whether it is in the safe state."""
        status, body, headers = load.look(*self.address, "/v2/health/ready")
        return status, body, "x-holdfast-safe-state" in headers

    def recorded(self) -> int:
        """Return how many bytes of security events it has written."""
        return sum(each.stat().st_size for each in (self.workspace / "gateway" / "spool").glob("events-*"))


@contextmanager
def copied(plant: Plant) -> Iterator[Copy]:
    """Start a copy of the workspace's gateway, and remove it when the block ends.

    Raises:
        Unavailable: It does not become ready.
    """
    with TemporaryDirectory(prefix="holdfast-gameday-") as folder:
        root = Path(folder)
        workspace, ready = root / plant.home.workspace.name, root / "ready.json"
        shutil.copytree(plant.home.published, workspace / "published")
        shutil.copytree(plant.home.gateway, workspace / "gateway", ignore=shutil.ignore_patterns(*OWN))
        arguments = ["serve", "--root", str(root), "--port", "0", "--workers", str(WORKERS), "--ready-file", str(ready)]
        child = Child(arguments, ready_file=ready, without=SHARED)
        try:
            yield Copy(workspace=workspace, child=child, url=str(child.wait_until_ready()["url"]))
        finally:
            child.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Party:
    """Who calls the copy, and what is done to it meanwhile."""

    copy: Copy
    model: str
    key: str
    rate: float
    signed: bool

    def rehearse(self, name: str) -> Rehearsed:
        """Carry out one rehearsal; one that cannot be carried out is not passed."""
        acts: dict[str, Callable[[float], Found]] = {
            "kill-worker": self._kill,
            "hang-worker": self._hang,
            "cut-control-plane": self._cut,
        }
        try:
            if name == "attacks":
                return asyncio.run(self._attacked())
            if name == "tampering":
                return Rehearsed(rehearsal=name, detect_s=self._tamper(), recover_s=None, calls=0, failed=0)
            return asyncio.run(self._among_calls(name, acts[name]))
        except (OSError, ValueError, Unavailable) as error:
            return Rehearsed(
                rehearsal=name, detect_s=None, recover_s=None, calls=0, failed=0, words=f"{type(error).__name__}"
            )

    def _traffic(self) -> Traffic:
        host, port = self.copy.address
        sender = load.Sender(host=host, port=port, timeout_s=20.0)
        return Traffic(sender, f"{host}:{port}", self.model, self.key, sign=self.signed, seed=time.monotonic_ns())

    async def _among_calls(self, name: str, act: Callable[[float], Found]) -> Rehearsed:
        """Do something to the copy while good calls come at the rate, and go on a moment after."""
        traffic = self._traffic()
        await traffic.learn()
        ended, calls = asyncio.Event(), list[asyncio.Task[int]]()

        async def one() -> int:
            return (await traffic.one(Due(kind=GOOD, at_s=0.0), time.perf_counter())).status

        async def come() -> None:
            while not ended.is_set():
                calls.append(asyncio.create_task(one()))
                await asyncio.sleep(1 / self.rate)

        coming = asyncio.create_task(come())
        await asyncio.sleep(AFTER_S)
        detect_s, recover_s = await asyncio.to_thread(act, rehearsal(name).within_s)
        await asyncio.sleep(AFTER_S)
        ended.set()
        await coming
        statuses = await asyncio.gather(*calls)
        await traffic.sender.close()
        failed = sum(status in {load.NOTHING, load.LATE} or status >= 500 for status in statuses)  # noqa: PLR2004
        return Rehearsed(rehearsal=name, detect_s=detect_s, recover_s=recover_s, calls=len(statuses), failed=failed)

    def _replaced(self, number: int, within_s: float, words: str) -> Found:
        """Wait until the supervisor says what it saw, and until a successor has loaded; return both times."""
        before, begun = self.copy.pid(number), time.monotonic()
        os.kill(before, signal.SIGKILL if number == 0 else signal.SIGSTOP)
        detect_s = _until(lambda: self.copy.child.has_said(words), begun, within_s)
        return detect_s, _until(lambda: self.copy.pid(number) != before, begun, within_s)

    def _kill(self, within_s: float) -> Found:
        return self._replaced(0, within_s, "worker 0 was ended by SIGKILL")

    def _hang(self, within_s: float) -> Found:
        return self._replaced(1, within_s, "worker 1 was silent for")

    def _cut(self, within_s: float) -> Found:
        published, away = self.copy.workspace / "published", self.copy.workspace / "away"
        begun = time.monotonic()
        published.rename(away)
        detect_s = _until(lambda: b"stale" in self.copy.health()[1], begun, within_s)
        time.sleep(CUT_S)
        away.rename(published)

        def itself() -> bool:
            return all(b"stale" not in self.copy.health()[1] for _ in range(IN_A_ROW))

        return detect_s, _until(itself, time.monotonic(), within_s)

    def _tamper(self) -> float | None:
        """Change what the gateway believes in, and wait until it has gone into its safe state."""
        begun = time.monotonic()
        with (self.copy.workspace / "gateway" / "root.json").open("ab") as file:
            file.write(b" ")

        def safe() -> bool:
            status, _, said = self.copy.health()
            return status == 503 or said  # noqa: PLR2004 - RFC 9110, 15.6.4

        return _until(safe, begun, rehearsal("tampering").within_s)

    async def _attacked(self) -> Rehearsed:
        """Let attacks come among good calls; noticed is what is on record, failed what got what it must not."""
        before, begun = self.copy.recorded(), time.monotonic()
        traffic = self._traffic()
        within_s = rehearsal("attacks").within_s
        noticed = asyncio.create_task(asyncio.to_thread(_until, lambda: self.copy.recorded() > before, begun, within_s))
        found = await traffic.run(
            rate=self.rate, seconds=ATTACKS_S, attack_share=0.5, slo=Slo(p99_ms=60_000.0, goodput=0.0)
        )
        healthy = _until(lambda: self.copy.health()[0] == 200, time.monotonic(), within_s)  # noqa: PLR2004
        calls = found.good + sum(each["calls"] for each in found.attacks.values())
        lost = sum(
            count for code, count in found.refused_good.items() if not code.startswith("HF2")
        )  # limits are no loss
        lost += sum(each["unexpected"] for each in found.attacks.values())
        return Rehearsed(
            rehearsal="attacks",
            detect_s=await noticed,
            recover_s=healthy,
            calls=calls,
            failed=lost,
        )


def _rolled_back(drilled: Reply) -> Rehearsed:
    """Return what a drill of the rollback found, which files evidence of its own."""
    (found,) = drilled.document["evidence"]
    took = found["measures"].get("rollback_s") if not drilled.exit_code else None
    return Rehearsed(
        rehearsal="rollback",
        detect_s=took,
        recover_s=took,
        calls=0,
        failed=0,
        words=found["reason"] if took is None else "",
    )


def _until(holds: Callable[[], bool], begun: float, within_s: float) -> float | None:
    """Return how long after the beginning something held; None where it did not within its time."""
    while time.monotonic() - begun <= within_s:
        try:
            if holds():
                return time.monotonic() - begun
        except (OSError, ValueError):  # a file that is just being replaced
            pass
        time.sleep(LOOK_S)
    return None
