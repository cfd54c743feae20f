"""Reports of a worker to control, as its parts make them."""

from typing import Protocol, override

from towonel.edge.core.admission import Admission, Ticket
from towonel.edge.worker.counters import WorkerCounters
from towonel.edge.worker.messages import LanesWanted, Message
from towonel.relay.edge_lanes import EdgeLanesOwner, LaneSession


class Sender(Protocol):
    """Sender of messages to control; their descriptors are closed here."""

    def __call__(self, message: Message, descriptors: tuple[int, ...] = ()) -> None: ...


class LaneReports(EdgeLanesOwner):
    """Reports about lanes: how many are wanted, and which of them are no clients any more.

    Args:
        admission: counts a lane as a client until it is admitted or refused.
        counters: count it as well.
        send: to control.
    """

    def __init__(self, admission: Admission, counters: WorkerCounters, send: Sender) -> None:
        self._admission = admission
        self._counters = counters
        self._send = send

    @override
    def on_wanted(self, session: LaneSession) -> None:
        self._send(LanesWanted(session.session_id, session.wanted))

    @override
    def on_settled(self, source: object) -> None:
        assert isinstance(source, Ticket), "as given to `admit`"
        self._admission.release(source)
        self._counters.active -= 1
