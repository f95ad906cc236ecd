"""What a training leaves as evidence: the sandbox it ran in, the split, the baseline beside it, and the export."""

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from holdfast.core.artifact import canonical, digest_bytes
from holdfast.core.control import NotApplicable, Report
from holdfast.core.evidence import Finding, Measure, Severity, exactly
from holdfast.core.ports import TIERS
from holdfast.maths.intervals import wilson

if TYPE_CHECKING:  # the jobs inside the sandbox load this module, and need none of the tables that a training holds
    from holdfast.train.training import Training

FOREIGN: Final = "foreign"  # the tier of a model that was trained elsewhere: below every tier of those trained here
UNKNOWN: Final = ("code", "rows", "split", "environment")  # of its training: nobody here can say
SECCOMP_MODES: Final = {0: "none", 1: "strict", 2: "filter"}  # seccomp(2)


def sandbox(training: "Training") -> Report:
    """Return what the sandbox let a job do, tried from inside one; timings of the recipe's own job."""
    job, found = training.candidate.job, training.reference.confinement
    if job is None:
        raise ValueError("nothing was trained here")
    measures = (
        exactly("tier_rank", TIERS.index(job.tier) + 1),
        exactly("network_denied", 0 if found.network_open else 1, n=found.network_tried),
        exactly("undeclared_paths_readable", len(found.paths_readable), n=found.paths_tried),
        exactly("unexpected_files", training.candidate.ignored_count),
    )
    findings = [
        Finding(
            place=way, severity=Severity.CRITICAL, rule="network-open", message="a job could open this to a network"
        )
        for way in found.network_open
    ] + [
        Finding(
            place="sandbox",
            severity=Severity.CRITICAL,
            rule="undeclared-path",
            message="a job could read what it was not given",
        )
        for _ in found.paths_readable
    ]
    findings += [
        Finding(place=name, severity=Severity.INFO, rule="unexpected-file", message="left by the recipe, and ignored")
        for name in training.candidate.ignored
    ]
    timings = [exactly("train_wall_s", job.wall_s, unit="s")]
    timings += [exactly("train_cpu_s", job.cpu_s, unit="s")] if job.cpu_s is not None else []
    facts = {
        "tier": job.tier.value,
        "kernel": found.kernel,
        "seccomp": SECCOMP_MODES.get(found.seccomp, str(found.seccomp)),
        "no_new_privileges": "yes" if found.no_new_privileges else "no",
        "environment": digest_bytes(training.reference.environment),
    }
    return Report(measures=measures, findings=tuple(findings), timings=tuple(timings), facts=facts)


def foreign(training: "Training") -> Report:
    """Return how a model from outside stands in the place of one trained here, in the tier `foreign`: what is unknown.

    Raises:
        ValueError: It was trained here.
    """
    taken = training.taken
    if taken is None:
        raise ValueError("it was trained here")
    gaps = np.abs(taken.answered - training.validation_scores)
    served = digest_bytes(training.candidate.document)
    measures = (
        exactly("parity_max_abs", float(gaps.max()), n=len(gaps)),
        exactly("bytes_kept", served == taken.admitted),
        exactly("unknown", len(UNKNOWN)),
    )
    finding = Finding(
        place="training",
        severity=Severity.LOW,
        rule="foreign.unknown",
        message=f"trained elsewhere: nobody here can say its {', '.join(UNKNOWN)}, nor that it never saw our test rows",
    )
    facts = {
        "tier": FOREIGN,
        "foreign": taken.foreign,
        "converted": taken.admitted,
        "served": served,
        "order": ", ".join(map(str, taken.order)),
        "unknown": ", ".join(UNKNOWN),
    }
    return Report(measures=measures, findings=(finding,), facts=facts)


def split(training: "Training") -> Report:
    """Return the sizes of the sides, and what passes between them: shared ids, and sealed rows that were also seen.

    Of models that vote also how many subsets there are, and the rows of the smallest.
    """
    sides = training.sides
    findings: tuple[Finding, ...] = ()
    if sides.repeated:
        words = (
            f"{sides.repeated} of {sides.test_rows} sealed rows have the features of a row that was seen in training"
        )
        findings = (Finding(place="test.parquet", severity=Severity.MEDIUM, rule="repeated-rows", message=words),)
    measures: tuple[Measure, ...] = (
        exactly("train_rows", len(sides.train.labels)),
        exactly("validation_rows", len(sides.validation.labels)),
        exactly("test_rows", sides.test_rows),
        exactly("overlap_ids", sides.overlap),
        exactly("duplicate_rows_across", sides.repeated, n=sides.test_rows),
    )
    facts = {"split": sides.artifact.digest, "sealed": sides.sealed, "seed": str(training.project.train.seed)}
    voters = training.voters
    if voters is not None:
        measures += (exactly("subsets", len(voters.rows)), exactly("smallest_subset_rows", min(voters.rows)))
        facts |= {
            "subsets": "sha256 of a row's features, modulo their number",
            "voters": digest_bytes(canonical(voters.documents)),
        }
    return Report(measures=measures, findings=findings, facts=facts)


def baseline(training: "Training") -> Report:
    """Return that a linear baseline was trained beside the candidate, and how it does on the rows to tune on."""
    labels = training.sides.validation.labels
    scores = training.reference.scores[len(training.sides.train.labels) :]
    right = wilson(int((scores.argmax(axis=1) == labels).sum()), labels.size)
    measures = (
        exactly("baseline_trained", 1),
        Measure(name="baseline_validation_accuracy", value=right.value, low=right.low, high=right.high, n=right.n),
    )
    facts = {"model": "logistic regression on standardised features", "onnx": digest_bytes(training.reference.document)}
    return Report(measures=measures, facts=facts)


def export(training: "Training") -> Report | NotApplicable:
    """Return how far the exported model's answers are from the estimator's, over the parity rows.

    Rows with values missing on purpose count to `parity_max_abs` where the project's rows have missing values too, and
    are reported apart as `parity_missing_max_abs` wherever the estimator answers them. Of models that vote, each is
    asked about its own subset; `votes_max_abs` is how far the one model's answers are from their votes, counted again.

    Raises:
        ValueError: The estimator refused validation rows, so that there is nothing to compare.
    """
    estimated = training.candidate.estimated
    if estimated is None:
        return NotApplicable(reason="the recipe returned ONNX itself: there is no other model to compare it with")
    answered, whole = training.answered, training.whole
    if not answered[:whole].all():
        raise ValueError(f"the estimator refused {int((~answered[:whole]).sum())} of {whole} validation rows")
    gaps = np.abs(estimated[answered] - training.exported).max(axis=1)
    natural, holed = gaps[:whole], gaps[whole:]
    counted = gaps if _has_missing(training) else natural
    measures = [exactly("parity_max_abs", float(counted.max()), n=counted.size)]
    measures += [exactly("parity_missing_max_abs", float(holed.max()), n=holed.size)] if holed.size else []
    voters, rows = training.voters, "validation"
    if voters is not None:
        measures.append(exactly("votes_max_abs", voters.gap, n=len(training.sides.validation.labels)))
        rows = "train and validation of each subset, by the model that learned from it"
    return Report(measures=tuple(measures), facts={"rows": rows, "onnx": digest_bytes(training.candidate.document)})


def _has_missing(training: "Training") -> bool:
    rows: tuple[NDArray[np.float32], ...] = (training.sides.train.features, training.sides.validation.features)
    return any(bool(np.isnan(side).any()) for side in rows)
