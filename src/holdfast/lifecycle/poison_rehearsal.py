"""`holdfast data rehearse`: what poison would do to one's own rows, before somebody else tries it.

Nothing is written but that a stored data set was read for it: rows are poisoned in memory, models live as long as the
question. Says what each attack reaches with and without screening, and leaves to people whether that is too much.
"""

from typing import TYPE_CHECKING, Final

from holdfast.core.errors import InvalidInput
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted
from holdfast.lifecycle.screening import rows_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from holdfast.ingest.effects import Effect, Told
    from holdfast.ingest.screening import Table as Rows

MOST: Final = 0.5  # share of the rows; whoever has more is no attacker but the owner


def data_rehearse(
    plant: Plant,
    *,
    data: str,
    label: str | None = None,
    attack: str | None = None,
    group: str | None = None,
    share: float = 0.05,
    seed: int = 0,
) -> Reply:
    """Tell what attacks on rows reach.

    Args:
        plant: The control plane.
        data: A CSV or Parquet file, or the beginning of the digest of a data set of this workspace.
        label: The column of labels; that of the data set's own schema if left out.
        attack: One attack; all that the rows allow if left out.
        group: `COLUMN=VALUE`: the rows that bias harms. There the share is that of the group's favourable rows.
        share: Of the rows learned from that are poisoned.
        seed: Of everything that is drawn.

    Raises:
        InvalidInput: No such attack, column or share, or the rows do not allow the attack that was asked for.
        InvalidData: The rows cannot be read or screened.
        NotFound: There is no such file or data set.
    """
    from holdfast.ingest.effects import ATTACKS, effect
    from holdfast.ingest.screening import tabulate

    if not 0 < share <= MOST:
        raise InvalidInput(f"a share of {share:g}", place="--share", expected=f"above 0 and at most {MOST}")
    rows, wanted, seen = rows_of(plant, data, label, "rehearsal of poison")
    table = tabulate(rows, wanted, seen)
    harmed = None if group is None else _group(rows, group, table)
    found: list[Effect] = []
    refused: dict[str, str] = {}
    for name in [attack] if attack else ATTACKS:
        if name == "bias" and harmed is None and attack is None:
            refused[name] = "no group is named: --group COLUMN=VALUE"
            continue
        try:
            found.append(effect(table, name, share=share, seed=seed, group=harmed))
        except InvalidInput as error:
            if attack:
                raise
            refused[name] = str(error.message)
    return _reply(found, refused, share)


def _group(rows: "pl.DataFrame", group: str, table: "Rows") -> "np.ndarray":
    import numpy as np
    import polars as pl

    name, equals, value = group.partition("=")
    if not equals or name not in rows.columns:
        raise InvalidInput(
            f"no group is {group[:80]!r}", place="--group", expected="COLUMN=VALUE, of a column there is"
        )
    same = (rows[name].cast(pl.String).str.strip_chars() == value).fill_null(value=False).to_numpy()
    return np.asarray(same[table.kept], dtype=np.bool_)


def _reply(found: "list[Effect]", refused: dict[str, str], share: float) -> Reply:
    lines = [
        (
            each.attack,
            each.target,
            f"{each.poisoned}",
            _three(each, "success"),
            _three(each, "accuracy"),
            f"{each.recall:.0%} / {each.alarms:.1%}",
        )
        for each in found
    ]
    tables = [
        Table(
            title="Honest rows → poisoned → without suspects",
            columns=("attack", "wants", "rows", "attack succeeds", "accuracy", "found / false alarms"),
            rows=lines,
        )
    ]
    gaps = [
        (each.target, *(f"{told.gap:.2f}" for told in _stages(each) if told.gap is not None))
        for each in found
        if each.spoiled.gap is not None
    ]
    if gaps:
        columns = ("unwanted", "honest rows", "poisoned", "without suspects")
        tables.append(Table(title="Gap of chances between the group and others, at least", columns=columns, rows=gaps))
    if refused:
        tables.append(Table(title="Left out", columns=("attack", "why"), rows=list(refused.items())))
    says = f"{counted(len(found), 'attack')} tried with {share:g} of the rows, in memory only."
    if found:
        worst = max(found, key=lambda each: each.repaired.success - each.honest.success)
        says += (
            f" The most that is left after screening is {worst.attack}: {worst.repaired.success:.0%} instead of "
            f"{worst.honest.success:.0%} are answered {worst.target!r}."
        )
    document = {
        "share": share,
        "effects": [
            {
                "attack": each.attack,
                "target": each.target,
                "poisoned": each.poisoned,
                "asked": each.asked,
                "recall": each.recall,
                "alarms": each.alarms,
                **{
                    name: {"accuracy": told.accuracy, "success": told.success, "gap": told.gap}
                    for name, told in zip(("honest", "spoiled", "repaired"), _stages(each), strict=True)
                },
            }
            for each in found
        ],
        "left_out": refused,
    }
    return Reply(says=says, document=document, tables=tables)


def _stages(each: "Effect") -> "tuple[Told, Told, Told]":
    return each.honest, each.spoiled, each.repaired


def _three(each: "Effect", what: str) -> str:
    return " → ".join(f"{getattr(told, what):.0%}" for told in _stages(each))
