"""Events out of a NATS JetStream stream (port `Puller`), from a place that is kept with the rows.

How far the stream was read is its sequence number, which the ledger holds in the entry that makes the events visible.
So nothing is acknowledged to the broker, and no crash can lie between an acknowledgement and what it was for. A
consumer of this process alone begins behind that number; JetStream counts what it delivers, so that a message lost on
the way shows as a gap, and the consumer is made anew behind the last one that came. Events that the stream has dropped
before they were read are told.

An event is late where its time lies further behind the newest seen than declared.
"""

import asyncio
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from holdfast.adapters.keys_nats import parse_credentials
from holdfast.adapters.source_database import inside
from holdfast.core.errors import HoldfastError, InvalidData, MissingExtra, NotFound, Unavailable
from holdfast.core.flat_json import record
from holdfast.core.policy import seconds
from holdfast.core.ports import Asking, Page
from holdfast.core.sources import StreamPlace

CONNECT_S: Final = 5.0
AGAIN_S: Final = 0.5  # until a broker that does not answer is asked once more, and then no more: other sources wait
FETCH_S: Final = 2.0  # for which events are waited for that the stream says it has
IDLE_S: Final = 60.0  # after which the broker forgets a consumer whose process has died
AHEAD: Final = timedelta(minutes=10)  # by which an event's own time may lie behind its arrival: clocks differ
TRIES: Final = 20  # times that a gap or silence is answered with a new consumer, in one pull
_MILLISECONDS: Final = 1e11  # a number beyond it counts milliseconds since 1970, not seconds


