"""Opener of lanes for clients: chooses a session, waits for a lane of one, or lets control open a stream."""

import math
import random
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final, override

from towonel.edge.core.balance import MAX_TRIES, SESSION_CODES
from towonel.edge.worker.clients import Client
from towonel.edge.worker.counters import count
from towonel.edge.worker.sessions import WorkerSession
from towonel.relay.edge_lanes import EdgeLane, LaneSession, LaneUse, Waiter
from towonel.wire import lane_open
from towonel.wire.errors import Code, Unavailable
from towonel.wire.lane_open import LaneOpen
from towonel.wire.preamble import Preamble

if TYPE_CHECKING:
    from towonel.edge.worker.service import ClientService

SILENT_LANES: Final = 2  # one after the other, after which an agent is asked over QUIC
LOOK_S: Final = 0.03  # in which a client that waits looks for a lane of other workers


class ClientUse(LaneUse):
    """Use of a lane that is opened for a client."""

    def __init__(self, client: Client, session: WorkerSession) -> None:
        self.client = client
        self.session = session

    @override
    def on_accepted(self, lane: EdgeLane) -> None:
        self.client.service.relay(self.client, self.session, lane)

    @override
    def on_failed(self, code: Code, *, may_retry: bool) -> None:
        self.client.service.opener.retry(self.client, self.session, code, may_retry=may_retry)


class ClientWaiter(Waiter):
    """Client that waits for a lane of some sessions."""

    def __init__(self, client: Client, sessions: Iterable[WorkerSession]) -> None:
        self.client = client
        self.sessions = sessions

    @override
    def on_lane(self, session: LaneSession) -> None:
        self.client.waiter = None
        self.client.service.opener.open_on(self.client, session.session_id)

    @override
    def look_elsewhere(self) -> bool:
        return self.client.service.opener.move(self.client, self.sessions)

    @override
    def on_no_lane(self) -> None:
        self.client.waiter = None
        self.client.service.opener.miss(self.client)


