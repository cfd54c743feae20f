"""Signed entries: what the original's command line and agents send, verified and applied."""

import contextlib
from collections.abc import Generator, Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Request, Response, Security
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.api.legacy import HeartbeatOut
from towonel.hub.api.http.auth import (
    BEARER,
    AgentSignature,
    Public,
    TenantSignature,
    actor,
    caller_of,
    signature,
)
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.parameters import HexId, parse_hex
from towonel.hub.api.nodes.agents import check_active, tenant_invite
from towonel.hub.api.presenters import quotas_of
from towonel.hub.context import Hub, HubDep
from towonel.hub.core import desired
from towonel.hub.core.access import Role
from towonel.hub.core.desired import Wanted
from towonel.hub.core.legacy import rejection_metrics
from towonel.hub.core.legacy import signed_entries as rules
from towonel.hub.core.ownership import Claim, candidates, claim_of
from towonel.hub.core.quotas import Quotas
from towonel.hub.core.quotas import check as check_quota
from towonel.hub.metrics import Metrics
from towonel.hub.operations.publish import before_and_after, publish
from towonel.hub.store import agents, invites, nonces
from towonel.hub.store.audit import AuditEvent, record
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.legacy import entries as store
from towonel.hub.store.tables import AgentRow, InviteRow
from towonel.identity.legacy.entries import verify_entry
from towonel.identity.signatures import Domain
from towonel.wire import cbor
from towonel.wire.errors import Code, Denied, ProtocolError, TowonelError
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.legacy.entries import decode_entry, decode_payload, encode_log
from towonel.wire.legacy.heartbeat import decode_heartbeat
from towonel.wire.legacy.ops import Op, RevokeAgent, UpsertAgent
from towonel.wire.names import Hostname, ServiceKind

router = APIRouter(prefix="/v1", tags=["entries"], dependencies=[Public])
GROUP = "@entries"  # no agent can have a group of this name
HEARTBEAT_S = 20
_CBOR = {"content": {"application/cbor": {"schema": {"type": "string", "format": "binary"}}}}
# What the original's error codes are, where ours say it more exactly.
_ORIGINAL = {
    Code.MALFORMED: Code.INVALID_REQUEST,
    Code.BAD_NAME: Code.INVALID_REQUEST,
    Code.TOO_LARGE: Code.INVALID_REQUEST,
    Code.PORT_CONFLICT: Code.INVALID_REQUEST,
    Code.TENANT_REVOKED: Code.TENANT_NOT_ALLOWED,
}


@router.post(
    "/entries",
    response_class=Response,
    responses={
        200: {**_CBOR, "description": "`{status, sequence}`"},
        **error_responses(403, 409, 422),
    },
)
async def submit_entry(hub: HubDep, request: Request) -> Response:
    """Apply one signed change of a tenant; it must follow all that the tenant sent before."""
    body = await request.body()
    try:
        with _counted(hub.metrics, body):
            sequence = await _submit(hub, request, body)
    except TowonelError as error:
        code = _ORIGINAL.get(error.code)
        if code is None:
            raise
        raise Denied(code, error.detail) from error
    answer = cbor.encode({"status": "ok", "sequence": sequence})
    return Response(answer, media_type="application/cbor")


@router.get(
    "/tenants/{tenant_id}/entries",
    response_class=Response,
    responses={200: {**_CBOR, "description": "All entries, by sequence."}, **error_responses(400)},
)
async def list_entries(
    hub: HubDep,
    request: Request,
    tenant_id: HexId,
    signed_by: TenantSignature,
    _key: Annotated[object, Security(BEARER, scopes=["viewer"])],
) -> Response:
    """Hand out a tenant's entries that still matter: to itself, or to who may read."""
    tenant = TenantId(parse_hex(tenant_id, "tenant_id"))
    await _check_reader(hub, request, tenant, signed_by)
    async with hub.store.read() as session:
        found = await store.log(session, tenant)
    return Response(encode_log(found), media_type="application/cbor")


