"""Admission: by whose word and which policy something foreign leaves its quarantine.

Every way out is the same as into production: persons' signed words, the passport of the whole ledger on the thing,
`decide`, and an append that names the heads the decision was made on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

from holdfast.core.approval import seconds
from holdfast.core.artifact import Artifact, Digest, File, Kind, digest_bytes, manifest, parse_manifest
from holdfast.core.errors import Conflict, InvalidInput, NotVerified, PolicyDenied, Refused
from holdfast.core.evidence import Outcome
from holdfast.core.ledger import Draft
from holdfast.core.passport import AUTHORIZED
from holdfast.core.policy import MAX_POLICY, Action, Denial, Permit, Policy, Request, decide, parse_policy
from holdfast.core.ports import Signer
from holdfast.core.seal import AUTHORIZATION, Authorization, Verified, seal, unseal
from holdfast.lifecycle.carrying import carry_out
from holdfast.lifecycle.foreign import CONFIGURATION, workspace
from holdfast.lifecycle.inputs import check_reason, read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.policies import intake_policy_file
from holdfast.lifecycle.quarantine import ADMITTED, DENIED, Sort, named, opened, state
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import case_of
from holdfast.lifecycle.verbs import newest_on

LASTS: Final = "30d"  # a person's word, unless said otherwise
ORIGIN_LASTS: Final = (
    "365d"  # a person's word about an origin: what is made of it serves no longer, unless it is said again
)
LONGEST: Final = timedelta(days=366)
ENVIRONMENT: Final = "intake"
MODEL_FILE: Final = "model.onnx"
WEIGHTS_FILE: Final = "model.safetensors"
NOTEBOOK: Final = ".ipynb"


def record(
    plant: Plant,
    *,
    subject: str,
    source: str,
    licence: str,
    method: str,
    validation: str,
    role: str = "owner",
    key: Path | None = None,
) -> Reply:
    """Put on record where something in quarantine comes from, signed by a person.

    Args:
        plant: The control plane.
        subject: The beginning of its digest.
        source: From where and whom it was had, and when.
        licence: Under which terms.
        method: How it was made, and from what.
        validation: How it was checked, by whom.
        role: In which role the person speaks.
        key: The folder with the person's own key; the owner's if left out.

    Raises:
        InvalidInput: One of the four says nothing.
        NotFound: Nothing in quarantine has this digest.
        Refused: The person does not hold the role.
    """
    from holdfast.release.foreign.origin import ABOUT, ORIGIN, Origin, Stated, check_origin, says

    origin = check_origin(Origin(source=source, licence=licence, method=method, validation=validation))
    plant.unlock()
    thing, sort = named(plant, subject)
    stored = plant.blobs.put(origin.document)
    word = say(plant, thing, role, key, Said(rule=ABOUT, reason=says(stored), lasts=ORIGIN_LASTS))
    evidence = carry_out(plant, ORIGIN, Stated(document=origin.document, word=word), thing, configuration=CONFIGURATION)
    if evidence.outcome is not Outcome.MEASURED:
        raise NotVerified(f"the statement was not taken: {evidence.reason}", place=thing.digest)
    says_now = f"The origin of {short(thing.digest)} is on record, signed by {word.value.person} as {role}."
    document = {"subject": thing.digest, "sort": sort, "statement": stored, "person": word.value.person}
    return Reply(says=says_now, document=document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a person says about something foreign: of which of its rules, why, for how long."""

    reason: str
    rule: str = ""  # empty: of the thing as a whole
    lasts: str = LASTS
    action: Literal["approve", "waive"] = "approve"


def say(
    plant: Plant,
    thing: Artifact,
    role: str,
    key: Path | None,
    said: Said,
    *,
    allowed: Callable[[str], None] = lambda _: None,
) -> Verified[Authorization]:
    """Put a person's signed word about something foreign on record, and return it verified.

    Args:
        plant: The control plane.
        thing: What the word is about.
        role: In which role the person speaks.
        key: The folder with the person's own key; the owner's if left out.
        said: What the person says.
        allowed: Raises where a word of this person could not count; it is asked before anything is signed.

    Raises:
        Refused: The person does not hold the role.
        InvalidInput: It would last longer than any word may.
    """
    if timedelta(seconds=seconds(said.lasts)) > LONGEST:
        raise InvalidInput(f"a word that lasts {said.lasts}", expected=f"at most {LONGEST.days}d")
    signer: Signer = plant.open_person(key) if key is not None else plant.keys.signer("person")
    known, now = plant.trust.key(signer.keyid), plant.clock.now()
    if known is None:
        raise NotVerified("this key is not trusted", place=signer.keyid)
    if plant.trust.granted(known.owner, role, now) is None:
        remedy = "The root keys grant roles; ask whoever holds them."
        raise Refused(f"{known.owner} does not hold the role {role}", place=role, remedy=remedy)
    allowed(known.owner)
    word = Authorization(
        person=known.owner,
        role=role,
        action=said.action,
        subject=thing.digest,
        rule=said.rule,
        until=now + timedelta(seconds=seconds(said.lasts)),
        reason=said.reason,
    )
    envelope = seal(word, AUTHORIZATION, [signer])
    verified = unseal(envelope, AUTHORIZATION, plant.trust, at=now)
    stored = plant.blobs.put(envelope)
    body: dict[str, Any] = {"action": said.action, "person": known.owner, "envelope": stored}
    body |= {"rule": said.rule} if said.rule else {}
    plant.ledger.append([Draft(kind=AUTHORIZED, actor=known.owner, stream=thing.digest, body=body)])
    return verified


