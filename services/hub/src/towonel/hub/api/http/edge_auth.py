"""Authentication of edges: signature, invite, rate limit of unknown ones, and replay protection."""

import contextlib
from collections.abc import AsyncGenerator

from fastapi import Request

from towonel.api.reports import MAX_TEXTS, EdgeReport
from towonel.hub.api.http.address_limit import limit_address
from towonel.hub.api.http.auth import parse_body, parse_signature
from towonel.hub.context import Hub
from towonel.hub.live.route_cache import STALE_S
from towonel.hub.operations.register_edge import UNKNOWN_EDGE
from towonel.identity.signatures import BODY_HASH_HEADER, Domain, Signature, hash_body
from towonel.wire.errors import Code, Denied, Unavailable


async def authenticate_edge(
    hub: Hub, request: Request, header: str | None, domain: Domain
) -> Signature:
    """Return the signature of an active edge; decided from memory, before the body is parsed.

    Raises:
        Denied: UNAUTHORIZED, CLOCK_SKEW, INVALID_SIGNATURE or EDGE_UNKNOWN.
        Unavailable: as `identify_edge`.
    """
    signed = await identify_edge(hub, request, header)
    await _prove(hub, request, signed, domain, hash_body(await request.body()))
    return signed


async def identify_edge(hub: Hub, request: Request, header: str | None) -> Signature:
    """Return the unchecked signature of a request by an active edge, before its body is read.

    Raises:
        Denied: UNAUTHORIZED, CLOCK_SKEW or EDGE_UNKNOWN.
        Unavailable: RATE_LIMITED for an unknown edge, which costs more than a known one;
            HUB_UNAVAILABLE for one that is not cached while the database does not answer.
    """
    signed = parse_signature(header)
    signed.check_time(hub.now_ms())
    await hub.route_cache.follow(hub.route_changes.revision)
    if not hub.is_active_edge(signed.id):  # another replica may just have invited it
        await limit_address(hub, request)
        if not await hub.route_cache.follow(None) and not hub.is_active_edge(signed.id):
            raise Unavailable(
                Code.HUB_UNAVAILABLE,
                "database: busy, or it does not answer: whether this edge is invited is not known",
                retry_after_s=STALE_S,
            )
    check_active_edge(hub, signed.id)
    return signed


@contextlib.asynccontextmanager
async def receive_report(
    hub: Hub, request: Request, header: str | None
) -> AsyncGenerator[tuple[Signature, EdgeReport]]:
    """Yield a report of an active edge, and its signature, while it holds a place for it.

    With the hash of the body in a header, the edge proves itself before the body is read.

    Raises:
        Denied: UNAUTHORIZED, CLOCK_SKEW, INVALID_SIGNATURE, EDGE_UNKNOWN, INVALID_REQUEST or TOO_LARGE.
        Unavailable: RATE_LIMITED, OVERLOADED or HUB_UNAVAILABLE.
    """
    signed, intake = await identify_edge(hub, request, header), hub.report_intake
    declared = request.headers.get(BODY_HASH_HEADER)
    if declared is None:
        with intake.admit_unproved(signed.id):
            declared = hash_body(await request.body())
    await _prove(hub, request, signed, Domain.EDGE_REPORT, declared)
    await intake.count(signed.id)
    async with intake.admit(signed.id):
        request.state.body.trust()
        body = await request.body()
        if hash_body(body) != declared:
            raise Denied(Code.INVALID_SIGNATURE, f"the body is not what {BODY_HASH_HEADER} says")
        if body.count(b'"') > 2 * MAX_TEXTS:
            raise Denied(Code.TOO_LARGE, f"a report of more than {MAX_TEXTS} names and values")
        yield signed, parse_body(body, EdgeReport)


async def _prove(
    hub: Hub, request: Request, signed: Signature, domain: Domain, body_hash: str
) -> None:
    """Check a signature; a wrong one counts against the address that sent it."""
    try:
        signed.check_node_hash(domain, body_hash, hub.now_ms())
    except Denied:
        await limit_address(hub, request)
        raise


def check_active_edge(hub: Hub, edge_id: bytes) -> None:
    """Check that an edge is the hub's own or has an active invite.

    Raises:
        Denied: EDGE_UNKNOWN.
    """
    if not hub.is_active_edge(edge_id):
        raise Denied(Code.EDGE_UNKNOWN, UNKNOWN_EDGE)


async def use_once(hub: Hub, signed: Signature, domain: str) -> None:
    """Accept an edge's request for the routes once, and record when the edge was seen.

    Raises:
        Denied: REPLAYED.
    """
    if not await hub.limiter.use_once(domain, signed.id, signed.timestamp_ms):
        raise Denied(Code.REPLAYED, "this signed request was sent before")
    hub.edges_seen[signed.id] = hub.now_ms()
