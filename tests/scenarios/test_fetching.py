"""The published folder over HTTP: what a hostile or broken control plane can send, and what the gateway makes of it."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from holdfast.adapters.fetching import PublishedUrl
from holdfast.adapters.published import prune, published_file
from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, NotVerified, Unavailable

Answer = Callable[[BaseHTTPRequestHandler], None]


class Plane:
    """A control plane that answers as a test wants, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answer: Answer = self.file(b"{}")
        self.url = ""

    def file(self, data: bytes, tag: str = "") -> Answer:
        """An answer that hands out bytes, and honours its entity tag."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            if tag and request.headers.get("If-None-Match") == tag:
                request.send_response(304)
                request.end_headers()
                return
            request.send_response(200)
            request.send_header("Content-Length", str(len(data)))
            request.send_header("ETag", tag)
            request.end_headers()
            request.wfile.write(data)

        return answer

    def status(self, code: int, **headers: str) -> Answer:
        """An answer without a file."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(code)
            for name, value in headers.items():
                request.send_header(name, value)
            request.end_headers()

        return answer


@contextmanager
def serving() -> Iterator[Plane]:
    """A control plane on a free port of this machine."""
    plane = Plane()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            plane.asked.append((self.path, self.headers.get("If-None-Match", "")))
            plane.answer(self)

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    plane.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield plane
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def plane() -> Iterator[Plane]:
    """A control plane."""
    with serving() as made:
        yield made


class Ticking:
    """A monotonic clock that a test moves."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def folder(plane: Plane, tmp_path: Path, ticking: Ticking) -> PublishedUrl:
    """The gateway's view of it."""
    return PublishedUrl(url=plane.url, cache=tmp_path / "cache", monotonic=ticking)


def test_a_timestamp_is_asked_for_once_a_poll_and_sent_once(plane: Plane, tmp_path: Path) -> None:
    """Looks come four times a second; questions once, with the entity tag; the file itself only when it changed."""
    ticking = Ticking()
    published = folder(plane, tmp_path, ticking)
    plane.answer = plane.file(b"first", '"1"')
    stamp = published.stamp()
    for _ in range(4):
        assert published.stamp() == stamp
    assert plane.asked == [("/timestamp.json", "")]
    ticking.seconds += 1.2
    assert published.stamp() == stamp
    assert plane.asked[-1] == ("/timestamp.json", '"1"')
    assert published.document("timestamp.json", 100) == b"first"
    plane.answer = plane.file(b"second", '"2"')
    ticking.seconds += 1.2
    assert published.stamp() != stamp
    assert published.document("timestamp.json", 100) == b"second"
    assert len(plane.asked) == 3


def test_a_control_plane_that_goes_and_comes_changes_the_stamp_both_times(plane: Plane, tmp_path: Path) -> None:
    """So the gateway learns by reading that it is cut off, and by reading again that it is not."""
    ticking = Ticking()
    published = folder(plane, tmp_path, ticking)
    there = published.stamp()
    plane.answer = plane.status(500)
    ticking.seconds += 1.2
    gone = published.stamp()
    assert gone != there
    with pytest.raises(Unavailable, match="answered 500"):
        published.document("timestamp.json", 100)
    plane.answer = plane.file(b"{}")
    ticking.seconds += 1.2
    assert published.stamp() == there


@pytest.mark.parametrize(
    ("code", "headers", "error"),
    [
        (404, {}, NotFound),
        (500, {}, Unavailable),
        (401, {}, Unavailable),
        (302, {"Location": "http://127.0.0.1:1/"}, Unavailable),  # one address, and no other
        (304, {}, Unavailable),  # that nothing has changed, although nobody asked
    ],
)
def test_an_answer_without_a_file_is_told_in_words(
    plane: Plane, tmp_path: Path, code: int, headers: dict[str, str], error: type[HoldfastError]
) -> None:
    """No answer of a control plane is a traceback."""
    plane.answer = plane.status(code, **headers)
    with pytest.raises(error):
        folder(plane, tmp_path, Ticking()).document("1.root.json", 100)


def test_more_than_the_limit_is_not_read(plane: Plane, tmp_path: Path) -> None:
    """The limit is the last length that is taken, whatever the headers promise."""
    plane.answer = plane.file(b"12345")
    published = folder(plane, tmp_path, Ticking())
    assert published.document("1.root.json", 5) == b"12345"
    with pytest.raises(InvalidInput, match="too long"):
        published.document("1.root.json", 4)
    with pytest.raises(InvalidInput, match="too long"):
        published.document("timestamp.json", 4)


