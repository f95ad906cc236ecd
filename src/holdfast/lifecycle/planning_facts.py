"""Facts: which controls are in force in this plant now, each with what shows it, read anew and believed only verified.

Nothing here is remembered or declared: evidence is unsealed, the route table and the trust are read, the ledger is
checked. What cannot be read or does not verify is not in force, with the reason in words.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from holdfast.core.artifact import Digest
from holdfast.core.errors import HoldfastError, NotFound
from holdfast.core.evidence import Evidence, Outcome
from holdfast.core.ledger import Entry
from holdfast.core.passport import AUTHORIZED, FILED, RECORDED
from holdfast.core.project import Project
from holdfast.core.seal import AUTHORIZATION, EVIDENCE, unseal
from holdfast.core.telemetry import DRAINED, MEASURED, traffic_stream
from holdfast.core.trust import ROLES
from holdfast.lifecycle import STAGES
from holdfast.lifecycle.intake_events import TAKEN
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import documents_of, endpoint_stream, present_table, standing
from holdfast.lifecycle.reply import short
from holdfast.lifecycle.verification import opened_checkpoints
from holdfast.plan.lines import Live, State
from holdfast.serve.guards import GUARDS
from holdfast.watch import CONTROLS as WATCH

CLEAR: Final = (b"BEGIN PRIVATE KEY", b"BEGIN EC PRIVATE KEY", b"BEGIN RSA PRIVATE KEY")  # PEM without encryption
FRESH: Final = timedelta(days=1)  # telemetry and measurements older than this say nothing about now
ASKED_FOR: Final = frozenset({"ingest.outliers/1", "ingest.history/1", "assess.certificate/1"})
"""Controls that measure something only where a project declares it, or where versions came before: that one does not
is no control switched off."""
STAGED: Final = tuple(control for stage in STAGES for control in stage.leaves if control not in ASKED_FOR)
WATCHED: Final = tuple(control.name for control in WATCH)
BY_CHOICE: Final = frozenset(
    {
        "fresh-request",
        "looked-up-features",
        "within-concurrency",
        "within-quota",
        "within-spend",
        "squeezed-input",
        "stream-anomaly",
        "query-sequence",
        "adversarial-input",
        "extraction",
        "noised-output",
        "grouped-output",
        "within-bounds",
        "prompt-injection",
        "text-content",
    }
)
"""Guards that a project asks for or not: the absence of one is no control switched off."""
GUARDED: Final = tuple(f"guard:{kind.name}" for kind in GUARDS if kind.name not in BY_CHOICE)
KEYED: Final = tuple(f"key:{role}" for role in ROLES)
PLANT: Final = (
    "routes:signed",
    "policy:accepted",
    "approval:owner",
    "project:owner",
    "keys:encrypted",
    "watch:telemetry",
    "events:security",
    "ledger:chain",
    "ledger:checkpoint",
)
CONTROLS: Final = (*STAGED, *WATCHED, *GUARDED, *KEYED, *PLANT)
"""Every control whose being in force is read here; what `planning` adds to them are facts about planning itself."""


def subject_of(plant: Plant, project: Project) -> str:
    """Return the release that facts are about: what answers, else the newest that was made, else nothing."""
    from holdfast.lifecycle.promotion import newest_release

    return standing(plant, project).baseline or newest_release(plant, project) or ""


def live_facts(plant: Plant, project: Project) -> dict[str, State]:
    """Return every control of `CONTROLS` with whether it is in force now."""
    release = subject_of(plant, project)
    found: dict[str, State] = {}
    found |= _guarded(plant, project)
    found |= _keyed(plant)
    found |= {name: _none("no evidence of it on what answers") for name in STAGED}
    found |= _settled(lambda: _evidence(plant, release), STAGED)
    found |= _settled(lambda: _watched(plant, release), WATCHED)
    checks: dict[str, Callable[[], State]] = {
        "routes:signed": lambda: _routes(plant, project),
        "policy:accepted": lambda: _policy(plant, project),
        "approval:owner": lambda: _approval(plant, release),
        "project:owner": lambda: _owner(plant, project),
        "keys:encrypted": lambda: _custody(plant),
        "watch:telemetry": lambda: _telemetry(plant, release),
        "events:security": lambda: _events(plant),
        "ledger:chain": lambda: _chain(plant),
        "ledger:checkpoint": lambda: _checkpoint(plant),
    }
    return found | {name: safely(check) for name, check in checks.items()}


def safely(check: Callable[[], State]) -> State:
    """Return what a check finds; one that cannot be made has found that the control is not in force."""
    try:
        return check()
    except HoldfastError as error:
        return _none(f"{error.message} ({error.place})" if error.place else error.message)


def _none(words: str) -> State:
    return State(on=False, fact=words)


def _settled(read: Callable[[], Live], names: tuple[str, ...]) -> Live:
    """Return what was read; where reading broke off, nothing of it is in force."""
    try:
        return read()
    except HoldfastError as error:
        return {name: _none(error.message) for name in names}


def closure_of(plant: Plant, release: str) -> Iterator[str]:
    """Yield a release and everything it derives from, as the ledger has it."""
    seen: set[str] = set()
    waiting = [release] if release else []
    while waiting:
        digest = waiting.pop()
        if digest in seen:
            continue
        seen.add(digest)
        yield digest
        for entry in plant.ledger.stream(digest):
            if entry.kind == RECORDED:
                waiting += [str(parent["digest"]) for parent in entry.body["parents"]]


def _evidence(plant: Plant, release: str) -> Live:
    """Return for each control of a stage how its newest evidence on the release's closure ended."""
    newest: dict[str, tuple[Entry, Evidence]] = {}
    for digest in closure_of(plant, release):
        for entry in plant.ledger.stream(digest):
            if entry.kind == FILED:
                item = unseal(plant.blobs.get(Digest(entry.body["envelope"])), EVIDENCE, plant.trust, at=entry.moment)
                known = newest.get(item.value.control)
                if known is None or known[0].position < entry.position:
                    newest[item.value.control] = (entry, item.value)
    return {control: _ended(entry, item) for control, (entry, item) in newest.items() if control in STAGED}


