"""Limits on an edge's flows."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from support.flow_agents import LIMITS, PORT, SERVICE, TENANT, EdgeFlows, read_opening

from towonel.edge.flows.client_flow import PortRoute
from towonel.edge.flows.counters import FlowCounters
from towonel.edge.flows.messages import CODEC
from towonel.edge.worker.counters import MAX_ROWS
from towonel.relay.channel import MAX_MESSAGE_BYTES
from towonel.wire import cbor
from towonel.wire.errors import Code
from towonel.wire.ids import TenantId
from towonel.wire.policy.client_networks import ClientNetworks
from towonel.wire.udp import datagrams
from towonel.wire.udp.datagrams import Record, RecordKind

type Make = Callable[..., EdgeFlows]
OTHER_TENANT = TenantId(b"o" * 32)


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes an edge with some limits."""
    made: list[EdgeFlows] = []

    def make_one(**limits: int) -> EdgeFlows:
        made.append(EdgeFlows(replace(LIMITS, **limits)))
        return made[-1]

    yield make_one
    for each in made:
        each.close()


def test_the_flow_that_was_idle_for_longest_goes_for_one_more_and_its_agent_is_told(
    make: Make,
) -> None:
    edge = make(flows=2)
    agent = edge.add_agent()
    (oldest, _), (_, idle) = edge.begin(agent), edge.begin(agent)
    edge.send(oldest, b"used since")
    agent.take()
    edge.send(edge.add_client(), b"new")

    end, opening = agent.take()
    body = datagrams.encode_ended(Code.LIMIT_EXCEEDED)
    assert end == Record(idle, RecordKind.ENDED, body)
    assert read_opening(opening)[1] == b"new"
    counters = edge.take_counters()
    assert counters.active == 2
    assert counters.ended == ((Code.LIMIT_EXCEEDED, 1),)


def test_one_source_has_so_many_flows_and_gets_another_when_one_ends(make: Make) -> None:
    edge = make(per_source=2)
    agent = edge.add_agent()
    (_, first), _ = edge.begin(agent), edge.begin(agent)
    late, other = edge.add_client(), edge.add_client(host="127.0.0.2")
    edge.send(late)
    assert agent.take() == []
    edge.send(other)
    assert len(agent.take()) == 1
    counters, [refused] = edge.flows.take_counters()
    assert counters.refused == ((Code.LIMIT_EXCEEDED, 1),)
    assert "127.0.0.1" in refused.detail
    agent.end(first)
    edge.loop.turn()
    edge.send(late)

    assert len(agent.take()) == 1


def test_clients_of_networks_that_a_service_does_not_serve_get_no_flow(make: Make) -> None:
    edge = make()
    agent = edge.add_agent()
    networks = ClientNetworks(allow=("127.0.0.0/8",), deny=("127.0.0.2/32",))
    edge.flows.set_route(PORT, PortRoute(SERVICE, TENANT, networks))
    edge.send(edge.add_client(host="127.0.0.2"))
    assert agent.take() == []
    counters, [refused] = edge.flows.take_counters()
    assert counters.refused == ((Code.CLIENT_NOT_ALLOWED, 1),)
    assert refused.detail == "127.0.0.2"

    edge.begin(agent)


def test_one_tenant_has_so_many_flows_and_takes_none_of_another(make: Make) -> None:
    edge = make(per_tenant=1, per_source=3)
    agent, other = edge.add_agent(), edge.add_agent(tenant_id=OTHER_TENANT)
    edge.open_port(PORT + 1, tenant_id=OTHER_TENANT)
    edge.begin(agent)
    for _ in range(5):
        edge.send(edge.add_client())

    assert agent.take() == []
    counters, [refused] = edge.flows.take_counters()
    assert counters.refused == ((Code.LIMIT_EXCEEDED, 5),)
    assert (refused.count, refused.tenant_id) == (5, TENANT)
    edge.begin(other, edge.add_client(PORT + 1))
    assert edge.take_counters().active == 2, "who was refused counts for no source"


@pytest.mark.parametrize("way", ["evicted", "idle", "route", "session"])
def test_every_end_of_a_flow_gives_its_places_back(make: Make, way: str) -> None:
    edge = make(flows=1, per_source=2, per_tenant=2)
    agent = edge.add_agent()
    for _ in range(5):
        _, number = edge.begin(agent)
        if way == "idle":
            edge.loop.advance(40)
            edge.flows.tick()
        elif way == "route":
            agent.end(number)
            edge.loop.turn()
        elif way == "session":
            edge.flows.end_session(agent.id)
            agent = edge.add_agent()

    assert edge.take_counters().opened == 5


def test_counters_of_many_services_go_in_several_messages_that_are_not_too_large() -> None:
    counters, longest = FlowCounters(), "x" * 253
    for number in range(MAX_ROWS + 1):
        service = TenantId(number.to_bytes(32)), f"https:{longest}"
        counters.open(service)
        counters.take_in(service, (1 << 40) - 1)
    first, _ = counters.take(0, {})
    second, _ = counters.take(0, {})

    assert (first.opened, second.opened) == (MAX_ROWS + 1, 0)
    assert (len(first.services), len(second.services)) == (MAX_ROWS, 1)
    assert len({each[0] for each in (*first.services, *second.services)}) == MAX_ROWS + 1
    assert len(cbor.encode([*CODEC.encode(first)])) < MAX_MESSAGE_BYTES
