"""The policy desk: explain a decision, compare two policies, and make every recorded decision again."""

from pathlib import Path

from holdfast.core.errors import NotVerified
from holdfast.core.explanation import Explained, differences, explain
from holdfast.core.policy import Action, Policy, Request
from holdfast.lifecycle.decisions import replay_all
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.policies import load_policy
from holdfast.lifecycle.promotion import resolve_release
from holdfast.lifecycle.proof import proved
from holdfast.lifecycle.publishing import ENVIRONMENT, standing
from holdfast.lifecycle.reply import Progress, Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project, rules_for


def explain_release(plant: Plant, *, release: str | None = None, policy: str | None = None) -> Reply:
    """Say of each rule whether it holds for a release, with which evidence, in words; nothing is decided.

    Raises:
        NotFound: There is no such release, or no such policy.
        NotVerified: Something on record about it does not check out.
    """
    project = current_project(plant)
    subject = resolve_release(plant, project, release)
    dossier = proved(plant, subject)[0].dossier
    if policy is None:
        rules = rules_for(plant, project, subject)
        named, digest = rules.policy, rules.digest
    else:
        named, digest, _ = plant.load_policy(policy)
    action = Action.SERVE if subject in standing(plant, project).releases else Action.PROMOTE
    request = Request(action=action, environment=ENVIRONMENT, now=plant.clock.now(), nonce="explanation")
    found = explain(named, digest, dossier, request)
    denies = [each for each in found if not each.holds and not each.waived]
    says = f"{len(denies)} of {len(found)} rules of {named.name} deny release {short(subject)}"
    says = (
        f"{says}: {', '.join(each.rule for each in denies)}."
        if denies
        else (f"All {len(found)} rules of {named.name} let release {short(subject)} through to {action}.")
    )
    rows = [(each.rule, _verdict(each), "; ".join(each.words or each.rests_on)[:300]) for each in found]
    document = {
        "release": subject,
        "policy": named.name,
        "digest": digest,
        "action": action,
        "rules": [
            {
                "rule": each.rule,
                "verdict": _verdict(each),
                "because": each.because,
                "words": list(each.words),
                "evidence": list(each.rests_on),
            }
            for each in found
        ],
    }
    table = Table(title=f"Policy {named.name} v{named.version}", columns=("rule", "verdict", "why"), rows=rows)
    return Reply(says=says, document=document, tables=(table,), exit_code=1 if denies else 0)


def _verdict(each: Explained) -> str:
    return "waived" if each.waived else "holds" if each.holds else "denies"


def diff(root: Path, *, tell: object, old: str, new: str) -> Reply:
    """Say how one policy differs from another: what is added, removed, loosened, tightened.

    Raises:
        NotFound: There is no such policy.
        InvalidInput: It is malformed.
    """
    del tell  # nothing here takes long
    before, after = _policy(old, root), _policy(new, root)
    changes = differences(before, after)
    counts = {
        effect: sum(1 for each in changes if each.effect == effect) for effect in sorted({c.effect for c in changes})
    }
    words = ", ".join(f"{count} {effect}" for effect, count in sorted(counts.items()))
    document = {"changes": [{"rule": each.rule, "effect": each.effect, "words": each.words} for each in changes]}
    table = Table(
        title=f"{before.name} → {after.name}",
        columns=("rule", "effect", "what"),
        rows=[(each.rule, each.effect, each.words) for each in changes],
    )
    says = f"{after.name} differs from {before.name}: {words}." if changes else "They say the same."
    return Reply(says=says, document=document, tables=(table,))


def _policy(name: str, root: Path) -> Policy:
    return load_policy(name, root)[0]


def replay(plant: Plant) -> Reply:
    """Make every recorded decision again, permits and denials, and compare; a difference is located.

    Raises:
        NotVerified: A decision comes out otherwise than recorded; the place is the first entry of which that is so.
    """
    count, different = 0, []
    for found in replay_all(plant):
        count += 1
        if found.difference:
            different.append(found)
            words = f"entry {found.position}: {found.difference}"
            plant.tell(Progress(stage="replay", state="failed", words=words))
    if different:
        first = different[0]
        raise NotVerified(
            f"{len(different)} of {count} decisions come out otherwise: {first.difference}",
            place=f"entry {first.position}",
            expected="the recorded answer",
            remedy="Run `holdfast ledger verify`; look at what changed in this installation's code since.",
        )
    return Reply(
        says=f"{counted(count, 'decision')} made again, each with the recorded answer.", document={"decisions": count}
    )
