"""From `[serving]` of the project file to the guards that a route table lists, in the order in which they stand."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from holdfast.core.approval import seconds
from holdfast.core.endpoint import Detectors, Quota, Serving, Spend, Texts
from holdfast.core.project import Project
from holdfast.core.routes import GuardSpec
from holdfast.core.sensitivity import WITHHELD, of_model

SENSITIVE_DECIMALS: Final = 2  # of an answer by a model whose data are confidential or personal
MAX_BODY: Final = 1 << 20  # bytes of one request; 256 rows of a few hundred features fit


def guards_of(project: Project, releases: Iterable[Project] = ()) -> tuple[GuardSpec, ...]:
    """Return the guards of a project's endpoint, cheap ones first; their order is the gateway's.

    Args:
        project: What the endpoint's terms are.
        releases: The projects that its releases were made from, whose views are looked up; its own if left out.
    """
    fine = of_model(project) not in WITHHELD  # else finer probabilities would tell who was among the rows
    views = _views([project, *releases])
    found = (_spec(name, settings) for name, settings in named_guards(project.serving, fine=fine, views=views))
    return tuple(spec for spec in found if spec is not None)


def _views(projects: Iterable[Project]) -> dict[str, dict[str, Any]]:
    """Return what it takes to look up the views that projects use, by version."""
    from holdfast.engines.expressions import parse

    found: dict[str, dict[str, Any]] = {}
    for project in projects:
        for name in dict.fromkeys(each.partition(".")[0] for each in project.features.use):
            view = project.features.views[name]
            sorts = {feature: parse(each.code, view.columns).sort for feature, each in view.features.items()}
            found[view.digest] = {
                "view": name,
                "entity": list(view.entity),
                "ttl_us": view.ttl_us,
                "zone": view.zone,
                "stored": sorted(feature for feature, sort in sorts.items() if sort == "row"),
                "request": {feature: view.features[feature].code for feature in sorts if sorts[feature] == "request"},
            }
    return found


def _spec(name: str, settings: dict[str, Any] | None) -> GuardSpec | None:
    return None if settings is None else GuardSpec(name=name, configuration=settings)


def named_guards(
    serving: Serving, *, fine: bool, views: Mapping[str, dict[str, Any]] | None = None
) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield every guard with its settings, or with None where the project asks for none."""
    window = serving.replay_window_s
    yield "within-size", {"max_bytes": MAX_BODY}
    yield "clean-request", {"hosts": list(serving.hosts)} if serving.hosts else {}
    yield "authenticated", {}
    yield "fresh-request", {"window_s": window} if window else None
    yield "within-rate", _rate(serving)
    yield from _streams(serving.detectors)
    yield "within-concurrency", {"most": serving.concurrent} if serving.concurrent else None
    online = {"missing": serving.online.missing, "budget_ms": serving.online.budget_ms, "views": views}
    yield "looked-up-features", online if views else None
    yield "valid-input", {"max_rows": serving.max_rows}
    yield from _wording(serving.texts)
    yield "within-quota", _quota(serving, serving.quota) if serving.quota else None
    yield "within-spend", _spend(serving, serving.spend) if serving.spend else None
    yield from _detectors(serving)
    yield "coarse-output", _coarse(serving, fine=fine)
    yield "noised-output", _noise(serving)
    yield "grouped-output", _group(serving)
    yield "within-bounds", msgspec.to_builtins(serving.commands) if serving.commands else None


def _wording(asked: Texts | None) -> Iterator[tuple[str, dict[str, Any] | None]]:
    if asked is None:
        return
    if asked.injection != "off":
        yield "prompt-injection", {"threshold": asked.threshold, "action": asked.injection}
    if (asked.content, asked.answers) != ("off", "off"):
        looked_for = {"kinds": list(asked.kinds), "words": list(asked.words)}
        yield "text-content", looked_for | {"input": asked.content, "output": asked.answers}


