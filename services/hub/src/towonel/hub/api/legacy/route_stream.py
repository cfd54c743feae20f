"""Endpoint that the original's edges follow: the whole route table, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping

from anyio import CancelScope
from fastapi import Request
from fastapi.responses import StreamingResponse

from towonel.hub.api.http.auth import EdgeSignature
from towonel.hub.api.http.edge_auth import authenticate_edge, use_once
from towonel.hub.api.http.errors import error_responses
from towonel.hub.api.http.router import create_router
from towonel.hub.api.http.sse import stream_events
from towonel.hub.context import Hub, HubDep
from towonel.hub.store.legacy import heartbeats
from towonel.identity.signatures import Domain, hash_body
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, Unavailable
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.legacy.route_table import LegacyService, LegacyTable, encode_table
from towonel.wire.names import ServiceKind
from towonel.wire.routes import RouteDelta, TlsMode

router = create_router("/v1")
MAX_SUBSCRIBERS = 256
PART_BYTES = 3 * 8 * 1024  # of a table; base64 has no padding between parts of three bytes each
_ONCE = "towonel/edge-sub/v1/sse"  # the same signed request may be used once for each form


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
        signed = await authenticate_edge(hub, request, authorization, Domain.EDGE_SUBSCRIBE)
    except Denied as error:
        if error.code is not Code.EDGE_UNKNOWN:
            raise
        raise Denied(Code.UNAUTHORIZED, error.detail) from error  # the original's code
    request.state.at_end.enter_context(hub.edge_requests.hold(signed.id))
    await use_once(hub, signed, _ONCE)
    if len(hub.subscribers) >= MAX_SUBSCRIBERS:
        raise Unavailable(Code.OVERLOADED, "too many subscribers", retry_after_s=30)
    return await stream_events(_events(hub, signed.id))


async def _events(hub: Hub, edge_id: bytes) -> AsyncGenerator[bytes]:
    me, sent = object(), ""
    hub.subscribers[me] = b""
    try:
        yield b""  # for `stream_events`
        while not hub.stopping.is_set() and hub.is_active_edge(edge_id):
            revision = hub.route_cache.revision
            table = await _try_to_encode(hub)
            digest = sent if table is None else hash_body(table)
            hub.subscribers[me] = b"" if table is None or digest == sent else _share(hub, table)
            sent, table = digest, None  # it is large, and an edge may wait, or read, for long
            for part in _to_event(hub.subscribers[me]):
                yield part
            hub.subscribers[me] = b""
            wait_s = hub.timing.route_stream_poll_s
            await hub.route_cache.wait_for_change(revision, wait_s, hub.stopping)
    finally:
        del hub.subscribers[me]


def _share(hub: Hub, table: bytes) -> bytes:
    """Return the equal table that another stream sends, if there is one: slow edges hold it together."""
    return next((sending for sending in hub.subscribers.values() if sending == table), table)


def _to_event(table: bytes) -> Generator[bytes]:
    """Yield an event in parts, of which one is held at a time; for no table, a comment."""
    if not table:
        yield b": quiet\n\n"
        return
    yield b"event: routes\ndata: "
    for start in range(0, len(table), PART_BYTES):
        yield base64url.encode(table[start : start + PART_BYTES]).encode()
    yield b"\n\n"


async def _try_to_encode(hub: Hub) -> bytes | None:
    """Return the table; None while the database does not answer: then the last one stays."""
    try:
        return await _encode_table(hub)
    except Unavailable:
        return None


async def _encode_table(hub: Hub) -> bytes:
    live: Mapping[TenantId, tuple[AgentId, ...]] = {}
    with CancelScope(shield=True):  # a cancelled read would close its connection
        live = await _running_agents(hub)
    return await asyncio.to_thread(_encode, hub.route_cache.delta(None), live)


async def _running_agents(hub: Hub) -> Mapping[TenantId, tuple[AgentId, ...]]:
    # From the database, not from edge reports: only agents that proved to be the tenant's count.
    async with hub.store.read() as session:
        running = await heartbeats.find_running(session, hub.now_ms())
    found: dict[TenantId, set[AgentId]] = {}
    for tenant_id, agent_id in running:
        found.setdefault(tenant_id, set()).add(agent_id)
    return {tenant: tuple(sorted(ids)) for tenant, ids in found.items()}


def _encode(whole: RouteDelta, live: Mapping[TenantId, tuple[AgentId, ...]]) -> bytes:
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
        elif route.port is not None and route.last_port is None:  # it knows no ranges
            service = LegacyService(route.tenant_id, route.name)
            services[route.kind][service] = serving
            ports[route.kind][route.port] = service
    tcp, udp = ServiceKind.TCP, ServiceKind.UDP
    return encode_table(
        LegacyTable(routes, modes, services[tcp], ports[tcp], services[udp], ports[udp])
    )