def admit(
    plant: Plant,
    *,
    subject: str,
    reason: str,
    role: str = "owner",
    key: Path | None = None,
    policy: Path | None = None,
    no_approve: bool = False,
) -> Reply:
    """Let something out of its quarantine, by a person's word and if the policy permits.

    1. Its bytes, and those it was converted into, are what was measured. 2. The person's word is on record. 3. The
    policy decides over all that the ledger holds on it. 4. What was converted is a model, scanned like any other.

    Raises:
        PolicyDenied: With every reason in words; the denial is on record.
        NotVerified: Its bytes were changed since they were examined.
        NotFound: Nothing in quarantine has this digest.
    """
    check_reason(reason)
    plant.unlock()
    thing, sort = named(plant, subject)
    if state(plant, thing.digest) == "admitted":
        raise Conflict("it was admitted already", place=thing.digest, remedy="Nothing needs to be done.")
    made = _unchanged(plant, thing)  # 1.
    if not no_approve:
        say(plant, thing, role, key, Said(reason=reason))  # 2.
    rules, digest, text = policy_for(sort, policy)
    case = case_of(plant, thing.digest)
    request = Request(
        action=Action.ADMIT, environment=ENVIRONMENT, now=plant.clock.now(), nonce=plant.entropy.token(16).hex()
    )
    verdict = decide(rules, digest, case.dossier, request)  # 3.
    if isinstance(verdict, Denial):
        raise _denied(plant, thing, verdict, text)
    verdict.covers(subject=thing.digest, action=Action.ADMIT, environment=ENVIRONMENT, now=plant.clock.now())
    plant.blobs.put(text)
    return _admit(plant, thing, sort, verdict, made, reason)


def policy_for(sort: Sort, given: Path | None) -> tuple[Policy, Digest, bytes]:
    """Return the policy by which things of a sort leave their quarantine, or another that a person names."""
    path = given or intake_policy_file(sort)
    text = read_given(path, limit=MAX_POLICY + 1, what="the policy")
    policy, digest = parse_policy(text)
    return policy, digest, text


def _unchanged(plant: Plant, thing: Artifact) -> Digest | None:
    """Read every byte again and return the digest of what it was converted into, if anything.

    Raises:
        NotVerified: One was changed.
    """
    for file in parse_manifest(plant.blobs.get(thing.digest)).files:
        plant.blobs.check(Digest(file.digest))
    conversion = newest_on(plant, thing.digest).get("release.conversion/1")
    if conversion is None or conversion.outcome is not Outcome.MEASURED:
        return None
    made = Digest(conversion.facts["converted"])
    if digest_bytes(plant.blobs.get(made)) != made:
        raise NotVerified("what it was converted into was changed", place=made)
    return made


def _denied(plant: Plant, thing: Artifact, denial: Denial, text: bytes) -> PolicyDenied:
    """Put a denial on record, and return it as the error that says why."""
    plant.blobs.put(text)
    reasons = [{"rule": each.rule, "subject": each.subject, "words": each.words} for each in denial.reasons]
    body = {"policy": denial.policy, "reasons": reasons}
    plant.ledger.append([Draft(kind=DENIED, actor="release", stream=thing.digest, body=body)])
    words = tuple(str(reason) for reason in denial.reasons)
    return PolicyDenied(f"{short(thing.digest)} stays in quarantine", reasons=words, place=thing.digest)


