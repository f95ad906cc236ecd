"""Composition root of whoever signs or verifies files without a workspace: in continuous integration, at a download.

Light on purpose: these commands run once for each build of somebody else's project, so nothing is loaded that they do
not need.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

from holdfast.adapters.clock import SystemClock
from holdfast.core.errors import InvalidInput, NotFound, NotVerified, Unavailable
from holdfast.engines.signing import model_signing
from holdfast.engines.signing.folder import read_files
from holdfast.lifecycle.reply import Progress, Reply, Table

Tell = Callable[[Progress], None]

BUNDLE_FILE: Final = "model.sig"  # in a folder; beside a file it is called as the file is, with `.sig`
MAX_PUBLIC: Final = 64 << 10  # bytes of a public key, a root or a proof
MAX_TRUST: Final = 8 << 20  # bytes
MIN_SHARD: Final = 1 << 16  # bytes; a shard's line in the signature takes a hundred
SOURCE_ROLE: Final = "person"  # whose keys are Ed25519, and speak for who holds them
ROLES: Final = (model_signing.ROLE, model_signing.DATA_ROLE)


def key(
    *, tell: Tell, folder: Path, owner: str = "signing", days: int = 365, passphrase_file: Path | None = None
) -> Reply:
    """Make a signing key of one's own: the private half encrypted, the public half as PEM beside it.

    Raises:
        Conflict: The folder holds something.
        InvalidInput: The passphrase is too easily guessed.
    """
    del tell
    from holdfast.adapters.keys_signing import PUBLIC, make_signing_key
    from holdfast.config import read_settings

    settings = read_settings()
    made, opened_by = make_signing_key(
        folder,
        owner,
        passphrase=passphrase_file or settings.passphrase_file,
        unlock_dir=settings.unlock_dir,
        clock=SystemClock(),
        valid_for=timedelta(days=days),
    )
    (held,) = made.held()
    public = folder / PUBLIC
    says = f"Hand out {public}; the private half stays in {folder} and is opened by {opened_by}: keep a copy elsewhere."
    document = {
        "keyid": held.keyid,
        "public": str(public),
        "opened_by": str(opened_by),
        "hint": model_signing.hint(held),
    }
    return Reply(says=says, document=document)


def sign(
    *,
    tell: Tell,
    path: Path,
    key: Path,
    signature: Path | None = None,
    name: str | None = None,
    shard_size: int = 0,
    passphrase_file: Path | None = None,
) -> Reply:
    """Sign a model, a data set, any folder or file, with a key of one's own, as an OpenSSF Model Signing bundle.

    Raises:
        NotFound: There is no such folder, file or key.
        NotVerified: The folder holds a link or something else that is no plain file.
        Refused: The key lies in the clear.
    """
    del tell
    from holdfast.adapters.keys_signing import open_signing_key
    from holdfast.config import read_settings

    settings = read_settings()
    secret = passphrase_file or settings.passphrase_file
    door = open_signing_key(key, passphrase=secret, unlock_dir=settings.unlock_dir)
    out = signature or default_signature(path)
    now = SystemClock().now()
    files = read_files(path, leave=[out.absolute()], shard_size=checked_shard(shard_size))
    called = name or path.resolve().name
    made = model_signing.sign_listed(files, called, door, [door.public], shard_size=shard_size, at=now)
    try:
        out.write_bytes(made)
    except OSError as error:
        raise Unavailable(f"the signature cannot be written: {error.strerror}", place=str(out)) from error
    says = f"{len(files)} {'shards' if shard_size else 'files'} of {called} are signed by {door.keyid[:16]}: {out}."
    return Reply(says=says, document={"signature": str(out), "name": called, "files": len(files), "keyid": door.keyid})


def verify(  # noqa: PLR0913 - one keyword for each thing that a verifier brings along
    *,
    tell: Tell,
    path: Path,
    signature: Path | None = None,
    key: Path | None = None,
    trust: Path | None = None,
    root_file: Path | None = None,
    fingerprint: str | None = None,
    proof: Path | None = None,
    role: str = model_signing.ROLE,
    name: str | None = None,
) -> Reply:
    """Verify the signature over a model, a data set, any folder or file: by a public key, or by a workspace's trust.

    Raises:
        InvalidInput: Neither is given, or something cannot be read.
        NotVerified: Something does not check out; the files concerned are named.
    """
    del tell
    from holdfast.engines.signing.witnessed import Given, judge

    if role not in ROLES:
        raise InvalidInput(f"a role {role[:40]!r}", place="--role", expected=" or ".join(ROLES))
    given = Given(
        key=_read(key, MAX_PUBLIC, "the public key"),
        trust=_read(trust, MAX_TRUST, "the trust document"),
        root=_read(root_file, MAX_TRUST, "the root"),
        fingerprint=fingerprint or "",
        proof=_read(proof, MAX_TRUST, "the proof"),
        role=role,
    )
    if not path.exists():
        raise NotFound("there is no such folder or file", place=str(path), remedy="Give a path that is there.")
    place = signature or default_signature(path)
    if not place.is_file():  # stripped, or never made: without one nothing is believed
        raise NotVerified("there is no signature", place=str(place), remedy="Ask whoever made the files for it.")
    document = _read(place, model_signing.MAX_BUNDLE + 1, "the signature")
    signed, witnessed = judge(document, given, SystemClock().now())
    found = read_files(path, leave=[place.absolute()], shard_size=signed.shard_size)
    model_signing.compare(dict(signed.files), found)
    _check_name(path, signed, name)
    says = f"{len(signed.files)} {'shards' if signed.shard_size else 'files'} are those that key {signed.keyid[:16]} "
    says += f"signed as {signed.name!r}{f', witnessed at {witnessed.isoformat()}' if witnessed else ''}."
    return Reply(
        says=says,
        document={
            "name": signed.name,
            "root": signed.root,
            "keyid": signed.keyid,
            "files": len(signed.files),
            "witnessed": witnessed.isoformat() if witnessed else None,
        },
    )


def attestations(*, tell: Tell, folder: Path, fingerprint: str, file: Path | None = None) -> Reply:
    """Verify what `attestations export` wrote, without a workspace: signatures, roles, times and the ledger's proofs.

    Raises:
        NotFound: The folder holds none, or lacks a part.
        NotVerified: Something does not check out, or a statement is not about the file.
    """
    del tell
    from holdfast.core.attestation import open_attestation
    from holdfast.core.inclusion import claimed_moment, pinned_trust

    root, sealed = (
        _read(folder / "root.json", MAX_TRUST, "the root"),
        _read(folder / "trust.dsse.json", MAX_TRUST, "trust"),
    )
    names = sorted(path.name.removesuffix(".dsse.json") for path in folder.glob("[0-9]*.dsse.json"))
    if not names:  # empty means no
        raise NotFound("there are no attestations", place=str(folder), expected="what `attestations export` wrote")
    digest = read_files(file)[0][1] if file is not None else None
    rows = []
    for name in names:
        proof = _read(folder / f"{name}.proof.json", MAX_TRUST, "the proof")
        trust = pinned_trust(root, sealed, fingerprint=fingerprint, at=claimed_moment(proof))
        said = open_attestation(_read(folder / f"{name}.dsse.json", MAX_TRUST, "the attestation"), proof, trust)
        if digest is not None and digest not in said.subjects.values():
            raise NotVerified("this is not about the file", place=name, expected=digest)
        result = str(said.predicate.get("verificationResult") or said.predicate.get("result") or "")
        rows.append((name, said.predicate_type, said.key.role, said.witnessed.isoformat(timespec="seconds"), result))
    table = Table(title="Attestations", columns=("file", "predicate", "signed as", "witnessed", "result"), rows=rows)
    document = {
        "attestations": [
            dict(zip(("file", "predicate", "role", "witnessed", "result"), row, strict=True)) for row in rows
        ]
    }
    return Reply(says=f"{len(rows)} attestations verify.", document=document, tables=(table,))


def default_signature(path: Path) -> Path:
    """Return where the signature over a folder or file lies if nobody says: inside the one, beside the other."""
    return path / BUNDLE_FILE if path.is_dir() else path.with_name(path.name + ".sig")


def checked_shard(size: int) -> int:
    """Return the size of shards in bytes.

    Raises:
        InvalidInput: It is negative, or so small that the signature would outgrow what it signs.
    """
    if size < 0 or 0 < size < MIN_SHARD:
        raise InvalidInput(f"shards of {size} bytes", place="--shard-size", expected=f"0, or at least {MIN_SHARD}")
    return size


def _check_name(path: Path, signed: model_signing.SignedModel, name: str | None) -> None:
    """Check that the signature is for this name: of a folder if somebody asks, of a file always.

    A folder's files are bound by their names, and it may be kept anywhere. A single file's name stands nowhere else: a
    signature over one file could be replayed for another of the same bytes.
    """
    wanted = name if name is not None else (None if path.is_dir() else path.name)
    if wanted is not None and signed.name != wanted:
        raise NotVerified(f"this was signed as {signed.name[:80]!r}", place=str(path), expected=repr(wanted))


def _read(path: Path | None, limit: int, what: str) -> bytes:
    """Return the bytes of a file that somebody named; a link they made is followed."""
    if path is None:
        return b""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InvalidInput(f"{what} cannot be read: {error.strerror}", place=str(path)) from error
    if len(data) > limit:
        raise InvalidInput(f"{what} is too large", place=str(path), expected=f"at most {limit} bytes")
    return data


def source_key(*, tell: Tell, folder: Path, owner: str, days: int = 365, passphrase_file: Path | None = None) -> Reply:
    """Make the key with which a source signs what it hands in, and print its public half as projects declare it.

    Raises:
        Conflict: The folder holds something.
        InvalidInput: The passphrase is too easily guessed, or nobody answers for the key.
    """
    del tell
    from holdfast.adapters.keys_signing import make_signing_key
    from holdfast.config import read_settings

    settings = read_settings()
    made, opened_by = make_signing_key(
        folder,
        owner,
        passphrase=passphrase_file or settings.passphrase_file,
        unlock_dir=settings.unlock_dir,
        clock=SystemClock(),
        valid_for=timedelta(days=days),
        role=SOURCE_ROLE,
    )
    (held,) = made.held()
    public = _declared(held.public)
    says = f'Declare it: signed_by = ["{public}"]. The private half stays in {folder}, and is opened by {opened_by}.'
    return Reply(says=says, document={"public": public, "keyid": held.keyid, "opened_by": str(opened_by)})


def source_sign(
    *, tell: Tell, file: Path, source: str, sequence: int, key: Path, passphrase_file: Path | None = None
) -> Reply:
    """Sign a file that is handed in for a source: which it is, and which in order.

    Raises:
        InvalidInput: There is no such file, or no such number.
        NotFound: There is no such key.
    """
    del tell
    from holdfast.adapters.keys_signing import open_signing_key
    from holdfast.config import read_settings
    from holdfast.core.sources import public_key
    from holdfast.core.submission import message, signed
    from holdfast.lifecycle.pushing import SUFFIX
    from holdfast.lifecycle.taking import digest_of

    if not file.is_file() or sequence < 1:
        raise InvalidInput("no such file, or no such number", place=str(file), expected="a regular file, 1 or more")
    settings = read_settings()
    secret = passphrase_file or settings.passphrase_file
    door = open_signing_key(key, passphrase=secret, unlock_dir=settings.unlock_dir, role=SOURCE_ROLE)
    (digest, size), now = digest_of(file), SystemClock().now()
    signature = door.sign(message(source, sequence, digest, size, now))
    raw = public_key(_declared(door.public.public))
    out = file.with_name(file.name + SUFFIX)
    document = signed(source, sequence, digest, size, now, raw, signature)
    try:
        out.write_bytes(document)
    except OSError as error:
        raise Unavailable(f"the submission cannot be written: {error.strerror}", place=str(out)) from error
    says = f"{file.name} is signed for {source} as number {sequence}: hand both files in."
    return Reply(says=says, document={"submission": str(out), "digest": digest, "sequence": sequence})


def _declared(public: str) -> str:
    """Return a public key, base64 of DER, as a project declares it: Ed25519's DER ends in the 32 bytes of the key."""
    from holdfast.core.artifact import from_base64
    from holdfast.core.submission import key_text

    return key_text(from_base64(public)[-32:])