def _ended(entry: Entry, item: Evidence) -> State:
    about = f"{item.control} on {item.kind} {short(item.subject)}, {entry.time[:16]}"
    if item.outcome is Outcome.MEASURED:
        first = next(iter((*item.measures, *item.timings)))
        return State(on=True, fact=f"{about}: {first}")
    return _none(f"{about} is {item.outcome}: {item.reason}")


def _watched(plant: Plant, release: str) -> Live:
    """Return for each control of watching whether it has measured the release's traffic lately."""
    entry = plant.last(traffic_stream(release), MEASURED) if release else None
    if entry is None:
        return {name: _none("no traffic of what answers was measured yet") for name in WATCHED}
    if plant.clock.now() - entry.moment > FRESH:
        return {name: _none(f"last measured {entry.time[:16]}, over a day ago") for name in WATCHED}
    found = {name: _none(f"not among what was measured {entry.time[:16]}") for name in WATCHED}
    for listed in entry.body["evidence"]:
        item = unseal(plant.blobs.get(Digest(listed["envelope"])), EVIDENCE, plant.trust, at=entry.moment).value
        found[item.control] = _ended(entry, item)
    return found


def _guarded(plant: Plant, project: Project) -> Live:
    """Return for each guard whether the signed table of an unended lease lists it."""

    def read() -> Live:
        table = present_table(plant, project)
        if table is None:
            return {name: _none("nothing is routed") for name in GUARDED}
        if table.expires <= plant.clock.now():
            return {name: _none(f"the lease of epoch {table.epoch} has ended") for name in GUARDED}
        listed = {f"guard:{spec.name}" for spec in table.guards}
        fact = f"in the signed route table of epoch {table.epoch}, lease until {table.expires:%Y-%m-%d %H:%M} UTC"
        lacking = f"not in the signed route table of epoch {table.epoch}"
        return {name: State(on=True, fact=fact) if name in listed else _none(lacking) for name in GUARDED}

    return _settled(read, GUARDED)


def _keyed(plant: Plant) -> Live:
    """Return for each role whether an unrevoked key of it is inside its window."""
    found: dict[str, State] = {}
    now, trust = plant.clock.now(), plant.trust
    for role in ROLES:
        held = [key for key in trust.of_role(role) if key.not_before <= now < key.not_after]
        if held:
            last = max(held, key=lambda key: key.not_after)
            fact = f"key {last.keyid[:16]} of role {role}, until {last.not_after:%Y-%m-%d}"
            found[f"key:{role}"] = State(on=True, fact=fact)
        else:
            found[f"key:{role}"] = _none(f"no trusted key of role {role} is valid now")
    return found


