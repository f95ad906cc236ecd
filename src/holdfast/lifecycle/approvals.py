"""Approvals and waivers: persons' signed words on a release, made here or elsewhere, checked and put on record.

Whose word counts is decided by `core.policy` from what is on record; here only what could never count is turned away,
so that nobody believes to have approved something. A rejection is taken from whoever is trusted to speak at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from holdfast.core.approval import seconds
from holdfast.core.artifact import Digest, Kind, digest_bytes
from holdfast.core.authorship import authors_of, wrote
from holdfast.core.errors import Conflict, InvalidInput, NotFound, NotVerified, Refused
from holdfast.core.ledger import Draft
from holdfast.core.passport import AUTHORIZED, RECORDED
from holdfast.core.policy import Policy, seated
from holdfast.core.ports import Signer
from holdfast.core.seal import AUTHORIZATION, Authorization, Verified, seal, unseal
from holdfast.lifecycle.inputs import check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import resolve_release
from holdfast.lifecycle.proof import proved
from holdfast.lifecycle.reply import Progress, Reply, Table, short
from holdfast.lifecycle.routing import case_of, current_project, rules_for

LASTS: Final = "30d"
LONGEST: Final = timedelta(days=366)  # of any word: one that never ends is never thought about again
Said = Literal["approve", "reject", "waive"]
ACTIONS: Final = frozenset({"approve", "reject", "waive"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who speaks, in which role, with which key, and for how long the word holds."""

    role: str
    by: str | None
    key: Path | None
    lasts: str


def approve(
    plant: Plant,
    *,
    release: str | None = None,
    reason: str,
    role: str = "owner",
    by: str | None = None,
    key: Path | None = None,
    lasts: str = LASTS,
) -> Reply:
    """Put a person's signed approval of a release on record; whether it suffices, the policy decides.

    Args:
        plant: The control plane.
        release: Digest of the release; the newest if left out.
        reason: Why, in a sentence.
        role: In which role; the root keys must have granted it.
        by: Who; the owner of the workspace if left out.
        key: The folder with that person's own key.
        lasts: For how long the approval holds.

    Raises:
        Refused: The person does not hold the role.
        NotVerified: The key is not the person's, or is not trusted.
    """
    return _say(plant, "approve", release, reason, Speaker(role=role, by=by, key=key, lasts=lasts))


def reject(
    plant: Plant,
    *,
    release: str | None = None,
    reason: str,
    role: str = "owner",
    by: str | None = None,
    key: Path | None = None,
) -> Reply:
    """Put a person's signed rejection of a release on record; no approval outweighs it, and it does not end.

    Raises:
        NotVerified: The key is not the person's, or is not trusted.
    """
    return _say(plant, "reject", release, reason, Speaker(role=role, by=by, key=key, lasts="365d"))


def waive(
    plant: Plant,
    *,
    rule: str,
    release: str | None = None,
    reason: str,
    role: str,
    by: str | None = None,
    key: Path | None = None,
    lasts: str = "7d",
) -> Reply:
    """Put a person's signed waiver of one rule for one release on record; it ends by itself.

    Raises:
        Refused: The rule cannot be waived, or not by this person.
        NotFound: The release's policy has no such rule.
        NotVerified: The key is not the person's, or is not trusted.
    """
    return _say(plant, "waive", release, reason, Speaker(role=role, by=by, key=key, lasts=lasts), rule=rule)


def _say(plant: Plant, action: Said, release: str | None, reason: str, speaker: Speaker, *, rule: str = "") -> Reply:
    """Seal a person's word with the person's own key, and file it like one that was sealed elsewhere."""
    check_reason(reason)
    until = plant.clock.now() + timedelta(seconds=seconds(speaker.lasts))
    plant.unlock()
    signer: Signer = plant.open_person(speaker.key) if speaker.key is not None else plant.keys.signer("person")
    known = plant.trust.key(signer.keyid)
    person = speaker.by or (known.owner if known else plant.person)
    subject = resolve_release(plant, current_project(plant), release)
    word = Authorization(
        person=person, role=speaker.role, action=action, subject=subject, rule=rule, until=until, reason=reason
    )
    return file_authorization(plant, seal(word, AUTHORIZATION, [signer]))


def file_authorization(plant: Plant, envelope: bytes) -> Reply:
    """Put a person's word on record that was signed elsewhere, in a DSSE envelope.

    1. It is signed by the person that it names, with a trusted key. 2. It approves, rejects or waives a release of this
    workspace, and has not ended. 3. Who approves or waives holds the role; who waives did not write the code. 4. It is
    not on record already.

    Raises:
        NotVerified: 1. fails.
        InvalidInput: It says something else, or ended.
        NotFound: The release, or the rule to be waived, is not known here.
        Refused: 3. fails.
        Conflict: 4. fails.
    """
    verified = unseal(envelope, AUTHORIZATION, plant.trust, at=plant.clock.now())  # 1.
    word, now = verified.value, plant.clock.now()
    _check_said(plant, word, now)  # 2.
    if word.action != "reject":  # 3.
        _check_entitled(plant, word, now)
    stored = digest_bytes(envelope)
    body = {"action": word.action, "person": word.person, "envelope": stored}
    body |= {"rule": word.rule} if word.rule else {}
    with plant.ledger.lease("route"):
        if any(entry.body.get("envelope") == stored for entry in plant.ledger.stream(word.subject)):  # 4.
            raise Conflict("this very word is on record already", place=stored, remedy="Nothing is left to do.")
        plant.blobs.put(envelope)
        plant.ledger.append([Draft(kind=AUTHORIZED, actor=word.person, stream=word.subject, body=body)])
    return _told(plant, verified)


