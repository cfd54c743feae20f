"""Routes and OpenAPI document of the hub, made once a process: either takes as long as ten tests."""

from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

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


def operations(*methods: str) -> list[str]:
    """Return the ids of the operations with one of these methods, or of all; the document would take longer."""
    found = [it for it in app_with_routes().routes if isinstance(it, APIRoute)]
    documented = [it for it in found if it.include_in_schema]
    return [it.name for it in documented if not methods or {*methods} & {*(it.methods or ())}]
