"""Flow worker of an edge: a process of its own, so that no datagram waits for a download of others."""

import socket
from functools import partial
from typing import Final, override

from towonel.edge.flows.client_flow import PortRoute
from towonel.edge.flows.flows import Flows
from towonel.edge.flows.limits import FlowLimits, share_limits
from towonel.edge.flows.messages import (
    CODEC,
    LimitsMemory,
    Message,
    PortOpened,
    Route,
    RouteEnded,
    SealedSocket,
    SessionAdmitted,
    SessionEnded,
    SessionSecret,
    SessionServices,
    Start,
    TenantLimited,
)
from towonel.edge.flows.sessions import AgentSession
from towonel.edge.worker.messages import (
    CarrierOffered,
    Crashed,
    PortClosed,
    Ready,
    SessionGoingAway,
    SessionWeight,
)
from towonel.relay.channel import Channel, describe_crash
from towonel.relay.flows.channel_worker import ChannelWorker
from towonel.relay.flows.outbox import Outbox
from towonel.relay.flows.reader import DatagramReader
from towonel.relay.flows.sockets import DatagramSocket, forbid_fragmentation
from towonel.relay.flows.timer import Every
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.policy.client_networks import decode_networks
from towonel.wire.policy.tenant_limits import TenantLimits

TICK_S: Final = 1.0


class FlowWorker(ChannelWorker[Message]):
    """Flow worker.

    Args:
        channel: to control.
    """

    flows: Flows
    _limits: FlowLimits

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel, CODEC)
        self._start: Start | None = None
        self._ports: dict[int, DatagramReader] = {}

    def report_crash(self, error: Exception) -> None:
        """Let control log an exception that is a bug of ours, and go on."""
        self.send(Crashed(describe_crash(error)))

    @override
    def act(self, message: Message, descriptors: tuple[int, ...]) -> None:
        match message:
            case Start():
                self._start = message
            case LimitsMemory():
                assert self._start is not None, "Start comes first"
                self._limits = FlowLimits(self._start, share_limits(message, descriptors[0]))
            case SealedSocket():
                self._begin(descriptors[0])
            case TenantLimited(tenant_id, connections, connection_rate, bandwidth):
                limits = TenantLimits(connections, connection_rate, bandwidth)
                self._limits.change(TenantId(tenant_id), limits, self.loop.wheel.now)
            case _:
                self._act_on_port(message, descriptors)

    def _act_on_port(self, message: Message, descriptors: tuple[int, ...]) -> None:
        match message:
            case PortOpened(port):
                self._open_port(port, descriptors[0])
            case PortClosed(port):
                reader = self._ports.pop(port, None)
                if reader is not None:
                    reader.close()
            case Route(port, name, tenant_id, clients):
                service, networks = ServiceKey(ServiceKind.UDP, name), decode_networks(clients)
                self.flows.set_route(port, PortRoute(service, TenantId(tenant_id), networks))
            case RouteEnded(port):
                self.flows.end_route(port)
            case _:
                self._act_on_session(message)

    def _act_on_session(self, message: Message) -> None:
        sessions = self.flows.sessions
        match message:
            case SessionAdmitted():
                sessions.add(message, self.loop.wheel.now)
            case SessionServices():
                sessions.change_services(message)
            case SessionWeight(session_id, weight):
                sessions.change_weight(session_id, weight)
            case SessionSecret(session_id, index, secret):
                sessions.add_secret(session_id, index, secret)
            case SessionGoingAway(session_id):
                sessions.go_away(session_id)
            case SessionEnded(session_id):
                self.flows.end_session(session_id)
            case _:
                raise ProtocolError(Code.UNEXPECTED_MESSAGE, "control does not send this")

    def _begin(self, descriptor: int) -> None:
        assert self._start is not None, "Start comes first"
        sock = socket.socket(fileno=descriptor)
        forbid_fragmentation(sock)
        sealed, report_crash = DatagramSocket(sock), self.report_crash
        outbox = Outbox(self.loop, sealed, report_crash)
        most = self._start.flows
        self.flows = Flows(most, self._limits, self.loop, outbox, self._offer, report_crash)
        DatagramReader(self.loop, sealed, self.flows.take_packets, report_crash)
        Every(self.loop.wheel, self._start.report_s, self._send_report)
        Every(self.loop.wheel, TICK_S, self.flows.tick)
        self.send(Ready())

    def _offer(self, session: AgentSession, port: int, sock: socket.socket) -> None:
        self.send(CarrierOffered(session.session_id, port), (sock.detach(),))

    def _open_port(self, port: int, descriptor: int) -> None:
        sock = DatagramSocket(socket.socket(fileno=descriptor))
        outbox = Outbox(self.loop, sock, self.report_crash)
        take = partial(self.flows.take_datagrams, outbox, port)
        self._ports[port] = DatagramReader(self.loop, sock, take, self.report_crash)

    def _send_report(self) -> None:
        if self.channel.holds:
            return
        counters, refusals = self.flows.take_counters()
        self.send(counters)
        for refused in refusals:
            self.send(refused)
