"""Sessions that an edge's flows are on: which one a client gets, and what happens when it ends."""

import socket

import pytest
from support.flow_agents import PORT, SERVICE, EdgeFlows, FlowAgent, datagrams_to, read_opening

from towonel.edge.core.balance import FIRST_PAUSE_S
from towonel.edge.flows.flows import CARRIER_PAUSE_S
from towonel.edge.flows.messages import SessionServices
from towonel.identity.datagrams import DatagramEnd, DatagramKeys
from towonel.relay.core.datagram_path import DOWN_S
from towonel.relay.flows.carrier import IDLE_S, UNNEEDED_S
from towonel.wire.errors import Code
from towonel.wire.udp.datagrams import (
    FrameDecoder,
    Record,
    RecordKind,
    encode_frame,
    encode_record,
)

DATA = RecordKind.DATA
NAMES = (SERVICE.name,)


def count_flows(edge: EdgeFlows, agents: list[FlowAgent], clients: int) -> list[int]:
    """Return how many flows of some clients each agent gets."""
    for _ in range(clients):
        edge.send(edge.add_client())
    return [len(agent.take()) for agent in agents]


def test_clients_are_spread_over_two_agents_by_what_they_have(edge: EdgeFlows) -> None:
    agents = [edge.add_agent(), edge.add_agent()]

    assert count_flows(edge, agents, 10) == [5, 5]


def test_clients_of_a_session_that_ends_move_to_another_with_what_they_send_next(
    edge: EdgeFlows,
) -> None:
    agent = edge.add_agent()
    client, _ = edge.begin(agent)
    other = edge.add_agent()
    edge.flows.end_session(agent.id)
    edge.flows.end_session(agent.id)
    edge.send(client, b"moved")

    [record] = other.take()
    assert read_opening(record)[1] == b"moved"
    assert edge.take_counters().ended == ((Code.SESSION_LOST, 1),)
    agent.send(1, DATA, b"x")
    edge.loop.turn()
    assert datagrams_to(client) == []
    assert dict(edge.take_counters().dropped) == {"unknown_secret": 1}


def test_a_session_that_goes_away_keeps_its_flows_and_gets_no_new_ones(edge: EdgeFlows) -> None:
    agent = edge.add_agent()
    client, number = edge.begin(agent)
    other = edge.add_agent()
    edge.flows.sessions.go_away(agent.id)
    edge.flows.sessions.go_away(b"unknown")

    assert count_flows(edge, [agent, other], 6) == [0, 6]
    edge.send(client)
    assert agent.take() == [Record(number, DATA, b"x")]


def test_a_service_that_has_ended_on_a_session_gets_no_new_flows_there(edge: EdgeFlows) -> None:
    agent, other = edge.add_agent(), edge.add_agent()
    edge.flows.sessions.change_services(SessionServices(agent.id, NAMES, ended=True))
    edge.flows.sessions.change_services(SessionServices(b"unknown", NAMES))

    assert count_flows(edge, [agent, other], 4) == [0, 4]
    edge.flows.sessions.change_services(SessionServices(other.id, NAMES, ended=True))
    assert count_flows(edge, [agent, other], 1) == [0, 0]


def test_a_session_whose_origin_refuses_cools_down_until_a_flow_opens(edge: EdgeFlows) -> None:
    agent = edge.add_agent()
    _, number = edge.begin(agent)
    other = edge.add_agent()
    agent.end(number, Code.ORIGIN_REFUSED)
    edge.loop.turn()

    assert count_flows(edge, [agent, other], 4) == [0, 4]
    edge.loop.advance(FIRST_PAUSE_S)
    assert count_flows(edge, [agent, other], 4) == [4, 0]


def test_a_session_whose_flow_ends_as_it_should_does_not_cool_down(edge: EdgeFlows) -> None:
    agent = edge.add_agent()
    _, number = edge.begin(agent)
    other = edge.add_agent()
    agent.end(number)
    edge.loop.turn()

    assert count_flows(edge, [agent, other], 4) == [2, 2]


@pytest.mark.parametrize("code", [Code.GOING_AWAY, Code.LIMIT_EXCEEDED, Code.SUPERSEDED])
def test_an_agent_that_ends_a_flow_for_itself_keeps_its_share(edge: EdgeFlows, code: Code) -> None:
    agent = edge.add_agent()
    _, number = edge.begin(agent)
    other = edge.add_agent()
    agent.end(number, code)
    edge.loop.turn()

    assert count_flows(edge, [agent, other], 4) == [2, 2]


def test_a_standby_gets_flows_while_no_other_agent_can_take_them(edge: EdgeFlows) -> None:
    active, standby = edge.add_agent(), edge.add_agent(group="spare", weight=0)

    assert count_flows(edge, [active, standby], 3) == [3, 0]
    edge.flows.sessions.change_services(SessionServices(active.id, NAMES, failing=True))
    assert count_flows(edge, [active, standby], 3) == [0, 3]
    edge.flows.sessions.change_services(SessionServices(active.id, NAMES))
    edge.flows.sessions.change_weight(active.id, 0)
    edge.flows.sessions.change_weight(standby.id, 1)
    edge.flows.sessions.change_weight(b"unknown", 1)
    assert count_flows(edge, [active, standby], 3) == [0, 3]


