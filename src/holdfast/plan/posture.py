"""Postures: seven layers of a deployment, what must be in force in each, and the signals that each emits.

What no control here provides is named all the same, and is red until one does: a layer is never green by silence.
"""

from typing import Final

from holdfast.plan.lines import Line

LAYERS: Final = ("L1 edge", "L2 network", "L3 service", "L4 data", "L5 platform", "L6 pipeline", "L7 observability")
_EDGE, _NETWORK, _SERVICE, _DATA, _PLATFORM, _PIPELINE, _OBSERVABILITY = LAYERS


def _signal(group: str, claim: str, *needs: str) -> Line:
    return Line(group=group, claim=claim, needs=needs, sort="signal")


POSTURE: Final = (
    Line(group=_EDGE, claim="signed models", needs=("release.signature/1", "key:release", "routes:signed")),
    Line(group=_EDGE, claim="encrypted telemetry", needs=("telemetry:encrypted",)),
    Line(group=_EDGE, claim="local anomaly detection", needs=("guard:valid-input",)),
    _signal(_EDGE, "latency", "watch.sli/1"),
    _signal(_EDGE, "tamper alerts", "events:security"),
    _signal(_EDGE, "model version", "watch:telemetry"),
    Line(group=_NETWORK, claim="authentication", needs=("guard:authenticated",)),
    Line(group=_NETWORK, claim="mutual TLS", needs=("network:mtls",)),
    Line(group=_NETWORK, claim="mesh policy", needs=("network:mesh-policy",)),
    _signal(_NETWORK, "denied connections", "network:denials"),
    _signal(_NETWORK, "authentication failures", "events:security"),
    Line(group=_SERVICE, claim="input sanitising", needs=("guard:valid-input",)),
    Line(group=_SERVICE, claim="rate limits", needs=("guard:within-rate",)),
    Line(group=_SERVICE, claim="content checks", needs=("guard:within-size", "guard:coarse-output")),
    _signal(_SERVICE, "request rate", "watch.sli/1"),
    _signal(_SERVICE, "error spikes", "watch.sli/1"),
    _signal(_SERVICE, "model alerts", "watch.drift/1", "watch.predictions/1"),
    Line(group=_DATA, claim="access control", needs=("access:data",)),
    Line(group=_DATA, claim="search for personal data", needs=("ingest.personal/1", "features.personal/1")),
    Line(group=_DATA, claim="lineage", needs=("ingest.provenance/1", "features.view/1", "ledger:chain")),
    Line(group=_DATA, claim="masking", needs=("plan.sensitivity/1",)),
    Line(group=_DATA, claim="catalogue", needs=("inventory:complete",)),
    _signal(_DATA, "access logs", "access:data"),
    _signal(_DATA, "alerts of personal data", "ingest.personal/1"),
    _signal(_DATA, "data drift", "watch.drift/1"),
    Line(group=_PLATFORM, claim="secrets", needs=("keys:encrypted",)),
    Line(group=_PLATFORM, claim="runtime isolation", needs=("train.sandbox/1",)),
    Line(group=_PLATFORM, claim="signed images", needs=("platform:images",)),
    _signal(_PLATFORM, "pod restarts", "platform:restarts"),
    _signal(_PLATFORM, "privilege changes", "platform:privileges"),
    Line(group=_PIPELINE, claim="model signing", needs=("release.signature/1", "key:release")),
    Line(group=_PIPELINE, claim="reproducible builds", needs=("pipeline:reproduced",)),
    Line(group=_PIPELINE, claim="tests", needs=("assess.quality/1", "assess.slices/1", "assess.robustness/1")),
    _signal(_PIPELINE, "pipeline failures", "ledger:chain"),
    _signal(_PIPELINE, "policy violations", "policy:accepted", "ledger:chain"),
    Line(group=_OBSERVABILITY, claim="model metrics", needs=("watch.sli/1", "key:watch")),
    Line(group=_OBSERVABILITY, claim="drift detectors", needs=("watch.drift/1", "watch.predictions/1")),
    Line(group=_OBSERVABILITY, claim="audit logs", needs=("ledger:chain", "key:ledger")),
    _signal(_OBSERVABILITY, "service levels for dashboards", "watch:telemetry", "watch.sli/1"),
    _signal(_OBSERVABILITY, "anomaly alerts", "watch.drift/1"),
)
"""PLAN-16 to PLAN-22 as a table."""
