"""The API as one ASGI application."""

from fastapi import FastAPI

from towonel.client.models import HealthOut
from towonel.hub.api import (
    agents,
    document,
    edge_invites,
    edges,
    entries,
    errors,
    invites,
    keys,
    ports,
    publications,
    records,
    subscription,
    tenants,
)
from towonel.hub.api.observe import Observe
from towonel.hub.api.state import Hub, HubDep
from towonel.hub.api.tracing import telemetry
from towonel.hub.metrics import VERSION

ROUTERS = (
    invites.router,
    edge_invites.router,
    tenants.router,
    entries.router,
    agents.router,
    edges.router,  # before the others of /v1/routes: the feed is not a route's key
    subscription.router,
    publications.router,
    ports.router,
    keys.router,
    records.router,
)


def create_app(hub: Hub) -> FastAPI:
    """Return the API of one hub; nothing is shared between two of them."""
    app = FastAPI(
        title="Towonel hub",
        version=VERSION,
        description=document.DESCRIPTION,
        openapi_tags=document.TAGS,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        telemetry=telemetry(hub.tracer_provider),
    )
    app.state.hub = hub
    errors.install(app)
    app.add_middleware(Observe, metrics=hub.metrics)
    for router in ROUTERS:
        app.include_router(router)
    app.add_api_route("/v1/health", health, response_model=HealthOut, tags=["health"])
    document.install(app)
    return app


async def health(hub: HubDep) -> HealthOut:
    """Say that the hub is there, and who it is."""
    return HealthOut(node_id=hub.keys.node.public.hex(), version=VERSION)
