"""Flow worker of an edge: a process of its own, so that no datagram waits for a download of others.

Signals are control's business. When control is gone, so is the worker: flows have no connection to finish.
"""

import socket
import traceback
from collections.abc import Sequence
from functools import partial
from typing import Final, override

from towonel.edge.flows.client_flow import PortRoute
from towonel.edge.flows.flows import Flows
from towonel.edge.flows.messages import (
    CODEC,
    CarrierOffered,
    Crashed,
    Message,
    PortClosed,
    PortOpened,
    Ready,
    Route,
    RouteEnded,
    SealedSocket,
    SessionAdmitted,
    SessionEnded,
    SessionGoingAway,
    SessionSecret,
    SessionServices,
    Start,
)
from towonel.edge.flows.sessions import AgentSession
from towonel.relay.channel import Channel, ChannelClosed
from towonel.relay.flows.reader import DatagramReader
from towonel.relay.flows.sockets import DatagramSocket, forbid_fragmentation
from towonel.relay.flows.timer import Every
from towonel.relay.loop import READABLE, WRITABLE, Handler, Loop
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.policy.client_networks import decode_networks

TICK_S: Final = 1.0
_MAX_TRACEBACK_CHARS: Final = 8 * 1024


class FlowWorker(Handler):
    """Flow worker; the handler of its channel to control.

    Args:
        channel: to control.
    """

    flows: Flows

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._loop = Loop()
        self._start: Start | None = None
        self._ports: dict[int, DatagramReader] = {}

    def run(self) -> None:
        """Carry datagrams until control is gone."""
        self._loop.add(self._channel.fileno(), self)
        self._loop.run()

    @override
    def on_ready(self, events: int) -> None:
        try:
            if events & WRITABLE:
                self._channel.flush()
            if events & READABLE:
                for message in self._channel.receive():
                    self._act(CODEC.decode(message), message.descriptors)
        except ChannelClosed:
            self._loop.stop()

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message to control; its descriptors are closed here."""
        try:
            self._channel.send(*CODEC.encode(message), descriptors)
        except ChannelClosed:
            self._loop.stop()

    def report_crash(self, error: Exception) -> None:
        """Let control log an exception that is a bug of ours, and go on."""
        text = "".join(traceback.format_exception(error))
        self.send(Crashed(text[-_MAX_TRACEBACK_CHARS:]))

    def _act(self, message: Message, descriptors: tuple[int, ...]) -> None:
        match message:
            case Start():
                self._start = message
            case SealedSocket():
                self._begin(descriptors[0])
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
            case SessionAdmitted(session_id, tenant_id):
                sessions.add(session_id, TenantId(tenant_id), self._loop.wheel.now)
            case SessionServices(session_id, names, ended):
                sessions.change_services(session_id, names, ended=ended)
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
        sealed = DatagramSocket(sock)
        self.flows = Flows(self._start, self._loop, sealed, self._offer, self.report_crash)
        DatagramReader(self._loop, sealed, self.flows.take_packet, self.report_crash)
        Every(self._loop.wheel, self._start.report_s, self._send_report)
        Every(self._loop.wheel, TICK_S, self.flows.tick)
        self.send(Ready())

    def _offer(self, session: AgentSession, port: int, sock: socket.socket) -> None:
        self.send(CarrierOffered(session.session_id, port), (sock.detach(),))

    def _open_port(self, port: int, descriptor: int) -> None:
        sock = DatagramSocket(socket.socket(fileno=descriptor))
        take = partial(self.flows.take_datagram, sock, port)
        self._ports[port] = DatagramReader(self._loop, sock, take, self.report_crash)

    def _send_report(self) -> None:
        if self._channel.holds:
            return
        counters, refusals = self.flows.take_counters()
        self.send(counters)
        for refused in refusals:
            self.send(refused)
