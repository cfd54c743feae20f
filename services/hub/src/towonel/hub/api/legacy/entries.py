"""Endpoints of the original's command line and agents: signed entries and heartbeats, in CBOR."""

import contextlib
from collections.abc import Generator
from typing import Annotated

from fastapi import Request, Response, Security

from towonel.api.legacy import HeartbeatOut
from towonel.hub.api.http.address_limit import Public
from towonel.hub.api.http.auth import (
    BEARER,
    AgentSignature,
    TenantSignature,
    actor_of,
    authenticate,
    parse_signature,
)
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.parameters import HexId, parse_hex
from towonel.hub.api.http.router import create_router
from towonel.hub.context import Hub, HubDep
from towonel.hub.core.access import Role
from towonel.hub.core.legacy import rejection_metrics
from towonel.hub.core.legacy.signed_entries import normalize
from towonel.hub.metrics import Metrics
from towonel.hub.operations.change_tokens import take_changes
from towonel.hub.operations.legacy.apply_entry import apply_entry, count_entry_changes
from towonel.hub.operations.legacy.heartbeat import check_heartbeat, record_heartbeat
from towonel.hub.store import tenants
from towonel.hub.store.legacy import entries as store
from towonel.identity.legacy.entries import verify_entry
from towonel.identity.signatures import Domain
from towonel.wire import cbor
from towonel.wire.errors import Code, Denied, ProtocolError, TowonelError
from towonel.wire.ids import TenantId
from towonel.wire.legacy.entries import decode_entry, decode_payload, encode_log
from towonel.wire.legacy.heartbeat import decode_heartbeat
from towonel.wire.legacy.ops import Op

router = create_router("/v1", tags=["entries"], dependencies=[Public])
HEARTBEAT_S = 20
_CBOR = {"content": {"application/cbor": {"schema": {"type": "string", "format": "binary"}}}}
# The original's error codes, where ours are more specific.
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
        with _count_entry(hub.metrics, body):
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
        log = await store.read_log(session, tenant)
    return Response(encode_log(log), media_type="application/cbor")


@router.post("/agent/heartbeat", responses=error_responses(400))
async def heartbeat(hub: HubDep, request: Request, authorization: AgentSignature) -> HeartbeatOut:
    """Take an agent's word that it is there, if it is one of its tenant's; signed by the agent."""
    signed = parse_signature(authorization)
    body = await request.body()
    signed.check_node(Domain.AGENT_HEARTBEAT, body, hub.now_ms())
    try:
        beat = decode_heartbeat(body)
    except ProtocolError as error:
        raise Denied(Code.INVALID_REQUEST, error.detail) from error
    if beat.agent_id != signed.id:
        raise Denied(Code.UNAUTHORIZED, "agent_id: not signed by the agent it names")
    async with hub.store.read() as session:  # a stranger must not wait for the write lock
        await check_heartbeat(hub, session, beat)
    async with hub.tenant_writes.admit(beat.tenant_id), hub.store.write_fact() as session:
        await record_heartbeat(hub, session, signed, beat)
    return HeartbeatOut(next_interval_secs=HEARTBEAT_S)


@contextlib.contextmanager
def _count_entry(metrics: Metrics, body: bytes) -> Generator[None]:
    reason = rejection_metrics.INTERNAL
    try:
        yield
        reason = ""
    except TowonelError as error:
        reason = rejection_metrics.reason_of(error.code, _decode_op(body))
        raise
    finally:
        if reason:
            metrics.entries_rejected.labels(reason).inc()
        else:
            metrics.entries_accepted.inc()


def _decode_op(body: bytes) -> Op | None:
    try:
        return decode_payload(decode_entry(body).payload).op
    except ProtocolError:
        return None


async def _submit(hub: Hub, request: Request, body: bytes) -> int:
    """Verify and apply an entry; returns its sequence."""
    entry = decode_entry(body)
    async with hub.store.read() as session:  # an invalid entry must not wait for the write lock
        invite = await tenants.get(session, entry.tenant_id)
        tenants.check_active(invite)
        payload = verify_entry(invite.tenant_public_key, entry)
    op, tenant_id = normalize(payload.op), entry.tenant_id
    actor = actor_of(hub, request, f"tenant:{tenant_id.hex()}")
    async with hub.tenant_writes.admit(tenant_id):
        async with hub.store.read() as session:
            count = await count_entry_changes(hub, session, tenant_id, op)
        async with take_changes(hub, tenant_id, count) as tokens, hub.store.write() as write:
            await apply_entry(hub, write, actor, entry, payload, op, tokens)
    return payload.sequence


async def _check_reader(
    hub: Hub, request: Request, tenant_id: TenantId, header: str | None
) -> None:
    if header is None and hub.policy.open_tenant_logs:
        return
    if header is not None and header.startswith("Signature "):
        signed = parse_signature(header)
        async with hub.store.read() as session:
            invite = await tenants.get(session, TenantId(signed.id))
        signed.check_tenant_request(invite.tenant_public_key, hub.now_ms())
        if signed.id != tenant_id:
            raise Denied(Code.FORBIDDEN, "signed by another tenant")
        if not await hub.limiter.use_once(Domain.TENANT_REQUEST, signed.id, signed.timestamp_ms):
            raise Denied(Code.REPLAYED, "this signed request was sent before")
        return
    caller = await authenticate(hub, request)
    caller.principal.require(Role.VIEWER)
    if not caller.principal.may_see(tenant_id):
        raise Denied(Code.FORBIDDEN, "this key is for another tenant")
