"""Certificates: issued by the workspace's own authority, renewed before they end, warned of, and refused afterwards.

What was issued is on record; the files are copies. Warnings are entries of the ledger, each said once, so that nobody
learns of an end by the end.
"""

from pathlib import Path
from typing import Any

import msgspec

from holdfast.core.artifact import Digest
from holdfast.core.certificates import (
    EXPIRING,
    ISSUED,
    MAX_CERTIFICATE,
    STREAM,
    Issued,
    Warned,
    check_certificate,
    lasting,
    trust_domain,
)
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.gateways import identity_of, is_heard
from holdfast.core.ledger import Draft
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted


def issued(plant: Plant) -> dict[str, Issued]:
    """Return the newest certificate of each name: the fold of their stream."""
    entries = (entry for entry in plant.ledger.stream(STREAM) if entry.kind == ISSUED)
    return {str(entry.body["name"]): msgspec.convert(entry.body, Issued) for entry in entries}


def issue(plant: Plant, *, name: str, san: str, days: int = 90, out: Path | None = None) -> Reply:
    """Issue a certificate: a new key and what names it, as files that only their owner may read.

    Raises:
        InvalidInput: A name that no certificate of this workspace may say, or days out of range.
        Unavailable: The authority's key cannot be unlocked.
    """
    names = tuple(dict.fromkeys(part.strip() for part in san.split(",") if part.strip()))
    folder = (out or plant.home.workspace / "certificates" / name).resolve()
    if out is None and ("/" in name or name.startswith(".")):
        raise InvalidInput(f"a certificate called {name[:80]!r}", expected="letters, digits, - and _")
    made = put_on_record(plant, name, names, days, folder)
    says = f"Certificate {name} until {made.not_after:%Y-%m-%d}; key, certificate and authority lie in {folder}."
    return Reply(says=says, document=_described(made, Warned.FRESH))


def put_on_record(
    plant: Plant, name: str, names: tuple[str, ...], days: int, folder: Path, request: str = ""
) -> Issued:
    """Issue a certificate and put it on record: for a new key, or for the one that a stored request proves.

    Raises:
        InvalidInput: A name that no certificate of this workspace may say, or days out of range.
        Unavailable: The authority's key cannot be unlocked.
    """
    plant.unlock()
    lasts, now = lasting(days, plant.authority.most()), plant.clock.now()
    with plant.ledger.lease("certificates"):
        if request:
            content = plant.blobs.get(Digest(request))
            made = plant.authority.certify(name, names, content, lasts=lasts, now=now, folder=folder)
            made = msgspec.structs.replace(made, request=request)
        else:
            made = plant.authority.issue(name, names, lasts=lasts, now=now, folder=folder)
        body: dict[str, Any] = msgspec.to_builtins(made)
        plant.ledger.append([Draft(kind=ISSUED, actor=plant.person, stream=STREAM, body=body)])
    return made


def listed(plant: Plant) -> Reply:
    """List the certificates that were issued, and how near their end each is."""
    now = plant.clock.now()
    found = [_described(each, each.warned(now)) for each in issued(plant).values()]
    rows = [(item["name"], ", ".join(item["names"]), item["not_after"][:16], item["state"]) for item in found]
    columns = ("name", "says", "until", "state")
    says = f"{counted(len(found), 'certificate')}; ids of this workspace begin with spiffe://{trust_domain(plant.origin)}/."
    tables = (Table(title="Certificates", columns=columns, rows=rows),) if rows else ()
    return Reply(says=says, document={"certificates": found}, tables=tables)


def _described(certificate: Issued, state: Warned) -> dict[str, Any]:
    return {**msgspec.to_builtins(certificate), "state": str(state)}


def renew(plant: Plant, *, name: str | None = None, due: bool = False) -> Reply:
    """Issue certificates again in the place of those of the same name: the one named, or all that are due.

    Raises:
        NotFound: None of this name was issued.
        InvalidInput: Neither a name nor `due`, or both.
    """
    if (name is None) != due:
        raise InvalidInput("neither a name nor --due, or both", expected="a name, or --due for all that are due")
    now, known = plant.clock.now(), issued(plant)
    if name is not None and (name not in known or _is_over(plant, known[name])):
        raise NotFound(
            f"no certificate called {name[:80]!r} is to be renewed", expected="`holdfast cert list` lists them"
        )
    late = [each for each in known.values() if each.warned(now) is not Warned.FRESH and not _is_over(plant, each)]
    wanted = late if due else [each for each in known.values() if each.name == name]
    for each in wanted:
        days = round((each.not_after - each.not_before).total_seconds() / 86400)
        put_on_record(plant, each.name, each.names, max(days, 1), Path(each.folder), each.request)
    names = ", ".join(each.name for each in wanted)
    return Reply(
        says=f"Renewed: {names}." if wanted else "Nothing is due.", document={"renewed": [w.name for w in wanted]}
    )


def _is_over(plant: Plant, certificate: Issued) -> bool:
    """Say whether it is a gateway's that is heard no more: such a certificate is left to end."""
    name = certificate.names[0].removeprefix(identity_of(plant.trust.workspace, ""))
    return bool(certificate.request) and not is_heard(plant.trust, name, plant.clock.now())


def warn(plant: Plant) -> list[str]:
    """Put on record which certificates are near their end: once when due, once when urgent, once when it was."""
    now, said = plant.clock.now(), set[tuple[str, str]]()
    for entry in plant.ledger.stream(STREAM):
        if entry.kind == EXPIRING:
            said.add((str(entry.body["serial"]), str(entry.body["state"])))
    words = []
    for each in issued(plant).values():
        state = each.warned(now)
        if state is Warned.FRESH or (each.serial, str(state)) in said or _is_over(plant, each):
            continue
        body = {"name": each.name, "serial": each.serial, "state": str(state), "not_after": each.not_after.isoformat()}
        plant.ledger.append([Draft(kind=EXPIRING, actor="watch", stream=STREAM, body=body)])
        words.append(f"certificate {each.name} is {state}: it ends {each.not_after:%Y-%m-%d %H:%M} UTC")
    return words


def check(plant: Plant) -> Reply:
    """Look at the certificates once and put warnings on record; `watch` does so by itself."""
    words = warn(plant)
    return Reply(says="; ".join(words) or "No certificate is near its end.", document={"warnings": words})


def verify_certificate(plant: Plant, *, file: Path, name: str) -> Reply:
    """Say whether a certificate is this authority's, is inside its window, and says a name.

    Raises:
        NotVerified: It is not.
        NotFound: Nothing was issued here yet.
    """
    leaf = read_given(file, limit=MAX_CERTIFICATE + 1, what="the certificate")
    found = check_certificate(leaf, plant.authority.certificate(), now=plant.clock.now(), name=name)
    ends = found.not_valid_after_utc
    return Reply(says=f"Good for {name} until {ends:%Y-%m-%d %H:%M} UTC.", document={"until": ends.isoformat()})
