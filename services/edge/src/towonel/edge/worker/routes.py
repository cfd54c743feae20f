"""Routes of a worker's clients, as far as it can serve them."""

from typing import assert_never

from towonel.edge.core.route_table import RouteTable
from towonel.wire.errors import Code, Unavailable
from towonel.wire.names import Hostname
from towonel.wire.routes import Route, TlsMode


def find_route(table: RouteTable, name: Hostname) -> Route:
    """Return the route of a name that can be served here.

    Raises:
        Unavailable: NO_ROUTE, or NO_SERVICE for a TLS mode that this edge does not have.
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