def test_clients_of_one_address_stay_with_one_agent_where_the_service_wants_it(
    edge: EdgeFlows,
) -> None:
    agents = [edge.add_agent(), edge.add_agent()]
    for agent in agents:
        edge.flows.sessions.change_services(SessionServices(agent.id, NAMES, sticky=True))

    assert sorted(count_flows(edge, agents, 6)) == [0, 6]


def test_a_session_whose_packets_do_not_pass_gets_flows_only_where_there_is_no_other(
    edge: EdgeFlows,
) -> None:
    silent, agent = edge.add_agent(is_up=False), edge.add_agent()

    assert count_flows(edge, [silent, agent], 6) == [0, 6]


def test_a_session_serves_under_a_newer_secret_and_not_under_the_first_of_three(
    edge: EdgeFlows,
) -> None:
    agent = edge.add_agent()
    client, number = edge.begin(agent)
    for index in (50, 51):
        edge.flows.sessions.add_secret(agent.id, index, bytes(32))
    agent.send(number, DATA, b"under the first")
    edge.loop.turn()
    agent.link.add_secret(51, bytes(32))
    agent.send(number, DATA, b"under the third")
    edge.loop.turn()
    edge.flows.sessions.add_secret(b"unknown", 52, bytes(32))

    assert datagrams_to(client) == [b"under the third"]
    assert edge.flows.sessions.find_by_index(agent.index) is None
    assert dict(edge.take_counters().dropped) == {"unknown_secret": 1}


# Carriers.


def lose_path(edge: EdgeFlows) -> FlowAgent:
    """Return an agent from which nothing is heard."""
    agent = edge.add_agent(is_up=False)
    edge.loop.advance(DOWN_S)
    edge.flows.tick()
    return agent


def carry(edge: EdgeFlows, agent: FlowAgent, lane: socket.socket) -> list[Record]:
    """Return the records that an agent gets by a lane."""
    packets: list[bytes] = []
    decoder = FrameDecoder()
    lane.settimeout(5.0)
    edge.loop.turn()
    while not packets:
        packets = decoder.feed(lane.recv(65_536))
    records = [agent.link.receive(packet, agent.edge, edge.loop.now) for packet in packets]
    return [record for record in records if record is not None]


def test_where_no_packet_passes_flows_go_by_a_carrier_for_their_port(edge: EdgeFlows) -> None:
    agent, client = lose_path(edge), edge.add_client()
    edge.send(client, b"question")
    [(session, port, lane)] = edge.offered
    [record] = carry(edge, agent, lane)
    keys = DatagramKeys(agent.index, agent.secret, DatagramEnd.AGENT)
    keys.counter = 500
    answer = encode_record(record.flow, DATA, b"answer")
    lane.sendall(encode_frame(keys.seal(answer)))
    edge.loop.turn()

    assert (session.session_id, port) == (agent.id, PORT)
    assert read_opening(record)[1] == b"question"
    assert datagrams_to(client) == [b"answer"]


def test_a_carrier_is_wanted_once_a_second_while_it_ends_at_once(edge: EdgeFlows) -> None:
    lose_path(edge)
    client = edge.add_client()
    for _ in range(3):
        edge.send(client)
        edge.offered[-1][2].close()
        edge.loop.until(lambda: edge.offered[0][0].link.carrier is None)
    assert len(edge.offered) == 1
    edge.loop.advance(CARRIER_PAUSE_S)
    edge.send(client)

    assert len(edge.offered) == 2


def test_no_carrier_is_wanted_while_packets_pass_or_nothing_is_known(edge: EdgeFlows) -> None:
    edge.add_agent(is_up=False)
    edge.send(edge.add_client())
    edge.add_agent()
    edge.send(edge.add_client())

    assert edge.offered == []


def test_a_carrier_ends_with_its_session(edge: EdgeFlows) -> None:
    agent = lose_path(edge)
    edge.send(edge.add_client())
    edge.flows.end_session(agent.id)

    assert edge.offered[0][0].link.carrier is None


def test_a_carrier_that_carries_nothing_ends_sooner_where_packets_pass_again(
    edge: EdgeFlows,
) -> None:
    agent = lose_path(edge)
    edge.send(edge.add_client())
    link = edge.offered[0][0].link
    edge.loop.advance(IDLE_S - 1)
    edge.flows.tick()
    assert link.carrier is not None
    agent.link.tick(edge.loop.now)
    edge.loop.turn()
    assert link.is_up
    edge.flows.tick()
    assert IDLE_S - 1 > UNNEEDED_S
    assert link.carrier is None


def test_an_unused_carrier_ends_where_packets_do_not_pass(edge: EdgeFlows) -> None:
    lose_path(edge)
    edge.send(edge.add_client())
    for _ in range(2):  # the first ends the flow, which is told by the carrier
        edge.loop.advance(IDLE_S)
        edge.flows.tick()

    assert edge.offered[0][0].link.carrier is None


def test_flows_of_two_workers_have_different_numbers(edge: EdgeFlows) -> None:
    _, number = edge.begin(edge.add_agent())
    again = EdgeFlows()
    _, another = again.begin(again.add_agent())
    again.close()

    assert number != another, "a late answer to a client of one is not for a client of the other"
