"""A served model described in OpenAPI 3.1: its own inputs with their ranges, its classes, and how refusals look.

The ranges are the ones that the guard `valid-input` enforces, margin included: what the schema of `/predict` allows is
answered, and what it forbids is refused. The shape of a tensor and the number of its values belong together in a way
that JSON Schema cannot say.

Where features can be looked up, a call may be of either kind: whole, or with the entity in the place of what it leaves
out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from holdfast.core.schema import Field, Online, Signature, entities_of, numbers_of, texts_of
from holdfast.serve.given import ENTITY, MOMENT
from holdfast.serve.guards.lookup import MAX_ENTITY, MOST_ROWS
from holdfast.serve.protocol import INPUT, LABEL, OUTPUTS, PROBABILITIES
from holdfast.serve.tensors import AS_JSON, BYTES

OPENAPI: Final = "3.1.0"
_SECURITY: Final = ({"bearer": ()}, {"key": ()})
_REFUSALS: Final[Mapping[str, str]] = {
    "400": "the request is malformed, or does not fit the model's signature",
    "401": "no valid API key, token or certificate",
    "403": "this client may not do this, or the request is not signed, not recent, or repeated",
    "404": "there is no such model or version",
    "405": "the method is not allowed here",
    "408": "the request took too long to arrive",
    "413": "the request is too large",
    "415": "the body is encoded",
    "429": "too many requests, or a budget is used up; Retry-After says when to come back",
    "503": "it cannot answer now",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a description says of one release."""

    model: str
    version: str
    signature: Signature
    low: Sequence[float]  # of each input in order: the least value that is answered
    high: Sequence[float]
    max_rows: int


def describe(about: Described) -> bytes:
    """Return the description as JSON."""
    model = f"/v2/models/{about.model}"
    pinned = f"{model}/versions/{about.version}"
    paths = {
        model: {"get": _get("metadata", "what the model takes and gives", _metadata(about))},
        f"{model}/ready": {"get": _get("ready", "whether the model answers", _ready(about))},
        f"{model}/infer": {"post": _post("infer", "ask in the inference protocol", "InferRequest", _inferred(about))},
        f"{pinned}/infer": {"post": _post("inferVersion", "ask this version of it", "InferRequest", _inferred(about))},
        f"/predict/{about.model}": {
            "post": _post("predict", "ask with named columns", "PredictRequest", _predicted(about))
        },
    }
    schemas = {"InferRequest": _infer_request(about), "PredictRequest": _predict_request(about), "Error": _ERROR}
    document = {
        "openapi": OPENAPI,
        "info": {"title": about.model, "version": about.version},
        "paths": paths,
        "security": _SECURITY,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            },
        },
    }
    return msgspec.json.encode(document)


def _object(properties: Mapping[str, Any], *, optional: Sequence[str] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_ERROR: Final = _object({"error": {"type": "string"}})
_HEADERS: Final = {
    "x-correlation-id": {"schema": {"type": "string"}, "required": True},
    "x-holdfast-code": {"schema": {"type": "string"}, "required": True},
}


def _responses(schema: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"200": {"description": "the answer", "content": {"application/json": {"schema": schema}}}}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for status, words in _REFUSALS.items():
        found[status] = {"description": words, "content": error, "headers": _HEADERS}
    return found


def _get(name: str, words: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"operationId": name, "summary": words, "responses": _responses(schema)}


def _post(name: str, words: str, body: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}}
    return _get(name, words, schema) | {"requestBody": {"required": True, "content": content}}


def _rows(about: Described) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": about.max_rows}


def _infer_request(about: Described) -> dict[str, Any]:
    parameters = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}
    output = _object({"name": {"enum": list(OUTPUTS)}, "parameters": parameters}, optional=("parameters",))
    tensors = _columns(about, parameters) if texts_of(about.signature) else _matrix(about, parameters)
    entities = _entities(about)
    if entities:
        few = replace(about, max_rows=min(about.max_rows, MOST_ROWS))
        tensors = {"anyOf": [tensors, _columns(few, parameters, entities)]}
    parts = {
        "inputs": tensors,
        "id": {"type": "string", "maxLength": 128},
        "parameters": parameters | ({"properties": _for_all_rows(entities)} if entities else {}),
        "outputs": {"type": "array", "items": output, "maxItems": len(OUTPUTS)},
    }
    return _object(parts, optional=("id", "parameters", "outputs"))