def test_a_file_that_takes_for_ever_is_given_up(plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A control plane that stops in the middle, or never begins, holds nobody longer than the time-out."""
    monkeypatch.setattr("holdfast.adapters.fetching.TIMEOUT_S", 0.2)
    let_go = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100")
        request.end_headers()
        request.wfile.write(b"begun")
        request.wfile.flush()
        let_go.wait(10)

    plane.answer = answer
    try:
        with pytest.raises(Unavailable, match="cannot be reached: TimeoutError"):
            folder(plane, tmp_path, Ticking()).document("1.root.json", 100)
    finally:
        let_go.set()


def test_blobs_are_verified_kept_and_fetched_again_when_the_copy_is_damaged(plane: Plane, tmp_path: Path) -> None:
    """A wrong blob is never kept; a good one is asked for once."""
    digest = digest_bytes(b"model")
    published = folder(plane, tmp_path, Ticking())
    plane.answer = plane.file(b"other")
    with pytest.raises(NotVerified):
        published.blob(digest, 100)
    plane.answer = plane.file(b"model")
    assert [published.blob(digest, 100) for _ in range(3)] == [b"model"] * 3
    assert len(plane.asked) == 2
    with pytest.raises(InvalidInput):
        published.blob(digest, 4)
    path = tmp_path / "cache" / "sha256" / digest[7:9] / digest[9:]
    path.chmod(0o600)
    path.write_bytes(b"spoil")
    assert published.blob(digest, 100) == b"model"


def test_nobody_listening_is_told_in_words(tmp_path: Path) -> None:
    """The gateway goes on with what it has."""
    published = PublishedUrl(url="http://127.0.0.1:9", cache=tmp_path, monotonic=Ticking())
    assert published.stamp() == published.stamp()
    with pytest.raises(Unavailable, match="cannot be reached"):
        published.document("timestamp.json", 100)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file:///etc",
        "ftp://host",
        "http://",
        "host:80",
        "http://user:secret@host",
        "http://host/?q",
        "http://host/#f",
    ],
)
def test_an_address_that_makes_no_sense_is_refused(tmp_path: Path, url: str) -> None:
    """And never repeated: it could hold a password."""
    with pytest.raises(InvalidInput) as caught:
        PublishedUrl(url=url, cache=tmp_path)
    assert "secret" not in str(caught.value)


# ── what may be handed out ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/etc/passwd",
        "../secret",
        "targets/../../secret",
        "targets/",
        "blobs/sha256/ab/../../../secret",
        "1.root.json/..",
        "timestamp.json\n",
        "timestamp.json\0",
        "\u0661.root.json",
        "link.json",
        "damaged/x",
        ".timestamp.json.123",
    ],
)
def test_nothing_outside_the_repository_is_handed_out(tmp_path: Path, name: str) -> None:
    """Names are matched, not cleaned: what is no name of a repository does not exist."""
    root = tmp_path / "published"
    (root / "targets").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "link.json").symlink_to(tmp_path / "secret")
    assert published_file(root, name) is None


def test_a_link_under_a_good_name_is_not_followed(tmp_path: Path) -> None:
    """Whoever can write into the folder cannot make it hand out another one."""
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "1.root.json").symlink_to(tmp_path / "secret")
    (tmp_path / "timestamp.json").write_bytes(b"{}")
    assert published_file(tmp_path, "timestamp.json") == b"{}"
    with pytest.raises(Unavailable):
        published_file(tmp_path, "1.root.json")


def test_documents_that_were_replaced_long_ago_are_removed(tmp_path: Path) -> None:
    """What is named now, what is young, and blobs stay."""
    (tmp_path / "targets").mkdir()
    names = ["1.snapshot.json", "2.snapshot.json", "timestamp.json", "targets/a.policy.toml", "targets/b.policy.toml"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    for name in ("1.snapshot.json", "timestamp.json", "targets/a.policy.toml"):
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / "blobs").mkdir()
    prune(tmp_path, frozenset({"timestamp.json"}))
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["2.snapshot.json", "targets/b.policy.toml", "timestamp.json"]
