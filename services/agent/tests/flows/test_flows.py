"""Flows of an agent: what goes to origins and back, and how flows end."""

from ipaddress import ip_address

import pytest
from support.flow_agents import SERVICE, loopback
from support.flow_edges import (
    IDLE_S,
    NAME,
    AgentFlows,
    count_descriptors,
    ended,
    opened,
    opening,
    receive_all,
)

from towonel.agent.core.origin_addresses import FRESH_S
from towonel.agent.flows.origin_flow import MAX_WAITING
from towonel.wire.errors import Code
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.proxy import Address
from towonel.wire.udp.datagrams import Record, RecordKind

DATA, OPENING, UNKNOWN = RecordKind.DATA, RecordKind.OPENING, RecordKind.UNKNOWN
OTHER = ServiceKey(ServiceKind.UDP, "other")
NOWHERE = ("255.255.255.255", 9)  # a socket may not send there


def test_a_flow_has_a_socket_of_its_own_at_the_origin_and_gets_what_comes_back(
    agent: AgentFlows,
) -> None:
    origin, edge = agent.add_origin(), agent.add_edge()
    edge.open(1, b"one")
    edge.open(2, b"two")
    edge.send(1, DATA, bytes(65_507))
    (first, source), (second, other), (large, again) = receive_all(origin)
    origin.sendto(b"to two", other)
    origin.sendto(bytes(65_507), source)

    assert (first, second, len(large)) == (b"one", b"two", 65_507)
    assert source == again != other
    assert edge.take() == [opened(1), opened(2), Record(2, DATA, b"to two")]
    agent.loop.turn()


def test_an_opening_that_comes_again_opens_no_second_flow(agent: AgentFlows) -> None:
    origin, edge = agent.add_origin(), agent.add_edge()
    edge.open(1)
    edge.open(1)
    sources = {source for _, source in receive_all(origin)}

    assert len(sources) == 1
    assert edge.take() == [opened(1), opened(1)]
    assert agent.flows.describe_paths()[0] == 1


def test_a_client_of_a_range_gets_the_port_that_it_used_and_no_other(agent: AgentFlows) -> None:
    origin, edge = agent.add_origin(), agent.add_edge()
    host, port = origin.getsockname()
    agent.set_origin(((host, 9),), ports=(port - 1, port))
    edge.send(1, OPENING, opening(b"in", port=port))
    edge.send(2, OPENING, opening(b"beyond", port=port + 1))
    edge.send(3, OPENING, opening(b"from an older edge"))

    assert [data for data, _ in receive_all(origin)] == [b"in"]
    assert edge.take() == [opened(1), ended(2, Code.NO_SERVICE), ended(3, Code.NO_SERVICE)]


def test_an_opening_for_another_service_takes_the_place_of_a_flow(agent: AgentFlows) -> None:
    _, edge = agent.add_origin(), agent.add_edge()
    other = loopback()
    agent.origins.append(other)
    agent.set_origin((other.getsockname(),), name=(str(OTHER.kind), OTHER.name))
    edge.open(1)
    before = count_descriptors()
    edge.send(1, OPENING, opening(b"other", OTHER))

    assert [data for data, _ in receive_all(other)] == [b"other"]
    assert count_descriptors() == before
    counters, _ = agent.flows.counters.take(0, {})
    assert counters.ended == ((Code.SUPERSEDED, 1),)


def test_a_datagram_of_a_flow_that_there_is_not_asks_for_its_opening(agent: AgentFlows) -> None:
    edge = agent.add_edge()
    edge.send(5, DATA, b"x")
    edge.send(6, RecordKind.ENDED, b"\0\0")

    assert edge.take() == [Record(5, UNKNOWN, b"")]


def test_a_flow_that_the_edge_ends_is_closed_without_an_answer(agent: AgentFlows) -> None:
    _, edge = agent.add_origin(), agent.add_edge()
    before = count_descriptors()
    edge.open(1)
    assert count_descriptors() == before + 1
    edge.send(1, RecordKind.ENDED, b"\0\0")

    assert edge.take() == [opened(1)]
    assert count_descriptors() == before


