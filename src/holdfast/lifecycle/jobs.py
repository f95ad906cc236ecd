"""Jobs: commands that take longer than a request may, asked for now and carried out by a worker."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from holdfast.core.errors import HoldfastError, InvalidInput, in_words
from holdfast.core.ports import JobState, Task
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted

MAX_LISTED: Final = 10_000  # jobs: more is no list that anybody reads; `before` leads further back


def jobs(plant: Plant, *, last: int = 20, before: str | None = None) -> Reply:
    """List the newest jobs, newest last; of those asked for before a job, if it is named.

    Raises:
        InvalidInput: `last` is not between 1 and `MAX_LISTED`.
        NotFound: There is no job `before`.
    """
    if not 1 <= last <= MAX_LISTED:
        raise InvalidInput(f"--last {last}", expected=f"1 to {MAX_LISTED}")
    found = plant.jobs.newest(last, before=before)
    rows = [(task.id, task.command, task.state, task.asked_by, f"{task.asked_at:%Y-%m-%d %H:%M:%S}") for task in found]
    table = Table(title="Jobs", columns=("job", "command", "state", "asked by", "asked (UTC)"), rows=rows)
    return Reply(
        says=f"{counted(len(rows), 'job')}.", document={"jobs": [document_of(task) for task in found]}, tables=(table,)
    )


def show(plant: Plant, *, job: str) -> Reply:
    """Tell how a job stands, and what came of it.

    Raises:
        NotFound: There is no such job.
    """
    task = plant.jobs.find(job)
    return Reply(says=f"Job {task.id} ({task.command}) is {task.state}.", document=document_of(task))


def cancel(plant: Plant, *, job: str) -> Reply:
    """Cancel a job; a worker that is carrying it out stops within seconds.

    Raises:
        NotFound: There is no such job.
        Conflict: It has ended.
    """
    task = plant.jobs.cancel(job)
    return Reply(says=f"Job {task.id} is cancelled.", document=document_of(task))


def document_of(task: Task) -> dict[str, Any]:
    """Return a job as JSON."""
    return {
        "job": task.id,
        "command": task.command,
        "options": dict(task.options),
        "asked_by": task.asked_by,
        "asked_at": task.asked_at.isoformat(),
        "state": task.state,
        "attempts": task.attempts,
        "result": dict(task.result),
    }


def carry_out(plant: Plant, task: Task) -> tuple[JobState, Mapping[str, Any]]:
    """Carry a job's command out, and return what came of it: an error is a result too, never a traceback."""
    from holdfast.lifecycle import COMMANDS

    command = next((each for each in COMMANDS if " ".join(each.words) == task.command), None)
    if command is None or command.opens != "workspace":
        return JobState.FAILED, {"error": f"there is no command {task.command[:80]!r}"}
    module, _, name = command.verb.partition(":")
    try:
        reply = getattr(import_module(module), name)(plant, **task.options)
    except HoldfastError as error:
        return JobState.FAILED, error.public()
    except Exception as error:  # noqa: BLE001 - a defect in a command must not take the worker's news with it
        return JobState.FAILED, HoldfastError(in_words(error)).public()
    return JobState.DONE, {"says": reply.says, "exit_code": reply.exit_code, **reply.document}
