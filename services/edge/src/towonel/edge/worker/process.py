"""Worker process of an edge: a loop, what control says, and reports to it.

Signals are control's business. When control is gone, the worker accepts no more, lets its clients end, and
exits.
"""

import os
import socket
import time
from collections.abc import Sequence
from functools import partial
from typing import Final, override

from towonel.edge.worker.acceptor import Acceptors, OnAccepted
from towonel.edge.worker.codec import decode, encode
from towonel.edge.worker.counters import Counters, find_silent
from towonel.edge.worker.messages import (
    Accepted,
    CarrierOffered,
    ClientEnded,
    ClientMoved,
    Drain,
    Draining,
    IndexUnmapped,
    Listen,
    Message,
    PortClosed,
    Ready,
    RouteIndex,
    Routes,
    RoutesFrozen,
    Settled,
    Start,
)
from towonel.edge.worker.route_memory import IndexPager
from towonel.edge.worker.routing import change_routes
from towonel.edge.worker.service import ClientService
from towonel.edge.worker.shared import Listener, map_shared, to_socket
from towonel.edge.worker.termination.messages import (
    CertificateLoaded,
    CertificateRefused,
    CertificateRemoved,
    ChallengeChanged,
    HubRouteChanged,
)
from towonel.relay.channel import Channel, ChannelClosed
from towonel.relay.core.deadlines import TICK_S
from towonel.relay.hop.choice import Engine, Hop, SocketName, load_hop
from towonel.relay.loop import READABLE, WRITABLE, Handler, Loop
from towonel.relay.memory import Memory
from towonel.relay.pipes import PipePool

ALIVE_TICKS: Final = 4  # after which control hears something in any case


