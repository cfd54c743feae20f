"""Edges: they register, follow the routes, tell what is live, and are listed."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.edges import EdgeItem, EdgeList, EdgeOut, EdgeRegisterIn, EdgeRegisterOut
from towonel.api.reports import EdgeReport, EdgeReportOut
from towonel.hub.api.http.auth import EdgeSignature, Viewer, actor, public, signature, signed_body
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.parameters import HexId, LongPage, parse_hex
from towonel.hub.api.presenters import to_datetime
from towonel.hub.context import Hub, HubDep
from towonel.hub.store import edge_invites, nonces, reports, routes
from towonel.hub.store import edges as store
from towonel.hub.store.audit import AuditEvent, record
from towonel.hub.store.tables import EdgeRow
from towonel.identity.certs import (
    certificate_public_key,
    certificate_sha256,
    extract_certificate,
)
from towonel.identity.signatures import Domain, Signature
from towonel.runtime.settings import parse_address
from towonel.wire.errors import Code, Denied
from towonel.wire.routes import RouteDelta, delta_chunks

router = APIRouter(prefix="/v1")
MAX_WAIT_S = 30
CBOR = {"content": {"application/cbor": {"schema": {"type": "string", "format": "binary"}}}}


@router.post("/edges/register", tags=["edges"], responses=error_responses(400))
async def register_edge(
    hub: HubDep, request: Request, authorization: EdgeSignature
) -> EdgeRegisterOut:
    """Say where an edge is reached and which certificate it shows; signed by the edge."""
    signed = await signed_edge(hub, request, authorization, Domain.EDGE_REGISTER)
    _, wanted = await signed_body(request, EdgeRegisterIn)
    _check_registration(signed.id, wanted)
    row = EdgeRow(
        edge_id=signed.id,
        addresses=json.dumps(wanted.addresses),
        certificate_pem=extract_certificate(
            wanted.certificate_pem
        ),  # agents trust all that is in it
        certificate_sha256=certificate_sha256(wanted.certificate_pem),
        version=wanted.version,
        last_seen_ms=hub.now_ms(),
    )
    async with hub.store.write() as change:
        await _require_invited(hub, change.session, signed.id)
        await nonces.use(change.session, Domain.EDGE_REGISTER, signed)
        if await store.register(change, row):
            who = actor(hub, request, f"edge:{signed.id.hex()}")
            after = {"addresses": wanted.addresses, "version": wanted.version}
            deed = AuditEvent("edge.registered", who.name, after=after)
            await record(change, who, deed, hub.now_ms())
        revision = await routes.revision(change.session)
    return EdgeRegisterOut(hub_node_id=hub.keys.node.public.hex(), revision=revision)


@router.post("/edges/report", tags=["edges"], responses=error_responses(400))
async def report_edge(hub: HubDep, request: Request, authorization: EdgeSignature) -> EdgeReportOut:
    """Tell which sessions an edge has and what it carried; signed by the edge."""
    signed = await signed_edge(hub, request, authorization, Domain.EDGE_REPORT)
    _, report = await signed_body(request, EdgeReport)
    async with hub.store.write_fact() as session:
        await _require_invited(hub, session, signed.id)
        await nonces.use(session, Domain.EDGE_REPORT, signed)
        await reports.put(session, signed.id, report, hub.now_ms())
    return EdgeReportOut()


@router.get("/edges", tags=["edges"], responses=error_responses(400))
async def list_edges(hub: HubDep, caller: Viewer, paging: LongPage) -> EdgeList:
    """List the edges that registered and may still work, by id, with what they told last."""
    await hub.edge_reports.refresh(hub.now_ms())
    async with hub.store.read() as session:
        allowed = await _allowed(hub, session)
        found = await store.edges(session, paging, list(allowed))
    return EdgeList(
        edges=[_item(hub, row, allowed[row.edge_id]) for row in found.rows],
        next_cursor=found.next_cursor,
    )


@router.get("/edges/{edge_id}", tags=["edges"], responses=error_responses(400, 404))
async def get_edge(hub: HubDep, caller: Viewer, edge_id: HexId) -> EdgeItem:
    """Show one edge, and what it told last."""
    wanted = parse_hex(edge_id, "edge_id")
    await hub.edge_reports.refresh(hub.now_ms())
    async with hub.store.read() as session:
        allowed = await _allowed(hub, session)
        row = await store.find(session, wanted) if wanted in allowed else None
    if row is None:
        raise Denied(Code.NOT_FOUND, "no such edge, or its invite is revoked")
    return _item(hub, row, allowed[wanted])


@router.get(
    "/routes/feed",
    tags=["routes"],
    response_class=StreamingResponse,
    responses={
        200: {**CBOR, "description": "What changed, or everything; docs/protocol.md says how."},
        **error_responses(400),
    },
)
async def follow_routes(
    hub: HubDep,
    request: Request,
    authorization: EdgeSignature,
    since: Annotated[
        int | None, Query(ge=0, lt=1 << 63, description="The revision that the edge has.")
    ] = None,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait for a change.")
    ] = 0,
) -> StreamingResponse:
    """Return what changed since a revision, waiting for it if asked to; signed by an edge."""
    signed = await signed_edge(hub, request, authorization, Domain.EDGE_SUBSCRIBE)
    await take_once(hub, signed, Domain.EDGE_SUBSCRIBE)
    is_current = since is None or await hub.route_cache.wait_for_change(since, wait, hub.stopping)
    _check_allowed(hub, signed.id)
    if since is not None and since > hub.route_cache.revision and not is_current:
        chunks: Sequence[bytes] = list(delta_chunks(RouteDelta(since, snapshot=False)))
    else:
        chunks = await hub.route_cache.encoded(since)
    length = sum(map(len, chunks))
    return StreamingResponse(
        _streamed(chunks), media_type="application/cbor", headers={"content-length": str(length)}
    )


async def signed_edge(hub: Hub, request: Request, header: str | None, domain: Domain) -> Signature:
    """Return which edge signed a request; decided from memory, before its body is parsed.

    Raises:
        Denied: UNAUTHORIZED, CLOCK_SKEW, INVALID_SIGNATURE or EDGE_UNKNOWN.
        Unavailable: RATE_LIMITED for a stranger, who costs more than that.
    """
    signed = signature(header)
    signed.check_node(domain, await request.body(), hub.now_ms())
    await hub.route_cache.follow(hub.route_changes.revision)
    if not hub.is_active_edge(signed.id):  # it may have been invited just now, at another replica
        await public(hub, request)
        await hub.route_cache.follow(hub.route_cache.revision + 1)
    _check_allowed(hub, signed.id)
    return signed


async def take_once(hub: Hub, signed: Signature, domain: str) -> None:
    """Take an edge's request for the routes, and note that the edge was here.

    Raises:
        Denied: REPLAYED.
    """
    if not await hub.limiter.use_once(domain, signed.id, signed.timestamp_ms):
        raise Denied(Code.REPLAYED, "this signed request was sent before")
    hub.edges_seen[signed.id] = hub.now_ms()


async def active_edges(hub: Hub, session: AsyncSession) -> Sequence[EdgeRow]:
    """Return the registered edges that are the hub's own or have an invite."""
    return await store.registered(session, list(await _allowed(hub, session)))


