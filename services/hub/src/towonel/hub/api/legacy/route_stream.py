"""Routes as the original's edges follow them: the whole table, as server-sent events."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping

from anyio import CancelScope
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from towonel.hub.api.http.auth import EdgeSignature
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.sse import streamed
from towonel.hub.api.nodes.edges import signed_edge, take_once
from towonel.hub.context import Hub, HubDep
from towonel.hub.store import agents
from towonel.identity.signatures import Domain
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, Unavailable
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.legacy.route_table import LegacyService, LegacyTable, encode_table
from towonel.wire.names import ServiceKind
from towonel.wire.routes import RouteDelta, TlsMode

router = APIRouter(prefix="/v1")
MAX_SUBSCRIBERS = 256
_ONCE = "towonel/edge-sub/v1/sse"  # a request for one form of the routes is no replay in the other


@router.get(
    "/routes/subscribe",
    tags=["routes"],
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Events `routes`: the table as base64url of CBOR, whole each time.",
        },
        **error_responses(400),
    },
)
async def subscribe_routes(
    hub: HubDep, request: Request, authorization: EdgeSignature
) -> StreamingResponse:
    """Follow the routes in the original's form; signed by an edge."""
    try:
        signed = await signed_edge(hub, request, authorization, Domain.EDGE_SUBSCRIBE)
    except Denied as error:
        if error.code is not Code.EDGE_UNKNOWN:
            raise
        raise Denied(Code.UNAUTHORIZED, error.detail) from error  # the original's word
    await take_once(hub, signed, _ONCE)
    if len(hub.subscribers) >= MAX_SUBSCRIBERS:
        raise Unavailable(Code.OVERLOADED, "too many subscribers", retry_after_s=30)
    return await streamed(_events(hub, signed.id))


async def _events(hub: Hub, edge_id: bytes) -> AsyncGenerator[bytes]:
    me = object()
    hub.subscribers.add(me)
    try:
        yield b""  # for `streamed`
        sent = table = b""
        while not hub.stopping.is_set() and hub.is_active_edge(edge_id):
            revision = hub.route_cache.revision
            with contextlib.suppress(Unavailable):  # without a database, what was said last holds
                with CancelScope(shield=True):  # a read that is cut off costs its connection
                    live = await _live(hub)
                table = await asyncio.to_thread(_encoded, hub.route_cache.delta(None), live)
            if table != sent:
                sent = table
                yield b"event: routes\ndata: " + base64url.encode(table).encode() + b"\n\n"
            else:
                yield b": quiet\n\n"
            wait_s = hub.timing.route_stream_poll_s
            await hub.route_cache.wait_for_change(revision, wait_s, hub.stopping)
    finally:
        hub.subscribers.discard(me)


async def _live(hub: Hub) -> Mapping[TenantId, tuple[AgentId, ...]]:
    # Only agents that proved to be the tenant's: an edge's own word of its sessions adds none.
    async with hub.store.read() as session:
        seen = await agents.fresh(session, hub.now_ms())
    found: dict[TenantId, set[AgentId]] = {}
    for tenant_id, agent_id in seen:
        found.setdefault(tenant_id, set()).add(agent_id)
    return {tenant: tuple(sorted(ids)) for tenant, ids in found.items()}


def _encoded(whole: RouteDelta, live: Mapping[TenantId, tuple[AgentId, ...]]) -> bytes:
    table = LegacyTable({}, {}, {}, {}, {}, {})
    routes, modes = dict(table.routes), dict(table.tls_modes)
    services = {ServiceKind.TCP: dict(table.tcp_routes), ServiceKind.UDP: dict(table.udp_routes)}
    ports = {ServiceKind.TCP: dict(table.tcp_listeners), ServiceKind.UDP: dict(table.udp_listeners)}
    blocked = frozenset(whole.blocked)
    for route in whole.routes:
        serving = live.get(route.tenant_id)
        if not serving or route.tenant_id in blocked:
            continue  # as in the original, a tenant without agents has no routes
        if route.kind is ServiceKind.HTTPS:
            routes[route.name] = serving
            if route.tls_mode is TlsMode.TERMINATE:
                modes[route.name] = TlsMode.TERMINATE
        elif route.port is not None:
            service = LegacyService(route.tenant_id, route.name)
            services[route.kind][service] = serving
            ports[route.kind][route.port] = service
    tcp, udp = ServiceKind.TCP, ServiceKind.UDP
    return encode_table(
        LegacyTable(routes, modes, services[tcp], ports[tcp], services[udp], ports[udp])
    )
