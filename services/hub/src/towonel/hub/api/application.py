"""The API as one ASGI application."""

from fastapi import FastAPI

from towonel.client.models import HealthOut
from towonel.hub.api import agents, edge_invites, edges, errors, invites
from towonel.hub.api.observe import Observe
from towonel.hub.api.state import Hub, HubDep
from towonel.hub.metrics import VERSION


def create_app(hub: Hub) -> FastAPI:
    """Return the API of one hub; nothing is shared between two of them."""
    app = FastAPI(title="Towonel hub", version=VERSION, docs_url=None, redoc_url=None)
    app.state.hub = hub
    errors.install(app)
    app.add_middleware(Observe, metrics=hub.metrics)
    for router in (invites.router, edge_invites.router, agents.router, edges.router):
        app.include_router(router)
    app.add_api_route("/v1/health", _health, response_model=HealthOut, tags=["health"])
    return app


async def _health(hub: HubDep) -> HealthOut:
    """Say that the hub is there, and who it is."""
    return HealthOut(node_id=hub.keys.node.public.hex(), version=VERSION)
