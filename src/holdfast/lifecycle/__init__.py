"""The table of contents: every stage in order with what it takes, gives and must leave as evidence, and every command.

Read this file first. `STAGES` is the way of a model from rows to a release; `COMMANDS` is everything a person can ask
for, and the command line is made from it. What carries the stages out is in `runner`, what closes the loop from
production back is in `loop`.
"""

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Final

from holdfast.core.artifact import Kind
from holdfast.lifecycle.commands import COMMANDS, ROOMS, Command, Option

__all__ = [
    "COMMANDS",
    "DERIVES",
    "FOLDERS",
    "OUTSIDE",
    "ROOMS",
    "STAGES",
    "Command",
    "Option",
    "Stage",
    "parents_of",
    "stages_of",
]


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
    holds_rows: bool = False  # what it makes holds rows of the data set, and is erased with it


STAGES: Final = (
    Stage(
        name="plan",
        verb="holdfast.lifecycle.verbs:plan",
        takes=(Kind.PROJECT,),
        gives=(),
        leaves=("plan.tier/1", "plan.sensitivity/1", "plan.proportion/1"),
        about=Kind.PROJECT,
        does="decide how strictly this model is controlled, and why",
    ),
    Stage(
        name="ingest",
        verb="holdfast.lifecycle.verbs:ingest",
        takes=(Kind.SOURCE, Kind.PROJECT),
        gives=(Kind.DATASET, Kind.QUARANTINE),
        leaves=(
            "ingest.contract/1",
            "ingest.checks/1",
            "ingest.quality/1",
            "ingest.personal/1",
            "ingest.provenance/1",
            "ingest.screening/1",
            "ingest.outliers/1",
            "ingest.history/1",
        ),
        about=Kind.DATASET,
        does="clean the rows, hold them to the contract, keep personal data out",
        holds_rows=True,
    ),
    Stage(
        name="intake",
        verb="holdfast.lifecycle.verbs:intake",
        takes=(Kind.DATASET, Kind.PROJECT),
        gives=(),
        leaves=("plan.intake/1", "plan.flags/1"),
        about=Kind.PROJECT,
        does="ask the data whether learning is needed, whether they are the right ones, and what success would be",
    ),
    Stage(
        name="features",
        verb="holdfast.lifecycle.verbs:features",
        takes=(Kind.DATASET, Kind.PROJECT),
        gives=(Kind.FEATURES,),
        leaves=("features.view/1", "features.personal/1", "features.parity/1", "features.links/1"),
        about=Kind.FEATURES,
        does="compute the declared features, versioned by digest",
        holds_rows=True,
    ),
    Stage(
        name="train",
        verb="holdfast.lifecycle.verbs:train",
        takes=(Kind.FEATURES, Kind.RECIPE, Kind.PROJECT),
        gives=(Kind.SPLIT, Kind.MODEL, Kind.BASELINE, Kind.METRICS),
        leaves=("train.sandbox/1", "train.split/1", "train.baseline/1", "train.export/1"),
        about=Kind.MODEL,
        does="train in the sandbox beside a linear baseline; only ONNX leaves",
        holds_rows=True,
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
            "assess.certificate/1",
            "assess.latency/1",
        ),
        about=Kind.MODEL,
        does="measure quality, slices, robustness, fairness, what poison is withstood, and latency on the sealed rows",
    ),
    Stage(
        name="budget",
        verb="holdfast.lifecycle.verbs:budget",
        takes=(Kind.MODEL, Kind.FEATURES, Kind.DATASET, Kind.PROJECT),
        gives=(),
        leaves=("plan.budget/1",),
        about=Kind.MODEL,
        does="hold what was measured against the limits that the project declares",
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
        leaves=(
            "release.package/1",
            "release.signature/1",
            "release.version/1",
            "release.secrets/1",
            "release.licences/1",
        ),
        about=Kind.RELEASE,
        does="package, list and sign what will be served",
    ),
)

_TAKEN: Final = Stage(
    name="train",
    verb="holdfast.lifecycle.verbs:take_outside",
    takes=(Kind.FEATURES, Kind.FOREIGN, Kind.PROJECT),
    gives=(Kind.SPLIT, Kind.MODEL, Kind.BASELINE, Kind.METRICS),
    leaves=("train.foreign/1", "train.split/1", "train.baseline/1"),
    about=Kind.MODEL,
    does="put a model from outside in the place of one trained here, beside a linear baseline on our rows",
    holds_rows=True,
)
OUTSIDE: Final = tuple(
    _TAKEN
    if stage.name == _TAKEN.name
    else replace(stage, takes=tuple(Kind.FOREIGN if kind is Kind.RECIPE else kind for kind in stage.takes))
    for stage in STAGES
)
"""The way of a model from outside that was admitted: nothing is trained, and all the rest is asked of it as well."""

DERIVES: Final[dict[Kind, tuple[Kind, ...]]] = {
    Kind.PROJECT: (),
    Kind.SOURCE: (),
    Kind.RECIPE: (),
    Kind.DATASET: (Kind.SOURCE, Kind.PROJECT),
    Kind.QUARANTINE: (Kind.SOURCE, Kind.PROJECT),
    Kind.VIEWS: (),  # the sources it holds: the inputs record them, which know how many there are
    Kind.FEATURES: (Kind.DATASET, Kind.PROJECT),
    Kind.SPLIT: (Kind.FEATURES,),
    Kind.MODEL: (Kind.FEATURES, Kind.SPLIT, Kind.RECIPE, Kind.PROJECT),
    Kind.BASELINE: (Kind.FEATURES, Kind.SPLIT, Kind.RECIPE, Kind.PROJECT),
    Kind.METRICS: (Kind.FEATURES, Kind.SPLIT, Kind.RECIPE, Kind.PROJECT),
    Kind.RELEASE: (Kind.MODEL, Kind.PROJECT),
    Kind.FOREIGN: (),
}
"""What each kind is derived from; the runner records these edges from what it handed to the stage."""


def parents_of(kind: Kind, known: Container[Kind]) -> tuple[Kind, ...]:
    """Return the kinds that one derives from in a run that knows these.

    A model from outside has no recipe, and features derive from views where the project uses some.
    """
    outside = Kind.FOREIGN in known
    more = (Kind.VIEWS,) if kind is Kind.FEATURES and Kind.VIEWS in known else ()
    return (*(Kind.FOREIGN if outside and each is Kind.RECIPE else each for each in DERIVES[kind]), *more)


def stages_of(*, outside: bool, views: bool) -> tuple[Stage, ...]:
    """Return the way of a project: whether its model comes from outside, and whether it uses feature views."""
    stages = OUTSIDE if outside else STAGES
    if not views:
        return stages
    takers = {"features", "release"}
    return tuple(replace(each, takes=(*each.takes, Kind.VIEWS)) if each.name in takers else each for each in stages)


FOLDERS: Final = frozenset(DERIVES) - {Kind.PROJECT, Kind.SOURCE}
"""Kinds that are folders: their digest is that of a manifest, which names their files."""
