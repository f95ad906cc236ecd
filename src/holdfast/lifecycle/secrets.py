"""Secrets of jobs: stored, granted, and released to a job that declared *and* was granted them (ACC-08).

Every read is on record before the secret leaves the store, and so is every refusal; the secret itself is in no entry,
no message, no argument and no variable of the environment.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from holdfast.core import secret as secrets
from holdfast.core.artifact import Artifact, Kind
from holdfast.core.errors import InvalidInput, NotFound, NotVerified, Refused
from holdfast.core.ledger import Draft
from holdfast.core.project import Project
from holdfast.core.secret import MAX_SECRET, Vault, check_name, fold
from holdfast.lifecycle import Stage
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run of one stage, by the names under which it can have been granted a secret."""

    run: str
    names: tuple[str, ...]
    declared: tuple[str, ...]
    actor: str = "train"


def job_of(project: Project, stage: Stage, held: dict[Kind, Artifact], run: str) -> Job:
    """Return what a stage's run may be granted secrets as. Only training declares any."""
    if Kind.RECIPE not in stage.takes or stage.about is not Kind.MODEL:
        return Job(run=run, names=(), declared=())
    return Job(run=run, names=(project.train.recipe, held[Kind.RECIPE].digest), declared=project.train.secrets)


def release(plant: Plant, job: Job, name: str) -> bytes:
    """Return a secret that a job declared and was granted; that it was released is on record before.

    Raises:
        Refused: It was not declared, not granted, or does not exist; the refusal is on record.
        NotVerified: The store holds another version than the record says.
    """
    reasons = vault(plant).reasons_against(name, job.names, job.declared)
    body = {"name": name[:80], "run": job.run, "job": list(job.names)}
    if reasons:
        refused = body | {"reasons": list(reasons)}
        plant.ledger.append([Draft(kind=secrets.REFUSED, actor=job.actor, stream=secrets.STREAM, body=refused)])
        to, where = ("RECIPE", "[train] secrets") if job.actor == "train" else (job.names[0], "[sources]")
        remedy = f"Declare it under {where}, store it, and grant it: holdfast secret grant {name[:80]} --to {to}."
        raise Refused(
            f"the job may not have the secret {name[:80]!r}: {'; '.join(reasons)}", place=job.run, remedy=remedy
        )
    version, value = plant.secrets.get(name)
    if version != vault(plant).versions[name]:
        raise NotVerified("the store holds another version than the record says", place=f"secret {name}")
    released = body | {"version": version}
    plant.ledger.append([Draft(kind=secrets.RELEASED, actor=job.actor, stream=secrets.STREAM, body=released)])
    return value


def vault(plant: Plant) -> Vault:
    """Return which secrets and grants there are now.

    Raises:
        NotVerified: An entry cannot be read.
    """
    return fold(plant.ledger.stream(secrets.STREAM))


def put(plant: Plant, *, name: str, file: Path | None = None) -> Reply:
    """Store a secret from a file, or from standard input; a new value keeps the grants of the earlier one.

    Raises:
        InvalidInput: The name cannot be one, the secret is empty or too long, or it was asked for over the network
            without a file: the standard input there is the server's.
        Unavailable: The store is locked.
    """
    if file is not None:
        return put_value(plant, name=name, value=read_given(file, limit=MAX_SECRET + 1, what="the secret"))
    if plant.principal is not None:
        raise InvalidInput("no secret was sent", place="secret put", expected="the secret in a file of the request")
    return put_value(plant, name=name, value=sys.stdin.buffer.read(MAX_SECRET + 1))


def put_value(plant: Plant, *, name: str, value: bytes) -> Reply:
    """Store a secret; a new value keeps the grants of the earlier one.

    Raises:
        InvalidInput: The name cannot be one, or the secret is empty or too long.
        Unavailable: The store is locked.
    """
    check_name(name)
    if not 0 < len(value) <= MAX_SECRET:
        raise InvalidInput(f"a secret of {len(value)} bytes", expected=f"1 to {MAX_SECRET}")
    with plant.ledger.lease("secrets"):
        version = plant.secrets.put(name, value)
        body = {"name": name, "version": version}
        plant.ledger.append([Draft(kind=secrets.STORED, actor=plant.actor, stream=secrets.STREAM, body=body)])
    return Reply(says=f"Secret {name} is stored, version {version}; no job may have it until granted.", document=body)


def grant(plant: Plant, *, name: str, to: str) -> Reply:
    """Let a job have a secret that it declares.

    Args:
        plant: The control plane.
        name: The secret.
        to: The recipe as the project names it (`train.py:train`), or the digest of the recipe's exact bytes.

    Raises:
        NotFound: There is no such secret.
        InvalidInput: The job cannot be named so.
    """
    _known(plant, name)
    if not to.isprintable() or not 0 < len(to) <= 256:  # noqa: PLR2004 - characters, like every name
        raise InvalidInput(f"the job {to[:80]!r}", expected="a recipe as holdfast.toml names it, or its digest")
    body = {"name": name, "job": to}
    plant.ledger.append([Draft(kind=secrets.GRANTED, actor=plant.actor, stream=secrets.STREAM, body=body)])
    return Reply(says=f"{to} may have the secret {name}, where it declares it.", document=body)


def withdraw(plant: Plant, *, name: str, to: str) -> Reply:
    """Take a secret from a job again.

    Raises:
        NotFound: It was not granted.
    """
    if (name, to) not in vault(plant).grants:
        raise NotFound(f"the secret {name[:80]!r} is not granted to {to[:80]!r}", remedy="See `holdfast secret list`.")
    body = {"name": name, "job": to}
    plant.ledger.append([Draft(kind=secrets.WITHDRAWN, actor=plant.actor, stream=secrets.STREAM, body=body)])
    return Reply(says=f"{to} may no longer have the secret {name}.", document=body)


def remove(plant: Plant, *, name: str) -> Reply:
    """Destroy a secret, and end its grants.

    Raises:
        NotFound: There is no such secret.
    """
    _known(plant, name)
    with plant.ledger.lease("secrets"):
        body = {"name": name}
        plant.ledger.append([Draft(kind=secrets.REMOVED, actor=plant.actor, stream=secrets.STREAM, body=body)])
        plant.secrets.remove(name)
    return Reply(says=f"Secret {name} is destroyed.", document=body)


def listed(plant: Plant) -> Reply:
    """List the secrets and who was granted them; never what they are."""
    found = vault(plant)
    known, rows = [], []
    for name, version in sorted(found.versions.items()):
        jobs = sorted(job for held, job in found.grants if held == name)
        known.append({"name": name, "version": version, "jobs": jobs})
        rows.append((name, str(version), ", ".join(jobs) or "none"))
    table = Table(title="Secrets", columns=("secret", "version", "granted to"), rows=rows)
    return Reply(says=f"{counted(len(known), 'secret')}.", document={"secrets": known}, tables=(table,))


def _known(plant: Plant, name: str) -> None:
    if check_name(name) not in vault(plant).versions:
        raise NotFound(f"there is no secret {name!r}", remedy="Store it with `holdfast secret put`.")
