"""Assess: controls measure a model on the sealed rows; each leaves evidence with 95 % intervals.

Decides what is measured and how; leaves to policies what is good enough. A control that cannot be computed (one class
in the sealed rows, too few of them, a model that does not answer) is failed with its reason, never a pass. Same seed,
same evidence, timings excepted.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from holdfast.assess import baseline as over_baseline
from holdfast.assess import certificate, fairness, latency, quality, robustness, slices
from holdfast.assess.case import Case
from holdfast.assess.sealed import open_case
from holdfast.core.artifact import Artifact
from holdfast.core.control import Control, Result, run
from holdfast.core.evidence import MadeWith
from holdfast.core.ports import Workspace
from holdfast.core.project import Project

CONTROLS: Final = (
    Control(name=quality.NAME, measure=quality.measure),
    Control(name=slices.NAME, measure=slices.measure),
    Control(name=over_baseline.NAME, measure=over_baseline.measure),
    Control(name=robustness.NAME, measure=robustness.measure),
    Control(name=fairness.NAME, measure=fairness.measure),
    Control(name=certificate.NAME, measure=certificate.measure),
    Control(name=latency.NAME, measure=latency.measure),
)


def assess(  # noqa: PLR0913 - the artifacts of one model, by name
    ws: Workspace,
    project: Project,
    *,
    model: Artifact,
    baseline: Artifact,
    split: Artifact,
    features: Artifact,
    made_with: MadeWith,
    test_reads: int = 0,
    controls: Sequence[Control[Case]] = CONTROLS,
) -> Result:
    """Measure a model on the sealed rows of its split.

    The model must have been scanned before: its bytes go into the sandbox here, as a served model's go into the
    gateway.

    Args:
        ws: Where artifacts are stored, the sandbox that models run in, and an empty scratch folder.
        project: The label and its positive class.
        model: The candidate; all evidence is about it.
        baseline: The linear model trained beside it.
        split: Its sealed rows are read.
        features: What the split was made of, for the record.
        made_with: Digests of code and configuration, and the seed of all randomness; the artifacts are added as the
            data.
        test_reads: How many times these sealed rows have been assessed with, this time included; 0 where nobody counts.
        controls: What to measure.

    Raises:
        NotFound: An artifact or a part of it is not in the store.
        NotVerified: An artifact is not what its kind says, or they do not belong together.
    """
    case = open_case(ws, project, model, baseline, split, seed=made_with.seed, test_reads=test_reads)
    used = replace(made_with, data=(model.digest, baseline.digest, split.digest, features.digest))
    return Result(evidence=tuple(run(control, case, model, used) for control in controls))
