"""Composition root of outsiders: witnesses, and whoever verifies a copy. They hold nothing of a workspace.

Kept apart from `app`, so that what needs no workspace is seen to use none: no keys but the witness's own, no ledger but
a copy.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from holdfast.adapters.clock import SystemClock
from holdfast.adapters.copies import open_copy
from holdfast.adapters.witness import WitnessFolder, create_witness, serve_witness
from holdfast.core.errors import InvalidInput, Refused
from holdfast.core.witness import MAX_REQUEST, Declined, parse_note_key, parse_witnessing
from holdfast.lifecycle import copies
from holdfast.lifecycle.bom_export import verify as verify_bom
from holdfast.lifecycle.copies import Given
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.pack_verification import verify_pack
from holdfast.lifecycle.reply import Progress, Reply

Tell = Callable[[Progress], None]


def verify_copy(  # noqa: PLR0913 - one keyword for each thing that a verifier brings along
    *,
    tell: Tell,
    checkpoint: Path,
    database: Path | None = None,
    tiles: Path | None = None,
    key: str | None = None,
    trust: Path | None = None,
    pinned: Path | None = None,
    witnesses: Path | None = None,
    quorum: int = 0,
) -> Reply:
    """Verify a copy of a ledger without its workspace; see `lifecycle.copies`."""
    del tell  # nothing here is told on the way
    clock = SystemClock()
    given = Given(
        database=database,
        tiles=tiles,
        key=key,
        trust=trust,
        pinned=pinned,
        checkpoint=checkpoint,
        witnesses=witnesses,
        quorum=quorum,
    )
    return copies.verify_copy(given, lambda path, keys: open_copy(path, keys, clock), clock.now())


def pack_verify(*, file: Path, fingerprint: str, tell: Tell) -> Reply:
    """Verify an evidence pack without a workspace; see `lifecycle.pack_verification`."""
    del tell
    return verify_pack(file, fingerprint)


def bom_verify(*, file: Path, key: Path, folder: Path | None = None, tell: Tell) -> Reply:
    """Verify a signed bill of materials without a workspace; see `lifecycle.bom_export`."""
    del tell
    return verify_bom(file, key, folder)


def witness_init(root: Path, *, name: str, tell: Tell) -> Reply:
    """Make a witness in a folder of its own."""
    del tell
    made = create_witness(root.resolve(), name, SystemClock())
    return Reply(says=f"Witness made. Its key, for those who trust it:\n{made.key}", document={"key": str(made.key)})


def witness_know(root: Path, *, key: str, tell: Tell) -> Reply:
    """Let a witness witness a log."""
    del tell
    log = parse_note_key(key)
    WitnessFolder(root.resolve(), SystemClock()).know(log)
    return Reply(says=f"{log.name} is witnessed from now on.", document={"log": log.name})


def witness_cosign(root: Path, *, request: Path, out: Path, tell: Tell) -> Reply:
    """Answer a request that came as a file: the cosigned checkpoint, or a refusal.

    Raises:
        Refused: The checkpoint does not extend what this witness has seen.
    """
    del tell
    document = read_given(request, limit=MAX_REQUEST + 1, what="the request")
    verdict = WitnessFolder(root.resolve(), SystemClock()).answer(document)
    if isinstance(verdict, Declined):
        seen = f" (it has seen {verdict.size} entries)" if verdict.size is not None else ""
        raise Refused(f"not cosigned: {verdict.words}{seen}", place=str(request), remedy="Do not believe this log.")
    try:
        out.write_bytes(parse_witnessing(document).note + verdict)
    except OSError as error:
        raise InvalidInput(f"the file cannot be written: {error.strerror}", place=str(out)) from error
    return Reply(says=f"Cosigned; written to {out}.", document={"cosigned": str(out)})


def witness_run(root: Path, *, port: int = 0, tell: Tell) -> Reply:
    """Answer requests for cosignatures over HTTP until interrupted."""
    witness = WitnessFolder(root.resolve(), SystemClock())

    def ready(bound: int) -> None:
        tell(Progress(stage="witness", state="started", words=f"{witness.key.name} listens on 127.0.0.1:{bound}"))

    with suppress(KeyboardInterrupt):
        serve_witness(witness, port, ready)
    return Reply(says="The witness has ended.")
