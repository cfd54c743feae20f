"""Connections of sessions over TCP at an edge."""

from collections.abc import Callable

from towonel.tunnel.core.timing import Timing
from towonel.tunnel.quic.connection import ConnectionHandler
from towonel.tunnel.quic.udp import Address
from towonel.tunnel.tcp.connection import TcpConnection
from towonel.tunnel.tcp.secure_socket import SecureSocket
from towonel.tunnel.transport import Transport


class TcpConnections:
    """Set of connections, each until it has ended.

    Args:
        timing: of connections.

    Attributes:
        open_ones: those that have not ended.
    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self.open_ones: set[TcpConnection] = set()

    def open(
        self,
        sock: SecureSocket,
        address: Address,
        make_handler: Callable[[Transport], ConnectionHandler],
        on_closed: Callable[[TcpConnection], None],
    ) -> TcpConnection:
        """Begin the handshake on a socket that was accepted."""

        def forget() -> None:
            self.open_ones.discard(connection)
            on_closed(connection)

        connection = TcpConnection(
            sock,
            f"{address[0]}:{address[1]}",
            make_handler,
            on_closed=forget,
            keepalive_s=self._timing.edge_keepalive_s,
            timing=self._timing,
        )
        self.open_ones.add(connection)
        return connection
