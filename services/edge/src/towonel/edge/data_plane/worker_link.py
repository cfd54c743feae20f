"""Link of control to one worker: what it is sent at its start, and what its messages mean here."""

import os
import socket
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, override

import structlog

from towonel.edge.data_plane.client_messages import to_client, to_record
from towonel.edge.data_plane.route_feed import RouteReader
from towonel.edge.data_plane.service_clients import ServiceClients
from towonel.edge.metrics import Metrics
from towonel.edge.worker.acceptor import PAUSE_S
from towonel.edge.worker.codec import decode, encode
from towonel.edge.worker.counters import Counters
from towonel.edge.worker.messages import (
    Accepted,
    CarrierOffered,
    ClientEnded,
    ClientHandedOver,
    ClientMoved,
    ClientsEnded,
    Crashed,
    Drain,
    Draining,
    IndexUnmapped,
    LanesWanted,
    Listen,
    Message,
    Ready,
    Refused,
    SessionOffered,
)
from towonel.edge.worker.termination.messages import CertificateWanted
from towonel.relay.channel import ChannelMessage
from towonel.relay.supervisor import Control, Worker
from towonel.relay.worker_monitor import WorkerMonitor
from towonel.runtime.log_limit import LogLimit
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import Hostname

if TYPE_CHECKING:
    from towonel.edge.data_plane.control import DataPlane

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class WorkerLink(Control, RouteReader):
    """Link to one worker, which may be replaced by another.

    Args:
        plane: of all workers.
        number: of this one, from 0.
        monitor: is told of its starts and ends.

    Attributes:
        is_ready: whether the worker has all that it needs to serve clients.
        draining: its last word on a drain; None before the first.
    """

    def __init__(self, plane: "DataPlane", number: int, monitor: WorkerMonitor) -> None:
        self._plane = plane
        self._monitor = monitor
        self.number = number
        self._given = 0  # clients that the worker was sent
        self._worker: Worker | None = None
        self._accept_failures = LogLimit()
        self._has_table = self._has_answered = False
        self._services = ServiceClients(plane.traffic)
        self.draining: Draining | None = None
        self._reported = 0  # clients, those by stream included
        self._by_stream = self._left_behind = 0  # clients of this worker, and of those before it
        self.lanes = (0, 0, 0)  # idle, in use, wanted
        self.wanted: dict[bytes, int] = {}

    @property
    def active(self) -> int:
        """Clients of the worker, and of those before it that were lost while streams serve them on."""
        return self._reported + self._left_behind

    @property
    def is_ready(self) -> bool:
        return self._has_table and self._has_answered

    @property
    def is_settled(self) -> bool:
        """Whether the worker drains, and every client that it has is relayed."""
        draining = self.draining
        return draining is not None and draining.taken == self._given and not draining.arriving

    @property
    def is_idle(self) -> bool:
        """Whether the worker drains, and has no client any more."""
        draining = self.draining
        if self._left_behind:
            return False
        return draining is not None and draining.taken == self._given and not draining.clients

    @override
    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message; where there is no worker, the next one is told what it has to know."""
        if self._worker is None:
            for descriptor in descriptors:
                os.close(descriptor)
        else:
            self._worker.send(*encode(message), descriptors)

    def listen(self, sock: socket.socket, message: Listen) -> None:
        """Let the worker accept from a listening socket, which stays open here."""
        self.send(message, [os.dup(sock.fileno())])

    def accept(self, sockets: Sequence[socket.socket], port: int | None) -> None:
        """Let the worker serve connections that were accepted here, of the port of a TCP service or not."""
        for sock in sockets:
            self._give(Accepted(port), sock.detach())

    def take(self, client: ClientMoved, descriptor: int) -> None:
        """Let the worker serve a client that was accepted by another one."""
        self._give(client, descriptor)

    def carry(self, carrier: CarrierOffered, descriptor: int) -> None:
        """Let the worker have a lane for a connection of the flow worker."""
        self._give(carrier, descriptor)

    def drain(self) -> None:
        """Let the worker accept no more, and say when its clients have ended; one that starts has none."""
        if self.is_ready:
            self.send(Drain())
        else:
            self.draining = Draining(0, 0)

    def _give(self, message: Message, descriptor: int) -> None:
        self._given += self._worker is not None
        self.send(message, [descriptor])

    # Of its supervisor.

    @override
    def on_started(self, worker: Worker) -> None:
        self._worker = worker
        self._monitor.note_start(self.number)
        self._plane.feed_state(self)

    @override
    def on_routes(self) -> None:
        self._has_table = True
        self._plane.check_ready(self)

    @override
    def on_message(self, worker: Worker, message: ChannelMessage) -> None:
        try:
            self._act(decode(message), message.descriptors)
        except ProtocolError:
            for descriptor in message.descriptors:
                os.close(descriptor)
            raise

    @override
    def on_lost(self, reason: str) -> None:
        self._plane.metrics.worker_restarts.inc()
        log.error("worker.lost", reason=reason, clients=self._reported)
        self._monitor.note_end(self.number, reason)
        self._worker = None
        self._has_table = self._has_answered = False
        self._given = 0
        self._services.lose()
        self._reported, self.lanes = 0, (0, 0, 0)
        self._left_behind += self._by_stream
        self._by_stream = 0
        self.wanted.clear()
        self._plane.shared.clear(self.number)
        _sum_up(self._plane.metrics, self._plane.links)
        if self._plane.is_draining:
            self.draining = Draining(0, 0)
            self._plane.drain_changed.set()

    def _act(self, message: Message, descriptors: tuple[int, ...]) -> None:
        match message:
            case Ready():
                self._has_answered = True
                self._plane.check_ready(self)
            case Counters():
                self._count(message)
            case LanesWanted():
                self.wanted[message.pool_id] = message.count
                self._plane.want_lanes(message.pool_id)
            case ClientMoved():
                self._move(message, descriptors[0])
            case ClientHandedOver() | SessionOffered():
                self._take(message, descriptors[0])
            case CertificateWanted():
                self._plane.certificates.want(Hostname(message.name), message.source)
            case Draining():
                self.draining = message
                self._plane.drain_changed.set()
            case _:
                self._log(message)

    def _move(self, client: ClientMoved, descriptor: int) -> None:
        """Let the worker serve a client that has a lane for it, or else any worker there is."""
        links = self._plane.links
        for link in (links[client.worker], *links):
            if link.is_ready:
                link.take(client, descriptor)
                return
        os.close(descriptor)

    def _log(self, message: Message) -> None:
        match message:
            case ClientsEnded():
                self._plane.access_log.write_all(message.lines, message.dropped)
            case Refused():
                self._plane.refusals.log(
                    to_record(message), Code(message.code), message.detail, message.count
                )
            case Crashed():
                log.error("client.crashed", traceback=message.traceback)
            case IndexUnmapped():
                self._plane.index_failures.note(f"a worker cannot map it: {message.error}")
            case _:
                raise ProtocolError(Code.UNEXPECTED_MESSAGE, "a worker does not send this")

    def _take(self, message: ClientHandedOver | SessionOffered, descriptor: int) -> None:
        if isinstance(message, ClientHandedOver):
            self._by_stream += 1
            self._plane.serve(to_client(message, descriptor), self._end_of(message.token))
        elif self._plane.take_session is None:
            os.close(descriptor)
        else:
            host, port = message.source  # a list, as it has travelled
            sock = socket.socket(fileno=descriptor)
            self._plane.take_session(sock, (host, port), message.first)

    def _end_of(self, token: int) -> Callable[[], None]:
        worker = self._worker

        def report() -> None:
            if self._worker is worker:
                self._by_stream -= 1
                self.send(ClientEnded(token))
            else:
                self._left_behind -= 1
                _sum_up(self._plane.metrics, self._plane.links)
                self._plane.drain_changed.set()

        return report

    def _count(self, counters: Counters) -> None:
        _count_metrics(self._plane.metrics, counters)
        for word, times in counters.accept_errors.items():
            self._accept_failures.warning(
                "edge.accept_failed", key=word, times=times, error=word, pause_s=PAUSE_S
            )
        self._reported = counters.active
        self.lanes = counters.lanes_idle, counters.lanes_in_use, counters.lanes_wanted
        self._services.count(counters.services)
        _sum_up(self._plane.metrics, self._plane.links)


def _sum_up(metrics: Metrics, links: Collection[WorkerLink]) -> None:
    """Set the metrics that are sums over the workers."""
    metrics.connections_active.set(sum(link.active for link in links))
    for number, state in enumerate(("idle", "in_use", "wanted")):
        metrics.lanes.labels(state).set(sum(link.lanes[number] for link in links))


def _count_metrics(metrics: Metrics, counters: Counters) -> None:
    metrics.connections.inc(counters.accepted)
    metrics.bytes_in.inc(counters.bytes_in)
    metrics.bytes_out.inc(counters.bytes_out)
    for way, count in counters.lanes_admitted.items():
        metrics.lanes_admitted.labels(way).inc(count)
    for way, count in counters.served.items():
        metrics.connections_served.labels(way).inc(count)
    metrics.accept_errors.inc(sum(counters.accept_errors.values()))
    for metric, counts in (
        (metrics.connections_refused, counters.refused),
        (metrics.connections_ended, counters.ended),
        (metrics.retries, counters.retries),
        (metrics.lanes_refused, counters.lanes_refused),
        (metrics.lanes_lost, counters.lanes_lost),
    ):
        for code, count in counts:
            metric.labels(Code(code).word).inc(count)
