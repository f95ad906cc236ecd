"""`holdfast batch run`: composition of one batch, from a table on disk to a signed folder."""

import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import Conflict, InvalidInput
from holdfast.edge.config import EdgeConfig, config_of
from holdfast.edge.offline import Offline, opened, read_key, sample_speed

if TYPE_CHECKING:
    from holdfast.core.batch import Manifest, Part, Plan
    from holdfast.lifecycle.reply import Reply

PART_ROWS: Final = 8192  # scored between two durable steps: some megabytes, and seconds of work lost in a crash
MOST_PART_ROWS: Final = 1_000_000
SAMPLE_S: Final = 0.05  # for which each way of running the model is measured
RUNTIME: Final = "ONNX Runtime"


def command(  # noqa: PLR0913 - one argument for each option of the command
    root: Path,
    *,
    tell: Callable[[Any], None],
    model: str,
    input: Path,  # noqa: A002 - as the command calls it
    output: Path,
    key_file: Path,
    keep: str | None = None,
    part_rows: int = PART_ROWS,
    environment: str = "production",
) -> "Reply":
    """Score a table: `holdfast batch run`."""
    from holdfast.lifecycle.reply import Progress, Reply, short

    kept = tuple(name.strip() for name in (keep or "").split(",") if name.strip())

    def progress(rows: int) -> None:
        tell(Progress(stage="batch", state="shown", words=f"{rows} rows"))

    manifest = run(
        config_of(root, environment=environment),
        model=model,
        source=input,
        output=output,
        key=read_key(key_file),
        keep=kept,
        part_rows=part_rows,
        progress=progress,
    )
    choice = manifest.plan.choice
    said = ", ".join(f"{count} {name}" for name, count in manifest.outcomes.items())
    says = f"{manifest.rows} rows are scored by release {short(manifest.plan.release)} ({said or 'none'}): {output}."
    document = {
        "output": str(output),
        "rows": manifest.rows,
        "parts": len(manifest.parts),
        "release": manifest.plan.release,
        "outcomes": manifest.outcomes,
        "reasons": manifest.reasons,
        "rows_per_call": choice.rows_per_call,
        "threads": choice.threads,
    }
    return Reply(says=says, document=document)


def run(
    config: EdgeConfig,
    *,
    model: str,
    source: Path,
    output: Path,
    key: str,
    keep: tuple[str, ...] = (),
    part_rows: int = PART_ROWS,
    progress: Callable[[int], None] | None = None,
) -> "Manifest":
    """Score a table into a folder, or go on where an earlier run ended; return the manifest, which is signed by then.

    Args:
        config: The gateway whose published state, pins, identity and spool are used.
        model: Name of the model.
        source: A CSV or Parquet file with a column for each of the model's inputs, or for the entity by which those are
            looked up that it leaves out.
        output: A folder that is not there, is empty, or was begun by the same command.
        key: An API key that may call the model.
        keep: Columns that are copied into the output.
        part_rows: Rows of each part.
        progress: Told the rows done so far.

    Raises:
        Conflict: The output was begun with something else, or another process writes into it.
        HoldfastError: The run cannot go on now; every finished part stays, and the same command goes on from there.
    """
    from holdfast.adapters.tables import OutputFolder, open_table

    if not 1 <= part_rows <= MOST_PART_ROWS:
        raise InvalidInput(f"parts of {part_rows} rows", place="--part-rows", expected=f"1 to {MOST_PART_ROWS}")
    table = open_table(source)
    try:
        folder = OutputFolder(output)
        try:
            plan = _begun(folder)
            if plan is None:
                with opened(config, complain=_complain) as gateway:
                    plan = _plan(gateway, table, model=model, keep=keep, part_rows=part_rows)
                    plan = _measured(config, gateway, table, plan)
            else:  # what the run began with, and what it is now asked for: `Batch.begin` compares the two
                with opened(config, complain=_complain) as gateway:
                    asked = _plan(gateway, table, model=model, keep=keep, part_rows=part_rows)
                asked.check_same(plan)
            with opened(config, complain=_complain, threads=plan.choice.threads) as gateway:
                return _carried_out(gateway, table, folder, plan, key, progress or (lambda _: None))
        finally:
            folder.close()
    finally:
        table.close()


def _begun(folder: Any) -> "Plan | None":
    """Return the plan that an earlier run has left; None where there was none.

    Raises:
        NotVerified: It cannot be read.
    """
    from holdfast.core.batch import PLAN
    from holdfast.serve.batch import plan_in

    found = folder.read(PLAN)
    return None if found is None else plan_in(found, str(folder.path / PLAN))


