"""Public ports of UDP services: the route of each, and its flows."""

from collections.abc import Sequence

from towonel.edge.flows.client_flow import ClientFlow, PortRoute
from towonel.relay.flows.sockets import Endpoint


class FlowPorts:
    """Public ports; one that ends costs its own flows, and not a look at all: a range ends 512 of them at once."""

    def __init__(self) -> None:
        self._routes: dict[int, PortRoute] = {}
        self._flows: dict[int, dict[Endpoint, ClientFlow]] = {}  # by port and client

    def find_route(self, port: int) -> PortRoute | None:
        """Return the route of a port, or None if there is none."""
        return self._routes.get(port)

    def set_route(self, port: int, route: PortRoute) -> Sequence[ClientFlow]:
        """Have clients of a port reach another service, and return the flows to the one before."""
        if self._routes.get(port) == route:
            return ()
        self._routes[port] = route
        return self._list_flows(port)

    def end_route(self, port: int) -> Sequence[ClientFlow]:
        """Have clients of a port reach nothing, and return the flows that there are."""
        self._routes.pop(port, None)
        return self._list_flows(port)

    def add(self, flow: ClientFlow) -> None:
        """Add a flow to those of its port."""
        self._flows.setdefault(flow.key.port, {})[flow.key.client] = flow

    def remove(self, flow: ClientFlow) -> None:
        """Remove a flow from those of its port."""
        of_port = self._flows[flow.key.port]
        del of_port[flow.key.client]
        if not of_port:
            del self._flows[flow.key.port]

    def _list_flows(self, port: int) -> list[ClientFlow]:
        return list(self._flows.get(port, {}).values())
