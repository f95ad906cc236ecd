"""The table of contents: every stage in order with what it takes, gives and must leave as evidence, and every command.

Read this file first. `STAGES` is the way of a model from rows to a release; `COMMANDS` is everything a person can ask
for, and the command line is made from it. What carries the stages out is in `runner`, what closes the loop from
production back is in `loop`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from holdfast.core.artifact import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step: `verb` is `module:function`, found when the stage runs, so that `--help` loads no numerics."""

    name: str
    verb: str
    takes: tuple[Kind, ...]
    gives: tuple[Kind, ...]
    leaves: tuple[str, ...]  # controls whose evidence must be there afterwards; silence is recorded as failed
    about: Kind  # the artifact the controls speak of
    does: str


STAGES: Final = (
    Stage(
        name="plan",
        verb="holdfast.lifecycle.verbs:plan",
        takes=(Kind.PROJECT,),
        gives=(),
        leaves=("plan.tier/1",),
        about=Kind.PROJECT,
        does="decide how strictly this model is controlled, and why",
    ),
    Stage(
        name="ingest",
        verb="holdfast.lifecycle.verbs:ingest",
        takes=(Kind.SOURCE, Kind.PROJECT),
        gives=(Kind.DATASET, Kind.QUARANTINE),
        leaves=("ingest.contract/1", "ingest.personal/1", "ingest.provenance/1"),
        about=Kind.DATASET,
        does="clean the rows, hold them to the contract, keep personal data out",
    ),
    Stage(
        name="features",
        verb="holdfast.lifecycle.verbs:features",
        takes=(Kind.DATASET, Kind.PROJECT),
        gives=(Kind.FEATURES,),
        leaves=("features.view/1",),
        about=Kind.FEATURES,
        does="compute the declared features, versioned by digest",
    ),
    Stage(
        name="train",
        verb="holdfast.lifecycle.verbs:train",
        takes=(Kind.FEATURES, Kind.RECIPE, Kind.PROJECT),
        gives=(Kind.SPLIT, Kind.MODEL, Kind.BASELINE, Kind.METRICS),
        leaves=("train.sandbox/1", "train.split/1", "train.baseline/1", "train.export/1"),
        about=Kind.MODEL,
        does="train in the sandbox beside a linear baseline; only ONNX leaves",
    ),
    Stage(
        name="scan",
        verb="holdfast.lifecycle.verbs:scan",
        takes=(Kind.MODEL,),
        gives=(),
        leaves=("release.scan/1",),
        about=Kind.MODEL,
        does="scan the model's bytes before anything else opens them",
    ),
    Stage(
        name="assess",
        verb="holdfast.lifecycle.verbs:assess",
        takes=(Kind.MODEL, Kind.BASELINE, Kind.SPLIT, Kind.FEATURES, Kind.PROJECT),
        gives=(),
        leaves=(
            "assess.quality/1",
            "assess.slices/1",
            "assess.baseline/1",
            "assess.robustness/1",
            "assess.fairness/1",
            "assess.latency/1",
        ),
        about=Kind.MODEL,
        does="measure quality, slices, robustness, fairness and latency on the sealed rows",
    ),
    Stage(
        name="release",
        verb="holdfast.lifecycle.verbs:release",
        takes=(
            Kind.MODEL,
            Kind.PROJECT,
            Kind.METRICS,
            Kind.DATASET,
            Kind.FEATURES,
            Kind.SPLIT,
            Kind.RECIPE,
            Kind.SOURCE,
        ),
        gives=(Kind.RELEASE,),
        leaves=("release.package/1", "release.signature/1"),
        about=Kind.RELEASE,
        does="package, list and sign what will be served",
    ),
)

DERIVES: Final[dict[Kind, tuple[Kind, ...]]] = {
    Kind.PROJECT: (),
    Kind.SOURCE: (),
    Kind.RECIPE: (),
    Kind.DATASET: (Kind.SOURCE, Kind.PROJECT),
    Kind.QUARANTINE: (Kind.SOURCE, Kind.PROJECT),
    Kind.FEATURES: (Kind.DATASET, Kind.PROJECT),
    Kind.SPLIT: (Kind.FEATURES,),
    Kind.MODEL: (Kind.FEATURES, Kind.SPLIT, Kind.RECIPE, Kind.PROJECT),
    Kind.BASELINE: (Kind.FEATURES, Kind.SPLIT, Kind.RECIPE, Kind.PROJECT),
    Kind.METRICS: (Kind.FEATURES, Kind.SPLIT, Kind.RECIPE, Kind.PROJECT),
    Kind.RELEASE: (Kind.MODEL, Kind.PROJECT),
}
"""What each kind is derived from; the runner records these edges from what it handed to the stage."""

FOLDERS: Final = frozenset(DERIVES) - {Kind.PROJECT, Kind.SOURCE}
"""Kinds that are folders: their digest is that of a manifest, which names their files."""