def _routes(plant: Plant, project: Project) -> State:
    table, entry = present_table(plant, project), plant.last(endpoint_stream(project), "endpoint.routed")
    if table is None or entry is None:
        return _none("nothing is routed")
    if any(plant.published.document(name) != content for name, content in documents_of(plant, entry).items()):
        return _none("what the gateway reads is not what the ledger names")
    if table.expires <= plant.clock.now():
        return _none(f"the lease of epoch {table.epoch} has ended")
    return State(on=True, fact=f"route table of epoch {table.epoch} is signed, published and inside its lease")


def _policy(plant: Plant, project: Project) -> State:
    table = present_table(plant, project)
    if table is None:
        return _none("nothing is routed, so no policy has decided")
    if table.policy not in plant.trust.policies:
        return _none(f"policy {short(table.policy)} is not one the root keys accept")
    return State(on=True, fact=f"policy {short(table.policy)}, accepted by the root keys, decided epoch {table.epoch}")


def _approval(plant: Plant, release: str) -> State:
    for entry in reversed(plant.ledger.stream(release)) if release else ():
        if entry.kind == AUTHORIZED:
            envelope = plant.blobs.get(Digest(entry.body["envelope"]))
            word = unseal(envelope, AUTHORIZATION, plant.trust, at=entry.moment).value
            if (word.action, word.rule) == ("approve", "") and _stands(plant, word.person, word.role, word.until):
                return State(on=True, fact=f"{word.person} approved {short(release)} on {entry.time[:10]}")
    return _none("nobody's approval of what answers stands")


def _stands(plant: Plant, person: str, role: str, until: datetime) -> bool:
    now = plant.clock.now()
    return now < until and plant.trust.granted(person, role, now) is not None


def _owner(plant: Plant, project: Project) -> State:
    owner, now = project.project.owner, plant.clock.now()
    if plant.trust.granted(owner, "owner", now) is None:
        return _none(f"{owner} does not hold the role owner")
    return State(on=True, fact=f"{owner} holds the role owner")


def _custody(plant: Plant) -> State:
    """Look at every file of the key store: none may hold a private key that opens without the unlock secret."""
    folder = plant.home.workspace / "keys"
    try:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        clear = [path.name for path in files if any(mark in path.read_bytes() for mark in CLEAR)]
        open_to_others = [path.name for path in files if path.stat().st_mode & 0o077]
    except OSError as error:
        return _none(f"the key store cannot be read: {error.strerror}")
    if not files or clear or open_to_others:
        return _none(
            f"{', '.join(clear or open_to_others) or 'no key file'}: in the clear, open to others or not there"
        )
    return State(on=True, fact=f"{len(files)} key files, none in the clear or open to others; custody: {plant.custody}")


def _telemetry(plant: Plant, release: str) -> State:
    newest: Entry | None = None
    for entry in plant.ledger.entries():
        if entry.kind == DRAINED and entry.body["release"] == release and release:
            newest = entry
    if newest is None:
        return _none("no gateway has told anything of what answers")
    if plant.clock.now() - newest.moment > FRESH:
        return _none(f"the last statement is of {newest.time[:16]}, over a day ago")
    fact = f"statement {newest.body['sequence']} of {newest.stream} on {short(release)}, {newest.time[:16]}"
    return State(on=True, fact=fact)


def _events(plant: Plant) -> State:
    newest: Entry | None = None
    for entry in plant.ledger.entries():
        if entry.kind in {TAKEN, "security.refused"}:
            newest = entry
    if newest is None:
        return _none("no security events of a gateway were taken in")
    if newest.kind != TAKEN:
        return _none(f"the chain of security events is broken: {newest.body['reason']}")
    return State(on=True, fact=f"{newest.body['sequence']} security events taken in, chained, none sampled away")


def _chain(plant: Plant) -> State:
    found = plant.ledger.verify(())
    return State(on=True, fact=f"{found.size} entries hold together, checked just now")


def _checkpoint(plant: Plant) -> State:
    kept = opened_checkpoints(plant)
    if not kept:
        raise NotFound("no checkpoint was ever signed", remedy="Sign one with `holdfast ledger checkpoint`.")
    plant.ledger.verify(kept)
    last = kept[-1]
    return State(on=True, fact=f"signed checkpoint of {last.size} entries, {last.time:%Y-%m-%d %H:%M} UTC, still fits")