@router.post("/agent/heartbeat", responses=error_responses(400))
async def heartbeat(hub: HubDep, request: Request, authorization: AgentSignature) -> HeartbeatOut:
    """Take an agent's word that it is there, if it is one of its tenant's; signed by the agent."""
    signed = signature(authorization)
    body = await request.body()
    signed.check_node(Domain.AGENT_HEARTBEAT, body, hub.now_ms())
    try:
        beat = decode_heartbeat(body)
    except ProtocolError as error:
        raise Denied(Code.INVALID_REQUEST, error.detail) from error
    if beat.agent_id != signed.id:
        raise Denied(Code.UNAUTHORIZED, "agent_id: not signed by the agent it names")
    async with hub.store.write_fact() as session:
        check_active(await tenant_invite(session, beat.tenant_id))
        row = await _known_agent(hub, session, beat.tenant_id, beat.agent_id)
        await nonces.use(session, Domain.AGENT_HEARTBEAT, signed)
        await agents.heard(session, row, hub.now_ms())
    return HeartbeatOut(next_interval_secs=HEARTBEAT_S)


@contextlib.contextmanager
def _counted(metrics: Metrics, body: bytes) -> Generator[None]:
    reason = rejection_metrics.INTERNAL
    try:
        yield
        reason = ""
    except TowonelError as error:
        reason = rejection_metrics.reason(error.code, _op_of(body))
        raise
    finally:
        if reason:
            metrics.entries_rejected.labels(reason).inc()
        else:
            metrics.entries_accepted.inc()


def _op_of(body: bytes) -> Op | None:
    try:
        return decode_payload(decode_entry(body).payload).op
    except ProtocolError:
        return None


async def _submit(hub: Hub, request: Request, body: bytes) -> int:
    entry = decode_entry(body)
    async with hub.store.read() as session:  # what is refused here keeps no writer waiting
        invite = await tenant_invite(session, entry.tenant_id)
    check_active(invite)
    payload = verify_entry(invite.tenant_public_key, entry)
    op = rules.checked(payload.op)
    who = actor(hub, request, f"tenant:{entry.tenant_id.hex()}")
    async with hub.store.write() as change:
        invite = await tenant_invite(change.session, entry.tenant_id)
        check_active(invite)
        rules.check_sequence(invite.last_sequence, payload.sequence)
        known = rules.replay(await store.ops(change.session, entry.tenant_id))
        state = rules.apply(known, op)
        if len(state.ops) > len(known.ops):
            _check_quotas(state, quotas_of(invite, hub.policy.quotas))
        before, after = await _apply(hub, change, invite, op, state)
        await store.append(change, invite, entry, payload, op)
        about = {"op": op.name, "subject": rules.subject(op), **after}
        subject = f"entry:{payload.sequence}"
        deed = AuditEvent("entry.applied", subject, entry.tenant_id, before or None, about)
        await record(change, who, deed, hub.now_ms())
    return payload.sequence


def _check_quotas(state: rules.TenantState, most: Quotas) -> None:
    check_quota("agents", len(state.agents), most.agents)
    # TLS modes of names that are not published are kept, too: they count as services.
    check_quota("services", len(state.ops) - len(state.agents), 2 * most.services)