OptionKind: TypeAlias = Literal["text", "path", "int", "float", "flag"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One parameter of a command; `argument` makes it positional."""

    name: str
    says: str
    kind: OptionKind = "text"
    argument: bool = False
    required: bool = False
    default: str | int | float | bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something a person can ask for: its words, what it does, and by what authority.

    `opens` says what it is handed: a workspace's control plane, only the project's folder, or nothing.
    """

    words: tuple[str, ...]
    does: str
    verb: str
    authority: Literal["anyone who can read the workspace", "the stage keys", "the owner's key", "the root key", "none"]
    opens: Literal["workspace", "folder", "nothing"] = "workspace"
    options: Sequence[Option] = ()


_WHICH: Final = Option(name="model", says="name of the model; the project's own if left out", argument=True)

COMMANDS: Final = (
    Command(
        words=("init",),
        does="make a workspace: keys, ledger, trust; and a project file where there is none",
        verb="holdfast.app:init",
        authority="the root key",
        opens="folder",
        options=(
            Option(name="owner", says="the person who answers for what is served here"),
            Option(
                name="passphrase-file", says="protect the keys with this passphrase, not a random secret", kind="path"
            ),
        ),
    ),
    Command(
        words=("run",),
        does="carry the project from its raw rows to a signed release",
        verb="holdfast.lifecycle.runner:run",
        authority="the stage keys",
        options=(Option(name="until", says="stop after this stage"),),
    ),
    Command(
        words=("promote",),
        does="approve a release and, if the policy permits, put it into production",
        verb="holdfast.lifecycle.promotion:promote",
        authority="the owner's key",
        options=(
            Option(name="release", says="digest of the release; the newest if left out", argument=True),
            Option(name="reason", says="why, in a sentence that stays on record", required=True),
            Option(name="canary", says="begin with a share of the traffic, and watch", kind="flag", default=False),
        ),
    ),
    Command(
        words=("rollback",),
        does="put the release before this one back into production",
        verb="holdfast.lifecycle.promotion:rollback",
        authority="the owner's key",
        options=(_WHICH, Option(name="reason", says="why, in a sentence that stays on record", required=True)),
    ),
    Command(
        words=("serve",),
        does="run the gateway: answer requests with what is proved, and nothing else",
        verb="holdfast.edge:command",
        authority="none",
        opens="folder",
        options=(
            Option(name="host", says="address to listen on", default="127.0.0.1"),
            Option(name="port", says="port to listen on; 0 for a free one", kind="int", default=8080),
            Option(name="workers", says="worker processes", kind="int", default=1),
            Option(name="ready-file", says="write this file once requests are answered", kind="path"),
        ),
    ),
    Command(
        words=("watch",),
        does="read the gateway's telemetry, measure drift and service levels, and respond",
        verb="holdfast.lifecycle.loop:watch",
        authority="the stage keys",
        options=(Option(name="every", says="go on, looking again every so many seconds", kind="float"),),
    ),
    Command(
        words=("why",),
        does="show the chain of evidence from rows to answer, each link verified",
        verb="holdfast.lifecycle.proof:why",
        authority="anyone who can read the workspace",
        options=(_WHICH, Option(name="html", says="also write it as one self-contained page", kind="path")),
    ),
    Command(
        words=("verify",),
        does="verify blobs, ledger, signatures and routes of this workspace",
        verb="holdfast.lifecycle.verification:verify",
        authority="anyone who can read the workspace",
        options=(Option(name="checkpoint", says="hold the ledger against a checkpoint kept elsewhere", kind="path"),),
    ),
    Command(
        words=("log",),
        does="list what happened, newest last",
        verb="holdfast.lifecycle.records:log",
        authority="anyone who can read the workspace",
        options=(
            Option(name="last", says="how many entries", kind="int", default=20),
            Option(name="about", says="only entries about this digest or name (a prefix will do)"),
        ),
    ),
    Command(
        words=("keys",),
        does="list the keys: role, algorithm, window, custody; never a secret",
        verb="holdfast.lifecycle.records:keys",
        authority="anyone who can read the workspace",
    ),
    Command(
        words=("key", "issue"),
        does="issue an API key for callers of the gateway; it is shown once",
        verb="holdfast.lifecycle.promotion:issue_key",
        authority="the stage keys",
        options=(
            Option(name="client", says="who will use it", argument=True, required=True),
            Option(name="days", says="days until it expires", kind="int", default=30),
        ),
    ),
    Command(
        words=("ledger", "verify"),
        does="check every entry of the ledger, and say which is the first that does not fit",
        verb="holdfast.lifecycle.verification:ledger_verify",
        authority="anyone who can read the workspace",
        options=(
            Option(name="checkpoint", says="a checkpoint kept elsewhere, to detect a rewritten end", kind="path"),
        ),
    ),
    Command(
        words=("ledger", "checkpoint"),
        does="sign a checkpoint to be kept elsewhere",
        verb="holdfast.lifecycle.records:ledger_checkpoint",
        authority="the stage keys",
        options=(Option(name="out", says="file to write", kind="path", required=True),),
    ),
    Command(
        words=("ledger", "rebuild"),
        does="make every table that queries read anew from the ledger",
        verb="holdfast.lifecycle.records:ledger_rebuild",
        authority="the stage keys",
    ),
    Command(
        words=("policy", "accept"),
        does="let the root key accept a policy file, so that it may decide here",
        verb="holdfast.lifecycle.promotion:accept_policy",
        authority="the root key",
        options=(Option(name="file", says="the policy", kind="path", argument=True, required=True),),
    ),
    Command(
        words=("sandbox",),
        does="say which sandbox tiers this machine offers, and what is missing for the others",
        verb="holdfast.app:sandbox",
        authority="none",
        opens="nothing",
    ),
    Command(
        words=("demo",),
        does="the whole way in one minute: a model from raw rows to a guarded endpoint, and five attacks that fail",
        verb="holdfast.faces.demo:demo",
        authority="none",
        opens="nothing",
        options=(
            Option(name="into", says="folder to work in; a new temporary one if left out", kind="path"),
            Option(name="keep", says="keep the folder afterwards", kind="flag", default=False),
        ),
    ),
)
