"""Counters of a worker: what it has done since its start, and what a log line is due for."""

from collections import Counter
from collections.abc import Iterable, Mapping

from towonel.agent.worker.messages import Counters, HeadersUnread, Refused, name_service
from towonel.agent.worker.origin_connection import OriginConnection
from towonel.relay.agent_lanes import AgentLanes, LaneKind
from towonel.wire.errors import Code
from towonel.wire.names import ServiceKey

MAX_NAMED = 100  # refusals that are logged, by service and code, of a second


class ClientCounters:
    """Counters of the clients that came over lanes."""

    def __init__(self) -> None:
        self.accepted = Counter[LaneKind]()
        self._completed = 0
        self._errors = Counter[Code]()
        self._to_origin = self._to_edge = 0
        self._refused = Counter[tuple[ServiceKey, Code]]()
        self._details: dict[tuple[ServiceKey, Code], str] = {}  # of the last of them
        self._unread = Counter[ServiceKey]()

    def count_refusal(self, service: ServiceKey | None, code: Code, detail: str = "") -> None:
        """Count a client that did not reach an origin; without a service, its OPEN was unreadable."""
        self._errors[code] += 1
        if service is None:
            return
        key = service, code
        if key in self._refused or len(self._refused) < MAX_NAMED:
            self._refused[key] += 1
            if detail:
                self._details[key] = detail

    def count_failure(self, code: Code) -> None:
        """Count a client that is gone before its origin was reached."""
        self._errors[code] += 1

    def count_end(self, connection: OriginConnection) -> None:
        """Count a connection that is over."""
        self._to_origin += connection.to_origin
        self._to_edge += connection.received
        if connection.code is Code.NORMAL:
            self._completed += 1
        else:
            self._errors[connection.code] += 1
        if connection.header_unread:
            self._unread[connection.service] += 1

    def total(
        self, active: int, connections: Iterable[OriginConnection], lanes: AgentLanes
    ) -> Counters:
        """Return all since the start; bytes of open connections are among them."""
        to_origin, to_edge = self._to_origin, self._to_edge
        for connection in connections:
            to_origin += connection.to_origin
            to_edge += connection.received
        return Counters(
            active=active,
            accepted=_by_word(self.accepted),
            completed=self._completed,
            errors=_plain(self._errors),
            to_origin=to_origin,
            to_edge=to_edge,
            lanes_admitted=_by_word(lanes.admitted),
            lanes_lost=_plain(lanes.lost),
            lanes_failed=_plain(lanes.failed),
        )

    def take_events(self) -> Iterable[Refused | HeadersUnread]:
        """Yield what a log line is due for since the last call."""
        refused, self._refused = self._refused, Counter[tuple[ServiceKey, Code]]()
        details, self._details = self._details, {}
        unread, self._unread = self._unread, Counter[ServiceKey]()
        for (service, code), count in refused.items():
            detail = details.get((service, code), "")
            yield Refused(name_service(service), int(code), count, detail)
        for service, count in unread.items():
            yield HeadersUnread(name_service(service), count)


def _by_word(counts: Mapping[LaneKind, int]) -> tuple[tuple[str, int], ...]:
    return tuple((str(kind), count) for kind, count in counts.items())


def _plain(counts: Mapping[Code, int]) -> tuple[tuple[int, int], ...]:
    return tuple((int(code), count) for code, count in counts.items())
