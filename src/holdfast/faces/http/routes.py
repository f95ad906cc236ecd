"""The routes: a FastAPI application made from the offers, one operation each, with its description.

Only typing, routing and the OpenAPI document are the framework's; who gets in is the door's, what is done the desk's.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import Body, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field, create_model
from starlette.exceptions import HTTPException

from holdfast import __version__
from holdfast.core.errors import HoldfastError, InvalidInput, InvalidRequest, NoSuchMethod, NotFound
from holdfast.core.ports import Answered
from holdfast.faces.http.desk import Desk
from holdfast.faces.http.offers import EXAMPLES, PARTS, PREFIX, Offer, offers
from holdfast.faces.http.pages import MAX_CURSOR, MAX_PAGE, PAGE
from holdfast.faces.http.problems import MEDIA_TYPE
from holdfast.faces.http.strict import MAX_BODY
from holdfast.lifecycle import Option

MAX_TEXT: Final = 4096  # characters of one option
MAX_NUMBER: Final = 2**31 - 1
_TYPES: Final[dict[str, Any]] = {"text": str, "int": int, "float": float, "flag": bool}
_PROBLEM: Final = {
    "type": "object",
    "title": "Problem",
    "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "instance"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:holdfast:error:HF410"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "pattern": "^HF[0-9]{3}$"},
        "instance": {"type": "string", "description": "the request's correlation id"},
        "expected": {"type": "string"},
        "reasons": {"type": "array", "items": {"type": "string"}},
        "place": {"type": "string", "description": "for administrators only"},
        "remedy": {"type": "string", "description": "for administrators only"},
    },
}
_REPLY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["says"],
    "properties": {"says": {"type": "string", "description": "the answer in a sentence"}},
    "additionalProperties": True,
}
_NEXT: Final = {"type": ["string", "null"], "description": "`cursor` of the next page; null at the last one"}
_REFUSALS: Final[dict[int, str]] = {
    400: "The request can be read in two ways, or in none.",
    401: "Nothing valid says who asks.",
    403: "The answer is no, or something does not verify.",
    404: "A name or digest that nobody here knows.",
    405: "The route answers another method.",
    409: "Somebody else was faster, or the idempotency key was used for another request.",
    413: "The request is too long, too deep or has too many parts.",
    415: "The content is not JSON in UTF-8.",
    422: "An option is missing or wrong.",
    429: "Too many requests in too short a time.",
    500: "A stage failed, or there is a defect.",
    503: "The server is busy, or something it needs is missing.",
}


_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": words, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, words in _REFUSALS.items()
}
_NAMED: Final = {
    "X-Correlation-Id": {"schema": {"type": "string"}, "description": "names this request in every record"}
}


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Content(_Query):
    model_config = ConfigDict(strict=True)  # in JSON a number is a number


def application(desk: Desk, table: tuple[Offer, ...] | None = None) -> FastAPI:
    """Return the application that answers what the door lets in."""
    table = offers() if table is None else table
    app = FastAPI(
        title="Holdfast control plane",
        version=__version__,
        summary="Everything the command line can do with a workspace.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for offer in table:
        _add(app, offer.path, offer, _endpoint(desk, offer))
    by_name = {offer.name: offer for offer in table}
    for path, name, option in (
        (f"{PREFIX}/jobs/{{job}}", "job_show", "job"),
        (f"{PREFIX}/resolve/{{alias}}", "resolve", "alias"),
    ):
        if name in by_name:
            _add(app, path, by_name[name], _named(desk, by_name[name], option), suffix=f"_by_{option}")
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(RequestValidationError, _wrong_option)
    app.state.desk = desk
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def _add(app: FastAPI, path: str, offer: Offer, endpoint: Callable[..., Any], suffix: str = "") -> None:
    good = 202 if offer.is_job else 200
    words = "A worker carries it out; see `Location`." if offer.is_job else "Done."
    answered = {"description": words, "headers": _NAMED, "content": {"application/json": {"schema": _reply(offer)}}}
    app.add_api_route(
        path,
        endpoint,
        methods=[offer.method],
        operation_id=f"{offer.name}{suffix}",
        summary=f"{offer.command.does[0].upper()}{offer.command.does[1:]}",
        description=f"Action: `{offer.command.action}`. Authority: {offer.command.authority}.",
        tags=[offer.command.action.partition(".")[0]],
        response_class=Response,
        status_code=good,
        responses={good: answered, **_REFUSED},
    )


def _reply(offer: Offer) -> dict[str, Any]:
    """Return the schema of an answer: its lists, and where they go on."""
    if not offer.lists:
        return _REPLY
    lists = {
        each.name: {"type": "array", "items": {"type": "object" if each.key else "string"}} for each in offer.lists
    }
    said = {**_REPLY["properties"], **lists, "next": _NEXT}
    return {**_REPLY, "required": [*_REPLY["required"], *lists, "next"], "properties": said}


def _endpoint(desk: Desk, offer: Offer) -> Callable[..., Awaitable[Response]]:
    """Return the function of a route, with the parameters that its offer has."""
    model = model_of(offer)

    async def answer(request: Request, options: BaseModel | None = None) -> Response:
        given = options.model_dump(by_alias=True, exclude_none=True) if options is not None else {}
        return _response(await request.state.run(desk.call, offer, given, request.state.asked))

    parameters = [_parameter("request", Request)]
    if offer.command.changes:
        kind: Any = Annotated[model, Body()]
        empty = all(not field.is_required() for field in model.model_fields.values())
        parameters.append(_parameter("options", kind, model() if empty else inspect.Parameter.empty))
    elif model.model_fields:
        parameters.append(_parameter("options", Annotated[model, Query()]))
    answer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return answer


def _named(desk: Desk, offer: Offer, option: str) -> Callable[..., Awaitable[Response]]:
    """Return the function of a route whose last word is an option's value."""

    async def answer(request: Request, **named: str) -> Response:
        return _response(await request.state.run(desk.call, offer, named, request.state.asked))

    limited = Annotated[str, Field(max_length=MAX_TEXT, examples=[EXAMPLES[option]])]
    answer.__signature__ = inspect.Signature([_parameter("request", Request), _parameter(option, limited)])  # type: ignore[attr-defined]
    return answer