def _matrix(about: Described, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the one tensor that holds all inputs."""
    width = len(about.signature.inputs)
    numbers = {"type": "array", "items": {"type": "number"}, "maxItems": about.max_rows * width}
    shape = {"type": "array", "prefixItems": [_rows(about), {"const": width}], "minItems": 2, "maxItems": 2}
    tensor = {
        "name": {"const": INPUT},
        "shape": shape,
        "datatype": {"enum": sorted(AS_JSON)},
        "data": {"anyOf": [numbers, {"type": "array", "items": numbers, "maxItems": about.max_rows}]},
        "parameters": parameters,
    }
    return {"type": "array", "items": _object(tensor, optional=("parameters",)), "minItems": 1, "maxItems": 1}


def _columns(
    about: Described, parameters: Mapping[str, Any], entities: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Describe one tensor for each number and each text of a model, and for each entity where some are named."""
    shape = {"type": "array", "prefixItems": [_rows(about)], "minItems": 1, "maxItems": 1}
    fields, texts = _numbers(about), [text.name for text in texts_of(about.signature)]
    kinds = []
    for found, datatypes, item in (
        ([field.name for field in fields], sorted(AS_JSON - {"BOOL"}), {"type": "number"}),
        (texts, [BYTES], {"type": "string"}),
        (list(entities or ()), [BYTES], {"type": "string", "minLength": 1, "maxLength": MAX_ENTITY}),
    ):
        if not found:
            continue
        tensor = {
            "name": {"enum": found},
            "shape": shape,
            "datatype": {"enum": datatypes},
            "data": {"type": "array", "items": item, "maxItems": about.max_rows},
            "parameters": parameters,
        }
        kinds.append(_object(tensor, optional=("parameters",)))
    most = len(fields) + len(texts) + len(entities or ())
    optional = sum(isinstance(field.online, Online) for field in fields) + len(entities) if entities else 0
    return {"type": "array", "items": {"anyOf": kinds}, "minItems": max(1, most - optional), "maxItems": most}


def _predict_request(about: Described) -> dict[str, Any]:
    fields = list(zip(about.signature.inputs, about.low, about.high, strict=True))
    columns: dict[str, Any] = {}
    for field, low, high in (fields[place] for place in numbers_of(about.signature)):
        value = {"type": "integer" if field.whole is True else "number", "minimum": low, "maximum": high}
        columns[field.name] = value | _declared(field.minimum, field.maximum)
    for text in texts_of(about.signature):
        columns[text.name] = {"type": "string", "maxLength": text.hashing.most_characters}
    rows, entities = _several(_object(columns), about.max_rows), _entities(about)
    if entities:
        looked_up = [field.name for field in _numbers(about) if isinstance(field.online, Online)]
        named = _object(columns | entities, optional=(*looked_up, MOMENT))
        rows = {"anyOf": [rows, _several(named, min(about.max_rows, MOST_ROWS))]}
    return _object({"rows": rows})


def _several(row: Mapping[str, Any], most: int) -> dict[str, Any]:
    return {"type": "array", "items": row, "minItems": 1, "maxItems": most}


def _numbers(about: Described) -> list[Field]:
    return [about.signature.inputs[place] for place in numbers_of(about.signature)]


def _entities(about: Described) -> dict[str, Any]:
    """Describe what a call names that leaves out what can be looked up: the entity, and when it happened."""
    named = entities_of(about.signature)
    found: dict[str, Any] = {
        f"{ENTITY}{name}": {"type": "string", "minLength": 1, "maxLength": MAX_ENTITY} for name in named
    }
    return found | {MOMENT: {"type": "string", "format": "date-time"}} if found else {}


def _for_all_rows(entities: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the same as parameters of a call, where a number may name an entity too."""
    return {name: each if name == MOMENT else each | {"type": ["string", "integer"]} for name, each in entities.items()}


def _declared(low: float | None, high: float | None) -> dict[str, str]:
    """Say in which range a value is answered without a flag."""
    if low is None and high is None:
        return {}
    return {
        "description": f"from {'-∞' if low is None else low} to {'∞' if high is None else high}; beyond it, flagged"
    }


def _inferred(about: Described) -> dict[str, Any]:
    classes = list(about.signature.classes)
    label = _object(
        {
            "name": {"const": LABEL},
            "datatype": {"const": "BYTES"},
            "shape": {"type": "array", "items": _rows(about), "minItems": 1, "maxItems": 1},
            "data": {"type": "array", "items": {"enum": classes}},
        }
    )
    probabilities = _object(
        {
            "name": {"const": PROBABILITIES},
            "datatype": {"const": "FP64"},
            "shape": {"type": "array", "prefixItems": [_rows(about), {"const": len(classes)}], "maxItems": 2},
            "data": {"type": "array", "items": {"type": "number"}},
        }
    )
    parts = {
        "model_name": {"const": about.model},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "outputs": {"type": "array", "items": {"anyOf": [label, probabilities]}},
    }
    return _object(parts, optional=("id", "parameters"))


def _predicted(about: Described) -> dict[str, Any]:
    classes = about.signature.classes
    parts = {
        "label": {"enum": list(classes)},
        "probabilities": _object({name: {"type": "number"} for name in classes}),
    }
    predictions = {"type": "array", "items": _object(parts, optional=("probabilities",))}
    return _object(
        {
            "model": {"const": about.model},
            "version": {"type": "string"},
            "predictions": predictions,
            "flags": {"type": "array", "items": {"type": "string"}},
        },
        optional=("flags",),
    )


def _metadata(about: Described) -> dict[str, Any]:
    return {"type": "object", "properties": {"name": {"const": about.model}}, "required": ["name", "inputs", "outputs"]}


def _ready(about: Described) -> dict[str, Any]:
    return _object({"name": {"const": about.model}, "ready": {"const": True}})
