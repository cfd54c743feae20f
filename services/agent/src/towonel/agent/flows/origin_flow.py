"""Flow of one client at the agent: a UDP socket of its own that is connected to the origin."""

import socket
from typing import TYPE_CHECKING, Final, override

from towonel.agent.core.origin_addresses import OriginAddresses
from towonel.agent.core.origin_attempts import SocketAddress, to_code
from towonel.agent.worker.messages import Ports
from towonel.relay.flows.outbox import Outbox
from towonel.relay.flows.sockets import BATCH, DatagramSocket, Endpoint
from towonel.relay.loop import READABLE, Handler
from towonel.wire.errors import Code
from towonel.wire.names import ServiceKey
from towonel.wire.preamble import Preamble

if TYPE_CHECKING:
    from towonel.agent.flows.edge_session import EdgeSession
    from towonel.agent.flows.flows import Flows

ORIGIN: Final = Endpoint(("", 0))  # that a flow's socket is connected to
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
        self._outbox: Outbox | None = None
        self._waiting: list[bytes] = []
        self._unanswered = 0  # bytes to the client since it was heard last

    @property
    def owner(self) -> bytes:
        """The session, as of `FlowTable`."""
        return self.session.session_id

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
        self._outbox = Outbox(
            self._flows.loop, DatagramSocket(sock, ORIGIN), self._flows.report_crash
        )
        self._flows.loop.add(sock.fileno(), self)
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.send(data)

    def send(self, data: bytes) -> None:
        """Send a datagram of the client to the origin."""
        self._unanswered = 0
        if self._outbox is None:
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append(data)
            else:
                self._flows.counters.loss.count("no_origin_address")
            return
        self._flows.counters.count_to_origin(len(data))
        self._outbox.send(data, ORIGIN, self)

    def note_unsent(self, error: OSError, count: int) -> None:
        """Note datagrams that the origin's socket did not take, as of `Sender`."""
        if isinstance(error, BlockingIOError):
            self._flows.counters.loss.count("send_buffer_full", count)
        else:
            self._flows.fail(self, to_code(error.errno))

    def close(self) -> None:
        """Send what there is, and close the socket: the flow has ended."""
        self.over = True
        self.origin.waiting.discard(self)
        if self._outbox is not None:
            self._outbox.flush()
            self._flows.loop.forget(self._outbox.sock.fileno())
            self._outbox.sock.close()

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
        flows, count = self._flows, 0
        while count < BATCH:
            if self.over or self._outbox is None:
                return False
            try:
                found = self._outbox.sock.receive()
            except OSError as error:
                flows.fail(self, to_code(error.errno))
                return False
            if found is None:
                return False
            count += len(found[0])
            self._answer(found[0])
        return True

    def _answer(self, run: list[bytes]) -> None:
        for data in run:
            self._unanswered += len(data)
            if self._unanswered > self.origin.max_unanswered:
                self._flows.counters.loss.count("unanswered")
            else:
                self._flows.answer(self, data)
