"""What persons put on record while planning: sign-offs of three stages, tabletops; and the runbook they work by."""

from datetime import timedelta
from typing import Any, Final

from holdfast.core.artifact import Digest, digest_bytes, digest_json
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.ledger import Draft
from holdfast.core.passport import AUTHORIZED
from holdfast.core.project import Project
from holdfast.core.seal import AUTHORIZATION, Authorization, unseal
from holdfast.core.signals import Signal
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import newest_release
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project
from holdfast.plan.lines import State
from holdfast.respond import PLAYBOOK, Posture

STAGES_OF_REVIEW: Final = ("design", "pipeline", "runtime")
RUNBOOK_FILE: Final = "RUNBOOK.md"
MAX_RUNBOOK: Final = 1 << 20  # bytes
HELD: Final = "tabletop.held"
TABLETOP_LASTS: Final = timedelta(days=92)  # a quarter
SIGNOFF_LASTS: Final = timedelta(days=90)
MAX_REASON: Final = 500  # characters


def signoff(plant: Plant, *, stage: str, reason: str, role: str = "owner") -> Reply:
    """Put a person's signed word on record: the security of the newest release was reviewed at this stage.

    Raises:
        InvalidInput: There is no such stage, or no reason.
        NotFound: No release was made yet.
    """
    if stage not in STAGES_OF_REVIEW:
        raise InvalidInput(f"there is no stage of review {stage[:40]!r}", expected=", ".join(STAGES_OF_REVIEW))
    _check_reason(reason)
    project = current_project(plant)
    release = newest_release(plant, project)
    if release is None:
        raise NotFound("no release has been made yet", remedy="Make one with `holdfast run`.")
    plant.unlock()
    word = Authorization(
        person=plant.person,
        role=role,
        action="approve",
        subject=release,
        rule=f"signoff.{stage}",
        until=plant.clock.now() + SIGNOFF_LASTS,
        reason=reason,
    )
    envelope = plant.seal(word, AUTHORIZATION, "person")
    body = {"action": "approve", "person": plant.person, "rule": word.rule, "envelope": envelope}
    plant.ledger.append([Draft(kind=AUTHORIZED, actor=plant.person, stream=release, body=body)])
    there = signoffs(plant, release)
    missing = [each for each in STAGES_OF_REVIEW if each not in there]
    says = f"Review at {stage} of release {short(release)} is on record. "
    says += f"Still missing: {', '.join(missing)}." if missing else "All three are there."
    return Reply(says=says, document={"release": release, "stages": there, "missing": missing})


def signoffs(plant: Plant, release: str) -> dict[str, str]:
    """Return who reviewed a release at which stage, by words that still stand."""
    found: dict[str, str] = {}
    now = plant.clock.now()
    for entry in plant.ledger.stream(release):
        if entry.kind != AUTHORIZED:
            continue
        word = unseal(
            plant.blobs.get(Digest(entry.body["envelope"])), AUTHORIZATION, plant.trust, at=entry.moment
        ).value
        stage = word.rule.removeprefix("signoff.")
        stands = now < word.until and plant.trust.granted(word.person, word.role, now) is not None
        if word.action == "approve" and word.rule.startswith("signoff.") and stands:
            found[stage] = word.person
    return found


def tabletop(plant: Plant, *, reason: str) -> Reply:
    """Walk through the playbook signal by signal, and put on record that it was done, with what would have happened.

    Raises:
        InvalidInput: No reason is given.
    """
    _check_reason(reason)
    project = current_project(plant)
    walked: list[dict[str, Any]] = []
    posture = Posture.STEADY
    for signal in Signal:
        if (posture, signal) not in PLAYBOOK.table:
            continue
        after, commands = PLAYBOOK.step(posture, signal)
        walked.append({"signal": signal, "from": posture, "to": after, "commands": list(commands)})
        posture = Posture(after)
    body = {"reason": reason, "playbook": playbook_digest(), "walked": walked, "person": plant.person}
    plant.ledger.append([Draft(kind=HELD, actor=plant.person, stream=_tabletops(project), body=body)])
    rows = [(each["signal"], each["from"], each["to"], ", ".join(each["commands"])) for each in walked]
    table = Table(title="Tabletop", columns=("signal", "from", "to", "commands"), rows=rows)
    return Reply(
        says=f"{counted(len(walked), 'signal')} walked through, on record.",
        document={"walked": walked},
        tables=(table,),
    )


def tabletop_state(plant: Plant, project: Project) -> State:
    """Return whether the playbook as it is now was walked through within a quarter."""
    entry = plant.last(_tabletops(project), HELD)
    if entry is None:
        return State(on=False, fact="no tabletop is on record")
    if entry.body["playbook"] != playbook_digest():
        return State(on=False, fact=f"the playbook was changed since the tabletop of {entry.time[:10]}")
    if plant.clock.now() - entry.moment > TABLETOP_LASTS:
        return State(on=False, fact=f"the last tabletop was on {entry.time[:10]}, over a quarter ago")
    return State(
        on=True, fact=f"{entry.body['person']} held one on {entry.time[:10]}: {len(entry.body['walked'])} signals"
    )


def runbook_state(plant: Plant, project: Project) -> State:
    """Return whether the runbook names the owner and has a section for each signal of the playbook."""
    path = plant.home.root / RUNBOOK_FILE
    if not path.exists():
        return State(on=False, fact=f"there is no {RUNBOOK_FILE}")
    text = read_given(path, limit=MAX_RUNBOOK, what="the runbook").decode(errors="replace")
    headings = {line.lstrip("# ").strip() for line in text.splitlines() if line.startswith("#")}
    lacking = [signal.value for _, signal in PLAYBOOK.table if signal.value not in headings]
    if project.project.owner not in text:
        return State(on=False, fact=f"{RUNBOOK_FILE} does not name the owner {project.project.owner}")
    if lacking:
        return State(on=False, fact=f"{RUNBOOK_FILE} has no section {', '.join(dict.fromkeys(lacking))}")
    return State(on=True, fact=f"{RUNBOOK_FILE} {short(digest_bytes(text.encode()))} names the owner and every signal")


def playbook_digest() -> str:
    """Return the digest of the playbook's table: another table is another playbook."""
    rows = [
        [state, signal, after, list(commands)] for (state, signal), (after, commands) in sorted(PLAYBOOK.table.items())
    ]
    return digest_json(rows)


def _tabletops(project: Project) -> str:
    return f"tabletop/{project.project.name}"


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > MAX_REASON or not reason.isprintable():
        raise InvalidInput("the reason is empty, too long, or not one line of text", expected="a sentence")
