"""Opener of lanes for clients: chooses a session, waits for a lane of one, or lets control open a stream."""

import math
import random
import time
from typing import TYPE_CHECKING, Final

from towonel.edge.core.balance import MAX_TRIES, SESSION_CODES
from towonel.edge.worker.clients import Client, ClientUse, ClientWaiter
from towonel.edge.worker.counters import count
from towonel.edge.worker.sessions import WorkerSession
from towonel.relay.edge_lanes import LaneSession
from towonel.wire import lane_open
from towonel.wire.errors import Code, Unavailable
from towonel.wire.lane_open import LaneOpen
from towonel.wire.lanes import MAX_FIRST_BYTES
from towonel.wire.preamble import Preamble

if TYPE_CHECKING:
    from towonel.edge.worker.service import ClientService

MOVE_CHECK_S: Final = 0.03  # after which a client that waits looks for a lane of other workers


class Opener:
    """Opener of lanes.

    Args:
        service: of the worker's clients.
    """

    def __init__(self, service: "ClientService") -> None:
        self._service = service

    def open(self, client: Client) -> None:
        """Open a lane of the best session that has one, wait for one, or let control open a stream."""
        route = client.route
        serving = self._service.sessions.find(route.tenant_id, route.service)
        untried = [each for each in serving if each.session_id not in client.tried]
        ordered = self._service.balancer.order(
            route.service, untried, now=time.monotonic(), draw=random.randrange
        )
        if not ordered:
            code = client.failure or Code.NO_AGENT
            self._service.refuse(client, Unavailable(code, str(route.service)))
            return
        for session in ordered:
            if not session.has_lanes:
                self._hand_over(client, has_lanes=False)
                return
            if self._open_lane(client, session):
                return
        if self._move(client, ordered):
            return
        self._wait(client, [each.lanes for each in ordered if each.lanes is not None])

    def open_on(self, client: Client, session_id: bytes) -> None:
        """Open a lane of a session that has an idle one now, or do as for any client."""
        session = self._service.sessions.get(session_id)
        if session is None or not self._open_lane(client, session):
            self.open(client)

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
                    client.route.service,
                    client.server_name,
                    None if client.record is None else client.record.traceparent,
                ),
                client.data,
                more=len(client.data) >= MAX_FIRST_BYTES,
            )
        )
        if not lanes.open(content, use, repeatable=client.is_repeatable):
            return False
        client.use = use
        client.tries += 1
        return True

    def _may_move(self, client: Client) -> bool:
        counts = self._service.lanes.counts
        return not (counts.is_alone or client.is_moved or client.tries or self._service.is_orphan)

    def _move(self, client: Client, sessions: list[WorkerSession]) -> bool:
        """Let another worker serve a client that has an idle lane for it, if there is one."""
        if not self._may_move(client):
            return False
        count, worker = max((each.find_idle_elsewhere() for each in sessions), default=(0, 0))
        if count:
            self._service.move(client, worker)
        return bool(count)

    def _wait(self, client: Client, lanes: list[LaneSession]) -> None:
        now, may_move = time.monotonic(), self._may_move(client)
        client.waits_until = client.waits_until or now + max(
            (each.wait_s for each in lanes), default=0.0
        )
        most_s = MOVE_CHECK_S if may_move else math.inf
        waiter = ClientWaiter(client)
        if self._service.lanes.wait(lanes, waiter, min(most_s, client.waits_until - now)):
            client.waiter = waiter
        else:
            self.overflow(client)

    def give_up_lane(self, client: Client) -> None:
        """Look whether another worker has a lane by now, for a client that has waited here."""
        if self._may_move(client) and time.monotonic() < client.waits_until:
            self.open(client)
        else:
            self.overflow(client)

    def overflow(self, client: Client) -> None:
        """Let control open a stream for a client that got no lane, as long as these are few."""
        if self._service.handed_over.has_room:
            self._hand_over(client, has_lanes=True)
        else:
            self._service.refuse(client, Unavailable(Code.OVERLOADED, "clients without a lane"))

    def _hand_over(self, client: Client, *, has_lanes: bool) -> None:
        self._service.take_out(client)
        self._service.handed_over.give(client, has_lanes=has_lanes)

    def retry(self, client: Client, session: WorkerSession, code: Code, *, may_retry: bool) -> None:
        """Try another lane for a client whose use failed, where its bytes cannot happen twice."""
        client.use = None
        client.failure = code
        if code not in SESSION_CODES:
            self._service.balancer.record_failure(
                client.route.service, session.session_id, time.monotonic()
            )
        if code is not Code.SESSION_LOST:  # it may have other lanes
            client.tried.add(session.session_id)
        if not may_retry or client.tries >= MAX_TRIES:
            self._service.refuse(client, Unavailable(code, str(client.route.service)))
            return
        count(self._service.counters.retries, code)
        self.open(client)

    def cancel(self, client: Client, code: Code) -> None:
        """Stop opening a lane for a client."""
        use, client.use = client.use, None
        waiter, client.waiter = client.waiter, None
        if waiter is not None:
            self._service.lanes.stop_waiting(waiter)
        if use is not None and use.session.lanes is not None:
            use.session.lanes.cancel(use, code)
