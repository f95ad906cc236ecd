"""Blobs in an object store (S3 and what speaks it): an object per digest, created once, verified on every read.

Decides nothing about who may read: that is the bucket's policy, and what holds rows or weights is encrypted before it
comes here. An object is created only where none of its name is (`If-None-Match: *`), so that nobody overwrites one
through this door; against whoever holds the bucket's keys, turn on the bucket's Object Lock with a default retention:
then nobody can delete or replace what was written, within it. Checksums travel with each upload, as Object Lock
demands.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import parse_qs, urlsplit

from holdfast.adapters.blobs import READ_ONLY, open_source
from holdfast.core.artifact import Digest, digest_bytes, parse_digest
from holdfast.core.errors import InvalidInput, MissingExtra, NotFound, NotVerified, Unavailable
from holdfast.core.exposure import is_local

CHUNK: Final = 8 << 20  # bytes read at once
TIMEOUT: Final = timedelta(seconds=30)  # of one request; a large object is read in several
RETRIES: Final = 3
_OPTIONS: Final = frozenset({"endpoint", "region", "allow_http"})


class ObjectBlobs:
    """Content-addressed objects under one prefix of a bucket (port `Blobs`)."""

    __slots__ = ("_prefix", "_store", "_windows")

    def __init__(self, store: Any, prefix: str, windows: Callable[[], Path]) -> None:
        """Use a store that `open_store` made; `windows` names the folder of this process in which `path` puts files."""
        self._store, self._prefix, self._windows = store, prefix.strip("/"), windows

    def put(self, data: bytes) -> Digest:
        """Store bytes and return their digest; storing the same bytes again changes nothing.

        Raises:
            NotVerified: A damaged object stands under this digest.
            Unavailable: The store does not answer, or refuses.
        """
        digest = digest_bytes(data)
        self._create(digest, data)
        return digest

    def put_document(self, data: bytes) -> Digest:
        """Store bytes that are made to be shown: here, like any others."""
        return self.put(data)

    def put_file(self, path: Path) -> Digest:
        """Store a file's bytes.

        Raises:
            InvalidInput: There is no such regular file, or it changed while it was read.
            NotVerified: A damaged object stands under this digest.
            Unavailable: The store does not answer, or refuses.
        """
        with open_source(path) as source:
            digest = Digest("sha256:" + hashlib.file_digest(source, "sha256").hexdigest())
            source.seek(0)
            data = source.readall()
        if digest_bytes(data) != digest:
            raise InvalidInput("the file was written to while it was read", place=str(path))
        self._create(digest, data)
        return digest

    def get(self, digest: Digest) -> bytes:
        """Return the bytes, verified.

        Raises:
            NotFound: No such object.
            NotVerified: Its bytes no longer have this digest.
            Unavailable: The store does not answer, or refuses.
        """
        import obstore

        with translated(digest):
            data = bytes(obstore.get(self._store, self._name(digest)).bytes())
        if digest_bytes(data) != digest:
            raise NotVerified("the stored bytes no longer have this digest", place=digest)
        return data

    def check(self, digest: Digest) -> bool:
        """Read an object and verify it; True, since nothing here is sealed.

        Raises:
            NotFound: No such object.
            NotVerified: Its bytes no longer have this digest.
        """
        with self.open_verified(digest):
            return True

    @contextmanager
    def open_verified(self, digest: Digest) -> Iterator[IO[bytes]]:
        """Yield a file with the bytes, verified: a copy that nobody else can reach.

        Raises:
            NotFound: No such object.
            NotVerified: Its bytes no longer have this digest.
            Unavailable: The store does not answer, or there is no room.
        """
        import obstore

        with tempfile.TemporaryFile() as file:
            hashed = hashlib.sha256()
            with translated(digest):
                for chunk in obstore.get(self._store, self._name(digest)).stream(min_chunk_size=CHUNK):
                    hashed.update(chunk)
                    file.write(chunk)
            if hashed.hexdigest() != digest.removeprefix("sha256:"):
                raise NotVerified("the stored bytes no longer have this digest", place=digest)
            file.seek(0)
            yield file

    def path(self, digest: Digest) -> Path:
        """Return a read-only file holding these bytes, verified just now; it goes with the process.

        Raises:
            NotFound: No such object.
            NotVerified: Its bytes no longer have this digest.
        """
        data = self.get(digest)
        target = self._windows() / parse_digest(digest).removeprefix("sha256:")
        partial = target.with_name(f".{target.name}")
        partial.write_bytes(data)
        partial.chmod(READ_ONLY)
        partial.replace(target)
        return target

    def has(self, digest: Digest) -> bool:
        """Say whether the object exists (unverified)."""
        import obstore

        try:
            with translated(digest):
                obstore.head(self._store, self._name(digest))
        except NotFound:
            return False
        return True

    def _create(self, digest: Digest, data: bytes) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            with translated(digest):
                obstore.put(self._store, self._name(digest), data, mode="create", use_multipart=False)
        except Exception as error:
            if not isinstance(error.__cause__, AlreadyExistsError | PreconditionError):
                raise
            self.check(digest)  # a damaged one does not count as stored

    def _name(self, digest: Digest) -> str:
        name = parse_digest(digest).removeprefix("sha256:")
        return f"{self._prefix}/sha256/{name[:2]}/{name[2:]}".lstrip("/")


def open_store(url: str) -> tuple[Any, str]:
    """Return the object store that a URL names, and the prefix in it.

    Args:
        url: `s3://bucket/prefix`, with `?endpoint=…`, `&region=…` and `&allow_http=true` for stores elsewhere.
            Credentials come from the surroundings as for any AWS client, never from the URL.

    Raises:
        InvalidInput: The URL is of another scheme, names no bucket, carries credentials, or names a store on another
            machine that would be asked in clear.
        MissingExtra: The client is not installed.
    """
    try:
        from obstore.store import S3Store
    except ModuleNotFoundError as error:
        raise MissingExtra("the client of object stores is not installed", expected="holdfast[s3]") from error
    try:
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
    except ValueError as error:
        raise InvalidInput(f"this is no address of an object store: {error}", expected="s3://bucket/prefix") from error
    if parts.scheme != "s3" or not parts.hostname or "@" in parts.netloc or set(options) - _OPTIONS:
        raise InvalidInput("this is no address of an object store", expected=f"s3://bucket/prefix?{'&'.join(_OPTIONS)}")
    plain = urlsplit(options.get("endpoint", "")).scheme == "http" or options.get("allow_http") == "true"
    if plain and not is_local(urlsplit(options.get("endpoint", "")).hostname or ""):
        raise InvalidInput(
            "this object store would be asked in clear", place=parts.hostname, expected="an endpoint of https://"
        )
    client: Any = {"timeout": TIMEOUT, "allow_http": options.get("allow_http") == "true"}
    given: Any = {name: options[name] for name in ("endpoint", "region") if name in options}
    store = S3Store(
        parts.hostname,
        **given,
        checksum_algorithm="SHA256",
        virtual_hosted_style_request="endpoint" not in options,
        client_options=client,
        retry_config={"max_retries": RETRIES},
    )
    return store, parts.path.strip("/")


def region_of(url: str) -> str:
    """Return the region that a store's address names, or "" where it names none."""
    return next(iter(parse_qs(urlsplit(url).query).get("region", ())), "")


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn what the client raises into an error with place and remedy; its own words stay in the cause."""
    from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound("there is no such blob", place=place) from error
    except (AlreadyExistsError, PreconditionError) as error:
        raise NotVerified("there is an object of this name already", place=place) from error
    except (BaseError, OSError) as error:
        kind = type(error).__name__
        remedy = "Look whether the store answers, and whether the credentials may read and create objects there."
        raise Unavailable(
            f"the object store refused or does not answer ({kind})", place=place, remedy=remedy
        ) from error
