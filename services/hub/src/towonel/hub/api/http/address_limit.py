"""Address of a client behind trusted proxies, and the rate limit of requests without a key."""

from fastapi import Depends, Request

from towonel.hub.context import Hub, HubDep
from towonel.hub.core import rate_limits


def client_address(hub: Hub, request: Request) -> str:
    """Return the address of the client, behind trusted proxies."""
    peer = request.client.host if request.client else ""
    # Some proxies add a line of their own after the client's; together they are one list (RFC 9110 §5.3).
    forwarded_for = ",".join(request.headers.getlist("x-forwarded-for"))
    return rate_limits.client_address(peer, forwarded_for, hub.policy.proxies)


def client_source(hub: Hub, request: Request) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 of an IPv6 one."""
    return rate_limits.source_of(client_address(hub, request))


async def limit_address(hub: HubDep, request: Request) -> None:
    """Count a request without a key against its address; each request counts once.

    Raises:
        Unavailable: RATE_LIMITED, and when to come back.
    """
    if getattr(request.state, "is_counted", False):
        return
    request.state.is_counted = True
    await hub.limiter.take(f"address:{client_source(hub, request)}", hub.policy.per_address)


Public = Depends(limit_address)
