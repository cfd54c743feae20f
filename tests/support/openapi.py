"""Routes and OpenAPI document of the hub, made once a process: either takes as long as ten tests."""

from functools import cache
from typing import Any

from fastapi import FastAPI

from towonel.hub.api.application import create_app_without_hub
from towonel.hub.api.http import errors
from towonel.hub.api.http.tracing import telemetry_config


@cache
def app_with_routes() -> FastAPI:
    """Return an API without a hub, for copies with one."""
    app = create_app_without_hub(telemetry=telemetry_config(None))
    errors.install(app)
    return app


@cache
def document() -> dict[str, Any]:
    """Return the document, which its readers leave as it is."""
    return app_with_routes().openapi()