async def _apply(
    hub: Hub, change: Write, invite: InviteRow, op: Op, state: rules.TenantState
) -> tuple[Mapping[str, object], Mapping[str, object]]:
    if isinstance(op, UpsertAgent | RevokeAgent):
        await _name_agent(hub, change.session, TenantId(invite.tenant_id), op)
        return {}, {}
    hostname = getattr(op, "hostname", None)
    wanted = rules.wanted(state)
    claims = await _claims(change.session, TenantId(invite.tenant_id), wanted, hostname)
    if hostname is not None and claims[hostname] is not Claim.OWNED:
        code = (
            Code.HOSTNAME_NOT_OWNED if claims[hostname] is Claim.FOREIGN else Code.HOSTNAME_CONFLICT
        )
        raise Denied(code, f"{hostname}: not covered by this invite")
    own = getattr(op, "service", None)
    ports = hub.policy.ports
    # What was allowed once and is no more is passed over; only this op's own part is refused.
    kept = [
        item
        for item in wanted
        if claims.get(item.name) in {None, Claim.OWNED}
        and (item.port is None or item.name == own or ports.problem(item.port, item.port) is None)
    ]
    routes = desired.parse(kept, TenantId(invite.tenant_id), ports)
    plan = await publish(hub, change, invite, GROUP, routes)
    return ({}, {}) if plan.is_empty else before_and_after(plan)


async def _claims(
    session: AsyncSession, tenant_id: TenantId, wanted: Sequence[Wanted], also: str | None
) -> dict[str, Claim]:
    names = {item.name for item in wanted if item.kind is ServiceKind.HTTPS}
    names |= set() if also is None else {also}
    patterns = {pattern for name in names for pattern in candidates(Hostname(name))}
    owners = await invites.pattern_owners(session, patterns)
    return {name: claim_of(tenant_id, Hostname(name), owners) for name in names}


async def _name_agent(
    hub: Hub, session: AsyncSession, tenant_id: TenantId, op: UpsertAgent | RevokeAgent
) -> None:
    row = await agents.find(session, op.agent_id)
    holder = hub.policy.agents.get(op.agent_id) if row is None else row.tenant_id
    if holder not in {None, tenant_id}:
        raise Denied(Code.INVALID_REQUEST, "agent_id: belongs to another tenant")
    row = row or _agent(hub, tenant_id, op.agent_id)
    row.revoked_at_ms = hub.now_ms() if isinstance(op, RevokeAgent) else None
    session.add(row)


async def _known_agent(
    hub: Hub, session: AsyncSession, tenant_id: TenantId, agent_id: AgentId
) -> AgentRow:
    row = await agents.find(session, agent_id)
    if row is None:  # not seen for a day: its entry still counts
        op = await store.of_subject(session, tenant_id, f"agent:{agent_id.hex()}")
        is_named = hub.policy.agents.get(agent_id) == tenant_id or isinstance(op, UpsertAgent)
        row = _agent(hub, tenant_id, agent_id) if is_named else None
    if row is None or row.tenant_id != tenant_id or row.revoked_at_ms is not None:
        raise Denied(Code.TENANT_NOT_ALLOWED, "this agent is none of the tenant's")
    return row


def _agent(hub: Hub, tenant_id: TenantId, agent_id: AgentId) -> AgentRow:
    now_ms = hub.now_ms()
    return AgentRow(
        agent_id=agent_id,
        tenant_id=tenant_id,
        group=GROUP,
        first_seen_ms=now_ms,
        last_seen_ms=now_ms,
    )


async def _check_reader(
    hub: Hub, request: Request, tenant_id: TenantId, header: str | None
) -> None:
    if header is None and hub.policy.open_tenant_logs:
        return
    if header is not None and header.startswith("Signature "):
        signed = signature(header)
        async with hub.store.read() as session:
            invite = await tenant_invite(session, TenantId(signed.id))
        signed.check_tenant_request(invite.tenant_public_key, hub.now_ms())
        if signed.id != tenant_id:
            raise Denied(Code.FORBIDDEN, "signed by another tenant")
        if not await hub.limiter.use_once(Domain.TENANT_REQUEST, signed.id, signed.timestamp_ms):
            raise Denied(Code.REPLAYED, "this signed request was sent before")
        return
    caller = await caller_of(hub, request)
    caller.principal.require(Role.VIEWER)
    if not caller.principal.may_see(tenant_id):
        raise Denied(Code.FORBIDDEN, "this key is for another tenant")