def test_an_idle_flow_ends_and_the_edge_is_told(agent: AgentFlows) -> None:
    origin, edge = agent.add_origin(), agent.add_edge()
    edge.open(1)
    [(_, source)] = receive_all(origin)
    agent.loop.advance(IDLE_S - 1)
    origin.sendto(b"still here", source)
    assert edge.take()[-1].body == b"still here"
    agent.loop.advance(IDLE_S - 1)
    agent.flows.tick()
    assert edge.take() == []
    agent.loop.advance(1)
    agent.flows.tick()

    assert edge.take() == [ended(1)]
    assert agent.flows.describe_paths()[0] == 0


def test_an_origin_that_refuses_ends_its_flow_at_once(agent: AgentFlows) -> None:
    origin, edge = agent.add_origin(), agent.add_edge()
    origin.close()
    edge.open(1)

    assert edge.take() == [opened(1), ended(1, Code.ORIGIN_REFUSED)]
    counters, [refused] = agent.flows.counters.take(0, {})
    assert counters.ended == ((Code.ORIGIN_REFUSED, 1),)
    assert (refused.service, refused.code, refused.count) == (NAME, Code.ORIGIN_REFUSED, 1)


def test_an_origin_may_send_so_much_to_a_client_that_is_not_heard_again(
    agent: AgentFlows,
) -> None:
    origin, edge = agent.add_origin(unanswered=3000), agent.add_edge()
    edge.open(1)
    [(_, source)] = receive_all(origin)
    for _ in range(4):
        origin.sendto(bytes(1000), source)
    assert edge.take()[1:] == [Record(1, DATA, bytes(1000))] * 3
    edge.send(1, DATA, b"heard")
    origin.sendto(bytes(1000), source)

    assert edge.take() == [Record(1, DATA, bytes(1000))]
    counters, _ = agent.flows.counters.take(0, {})
    assert dict(counters.dropped)["unanswered"] == 1
    assert counters.to_edge == (4, 4000)
    assert counters.to_origin == (2, 6)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (opening(b"x", OTHER), Code.NO_SERVICE),
        (b"no preamble, and not the begin of one", Code.BAD_PREAMBLE),
        (opening(b"")[:-1], Code.BAD_PREAMBLE),
        (b"", Code.BAD_PREAMBLE),
    ],
)
def test_an_opening_that_is_for_nothing_ends_its_flow_with_the_reason(
    agent: AgentFlows, body: bytes, code: Code
) -> None:
    _, edge = agent.add_origin(), agent.add_edge()
    edge.send(1, OPENING, body)

    assert edge.take() == [ended(1, code)]
    assert agent.flows.describe_paths()[0] == 0


def test_records_of_a_later_version_are_counted(agent: AgentFlows) -> None:
    edge = agent.add_edge()
    edge.send(1, 200, b"x")

    assert agent.flows.counters.loss.by_reason == {"unknown_kind": 1}


# Names.


def test_datagrams_wait_for_the_address_of_a_name_up_to_a_bound(agent: AgentFlows) -> None:
    origin, edge = agent.add_origin(), agent.add_edge()
    agent.set_origin(None)
    edge.open(1, b"0")
    for number in range(1, MAX_WAITING + 3):
        edge.send(1, DATA, b"%d" % number)
    edge.open(2, b"second")
    assert agent.requests == [SERVICE]
    agent.flows.learn(SERVICE, (origin.getsockname(),))
    agent.loop.turn()

    data = [each for each, _ in receive_all(origin)]
    assert [each for each in data if each != b"second"] == [b"%d" % n for n in range(MAX_WAITING)]
    assert b"second" in data
    assert agent.flows.counters.loss.by_reason["no_origin_address"] == 3


def test_flows_to_a_name_that_stands_for_nothing_end_those_that_wait_and_those_that_come(
    agent: AgentFlows,
) -> None:
    edge = agent.add_edge()
    agent.set_origin(None)
    edge.open(1)
    agent.flows.learn(SERVICE, ())
    edge.open(2)

    unreachable = Code.ORIGIN_UNREACHABLE
    assert edge.take() == [opened(1), ended(1, unreachable), ended(2, unreachable)]
    assert agent.flows.describe_paths()[0] == 0
    agent.loop.advance(FRESH_S)
    edge.open(3)
    assert edge.take() == [opened(3)]
    assert agent.requests == [SERVICE, SERVICE]


