"""What features leave as evidence: how many, over how many rows, what is missing, and what can tell a model nothing."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from holdfast.core.control import Report
from holdfast.core.evidence import Finding, Measure, Severity, exactly
from holdfast.engines.dataset import Dataset
from holdfast.engines.transform import View
from holdfast.features.links import Link
from holdfast.features.stored import Opened
from holdfast.maths.intervals import wilson


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What the controls look at.

    Attributes:
        view: The features, in order.
        rows: The table as stored.
        held_back: Columns that never came.
        links: Where each feature comes from, as stored.
        sources: Digests of what there was to come from.
        columns: The data set's feature columns.
        data: The data set.
        views: The registered views that were used, with their events.
    """

    view: View
    rows: pl.DataFrame
    held_back: tuple[str, ...]
    links: tuple[Link, ...]
    sources: frozenset[str]
    columns: frozenset[str]
    data: Dataset
    views: tuple[Opened, ...] = ()


def measure(built: Built) -> Report:
    """Return the counts and the share of missing values, with the view's digest as a fact."""
    values = built.rows.select(built.view.names).to_numpy()  # shape (n, features)
    missing = np.isnan(values)
    share = wilson(int(missing.sum()), values.size)
    low, high = (np.where(missing, empty, values) for empty in (np.inf, -np.inf))
    constant = ~(high.max(axis=0) > low.min(axis=0))  # a feature without any value is constant too
    measures = (
        exactly("features", values.shape[1]),
        exactly("rows", values.shape[0]),
        Measure(name="missing_share", value=share.value, low=share.low, high=share.high, n=share.n),
        exactly("constant_features", int(constant.sum()), n=values.shape[1]),
    )
    constants = [name for name, is_constant in zip(built.view.names, constant, strict=True) if is_constant]
    findings = [
        Finding(place=name, severity=Severity.MEDIUM, rule="constant-feature", message="the same value in every row")
        for name in constants
    ] + [
        Finding(place=name, severity=Severity.HIGH, rule="held-back", message="held back as personal; not a feature")
        for name in built.held_back
    ]
    facts = {"view": built.view.digest, "classes": ", ".join(built.view.classes)}
    return Report(measures=measures, findings=tuple(findings), facts=facts)