def _parameter(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)


def model_of(offer: Offer) -> type[BaseModel]:
    """Return the options of an offer as a model that takes nothing else."""
    fields: dict[str, Any] = {}
    for option in offer.options:
        if offer.in_parts and option.name in PARTS:
            continue
        fields[option.name.replace("-", "_")] = _field(option)
    if offer.lists:
        says = "rows of a page, all lists of the answer together"
        fields["limit"] = (Annotated[int, Field(ge=1, le=MAX_PAGE)], Field(PAGE, description=says))
        fields["cursor"] = (
            Annotated[str, Field(max_length=MAX_CURSOR)] | None,
            Field(None, description="`next` of the page before"),
        )
    if offer.content_in:
        taken = Field(description="the content of the file", max_length=MAX_BODY)
        fields[offer.content_in] = (str, taken)
    return create_model(f"{offer.name}_options", __base__=_Content if offer.command.changes else _Query, **fields)


def _field(option: Option) -> tuple[Any, Any]:
    limits: dict[str, Any] = {"text": {"max_length": MAX_TEXT}, "int": {"ge": -MAX_NUMBER, "le": MAX_NUMBER}}
    kind: Any = _TYPES[option.kind]
    kind = Annotated[kind, Field(**limits[option.kind])] if option.kind in limits else kind
    example = EXAMPLES.get(option.name)
    said: dict[str, Any] = {"description": option.says, "alias": option.name}
    if example is not None:
        said["examples"] = [example]
    if option.required:
        return kind, Field(**said)
    return (kind | None if option.default is None else kind), Field(option.default, **said)


def _response(answer: Answered) -> Response:
    headers = {name: value for name, value in answer.headers.items() if name != "content-type"}
    return Response(answer.body, answer.status, headers, media_type=answer.headers["content-type"])


async def _no_route(request: Request, error: Exception) -> Response:
    """Say that there is no such route, or no such method of it."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(getattr(error, "headers", None) or {})
    found: HoldfastError = NotFound("there is no such route", remedy="GET /v1/openapi.json lists them.")
    if status == NoSuchMethod.http_status:
        found = NoSuchMethod("this route answers another method")
    elif status != NotFound.http_status:
        found = InvalidRequest("the request cannot be read")
    response = _told(request, found)
    response.headers.update({name: value for name, value in headers.items() if name.lower() == "allow"})
    return response


async def _wrong_option(request: Request, error: Exception) -> Response:
    """Say which options are wrong, and in what way; never with the value that was given."""
    wrong = error.errors() if isinstance(error, RequestValidationError) else ()
    words = [f"{'.'.join(str(part) for part in each['loc'][1:]) or 'the content'}: {each['type']}" for each in wrong]
    shown = "; ".join(words)[:1000].encode("ascii", "backslashreplace").decode()
    return _told(request, InvalidInput(f"these options are wrong: {shown}"))


def _told(request: Request, error: HoldfastError) -> Response:
    desk, asked = request.app.state.desk, request.state.asked
    return _response(desk.told(error, asked))


def _described(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            routes=app.routes,
            openapi_version="3.1.0",
        )
        parts = document.setdefault("components", {})
        parts.setdefault("schemas", {})["Problem"] = _PROBLEM
        parts["schemas"].pop("HTTPValidationError", None)
        parts["schemas"].pop("ValidationError", None)
        parts["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "description": "an API key or a token of the control plane"},
            "certificate": {"type": "mutualTLS", "description": "where the server is started with --client-ca"},
        }
        document["security"] = [{"bearer": []}, {"certificate": []}]
        key = {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "carried out once, however often it is sent; remembered for 24 hours",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
        }
        for methods in document["paths"].values():
            if "post" in methods:
                methods["post"].setdefault("parameters", []).append(key)
        app.openapi_schema = document
    return app.openapi_schema
