"""Limits that a tenant has of its own, for its flows and for what they carry, together with its clients over TCP."""

from dataclasses import replace

import pytest
from support.flow_agents import LIMITS, PORT, SECRET, TENANT, EdgeFlows, FlowAgent, datagrams_to

from towonel.edge.core.shared_use import SharedLimits
from towonel.edge.flows.limits import OVER_BANDWIDTH
from towonel.relay.pacing.pacer import MIN_BURST
from towonel.wire.errors import Code
from towonel.wire.ids import TenantId
from towonel.wire.policy.tenant_limits import NO_LIMITS, TenantLimits
from towonel.wire.udp.datagrams import RecordKind

MBIT = 1_000_000
FULL = 10_000  # bytes of a datagram
OTHER_TENANT = TenantId(b"o" * 32)


def limit(edge: EdgeFlows, **limits: int) -> None:
    """Let the tenant have these limits from now on."""
    edge.limits.change(TENANT, TenantLimits(**limits), edge.loop.now)


def count_taken(agent: FlowAgent) -> int:
    """Return how many datagrams of clients an agent has got, since it was asked last."""
    return sum(record.kind in {RecordKind.DATA, RecordKind.OPENING} for record in agent.take())


def flood(edge: EdgeFlows, agent: FlowAgent, seconds: float) -> tuple[int, int]:
    """Let a client, and its origin, send far too much for so long; return the bytes that pass each way."""
    client, number = edge.begin(agent)
    to_agent = to_client = 0
    for _ in range(round(seconds * 100)):
        edge.loop.advance(0.01)
        for _ in range(2):
            edge.send(client, bytes(FULL))
            agent.send(number, RecordKind.DATA, bytes(FULL))
        edge.loop.turn()
        to_agent += FULL * count_taken(agent)
        to_client += sum(map(len, datagrams_to(client)))
    return to_agent, to_client


def test_both_ways_together_have_the_bandwidth_and_what_exceeds_it_is_counted(
    edge: EdgeFlows,
) -> None:
    agent = edge.add_agent()
    limit(edge, bandwidth=8 * MBIT)
    passed = sum(flood(edge, agent, seconds=2.0))
    counters = edge.take_counters()

    assert 2 * MBIT <= passed <= 2.2 * MBIT
    assert dict(counters.dropped)[OVER_BANDWIDTH] == 2 * 400 - passed // FULL
    assert abs(counters.bytes_in + counters.bytes_out - passed) < FULL, "what is dropped is no use"


def test_a_tenant_without_such_a_limit_has_all(edge: EdgeFlows) -> None:
    agent = edge.add_agent()
    other = edge.add_agent(tenant_id=OTHER_TENANT)
    edge.open_port(PORT + 1, tenant_id=OTHER_TENANT)
    limit(edge, bandwidth=8)
    client, _ = edge.begin(other, edge.add_client(PORT + 1))
    for _ in range(20):
        edge.send(client, bytes(FULL))
    assert count_taken(other) == 20
    edge.limits.change(TENANT, NO_LIMITS, edge.loop.now)
    mine, _ = edge.begin(agent)
    for _ in range(20):
        edge.send(mine, bytes(FULL))

    assert count_taken(agent) == 20


def test_a_limit_that_changes_holds_for_flows_that_there_are(edge: EdgeFlows) -> None:
    agent = edge.add_agent()
    client, _ = edge.begin(agent)
    limit(edge, bandwidth=1000 * MBIT)
    limit(edge, bandwidth=8)
    for _ in range(20):
        edge.send(client, bytes(FULL))

    assert MIN_BURST < FULL * count_taken(agent) < MIN_BURST + 2 * FULL


def test_flows_have_half_of_it_while_clients_over_tcp_take_all_that_is_there(
    edge: EdgeFlows,
) -> None:
    agent = edge.add_agent()
    limit(edge, bandwidth=8 * MBIT)
    worker = SharedLimits(edge.rows, 1, SECRET).find(TENANT, "bandwidth")
    worker.add(10 * MBIT)
    passed = sum(flood(edge, agent, seconds=2.0))

    assert MBIT <= passed <= 1.2 * MBIT


def test_so_many_flows_begin_in_a_second_and_a_client_that_got_none_gets_one_later(
    edge: EdgeFlows,
) -> None:
    agent = edge.add_agent()
    limit(edge, connection_rate=2)
    clients = [edge.add_client() for _ in range(4)]
    for client in clients:
        edge.send(client)
    counters, [refused] = edge.flows.take_counters()
    assert (count_taken(agent), counters.active) == (2, 2)
    assert counters.refused == ((Code.RATE_LIMITED, 2),)
    assert refused.tenant_id == TENANT
    edge.loop.advance(1.0)
    for client in clients:
        edge.send(client)

    assert edge.take_counters().active == 4


@pytest.mark.parametrize(("most", "code"), [(1, Code.TOO_MANY_CONNECTIONS), (500, None)])
def test_so_many_flows_are_there_at_once(edge: EdgeFlows, most: int, code: Code | None) -> None:
    agent = edge.add_agent()
    limit(edge, connections=most)
    _, number = edge.begin(agent)
    late = edge.add_client()
    edge.send(late)
    refused = edge.take_counters().refused
    agent.end(number)
    edge.loop.turn()
    edge.send(late)

    assert refused == (() if code is None else ((code, 1),))
    assert edge.take_counters().active == 1, "who was refused holds no place"


def test_who_has_no_flow_for_the_rate_takes_no_place_of_its_source_and_tenant(
    edge: EdgeFlows,
) -> None:
    agent = edge.add_agent()
    limit(edge, connection_rate=1)
    edge.begin(agent)
    late = edge.add_client()
    for _ in range(300):
        edge.send(late)
    limit(edge, connection_rate=1000)
    edge.loop.advance(1.0)
    edge.send(late)

    assert edge.take_counters().active == 2


def test_a_tenant_that_opens_flow_after_flow_takes_no_place_of_another() -> None:
    edge = EdgeFlows(replace(LIMITS, flows=4))
    agent, other = edge.add_agent(), edge.add_agent(tenant_id=OTHER_TENANT)
    edge.open_port(PORT + 1, tenant_id=OTHER_TENANT)
    quiet, _ = edge.begin(other, edge.add_client(PORT + 1))
    for _ in range(10):
        edge.begin(agent)
    edge.send(quiet, b"still here")

    assert [record.body for record in other.take()] == [b"still here"]
    counters = edge.take_counters()
    assert counters.active == 4
    assert counters.ended == ((Code.LIMIT_EXCEEDED, 7),)
    edge.close()