def _check_said(plant: Plant, word: Authorization, now: datetime) -> None:
    if word.action not in ACTIONS or bool(word.rule) != (word.action == "waive"):
        raise InvalidInput(
            f"an authorization to {word.action} {word.rule}".strip(), expected="approve, reject or waive"
        )
    check_reason(word.reason)
    if not now < word.until <= now + LONGEST:
        expected = f"later than now, by at most {LONGEST.days} days"
        raise InvalidInput(f"it holds until {word.until.isoformat()}", place=word.person, expected=expected)
    recorded = plant.last(word.subject, RECORDED)
    if recorded is None or recorded.body["kind"] != Kind.RELEASE:
        raise NotFound("this workspace has no such release", place=word.subject)


def _check_entitled(plant: Plant, word: Authorization, now: datetime) -> None:
    """Refuse what could never count."""
    if plant.trust.granted(word.person, word.role, now) is None:
        remedy = "The root keys grant roles; ask whoever holds them."
        raise Refused(f"{word.person} does not hold the role {word.role}", place=word.role, remedy=remedy)
    if word.action == "waive":
        _check_waiver(plant, word)


def _check_waiver(plant: Plant, word: Authorization) -> None:
    policy = rules_for(plant, current_project(plant), word.subject).policy
    rule = next((each for each in policy.rule if each.id == word.rule), None)
    if rule is None:
        raise NotFound(f"the policy {policy.name} has no rule {word.rule!r}", expected="a rule's id")
    if policy.waivers is None or not rule.waivable or word.role not in policy.waivers.roles:
        words = f"the policy {policy.name} lets nobody of role {word.role} waive {rule.id}"
        raise Refused(words, place=rule.id, remedy="Meet the rule; what is not waivable is so for a reason.")
    authors = authors_of(case_of(plant, Digest(word.subject)).dossier)
    if authors is None or wrote(word.person, authors):
        words = f"{word.person} wrote the training code" if authors else "who wrote the training code is not on record"
        raise Refused(f"{words}, so this waiver could not count", place=rule.id, remedy="Ask somebody else.")


def _told(plant: Plant, verified: Verified[Authorization]) -> Reply:
    word = verified.value
    did = {"approve": "approved", "reject": "rejected", "waive": f"waived {word.rule} for"}[word.action]
    missing = _missing(plant, Digest(word.subject))
    rest = f" Still missing: {'; '.join(missing)}." if missing else ""
    document = {
        "release": word.subject,
        "action": word.action,
        "person": word.person,
        "role": word.role,
        "rule": word.rule,
        "until": word.until.isoformat(),
        "envelope": verified.envelope,
        "missing": list(missing),
    }
    return Reply(says=f"{word.person} {did} release {short(word.subject)} as {word.role}.{rest}", document=document)


def approvals(plant: Plant, *, release: str | None = None) -> Reply:
    """List what persons have said of a release, and which approvals are still missing, in words.

    Raises:
        NotFound: There is no such release.
        NotVerified: Something on record about it does not check out.
    """
    subject = resolve_release(plant, current_project(plant), release)
    said = list(_words(plant, subject))
    missing = _missing(plant, subject)
    rows = [
        (word.person, word.role, f"{word.action} {word.rule}".strip(), f"{word.until:%Y-%m-%d %H:%M}", word.reason)
        for word in said
    ]
    table = Table(title="Words of persons", columns=("person", "as", "said", "until (UTC)", "reason"), rows=rows)
    document = {
        "release": subject,
        "words": [
            {
                "person": word.person,
                "role": word.role,
                "action": word.action,
                "rule": word.rule,
                "until": word.until.isoformat(),
                "reason": word.reason,
            }
            for word in said
        ],
        "missing": list(missing),
    }
    says = f"Release {short(subject)} still lacks: {'; '.join(missing)}." if missing else "No approval is missing."
    return Reply(says=says, document=document, tables=(table,))


def _words(plant: Plant, subject: Digest) -> Iterator[Authorization]:
    """Yield every person's word on a release, oldest first; what does not verify is told, and is nobody's word."""
    for entry in plant.ledger.stream(subject):
        if entry.kind == AUTHORIZED:
            envelope = plant.blobs.get(Digest(str(entry.body["envelope"])))
            try:
                yield unseal(envelope, AUTHORIZATION, plant.trust, at=entry.moment).value
            except NotVerified as error:
                words = f"entry {entry.position} is nobody's word: {error.message}"
                plant.tell(Progress(stage="approvals", state="failed", words=words))


def _missing(plant: Plant, subject: Digest) -> tuple[str, ...]:
    """Return which approvals a release lacks under the policy that decides about it."""
    policy: Policy = rules_for(plant, current_project(plant), subject).policy
    try:
        dossier = proved(plant, subject)[0].dossier
    except NotVerified as error:
        return (f"the evidence on it does not check out: {error.message}",)
    found = seated(policy, dossier, plant.clock.now())[subject]
    return tuple(f"[{rule}] {each}" for rule, words in found.lacking.items() for each in words)
