"""Agents: they prove an invite, publish what their environment says, and renew their grant."""

from fastapi import APIRouter, Request
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.agents import BootstrapIn, BootstrapOut, RefreshIn, RefreshOut
from towonel.api.services import AppliedState, DesiredState
from towonel.hub.api.http.auth import (
    AgentSignature,
    Public,
    TenantSignature,
    actor,
    client_address,
    signature,
    signed_body,
)
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.parameters import parse_id
from towonel.hub.api.nodes.edges import active_edges, edge_out
from towonel.hub.api.presenters import quotas_of
from towonel.hub.context import Hub, HubDep
from towonel.hub.core import desired, quotas
from towonel.hub.core.desired import Wanted
from towonel.hub.core.invites import Standing, check_standing
from towonel.hub.operations.publish import before_and_after, publish
from towonel.hub.store import agents, edge_invites, edges, invites, nonces, routes
from towonel.hub.store.audit import AuditEvent, record
from towonel.hub.store.tables import REVOKED, AgentRow, InviteRow
from towonel.identity.grants import GRANT_LIFETIME_MS, Grant, issue, verify
from towonel.identity.keys import hash_invite_secret, secrets_equal
from towonel.identity.signatures import Domain, Signature
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.names import ServiceKind, parse_group
from towonel.wire.routes import TlsMode

router = APIRouter(prefix="/v1", tags=["agents"], dependencies=[Public])


@router.post("/bootstrap", responses=error_responses(400, 404, 410))
async def bootstrap(hub: HubDep, request: Request, authorization: AgentSignature) -> BootstrapOut:
    """Prove an invite. With an agent id, and signed by it, the answer has a grant."""
    # What is only signed goes on: who guesses secrets must not silence others of the same address.
    await hub.limiter.check_lockout(client_address(hub, request))
    body, asked = await signed_body(request, BootstrapIn)
    group = _group(asked.group)
    async with hub.store.read() as session:  # a wrong secret keeps no writer waiting
        row = await _proven(hub, request, session, asked)
        if asked.agent_id is None:
            return await _welcome(hub, session, row, None)
    signed = signature(authorization)
    if signed.id.hex() != asked.agent_id:
        raise Denied(Code.INVALID_SIGNATURE, "not signed by the agent it names")
    signed.check_node(Domain.AGENT_BOOTSTRAP, body, hub.now_ms())
    async with hub.store.write() as change:
        row = await _proven(hub, request, change.session, asked)
        await nonces.use(change.session, Domain.AGENT_BOOTSTRAP, signed)
        grant = _new_grant(hub, AgentId(signed.id), TenantId(row.tenant_id), group)
        await _check_agent(hub, change.session, row, grant)
        await agents.seen(change.session, _agent_row(hub, grant))
        who = actor(hub, request, f"agent:{signed.id.hex()}")
        deed = AuditEvent("agent.bootstrapped", who.name, row.tenant_id, after={"group": group})
        await record(change, who, deed, hub.now_ms())
        return await _welcome(hub, change.session, row, grant)


@router.post("/agent/refresh", responses=error_responses(400))
async def refresh(hub: HubDep, request: Request, authorization: AgentSignature) -> RefreshOut:
    """Renew a grant that is half over, and tell which edges there are; signed by the agent."""
    signed = signature(authorization)
    body, asked = await signed_body(request, RefreshIn)
    signed.check_node(Domain.AGENT_REFRESH, body, hub.now_ms())
    token, grant = _held_grant(hub, asked, signed)
    async with hub.store.write_fact() as session:
        row = await tenant_invite(session, grant.tenant_id)
        check_active(row)
        await nonces.use(session, Domain.AGENT_REFRESH, signed)
        known = await agents.find(session, grant.agent_id)
        if known is not None and known.revoked_at_ms is not None:
            raise Denied(Code.GRANT_INVALID, "this agent was revoked")
        await agents.seen(session, _agent_row(hub, grant))
        found = [edge_out(edge) for edge in await active_edges(hub, session)]
    if hub.now_ms() - grant.not_before_ms > GRANT_LIFETIME_MS // 2:
        grant = _new_grant(hub, grant.agent_id, grant.tenant_id, grant.group)
        token = issue(hub.keys.node, grant)
    return RefreshOut(
        grant=base64url.encode(token), grant_expires_at_ms=grant.not_after_ms, edges=found
    )


@router.put("/desired-state", responses=error_responses(400, 409))
async def apply_desired_state(
    hub: HubDep, request: Request, authorization: TenantSignature
) -> AppliedState:
    """Publish all that a group serves, whole or not at all; signed by the tenant."""
    signed = signature(authorization)
    body, state = await signed_body(request, DesiredState)
    group, tenant_id = _group(state.group), TenantId(signed.id)
    wanted = desired.parse(
        (Wanted(ServiceKind(s.kind), s.name, s.port, TlsMode(s.tls_mode)) for s in state.services),
        tenant_id,
        hub.policy.ports,
    )
    async with hub.store.read() as session:  # a wrong signature keeps no writer waiting
        invite = await tenant_invite(session, tenant_id)
    signed.check_tenant(invite.tenant_public_key, Domain.DESIRED_STATE, body, hub.now_ms())
    async with hub.store.write() as change:
        invite = await tenant_invite(change.session, tenant_id)
        check_active(invite)
        await nonces.use(change.session, Domain.DESIRED_STATE, signed)
        who = actor(hub, request, f"tenant:{tenant_id.hex()}")
        plan = await publish(hub, change, invite, group, wanted)
        if not plan.is_empty:
            deed = AuditEvent(
                "services.published", f"group:{group}", tenant_id, *before_and_after(plan)
            )
            await record(change, who, deed, hub.now_ms())
        revision = await routes.revision(change.session)
    return AppliedState(
        revision=revision,
        created=[route.key for route in plan.created],
        changed=[route.key for route in plan.changed],
        deleted=[route.key for route in plan.deleted],
        unchanged=plan.unchanged,
    )