def _plan(gateway: Offline, table: Any, *, model: str, keep: tuple[str, ...], part_rows: int) -> "Plan":
    from holdfast.core.batch import Choice, Plan, columns_of
    from holdfast.core.schema import texts_of
    from holdfast.serve.given import asked_by

    release = gateway.release(model)
    inputs, entity = asked_by(release.signature, table.columns(), place=str(table.path))
    plan = Plan(
        run=secrets.token_hex(8),
        workspace=gateway.loader.pins.root.workspace,
        environment=gateway.config.environment,
        model=model,
        release=release.digest,
        input=table.digest(),
        form=table.form,
        inputs=inputs,
        texts=tuple(text.name for text in texts_of(release.signature)),
        entity=entity,
        keep=keep,
        classes=release.signature.classes,
        part_rows=part_rows,
        choice=Choice(
            runtime=RUNTIME, rows_per_call=_most_rows(gateway, by_entity=bool(entity)), threads=1, measured={}
        ),
        begun=gateway.recorder.clock.now(),
    )
    columns_of(plan)
    return plan


def _most_rows(gateway: Offline, *, by_entity: bool) -> int:
    """Return how many rows the table's guards let into one call."""
    from holdfast.serve.guards.lookup import MOST_ROWS

    state = gateway.gateway.state
    guards = state.chains.call.guards if state is not None else ()
    most = min((guard.max_rows for guard in guards if hasattr(guard, "max_rows")), default=1)
    return min(most, MOST_ROWS) if by_entity else most


def _measured(config: EdgeConfig, gateway: Offline, table: Any, plan: "Plan") -> "Plan":
    """Return the plan with the way in which this machine runs this model fastest, on rows of this input."""
    import msgspec
    import numpy as np

    from holdfast.serve.scoring import fastest

    # With the columns that are kept: one that is missing is refused here, before the plan binds the folder to it.
    wanted = (*plan.keep, *plan.texts, *plan.entity)
    first = next(iter(table.chunks(plan.inputs, wanted, plan.part_rows, frozenset())), None)
    width = len(gateway.release(plan.model).signature.inputs)
    # What texts become, and what is looked up, takes a model as long as zeros.
    plain = first is not None and not plan.texts and not plan.entity
    rows = np.nan_to_num(first.values if plain and first is not None else np.zeros((1, width))).astype(np.float32)
    most = plan.choice.rows_per_call
    rows = np.resize(rows, (most, rows.shape[1]))
    cores = len(os.sched_getaffinity(0))
    counts = tuple(dict.fromkeys((1, 2, cores)))[: 1 if cores == 1 else 3]
    models = {1: gateway.release(plan.model).model}
    for count in counts[1:]:
        with opened(config, complain=_complain, threads=count) as other:
            models[count] = other.release(plan.model).model

    def measure(size: int, count: int) -> float:
        return sample_speed(models[count], rows[:size], SAMPLE_S)

    size, count, measured = fastest(measure, most_rows=most, threads=counts)
    choice = msgspec.structs.replace(plan.choice, rows_per_call=size, threads=count, measured=measured)
    return msgspec.structs.replace(plan, choice=choice)


def _carried_out(
    gateway: Offline, table: Any, folder: Any, plan: "Plan", key: str, progress: Callable[[int], None]
) -> "Manifest":
    from holdfast.adapters.tables import encode_part
    from holdfast.core.batch import MANIFEST
    from holdfast.core.seal import BATCH, seal
    from holdfast.serve.batch import Batch, check_parts
    from holdfast.serve.scoring import Scorer

    release = gateway.release(plan.model)
    if release.digest != plan.release:  # a newer table came between planning and now
        raise Conflict(f"release {release.short} answers now", place=plan.model, remedy="Run it again.")

    def between(part: "Part | None", rows: int) -> None:
        if part is not None:
            gateway.keep_up()
        progress(rows)

    batch = Batch(
        plan=plan,
        source=table,
        output=folder,
        encode=encode_part,
        scorer=Scorer(
            handle=gateway.handle,
            model=plan.model,
            key=key,
            signature=release.signature,
            inputs=plan.inputs,
            release=release.short,
            clock=gateway.recorder.clock,
            wait=time.sleep,
            rows_per_call=plan.choice.rows_per_call,
            host=gateway.host,
        ),
        clock=gateway.recorder.clock,
        between=between,
    )
    manifest = batch.carry_out()
    check_parts(manifest, folder.read)  # what is signed is what lies there now
    document = seal(manifest, BATCH, [gateway.signer()], name="batch")
    said = f"{manifest.rows} rows, run {plan.run}, manifest {digest_bytes(document)}"
    gateway.note("batch.finished", plan.model, said)
    folder.write(MANIFEST, document)
    return manifest


def _complain(error: Exception) -> None:
    sys.stderr.write(f"{error}\n")
    sys.stderr.flush()
