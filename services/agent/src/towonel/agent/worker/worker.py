"""Worker of an agent: lanes to its edges and connections to its origins, in one loop, told by control."""

import contextlib
import os
import select
from typing import Final, assert_never, override

from towonel.agent.core.client_counts import COLUMNS, ClientCounts
from towonel.agent.worker import messages
from towonel.agent.worker.clients import Clients
from towonel.agent.worker.messages import (
    Crashed,
    Drain,
    Drained,
    LanesFailed,
    LanesWanted,
    LanesWorking,
    Message,
    Origins,
    Ready,
    Resolve,
    Resolved,
    Session,
    SessionEnded,
    SessionGoingAway,
    SessionLanes,
    Start,
    Up,
)
from towonel.relay.agent_lanes import (
    AgentLane,
    AgentLanes,
    AgentLaneSession,
    AgentLanesOwner,
    AgentUse,
    LaneKind,
    LaneTarget,
)
from towonel.relay.channel import Channel, ChannelClosed, describe_crash
from towonel.relay.core.deadlines import Timed
from towonel.relay.hop.choice import Engine, load_hop
from towonel.relay.loop import READABLE, WRITABLE, Handler, Loop
from towonel.relay.memory import Memory
from towonel.relay.shared_rows import map_rows
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import ServiceKey

REPORT_S: Final = 1.0
FINISH_CHECK_S: Final = 0.02


