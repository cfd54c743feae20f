"""The OpenAPI document, good enough to make a client from, and the page that shows it offline."""

import copy
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.staticfiles import StaticFiles

from towonel.client.live import EdgeReport
from towonel.client.models import BootstrapIn, DesiredState, EdgeRegisterIn, RefreshIn
from towonel.hub.api.examples import EXAMPLES

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
    {"name": "ports", "description": "Ports that are kept for tenants."},
    {"name": "keys", "description": "API keys: roles, ends, rotation."},
    {"name": "audit", "description": "Every write: who, what, when, from where."},
    {"name": "health", "description": "Whether the hub is there."},
]
# Bodies that are read as bytes, because a signature is over them.
SIGNED: dict[str, type[BaseModel]] = {
    "bootstrap": BootstrapIn,
    "refresh": RefreshIn,
    "apply_desired_state": DesiredState,
    "register_edge": EdgeRegisterIn,
    "report_edge": EdgeReport,
}
CBOR_BODIES = ("submit_entry", "heartbeat")
_REFERENCE = "#/components/schemas/{model}"


def install(app: FastAPI) -> None:
    """Let `app` tell our document, and serve the page with everything it needs."""
    whole: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not whole:
            whole.update(_document(app))
        return whole

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way
    assets = StaticFiles(directory=str(files("fastapi_swagger.resources")))
    app.mount("/docs/assets", assets)
    app.add_api_route("/docs", _page, include_in_schema=False)


async def _page() -> HTMLResponse:
    """The page; its addresses are relative, so that it works behind any proxy."""
    return get_swagger_ui_html(
        openapi_url="v1/openapi.json",
        title="Towonel hub API",
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="docs/assets/favicon-32x32.png",
        swagger_ui_parameters={"filter": True, "displayRequestDuration": True},
    )


def _document(app: FastAPI) -> dict[str, Any]:
    found = copy.deepcopy(
        get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            tags=app.openapi_tags,
            routes=app.routes,
        )
    )
    schemas: dict[str, Any] = found["components"]["schemas"]
    schemas |= _signed_schemas()
    for path in found["paths"].values():
        for operation in path.values():
            _finish(operation)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    return found


def _finish(operation: dict[str, Any]) -> None:
    """Say of an operation what FastAPI cannot know."""
    name = operation["operationId"]
    if "HTTPValidationError" in str(operation["responses"].get("422")):
        del operation["responses"]["422"]  # broken rules are answered with 400
    if name in SIGNED:
        reference = {"$ref": _REFERENCE.format(model=SIGNED[name].__name__)}
        content: dict[str, Any] = {"application/json": {"schema": reference}}
        operation["requestBody"] = {"required": True, "content": content}
    if name in CBOR_BODIES:
        binary = {"type": "string", "format": "binary"}
        content = {"application/cbor": {"schema": binary}}
        operation["requestBody"] = {"required": True, "content": content}


@cache
def _signed_schemas() -> dict[str, Any]:
    models = [(model, "validation") for model in SIGNED.values()]
    _, document = models_json_schema(models, ref_template=_REFERENCE)  # type: ignore[arg-type] # of literals
    return dict(document["$defs"])
