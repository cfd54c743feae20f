"""Flows of an edge: how they open, what they carry, and how they end."""

from ipaddress import ip_address

from support.flow_agents import (
    IDLE_S,
    LOOPBACK,
    PORT,
    SERVICE,
    TENANT,
    EdgeFlows,
    datagrams_to,
    read_opening,
)

from towonel.edge.flows.client_flow import OPENING_IDLE_S, PortRoute
from towonel.wire.errors import Code
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.preamble import Preamble
from towonel.wire.proxy import Address
from towonel.wire.udp import datagrams
from towonel.wire.udp.datagrams import Record, RecordKind

DATA, OPENING, ENDED = RecordKind.DATA, RecordKind.OPENING, RecordKind.ENDED
OTHER = ServiceKey(ServiceKind.UDP, "other")


def ended(flow: int, code: Code = Code.NORMAL) -> Record:
    """Return the record that ends a flow."""
    return Record(flow, ENDED, datagrams.encode_ended(code))


def test_a_flow_is_opened_with_its_preamble_until_the_agent_says_that_it_is_open(
    edge: EdgeFlows,
) -> None:
    agent, client = edge.add_agent(), edge.add_client()
    for data in (b"one", b"two"):
        edge.send(client, data)
    first, second = agent.take()
    agent.open(first.flow)
    edge.loop.turn()
    edge.send(client, b"three")

    loopback = ip_address(LOOPBACK)
    source = Address(loopback, client.getsockname()[1])
    expected = Preamble(source, Address(loopback, PORT), SERVICE, port=PORT)
    assert read_opening(first) == (expected, b"one")
    assert read_opening(second) == (expected, b"two")
    assert first.flow == second.flow
    assert agent.take() == [Record(first.flow, DATA, b"three")]


def test_answers_go_to_the_client_of_their_flow_alone(edge: EdgeFlows) -> None:
    agent = edge.add_agent()
    (one, first), (other, second) = edge.begin(agent), edge.begin(agent)
    agent.send(second, DATA, b"")
    agent.send(first, DATA, bytes(65_507))
    edge.loop.turn()

    assert datagrams_to(one) == [bytes(65_507)]
    assert datagrams_to(other) == [b""]
    assert first != second


def test_a_flow_that_the_agent_does_not_know_is_opened_again(edge: EdgeFlows) -> None:
    agent = edge.add_agent()
    client, number = edge.begin(agent)
    agent.send(number, RecordKind.UNKNOWN)
    edge.loop.turn()
    edge.send(client, b"again")

    [record] = agent.take()
    assert record.flow == number
    assert read_opening(record)[1] == b"again"


def test_a_flow_that_the_agent_has_ended_is_forgotten_and_another_one_begins(
    edge: EdgeFlows,
) -> None:
    agent = edge.add_agent()
    client, number = edge.begin(agent)
    agent.end(number)
    edge.loop.turn()
    assert edge.take_counters().active == 0
    edge.send(client, b"next")

    [record] = agent.take()
    assert record.flow != number
    assert read_opening(record)[1] == b"next"


def test_an_answer_of_a_flow_that_there_is_not_ends_it_at_the_agent(edge: EdgeFlows) -> None:
    agent = edge.add_agent()
    agent.send(77, DATA, b"late")
    agent.open(78)
    agent.end(79)
    agent.send(80, RecordKind.UNKNOWN)
    edge.loop.turn()

    assert agent.take() == [ended(77), ended(78)]


def test_an_idle_flow_ends_once_the_time_that_the_agent_names_is_over(edge: EdgeFlows) -> None:
    agent = edge.add_agent()
    _, number = edge.begin(agent)
    edge.loop.now += IDLE_S - 1
    edge.loop.turn()
    agent.send(number, DATA, b"still here")
    edge.loop.turn()
    edge.loop.advance(IDLE_S - 1)
    edge.flows.tick()
    assert edge.take_counters().active == 1
    edge.loop.advance(1)
    edge.flows.tick()

    assert edge.take_counters().active == 0
    assert ended(number) in agent.take()


def test_a_flow_that_no_agent_has_opened_does_not_stay(edge: EdgeFlows) -> None:
    edge.add_agent()
    edge.send(edge.add_client())
    edge.loop.advance(OPENING_IDLE_S)
    edge.flows.tick()

    assert edge.take_counters().ended == ((Code.NORMAL, 1),)


def test_records_that_no_agent_may_send_are_counted_and_change_nothing(edge: EdgeFlows) -> None:
    agent = edge.add_agent()
    client, number = edge.begin(agent)
    edge.take_counters()
    agent.send(number, RecordKind.OPENED, b"\0")
    agent.send(number, ENDED, b"")
    agent.send(number, 200, b"of a later version")
    edge.loop.turn()
    edge.send(client, b"x")

    assert agent.take() == [Record(number, DATA, b"x")]
    assert dict(edge.take_counters().dropped) == {"malformed": 2, "unknown_kind": 1}


