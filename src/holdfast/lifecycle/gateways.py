"""Gateways on other hosts: enrolled by the root keys' word, listed, and let go.

A gateway makes its keys alone (`holdfast gateway new`) and hands in a public file. The root keys vouch for its
identity, the workspace's authority for its TLS key, both under one name, which is never given twice: what one of them
has told is chained under it.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.core.certificates import Issued, Warned
from holdfast.core.errors import Conflict, InvalidInput, NotFound
from holdfast.core.gateways import MAX_GATEWAY, ROLE, PublicGateway, full_name, identity_of, is_heard, open_gateway_file
from holdfast.core.keystate import state_of
from holdfast.core.ledger import Draft
from holdfast.core.ports import Ledger
from holdfast.core.succession import successor
from holdfast.core.telemetry import DRAINED
from holdfast.core.trust import Trust, TrustedKey
from holdfast.lifecycle.certificates import issued, put_on_record
from holdfast.lifecycle.inputs import check_reason, read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted
from holdfast.lifecycle.rotation import OVERLAP, span
from holdfast.lifecycle.trusting import change

ENROLLED: Final = "gateway.enrolled"
REMOVED: Final = "gateway.removed"
REFUSED: Final = "gateway.refused"
READS: Final = "gateway.reads"  # body: name, recipient; what is published is encrypted for it from then on
STREAM: Final = "gateways"
CERTIFICATE: Final = "client.crt.pem"
AUTHORITY: Final = "authority.pem"
ROOT: Final = "root.json"
CREDENTIALS: Final = "credential.key"
RECORDS: Final = "records.json"  # for whom it encrypts what it records


def enrol(plant: Plant, *, file: Path, out: Path, days: int = 90, proposal: Path | None = None) -> Reply:
    """Enrol a gateway, take its next identity, or issue its certificate anew; write what it needs into a folder.

    1. The file proves possession of all keys. 2. A name that is known is known by a key that was trusted already. 3.
    The root keys vouch for what is new; the identity before goes on verifying for a week. 4. The certificate is issued
    once they have, and what is published is encrypted for it too. The folder also holds the key of the keyed hashes,
    which is a secret: take it over by a way you trust.

    Raises:
        NotVerified: The file does not prove that its maker holds the keys.
        Conflict: Somebody else has this name, or had it.
        Refused: More root holders must sign; see `change`.
    """
    handed = read_given(file, limit=MAX_GATEWAY + 1, what="the gateway's public file")
    gateway = open_gateway_file(handed)  # 1.
    if out.exists() and any(out.iterdir()):
        raise Conflict("there is something in this folder already", place=str(out), remedy="Name a new one.")
    plant.unlock()
    with plant.ledger.lease("trust"):
        reply = _vouched(plant, gateway, proposal)
        if proposal is not None and reply is not None:
            return reply
        _let_read(plant, gateway)
    request = plant.blobs.put(gateway.request.encode())
    short = gateway.name.removeprefix(f"{ROLE}/")
    names = (identity_of(plant.trust.workspace, gateway.name),)
    made = put_on_record(plant, f"{ROLE}-{short}", names, days, plant.home.gateways / short, request)  # 4.
    _write(plant, made, out)
    says = f"{gateway.name} is enrolled until {made.not_after:%Y-%m-%d}: put what is in {out} into its folder."
    document = {"name": gateway.name, "out": str(out), "certificate": msgspec.to_builtins(made)}
    if reply is None:
        return Reply(says=says, document=document)
    return Reply(says=f"{reply.says} {says}", document=document, tables=reply.tables)


def _let_read(plant: Plant, gateway: PublicGateway) -> None:
    """Put on record for whom to encrypt, unless it is already, and let it read what is published now."""
    body = {"name": gateway.name, "recipient": gateway.recipient}
    said = [each.body for each in plant.ledger.stream(STREAM) if each.kind == READS]
    if body != next((each for each in reversed(said) if each["name"] == gateway.name), None):
        plant.ledger.append([Draft(kind=READS, actor=plant.person, stream=STREAM, body=body)])
    plant.published.prepare()
    plant.staged.prepare()


def readers(ledger: Ledger, trust: Trust, now: datetime) -> tuple[str, ...]:
    """Return for whom to encrypt what is published: the keys for reading of the gateways whose identity is good."""
    entries = [entry.body for entry in ledger.stream(STREAM) if entry.kind == READS]
    newest = {str(body["name"]): str(body["recipient"]) for body in entries}
    return tuple(recipient for name, recipient in newest.items() if is_heard(trust, name, now))


def _vouched(plant: Plant, gateway: PublicGateway, proposal: Path | None) -> Reply | None:
    """Let the root keys vouch for the identities that are new; None where they have for all of them."""
    trust, now = plant.trust, plant.clock.now()
    known = {key.keyid for key in trust.keys}
    mine = [key for key in trust.keys if key.owner == gateway.name]
    new = [key for key in gateway.keys if key.keyid not in known]
    speaking = {key.keyid for key in mine if key.keyid not in trust.revoked and key.not_before <= now < key.not_after}
    if mine and not speaking & {key.keyid for key in gateway.keys}:  # 2.
        remedy = "Names are never given twice: have the gateway take another."
        raise Conflict(f"the name {gateway.name} is taken", place=gateway.name, remedy=remedy)
    if not new:
        return None
    fresh = [msgspec.structs.replace(key, not_before=max(key.not_before, now)) for key in new]
    ends = now + span(OVERLAP)
    kept = [
        msgspec.structs.replace(key, not_after=min(key.not_after, ends)) if key.keyid in speaking else key
        for key in trust.keys
    ]
    body: dict[str, Any] = {"name": gateway.name, "keys": [key.keyid for key in fresh]}
    draft = Draft(kind=ENROLLED, actor=plant.person, stream=STREAM, body=body)
    words = ", ".join(key.keyid[:16] for key in fresh)
    newer = successor(trust, keys=(*kept, *fresh))
    return change(
        plant, newer, says=f"{gateway.name} is known here by {words}.", because=[draft], proposal=proposal
    )  # 3.


def _write(plant: Plant, made: Issued, out: Path) -> None:
    """Write what a gateway needs beside its own keys: certificate, authority, root, key of the hashes, recipient."""
    try:
        files = {
            CERTIFICATE: (Path(made.folder) / CERTIFICATE).read_bytes(),
            AUTHORITY: plant.authority.certificate(),
            ROOT: (plant.home.gateway / ROOT).read_bytes(),
            CREDENTIALS: plant.credential_key(),
            RECORDS: (plant.home.gateway / RECORDS).read_bytes(),
        }
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in files.items():
            path = out / name
            path.touch(mode=0o600, exist_ok=False)
            path.write_bytes(content)
    except OSError as error:
        raise InvalidInput(f"the folder cannot be written: {error.strerror}", place=str(out)) from error


def remove(plant: Plant, *, name: str, reason: str, proposal: Path | None = None) -> Reply:
    """Let a gateway go: its identities end now, and with them its certificate; what it told before goes on to verify.

    Where somebody else may hold its keys, `key compromise` voids what it told too.

    Raises:
        NotFound: No gateway of this name is enrolled.
        Refused: More root holders must sign; see `change`.
    """
    check_reason(reason)
    whole = full_name(name)
    plant.unlock()
    with plant.ledger.lease("trust"):
        trust, now = plant.trust, plant.clock.now()
        if not is_heard(trust, whole, now):
            raise NotFound(f"no gateway called {whole} is enrolled", expected="a name that `holdfast gateways` lists")
        keys = [_ended(key, whole, now) for key in trust.keys]
        draft = Draft(kind=REMOVED, actor=plant.person, stream=STREAM, body={"name": whole, "reason": reason})
        newer = successor(trust, keys=keys)
        return change(plant, newer, says=f"{whole} is no longer heard.", because=[draft], proposal=proposal)


def _ended(key: TrustedKey, owner: str, now: datetime) -> TrustedKey:
    if key.owner != owner or key.not_after <= now:
        return key
    return msgspec.structs.replace(key, not_after=max(now, key.not_before))


def gateways(plant: Plant) -> Reply:
    """List the gateways that the root keys vouch for: identity, certificate, and what was last heard of each."""
    trust, certificates = plant.trust, issued(plant)
    names = sorted({key.owner for key in trust.keys if key.role == ROLE})
    listed = [_described(plant, trust, name, certificates.get(name.replace("/", "-"))) for name in names]
    columns = ("gateway", "identity", "state", "certificate", "last heard")
    rows = [tuple(str(item[key]) for key in ("name", "keyid", "state", "certificate", "heard")) for item in listed]
    rows = [(row[0], row[1][:16], *row[2:]) for row in rows]
    says = (
        f"{counted(len(listed), 'gateway')}; those without a certificate are drained where they lie, on this machine."
    )
    tables = (Table(title="Gateways", columns=columns, rows=rows),) if rows else ()
    return Reply(says=says, document={"gateways": listed}, tables=tables)


def _described(plant: Plant, trust: Trust, name: str, certificate: Issued | None) -> dict[str, Any]:
    now = plant.clock.now()
    newest = max((key for key in trust.keys if key.owner == name), key=lambda key: key.not_before)
    heard = plant.last(name, DRAINED)
    until, state = "—", ""
    if certificate is not None:
        until, warned = f"{certificate.not_after:%Y-%m-%d}", certificate.warned(now)
        state = "" if warned is Warned.FRESH else f" ({warned})"
    return {
        "name": name,
        "keyid": newest.keyid,
        "state": str(state_of(newest, trust, now)),
        "certificate": until + state,
        "heard": f"{heard.moment:%Y-%m-%d %H:%M:%S}" if heard is not None else "never",
    }
