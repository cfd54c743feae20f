"""Endpoints that edges call: registration and reports."""

from fastapi import Request

from towonel.api.edges import EdgeRegisterIn, EdgeRegisterOut
from towonel.api.reports import EdgeReportOut
from towonel.hub.api.http.auth import EdgeSignature, actor_of, signed_body
from towonel.hub.api.http.edge_auth import authenticate_edge, receive_report
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.router import create_router
from towonel.hub.context import HubDep
from towonel.hub.core.report_filter import filter_report
from towonel.hub.operations import register_edge as operations
from towonel.hub.operations.request_certificate import take_requests
from towonel.hub.store import routes
from towonel.identity.signatures import Domain

router = create_router("/v1/edges", tags=["edges"])


@router.post("/register", responses=error_responses(400))
async def register_edge(
    hub: HubDep, request: Request, authorization: EdgeSignature
) -> EdgeRegisterOut:
    """Say where an edge is reached and which certificate it shows; signed by the edge."""
    signed = await authenticate_edge(hub, request, authorization, Domain.EDGE_REGISTER)
    _, body = await signed_body(request, EdgeRegisterIn)
    row = operations.to_edge_row(signed.id, body, hub.now_ms())
    actor = actor_of(hub, request, f"edge:{signed.id.hex()}")
    async with hub.store.write() as write:
        await operations.register_edge(hub, write, actor, signed, row)
        revision = await routes.get_revision(write.session)
    return EdgeRegisterOut(hub_node_id=hub.keys.node.public, revision=revision)


@router.post("/report", responses=error_responses(400))
async def report_edge(hub: HubDep, request: Request, authorization: EdgeSignature) -> EdgeReportOut:
    """Tell which sessions an edge has and what it carried; signed by the edge."""
    async with receive_report(hub, request, authorization) as (signed, report):
        known = filter_report(report, hub.route_cache.history)
        async with hub.store.write_fact() as session:
            await operations.store_report(hub, session, signed, known)
            requests = await take_requests(session, signed.id, hub.now_ms())
        hub.edges_seen[signed.id] = hub.now_ms()
    return EdgeReportOut(certificate_requests=requests)
