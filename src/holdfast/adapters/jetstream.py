"""NATS JetStream as a bus of events (port `Bus` of `holdfast.serve.stream`).

A process consumes by a consumer of its own, which begins behind the last event that an earlier one had acknowledged
with all before it (its acknowledgement floor); it then deletes the earlier ones. So a new process gets every event that
is not done, in order, and an old one that is still alive finds its consumer gone, and ends. What keeps the two from
doing anything twice meanwhile is the condition on publishing, `Nats-Expected-Last-Subject-Sequence`, which JetStream
checks as it stores.
"""

import hashlib
import re
import secrets
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from holdfast.adapters.keys_nats import read_credentials
from holdfast.core.errors import Conflict, InvalidInput, MissingExtra, NotFound, Unavailable
from holdfast.core.exposure import is_local
from holdfast.core.streaming import Event, Last, Outrun, Where

ACK_WAIT_S: Final = 30.0  # for which the broker waits before it delivers an event again
FETCH_S: Final = 0.5  # for which new events are waited for before records are kept again
CONNECT_S: Final = 5.0
ATTEMPTS: Final = 20  # two seconds apart: a broker may start after us, and be away for as long as a restart takes
ANSWER_S: Final = 5.0  # in which the broker stores, or says no
ABOUT: Final = "Holdfast-Source"  # the sequence of the event that a message is about
KEY: Final = "Holdfast-Key"  # by which events are kept in order; the last token of their subject where it is missing
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_SUBJECT: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_WRONG_LAST: Final = 10071  # JSStreamWrongLastSequenceErrF


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlace:
    """Where events come from and go to."""

    url: str
    stream: str  # of the events
    subject: str  # which of them; may hold wildcards
    answers: str  # subject below which answers go, a token for each key
    dead: str  # the same for dead letters
    name: str  # of this application, in its consumers and message ids
    in_flight: int
    credentials: Path | None = None  # a file of NATS: a user's token and key
    authority: Path | None = None  # of the server's certificate, where the system does not know it


def check_place(place: StreamPlace) -> None:
    """Check that a place can be meant, and that nothing goes over a network in clear.

    Raises:
        InvalidInput: It cannot.
    """
    parts = urlsplit(place.url)
    if parts.scheme not in {"tls", "nats"} or not parts.hostname or parts.username or parts.password:
        raise InvalidInput("this is not the address of a NATS server", expected="tls://host:port")
    if parts.scheme == "nats" and not is_local(parts.hostname):
        raise InvalidInput("nats:// speaks in clear", expected="tls://host:port; nats:// reaches this machine only")
    if not _NAME.fullmatch(place.name):
        raise InvalidInput(f"the name {place.name[:40]!r}", expected="letters, digits, - and _, up to 32")
    for subject in (place.answers, place.dead):
        if not _SUBJECT.fullmatch(subject):
            raise InvalidInput(f"the subject {subject[:80]!r}", expected="tokens with points between, no wildcard")
    if place.answers == place.dead:
        raise InvalidInput("answers and dead letters go to one subject", expected="two")


@asynccontextmanager
async def connected(place: StreamPlace) -> AsyncIterator["JetStreamBus"]:
    """Connect, take over from whoever consumed before, and let go when the block ends.

    Raises:
        InvalidInput: The place cannot be meant, or the credentials are none.
        MissingExtra: nats-py is not installed.
        NotFound: There is no such stream, or none that takes in answers or dead letters.
        Unavailable: The broker does not answer.
    """
    check_place(place)
    try:
        import nats
        from nats import errors
    except ImportError as error:
        raise MissingExtra("streams need nats-py", remedy="pip install 'holdfast[streams]'") from error
    options: dict[str, Any] = {
        "connect_timeout": CONNECT_S,
        "allow_reconnect": True,
        "max_reconnect_attempts": ATTEMPTS,
    }
    if place.credentials is not None:
        user = read_credentials(place.credentials)
        options |= {"user_jwt_cb": user.token.encode, "signature_cb": user.sign}
    if place.url.startswith("tls:"):
        options["tls"] = ssl.create_default_context(cafile=str(place.authority) if place.authority else None)
    try:
        client = await nats.connect(place.url, error_cb=_quiet, **options)
    except (OSError, errors.Error) as error:
        raise Unavailable(f"the broker does not answer: {type(error).__name__}", place=place.url) from error
    try:
        bus = JetStreamBus(place=place, context=client.jetstream(timeout=ANSWER_S))
        await bus.take_over()
        yield bus
    finally:
        await client.close()


async def _quiet(_error: Exception) -> None:
    """Say nothing: whoever waits for the broker is told."""


