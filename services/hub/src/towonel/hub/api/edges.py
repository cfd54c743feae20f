"""Edges: they register, follow the routes, and are listed."""

import json
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.client.models import (
    EdgeItem,
    EdgeList,
    EdgeOut,
    EdgeRegisterIn,
    EdgeRegisterOut,
)
from towonel.hub.api.auth import Authorization, Operator, signature, signed_body
from towonel.hub.api.state import Hub, HubDep
from towonel.hub.store import edges as store
from towonel.hub.store import invites, nonces, routes
from towonel.hub.store.rows import EdgeRow
from towonel.identity.certs import certificate_public_key, certificate_sha256
from towonel.identity.signatures import Domain
from towonel.runtime.settings import parse_address
from towonel.wire.errors import Code, Denied
from towonel.wire.routes import RouteDelta, encode_delta

router = APIRouter(prefix="/v1", tags=["edges"])
MAX_WAIT_S = 30


@router.post("/edges/register")
async def register(
    hub: HubDep, request: Request, authorization: Authorization = None
) -> EdgeRegisterOut:
    """Say where an edge is reached and which certificate it shows; signed by the edge."""
    signed = signature(authorization)
    body, wanted = await signed_body(request, EdgeRegisterIn)
    signed.check_node(Domain.EDGE_REGISTER, body, hub.now_ms())
    _check_registration(signed.id, wanted)
    async with hub.store.write() as change:
        await _check_known(hub, change.session, signed.id)
        await nonces.use(change, Domain.EDGE_REGISTER, signed)
        row = EdgeRow(
            edge_id=signed.id,
            addresses=json.dumps(wanted.addresses),
            certificate_pem=wanted.certificate_pem,
            certificate_sha256=certificate_sha256(wanted.certificate_pem),
            version=wanted.version,
            last_seen_ms=hub.now_ms(),
        )
        await store.register(change, row)
        revision = await routes.revision(change.session)
    return EdgeRegisterOut(hub_node_id=hub.keys.node.public.hex(), revision=revision)


@router.get("/edges", dependencies=[Operator])
async def list_all(hub: HubDep) -> EdgeList:
    """List the edges that registered and may still work."""
    async with hub.store.read() as session:
        rows = await known_edges(hub, session)
        names = await invites.edge_names(session)
    return EdgeList(
        edges=[
            EdgeItem(
                node_id=row.edge_id.hex(),
                name=names.get(row.edge_id, "hub"),
                addresses=store.addresses_of(row),
                certificate_sha256=row.certificate_sha256.hex(),
                last_seen_ms=row.last_seen_ms,
            )
            for row in rows
        ]
    )


@router.get("/routes", response_class=Response)
async def follow(
    hub: HubDep,
    since: Annotated[int | None, Query(ge=0)] = None,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0,
    authorization: Authorization = None,
) -> Response:
    """Return what changed since a revision, waiting for it if asked to; signed by an edge."""
    signed = signature(authorization)
    signed.check_node(Domain.EDGE_SUBSCRIBE, b"", hub.now_ms())
    async with hub.store.write() as change:
        await _check_known(hub, change.session, signed.id)
        await nonces.use(change, Domain.EDGE_SUBSCRIBE, signed)
        await store.seen(change, signed.id, hub.now_ms())
        current = await routes.revision(change.session)
    if since is not None and since == current and wait:
        await hub.bell.wait(since, wait)
    return Response(encode_delta(await _delta(hub, since)), media_type="application/cbor")


async def _delta(hub: Hub, since: int | None) -> RouteDelta:
    async with hub.store.read() as session:
        current = await routes.revision(session)
        if since is None or since > current or since < await routes.oldest_kept(session):
            return await routes.snapshot(session)
        return await routes.delta(session, since)


async def known_edges(hub: Hub, session: AsyncSession) -> list[EdgeRow]:
    """Return the registered edges that are the hub's own or have an invite."""
    allowed = {hub.keys.node.public, *await invites.edge_names(session)}
    return [row for row in await store.edges(session) if row.edge_id in allowed]


def edge_out(row: EdgeRow) -> EdgeOut:
    """Return an edge as agents need it."""
    return EdgeOut(
        edge_id=row.edge_id.hex(),
        addresses=store.addresses_of(row),
        certificate_sha256=row.certificate_sha256.hex(),
        certificate_pem=row.certificate_pem,
    )


async def _check_known(hub: Hub, session: AsyncSession, edge_id: bytes) -> None:
    if edge_id != hub.keys.node.public and not await invites.may_register(session, edge_id):
        raise Denied(Code.EDGE_UNKNOWN, "no invite for this edge, or it is revoked")


def _check_registration(edge_id: bytes, wanted: EdgeRegisterIn) -> None:
    for address in wanted.addresses:
        try:
            if not parse_address(address)[1]:
                raise ValueError("has no port that could be dialled")  # noqa: TRY301 one answer
        except ValueError as error:
            raise Denied(Code.INVALID_REQUEST, f"addresses: {address!r} {error}") from error
    if certificate_public_key(wanted.certificate_pem) != edge_id:
        raise Denied(Code.CERTIFICATE_MISMATCH, "the certificate is not for this edge's key")