def _streams(asked: Detectors | None) -> Iterator[tuple[str, dict[str, Any] | None]]:
    if asked is not None and asked.stream_anomaly != "off":
        yield "stream-anomaly", {"reaction": _reaction(asked, asked.stream_anomaly)}


def _detectors(serving: Serving) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield the detectors that look at rows; what squeezes them stands last, so that the others see what came."""
    asked = serving.detectors
    if asked is None:
        return
    if asked.query_sequence != "off":
        yield "query-sequence", {"reaction": _reaction(asked, asked.query_sequence)}
    if asked.extraction != "off":
        budget: dict[str, Any] = {"rows": asked.different_rows, "period_s": float(seconds(asked.period))}
        # Said with a word before it: a group is never taken for the caller of the same name, who is one of his own.
        groups = {name: f"group {own.group}" for name, own in serving.clients.items() if own.group is not None}
        budget |= {"groups": groups} if groups else {}
        yield "extraction", budget | {"reaction": _reaction(asked, asked.extraction)}
    if asked.adversarial_input != "off":
        yield "adversarial-input", {"false_alarms": float(asked.false_alarms), "action": asked.adversarial_input}
    if asked.squeeze_levels:
        yield "squeezed-input", {"levels": asked.squeeze_levels}


def _reaction(asked: Detectors, action: str) -> dict[str, Any]:
    return {"action": action, "lasts_s": float(seconds(asked.lasts))}


def _together(serving: Serving) -> dict[str, Any]:
    """Return how limits hold among several machines."""
    return {"machines": serving.machines, "apart": serving.apart} if serving.machines > 1 else {}


def _rate(serving: Serving) -> dict[str, Any]:
    known = {
        name: {"rate_per_s": own.rate_per_s or serving.rate_per_s, "burst": own.burst or serving.burst}
        for name, own in serving.clients.items()
        if own.rate_per_s is not None or own.burst is not None
    }
    own = {"clients": known} if known else {}
    return {"rate_per_s": serving.rate_per_s, "burst": serving.burst} | own | _together(serving)


def _quota(serving: Serving, quota: Quota) -> dict[str, Any]:
    known = {
        name: {
            "rows": quota.rows if own.rows is None else own.rows,
            "rows_ever": quota.rows_ever if own.rows_ever is None else own.rows_ever,
        }
        for name, own in serving.clients.items()
        if own.rows is not None or own.rows_ever is not None
    }
    period_s = float(seconds(quota.period))
    return {"rows": quota.rows, "rows_ever": quota.rows_ever, "period_s": period_s, "clients": known} | _together(
        serving
    )


def _spend(serving: Serving, spend: Spend) -> dict[str, Any]:
    return {
        "per_call": spend.per_call,
        "per_row": spend.per_row,
        "cap": spend.cap,
        "period_s": float(seconds(spend.period)),
        "alert_at": spend.alert_at,
        "clients": {name: own.spend for name, own in serving.clients.items() if own.spend is not None},
    } | _together(serving)


def _coarse(serving: Serving, *, fine: bool) -> dict[str, Any]:
    decimals = serving.round_decimals if fine else min(serving.round_decimals, SENSITIVE_DECIMALS)
    bare = {"label_only": True} if serving.label_only else {}
    top = {"top": serving.top_classes} if serving.top_classes else {}
    return {"decimals": decimals} | bare | top


def _noise(serving: Serving) -> dict[str, Any] | None:
    noise = serving.noise
    if noise is None:
        return None
    return {
        "epsilon": noise.epsilon,
        "budget": noise.budget,
        "budget_all": noise.budget_all,
        "period_s": float(seconds(noise.period)) if noise.period else 0.0,
        "answer": noise.answer,
        "protects": noise.protects,
    }


def _group(serving: Serving) -> dict[str, Any] | None:
    if serving.group is None:
        return None
    apart_s = float(seconds(serving.group.apart)) if serving.group.apart else 0.0
    return {"smallest": serving.group.smallest, "apart_s": apart_s}
