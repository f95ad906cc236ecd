"""What features leave as evidence: how many, over how many rows, what is missing, and what can tell a model nothing."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from holdfast.core.control import Report
from holdfast.core.evidence import Finding, Measure, Severity, exactly
from holdfast.engines.dataset import Stored
from holdfast.engines.packed import Packed
from holdfast.engines.transform import HASHED, View
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
    rows: Packed
    held_back: tuple[str, ...]
    links: tuple[Link, ...]
    sources: frozenset[str]
    columns: frozenset[str]
    data: Stored
    views: tuple[Opened, ...] = ()


def measure(built: Built) -> Report:
    """Return the counts and the share of missing values, with the view's digest as a fact."""
    names, missing, constants = built.view.names, 0, list[str]()
    for name in names:  # one at a time: the table may be large
        values = built.rows.get_column(name).to_numpy()
        told = values[~np.isnan(values)]
        missing += len(values) - len(told)
        constants += [name] if not len(told) or told.max() == told.min() else []  # also a feature without any value
    constants, unused = _without_unused_buckets(built.view, constants)
    share = wilson(missing, built.rows.height * len(names))
    measures = (
        exactly("features", len(names)),
        exactly("rows", built.rows.height),
        Measure(name="missing_share", value=share.value, low=share.low, high=share.high, n=share.n),
        exactly("constant_features", len(constants), n=len(names)),
        *([exactly("unused_buckets", unused, n=len(names))] if built.view.hashings else []),
    )
    findings = [
        Finding(place=name, severity=Severity.MEDIUM, rule="constant-feature", message="the same value in every row")
        for name in constants
    ] + [
        Finding(place=name, severity=Severity.HIGH, rule="held-back", message="held back as personal; not a feature")
        for name in built.held_back
    ]
    facts = {"view": built.view.digest, "classes": ", ".join(built.view.classes)}
    return Report(measures=measures, findings=tuple(findings), facts=facts)


def _without_unused_buckets(view: View, constants: list[str]) -> tuple[list[str], int]:
    """Return the constant features that are defects, and how many constant ones are but buckets that no run falls into.

    A text whose buckets are all constant tells nothing, and is a defect under its own name.
    """
    of_text = {feature.name: feature.of[0] for feature in view.features if feature.transform == HASHED}
    unused = Counter(of_text[name] for name in constants if name in of_text)
    mute = [text for text, count in unused.items() if count == view.hashings[text].buckets]
    return [*(name for name in constants if name not in of_text), *mute], sum(unused.values())
