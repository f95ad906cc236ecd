"""Lineage: each feature of a table leads to code and to the rows it was computed from, or the gate stays closed."""

from typing import TYPE_CHECKING

from holdfast.core.artifact import Artifact, digest_json
from holdfast.core.control import Report
from holdfast.core.evidence import Finding, Severity, exactly
from holdfast.engines.transform import HASHED, TRANSFORMS, Feature, View
from holdfast.features.links import Link
from holdfast.features.stored import Opened

if TYPE_CHECKING:
    from holdfast.features.evidence import Built


def links_of(view: View, dataset: Artifact, views: tuple[Opened, ...]) -> tuple[Link, ...]:
    """Return where each feature comes from."""
    known = {each.name: each for each in views}
    return tuple(_link(feature, dataset, known, view) for feature in view.features)


def _link(feature: Feature, dataset: Artifact, views: dict[str, Opened], view: View) -> Link:
    name, _, inner = feature.name.partition(".")
    opened = views.get(name)
    if opened is None or inner not in opened.spec.spec.features:
        made = feature if feature.transform != HASHED else [feature, view.hashings[feature.of[0]]]
        version = digest_json(made)
        return Link(
            feature=feature.name, transform=feature.transform, version=version, of=feature.of, source=dataset.digest
        )
    code = opened.events.compiled.row.get(inner) or opened.events.compiled.request[inner]
    columns = (*sorted(code.columns), *opened.spec.spec.entity, opened.spec.spec.event_time)
    return Link(
        feature=feature.name,
        transform=code.code,
        version=opened.spec.digest,
        of=tuple(dict.fromkeys(columns)),
        source=opened.source,
    )


def measure_lineage(built: "Built") -> Report:
    """Follow each feature to its code and its rows, and count those of which a link is missing."""
    links = {link.feature: link for link in built.links}
    broken = [(name, words) for name in built.view.names if (words := _missing(links.get(name), built))]
    findings = tuple(
        Finding(place=name, severity=Severity.HIGH, rule="missing-link", message=words) for name, words in broken
    )
    views = {link.version for link in built.links if "." in link.feature}
    measures = (
        exactly("features_linked", len(built.view.names) - len(broken), n=len(built.view.names)),
        exactly("missing_links", len(broken), n=len(built.view.names)),
    )
    return Report(measures=measures, findings=findings, facts={"views": ", ".join(sorted(views))})


def _missing(link: Link | None, built: "Built") -> str:
    """Return which link of a feature is missing; empty where none is."""
    if link is None:
        return "nothing says where it comes from"
    if link.source not in built.sources:
        return f"its rows {link.source[:19]} are not among what was handed in"
    name, _, inner = link.feature.partition(".")
    opened = next((each for each in built.views if each.name == name), None)
    if opened is not None and inner in opened.spec.spec.features:
        if link.version != opened.spec.spec.digest or link.transform != opened.spec.spec.features[inner].code.strip():
            return "its code is not that of the registered version"
        return ""
    if link.transform not in {*TRANSFORMS, HASHED}:
        return f"there is no transform {link.transform!r}"
    strange = [column for column in link.of if column not in built.columns]
    return f"the data set has no column {strange[0]!r}" if strange else ""
