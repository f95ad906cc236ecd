"""OTLP/HTTP in JSON: spans as an ExportTraceServiceRequest ("JSON Protobuf Encoding" of OTLP, hexadecimal ids)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from holdfast.serve.tracing import Span

SCOPE: Final = "holdfast.gateway"
_SERVER, _INTERNAL, _ERROR = 2, 1, 2


def export(spans: Sequence[Span], resource: Mapping[str, str], version: str) -> bytes:
    """Return the body that tells a collector of spans.

    Args:
        spans: Of one gateway.
        resource: What is told of the gateway itself.
        version: Of this package.
    """
    told = {
        "resource": {"attributes": _attributes(resource)},
        "scopeSpans": [{"scope": {"name": SCOPE, "version": version}, "spans": [_span(each) for each in spans]}],
    }
    return json.dumps({"resourceSpans": [told]}).encode()


def _span(span: Span) -> dict[str, Any]:
    told: dict[str, Any] = {
        "traceId": span.trace,
        "spanId": span.span,
        "name": span.name,
        "kind": _SERVER if span.name == "infer" else _INTERNAL,
        "startTimeUnixNano": str(span.begin_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": _attributes(span.attributes),
    }
    if span.parent:
        told["parentSpanId"] = span.parent
    if span.failed:
        told["status"] = {"code": _ERROR}
    return told


def _attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in attributes.items() if value not in ("", [], None)]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, str):
        return {"stringValue": value}
    return {"arrayValue": {"values": [_value(each) for each in value]}}
