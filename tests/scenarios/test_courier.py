"""The courier: what a gateway has to tell stays with it until the control plane has it, whatever that answers."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from holdfast.adapters.courier import Courier
from holdfast.core.errors import Refused, Unavailable
from holdfast.core.spool import OFFSET, SIZE, events_name, statement_name

Answer = Callable[[str, int, bytes], tuple[int, int]]


class Plane:
    """A control plane that keeps what it is told, or answers as a test wants."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.told: list[str] = []
        self.answer: Answer = self.keep
        self.url = ""

    def keep(self, name: str, offset: int, content: bytes) -> tuple[int, int]:
        """Keep what follows what is there."""
        there = self.files.get(name, b"")
        if offset == len(there):
            self.files[name] = there + content
        return 200, len(self.files.get(name, b""))


@contextmanager
def serving(plane: Plane) -> Iterator[None]:
    """The control plane on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            name = self.path.removeprefix("/spool/")
            plane.told.append(name)
            status, size = plane.answer(name, int(self.headers.get(OFFSET, 0)), content)
            self.send_response(status)
            self.send_header(SIZE, str(size))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    plane.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def plane() -> Iterator[Plane]:
    """A control plane."""
    made = Plane()
    with serving(made):
        yield made


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A spool with a file of events that has ended, one that goes on, and two statements."""
    (tmp_path / events_name(0, 0)).write_bytes(b"a\nb\n")
    (tmp_path / events_name(0, 2)).write_bytes(b"c\nhalf a li")
    for number in range(2):
        (tmp_path / statement_name(number)).write_bytes(b"{%d}" % number)
    (tmp_path / "telemetry.lock").touch()
    return tmp_path


def courier(plane: Plane, spool: Path) -> Courier:
    """The courier of that spool."""
    return Courier(spool=spool, url=plane.url, peer=None)


def left(spool: Path) -> list[str]:
    """What is in the spool."""
    return sorted(path.name for path in spool.iterdir() if path.suffix != ".lock")


def test_events_go_first_and_what_is_acknowledged_goes_from_here(plane: Plane, spool: Path) -> None:
    """Whole lines alone; the file that goes on stays; what is new later follows; nothing new, and nobody is asked."""
    carrying = courier(plane, spool)
    assert carrying.deliver() == 2
    assert plane.told == [events_name(0, 0), events_name(0, 2), statement_name(0), statement_name(1)]
    assert plane.files[events_name(0, 0)] == b"a\nb\n"
    assert plane.files[events_name(0, 2)] == b"c\n"
    assert left(spool) == [events_name(0, 2)]
    (spool / events_name(0, 2)).write_bytes(b"c\nhalf a line\n")
    assert carrying.deliver() == 0
    assert plane.files[events_name(0, 2)] == b"c\nhalf a line\n"
    asked = len(plane.told)
    assert carrying.deliver() == 0
    assert len(plane.told) == asked


def test_a_courier_that_starts_anew_goes_on_where_the_control_plane_is(plane: Plane, spool: Path) -> None:
    """It asks from the beginning, is told how much is there, and nothing comes twice."""
    courier(plane, spool).deliver()
    (spool / events_name(0, 2)).write_bytes(b"c\nd\n")
    courier(plane, spool).deliver()
    assert plane.files[events_name(0, 2)] == b"c\nd\n"


def test_a_file_that_was_drained_is_let_go(plane: Plane, spool: Path) -> None:
    """410: the control plane has taken it to its end, and removed it."""
    plane.answer = lambda name, offset, content: (
        (410, 0) if name == events_name(0, 0) else plane.keep(name, offset, content)
    )
    assert courier(plane, spool).deliver() == 2
    assert left(spool) == [events_name(0, 2)]


@pytest.mark.parametrize(("status", "error"), [(403, Refused), (400, Refused), (302, Refused), (503, Unavailable)])
def test_what_is_not_taken_stays(plane: Plane, spool: Path, status: int, error: type[Exception]) -> None:
    """Refused, redirected, or no room: all of it is here yet."""
    before = left(spool)
    plane.answer = lambda *_: (status, 0)
    with pytest.raises(error):
        courier(plane, spool).deliver()
    assert left(spool) == before


def test_a_control_plane_that_is_away_costs_nothing_but_time(spool: Path) -> None:
    """Nobody listens there."""
    before = left(spool)
    with pytest.raises(Unavailable, match="cannot be reached"):
        Courier(spool=spool, url="http://127.0.0.1:9", peer=None).deliver()
    assert left(spool) == before


def test_events_that_are_refused_do_not_hold_their_anchors_up(plane: Plane, spool: Path) -> None:
    """The file here is not the one that was told before: the statements go, and show there that events are missing."""
    plane.files[events_name(0, 0)] = b"another story, and a longer one\n"
    with pytest.raises(Refused, match="takes no more"):
        courier(plane, spool).deliver()
    assert {statement_name(0), statement_name(1)} <= set(plane.files)
    assert left(spool) == [events_name(0, 0), events_name(0, 2)]


def test_a_control_plane_that_never_takes_anything_ends_the_round(plane: Plane, spool: Path) -> None:
    """It says that it has less each time: the courier does not go on for ever."""
    plane.answer = lambda name, _, content: (200, 0) if name.startswith("events") else (200, len(content))
    with pytest.raises(Refused, match="takes no more"):
        courier(plane, spool).deliver()
