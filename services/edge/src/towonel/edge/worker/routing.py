"""Routes of a worker: what control says of them, and the look-up for a client."""

import contextlib
import os
from collections.abc import Generator, Sequence
from typing import assert_never

from towonel.edge.core.route_table import PublicName, RouteTable
from towonel.edge.worker.messages import RouteIndex, Routes, RoutesFrozen
from towonel.edge.worker.relays import Relays
from towonel.edge.worker.route_memory import IndexPager, map_index
from towonel.runtime.addresses import IpAddress
from towonel.wire.errors import Code, Denied, Unavailable
from towonel.wire.routes import Route, decode_delta


def change_routes(
    table: RouteTable,
    relays: Relays,
    pager: IndexPager,
    message: Routes | RoutesFrozen | RouteIndex,
    descriptors: Sequence[int],
) -> None:
    """Act on what control says of routes; clients whose route went are cut.

    Raises:
        ProtocolError: MALFORMED, UNSUPPORTED_VERSION.
        OSError: the index cannot be mapped; the table is as it was.
    """
    with _closing(descriptors):
        match message:
            case Routes():
                change = table.apply(decode_delta(message.delta))
                relays.cut(change.blocked)
                relays.recheck(change.changed)
                relays.limit(change.limited)
            case RoutesFrozen():
                table.layers.freeze()
            case RouteIndex():
                index = map_index(descriptors[0])
                pager.change(table.layers.index, index)
                if message.is_new:
                    table.replace(index)
                    relays.recheck_all()
                else:
                    table.layers.settle(index)
            case _:
                assert_never(message)


def find_route(table: RouteTable, name: PublicName, address: IpAddress) -> Route:
    """Return the route of what a client of an address wants.

    Raises:
        Denied: CLIENT_NOT_ALLOWED.
        Unavailable: NO_ROUTE.
    """
    route = table.lookup(name)
    if route is None:
        raise Unavailable(Code.NO_ROUTE, name)
    if route.clients is not None and not route.clients.allows(address):
        raise Denied(Code.CLIENT_NOT_ALLOWED, f"{name}: not for clients of {address}")
    return route


@contextlib.contextmanager
def _closing(descriptors: Sequence[int]) -> Generator[None]:
    try:
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
