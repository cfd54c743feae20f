"""Registration of an edge, its reports, and which edges are active."""

import json
from collections.abc import Mapping, Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.edges import EdgeRegisterIn
from towonel.api.reports import EdgeReport
from towonel.hub.context import Hub
from towonel.hub.store import agents, edge_invites, edges, nonces, reports
from towonel.hub.store.audit import Actor
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.tables import EdgeRow
from towonel.identity.certs import (
    certificate_public_key,
    certificate_sha256,
    extract_certificate,
)
from towonel.identity.signatures import Domain, Signature
from towonel.runtime.addresses import parse_address
from towonel.wire.errors import Code, Denied

UNKNOWN_EDGE = (
    "the hub knows no invite for this edge, or it was revoked: make one (`towonel edge-invite create`),"
    " set TOWONEL_EDGE_INVITE_TOKEN to its token, and restart the edge"
)


def to_edge_row(edge_id: bytes, body: EdgeRegisterIn, now_ms: int) -> EdgeRow:
    """Return the row of a valid registration.

    Raises:
        Denied: INVALID_REQUEST for an address, CERTIFICATE_MISMATCH for a certificate of another key.
    """
    for address in body.addresses:
        try:
            if not parse_address(address)[1]:
                raise ValueError("has no port that could be dialled")  # noqa: TRY301 one answer
        except ValueError as error:
            raise Denied(Code.INVALID_REQUEST, f"addresses: {address!r} {error}") from error
    if certificate_public_key(body.certificate_pem) != edge_id:
        raise Denied(Code.CERTIFICATE_MISMATCH, "the certificate is not for this edge's key")
    return EdgeRow(
        edge_id=edge_id,
        addresses=json.dumps(body.addresses),
        certificate_pem=extract_certificate(body.certificate_pem),  # agents trust all that is in it
        certificate_sha256=certificate_sha256(body.certificate_pem),
        version=body.version,
        last_seen_ms=now_ms,
        region=body.region,
    )


async def register_edge(
    hub: Hub, write: Write, actor: Actor, signed: Signature, row: EdgeRow
) -> None:
    """Insert or update an edge.

    Raises:
        Denied: EDGE_UNKNOWN without an active invite, or REPLAYED.
    """
    await _check_invited(hub, write.session, row.edge_id)
    await nonces.use(write.session, Domain.EDGE_REGISTER, signed)
    await edge_invites.mark_used(write, row.edge_id)
    if await edges.register(write, row):
        after = {"addresses": edges.addresses_of(row), "version": row.version, "region": row.region}
        write.audit(actor, "edge.registered", actor.name, after=after)


async def store_report(
    hub: Hub, session: AsyncSession, signed: Signature, report: EdgeReport
) -> None:
    """Store the newest report of an edge.

    Raises:
        Denied: EDGE_UNKNOWN without an active invite, REPLAYED, or TOO_LARGE.
    """
    await _check_invited(hub, session, signed.id)
    await nonces.use(session, Domain.EDGE_REPORT, signed)
    await reports.put(session, signed.id, report, hub.now_ms())
    agent_ids = {one.agent_id for one in report.sessions}
    await agents.mark_sessions(session, agent_ids, hub.now_ms())


async def active_edges(hub: Hub, session: AsyncSession) -> Sequence[tuple[str, EdgeRow]]:
    """Return the registered edges that are the hub's own or have an active invite, with their names."""
    names = await active_edge_names(hub, session)
    rows = await edges.find_registered(session, list(names))
    return [(names[row.edge_id], row) for row in rows]


async def find_edge_ports(hub: Hub, session: AsyncSession) -> dict[int, str]:
    """Return an address of an active edge for each port that edges are reached at, over TCP and UDP."""
    found = [
        address
        for _, row in await active_edges(hub, session)
        for address in edges.addresses_of(row)
    ]
    return {parse_address(address)[1]: address for address in reversed(found)}


async def active_edge_names(hub: Hub, session: AsyncSession) -> Mapping[bytes, str]:
    """Return the names of the hub's own edge and of those with an active invite, by id."""
    return {hub.keys.node.public: "hub", **await edge_invites.find_names(session)}


async def _check_invited(hub: Hub, session: AsyncSession, edge_id: bytes) -> None:
    if edge_id != hub.keys.node.public and not await edge_invites.is_active(session, edge_id):
        raise Denied(Code.EDGE_UNKNOWN, UNKNOWN_EDGE)