def test_an_origin_to_which_there_is_no_way_ends_its_flow_and_leaves_no_socket(
    agent: AgentFlows,
) -> None:
    edge = agent.add_edge()
    agent.set_origin((NOWHERE,))
    before = count_descriptors()
    edge.open(1)

    assert edge.take()[-1] == ended(1, Code.ORIGIN_UNREACHABLE)
    assert count_descriptors() == before


def test_an_answer_about_a_service_that_has_ended_changes_nothing(agent: AgentFlows) -> None:
    edge = agent.add_edge()
    agent.set_origin(None)
    edge.open(1)
    agent.flows.remove_origins((NAME, NAME))
    agent.flows.learn(SERVICE, (NOWHERE,))

    assert edge.take() == [opened(1), ended(1)]


def test_a_flow_that_has_ended_while_it_waited_for_an_address_gets_no_socket(
    agent: AgentFlows,
) -> None:
    origin, edge = agent.add_origin(), agent.add_edge()
    agent.set_origin(None)
    edge.open(1)
    edge.send(1, RecordKind.ENDED, b"\0\0")
    before = count_descriptors()
    agent.flows.learn(SERVICE, (origin.getsockname(),))

    assert count_descriptors() == before
    assert receive_all(origin) == []


# Ends.


def test_flows_to_an_origin_that_has_changed_end_and_others_go_on(agent: AgentFlows) -> None:
    _, edge = agent.add_origin(), agent.add_edge()
    other = loopback()
    agent.origins.append(other)
    agent.set_origin((other.getsockname(),), name=(str(OTHER.kind), OTHER.name))
    edge.open(1)
    edge.send(2, OPENING, opening(b"x", OTHER))
    edge.take()
    agent.add_origin()

    assert edge.take() == [ended(1)]
    assert agent.flows.describe_paths()[0] == 1


def test_the_flow_that_was_idle_for_longest_goes_for_one_more() -> None:
    agent = AgentFlows(limit=2)
    _, edge = agent.add_origin(), agent.add_edge()
    edge.open(1)
    edge.open(2)
    edge.send(1, DATA, b"used since")
    edge.take()
    before = count_descriptors()
    edge.open(3)

    assert edge.take() == [ended(2, Code.LIMIT_EXCEEDED), opened(3)]
    assert count_descriptors() == before
    agent.close()


def test_the_end_of_a_session_closes_its_sockets_and_those_of_no_other(
    agent: AgentFlows,
) -> None:
    origin, edge, other = agent.add_origin(), agent.add_edge(), agent.add_edge()
    before = count_descriptors()
    other.open(1, b"stays")
    for number in range(1, 11):
        edge.open(number)
    assert count_descriptors() == before + 11
    agent.flows.end_session(edge.id)
    agent.flows.end_session(edge.id)

    assert count_descriptors() == before, "the session had a socket, too, and the other a flow"
    assert agent.flows.describe_paths()[0] == 1
    counters, _ = agent.flows.counters.take(0, {})
    assert counters.ended == ((Code.SESSION_LOST, 10),)
    other.send(1, DATA, b"still")
    assert receive_all(origin)[-1][0] == b"still"


def test_a_drain_ends_all_flows(agent: AgentFlows) -> None:
    _, edge = agent.add_origin(), agent.add_edge()
    edge.open(1)
    agent.flows.drain()

    assert edge.take() == [opened(1), ended(1, Code.GOING_AWAY)]


def test_another_client_under_a_number_is_another_flow(agent: AgentFlows) -> None:
    origin, edge = agent.add_origin(), agent.add_edge()
    edge.open(1)
    client = Address(ip_address("192.0.2.77"), 1)
    edge.send(1, OPENING, opening(b"x", client=client))

    assert len({source for _, source in receive_all(origin)}) == 2