@dataclass(slots=True, kw_only=True)
class JetStreamBus:
    """One process's view of the broker."""

    place: StreamPlace
    context: Any
    _streams: dict[Where, str] = field(default_factory=dict)
    _pulling: Any = None
    _open: dict[int, Any] = field(default_factory=dict)  # messages by the sequence of their event

    async def take_over(self) -> None:
        """Begin behind what is done, and end every consumer of an earlier process.

        Raises:
            NotFound: A stream is missing.
            Conflict: Answers would go into the stream that events come from.
            Unavailable: The broker does not answer.
        """
        from nats.js import api, errors

        wanted: tuple[tuple[Where, str], ...] = (("answers", self.place.answers), ("dead letters", self.place.dead))
        for where, subject in wanted:
            self._streams[where] = await self._stream_of(subject, where)
            if self._streams[where] == self.place.stream:
                raise Conflict(f"{where} would go into the stream of the events", place=subject)
        try:
            before = await self.context.consumers_info(self.place.stream)
        except errors.NotFoundError as error:
            raise NotFound(
                f"there is no stream {self.place.stream[:64]!r}",
                place=self.place.url,
                remedy="Make it, or name another.",
            ) from error
        except Exception as error:
            raise _unavailable(error) from error
        earlier = [each for each in before if re.fullmatch(rf"{self.place.name}-[0-9a-f]{{16}}", each.name)]
        floor = max((each.ack_floor.stream_seq for each in earlier if each.ack_floor), default=0)
        name = f"{self.place.name}-{secrets.token_hex(8)}"
        configuration = api.ConsumerConfig(
            durable_name=name,
            filter_subject=self.place.subject,
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=floor + 1,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            max_ack_pending=self.place.in_flight,
        )
        try:
            await self.context.add_consumer(self.place.stream, configuration)
            self._pulling = await self.context.pull_subscribe_bind(consumer=name, stream=self.place.stream)
            for each in earlier:
                await self.context.delete_consumer(self.place.stream, each.name)
        except Exception as error:
            raise _unavailable(error) from error

    async def _stream_of(self, subject: str, where: str) -> str:
        from nats.js import errors

        try:
            return str(await self.context.find_stream_name_by_subject(f"{subject}.x"))
        except errors.NotFoundError as error:
            raise NotFound(
                f"no stream takes in {where}", place=f"{subject}.*", remedy=f"Make a stream of the subject {subject}.*."
            ) from error
        except Exception as error:
            raise _unavailable(error) from error

    async def fetch(self, most: int) -> Sequence[Event]:
        """Return the next events in order, at most so many; none where there are none for a while.

        Raises:
            Conflict: Another process has taken over.
            Unavailable: The broker does not answer.
        """
        from nats import errors
        from nats.js import errors as of_stream

        try:
            messages = await self._pulling.fetch(most, timeout=FETCH_S)
        except (errors.TimeoutError, TimeoutError):
            await self._check_mine()
            return ()
        except (of_stream.APIError, errors.Error) as error:
            await self._check_mine()
            raise _unavailable(error) from error
        found = [self._event(message) for message in messages]
        return sorted(found, key=lambda event: event.sequence)

    async def _check_mine(self) -> None:
        """Check that this process's consumer is still there.

        Raises:
            Conflict: It is gone: another process has taken over.
            Unavailable: The broker does not answer.
        """
        from nats.js import errors

        try:
            await self._pulling.consumer_info()
        except errors.NotFoundError as error:
            raise Conflict(
                "another process answers this stream now",
                place=self.place.name,
                remedy="Let one process run for a name; it takes over from the one before.",
            ) from error
        except Exception as error:
            raise _unavailable(error) from error

    def _event(self, message: Any) -> Event:
        headers = message.headers or {}
        key = str(headers.get(KEY) or message.subject.rpartition(".")[2])
        if not _TOKEN.fullmatch(key):  # what cannot be a token of a subject gets one that stands for it
            key = f"h-{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"
        sequence = int(message.metadata.sequence.stream)
        self._open[sequence] = message
        return Event(sequence=sequence, key=key, body=message.data, named=str(headers.get("Nats-Msg-Id") or ""))

    def _subject(self, where: Where, key: str) -> str:
        return f"{self.place.answers if where == 'answers' else self.place.dead}.{key}"

    async def last(self, where: Where, key: str) -> Last:
        """Return the last message of a key's subject.

        Raises:
            Conflict: It is not by us.
            Unavailable: The broker does not answer.
        """
        from nats.js import errors

        try:
            message = await self.context.get_last_msg(self._streams[where], self._subject(where, key))
        except errors.NotFoundError:
            return Last()
        except Exception as error:
            raise _unavailable(error) from error
        about = (message.headers or {}).get(ABOUT, "")
        if not about.isdigit():
            raise Conflict("somebody else publishes where the answers go", place=self._subject(where, key))
        return Last(place=int(message.seq), about=int(about))

    async def publish(self, where: Where, event: Event, body: bytes, said: dict[str, str], after: Last) -> Last:
        """Store a message about an event on its key's subject, right after this one; return it as the last.

        Raises:
            Outrun: Another is the last there, or it is not known whether this one was stored.
            Unavailable: The broker refuses it.
        """
        from nats import errors
        from nats.js import errors as of_stream

        headers = said | {
            "Nats-Msg-Id": f"{self.place.name}:{where[0]}:{self.place.stream}:{event.sequence}",
            "Nats-Expected-Last-Subject-Sequence": str(after.place),
            ABOUT: str(event.sequence),
        }
        if event.named.isprintable() and event.named.isascii() and event.named:
            headers["Holdfast-Named"] = event.named
        try:
            stored = await self.context.publish(
                self._subject(where, event.key), body, timeout=ANSWER_S, headers=headers
            )
        except (errors.TimeoutError, TimeoutError) as error:
            raise Outrun from error
        except of_stream.APIError as error:
            if error.err_code == _WRONG_LAST:
                raise Outrun from error
            raise _unavailable(error) from error
        except (OSError, errors.Error) as error:
            raise _unavailable(error) from error
        if stored.duplicate:  # an earlier try of ours, or of whoever ran before
            raise Outrun
        return Last(place=int(stored.seq), about=event.sequence)

    async def acknowledge(self, event: Event) -> None:
        """Say that an event is done; what does not reach the broker is delivered again, and known to be done."""
        message = self._open.pop(event.sequence, None)
        if message is not None:
            await message.ack()

    async def working(self, event: Event) -> None:
        """Say that an event is still worked on."""
        message = self._open.get(event.sequence)
        if message is not None:
            await message.in_progress()


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(f"the broker does not answer: {type(error).__name__}: {error}"[:300], remedy="Run it again.")
