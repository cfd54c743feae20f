"""Counters of a worker: everything counts, and few lines are due for it."""

from towonel.agent.worker.counters import MAX_NAMED, ClientCounters
from towonel.agent.worker.messages import Refused
from towonel.relay.agent_lanes import AgentLane, AgentLanes, AgentLaneSession, AgentUse
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.relay.pipes import PipePool
from towonel.wire.errors import Code
from towonel.wire.names import ServiceKey, ServiceKind


class NoOwner:
    """Owner of lanes of which there are none."""

    def on_open(self, lane: AgentLane, content: bytes) -> AgentUse | None:
        raise NotImplementedError

    def on_lanes_failed(self, session: AgentLaneSession, code: Code) -> None:
        raise NotImplementedError

    def on_lanes_working(self, session: AgentLaneSession) -> None:
        raise NotImplementedError


def total_errors(counters: ClientCounters) -> dict[int, int]:
    loop = Loop()
    lanes = AgentLanes(loop, Memory(PipePool()), NoOwner())
    loop.close()
    return dict(counters.total(0, (), lanes).errors)


def key(number: int) -> ServiceKey:
    return ServiceKey(ServiceKind.HTTPS, f"app{number}.example.eu")


def test_refusals_of_names_without_number_are_counted_and_few_are_told() -> None:
    counters = ClientCounters()
    for number in range(10 * MAX_NAMED):
        counters.count_refusal(key(number), Code.NO_SERVICE)
    told = list(counters.take_events())

    assert len(told) == MAX_NAMED
    assert total_errors(counters) == {Code.NO_SERVICE: 10 * MAX_NAMED}
    assert list(counters.take_events()) == []


def test_refusals_of_one_service_are_told_as_one() -> None:
    counters = ClientCounters()
    for detail in ("why", "and why else", ""):
        counters.count_refusal(key(1), Code.ORIGIN_REFUSED, detail)
    counters.count_refusal(None, Code.BAD_PREAMBLE)

    service = "https", "app1.example.eu"
    expected = Refused(service, int(Code.ORIGIN_REFUSED), 3, "and why else")
    assert list(counters.take_events()) == [expected]
    assert total_errors(counters) == {Code.ORIGIN_REFUSED: 3, Code.BAD_PREAMBLE: 1}
