"""OpenAPI document, complete enough to generate a client from, and the page that shows it offline."""

import copy
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.staticfiles import StaticFiles

from towonel.api.agents import BootstrapIn, LeaveIn, RefreshIn
from towonel.api.edges import EdgeRegisterIn
from towonel.api.errors import ErrorOut
from towonel.api.reports import EdgeReport
from towonel.api.services import DesiredState
from towonel.hub.api.http.errors import STATUS, STATUS_DESCRIPTIONS
from towonel.hub.api.openapi.examples import EXAMPLES

DESCRIPTION = """\
The system of record of a Towonel tunnel: invites, tenants, services, edges.

Lists come in pages: `limit`, and `cursor` from `next_cursor`. Edits take `If-Match` with the `ETag` of what
was read. Creates take `Idempotency-Key`. Every error is `{"error": {"code", "message"}}`, with the word of
a code that never changes.
"""
TAGS = [
    {"name": "invites", "description": "Tokens that make a tenant."},
    {"name": "edge invites", "description": "Tokens that let an edge work."},
    {"name": "tenants", "description": "Who publishes: status, limits, what is live."},
    {"name": "entries", "description": "Single signed changes, as the original's tools send them."},
    {"name": "services", "description": "What groups of agents publish."},
    {"name": "routes", "description": "Public names and ports, and whose they are."},
    {"name": "agents", "description": "What runs beside the services."},
    {"name": "edges", "description": "The public machines."},
    {"name": "certificates", "description": "Of names whose TLS ends at edges."},
    {"name": "ports", "description": "Ports that are kept for tenants."},
    {"name": "keys", "description": "API keys: roles, ends, rotation."},
    {"name": "audit", "description": "Every write: who, what, when, from where."},
    {"name": "health", "description": "Whether the hub is there."},
]
# JSON bodies that endpoints read as bytes, because a signature covers them.
SIGNED: dict[str, type[BaseModel]] = {
    "bootstrap": BootstrapIn,
    "refresh": RefreshIn,
    "leave": LeaveIn,
    "apply_desired_state": DesiredState,
    "register_edge": EdgeRegisterIn,
    "report_edge": EdgeReport,
}
PAGE_MAY_LOAD = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'"
)
# The original's bootstrap is not signed, and gets no grant.
SIGNED_OR_NOT = ("bootstrap",)
HEADERS = {
    "RequestId": ("X-Request-Id", "The request's id, in the log and the audit log.", "string"),
    "RetryAfter": ("Retry-After", "Seconds to wait before the next try.", "integer"),
    "Challenge": ("WWW-Authenticate", "The schemes that count.", "string"),
    "ETag": ("ETag", "The version; send it as If-Match with an edit.", "string"),
}
_REFERENCE = "#/components/schemas/{model}"


def install(app: FastAPI, cbor_bodies: Mapping[str, str]) -> None:
    """Make `app` serve our document, and the page with its assets.

    Args:
        app: with all routes.
        cbor_bodies: descriptions of bodies that are CBOR, by operation id.
    """
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(_document(app, cbor_bodies))
        return document

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI documents it
    assets = StaticFiles(directory=str(files("fastapi_swagger.resources")))
    app.mount("/docs/assets", assets)
    app.add_api_route("/docs", _page, include_in_schema=False)


async def _page() -> HTMLResponse:
    """Return the page; its URLs are relative, so that it works behind any proxy."""
    page = get_swagger_ui_html(
        openapi_url="v1/openapi.json",
        title="Towonel hub API",
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="docs/assets/favicon-32x32.png",
        swagger_ui_parameters={
            "filter": True,
            "displayRequestDuration": True,
            "validatorUrl": None,
        },
    )
    page.headers["content-security-policy"] = PAGE_MAY_LOAD
    return page