class Worker(Handler, AgentLanesOwner):
    """Worker, which handles the channel to control.

    Args:
        channel: to control.
        loop: of the worker.
        memory: of the worker; control names its engine.
        report_s: between messages with counters.
    """

    def __init__(
        self, channel: Channel, loop: Loop, memory: Memory, report_s: float = REPORT_S
    ) -> None:
        self.lanes = AgentLanes(loop, memory, self)
        self.clients = Clients(loop, memory, self._resolve, self._on_change, self._report_crash)
        self._channel = channel
        self._loop = loop
        self._memory = memory
        self._draining = False
        self._orphaned = False
        self._ending: list[AgentLaneSession] = []
        self._report_s = report_s
        self._report = _Report(self)
        self._finish = _Finish(self)
        self._reported: dict[bytes, SessionLanes] = {}

    def run(self) -> None:
        """Work until control is gone, and no client is left."""
        self._loop.add(
            self._channel.fileno(), self, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
        )
        self._send(Ready())
        self._loop.wheel.arm(self._report, self._report_s)
        self._loop.run()

    def report(self) -> None:
        """Tell control what there is, each second, and that this worker is alive; an orphan ends."""
        if self._orphaned:
            self._loop.stop()
            return
        self._loop.wheel.arm(self._report, self._report_s)
        self.lanes.ended.drop_unsent()
        clients = self.clients
        self._send(clients.counters.total(clients.active, clients.connections, self.lanes))
        for session in self.lanes.sessions.values():
            self._report_lanes(session)
        for event in clients.counters.take_events():
            self._send(event)

    def finish(self) -> None:
        """End the lanes after the last client, and be done once they have sent what they had."""
        for session_id in list(self.lanes.sessions):
            self._end_session(session_id, None)
        if any(session.busy for session in self._ending):
            self._loop.delays.arm(self._finish, FINISH_CHECK_S)
        elif self._orphaned:
            self._loop.stop()
        else:
            self.report()
            self._send(Drained())

    # Of the channel.

    @override
    def on_ready(self, events: int) -> None:
        try:
            if events & WRITABLE and self._channel.holds:
                self._channel.flush()
            if events & READABLE:
                for message in self._channel.receive():
                    self._act(messages.decode(message), message.descriptors)
        except ChannelClosed:
            self._leave()

    # Of the lanes.

    @override
    def on_open(self, lane: AgentLane, content: bytes) -> AgentUse | None:
        try:
            return self.clients.open(lane, content)
        except Exception as error:  # noqa: BLE001 all other clients go on
            self._report_crash(error)
            lane.fail(Code.INTERNAL)
            return None

    @override
    def on_lanes_failed(self, session: AgentLaneSession, code: Code) -> None:
        self._send(LanesFailed(session.session_id, int(code)))

    @override
    def on_lanes_working(self, session: AgentLaneSession) -> None:
        self._send(LanesWorking(session.session_id))

    def _act(self, message: Message, descriptors: tuple[int, ...]) -> None:
        match message:
            case Start():
                (descriptor,) = descriptors
                self._start(message, descriptor)
            case Origins(origins, ended):
                self.clients.remove_origins(ended)
                self.clients.set_origins(origins)
            case Resolved(service, addresses):
                self.clients.learn(messages.to_key(service), addresses)
            case Drain():
                self._drain()
            case Session() | LanesWanted() | SessionGoingAway() | SessionEnded():
                self._act_on_session(message)
            case _:
                raise ProtocolError(Code.UNEXPECTED_MESSAGE, message.kind)

    def _start(self, start: Start, descriptor: int) -> None:
        rows = map_rows(descriptor, 1 + start.workers, COLUMNS)
        os.close(descriptor)
        self._memory.hop = load_hop(Engine(start.engine))
        self.clients.begin(start, ClientCounts(rows, 1 + start.number))
        self.lanes.workers = start.workers

    def _act_on_session(
        self, message: Session | LanesWanted | SessionGoingAway | SessionEnded
    ) -> None:
        match message:
            case Session():
                self.lanes.add_session(
                    LaneTarget(
                        message.id,
                        message.secret,
                        message.edge_id,
                        message.certificate_hash,
                        (message.host, message.port),
                        message.server_name,
                        tuple(map(LaneKind, message.kinds)),
                    ),
                    message.wanted,
                )
            case LanesWanted(session_id, count):
                self.lanes.set_wanted(session_id, count)
            case SessionGoingAway(session_id):
                self.lanes.go_away(session_id)
            case SessionEnded(session_id, cut):
                self._reported.pop(session_id, None)
                self._end_session(session_id, None if cut is None else Code(cut))
            case _:
                assert_never(message)

    def _end_session(self, session_id: bytes, cut: Code | None) -> None:
        self._ending = [session for session in self._ending if session.busy]
        session = self.lanes.find(session_id)
        if session is not None:
            self._ending.append(session)
            self.lanes.end_session(session_id, cut=cut)

    def _resolve(self, service: ServiceKey) -> None:
        self._send(Resolve(messages.name_service(service)))

    def _drain(self) -> None:
        """Take no more clients, and finish once there is none."""
        self._draining = True
        for session_id in self.lanes.sessions:
            self.lanes.go_away(session_id)
        self._finish_if_draining()

    def _on_change(self) -> None:
        """Report soon that this worker is busy, or idle."""
        if not self._orphaned:
            self._loop.wheel.arm(self._report, 0)
        self._finish_if_draining()

    def _finish_if_draining(self) -> None:
        if self._draining and not self.clients.active:
            self._loop.delays.arm(self._finish, 0)

    def _leave(self) -> None:
        """Go on without control: let the clients that there are finish."""
        if self._orphaned:
            return
        self._orphaned = True
        self._loop.wheel.arm(self._report, self.clients.start.orphan_s)
        self._loop.forget(self._channel.fileno())
        self._channel.close()
        self._draining = True
        for session_id in list(self.lanes.sessions):
            self._end_session(session_id, None)
        self._finish_if_draining()

    def _report_lanes(self, session: AgentLaneSession) -> None:
        """Tell the lanes of a session, if they have changed."""
        now = SessionLanes(
            session.session_id,
            len(session.idle),
            len(session.busy),
            len(session.dials),
            session.wanted,
        )
        if self._reported.get(session.session_id) != now:
            self._reported[session.session_id] = now
            self._send(now)

    def _report_crash(self, error: Exception) -> None:
        """Let control log an exception that is a bug of ours, and go on."""
        self._send(Crashed(describe_crash(error)))

    def _send(self, message: Up) -> None:
        """Tell control; that it is gone, epoll says of the channel."""
        if not self._orphaned:
            with contextlib.suppress(ChannelClosed):
                self._channel.send(message.kind, messages.encode(message))


class _Report(Timed):
    """Timer of the reports."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @override
    def expire(self) -> None:
        self._worker.report()


class _Finish(Timed):
    """Timer of the end, after the last client and its lane."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @override
    def expire(self) -> None:
        self._worker.finish()
