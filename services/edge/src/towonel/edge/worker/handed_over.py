"""Clients that a worker has handed over: to control, which it counts until they have ended, or to others."""

import contextlib
from collections.abc import Callable
from typing import Final

from towonel.edge.core.admission import Admission, Ticket
from towonel.edge.core.shared_clients import SharedClients
from towonel.edge.worker.clients import Client
from towonel.edge.worker.counters import WorkerCounters
from towonel.edge.worker.messages import ClientHandedOver, ClientMoved, SessionOffered
from towonel.edge.worker.sessions import Sender
from towonel.relay.loop import Loop
from towonel.relay.sockets import end_on_close
from towonel.wire.errors import Code

MAX_WAITING: Final = 1024  # messages for control, beyond which it is given no more clients
MAX_PROMPT: Final = 256  # beyond which it is given only those that nobody else can serve


class HandedOver:
    """Clients that control serves, and the way there for all others.

    Args:
        loop: of the worker.
        admission: counts them.
        counters: count them, too.
        send: to control.
        overflow: how many there may be at once in all workers whose sessions have lanes.
        shared: counts of other workers, if there are any.
        count_waiting: returns how many messages wait for control to read.
    """

    def __init__(
        self,
        loop: Loop,
        admission: Admission,
        counters: WorkerCounters,
        send: Sender,
        overflow: int,
        shared: SharedClients | None = None,
        count_waiting: Callable[[], int] = lambda: 0,
    ) -> None:
        self._loop = loop
        self._admission = admission
        self._counters = counters
        self._send = send
        self._most = overflow
        self._shared = shared
        self._count_waiting = count_waiting
        self._with_lanes = 0
        self._clients: dict[int, tuple[Ticket, bool]] = {}  # by token
        self._tokens = 0

    @property
    def has_room(self) -> bool:
        """Whether control may be given another client whose session has lanes."""
        elsewhere = 0 if self._shared is None else self._shared.by_stream_elsewhere
        return self._with_lanes + elsewhere < self._most

    @property
    def is_behind(self) -> bool:
        """Whether control reads so much later that it may be given no client."""
        return self._count_waiting() >= MAX_WAITING

    @property
    def is_prompt(self) -> bool:
        """Whether control reads soon enough for what anyone can send: sessions, and clients to be moved."""
        return self._count_waiting() < MAX_PROMPT

    def give(self, client: Client, *, has_lanes: bool) -> None:
        """Hand a client to control, with its socket and what was read of it."""
        assert client.ticket is not None, "it is admitted"
        self._loop.release(client.descriptor)
        self._tokens += 1
        self._clients[self._tokens] = client.ticket, has_lanes
        self._count(has_lanes)
        record = client.record
        message = ClientHandedOver(
            self._tokens,
            (str(client.source.ip), client.source.port),
            (str(client.destination.ip), client.destination.port),
            client.public_name,
            client.data,
            None if record is None else (record.trace_id, record.began_at, record.hello_at or 0.0),
            client.failure is Code.SESSION_SILENT,
        )
        self._send(message, (client.sock.detach(),))

    def offer_session(self, client: Client) -> None:
        """Let control take a connection that begins a session, which is no client any more."""
        assert client.ticket is not None, "it is admitted"
        self._admission.release(client.ticket)
        self._counters.active -= 1
        with contextlib.suppress(OSError):
            end_on_close(client.sock)
        source = str(client.source.ip), client.source.port
        self._send(SessionOffered(source, client.data), (client.sock.detach(),))

    def move(self, client: Client, worker: int) -> None:
        """Let another worker serve a client that is not counted here any more."""
        assert client.ticket is not None, "it is admitted"
        self._loop.release(client.descriptor)
        self._admission.release(client.ticket)
        self._counters.active -= 1
        record = client.record
        message = ClientMoved(
            worker,
            (str(client.source.ip), client.source.port),
            (str(client.destination.ip), client.destination.port),
            client.data,
            client.port,
            None if record is None else (record.trace_id, record.began_at),
        )
        self._send(message, (client.sock.detach(),))

    def end(self, token: int) -> None:
        """Count a client no more that control has served to its end."""
        found = self._clients.pop(token, None)
        if found is not None:
            ticket, has_lanes = found
            self._admission.release(ticket)
            self._count(-has_lanes)
            self._counters.active -= 1

    def _count(self, change: int) -> None:
        self._with_lanes += change
        if self._shared is not None:
            self._shared.put_by_stream(self._with_lanes)

    def end_all(self) -> None:
        """Count none of them any more: control is gone."""
        for token in tuple(self._clients):
            self.end(token)