def _document(app: FastAPI, cbor_bodies: Mapping[str, str]) -> dict[str, Any]:
    document = copy.deepcopy(
        get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            tags=app.openapi_tags,
            routes=app.routes,
            servers=[{"url": "..", "description": "where this document is, behind any proxy"}],
        )
    )
    components: dict[str, Any] = document["components"]
    schemas: dict[str, Any] = components["schemas"]
    schemas |= _signed_schemas()
    for path in document["paths"].values():
        for operation in path.values():
            _complete(operation, cbor_bodies)
        if any(_takes_if_match(operation) for operation in path.values()):
            for method in ("get", "patch"):
                path[method]["responses"]["200"]["headers"] |= _headers("ETag")
    components["headers"] = {
        name: {"description": description, "required": True, "schema": {"type": kind}}
        for name, (_, description, kind) in HEADERS.items()
    }
    components["responses"] = {
        _error_name(status): _error(status) for status in sorted(STATUS_DESCRIPTIONS)
    }
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    return document


def _complete(operation: dict[str, Any], cbor_bodies: Mapping[str, str]) -> None:
    """Add to an operation what FastAPI cannot know."""
    name, responses = operation["operationId"], operation["responses"]
    if name in SIGNED:
        reference = {"$ref": _REFERENCE.format(model=SIGNED[name].__name__)}
        content: dict[str, Any] = {"application/json": {"schema": reference}}
        operation["requestBody"] = {"required": True, "content": content}
    if name in cbor_bodies:
        content = {"application/cbor": {"schema": {"type": "string", "format": "binary"}}}
        body = {"description": cbor_bodies[name], "required": True, "content": content}
        operation["requestBody"] = body
    if name in SIGNED_OR_NOT:
        operation["security"].append({})
    for parameter in operation.get("parameters", []):
        parameter["schema"] = _without_null(parameter["schema"])
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]  # validation errors are 400
    for status in responses.keys() - {"200"} | _common_errors(operation):
        responses[status] = {"$ref": f"#/components/responses/{_error_name(int(status))}"}
    responses["200"]["headers"] = _headers("RequestId")
    operation["responses"] = dict(sorted(responses.items()))


def _common_errors(operation: dict[str, Any]) -> set[str]:
    """Return the statuses of errors that follow from the parameters of an operation."""
    statuses = {"413", "429", "500", "503"}
    if operation.get("security"):
        statuses |= {"401", "403"}
    if operation.get("parameters") or "requestBody" in operation:
        statuses |= {"400"}
    if "requestBody" in operation:
        statuses |= {"408"}
    return statuses


def _error_name(status: int) -> str:
    return HTTPStatus(status).phrase.title().replace(" ", "")


def _error(status: int) -> dict[str, Any]:
    words = [f"`{code.word}`" for code, its_status in STATUS.items() if its_status == status]
    description = STATUS_DESCRIPTIONS[status] + (f" Codes: {', '.join(words)}." if words else "")
    more = {401: ("Challenge",), 429: ("RetryAfter",), 503: ("RetryAfter",)}
    schema = {"$ref": _REFERENCE.format(model=ErrorOut.__name__)}
    return {
        "description": description,
        "headers": _headers("RequestId", *more.get(status, ())),
        "content": {"application/json": {"schema": schema}},
    }


def _headers(*names: str) -> dict[str, Any]:
    return {HEADERS[name][0]: {"$ref": f"#/components/headers/{name}"} for name in names}


def _takes_if_match(operation: dict[str, Any]) -> bool:
    return any(it["name"] == "if-match" for it in operation.get("parameters", ()))


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter without null, which queries and headers cannot express."""
    others = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(others) != 1:
        return schema
    return {**{key: value for key, value in schema.items() if key != "anyOf"}, **others[0]}


@cache
def _signed_schemas() -> dict[str, Any]:
    models = [(model, "validation") for model in SIGNED.values()]
    _, document = models_json_schema(models, ref_template=_REFERENCE)  # type: ignore[arg-type] # of literals
    return dict(document["$defs"])
