"""Addresses of an edge: all are tried, one that is broken costs little, and the edge sees one session."""

import contextlib
import secrets
import socket
from collections.abc import AsyncGenerator, Generator
from datetime import UTC, datetime

import pytest
from support.tunnel import (
    IDENTITY,
    SERVICE,
    ListeningEdge,
    RecordingPolicy,
    echo,
    grant_of,
    listening_edge,
    new_key,
)

from towonel.identity.certs import create_certificate
from towonel.identity.keys import NodeKey
from towonel.tunnel.core.timing import Timing
from towonel.tunnel.dial import dial
from towonel.tunnel.link import Link
from towonel.tunnel.listener import listen
from towonel.tunnel.quic.udp import Address
from towonel.wire.errors import Code, TowonelError

QUICK = Timing(address_delay_s=0.05)
SHORT = Timing(welcome_s=0.3, address_delay_s=0.05)


@contextlib.asynccontextmanager
async def dialled(
    *addresses: Address,
    timing: Timing = QUICK,
) -> AsyncGenerator[Link]:
    agent = new_key()
    async with dial(
        addresses,
        edge=IDENTITY,
        key=agent,
        grant=grant_of(agent),
        services=[SERVICE],
        handle=echo,
        software="test",
        timing=timing,
    ) as link:
        yield link


async def failure(*addresses: Address, timing: Timing = QUICK) -> TowonelError:
    with pytest.raises(TowonelError) as caught:
        async with dialled(*addresses, timing=timing):
            pass
    return caught.value


@contextlib.contextmanager
def silent(host: str) -> Generator[Address]:
    """An address that takes every datagram and says nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        yield sock.getsockname()


def six(edge: ListeningEdge) -> Address:
    return "::1", edge.listener.port, 0, 0


@pytest.mark.parametrize("silent_host", ["::1", "127.0.0.1"])
async def test_an_edge_is_found_behind_an_address_that_is_silent(silent_host: str) -> None:
    host = "127.0.0.1" if silent_host == "::1" else "::1"
    with silent(silent_host) as nobody:
        async with listening_edge(host=host) as edge:
            right: Address = edge.address if host == "127.0.0.1" else six(edge)
            async with dialled(nobody, right) as link:
                assert link.peer.rpartition(":")[0].strip("[]") == host
                assert len(edge.policy.sessions) == 1
            assert edge.policy.refused_with == []


async def test_an_address_without_a_route_delays_nothing() -> None:
    async with listening_edge() as edge, dialled(("255.255.255.255", 9), edge.address) as link:
        assert link.peer == f"127.0.0.1:{edge.listener.port}"


async def test_of_addresses_that_all_answer_the_first_is_used_alone() -> None:
    async with listening_edge(host="::") as edge:
        async with dialled(six(edge), edge.address) as link:
            assert link.peer == f"[::1]:{edge.listener.port}"
            assert len(edge.policy.sessions) == 1
        assert edge.policy.refused_with == []


async def test_an_address_that_is_another_edges_by_now_is_passed_over() -> None:
    other = NodeKey.from_seed(secrets.token_bytes(32))
    pem = create_certificate(other, datetime(2026, 1, 1, tzinfo=UTC))
    listening = listen("127.0.0.1", 0, key=other, certificate_pem=pem, policy=RecordingPolicy())
    async with listening as stranger, listening_edge() as edge:
        wrong = ("127.0.0.1", stranger.port)
        async with dialled(wrong, edge.address) as link:
            assert link.peer == f"127.0.0.1:{edge.listener.port}"
        error = await failure(wrong)

    assert error.code is Code.CERTIFICATE_MISMATCH
    assert f"127.0.0.1:{wrong[1]}: " in error.detail


async def test_a_failure_names_every_address_and_why() -> None:
    with silent("::1") as first, silent("127.0.0.1") as second:
        error = await failure(first, second, ("127.255.255.255", 9), timing=SHORT)

    assert error.code is Code.SESSION_LOST
    reason = "no answer within 0.3 s: is UDP blocked?"
    assert f"[::1]:{first[1]}: {reason}" in error.detail
    assert f"127.0.0.1:{second[1]}: {reason}" in error.detail
    assert "127.255.255.255:9: Permission denied" in error.detail


async def test_what_the_edge_refuses_it_is_not_asked_for_at_its_other_addresses() -> None:
    async with listening_edge(host="::") as edge:
        edge.policy.refuses = Code.TENANT_REVOKED
        error = await failure(six(edge), edge.address)

        assert error.code is Code.TENANT_REVOKED
        assert edge.policy.refused_with == [Code.TENANT_REVOKED]
