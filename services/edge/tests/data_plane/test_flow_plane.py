"""UDP side of an edge's data plane: when its worker runs, what it is given, and what its end costs."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import cast

import pytest
from structlog.testing import capture_logs
from support.edge_front import START, StartedWorkers
from support.flow_agents import FlowAgent, loopback, read_opening
from support.flow_loops import FlowLoop
from support.ports import free_port
from support.tunnel import until

from towonel.edge.core.balance import Balancer
from towonel.edge.core.route_table import RouteTable
from towonel.edge.core.traffic import Tally, Traffic
from towonel.edge.data_plane.flow_plane import FlowPlane
from towonel.edge.data_plane.shared_memory import SharedMemory
from towonel.edge.data_plane.start import FLOW_WORKER
from towonel.edge.flows.messages import Start
from towonel.edge.metrics import Metrics
from towonel.edge.sessions import Sessions
from towonel.edge.streams.refusals import Refusals
from towonel.relay.flows.sockets import Endpoint
from towonel.relay.supervisor import exec_python
from towonel.tunnel.core.events import SecretRequested
from towonel.tunnel.session import Session
from towonel.wire.errors import Code
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.policy.tenant_limits import TenantLimits
from towonel.wire.routes import Route, RouteDelta
from towonel.wire.session.balance_hints import NO_HINTS
from towonel.wire.udp.datagrams import Record, RecordKind

type Counted = Callable[..., float]

TENANT = TenantId(b"t" * 32)
SERVICE = ServiceKey(ServiceKind.UDP, "game")
LIMITS = Start(flows=10, per_source=10, per_tenant=10, report_s=0.05)
ROUTE_OF = "udp:{}".format


class Plane:
    """UDP side of an edge, with an agent that the test speaks for."""

    def __init__(self, metrics: Metrics) -> None:
        self.table, self.traffic = RouteTable(), Traffic()
        self.sessions = Sessions(self.table, Balancer(), metrics)
        self.workers = StartedWorkers(exec_python("-m", FLOW_WORKER))
        self.carried: list[tuple[bytes, int, int]] = []
        refusals = Refusals(metrics, 1.0)
        self.plane = FlowPlane(
            *(self.table, self.sessions, metrics, self.traffic, refusals, "127.0.0.1"),
            lambda *carrier: self.carried.append(carrier),
        )
        self.plane.limits, self.plane.start_worker = LIMITS, self.workers.start
        self.plane.shared = SharedMemory(replace(START, workers=1))
        self.plane.sealed = loopback()
        self.plane.ports.listen()
        self.sessions.observers.append(self.plane)
        self.requested: list[SecretRequested] = []
        self.session = self.make_session()
        self.loop = FlowLoop()
        self.port, self.client = 0, loopback()
        self._agents: list[FlowAgent] = []

    def make_session(self, services: frozenset[ServiceKey] = frozenset({SERVICE})) -> Session:
        """Return a session of an agent."""
        channel = SimpleNamespace(request=self.requested.append)
        ids = {"session_id": b"s" * 16, "agent_id": b"a" * 32, "tenant_id": TENANT}
        rest = {"group": "home", "peer": "192.0.2.1:9", "has_streams": True, "going_away": False}
        session = SimpleNamespace(**ids, **rest, services=services, channel=channel, hints=NO_HINTS)
        session.share_services = lambda each: setattr(session, "services", each)
        return cast("Session", session)

    def publish(self) -> None:
        """Give the service a port."""
        self.port = self.port or free_port()
        route = Route(ServiceKind.UDP, SERVICE.name, TENANT, self.port)
        self._apply(RouteDelta(1, snapshot=False, routes=(route,)))
        self.client.connect(("127.0.0.1", self.port))

    def limit(self, **limits: int) -> None:
        """Let the tenant have these limits."""
        self._apply(RouteDelta(3, snapshot=False, limits={TENANT: TenantLimits(**limits)}))

    def withdraw(self) -> None:
        """Take its port away."""
        self._apply(RouteDelta(2, snapshot=False, removed=(ROUTE_OF(self.port),)))

    def _apply(self, delta: RouteDelta) -> None:
        self.table.apply(delta)
        self.plane.change(delta)

    def make_agent(self) -> FlowAgent:
        """Return the agent of the session, with the newest secret."""
        assert self.plane.sealed is not None
        newest = self.requested[-1]
        agent = FlowAgent(b"s", 0, Endpoint(self.plane.sealed.getsockname()), self.loop)
        agent.link.add_secret(newest.index, newest.secret)
        self._agents.append(agent)
        return agent

    async def exchange(self, agent: FlowAgent) -> Record:
        """Let the client send until a record comes to the agent, and the agent answer it."""
        found: list[Record] = []

        def has_come() -> bool:
            agent.send(1, RecordKind.UNKNOWN)  # so that the edge knows where the agent is
            with contextlib.suppress(ConnectionRefusedError):
                self.client.send(b"question")
            found.extend(agent.take())
            return bool(found)

        await until(has_come)
        agent.open(found[0].flow)
        agent.send(found[0].flow, RecordKind.DATA, b"answer")
        async with asyncio.timeout(10):
            assert await asyncio.get_running_loop().sock_recv(self.client, 100) == b"answer"
        return found[0]

    @property
    def tally(self) -> Tally:
        """What the tenant's clients did."""
        return self.traffic.tenants(1).get(TENANT) or Tally()

    def close(self) -> None:
        """Close all sockets."""
        self.plane.close()
        self.plane.shared.close()
        self.client.close()
        for agent in self._agents:
            agent.sock.close()
        self.loop.close()


