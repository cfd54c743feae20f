"""UDP side of an agent's data plane: when its worker runs, and what it is given."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import pytest
from support.edge_front import StartedWorkers
from support.flow_agents import SERVICE, loopback
from support.tunnel import until

from towonel.agent.core.services import Origin, ProxyProtocol, Service
from towonel.agent.data_plane.flow_plane import FlowPlane
from towonel.agent.data_plane.origin_feed import OriginFeed
from towonel.agent.metrics import Metrics
from towonel.agent.origin_log import OriginLog
from towonel.agent.worker.messages import Origins
from towonel.relay.supervisor import exec_python
from towonel.runtime.admin import Health
from towonel.runtime.dns.resolver import Resolver
from towonel.tunnel.link import Link
from towonel.wire.udp.datagrams import decode_head

SECRETS = [(7, bytes(32)), (8, bytes(range(32)))]


class Plane:
    """UDP side of an agent, and a link to an edge that the test speaks for."""

    def __init__(self) -> None:
        self.edge = loopback()
        self.metrics, self.health = Metrics(), Health()
        self.workers = StartedWorkers(exec_python("-m", "towonel.agent.flows"))
        services = [Service(SERVICE, Origin("127.0.0.1", 9, ProxyProtocol.NONE))]
        resolver, log = Resolver(), OriginLog()
        self.carriers: list[Origins] = []
        feed = OriginFeed([], resolver, log, self._take)
        parts = resolver, self.metrics, self.health, log, self.workers.start, feed
        self.plane = FlowPlane(services, *parts)
        facts = {
            "session_id": b"s" * 16,
            "address": self.edge.getsockname(),
            "secrets": list[object](),
        }
        self.link = cast("Link", SimpleNamespace(**facts, observe_secret=None))

    def _take(self, message: object) -> None:
        assert isinstance(message, Origins)
        self.carriers.append(message)

    def add_secret(self, index: int, secret: bytes) -> None:
        """Let the edge send a secret."""
        self.link.secrets.append((index, secret))
        self.link.observe_secret(index, secret)

    def count_heads(self, heads: list[tuple[int, int]]) -> int:
        """Add the heads that have come, and return how many there are."""
        heads += self.take_heads()
        return len(heads)

    def take_heads(self) -> list[tuple[int, int]]:
        """Return index and counter of the packets that have come to the edge."""
        found: list[tuple[int, int]] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                head = decode_head(self.edge.recv(4096))
                assert head is not None
                found.append(head)
        return found

    def restarts(self) -> float:
        """Return how many workers were replaced."""
        name = "towonel_agent_worker_restarts_total"
        return self.metrics.registry.get_sample_value(name) or 0.0


@pytest.fixture
async def plane() -> AsyncIterator[Plane]:
    made = Plane()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(made.plane.run())
        with made.plane.hold(made.link):
            yield made
        running.cancel()
    made.edge.close()


async def test_the_worker_is_started_by_the_first_secret_and_asks_the_edge_at_once(
    plane: Plane,
) -> None:
    for _ in range(10):
        await asyncio.sleep(0)
    assert plane.workers.pids == []
    plane.add_secret(*SECRETS[0])
    heads: list[tuple[int, int]] = []
    await until(lambda: plane.count_heads(heads) > 0)

    assert heads[0] == (7, 0)
    assert len(plane.workers.pids) == 1


async def test_no_counter_is_used_twice_under_a_secret_though_the_worker_is_replaced(
    plane: Plane,
) -> None:
    for secret in SECRETS:
        plane.add_secret(*secret)
    heads: list[tuple[int, int]] = []
    await until(lambda: plane.count_heads(heads) > 0)
    os.kill(plane.workers.pids[0], signal.SIGKILL)
    await until(lambda: len(plane.workers.pids) == 2)
    heads += plane.take_heads()
    count = len(heads)
    await until(lambda: plane.count_heads(heads) > count)

    assert len(set(heads)) == len(heads)
    assert heads[-1][1] > max(counter for _, counter in heads[:count])
    assert plane.restarts() == 1


async def test_lanes_that_carry_packets_go_to_the_port_of_the_newest_worker(plane: Plane) -> None:
    plane.add_secret(*SECRETS[0])
    await until(lambda: plane.carriers)
    os.kill(plane.workers.pids[0], signal.SIGKILL)
    await until(lambda: len(plane.carriers) == 2)

    addresses = plane.carriers[-1].origins[0][2]
    assert addresses is not None
    socket.create_connection(addresses[0][:2]).close()