class Opener:
    """Opener of lanes.

    Args:
        service: of the worker's clients.
    """

    def __init__(self, service: "ClientService") -> None:
        self._service = service

    def open(self, client: Client) -> None:
        """Open a lane of the best session that has one, wait for one, or let control open a stream."""
        service = self._service
        ordered = service.balancer.order(
            client.wanted,
            self._find_untried(client),
            now=service.loop.wheel.now,
            draw=random.randrange,
            client=client.source.ip.packed,
        )
        if not ordered:
            self._give_up(client)
            return
        if self._open_lane(client, ordered[0]):
            return
        equals = service.balancer.find_equals(client.wanted, ordered, service.loop.wheel.now)
        for session in equals:
            if not session.has_lanes and not client.inside_tls:
                self._hand_over(client, has_lanes=False)
                return
            if self._open_lane(client, session):
                return
        if not self.move(client, equals):
            self._wait(client, equals)

    def _give_up(self, client: Client) -> None:
        """Let control ask the agent over QUIC, if its lanes answered nothing; refuse the client otherwise."""
        code = client.failure or Code.NO_AGENT
        if code is Code.SESSION_SILENT and self._has_streams(client):
            self.overflow(client)
        else:
            self._service.refuse(client, Unavailable(code, str(client.wanted)))

    def _has_streams(self, client: Client) -> bool:
        serving = self._service.sessions.find(client.route.tenant_id, client.wanted)
        if client.only_pool is not None or client.inside_tls:
            return False
        return any(each.has_streams for each in serving)

    def open_on(self, client: Client, session_id: bytes) -> None:
        """Open a lane of a session that has an idle one now, or do as for any client."""
        session = self._service.sessions.get(session_id)
        if session is None or not self._open_lane(client, session):
            self.open(client)

    def _find_untried(self, client: Client) -> Collection[WorkerSession]:
        sessions = self._service.sessions
        find = sessions.find_inside_tls if client.inside_tls else sessions.find
        serving = find(client.route.tenant_id, client.wanted)
        if client.only_pool is not None:
            serving = [each for each in serving if each.session_id == client.only_pool]
        if not client.tried:
            return serving
        return [each for each in serving if each.session_id not in client.tried]

    def _open_lane(self, client: Client, session: WorkerSession) -> bool:
        lanes = session.lanes
        if lanes is None or not lanes.idle:
            return False
        use = ClientUse(client, session)
        content = lane_open.encode(
            LaneOpen(
                Preamble(
                    client.source,
                    client.destination,
                    client.wanted,
                    client.server_name,
                    None if client.record is None else client.record.traceparent,
                    client.port,
                    client.protocol,
                ),
                client.data,
                more=client.may_follow,
            )
        )
        if not lanes.open(content, use, repeatable=client.is_repeatable):
            return False
        client.use = use
        client.tries += 1
        return True

    def _may_move(self, client: Client) -> bool:
        counts = self._service.lanes.counts
        if counts.is_alone or client.is_moved or client.tries or self._service.is_orphan:
            return False
        return self._service.handed_over.is_prompt

    def move(self, client: Client, sessions: Iterable[WorkerSession]) -> bool:
        """Let another worker serve a client that has an idle lane for it, if there is one."""
        if not self._may_move(client):
            return False
        count, worker = max((each.find_idle_elsewhere() for each in sessions), default=(0, 0))
        if count:
            self._stop_waiting(client)
            self._service.take_out(client)
            self._service.handed_over.move(client, worker)
        return bool(count)

    def _wait(self, client: Client, sessions: Iterable[WorkerSession]) -> None:
        waiter = ClientWaiter(client, sessions)
        lanes = [each.lanes for each in sessions if each.lanes is not None]
        look_s = LOOK_S if self._may_move(client) else math.inf
        if self._service.lanes.wait(lanes, waiter, look_s):
            client.waiter = waiter
        else:
            self.overflow(client)

    def miss(self, client: Client) -> None:
        """Act on the end of a wait without a lane: no stream carries what was inside TLS, so such a client waits again."""
        if client.inside_tls:
            self.open(client)
        else:
            self.overflow(client)

    def overflow(self, client: Client) -> None:
        """Let control open a stream for a client that got no lane, as long as these are few."""
        if self._service.handed_over.has_room and not client.inside_tls:
            self._hand_over(client, has_lanes=True)
        else:
            self._service.refuse(client, Unavailable(Code.OVERLOADED, "clients without a lane"))

    def _hand_over(self, client: Client, *, has_lanes: bool) -> None:
        if self._service.is_orphan:
            self._service.refuse(client, Unavailable(Code.DRAINING, "control is gone"))
            return
        if self._service.handed_over.is_behind:
            error = Unavailable(Code.OVERLOADED, "clients that wait for a stream")
            self._service.refuse(client, error)
            return
        self._service.take_out(client)
        self._service.handed_over.give(client, has_lanes=has_lanes)

    def retry(self, client: Client, session: WorkerSession, code: Code, *, may_retry: bool) -> None:
        """Try another lane for a client whose use failed, where its bytes cannot happen twice."""
        client.use = None
        client.failure = code
        if code not in SESSION_CODES:
            self._service.balancer.record_failure(
                client.wanted, session.session_id, self._service.loop.wheel.now
            )
        if not self._has_other_lanes(session, code):
            client.tried |= {session.session_id}
        if not may_retry or client.tries >= MAX_TRIES:
            self._service.refuse(client, Unavailable(code, str(client.wanted)))
            return
        count(self._service.counters.retries, code)
        self.open(client)

    def _has_other_lanes(self, session: WorkerSession, code: Code) -> bool:
        if code is Code.SESSION_SILENT:
            return session.lanes is not None and session.lanes.silent_lanes < SILENT_LANES
        return code is Code.SESSION_LOST

    def cancel(self, client: Client, code: Code) -> None:
        """Stop opening a lane for a client."""
        self._stop_waiting(client)
        use, client.use = client.use, None
        if use is not None and use.session.lanes is not None:
            use.session.lanes.cancel(use, code)

    def _stop_waiting(self, client: Client) -> None:
        waiter, client.waiter = client.waiter, None
        if waiter is not None:
            self._service.lanes.stop_waiting(waiter)
