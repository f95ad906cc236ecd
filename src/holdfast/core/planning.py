"""What a project declares about its purpose: the intake's answers, the success contract and the budget of constraints.

Declarations only. What each of them is worth is measured by `holdfast.plan` against data, evidence and the ledger.
"""

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

Words: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1000)]  # characters; a claim that is longer is an essay
Rate: TypeAlias = Annotated[float, Meta(gt=0, le=1_000_000_000)]  # finite: a limit without end would be none
Least: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Part: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Obligation: TypeAlias = Literal["licence", "no-personal-values", "fairness-measured", "confined-training"]


class Sensitivity(StrEnum):
    """How much harm it does when a value gets out; later members are more sensitive."""

    SYNTHETIC = "synthetic"
    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    PERSONAL = "personal"


CLASSES: Final = tuple(Sensitivity)
"""The classes from the least sensitive to the most."""


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What somebody claims, and the measure that must stand behind it: `stage.check/major measure`."""

    claim: Words
    evidence: Words


class Intake(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The three questions before any work: is learning needed, is the right data held, can success be measured."""

    question: Words
    needed: Part  # the balanced accuracy below which an answer is of no use
    ml_needed: Answer
    right_data: Answer
    measurable: Answer
    min_rows: Least = 100
    min_class_rows: Least = 20  # of the rarer of the positive class and the rest
    min_slice_rows: Least = 10
    max_missing: Part = 0.2


class Metric(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One measure of success: where it is read from, and its target."""

    source: Words  # `stage.check/major measure`, or `data:column`
    at_least: float | None = None
    at_most: float | None = None
    meaning: str = ""


class Technical(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether the model works."""

    accuracy: Metric | None = None
    latency: Metric | None = None
    throughput: Metric | None = None


class Business(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether it is worth anything to anybody."""

    revenue: Metric | None = None
    savings: Metric | None = None
    satisfaction: Metric | None = None


class Operational(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether it can be kept running."""

    uptime: Metric | None = None
    upkeep: Metric | None = None
    error_rate: Metric | None = None


class Success(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The success contract: at least one metric in each of three families."""

    technical: Technical
    business: Business
    operational: Operational

    def metrics(self) -> dict[str, Metric]:
        """Return every declared metric by `family.name`."""
        families = (("technical", self.technical), ("business", self.business), ("operational", self.operational))
        return {
            f"{family}.{field}": metric
            for family, holder in families
            for field in holder.__struct_fields__
            if (metric := getattr(holder, field)) is not None
        }


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits that a model must keep to be promoted: one on each of latency, scale, cost, compliance, explainability."""

    latency_p95_ms: Rate  # of one row, the model alone
    rows_per_s: Rate  # that one worker must be able to answer
    cost_per_million_rows: Rate  # of computing answers, in the currency of `cpu_hour_price`
    cpu_hour_price: Rate
    compliance: tuple[Obligation, ...]
    max_inputs: Least  # that somebody must look at to explain one answer


def success_faults(success: Success) -> Iterator[tuple[str, str, str]]:
    """Yield what types cannot say about a success contract: the key, what is wrong, what would be right."""
    families = {name.partition(".")[0] for name in success.metrics()}
    for family in success.__struct_fields__:
        if family not in families:
            names = ", ".join(getattr(success, family).__struct_fields__)
            yield f"success.{family}", f"the success contract has no {family} metric", f"at least one of {names}"
    for name, metric in success.metrics().items():
        bounds = [bound for bound in (metric.at_least, metric.at_most) if bound is not None]
        if not bounds or not all(math.isfinite(bound) for bound in bounds):
            yield f"success.{name}", f"{name} has no target", "a finite at_least or at_most"


def source_of(text: str) -> tuple[str, str]:
    """Return a reference as (control, measure); a column of the data is of the control `data`.

    >>> source_of("assess.quality/1 auc"), source_of("data:visits"), source_of("a belief")
    (('assess.quality/1', 'auc'), ('data', 'visits'), ('', ''))
    """
    if text.startswith("data:"):
        return "data", text.removeprefix("data:")
    control, _, measure = text.partition(" ")
    return (control, measure) if "/" in control and measure else ("", "")