def edge_out(row: EdgeRow) -> EdgeOut:
    """Return an edge as agents need it."""
    return EdgeOut(
        edge_id=row.edge_id.hex(),
        addresses=store.addresses_of(row),
        certificate_sha256=row.certificate_sha256.hex(),
        certificate_pem=row.certificate_pem,
    )


def _check_allowed(hub: Hub, edge_id: bytes) -> None:
    if not hub.is_active_edge(edge_id):
        raise Denied(Code.EDGE_UNKNOWN, "no invite for this edge, or it is revoked")


async def _require_invited(hub: Hub, session: AsyncSession, edge_id: bytes) -> None:
    if edge_id != hub.keys.node.public and not await edge_invites.is_active(session, edge_id):
        raise Denied(Code.EDGE_UNKNOWN, "no invite for this edge, or it is revoked")


async def _allowed(hub: Hub, session: AsyncSession) -> dict[bytes, str]:
    return {hub.keys.node.public: "hub", **await edge_invites.names(session)}


def _item(hub: Hub, row: EdgeRow, name: str) -> EdgeItem:
    seen_ms = max(row.last_seen_ms, hub.edges_seen.get(row.edge_id, 0))
    return EdgeItem(
        node_id=row.edge_id.hex(),
        name=name,
        addresses=store.addresses_of(row),
        certificate_sha256=row.certificate_sha256.hex(),
        version=row.version,
        last_seen_ms=seen_ms,
        last_seen_at=to_datetime(seen_ms),
        is_live=hub.edge_reports.edge_is_live(row.edge_id),
        sessions=hub.edge_reports.sessions_of(row.edge_id),
        traffic=hub.edge_reports.traffic_of_edge(row.edge_id),
    )


async def _streamed(chunks: Sequence[bytes]) -> AsyncGenerator[bytes]:
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)


def _check_registration(edge_id: bytes, wanted: EdgeRegisterIn) -> None:
    for address in wanted.addresses:
        try:
            if not parse_address(address)[1]:
                raise ValueError("has no port that could be dialled")  # noqa: TRY301 one answer
        except ValueError as error:
            raise Denied(Code.INVALID_REQUEST, f"addresses: {address!r} {error}") from error
    if certificate_public_key(wanted.certificate_pem) != edge_id:
        raise Denied(Code.CERTIFICATE_MISMATCH, "the certificate is not for this edge's key")
