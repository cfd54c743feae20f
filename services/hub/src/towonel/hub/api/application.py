"""ASGI application of the API."""

from typing import Any

from fastapi import FastAPI

from towonel.api.health import HealthOut
from towonel.hub.api.http import errors
from towonel.hub.api.http.middleware import RequestMiddleware
from towonel.hub.api.http.router import create_router
from towonel.hub.api.http.tracing import telemetry_config
from towonel.hub.api.legacy import entries, route_stream
from towonel.hub.api.legacy.examples import CBOR_BODIES
from towonel.hub.api.nodes import agents, route_feed
from towonel.hub.api.nodes import edges as edge_nodes
from towonel.hub.api.openapi import document
from towonel.hub.api.operator import (
    api_keys,
    audit,
    certificates,
    edge_invites,
    edges,
    invites,
    ports,
    services,
    tenants,
)
from towonel.hub.context import Hub, HubDep
from towonel.hub.metrics import VERSION

_health = create_router("/v1", tags=["health"])


@_health.get("/health")
async def health(hub: HubDep) -> HealthOut:
    """Say that the hub is there, and who it is."""
    return HealthOut(node_id=hub.keys.node.public, version=VERSION)


ROUTERS = (
    invites.router,
    edge_invites.router,
    tenants.router,
    entries.router,
    agents.router,
    edge_nodes.router,
    edges.router,
    route_feed.router,  # before the others of /v1/routes: `feed` is not a route's key
    route_stream.router,
    services.router,
    certificates.router,
    ports.router,
    api_keys.router,
    audit.router,
    _health,
)


def create_app(hub: Hub) -> FastAPI:
    """Return the API of one hub; two hubs share nothing."""
    app = create_app_without_hub(telemetry=telemetry_config(hub.tracer_provider))
    app.state.hub = hub
    errors.install(app)
    app.add_middleware(RequestMiddleware, hub=hub)
    return app


def create_app_without_hub(**options: Any) -> FastAPI:
    """Return an application with the routes and the document, without a hub."""
    app = FastAPI(
        title="Towonel hub",
        version=VERSION,
        description=document.DESCRIPTION,
        openapi_tags=document.TAGS,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # to `http:` behind a proxy with TLS, and the key would follow
        **options,
    )
    for router in ROUTERS:
        app.router.routes += router.routes  # which are built; to include it would build each anew
    document.install(app, CBOR_BODIES)
    return app
