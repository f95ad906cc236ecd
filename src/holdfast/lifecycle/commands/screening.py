"""Poisoned rows and doubtful labels: looked for, named, set before people."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option

_TABLE: Final = (
    Option(name="file", says="a CSV or Parquet table, one row a label", kind="path", argument=True, required=True),
    Option(name="item", says="the column of items", default="item"),
    Option(name="annotator", says="the column of annotators", default="annotator"),
    Option(name="label", says="the column of labels", default="label"),
    Option(name="labels", says="the labels that may be, by comma, the lowest first; those that occur if left out"),
    Option(name="metric", says="how far labels are apart: nominal, ordinal or interval", default="nominal"),
)

COMMANDS: Final = (
    Command(
        words=("data", "screen"),
        does="look for poisoned rows in a file or a data set: wrong labels, triggers, odd rows, jumps, odd sources",
        verb="holdfast.lifecycle.screening:data_screen",
        authority="anyone who can read the workspace",
        action="data.read",
        options=(
            Option(
                name="data", says="a CSV or Parquet file, or the digest of a data set", argument=True, required=True
            ),
            Option(name="label", says="the column of labels; that of the data set if left out"),
            Option(name="columns", says="what to look at, by comma; every column that says something if left out"),
            Option(name="history", says="earlier rows: which columns are distributed otherwise now?", kind="path"),
            Option(name="reference", says="rows known to be honest, to count false alarms on", kind="path"),
            Option(name="by", says="the column that names each row's source or annotator"),
            Option(name="alarms", says="share of honest rows that may be called suspect", kind="float", default=0.01),
            Option(name="out", says="folder to make: the rows, parted into kept and suspect", kind="path"),
            Option(name="reason", says="why, on record; for --out with a stored data set", default=""),
        ),
        example="holdfast data screen reviews.csv --label verdict --by source --out parted",
    ),
    Command(
        words=("data", "creep"),
        does="look for slow poison: labels that crept over all versions since a trusted one, by source",
        verb="holdfast.lifecycle.creeping:data_creep",
        authority="anyone who can read the workspace",
        action="data.read",
        options=(
            Option(
                name="version",
                says="the newest version to look at: a branch, a tag or a digest",
                default="main",
                argument=True,
            ),
            Option(name="trusted", says="the version that is trusted; the oldest that can be read if left out"),
            Option(name="by", says="the column of sources or annotators; columns of use slice if left out"),
            Option(name="alarms", says="chance that honest rows are named", kind="float", default=0.01),
        ),
        example="holdfast data creep --trusted v1 --by annotator",
    ),
    Command(
        words=("data", "rehearse"),
        does="poison a copy of one's own rows in memory, and tell what each attack reaches and what screening mends",
        verb="holdfast.lifecycle.poison_rehearsal:data_rehearse",
        authority="anyone who can read the workspace",
        action="data.read",
        options=(
            Option(
                name="data", says="a CSV or Parquet file, or the digest of a data set", argument=True, required=True
            ),
            Option(name="label", says="the column of labels; that of the data set if left out"),
            Option(name="attack", says="flips, injection, backdoor, clean-label, bias, slow; all if left out"),
            Option(name="group", says="COLUMN=VALUE of the rows that bias harms; without it bias is left out"),
            Option(name="share", says="share of the rows that the attacker has", kind="float", default=0.05),
            Option(name="seed", says="of everything that is drawn", kind="int", default=0),
        ),
        example="holdfast data rehearse reviews.csv --label verdict --attack backdoor --share 0.02",
    ),
    Command(
        words=("labels", "agree"),
        does="how far several annotators agree on labels, and whose labels cannot be believed",
        verb="holdfast.lifecycle.labels:labels_agree",
        authority="anyone who can read the workspace",
        action="data.read",
        changes=False,
        options=_TABLE,
        example="holdfast labels agree labels.csv --labels low,middle,high --metric ordinal",
    ),
    Command(
        words=("labels", "consensus"),
        does="write what labels by several annotators come to, without those flagged, and the conflicts for a person",
        verb="holdfast.lifecycle.labels:labels_consensus",
        authority="the stage keys",
        action="data.write",
        options=(
            *_TABLE,
            Option(name="out", says="folder to make: labels, conflicts and a report", kind="path", required=True),
            Option(name="confidence", says="probability that a label needs", kind="float", default=0.9),
            Option(name="adjudicated", says="a table of what people decided: item, label, by", kind="path"),
        ),
        example="holdfast labels consensus labels.csv --out agreed --adjudicated decisions.csv",
    ),
)