async def tenant_invite(session: AsyncSession, tenant_id: TenantId) -> InviteRow:
    """Return the invite of a tenant.

    Raises:
        Denied: TENANT_NOT_ALLOWED where this hub has none.
    """
    invite = await invites.invite_of_tenant(session, tenant_id)
    if invite is None:
        raise Denied(Code.TENANT_NOT_ALLOWED, "this hub has no such tenant")
    return invite


def check_active(invite: InviteRow) -> None:
    """Check that a tenant may do anything now.

    Raises:
        Denied: TENANT_REVOKED or TENANT_SUSPENDED.
    """
    if invite.status == REVOKED:
        raise Denied(Code.TENANT_REVOKED, "the invite is revoked")
    if invite.suspended_at_ms is not None:
        raise Denied(Code.TENANT_SUSPENDED, "the hub's operator has suspended this tenant")


async def _check_agent(hub: Hub, session: AsyncSession, row: InviteRow, grant: Grant) -> None:
    known = await agents.find(session, grant.agent_id)
    if known is not None and known.revoked_at_ms is not None:
        raise Denied(Code.TENANT_NOT_ALLOWED, "this agent was revoked; start it anew")
    running = await agents.running(session, row.tenant_id, grant.agent_id, hub.now_ms())
    quotas.check_agents(running, quotas_of(row, hub.policy.quotas).agents)


def _agent_row(hub: Hub, grant: Grant) -> AgentRow:
    return AgentRow(
        agent_id=grant.agent_id,
        tenant_id=grant.tenant_id,
        group=grant.group,
        first_seen_ms=hub.now_ms(),
        last_seen_ms=hub.now_ms(),
    )


async def _proven(
    hub: Hub, request: Request, session: AsyncSession, asked: BootstrapIn
) -> InviteRow:
    row = await invites.invite(session, parse_id(asked.invite_id))
    if row is None:
        raise Denied(Code.NOT_FOUND, "no such invite")
    try:
        secret = base64url.decode(asked.invite_secret)
    except ProtocolError as error:
        raise Denied(Code.INVALID_REQUEST, "invite_secret: is not base64url") from error
    matches = secrets_equal(hash_invite_secret(hub.keys.invite_hash, secret), row.secret_hash)
    standing = Standing(row.status == REVOKED, row.expires_at_ms)
    if not matches:
        await hub.limiter.strike(client_address(hub, request))
    check_standing(standing, secret_matches=matches, now_ms=hub.now_ms())
    check_active(row)
    return row


def _held_grant(hub: Hub, asked: RefreshIn, signed: Signature) -> tuple[bytes, Grant]:
    try:
        token = base64url.decode(asked.grant)
    except ProtocolError as error:
        raise Denied(Code.GRANT_INVALID, "is not base64url") from error
    grant = verify(token, (hub.keys.node.public,), hub.now_ms())
    if grant.agent_id != signed.id:
        raise Denied(Code.GRANT_FOREIGN, "the grant is another agent's")
    return token, grant


def _new_grant(hub: Hub, agent_id: AgentId, tenant_id: TenantId, group: str) -> Grant:
    now_ms = hub.now_ms()
    return Grant(agent_id, tenant_id, group, now_ms, now_ms + GRANT_LIFETIME_MS)


async def _welcome(
    hub: Hub, session: AsyncSession, row: InviteRow, grant: Grant | None
) -> BootstrapOut:
    known = await active_edges(hub, session)
    trusted = [edge_id.hex() for edge_id in await edge_invites.names(session)]
    if any(edge.edge_id == hub.keys.node.public for edge in known):
        trusted.append(hub.keys.node.public.hex())
    return BootstrapOut(
        tenant_id=row.tenant_id.hex(),
        hostnames=await invites.hostnames_of(session, row.invite_id),
        hub_node_id=hub.keys.node.public.hex(),
        trusted_edges=trusted,
        edge_node_id=trusted[0] if trusted else None,
        edge_addresses=[address for edge in known for address in edges.addresses_of(edge)],
        grant=base64url.encode(issue(hub.keys.node, grant)) if grant else None,
        grant_expires_at_ms=grant.not_after_ms if grant else None,
        edges=[edge_out(edge) for edge in known],
    )


def _group(text: str) -> str:
    try:
        return parse_group(text)
    except ProtocolError as error:
        raise Denied(Code.INVALID_REQUEST, error.detail) from error
