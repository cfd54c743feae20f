"""Pieces of a change of routes: each is encoded in a message of its own.

Between two of them a name has its new route or its old one, and never none: what goes comes last.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import batched
from typing import Final

from towonel.edge.core.route_layers import Layer
from towonel.wire.ids import TenantId
from towonel.wire.policy.tenant_limits import TenantLimits
from towonel.wire.routes import RouteDelta, encode_delta

PIECE_BYTES: Final = 32 * 1024  # at most
_TENANTS, _ROUTES, _KEYS = 500, 50, 100  # of one piece; a name has up to 253 bytes
_LIMITED = 250  # tenants with limits, of one piece


def to_delta(
    changes: Layer,
    blocked: Collection[TenantId] = (),
    limits: Mapping[TenantId, TenantLimits] | None = None,
) -> RouteDelta:
    """Return a delta with the changes of a layer."""
    return RouteDelta(
        0,
        snapshot=False,
        routes=tuple(route for route in changes.values() if route is not None),
        removed=tuple(key for key, route in changes.items() if route is None),
        blocked=tuple(blocked),
        limits=dict(limits or {}),
    )


def encode_pieces(delta: RouteDelta) -> list[bytes]:
    """Return a delta that is no snapshot as one piece, or several where it is large."""
    whole = encode_delta(delta)
    return [whole] if len(whole) <= PIECE_BYTES else [*map(encode_delta, _split(delta))]


def _split(delta: RouteDelta) -> Iterator[RouteDelta]:
    revision = delta.revision
    for limits in batched(delta.limits.items(), _LIMITED, strict=False):
        yield RouteDelta(revision, snapshot=False, limits=dict(limits))
    for blocked in batched(delta.blocked, _TENANTS, strict=False):
        yield RouteDelta(revision, snapshot=False, blocked=blocked)
    for routes in batched(delta.routes, _ROUTES, strict=False):
        yield RouteDelta(revision, snapshot=False, routes=routes)
    for removed in batched(delta.removed, _KEYS, strict=False):
        yield RouteDelta(revision, snapshot=False, removed=removed)
    for unblocked in batched(delta.unblocked, _TENANTS, strict=False):
        yield RouteDelta(revision, snapshot=False, unblocked=unblocked)