def _admit(plant: Plant, thing: Artifact, sort: Sort, permit: Permit, made: Digest | None, reason: str) -> Reply:
    body: dict[str, Any] = {"policy": permit.policy, "reason": reason, "nonce": permit.nonce, "sort": sort}
    body["waived"] = list(permit.waived)
    drafts = [Draft(kind=ADMITTED, actor=plant.actor, stream=thing.digest, body=body)]
    model = _as_model(plant, thing, made) if made is not None else None
    if model is not None:
        body["model"] = model.digest
        recording = plant.recording(model, (thing,), "release")
        drafts += [recording] if recording else []
    plant.ledger.append(drafts, expect=permit.heads, consume_nonce=permit.nonce)
    if model is not None:  # 4.
        from holdfast.release.scanning import SCAN, Scanned

        with workspace(plant) as ws:
            carry_out(plant, SCAN, Scanned(ws=ws, model=model), model, configuration=CONFIGURATION)
    says = f"{short(thing.digest)} is admitted."
    says += f" What it was converted into is the model {short(model.digest)}." if model else ""
    says += f" Waived for it, until the words end: {', '.join(permit.waived)}." if permit.waived else ""
    document = {"subject": thing.digest, "sort": sort, "model": model.digest if model else None,
                "waived": list(permit.waived)}  # fmt: skip
    return Reply(says=says, document=document)


def _as_model(plant: Plant, thing: Artifact, made: Digest) -> Artifact:
    way = newest_on(plant, thing.digest)["release.conversion/1"].facts
    name = WEIGHTS_FILE if way.get("task") == "weights" else MODEL_FILE
    files = manifest([File(path=name, digest=made, size=int(way["size"]))])
    return Artifact(kind=Kind.MODEL, digest=plant.blobs.put(files.document), size=files.size)


def listed(plant: Plant) -> Reply:
    """List all that ever came in from outside, and whether it may be used."""
    things = []
    for entry in opened(plant):
        subject = str(entry.body["subject"])
        said = plant.last(subject, DENIED)
        things.append(
            {
                "subject": subject,
                "sort": entry.body["sort"],
                "name": entry.body["name"],
                "state": state(plant, subject),
                "since": entry.time,
                "denied_by": sorted({each["rule"] for each in said.body["reasons"]}) if said else [],
            }
        )
    rows = [
        (each["state"], each["sort"], each["name"], short(each["subject"]), ", ".join(each["denied_by"]))
        for each in things
    ]
    table = Table(title="From outside", columns=("state", "sort", "name", "digest", "last denied by"), rows=rows)
    waiting = sum(each["state"] == "quarantined" for each in things)
    says = f"{counted(len(things), 'thing')} came from outside, {waiting} in quarantine."
    return Reply(says=says, document={"things": things}, tables=(table,))


def fetch(plant: Plant, *, subject: str, into: Path, modules: bool = False) -> Reply:
    """Write an admitted thing into a new folder: what a model was converted into, or the files as they came.

    Args:
        plant: The control plane.
        subject: The beginning of its digest.
        into: The folder.
        modules: Whether each notebook's code is written beside it, as a module that a recipe can name.

    Raises:
        Refused: It was not admitted.
        InvalidInput: The folder exists.
        NotVerified: Its bytes were changed.
    """
    thing, sort = named(plant, subject)
    now = state(plant, thing.digest)
    if now != "admitted":
        raise Refused(f"it is {now}", place=thing.digest, remedy="Have it admitted: `holdfast intake admit`.")
    if into.exists():
        raise InvalidInput("this exists already", place=str(into), expected="a new folder")
    admitted = plant.last(thing.digest, ADMITTED)
    model = admitted.body.get("model") if admitted else None
    files = parse_manifest(plant.blobs.get(Digest(model) if model else thing.digest)).files
    for file in files:
        path = into / file.path  # plain and relative: `parse_manifest` lets no other through
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(plant.blobs.get(Digest(file.digest)))
    written = [file.path for file in files]
    if modules:
        written += _modules(into, [file.path for file in files if file.path.endswith(NOTEBOOK)])
    says = f"{counted(len(written), 'file')} of {short(thing.digest)} written into {into}."
    return Reply(says=says, document={"subject": thing.digest, "sort": sort, "files": written})


def _modules(into: Path, notebooks: Sequence[str]) -> list[str]:
    """Write the code of notebooks as modules beside them; return their names.

    Raises:
        InvalidInput: A module would overwrite a file.
    """
    from holdfast.release.foreign.notebooks import module_of

    written = []
    for name in notebooks:
        path = into / f"{name.removesuffix(NOTEBOOK)}.py"
        if path.exists():
            raise InvalidInput("a file of the module's name came with the notebook", place=str(path))
        path.write_text(module_of((into / name).read_bytes()).text, encoding="utf-8")
        written.append(path.relative_to(into).as_posix())
    return written
