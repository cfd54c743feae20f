"""Authentication of edges: signature, invite, rate limit of unknown ones, and replay protection."""

from fastapi import Request

from towonel.hub.api.http.auth import limit_address, parse_signature
from towonel.hub.context import Hub
from towonel.identity.signatures import Domain, Signature
from towonel.wire.errors import Code, Denied


async def authenticate_edge(
    hub: Hub, request: Request, header: str | None, domain: Domain
) -> Signature:
    """Return the signature of an active edge; decided from memory, before the body is parsed.

    Raises:
        Denied: UNAUTHORIZED, CLOCK_SKEW, INVALID_SIGNATURE or EDGE_UNKNOWN.
        Unavailable: RATE_LIMITED for an unknown edge, which costs more than a known one.
    """
    signed = parse_signature(header)
    signed.check_node(domain, await request.body(), hub.now_ms())
    await hub.route_cache.follow(hub.route_changes.revision)
    if not hub.is_active_edge(signed.id):  # another replica may just have invited it
        await limit_address(hub, request)
        await hub.route_cache.follow(hub.route_cache.revision + 1)
    check_active_edge(hub, signed.id)
    return signed


def check_active_edge(hub: Hub, edge_id: bytes) -> None:
    """Check that an edge is the hub's own or has an active invite.

    Raises:
        Denied: EDGE_UNKNOWN.
    """
    if not hub.is_active_edge(edge_id):
        raise Denied(Code.EDGE_UNKNOWN, "no invite for this edge, or it is revoked")


async def use_once(hub: Hub, signed: Signature, domain: str) -> None:
    """Accept an edge's request for the routes once, and record when the edge was seen.

    Raises:
        Denied: REPLAYED.
    """
    if not await hub.limiter.use_once(domain, signed.id, signed.timestamp_ms):
        raise Denied(Code.REPLAYED, "this signed request was sent before")
    hub.edges_seen[signed.id] = hub.now_ms()
