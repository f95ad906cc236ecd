"""The small values: columns, results of stages, public keys, windows of traffic."""

import base64
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.artifact import Artifact, Digest, Kind, Manifest, digest_bytes
from holdfast.core.control import Result
from holdfast.core.errors import InvalidInput, NotVerified, StageFailed
from holdfast.core.ports import Workspace
from holdfast.core.schema import Column, ColumnType, Use, check_column
from holdfast.core.telemetry import LATENCY_EDGES_MS, Window, add_windows
from holdfast.core.trust import keyid_of, raw_ed25519
from holdfast.testing.memory import MemoryBlobs, MemorySigner

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SIGNER = MemorySigner("assess", owner="assess", start=NOW)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (Column(type=ColumnType.STRING, use=Use.ID, minimum=1), "minimum and maximum of a string"),
        (Column(type=ColumnType.BOOLEAN, maximum=1), "minimum and maximum of a bool"),
        (Column(type=ColumnType.FLOAT, minimum=2, maximum=1), "minimum above maximum"),
        (Column(type=ColumnType.FLOAT, minimum=float("nan")), "no number"),
        (Column(type=ColumnType.INTEGER, maximum=float("inf")), "no number"),
        (Column(type=ColumnType.INTEGER, allowed=("1",)), "allowed values of a int"),
        (Column(type=ColumnType.CATEGORY), "cannot be a feature"),
        (Column(type=ColumnType.TIMESTAMP), "cannot be a feature"),
    ],
)
def test_a_column_that_means_nothing_is_refused(column: Column, words: str) -> None:
    """Bounds need an order and numbers, and a model sees numbers only."""
    with pytest.raises(InvalidInput, match=words):
        check_column("c", column)


@pytest.mark.parametrize(
    "column",
    [
        Column(type=ColumnType.FLOAT, minimum=1, maximum=1),
        Column(type=ColumnType.BOOLEAN),
        Column(type=ColumnType.CATEGORY, use=Use.LABEL, allowed=("a",)),
        Column(type=ColumnType.TIMESTAMP, use=Use.TIME),
    ],
)
def test_a_column_that_means_something_is_taken(column: Column) -> None:
    """Closed ranges, booleans as features, categories as labels."""
    check_column("c", column)


def test_a_result_gives_its_artifact_by_kind_or_says_that_there_is_none() -> None:
    """Who asks a stage for what it did not make gets an error, never another artifact."""
    model = Artifact(kind=Kind.MODEL, digest=digest_bytes(b""), size=0)
    assert Result(artifacts=(model,)).one(Kind.MODEL) is model
    with pytest.raises(StageFailed, match="no release"):
        Result(artifacts=(model,)).one(Kind.RELEASE)


def test_only_an_ed25519_key_signs_notes() -> None:
    """A ledger key of another algorithm, or one that is not what its id says, has no raw form."""
    assert raw_ed25519(SIGNER.public) == SIGNER.raw()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    der = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(serialization.Encoding.DER, spki)
    other = msgspec.structs.replace(SIGNER.public, public=base64.b64encode(der).decode(), keyid=keyid_of(der))
    with pytest.raises(NotVerified, match="not ed25519"):
        raw_ed25519(other)
    with pytest.raises(NotVerified, match="not Ed25519"):
        raw_ed25519(msgspec.structs.replace(other, algorithm="ecdsa-p256"))
    with pytest.raises(NotVerified, match="does not have this id"):
        raw_ed25519(msgspec.structs.replace(SIGNER.public, keyid="0" * 64))


CELLS = len(LATENCY_EDGES_MS) + 1


def window(count: int) -> Window:
    """A window in which everything happened so often."""
    cells = (count,) * 3
    return Window(
        requests=count,
        rows=count,
        failures=count,
        flagged=count,
        latency=(count,) * CELLS,
        inputs={"a": cells},
        scores=cells,
    )


@given(first=st.integers(0, 10**6), second=st.integers(0, 10**6))
def test_windows_add_up_cell_by_cell(first: int, second: int) -> None:
    """Two windows of one release are one longer window, whichever comes first."""
    assert add_windows(window(first), window(second)) == window(first + second)


@pytest.mark.parametrize("change", [{"inputs": {"b": (1, 1, 1)}}, {"inputs": {}}, {"scores": (1,)}, {"latency": (1,)}])
def test_windows_of_different_releases_do_not_add_up(change: dict[str, Any]) -> None:
    """Other inputs or other cells belong to another release."""
    with pytest.raises(ValueError, match=r"add up|argument"):
        add_windows(window(1), msgspec.structs.replace(window(1), **change))


def test_a_workspace_stores_artifacts_by_what_they_are(tmp_path: Any) -> None:
    """The digest of an artifact is that of its bytes, and a folder's that of its manifest."""
    blobs: Any = MemoryBlobs()
    nothing: Any = None
    ws = Workspace(blobs=blobs, sandbox=nothing, clock=nothing, scratch=tmp_path)
    stored = ws.store(Kind.RECIPE, b"code")
    assert (stored.digest, stored.size, blobs.get(stored.digest)) == (digest_bytes(b"code"), 4, b"code")
    folder = Manifest(files=())
    assert ws.store_folder(Kind.MODEL, folder).digest == Digest(digest_bytes(folder.document))
