"""Raw UDP services with the programs that people run behind them; each is tried without a tunnel, too."""

import asyncio
import hashlib
import json
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio
from support.clients import run
from support.http3 import body_of, http3_client, http3_server
from support.origins import Certificates
from support.ports import free_port, is_free
from support.stack import Stack, running_stack, until
from support.tcp_origins import iperf_server, port_service
from support.udp_origins import (
    BIG_ADDRESSES,
    BIG_NAME,
    SMALL_NAME,
    UdpOrigin,
    dns_server,
    echo,
    is_answered,
    udp_client,
    udp_origin,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
WEB = "h3.example.eu"
SIZES = (
    1,
    1_200,
    1_452,
    60_000,
)  # the least, QUIC's first, WireGuard's full one, and one of many packets
_numbers = count()


@dataclass
class Home:
    """Programs at home: the port of each, or where clients reach it."""

    stack: Stack
    certificates: Certificates
    echo: UdpOrigin
    ports: dict[str, int]


async def start_agent(
    stack: Stack, *services: dict[str, object], tcp: tuple[dict[str, object], ...] = ()
) -> None:
    """Start an agent of a tenant of its own, and wait until its ports are listened on."""
    token = await stack.invite(f"u{next(_numbers)}.example.eu")
    await stack.start_agent(
        token,
        TOWONEL_AGENT_UDP_SERVICES=json.dumps(services),
        TOWONEL_AGENT_TCP_SERVICES=json.dumps(tcp),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def programs(
    process_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Home]:
    folder = tmp_path_factory.mktemp("programs")
    certificates = Certificates(folder)
    async with (
        udp_origin() as origin,
        dns_server(folder) as dns,
        iperf_server() as iperf,
        http3_server(certificates, WEB) as web,
    ):
        ports = {"echo": origin.port, "dns": dns, "iperf": iperf, "web": web}
        yield Home(process_stack, certificates, origin, ports)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["direct", "tunnel"])
async def home(programs: Home, request: pytest.FixtureRequest) -> AsyncIterator[Home]:
    """Programs as clients reach them; what does not work directly is no fault of the tunnel."""
    if request.param == "direct":
        yield programs
        return
    public = {name: free_port() for name in programs.ports}
    services = [port_service(name, port, public[name]) for name, port in programs.ports.items()]
    control = port_service("iperf", programs.ports["iperf"], public["iperf"])
    await start_agent(programs.stack, *services, tcp=(control,))
    await until(partial(is_answered, public["echo"]))
    yield Home(programs.stack, programs.certificates, programs.echo, public)
    await programs.stack.stop_agents()


async def dig(port: int, *words: str) -> list[str]:
    """Return the lines of an answer that came over UDP, at the first try."""
    address = ("@127.0.0.1", "-p", str(port), "+tries=1", "+time=5", "+ignore", "+short")
    code, output = await run("dig", *address, *words)
    assert code == 0, output
    return output.splitlines()


async def test_dig_asks_a_server_of_names(home: Home) -> None:
    assert await dig(home.ports["dns"], "A", SMALL_NAME) == ["192.0.2.1"]


async def test_an_answer_of_several_packets_comes_whole(home: Home) -> None:
    found = await dig(home.ports["dns"], "AAAA", BIG_NAME, "+bufsize=8192")

    assert set(found) == BIG_ADDRESSES


@pytest.mark.parametrize("direction", [(), ("-R",)], ids=["up", "down"])
async def test_iperf3_loses_nothing_either_way(home: Home, direction: tuple[str, ...]) -> None:
    address = ("-c", "127.0.0.1", "-p", str(home.ports["iperf"]))
    # So slow that buffers hold what comes while a busy machine lets a process wait for a fifth of a second.
    load = ("-u", "-b", "4M", "-n", "1M", "-l", "1200", "-w", "1M")
    code, output = await run("iperf3", *address, *load, *direction, "-J", within_s=25)
    report = json.loads(output)

    assert code == 0, report.get("error")
    assert report["end"]["sum"]["lost_packets"] == 0
    assert report["end"]["sum"]["packets"] >= 1_000_000 // 1200


async def test_http3_gets_a_page_with_the_origins_own_certificate(home: Home) -> None:
    async with (
        asyncio.timeout(20),
        http3_client(home.certificates, WEB, home.ports["web"]) as client,
    ):
        status, body = await client.get(WEB, f"/{1 << 20}")

    assert status == b"200"
    assert body == body_of(1 << 20)


async def test_a_name_that_the_origin_has_no_certificate_for_is_refused(home: Home) -> None:
    with pytest.raises(ConnectionError):
        async with http3_client(home.certificates, "other.example.eu", home.ports["web"]):
            pass


@pytest.mark.parametrize("size", SIZES)
async def test_datagrams_of_any_size_are_the_same_both_ways(home: Home, size: int) -> None:
    with udp_client(home.ports["echo"]) as client:
        for _ in range(8):
            data = os.urandom(size)
            answer = await client.ask(data)
            came = [each for received in home.echo.received.values() for each in received]

            digest = hashlib.sha256(data).digest()
            assert hashlib.sha256(answer).digest() == digest
            assert digest in {hashlib.sha256(each).digest() for each in came}


async def test_an_empty_datagram_arrives_and_is_answered(home: Home) -> None:
    with udp_client(home.ports["echo"]) as client:
        assert await client.ask(b"first") == b"first"
        assert await client.ask(b"") == b""
        assert [b"first", b""] in home.echo.received.values()


async def test_two_clients_at_once_have_each_its_own_flow(home: Home) -> None:
    sent = [[f"{name}{number}".encode() for number in range(100)] for name in "ab"]
    with udp_client(home.ports["echo"]) as one, udp_client(home.ports["echo"]) as two:
        answered: list[list[bytes]] = [[], []]
        for datagrams in zip(*sent, strict=True):
            for client, data in zip((one, two), datagrams, strict=True):
                await client.send(data)
            for client, found in zip((one, two), answered, strict=True):
                found.append(await client.receive())

    assert answered == sent
    assert all(each in home.echo.received.values() for each in sent)


def flood(data: bytes) -> list[bytes]:
    """Answer a word with far more than it, as one that is asked to by a forged address does."""
    return [bytes(1_000)] * 200 if data == b"flood" else list(echo(data))


async def test_what_an_origin_sends_to_a_client_that_is_silent_is_bounded(processes: Stack) -> None:
    async with udp_origin(flood) as origin:
        port = free_port()
        service = port_service("flood", origin.port, port, max_unanswered_bytes=20_000)
        await start_agent(processes, service)
        await until(partial(is_answered, port))
        with udp_client(port) as client:
            await client.send(b"flood")
            some = await client.drain()
            again = await client.ask(b"heard")

    assert 10_000 <= sum(map(len, some)) <= 20_000
    assert again == b"heard"


async def test_a_port_is_left_when_nobody_publishes_it_any_more(
    processes: Stack, hostname: str
) -> None:
    token, port = await processes.invite(hostname), free_port()
    async with udp_origin() as origin:
        services = json.dumps([port_service("gone", origin.port, port)])
        await processes.start_agent(token, TOWONEL_AGENT_UDP_SERVICES=services)
        await until(partial(is_answered, port))
        await processes.start_agent(token)  # of the same group, which publishes nothing
        await until(partial(is_free, port))


def has_ipv6() -> bool:
    """Whether this machine has IPv6 on loopback."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
async def test_a_client_of_ipv6_reaches_an_origin_of_ipv4(tmp_path: Path, hostname: str) -> None:
    port, own = free_port(), f"[::1]:{free_port()}"
    where = {"TOWONEL_EDGE_LISTEN_ADDR": own, "TOWONEL_EDGE_ADVERTISED_ADDRESSES": own}
    async with running_stack("processes", tmp_path, **where) as stack, udp_origin() as origin:
        await start_agent(stack, port_service("six", origin.port, port))
        await until(partial(is_answered, port, "::1"))
        with udp_client(port, "::1") as client:
            for size in SIZES:
                data = os.urandom(size)
                assert await client.ask(data) == data