class EdgeWorker(Handler):
    """Worker of an edge; the handler of its channel to control.

    Args:
        channel: to control.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._loop = Loop()
        self._pager = IndexPager(self._loop)
        self._service: ClientService | None = None
        self._acceptors = Acceptors(self._loop, self._on_accept_error)
        self._hop: Hop | None = None  # control names the engine
        self._ticks = _Ticks(self)
        self._tick = 0
        self._report_ticks = 1
        self._silent = Counters()  # the report that says nothing new
        self._draining = False
        self._taken = 0  # clients that control has sent
        self._reported_drain: tuple[bool, bool] | None = None
        self._orphan_until = 0.0

    def run(self) -> None:
        """Serve until control is gone, and then until the clients are."""
        self._loop.add(self._channel.fileno(), self)
        self._loop.run()
        if self._service is not None:
            self._service.close()
        self._channel.close()
        self._loop.close()

    # Control.

    @override
    def on_ready(self, events: int) -> None:
        try:
            if events & WRITABLE:
                self._channel.flush()
            if events & READABLE:
                for message in self._channel.receive():
                    self._act(decode(message), message.descriptors)
        except ChannelClosed:
            self._become_orphan()

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message to control; its descriptors are closed here."""
        try:
            self._channel.send(*encode(message), descriptors)
        except ChannelClosed:
            self._become_orphan()

    def _act(self, message: Message, descriptors: tuple[int, ...]) -> None:
        if isinstance(message, Start):
            self._start(message, descriptors)
            return
        service = self._service
        assert service is not None, "Start comes first"
        match message:
            case Listen() | Accepted() | ClientMoved() | CarrierOffered():
                self._take_sockets(service, message, descriptors)
            case Routes() | RoutesFrozen() | RouteIndex():
                self._change_routes(service, message, descriptors)
            case (
                CertificateLoaded()
                | CertificateRemoved()
                | CertificateRefused()
                | ChallengeChanged()
            ):
                service.terminator.change(message)
            case HubRouteChanged():
                service.hub.route = message
            case PortClosed() | ClientEnded():
                self._act_on_end(service, message)
            case Drain() | Settled():
                self._drain(service, message)
            case _:
                service.sessions.change(message)

    def _act_on_end(self, service: ClientService, message: PortClosed | ClientEnded) -> None:
        if isinstance(message, PortClosed):
            self._acceptors.close_port(message.port)
        else:
            service.handed_over.end(message.token)

    def _start(self, start: Start, descriptors: tuple[int, ...]) -> None:
        self._hop = load_hop(Engine(start.engine))
        memory = Memory(PipePool(), self._hop)
        (descriptor,) = descriptors
        counts, shared, limits = map_shared(start, descriptor)
        os.close(descriptor)
        self._service = ClientService(
            *(start, self._loop, memory, self.send, limits, counts, shared),
            count_waiting=lambda: self._channel.waiting,
        )
        self._report_ticks = max(1, round(start.report_s / TICK_S))
        self._loop.wheel.arm(self._ticks, 0)
        self.send(Ready())

    def _change_routes(
        self,
        service: ClientService,
        message: Routes | RoutesFrozen | RouteIndex,
        descriptors: tuple[int, ...],
    ) -> None:
        try:
            change_routes(service.table, service.relays, self._pager, message, descriptors)
        except OSError as error:
            self.send(IndexUnmapped(str(error)))
            if not isinstance(message, RouteIndex) or message.is_new:
                raise  # without these routes it must not go on

    def _take_sockets(
        self,
        service: ClientService,
        message: Listen | Accepted | ClientMoved | CarrierOffered,
        descriptors: tuple[int, ...],
    ) -> None:
        for descriptor in descriptors:
            if isinstance(message, Listen):
                self._listen(service, message, descriptor)
            else:
                self._take_client(service, message, to_socket(descriptor))

    def _listen(self, service: ClientService, message: Listen, descriptor: int) -> None:
        accept: OnAccepted = partial(
            service.accept, lanes_only=message.lanes_only, port=message.port
        )
        self._acceptors.listen(Listener(descriptor), accept, self._hop, message.port)

    def _take_client(
        self,
        service: ClientService,
        message: Accepted | ClientMoved | CarrierOffered,
        sock: socket.socket,
    ) -> None:
        self._taken += 1
        match message:
            case ClientMoved():
                service.take(sock, message)
            case CarrierOffered():
                service.carry(sock, message)
            case Accepted():
                _take_accepted(service, sock, message.port)
        self._reported_drain = (
            None  # where control waits for the end of a drain, it is to hear of it
        )

    def _on_accept_error(self, word: str) -> None:
        if self._service is not None:
            errors = self._service.counters.accept_errors
            errors[word] = errors.get(word, 0) + 1

    # Reports.

    def on_tick(self) -> None:
        """Look at some of the clients, and report what there is to report."""
        service = self._service
        assert service is not None, "it was started"
        self._tick += 1
        service.relays.look(self._tick)
        can_report = not self._orphan_until and not self._channel.holds
        if can_report and self._tick % self._report_ticks == 0:
            self._report(service)
        self.check_drain()
        self._loop.wheel.arm(self._ticks, 0)

    def _report(self, service: ClientService) -> None:
        """Send counters, if there is anything new, or nothing was said for a second."""
        for refused in service.refuser.take():
            self.send(refused)
        if service.access_log is not None:
            for lines in service.access_log.take():
                self.send(lines)
        report = service.counters.take(service.lanes, service.sessions.count_lanes())
        if report != self._silent or self._tick % ALIVE_TICKS == 0:
            self._silent = find_silent(report)
            self.send(report)

    # Its end.

    def _drain(self, service: ClientService, message: Drain | Settled) -> None:
        if isinstance(message, Settled):
            service.lanes.close_idle()
            return
        self._acceptors.close()
        self._draining = True
        self.check_drain()

    def check_drain(self) -> None:
        """Say how far a drain is, whenever a stage is reached; an orphan exits at its end."""
        service = self._service
        if service is None or not self._draining:
            return
        arriving, clients = len(service.arriving), service.clients
        if self._orphan_until:
            if not clients or time.monotonic() >= self._orphan_until:
                self._loop.stop()
            return
        state = bool(arriving), bool(clients)
        if state != self._reported_drain:
            self._reported_drain = state
            self._report(service)
            self.send(Draining(arriving, clients, self._taken))

    def _become_orphan(self) -> None:
        """Act on the end of control, which is told nothing any more."""
        if self._orphan_until:
            return
        service = self._service
        if service is None:
            self._loop.stop()
            return
        self._orphan_until = time.monotonic() + service.start.orphan_s
        self._draining = service.is_orphan = True
        self._acceptors.close()
        service.lanes.close_idle()
        service.handed_over.end_all()
        self.check_drain()


class _Ticks(Handler):
    """Tick of a worker's clock, every 250 ms."""

    def __init__(self, worker: EdgeWorker) -> None:
        self._worker = worker

    @override
    def expire(self) -> None:
        self._worker.on_tick()


def _take_accepted(service: ClientService, sock: socket.socket, port: int | None) -> None:
    """Serve a client, or admit a lane, on a socket that was accepted elsewhere."""
    try:
        peer: SocketName = sock.getpeername()
    except OSError:  # it has left already
        sock.close()
        return
    service.accept(sock, peer, port=port)