@pytest.fixture
async def plane(metrics: Metrics) -> AsyncIterator[Plane]:
    made = Plane(metrics)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(made.plane.run(random.Random(1)))
        yield made
        running.cancel()
    made.close()


async def test_the_worker_is_started_by_the_first_port_and_not_by_a_session(plane: Plane) -> None:
    plane.sessions.on_admitted(plane.session)
    for _ in range(10):
        await asyncio.sleep(0)
    assert plane.workers.pids == []
    plane.publish()
    agent = plane.make_agent()
    record = await plane.exchange(agent)

    assert read_opening(record)[1] == b"question"
    assert len(plane.workers.pids) == 1


async def test_a_worker_that_is_killed_is_replaced_and_the_other_has_all_again(
    plane: Plane, counted: Counted
) -> None:
    plane.sessions.on_admitted(plane.session)
    plane.publish()
    agent = plane.make_agent()
    before = await plane.exchange(agent)
    await until(lambda: counted("active_flows") == 1)
    first = plane.requested[-1]
    os.kill(plane.workers.pids[0], signal.SIGKILL)
    await until(lambda: len(plane.workers.pids) == 2)
    second = plane.requested[-1]
    assert first.index != second.index
    assert first.secret != second.secret, "under which it counts from 0"
    agent.take()  # what the first has sent
    agent.link.add_secret(second.index, second.secret)
    after = await plane.exchange(agent)

    assert read_opening(after)[1] == b"question"
    assert after.flow != before.flow
    assert counted("worker_restarts_total") == 1


async def test_flows_of_a_worker_that_is_gone_are_no_tenants_any_more(
    plane: Plane, counted: Counted
) -> None:
    plane.sessions.on_admitted(plane.session)
    plane.publish()
    agent = plane.make_agent()
    await plane.exchange(agent)
    await until(lambda: plane.tally.bytes_out == 6)
    assert plane.tally.connections_active == 1
    plane.withdraw()
    os.kill(plane.workers.pids[0], signal.SIGKILL)
    await until(lambda: counted("worker_restarts_total") == 1)

    assert plane.tally.connections_active == 0
    assert plane.tally.connections_total == 1
    assert counted("active_flows") == 0


async def test_an_agent_whose_session_has_ended_gets_no_secret_with_the_next_worker(
    plane: Plane,
) -> None:
    plane.sessions.on_admitted(plane.session)
    plane.publish()
    await plane.exchange(plane.make_agent())
    plane.sessions.on_ended(plane.session, Code.NORMAL)
    os.kill(plane.workers.pids[0], signal.SIGKILL)
    await until(lambda: len(plane.workers.pids) == 2)

    assert len(plane.requested) == 1


def service(name: str, kind: ServiceKind = ServiceKind.UDP) -> ServiceKey:
    return ServiceKey(kind, name)


@pytest.mark.parametrize(("kind", "secrets"), [(ServiceKind.TCP, 0), (ServiceKind.UDP, 1)])
async def test_only_a_session_with_a_service_of_udp_gets_a_secret(
    plane: Plane, kind: ServiceKind, secrets: int
) -> None:
    plane.sessions.on_admitted(plane.make_session(frozenset({service("x", kind)})))

    assert len(plane.requested) == secrets


async def test_a_session_gets_one_secret_when_its_first_service_of_udp_comes(plane: Plane) -> None:
    session = plane.make_session(frozenset())
    plane.plane.on_admitted(session)
    for names in ({"one"}, {"one", "two"}, {"two"}):
        before = session.services
        session.share_services(frozenset(map(service, names)))
        plane.plane.on_services_changed(session, before, NO_HINTS)

    assert len(plane.requested) == 1
    assert len(plane.requested[0].secret) == 32


async def test_what_the_worker_counts_is_in_metrics_and_traffic(
    plane: Plane, counted: Counted
) -> None:
    plane.sessions.on_admitted(plane.session)
    plane.publish()
    agent = plane.make_agent()
    await plane.exchange(agent)
    plane.client.send(bytes(100))
    await until(lambda: counted("datagrams_in_total") >= 2 and counted("datagrams_out_total"))

    tally = plane.tally
    assert counted("bytes_in_total") == tally.bytes_in >= 108
    assert counted("bytes_out_total") == tally.bytes_out == 6
    assert counted("flows_total") == counted("active_flows") == 1
    assert counted("datagram_paths", state="up") == 1


async def test_clients_that_get_no_flow_are_counted_and_in_the_log(
    plane: Plane, counted: Counted
) -> None:
    plane.publish()
    with capture_logs() as lines:
        plane.client.send(b"nobody serves it")
        await until(lambda: counted("flows_refused_total", code="no_agent") == 1)
        await until(lambda: bool(lines))

    assert lines[0]["tenant_id"] == TENANT.hex()


async def test_limits_of_a_tenant_hold_live_and_at_the_next_worker_and_others_use_counts(
    plane: Plane, counted: Counted
) -> None:
    plane.sessions.on_admitted(plane.session)
    plane.publish()
    await plane.exchange(plane.make_agent())
    plane.limit(bandwidth=8)
    plane.plane.shared.limits.find(TENANT, "bandwidth").add(1_000_000)  # of a stream
    dropped = partial(counted, "datagrams_dropped_total", reason="over_bandwidth")
    for pids in (1, 2):
        assert len(plane.workers.pids) == pids

        def is_dropped(before: float = dropped()) -> bool:
            plane.client.send(bytes(1000))
            return dropped() > before

        await until(is_dropped)
        if pids == 1:
            os.kill(plane.workers.pids[0], signal.SIGKILL)
            await until(lambda: len(plane.workers.pids) == 2)
