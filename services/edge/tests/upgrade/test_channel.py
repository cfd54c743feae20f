"""Upgrade of an edge, step by step: who gets its sockets, and what a successor that fails changes."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.tunnel import EDGE, PEM, RecordingPolicy, until

from towonel.edge.data_plane.sockets import bind_socket
from towonel.edge.upgrade.channel import SOCKET_FILE, connect_in, is_own, listen_in
from towonel.edge.upgrade.predecessor import Predecessor, find_predecessor
from towonel.edge.upgrade.successor import Successors
from towonel.tunnel.listener import Listener, listen

MANY = range(2000, 2040)  # more than a message takes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose path is longer than the address of a Unix socket may be."""
    made = tmp_path / ("f" * 120)
    made.mkdir()
    return made


@pytest.fixture
async def agents() -> AsyncIterator[Listener]:
    policy = RecordingPolicy()
    async with listen("127.0.0.1", 0, key=EDGE, certificate_pem=PEM, policy=policy) as listener:
        yield listener


@pytest.fixture
def clients() -> Iterator[socket.socket]:
    with bind_socket("127.0.0.1", 0) as sock:
        sock.listen()
        yield sock


@pytest.fixture
def ports() -> range:
    """Ports of TCP services."""
    return range(0)


@pytest.fixture
async def successors(
    folder: Path, agents: Listener, clients: socket.socket, ports: range
) -> AsyncIterator[Successors]:
    found = Successors(
        folder,
        agents,
        lambda: [agents.endpoint.duplicate(), os.dup(clients.fileno())],
        lambda: {
            kind: {port: os.dup(clients.fileno()) for port in ports}
            for kind in ("ports", "udp_ports")
        },
        lambda: [os.dup(clients.fileno())],
    )
    yield found
    found.close()


async def predecessor(folder: Path) -> Predecessor:
    found = await find_predecessor(folder)
    assert found is not None
    return found


@pytest.mark.parametrize("ports", [MANY])
async def test_a_successor_gets_the_sockets_of_sessions_clients_and_services(
    folder: Path, successors: Successors, agents: Listener, clients: socket.socket
) -> None:
    found = await predecessor(folder)
    with found.clients, found.sessions:
        assert found.clients.getsockname() == clients.getsockname()
        assert found.sessions.getsockname()[1] == agents.endpoint.port
        assert found.lanes == []
        await until(lambda: len(found._udp_ports) == len(MANY))
        for taken in (found.take_ports(), found.take_udp_ports()):
            assert list(taken) == list(MANY)
            assert {sock.getsockname() for sock in taken.values()} == {clients.getsockname()}
            for sock in taken.values():
                sock.close()
        sealed = found.take_sealed()
        assert sealed is not None
        assert found.take_sealed() is None
        with sealed:
            assert sealed.getsockname() == clients.getsockname()
        assert not successors.is_ready.is_set()
    found.close()


async def test_a_successor_that_fails_before_it_is_ready_leaves_its_place_to_another(
    folder: Path, successors: Successors
) -> None:
    failed = await predecessor(folder)
    assert await find_predecessor(folder) is None  # there is one at a time
    for sock in (failed.clients, failed.sessions):
        sock.close()
    failed.close()
    other = None
    async with asyncio.timeout(5):
        while other is None:
            other = await find_predecessor(folder)
            await asyncio.sleep(0)

    assert not successors.is_ready.is_set()
    for sock in (other.clients, other.sessions):
        sock.close()
    other.close()


async def test_a_predecessor_that_ends_meanwhile_is_not_waited_for(
    folder: Path, successors: Successors, agents: Listener
) -> None:
    found = await predecessor(folder)
    with found.clients:
        policy = RecordingPolicy()
        async with listen(
            "127.0.0.1",
            0,
            key=EDGE,
            certificate_pem=PEM,
            policy=policy,
            inherited=found.sessions,
        ) as listener:
            replacing = asyncio.create_task(found.replace(listener, list))
            await until(successors.is_ready.is_set)
            successors.close()
            async with asyncio.timeout(5):
                await replacing
            await until(lambda: listener.elsewhere is None)
    found.close()
    assert not (folder / SOCKET_FILE).exists()
    assert agents.elsewhere is None


async def test_without_an_edge_there_is_no_predecessor(folder: Path) -> None:
    assert await find_predecessor(folder) is None
    listen_in(folder).close()  # of a process that was killed

    assert (folder / SOCKET_FILE).exists()
    assert await find_predecessor(folder) is None


def test_the_socket_is_for_its_user_alone_and_replaces_a_stale_one(folder: Path) -> None:
    listen_in(folder).close()
    with listen_in(folder):
        sock = connect_in(folder)
        assert sock is not None
        assert (folder / SOCKET_FILE).stat().st_mode & 0o777 == 0o600
        assert is_own(sock)
        sock.close()