def test_packets_of_no_session_are_dropped(edge: EdgeFlows) -> None:
    agent, stranger = edge.add_agent(), edge.add_client()
    for packet in (b"", b"\x01garbage", datagrams.encode_head(9, 0) + bytes(40)):
        stranger.sendto(packet, agent.edge.address)
    edge.loop.turn()

    assert dict(edge.take_counters().dropped) == {"unknown_secret": 3}


# Routes.


def test_flows_of_a_route_that_ends_are_cut_and_their_clients_get_none(edge: EdgeFlows) -> None:
    agent = edge.add_agent()
    client, number = edge.begin(agent)
    edge.flows.end_route(PORT)
    edge.send(client)

    assert agent.take() == [ended(number, Code.NO_ROUTE)]
    counters, refusals = edge.flows.take_counters()
    assert counters.ended == ((Code.NO_ROUTE, 1),)
    assert counters.refused == ((Code.NO_ROUTE, 1),)
    [refused] = refusals
    assert (refused.detail, refused.peer) == (f"udp:{PORT}", client.getsockname())
    assert refused.tenant_id is None


def test_a_route_that_ends_says_nothing_of_flows_that_have_ended_before(edge: EdgeFlows) -> None:
    agent = edge.add_agent()
    _, gone = edge.begin(agent)
    agent.send(gone, ENDED, datagrams.encode_ended(Code.NORMAL))
    edge.loop.turn()
    _, number = edge.begin(agent)
    edge.flows.end_route(PORT)
    edge.loop.turn()

    assert agent.take() == [ended(number, Code.NO_ROUTE)]


def test_a_route_that_is_set_again_changes_nothing(edge: EdgeFlows) -> None:
    agent = edge.add_agent()
    client, number = edge.begin(agent)
    edge.flows.set_route(PORT, PortRoute(SERVICE, TENANT))
    edge.send(client)

    assert agent.take() == [Record(number, DATA, b"x")]


def test_clients_of_a_route_that_changes_reach_the_other_service_and_its_tenant(
    edge: EdgeFlows,
) -> None:
    tenant = TenantId(b"o" * 32)
    agent, other = edge.add_agent(), edge.add_agent(OTHER, tenant)
    client, number = edge.begin(agent)
    edge.open_port(PORT + 1)
    bystander, kept = edge.begin(agent, edge.add_client(PORT + 1))
    edge.flows.set_route(PORT, PortRoute(OTHER, tenant))
    edge.send(client)
    edge.send(bystander)

    assert agent.take() == [ended(number, Code.NO_ROUTE), Record(kept, DATA, b"x")]
    [record] = other.take()
    assert read_opening(record)[0].service == OTHER


def test_an_agent_of_another_tenant_or_service_is_not_reached(edge: EdgeFlows) -> None:
    strangers = edge.add_agent(tenant_id=TenantId(b"o" * 32)), edge.add_agent(OTHER)
    client = edge.add_client()
    edge.send(client)

    assert [agent.take() for agent in strangers] == [[], []]
    counters, [refused] = edge.flows.take_counters()
    assert counters.refused == ((Code.NO_AGENT, 1),)
    assert (refused.tenant_id, refused.service) == (TENANT, str(SERVICE))


# Counters.


def test_datagrams_and_bytes_are_counted_exactly_and_by_tenant(edge: EdgeFlows) -> None:
    agent = edge.add_agent()
    client, number = edge.begin(agent)
    edge.send(client, bytes(100))
    for size in (1, 70, 3000):
        agent.send(number, DATA, bytes(size))
    edge.loop.turn()
    counters = edge.take_counters()

    assert (counters.active, counters.opened) == (1, 1)
    assert (counters.datagrams_in, counters.bytes_in) == (2, 101)
    assert (counters.datagrams_out, counters.bytes_out) == (3, 3071)
    assert counters.services == ((TENANT, str(SERVICE), 1, 0, 101, 3071),)
    assert dict(counters.paths) == {"unknown": 0, "up": 1, "down": 0}
    assert (counters.dropped, counters.ended, counters.refused) == ((), (), ())


def test_what_was_counted_is_taken_once(edge: EdgeFlows) -> None:
    agent = edge.add_agent()
    _, number = edge.begin(agent)
    edge.take_counters()
    agent.end(number, Code.ORIGIN_REFUSED)
    edge.loop.turn()

    counters = edge.take_counters()
    assert (counters.active, counters.opened, counters.datagrams_in) == (0, 0, 0)
    assert counters.ended == ((Code.ORIGIN_REFUSED, 1),)
    assert counters.services == ((TENANT, str(SERVICE), 0, 1, 0, 0),)
    assert edge.take_counters().services == ()
