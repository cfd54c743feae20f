"""Endpoints that agents call: bootstrap, renewal of the grant, and the desired state."""

import contextlib

from fastapi import Request
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.agents import (
    BootstrapIn,
    BootstrapOut,
    LeaveIn,
    LeaveOut,
    Publication,
    RefreshIn,
    RefreshOut,
    ServiceListener,
)
from towonel.api.services import AppliedState, DesiredState
from towonel.hub.api.http.address_limit import Public, client_address
from towonel.hub.api.http.auth import (
    AgentSignature,
    TenantSignature,
    actor_of,
    parse_body,
    parse_signature,
    signed_body,
)
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.parameters import PublishedDigest, Publisher, parse_id
from towonel.hub.api.http.router import create_router
from towonel.hub.api.presenters.routing import (
    to_applied_state,
    to_edge_out,
    to_failing_listeners,
    to_publication,
)
from towonel.hub.context import Hub, HubDep
from towonel.hub.core import desired_state
from towonel.hub.operations.bootstrap_agent import (
    bootstrap_agent,
    prove_invite,
    refresh_reports,
)
from towonel.hub.operations.change_tokens import take_changes
from towonel.hub.operations.publish import count_desired_changes, publish_desired_state
from towonel.hub.operations.register_edge import active_edges
from towonel.hub.operations.release_agent import release_agent
from towonel.hub.operations.renew_grant import refresh_agent
from towonel.hub.store import edge_invites, edges, invites, publications, routes, tenants
from towonel.hub.store.audit import Actor
from towonel.hub.store.tables import InviteRow
from towonel.identity.grants import Grant, issue, verify
from towonel.identity.signatures import Domain, Signature
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, ProtocolError, Unavailable
from towonel.wire.ids import TenantId
from towonel.wire.names import parse_group

router = create_router("/v1", tags=["agents"], dependencies=[Public])


@router.post("/bootstrap", responses=error_responses(400, 404, 410))
async def bootstrap(hub: HubDep, request: Request, authorization: AgentSignature) -> BootstrapOut:
    """Prove an invite. With an agent id, and signed by it, the answer has a grant."""
    address = client_address(hub, request)
    # Not for signed requests: a client that guesses secrets must not lock out others of its address.
    await hub.limiter.check_lockout(address)
    raw, body = await signed_body(request, BootstrapIn)
    group, invite_id = _parse_group(body.group), parse_id(body.invite_id, "invite_id")
    async with hub.store.read() as session:  # a wrong secret must not wait for the write lock
        invite = await prove_invite(hub, session, invite_id, body, address)
        if body.agent_id is None:
            return await _to_bootstrap_out(hub, session, invite, None)
    signed = _check_agent_signature(hub, authorization, raw, body.agent_id)
    actor = actor_of(hub, request, f"agent:{signed.id.hex()}")
    await refresh_reports(hub, invite, signed.id)
    async with hub.tenant_writes.admit(invite.tenant_id), hub.store.write() as write:
        invite = await prove_invite(hub, write.session, invite_id, body, address)
        grant = await bootstrap_agent(hub, write, actor, invite, signed, group)
        return await _to_bootstrap_out(hub, write.session, invite, grant)


@router.post("/agent/refresh", responses=error_responses(400))
async def refresh(
    hub: HubDep, request: Request, authorization: AgentSignature, digest: PublishedDigest
) -> RefreshOut:
    """Renew a grant that is half over, and tell which edges there are; signed by the agent.

    The answer tells, too, what the agent's group published last, so that the agent notices what an edit of its
    invite, or another agent of its group, took from it; and which of its ports an edge does not listen on.
    """
    signed = parse_signature(authorization)
    skew_ms = signed.timestamp_ms - hub.now_ms()
    raw, body = await signed_body(request, RefreshIn)
    signed.check_node(Domain.AGENT_REFRESH, raw, hub.now_ms())
    token, grant = _parse_grant(hub, body.grant, signed)
    with contextlib.suppress(Unavailable):  # the grant does not wait for what edges report
        await hub.edge_reports.refresh(hub.now_ms())
    async with hub.tenant_writes.admit(grant.tenant_id), hub.store.write_fact() as session:
        renewed = await refresh_agent(
            session,
            signed,
            grant,
            hub.now_ms(),
            skew_ms=skew_ms,
            digest=digest,
            certificate_mismatches=body.certificate_mismatches,
        )
        found = [to_edge_out(*edge) for edge in await active_edges(hub, session)]
        publication = await _find_publication(session, grant, digest)
        listeners = await _find_failing_listeners(hub, session, grant)
    if renewed is not grant:
        token = issue(hub.keys.node, renewed)
    return RefreshOut(
        grant=base64url.encode(token),
        grant_expires_at_ms=renewed.not_after_ms,
        edges=found,
        publication=publication,
        listeners=listeners,
    )


