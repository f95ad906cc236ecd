"""Versions of data sets: commit, compare, name, check out, and who read or changed them."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option
from holdfast.lifecycle.commands.options import REASON

_SAYS: Final = "the version: a branch, a tag or a digest's beginning, ~N for N before it; NAME@ for another data set"
_ANSWERING: Final = Option(
    name="release", says="digest or alias of the release; the one that answers if left out", argument=True
)

COMMANDS: Final = (
    Command(
        words=("data", "commit"),
        does="ingest the project's source and commit the rows that hold, signed; or an earlier version's rows again",
        verb="holdfast.lifecycle.data_versions:data_commit",
        authority="the stage keys",
        action="data.write",
        options=(
            Option(name="message", says="what is new, in a sentence that stays on record", required=True),
            Option(name="branch", says="the branch to commit to", default="main"),
            Option(name="expect", says="refuse unless the branch is at this version"),
            Option(name="version", says="commit the rows of this earlier version again, and ingest nothing"),
        ),
        example='holdfast data commit --message "May, corrected by the clinic"',
    ),
    Command(
        words=("data", "log"),
        does="list the versions of a data set, newest first, every signature verified",
        verb="holdfast.lifecycle.data_versions:data_log",
        authority="anyone who can read the workspace",
        action="data.list",
        changes=False,
        options=(
            Option(name="version", says=_SAYS, argument=True),
            Option(name="most", says="how many", kind="int", default=50),
        ),
    ),
    Command(
        words=("data", "diff"),
        does="show rows added and removed between two versions and each changed cell; personal values are masked",
        verb="holdfast.lifecycle.data_diff:data_diff",
        authority="the stage keys",
        action="data.read",
        options=(
            Option(name="before", says=_SAYS, argument=True, required=True),
            Option(name="after", says="the later version", argument=True, default="main"),
            Option(name="key", says="columns that name a row, with commas between; the declared ids if left out"),
            Option(name="limit", says="how many lines of each sort to show", kind="int", default=20),
            Option(name="out", says="also write every difference to this file, a line of JSON each", kind="path"),
        ),
        example="holdfast data diff main~1 main",
    ),
    Command(
        words=("data", "tag"),
        does="give a version a name that never moves",
        verb="holdfast.lifecycle.data_versions:data_tag",
        authority="the stage keys",
        action="data.write",
        options=(
            Option(name="tag", says="the name", argument=True, required=True),
            Option(name="version", says=_SAYS, argument=True, default="main"),
        ),
    ),
    Command(
        words=("data", "branch"),
        does="begin a branch at a version",
        verb="holdfast.lifecycle.data_versions:data_branch",
        authority="the stage keys",
        action="data.write",
        options=(
            Option(name="branch", says="the name", argument=True, required=True),
            Option(name="version", says=_SAYS, argument=True, default="main"),
        ),
    ),
    Command(
        words=("data", "checkout"),
        does="write a version as a plain Delta table to a new folder, or its source to a new file; on record",
        verb="holdfast.lifecycle.data_versions:data_checkout",
        authority="the stage keys",
        action="data.read",
        options=(
            Option(name="version", says=_SAYS, argument=True, required=True),
            Option(name="out", says="folder or file to make", kind="path", required=True),
            Option(name="form", says="delta, or source for the file as it came in", default="delta"),
            REASON,
        ),
    ),
    Command(
        words=("data", "verify"),
        does="hold a checked-out table against what its commit signs, and name each file and row group that differs",
        verb="holdfast.lifecycle.data_versions:data_verify",
        authority="anyone who can read the workspace",
        action="data.list",
        changes=False,
        options=(
            Option(name="folder", says="the table", kind="path", argument=True, required=True),
            Option(name="version", says="the version that it must be; its own word if left out"),
        ),
    ),
    Command(
        words=("data", "trail"),
        does="list who read or changed a data set and when",
        verb="holdfast.lifecycle.trail:data_trail",
        authority="anyone who can read the workspace",
        action="audit.read",
        changes=False,
        options=(
            Option(name="data", says="name of the data set; the project's own if left out", argument=True),
            Option(name="changes", says="changes only, no reads", kind="flag", default=False),
            Option(name="by", says="only what this identity did"),
            Option(name="last", says="how many lines", kind="int", default=50),
            Option(name="before", says="only entries before this position", kind="int"),
        ),
    ),
    Command(
        words=("data", "learned"),
        does="say which models learned from a row, were tuned or measured on it, and which of them answer",
        verb="holdfast.lifecycle.learned:data_learned",
        authority="the stage keys",
        action="data.read",
        changes=False,
        options=(
            Option(
                name="key",
                says="the row's id; commas between the parts of several columns",
                argument=True,
                required=True,
            ),
            Option(name="rebuild", says="make the index anew from the splits and compare", kind="flag", default=False),
        ),
    ),
    Command(
        words=("data", "affected"),
        does="say which rows, models and releases a request to erase touches; nothing is changed",
        verb="holdfast.lifecycle.learned:data_affected",
        authority="the stage keys",
        action="data.read",
        changes=False,
        options=(
            Option(
                name="request",
                says="file that names the rows: a line each, or CSV with the id columns",
                kind="path",
                required=True,
            ),
        ),
    ),
    Command(
        words=("data", "erase-rows"),
        does="commit the source without the rows of a request, and destroy the key of every older one that has them",
        verb="holdfast.lifecycle.row_erasure:data_erase_rows",
        authority="the stage keys",
        action="data.erase",
        options=(
            Option(
                name="request",
                says="file that names the rows: a line each, or CSV with the id columns",
                kind="path",
                required=True,
            ),
            REASON,
        ),
    ),
    Command(
        words=("data", "show"),
        does="show a version's provenance record: origin, history, custody, licence, hashes, columns",
        verb="holdfast.lifecycle.data_record:data_show",
        authority="anyone who can read the workspace",
        action="data.list",
        changes=False,
        options=(Option(name="version", says=_SAYS, argument=True, default="main"),),
    ),
    Command(
        words=("data", "search"),
        does="find data sets by text, owner, column, sensitivity, tag and lineage",
        verb="holdfast.lifecycle.data_search:data_search",
        authority="anyone who can read the workspace",
        action="data.list",
        changes=False,
        options=(
            Option(name="text", says="in names, origin, licence, descriptions, messages", argument=True),
            Option(name="owner", says="in the owner's name"),
            Option(name="column", says="the name of a column"),
            Option(name="sensitivity", says="this class at least"),
            Option(name="tag", says="a tag or branch that points at it"),
            Option(name="source", says="the name of a source that has sent rows of it"),
            Option(name="derives", says="beginning of a digest that it derives from, or that derives from it"),
            Option(name="versions", says="look through every version", kind="flag", default=False),
        ),
        example="holdfast data search --column diagnosis --sensitivity confidential",
    ),
    Command(
        words=("data", "coverage"),
        does="report which share of data and artifacts has a provenance that verifies, and what the rest lacks",
        verb="holdfast.lifecycle.data_search:data_coverage",
        authority="anyone who can read the workspace",
        action="data.list",
        changes=False,
    ),
    Command(
        words=("lineage",),
        does="walk from anything on record, or from an answer, to all it derives from and all that derives from it",
        verb="holdfast.lifecycle.lineage_graph:lineage",
        authority="anyone who can read the workspace",
        action="artifacts.read",
        changes=False,
        options=(
            Option(
                name="what",
                says="beginning of a digest, also of a batch of a source; or an answer's correlation id",
                argument=True,
                required=True,
            ),
            Option(name="at", says="when that answer was given, as ISO 8601"),
        ),
    ),
    Command(
        words=("debug", "data"),
        does="say which version of which data made a release's model",
        verb="holdfast.lifecycle.data_questions:which_data",
        authority="anyone who can read the workspace",
        action="registry.read",
        changes=False,
        options=(_ANSWERING,),
    ),
    Command(
        words=("debug", "pipeline"),
        does="say which runs, code, rules and transforms turned the source into what the model learned from",
        verb="holdfast.lifecycle.data_questions:which_pipeline",
        authority="anyone who can read the workspace",
        action="registry.read",
        changes=False,
        options=(_ANSWERING,),
    ),
    Command(
        words=("debug", "difference"),
        does="say what differs between a release and the last one known to work, rows included",
        verb="holdfast.lifecycle.data_questions:what_differs",
        authority="the stage keys",
        action="data.read",
        options=(
            _ANSWERING,
            Option(name="good", says="the release that worked; the baseline before this one if left out"),
        ),
    ),
    Command(
        words=("data", "events"),
        does="tell every stage that ran as OpenLineage events, to a file or to an endpoint",
        verb="holdfast.lifecycle.openlineage:data_events",
        authority="the stage keys",
        action="audit.write",
        options=(
            Option(name="out", says="file to make, an event a line", kind="path"),
            Option(name="url", says="endpoint that takes them, HTTPS or on this machine"),
            Option(
                name="since",
                says="from this position of the ledger on; what an address has not taken yet if left out",
                kind="int",
            ),
        ),
    ),
)
