"""Look-up of the route of a worker's client, where its TLS mode decides how it is served."""

from typing import assert_never

from towonel.edge.core.route_table import RouteTable
from towonel.wire.errors import Code, Unavailable
from towonel.wire.names import Hostname
from towonel.wire.routes import Route, TlsMode


def find_route(table: RouteTable, name: Hostname) -> Route:
    """Return the route of a client that named what it wants.

    Raises:
        Unavailable: NO_ROUTE, or NO_SERVICE where this edge cannot serve its mode of TLS.
    """
    route = table.lookup(name)
    if route is None:
        raise Unavailable(Code.NO_ROUTE, name)
    match route.tls_mode:
        case TlsMode.PASSTHROUGH | TlsMode.AGENT:  # ciphertext here in both: the agent differs
            return route
        case TlsMode.TERMINATE:
            raise Unavailable(Code.NO_SERVICE, f"{name}: this edge does not terminate TLS")
        case _:
            assert_never(route.tls_mode)
