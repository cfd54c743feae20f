"""Pieces of a change of routes: together they do what the whole does, and no name is ever without a route."""

import pytest

from towonel.edge.core.route_pieces import PIECE_BYTES, encode_pieces, to_delta
from towonel.edge.core.route_table import RouteTable
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.policy.tenant_limits import TenantLimits
from towonel.wire.routes import Route, RouteDelta, decode_delta

TENANT = TenantId(b"a" * 32)
LABEL = "a" * 60


def route(number: int, size: int = 1) -> Route:
    """A route whose name has at least so many labels of the greatest length but three."""
    name = ".".join([f"{number:03}", *[LABEL] * (size - 1), "example.eu"])
    return Route(ServiceKind.HTTPS, name, TENANT)


def tenant(number: int) -> TenantId:
    return TenantId(number.to_bytes(32))


def test_a_small_change_is_one_piece() -> None:
    limits = {TENANT: TenantLimits(connections=9)}
    delta = to_delta({route(1).key: route(1), route(2).key: None}, (TENANT,), limits)

    (piece,) = encode_pieces(delta)
    assert decode_delta(piece) == delta
    assert (delta.routes, delta.removed, delta.blocked) == ((route(1),), (route(2).key,), (TENANT,))
    assert delta.limits == limits


def table(size: int) -> RouteTable:
    made = RouteTable()
    routes = tuple(route(number, size) for number in range(999))
    made.apply(RouteDelta(1, snapshot=True, routes=routes, blocked=tuple(map(tenant, range(700)))))
    return made


@pytest.mark.parametrize("size", [1, 4])
def test_the_pieces_of_a_large_change_do_together_what_it_does(size: int) -> None:
    one, other = table(size), table(size)
    change = RouteDelta(
        2,
        snapshot=False,
        routes=tuple(route(number, size) for number in range(900, 1900)),
        removed=tuple(route(number, size).key for number in range(900)),
        blocked=tuple(map(tenant, range(700, 1400))),
        unblocked=tuple(map(tenant, range(700))),
        limits={tenant(number): TenantLimits(9, 9, 10**12) for number in range(1000)},
    )
    one.apply(change)
    pieces = encode_pieces(change)
    for piece in pieces:
        other.apply(decode_delta(piece))

    assert other.snapshot() == one.snapshot()
    assert len(pieces) > 1
    assert max(map(len, pieces)) <= PIECE_BYTES


def test_what_goes_comes_last() -> None:
    many = tuple(map(route, range(400)))
    keys = tuple(route(number).key for number in range(500, 900))
    pieces = map(decode_delta, encode_pieces(RouteDelta(1, False, many, keys)))
    kinds = [(bool(piece.routes), bool(piece.removed)) for piece in pieces]

    assert kinds == sorted(kinds, reverse=True)
    assert {(True, False), (False, True)} == set(kinds)
