"""Rows and what they are promised to be: contracts, checks, cleaning, and what people decide about doubtful values."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option
from holdfast.lifecycle.commands.options import REASON

_TABLE: Final = Option(name="table", says="the table, where the contract describes several", default="")
_CONTRACT: Final = Option(name="path", says="a contract in YAML", kind="path", argument=True, required=True)
_LEAVE_OUT: Final = Option(
    name="leave-out", says="names of checks that cannot be evaluated and shall not be, with commas between", default=""
)

_CASE: Final = Option(name="case", says="the case, as `data review list` names it", argument=True, required=True)

COMMANDS: Final = (
    Command(
        words=("contract", "import"),
        does="say as tables of holdfast.toml what a contract of the Open Data Contract Standard declares",
        verb="holdfast.lifecycle.contracts:imported",
        example="holdfast contract import orders.odcs.yaml >> holdfast.toml",
        authority="none",
        action="data.read",
        changes=False,
        opens="nothing",
        options=(_CONTRACT, _TABLE, _LEAVE_OUT),
    ),
    Command(
        words=("contract", "export"),
        does="write the project's columns and checks as a contract of the Open Data Contract Standard v3.1",
        verb="holdfast.lifecycle.contracts:exported",
        example="holdfast contract export > orders.odcs.yaml",
        authority="none",
        action="data.read",
        changes=False,
        opens="folder",
        options=(Option(name="version", says="of the contract", default="1.0.0"),),
    ),
    Command(
        words=("contract", "check"),
        does="say what is understood of a contract, and hold a file of rows against it",
        verb="holdfast.lifecycle.contract_holding:check",
        example="holdfast contract check orders.odcs.yaml --data orders.csv",
        authority="none",
        action="data.read",
        changes=False,
        opens="nothing",
        options=(
            _CONTRACT,
            Option(name="data", says="a .csv or .parquet file of rows", kind="path"),
            _TABLE,
            _LEAVE_OUT,
            Option(name="timestamps", says="formats of timestamps, with commas between", default=""),
        ),
    ),
    Command(
        words=("contract", "diff"),
        does="compare two contracts: what became stricter or looser, and whether that breaks anybody",
        verb="holdfast.lifecycle.contracts:diff",
        example="holdfast contract diff orders-1.yaml orders-2.yaml",
        authority="none",
        action="data.read",
        changes=False,
        opens="nothing",
        options=(
            Option(name="before", says="one contract", kind="path", argument=True, required=True),
            Option(name="after", says="the other", kind="path", argument=True, required=True),
            _TABLE,
        ),
    ),
    Command(
        words=("data", "profile"),
        does="say how an unknown file is written and what its columns seem to hold, and draft a declaration of them",
        verb="holdfast.app.recognising:data_profile",
        example="holdfast data profile export.csv --form toml",
        authority="none",
        action="data.read",
        changes=False,
        opens="nothing",
        options=(
            Option(name="path", says="a .csv, .jsonl or .parquet file", kind="path", argument=True, required=True),
            Option(name="form", says="table, toml (for holdfast.toml) or odcs (a contract)", default="table"),
            Option(
                name="project", says="a project file: texts are searched by its [dlp.presidio] as well", kind="path"
            ),
        ),
    ),
    Command(
        words=("data", "quarantined"),
        does="say how many rows were set aside in each hour in which rows were taken in, and why",
        verb="holdfast.lifecycle.set_aside:by_hour",
        example="holdfast data quarantined",
        authority="anyone who can read the workspace",
        action="data.list",
        changes=False,
        options=(Option(name="newest", says="hours to show", kind="int", default=24),),
    ),
    Command(
        words=("data", "unmerge"),
        does="write the rows of a data set as they were before rows of one entity were merged; on record",
        verb="holdfast.lifecycle.unmerging:unmerge",
        example="holdfast data unmerge --out before.parquet --reason 'two customers were taken for one'",
        authority="the stage keys",
        action="data.read",
        options=(
            Option(name="out", says="the file to make, Parquet", kind="path", required=True),
            Option(name="data", says="digest of the data set; the newest if left out", default=""),
            REASON,
        ),
    ),
    Command(
        words=("data", "clean"),
        does="clean a file by the project's rules: counts and a sample of what changes; written only where told to",
        verb="holdfast.app.recognising:data_clean",
        example="holdfast data clean new-orders.csv --out clean.parquet --quarantine aside.jsonl",
        authority="none",
        action="data.read",
        opens="folder",
        options=(
            Option(name="path", says="a .csv, .parquet or .jsonl file", kind="path", argument=True, required=True),
            Option(name="out", says="a .csv or .parquet file to make, with the rows that hold", kind="path"),
            Option(name="quarantine", says="a .jsonl file to make, with the others and their reasons", kind="path"),
        ),
    ),
    Command(
        words=("data", "outliers"),
        does="sort what lies out in a file of rows: likely error, rare but real, or doubtful; nothing is taken in",
        verb="holdfast.lifecycle.outliers:data_outliers",
        example="holdfast data outliers new-orders.csv",
        authority="none",
        action="data.read",
        changes=False,
        opens="folder",
        options=(
            Option(name="path", says="a .csv, .parquet or .jsonl file", kind="path", argument=True, required=True),
        ),
    ),
    Command(
        words=("data", "review", "list"),
        does="list the values that lie out and wait for a person, without the values themselves",
        verb="holdfast.lifecycle.reviewing:review_list",
        authority="anyone who can read the workspace",
        action="data.list",
        changes=False,
        options=(
            Option(name="data", says="digest of the data set; the newest ingest if left out", default=""),
            Option(name="decided", says="list those that were decided, too", kind="flag", default=False),
        ),
    ),
    Command(
        words=("data", "review", "show"),
        does="show one value that lies out, why it does, and what it may have been meant to be; on record",
        verb="holdfast.lifecycle.reviewing:review_show",
        authority="anyone who can read the workspace",
        action="data.review",
        options=(_CASE,),
        example="holdfast data review show 6b1f0c22a1d4:17:weight",
    ),
    Command(
        words=("data", "review", "decide"),
        does="keep a value that lies out, correct it, or keep its row out; signed, and applied at the next run",
        verb="holdfast.lifecycle.reviewing:review_decide",
        authority="the stage keys",
        action="data.review",
        options=(
            _CASE,
            Option(name="decision", says="keep, correct or quarantine", required=True),
            Option(name="value", says="what it is, where it is corrected"),
            REASON,
        ),
        example="holdfast data review decide 6b1f0c22a1d4:17:weight --decision correct --value 71.5 --reason 'grams'",
    ),
    Command(
        words=("data", "check"),
        does="hold a file of rows against the project's columns and checks; nothing is taken in",
        verb="holdfast.lifecycle.contract_holding:check_data",
        example="holdfast data check new-orders.csv",
        authority="none",
        action="data.read",
        changes=False,
        opens="folder",
        options=(Option(name="path", says="a .csv or .parquet file", kind="path", argument=True, required=True),),
    ),
)