@dataclass(slots=True, kw_only=True)
class _Reached:
    """How far the stream was read."""

    sequence: int
    newest: datetime | None
    made: str  # when the stream was made: another of the same name is another

    def position(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        newest = self.newest.isoformat() if self.newest else ""
        return {"sequence": self.sequence, "newest": newest, "made": self.made}


@dataclass(slots=True, kw_only=True)
class StreamSource:
    """A stream that is read from a place to its present end."""

    place: StreamPlace
    key: Sequence[str]
    asking: Asking
    _loop: asyncio.AbstractEventLoop | None = field(default=None)

    def pages(self, position: Mapping[str, Any]) -> Iterator[Page]:
        """Yield the events behind a place, up to the end that the stream has now.

        Raises:
            Unavailable: The broker does not answer.
            NotFound: There is no such stream.
            InvalidData: Another stream stands under this name now.
            MissingExtra: nats-py is not installed.
        """
        loop = asyncio.new_event_loop()
        client = None
        try:
            client = loop.run_until_complete(self._connected())
            context = client.jetstream(timeout=CONNECT_S)
            info = loop.run_until_complete(_told(self._stream(context)))
            reached, lost = self._begin(position, info)
            if lost:
                yield Page(records=(), position=reached.position(), missing=lost)
            yield from self._events(loop, context, reached, int(info.state.last_seq))
        finally:
            if client is not None:
                loop.run_until_complete(client.close())
            loop.close()

    def may_repeat(self, stored: Mapping[str, Any], now: Mapping[str, Any], age_s: float) -> bool:
        """Say whether an event may have been published again: for so long as declared."""
        del stored, now
        return age_s <= seconds(self.place.remember)

    def _begin(self, position: Mapping[str, Any], info: Any) -> tuple[_Reached, str]:
        made = str(info.created)
        if position and (position["made"] != made or int(info.state.last_seq) < int(position["sequence"])):
            raise InvalidData(
                "another stream stands under this name than the one that was read",
                place=self.asking.name,
                expected="the same stream; declare the new one as a source of its own",
            )
        newest = datetime.fromisoformat(position["newest"]) if position.get("newest") else None
        reached = _Reached(sequence=int(position.get("sequence", 0)), newest=newest, made=made)
        first = int(info.state.first_seq)
        if position and first > reached.sequence + 1 and info.state.last_seq:
            lost = f"events {reached.sequence + 1} to {first - 1} were dropped by the stream before they were read"
            reached.sequence = first - 1
            return reached, lost
        return reached, ""

    def _events(self, loop: asyncio.AbstractEventLoop, context: Any, reached: _Reached, end: int) -> Iterator[Page]:
        for _ in range(TRIES):
            if reached.sequence >= end:
                return
            pulling = loop.run_until_complete(_told(self._consumer(context, reached.sequence + 1)))
            delivered = 0
            while reached.sequence < end:
                messages = loop.run_until_complete(_told(self._fetched(pulling)))
                whole = _in_order(messages, delivered)
                if not whole:
                    break
                delivered += len(whole)
                page = self._page(whole, reached)
                waiting = int(whole[-1].metadata.num_pending)
                yield page
                if waiting == 0 and len(whole) == len(messages):
                    return  # the others up to the end are of other subjects
            else:
                return
            if not loop.run_until_complete(_told(_pending(pulling))):
                return
        raise Unavailable("the broker holds events that do not arrive", place=self.asking.name)

    def _page(self, messages: Sequence[Any], reached: _Reached) -> Page:
        records, late, ids, broken = list[dict[str, str | None]](), set[int](), list[str](), list[tuple[str, bytes]]()
        behind = timedelta(seconds=seconds(self.place.lateness) if self.place.lateness else 0)
        for message in messages:
            reached.sequence = int(message.metadata.sequence.stream)
            try:
                found = record(message.data.decode())
                named, moment = self._named(message, found), self._moment(message, found)
            except ValueError as error:
                words = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
                broken.append((f"event {reached.sequence}: {words}", message.data))
                continue
            if reached.newest is not None and moment < reached.newest - behind:
                late.add(len(records))
            reached.newest = max(reached.newest or moment, moment)
            wanted = dict.fromkeys((*self.key, *self.asking.columns, *filter(None, (self.place.event_time,))))
            records.append({name: found[name] for name in wanted if name in found})
            ids.append(named)
        return Page(records=records, position=reached.position(), late=frozenset(late), ids=ids, broken=broken)

    def _named(self, message: Any, found: Mapping[str, str | None]) -> str:
        """Return what names an event: its key, what its publisher called it, or its place in the stream."""
        if self.key:
            values = [found.get(name) for name in self.key]
            if None in values:
                raise ValueError("it lacks what names it")
            return "".join(f"{len((value or '').encode())}:{value}" for value in values)
        called = (message.headers or {}).get("Nats-Msg-Id", "")
        return f"id {called}" if called else f"sequence {message.metadata.sequence.stream}"

    def _moment(self, message: Any, found: Mapping[str, str | None]) -> datetime:
        stored: datetime = message.metadata.timestamp.astimezone(UTC)
        if not self.place.event_time:
            return stored
        moment = _parsed(found.get(self.place.event_time) or "")
        if moment > stored + AHEAD:  # it would make every honest event behind it late
            raise ValueError("its time lies after its arrival")
        return moment

    async def _connected(self) -> Any:
        try:
            import nats
            from nats import errors
        except ImportError as error:
            raise MissingExtra("streams need nats-py", remedy="pip install 'holdfast[streams]'") from error
        options: dict[str, Any] = {"connect_timeout": CONNECT_S, "allow_reconnect": False}
        options |= {"max_reconnect_attempts": 1, "reconnect_time_wait": AGAIN_S}  # bound the first connection too
        if self.asking.credential:
            user = parse_credentials(self.asking.credential, f"the credential of {self.asking.name}")
            options |= {"user_jwt_cb": user.token.encode, "signature_cb": user.sign}
        if self.place.url.startswith("tls:"):
            authority = str(inside(self.asking.root, self.place.authority)) if self.place.authority else None
            options["tls"] = ssl.create_default_context(cafile=authority)
        try:
            return await nats.connect(self.place.url, error_cb=_quiet, **options)
        except (OSError, errors.Error, TimeoutError) as error:
            words = f"the broker does not answer: {type(error).__name__}"
            raise Unavailable(words, place=self.asking.name) from error

    async def _stream(self, context: Any) -> Any:
        from nats.js import errors

        try:
            return await context.stream_info(self.place.stream)
        except errors.NotFoundError as error:
            words = f"there is no stream {self.place.stream[:64]!r}"
            raise NotFound(words, place=self.asking.name, remedy="Make it, or name another.") from error

    async def _consumer(self, context: Any, first: int) -> Any:
        from nats.js import api

        wanted = api.ConsumerConfig(
            filter_subject=self.place.subject,
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=first,
            ack_policy=api.AckPolicy.NONE,
            inactive_threshold=IDLE_S,
            mem_storage=True,
            num_replicas=1,
        )
        made = await context.add_consumer(self.place.stream, wanted)
        return await context.pull_subscribe_bind(consumer=made.name, stream=self.place.stream)

    async def _fetched(self, pulling: Any) -> Sequence[Any]:
        from nats import errors

        try:
            found: Sequence[Any] = await pulling.fetch(self.place.events_per_batch, timeout=FETCH_S)
        except (errors.TimeoutError, TimeoutError):
            return ()
        return found


def _in_order(messages: Sequence[Any], delivered: int) -> Sequence[Any]:
    """Return the messages up to the first that does not follow the one before it."""
    for number, message in enumerate(messages):
        if int(message.metadata.sequence.consumer) != delivered + number + 1:
            return messages[:number]
    return messages


async def _pending(pulling: Any) -> int:
    info = await pulling.consumer_info()
    return int(info.num_pending) + int(info.delivered.consumer_seq > 0)


async def _told(work: Any) -> Any:
    """Return what the broker answers.

    Raises:
        Unavailable: It does not.
    """
    try:
        return await work
    except HoldfastError:
        raise
    except Exception as error:
        raise Unavailable(f"the broker does not answer: {type(error).__name__}: {error}"[:300]) from error


async def _quiet(_error: Exception) -> None:
    """Say nothing: whoever waits for the broker is told."""


def _parsed(text: str) -> datetime:
    """Return the moment that a text names: ISO 8601, or seconds or milliseconds since 1970; without a zone UTC.

    >>> _parsed("2026-01-02T03:04:05Z") == _parsed("1767323045") == _parsed("1767323045000")
    True
    """
    try:
        number = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    try:
        return datetime.fromtimestamp(number / 1000 if abs(number) > _MILLISECONDS else number, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError("its time is none") from error
