"""`holdfast stream run`: composition of one process that answers a stream of events."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast.core.errors import InvalidInput
from holdfast.edge.config import EdgeConfig, config_of
from holdfast.edge.offline import opened, read_key

if TYPE_CHECKING:
    from holdfast.adapters.jetstream import StreamPlace
    from holdfast.lifecycle.reply import Reply
    from holdfast.serve.stream import Tally

MOST_IN_FLIGHT: Final = 10_000


def command(  # noqa: PLR0913 - one argument for each option of the command
    root: Path,
    *,
    tell: Callable[[Any], None],
    model: str,
    stream: str,
    answers: str,
    dead: str,
    key_file: Path,
    url: str = "nats://127.0.0.1:4222",
    subject: str = ">",
    name: str | None = None,
    in_flight: int = 64,
    credentials: Path | None = None,
    ca: Path | None = None,
    until_idle: bool = False,
    environment: str = "production",
) -> "Reply":
    """Answer a stream of events: `holdfast stream run`."""
    from holdfast.adapters.jetstream import StreamPlace
    from holdfast.lifecycle.reply import Progress, Reply

    place = StreamPlace(
        url=url,
        stream=stream,
        subject=subject,
        answers=answers,
        dead=dead,
        name=name or f"holdfast-{model}"[:32].replace(".", "-"),
        in_flight=in_flight,
        credentials=credentials,
        authority=ca,
    )
    tell(Progress(stage="stream", state="started", words=f"{stream} → {answers}.*; stop with Ctrl-C"))
    tally = run(
        config_of(root, environment=environment),
        place,
        model=model,
        key=read_key(key_file),
        until_idle=until_idle,
    )
    document = {
        "answered": tally.answered,
        "fallback": tally.fallback,
        "dead": tally.dead,
        "again": tally.again,
        "waits": tally.waits,
    }
    says = f"{tally.answered + tally.fallback} events are answered, {tally.dead} are dead letters."
    return Reply(says=says, document=document)


def run(config: EdgeConfig, place: "StreamPlace", *, model: str, key: str, until_idle: bool = False) -> "Tally":
    """Answer events until SIGTERM or SIGINT, or, if asked, until there are none.

    Args:
        config: The gateway whose published state, pins, identity and spool are used.
        place: Where events come from and go to.
        model: Name of the model.
        key: An API key that may call the model.
        until_idle: End when no event has come for a while.

    Raises:
        Conflict: Another process has taken over.
        HoldfastError: The gateway cannot be opened, the key is refused, or the broker does not answer.
    """
    if not 1 <= place.in_flight <= MOST_IN_FLIGHT:
        raise InvalidInput(
            f"{place.in_flight} events under way", place="--in-flight", expected=f"1 to {MOST_IN_FLIGHT}"
        )
    return asyncio.run(_run(config, place, model, key, until_idle=until_idle))


async def _run(config: EdgeConfig, place: "StreamPlace", model: str, key: str, *, until_idle: bool) -> "Tally":
    from holdfast.adapters.jetstream import connected
    from holdfast.serve.scoring import signed
    from holdfast.serve.stream import Stream

    with opened(config, complain=_complain) as gateway:
        gateway.release(model)  # a name that is not served is a mistake, not a stream of dead letters
        path, clock = f"/v2/models/{model}/infer", gateway.recorder.clock
        async with connected(place) as bus:
            stream = Stream(
                bus=bus,
                handle=gateway.handle,
                request=lambda body, correlation: signed(
                    key, path, body, correlation=correlation, clock=clock, host=gateway.host
                ),
                name=place.name,
                in_flight=place.in_flight,
                keep_up=gateway.keep_up,
            )
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stream.stop)
            return await stream.run(until_idle=until_idle)


def _complain(error: Exception) -> None:
    sys.stderr.write(f"{error}\n")
    sys.stderr.flush()
