"""Agents: they prove an invite, publish what their environment says, and renew their grant."""

from fastapi import APIRouter, Request
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.client.models import (
    AppliedState,
    BootstrapIn,
    BootstrapOut,
    DesiredState,
    RefreshIn,
    RefreshOut,
)
from towonel.hub.api.auth import Authorization, signature, signed_body
from towonel.hub.api.edges import edge_out, known_edges
from towonel.hub.api.invites import parse_id
from towonel.hub.api.state import Hub, HubDep
from towonel.hub.core import desired
from towonel.hub.core.desired import Current, Plan, Wanted
from towonel.hub.core.invites import Standing, check_standing
from towonel.hub.core.ownership import candidates
from towonel.hub.store import edges, invites, nonces, routes
from towonel.hub.store.rows import REVOKED, InviteRow
from towonel.hub.store.session import Change
from towonel.identity.grants import GRANT_LIFETIME_MS, Grant, issue, verify
from towonel.identity.keys import hash_invite_secret, secrets_equal
from towonel.identity.signatures import Domain, Signature
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.names import Hostname, ServiceKind, parse_group
from towonel.wire.routes import Route, TlsMode

router = APIRouter(prefix="/v1", tags=["agents"])


@router.post("/bootstrap")
async def bootstrap(
    hub: HubDep, request: Request, authorization: Authorization = None
) -> BootstrapOut:
    """Prove an invite. With an agent id, and signed by it, the answer has a grant."""
    body, asked = await signed_body(request, BootstrapIn)
    group = _group(asked.group)
    async with hub.store.read() as session:  # a wrong secret keeps no writer waiting
        row = await _proven(hub, session, asked)
        if asked.agent_id is None:
            return await _welcome(hub, session, row, None)
    signed = signature(authorization)
    if signed.id.hex() != asked.agent_id:
        raise Denied(Code.INVALID_SIGNATURE, "not signed by the agent it names")
    signed.check_node(Domain.AGENT_BOOTSTRAP, body, hub.now_ms())
    async with hub.store.write() as change:
        row = await _proven(hub, change.session, asked)
        await nonces.use(change, Domain.AGENT_BOOTSTRAP, signed)
        grant = _new_grant(hub, AgentId(signed.id), TenantId(row.tenant_id), group)
        return await _welcome(hub, change.session, row, grant)


@router.post("/agent/refresh")
async def refresh(hub: HubDep, request: Request, authorization: Authorization = None) -> RefreshOut:
    """Renew a grant that is half over, and tell which edges there are; signed by the agent."""
    signed = signature(authorization)
    body, asked = await signed_body(request, RefreshIn)
    signed.check_node(Domain.AGENT_REFRESH, body, hub.now_ms())
    token, grant = _held_grant(hub, asked, signed)
    async with hub.store.write() as change:
        _check_active(await _invite(change.session, grant.tenant_id))
        await nonces.use(change, Domain.AGENT_REFRESH, signed)
        found = [edge_out(row) for row in await known_edges(hub, change.session)]
    if hub.now_ms() - grant.not_before_ms > GRANT_LIFETIME_MS // 2:
        grant = _new_grant(hub, grant.agent_id, grant.tenant_id, grant.group)
        token = issue(hub.keys.node, grant)
    return RefreshOut(
        grant=base64url.encode(token), grant_expires_at_ms=grant.not_after_ms, edges=found
    )


@router.put("/desired-state")
async def apply(hub: HubDep, request: Request, authorization: Authorization = None) -> AppliedState:
    """Publish all that a group serves, whole or not at all; signed by the tenant."""
    signed = signature(authorization)
    body, state = await signed_body(request, DesiredState)
    group, tenant_id = _group(state.group), TenantId(signed.id)
    wanted = desired.parse(
        (Wanted(ServiceKind(s.kind), s.name, s.port, TlsMode(s.tls_mode)) for s in state.services),
        tenant_id,
        privileged=hub.allow_privileged_ports,
    )
    async with hub.store.write() as change:
        invite = await _invite(change.session, tenant_id)
        signed.check_tenant(invite.tenant_public_key, Domain.DESIRED_STATE, body, hub.now_ms())
        _check_active(invite)
        await nonces.use(change, Domain.DESIRED_STATE, signed)
        plan = await _applied(hub, change, tenant_id, group, wanted)
        revision = await routes.revision(change.session)
    return AppliedState(
        revision=revision,
        created=[route.key for route in plan.created],
        changed=[route.key for route in plan.changed],
        deleted=[route.key for route in plan.deleted],
        unchanged=plan.unchanged,
    )


async def _applied(
    hub: Hub, change: Change, tenant_id: TenantId, group: str, wanted: list[Route]
) -> Plan:
    session = change.session
    patterns = {
        pattern
        for route in wanted
        if route.kind is ServiceKind.HTTPS
        for pattern in candidates(Hostname(route.name))
    }
    current = Current(
        own=await routes.published(session, tenant_id, group),
        siblings=await routes.published_by_siblings(session, tenant_id, group),
        tenants=await routes.tenants_of(session, [route.key for route in wanted]),
        owners=await invites.pattern_owners(session, patterns),
    )
    plan = desired.plan(tenant_id, wanted, current)
    await routes.apply(change, tenant_id, group, plan, hub.now_ms())
    await routes.drop_services(change, tenant_id, group, [route.key for route in wanted])
    return plan


async def _proven(hub: Hub, session: AsyncSession, asked: BootstrapIn) -> InviteRow:
    row = await invites.invite(session, parse_id(asked.invite_id))
    if row is None:
        raise Denied(Code.NOT_FOUND, "no such invite")
    try:
        secret = base64url.decode(asked.invite_secret)
    except ProtocolError as error:
        raise Denied(Code.INVALID_REQUEST, "invite_secret: is not base64url") from error
    matches = secrets_equal(hash_invite_secret(hub.keys.invite_hash, secret), row.secret_hash)
    standing = Standing(row.status == REVOKED, row.expires_at_ms)
    check_standing(standing, secret_matches=matches, now_ms=hub.now_ms())
    return row


async def _invite(session: AsyncSession, tenant_id: TenantId) -> InviteRow:
    invite = await invites.invite_of_tenant(session, tenant_id)
    if invite is None:
        raise Denied(Code.TENANT_NOT_ALLOWED, "this hub has no such tenant")
    return invite


def _check_active(invite: InviteRow) -> None:
    if invite.status == REVOKED:
        raise Denied(Code.TENANT_REVOKED, "the invite is revoked")


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
    known = await known_edges(hub, session)
    trusted = [edge_id.hex() for edge_id in await invites.edge_names(session)]
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