@router.post("/agent/leave", responses=error_responses(400))
async def leave(hub: HubDep, request: Request, authorization: AgentSignature) -> LeaveOut:
    """Free the place of an agent that ends; signed by the agent."""
    signed = parse_signature(authorization)
    raw, body = await signed_body(request, LeaveIn)
    signed.check_node(Domain.AGENT_LEAVE, raw, hub.now_ms())
    _, grant = _parse_grant(hub, body.grant, signed)
    async with hub.tenant_writes.admit(grant.tenant_id), hub.store.write_fact() as session:
        await release_agent(session, signed, grant, hub.now_ms())
    return LeaveOut()


@router.put("/desired-state", responses=error_responses(400, 409))
async def apply_desired_state(
    hub: HubDep, request: Request, authorization: TenantSignature, agent_id: Publisher
) -> AppliedState:
    """Publish all that a group serves, whole or not at all; signed by the tenant."""
    signed = parse_signature(authorization)
    tenant_id, raw = TenantId(signed.id), await request.body()
    async with hub.store.read() as session:
        invite = await tenants.get(session, tenant_id)
    # First: a stranger's document is not read, nor does it wait for the write lock.
    signed.check_tenant(invite.tenant_public_key, Domain.DESIRED_STATE, raw, hub.now_ms())
    actor = actor_of(hub, request, f"tenant:{tenant_id.hex()}")
    async with hub.tenant_writes.admit(tenant_id):
        return await _publish(hub, actor, signed, raw, agent_id)


async def _publish(
    hub: Hub, actor: Actor, signed: Signature, raw: bytes, agent_id: bytes | None
) -> AppliedState:
    tenant_id, body = TenantId(signed.id), parse_body(raw, DesiredState)
    group = _parse_group(body.group)
    desired_routes = desired_state.parse(body.services, tenant_id, hub.policy.ports)
    count = await count_desired_changes(hub, tenant_id, group, desired_routes)
    async with take_changes(hub, tenant_id, count) as tokens, hub.store.write() as write:
        published = await publish_desired_state(
            *(hub, write, actor, signed, group, desired_routes, agent_id, tokens)
        )
        revision = await routes.get_revision(write.session)
    return to_applied_state(published, revision)


async def _find_publication(
    session: AsyncSession, grant: Grant, digest: bytes | None
) -> Publication:
    """Return what an agent's group published last, and what stands where that is not all of the agent's."""
    row = await publications.find(session, grant.tenant_id, grant.group)
    if row is not None and row.digest == digest and await publications.is_whole(session, row):
        return to_publication(row, None)
    standing = await routes.find_published(session, grant.tenant_id, grant.group)
    return to_publication(row, sorted(standing))


async def _find_failing_listeners(
    hub: Hub, session: AsyncSession, grant: Grant
) -> list[ServiceListener]:
    """Return the ports of an agent's group that edges do not listen on."""
    if not hub.edge_reports.view.failing_ports:  # as a rule: then it costs no query
        return []
    standing = await routes.find_published(session, grant.tenant_id, grant.group)
    return to_failing_listeners(hub, standing)


def _check_agent_signature(hub: Hub, header: str | None, raw: bytes, agent_id: bytes) -> Signature:
    signed = parse_signature(header)
    if signed.id != agent_id:
        raise Denied(Code.INVALID_SIGNATURE, "not signed by the agent it names")
    signed.check_node(Domain.AGENT_BOOTSTRAP, raw, hub.now_ms())
    return signed


def _parse_grant(hub: Hub, text: str, signed: Signature) -> tuple[bytes, Grant]:
    try:
        token = base64url.decode(text)
    except ProtocolError as error:
        raise Denied(Code.GRANT_INVALID, "is not base64url") from error
    grant = verify(token, (hub.keys.node.public,), hub.now_ms())
    if grant.agent_id != signed.id:
        raise Denied(Code.GRANT_FOREIGN, "the grant is another agent's")
    return token, grant


def _parse_group(text: str) -> str:
    try:
        return parse_group(text)
    except ProtocolError as error:
        raise Denied(Code.INVALID_REQUEST, error.detail) from error


async def _to_bootstrap_out(
    hub: Hub, session: AsyncSession, row: InviteRow, grant: Grant | None
) -> BootstrapOut:
    active = await active_edges(hub, session)
    trusted = list(await edge_invites.find_names(session))
    if any(edge.edge_id == hub.keys.node.public for _, edge in active):
        trusted.append(hub.keys.node.public)
    return BootstrapOut(
        tenant_id=row.tenant_id,
        hostnames=await invites.get_hostnames(session, row.invite_id),
        hub_node_id=hub.keys.node.public,
        trusted_edges=trusted,
        edge_node_id=trusted[0] if trusted else None,
        edge_addresses=[address for _, edge in active for address in edges.addresses_of(edge)],
        grant=base64url.encode(issue(hub.keys.node, grant)) if grant else None,
        grant_expires_at_ms=grant.not_after_ms if grant else None,
        edges=[to_edge_out(*edge) for edge in active],
    )
