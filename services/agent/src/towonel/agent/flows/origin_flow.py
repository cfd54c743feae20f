"""Flow of one client at the agent: a UDP socket of its own that is connected to the origin."""

import socket
from typing import TYPE_CHECKING, Final, override

from towonel.agent.core.origin_addresses import OriginAddresses
from towonel.agent.core.origin_attempts import SocketAddress, to_code
from towonel.agent.worker.messages import Ports
from towonel.relay.flows.sockets import BATCH, MAX_DATAGRAM_BYTES
from towonel.relay.loop import READABLE, Handler
from towonel.wire.errors import Code
from towonel.wire.names import ServiceKey
from towonel.wire.preamble import Preamble

if TYPE_CHECKING:
    from towonel.agent.flows.edge_session import EdgeSession
    from towonel.agent.flows.flows import Flows

MAX_WAITING: Final = 16  # datagrams that wait for the origin's address


class FlowOrigin:
    """Origin of a UDP service.

    Args:
        service: of it.
        addresses: of the origin.
        idle_s: for which a flow may carry nothing.
        max_unanswered: bytes that it may send to a client that has not been heard again.
        ports: as of `TabledOrigin`.

    Attributes:
        waiting: flows that wait for its address.
    """

    def __init__(
        self,
        service: ServiceKey,
        addresses: OriginAddresses,
        idle_s: int,
        max_unanswered: int,
        ports: Ports | None = None,
    ) -> None:
        self.service = service
        self.addresses = addresses
        self.idle_s = idle_s
        self.max_unanswered = max_unanswered
        self.ports = ports
        self.waiting: set[OriginFlow] = set()


class OriginFlow(Handler):
    """Flow to an origin.

    Args:
        flows: of the agent.
        session: that it came on.
        number: of the session's flows.
        opened: whose flow it is; another client's is another flow, whatever its number.
        origin: of its service.

    Attributes:
        used_at, idle_s: as of `FlowTable`.
        over: whether it has ended.
    """

    def __init__(
        self,
        flows: "Flows",
        session: "EdgeSession",
        number: int,
        opened: Preamble,
        origin: FlowOrigin,
    ) -> None:
        self._flows = flows
        self.session = session
        self.number = number
        self.opened = opened
        self.origin = origin
        self.used_at = 0.0
        self.idle_s = float(origin.idle_s)
        self.over = False
        self._sock: socket.socket | None = None
        self._waiting: list[bytes] = []
        self._unanswered = 0  # bytes to the client since it was heard last

    def connect(self, address: SocketAddress) -> None:
        """Send what has come to an address of the origin, and what is to come.

        Raises:
            OSError: there is no way there, or no descriptor.
        """
        family = socket.AF_INET6 if len(address) > 2 else socket.AF_INET  # noqa: PLR2004 with flow and scope
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        self._sock = sock
        self._flows.loop.add(sock.fileno(), self)
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.send(data)

    def send(self, data: bytes) -> None:
        """Send a datagram of the client to the origin."""
        self._unanswered = 0
        if self._sock is None:
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append(data)
            else:
                self._flows.counters.loss.count("no_origin_address")
            return
        try:
            self._sock.send(data)
        except BlockingIOError:
            self._flows.counters.loss.count("send_buffer_full")
        except OSError as error:
            self._flows.fail(self, to_code(error.errno))
        else:
            self._flows.counters.count_to_origin(len(data))

    def close(self) -> None:
        """Close the socket: the flow has ended."""
        self.over = True
        self.origin.waiting.discard(self)
        if self._sock is not None:
            self._flows.loop.forget(self._sock.fileno())
            self._sock.close()

    @override
    def on_ready(self, events: int) -> None:
        if events & READABLE and self._read():
            self._flows.loop.queue(self)

    @override
    def take_turn(self) -> bool:
        return self._read()

    @override
    def crash(self, error: Exception) -> None:
        self._flows.report_crash(error)
        if not self.over:
            self._flows.fail(self, Code.INTERNAL)

    def _read(self) -> bool:
        """Pass on what the origin has sent, and return whether there may be more."""
        if self.over or self._sock is None:
            return False
        receive, flows = self._sock.recv, self._flows
        try:
            for _ in range(BATCH):
                data = receive(MAX_DATAGRAM_BYTES)
                self._unanswered += len(data)
                if self._unanswered > self.origin.max_unanswered:
                    flows.counters.loss.count("unanswered")
                else:
                    flows.answer(self, data)
        except BlockingIOError:
            return False
        except OSError as error:
            flows.fail(self, to_code(error.errno))
            return False
        return True
