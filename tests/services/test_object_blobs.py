"""Blobs in an object store: against a real server that speaks S3, in a process of its own thread on this machine."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from holdfast import app
from holdfast.adapters.object_blobs import ObjectBlobs, open_store
from holdfast.adapters.sealed_index import ObjectIndex
from holdfast.core.artifact import Digest, digest_bytes, parse_digest
from holdfast.core.errors import InvalidInput, NotFound, NotVerified, Unavailable
from holdfast.faces.demo.data import write_data
from holdfast.faces.demo.stage import copy_project, example
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.verification import verify

NOWHERE = parse_digest("sha256:" + "0" * 64)


@dataclass(frozen=True)
class Bucket:
    """A bucket with Object Lock, and a client that its owner could use."""

    url: str
    endpoint: str
    client: Any

    def versions(self) -> list[dict[str, Any]]:
        """Every version of every object."""
        found: list[dict[str, Any]] = self.client.list_object_versions(Bucket="blobs").get("Versions", [])
        return found


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A server with one empty bucket, gone with the test."""
    import boto3
    from moto.server import ThreadedMotoServer

    for name, value in {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    httpx.post(f"{endpoint}/moto-api/reset").raise_for_status()  # its memory outlives a server, not the process
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="blobs", ObjectLockEnabledForBucket=True)
    yield Bucket(f"s3://blobs/hf?endpoint={endpoint}&region=us-east-1&allow_http=true", endpoint, client)
    server.stop()


@pytest.fixture
def blobs(bucket: Bucket, tmp_path: Path) -> ObjectBlobs:
    """Blobs in that bucket."""
    store, prefix = open_store(bucket.url)
    return ObjectBlobs(store, prefix, lambda: tmp_path)


@pytest.mark.services
def test_what_is_stored_comes_back_and_is_created_once(bucket: Bucket, blobs: ObjectBlobs, tmp_path: Path) -> None:
    """Storing again writes no second version: an object is created only where there is none."""
    (tmp_path / "file").write_bytes(b"rows" * 1000)
    digest, large = blobs.put(b"hello"), blobs.put_file(tmp_path / "file")
    assert blobs.put(b"hello") == digest == digest_bytes(b"hello")
    assert blobs.get(digest) == b"hello"
    assert blobs.path(large).read_bytes() == b"rows" * 1000
    assert blobs.has(digest)
    assert blobs.check(digest)
    assert len(bucket.versions()) == 2
    assert not blobs.has(NOWHERE)
    with pytest.raises(NotFound):
        blobs.get(NOWHERE)


@pytest.mark.services
def test_an_object_that_was_replaced_is_never_handed_out(bucket: Bucket, blobs: ObjectBlobs) -> None:
    """Somebody with the bucket's keys writes other bytes under the name: found on each way out, and not overwritten."""
    digest = blobs.put(b"hello")
    (version,) = bucket.versions()
    bucket.client.put_object(Bucket="blobs", Key=version["Key"], Body=b"evil")
    for read in (blobs.get, blobs.check, blobs.path):
        with pytest.raises(NotVerified):
            read(digest)
    with pytest.raises(NotVerified):
        blobs.put(b"hello")


@pytest.mark.services
def test_under_object_lock_what_was_written_cannot_be_deleted(bucket: Bucket, tmp_path: Path) -> None:
    """The bucket's default retention applies to what we write, and its owner cannot delete it before its end.

    The server that stands in for S3 here asks for a header that only Amazon's own clients send beside the checksum, so
    this test adds it; S3 itself asks for the checksum, which every upload of ours carries.
    """
    from obstore.store import S3Store

    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    bucket.client.put_object_lock_configuration(Bucket="blobs", ObjectLockConfiguration=configuration)
    store = S3Store(
        "blobs",
        endpoint=bucket.endpoint,
        region="us-east-1",
        checksum_algorithm="SHA256",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True, "default_headers": {"x-amz-sdk-checksum-algorithm": "SHA256"}},
    )
    blobs = ObjectBlobs(store, "locked", lambda: tmp_path)
    digest = blobs.put(b"evidence")
    (version,) = bucket.versions()
    with pytest.raises(bucket.client.exceptions.ClientError, match="AccessDenied"):
        bucket.client.delete_object(Bucket="blobs", Key=version["Key"], VersionId=version["VersionId"])
    assert blobs.get(digest) == b"evidence"


@pytest.mark.services
def test_a_workspace_in_a_bucket_goes_the_whole_way(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From raw rows to a signed release: every blob is in the bucket, rows and weights encrypted, and all verifies."""
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "unlock"))
    root = tmp_path / "project"
    root.mkdir()
    copy_project(example(), root)
    write_data(example(), root)
    app.init(root, blobs=bucket.url)
    with app.open_plant(root) as plant:
        assert plant.regions == {"this machine": "", "the object store": "us-east-1"}
        release = Digest(str(run(plant).document["release"]))
        assert verify(plant).exit_code == 0
        assert plant.blobs.has(release)
    assert not list((root / ".holdfast").glob("blobs"))
    held = b"".join(
        bucket.client.get_object(Bucket="blobs", Key=each["Key"])["Body"].read() for each in bucket.versions()
    )
    assert b"PAR1" not in held
    assert (root / "patients.csv").read_bytes().splitlines()[5] not in held


@pytest.mark.services
def test_an_index_entry_in_a_bucket_is_not_believed(bucket: Bucket) -> None:
    """Nonsense in it is said to be that; a second copy under another key stands beside the first."""
    store, prefix = open_store(bucket.url)
    index = ObjectIndex(store, f"{prefix}/index")
    assert index.copies(NOWHERE) == {}
    index.name(NOWHERE, "one", digest_bytes(b"a"))
    index.name(NOWHERE, "one", digest_bytes(b"b"))
    index.name(NOWHERE, "two", digest_bytes(b"c"))
    assert index.copies(NOWHERE) == {"one": digest_bytes(b"a"), "two": digest_bytes(b"c")}
    bucket.client.put_object(Bucket="blobs", Key=bucket.versions()[0]["Key"], Body=b"nonsense")
    with pytest.raises(NotVerified, match="index entry"):
        index.copies(NOWHERE)


def test_a_store_that_does_not_answer_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words without the store's own, which may repeat what was sent."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    store, prefix = open_store("s3://blobs/hf?endpoint=http://127.0.0.1:9&allow_http=true&region=us-east-1")
    blobs = ObjectBlobs(store, prefix, lambda: tmp_path)
    with pytest.raises(Unavailable, match="does not answer") as caught:
        blobs.put(b"hello")
    assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "blobs",
        "http://blobs/x",
        "s3://",
        "s3:///x",
        "s3://id:secret@blobs/x",
        "s3://blobs/x?secret=y",
        "s3://blobs/x?endpoint",
        "s3://[blobs",
    ],
)
def test_an_address_that_is_none_is_refused_before_anything_is_made(url: str) -> None:
    """Also one that carries credentials, which would end up in files and logs."""
    with pytest.raises(InvalidInput) as caught:
        open_store(url)
    assert "secret@" not in str(caught.value)
