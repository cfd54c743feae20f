"""Hostile and slow clients: each gets its answer, and others are served meanwhile."""

import asyncio
import contextlib
from dataclasses import dataclass

import pytest
import pytest_asyncio
from support.clients import Client, alert_of, client_hello
from support.origins import Certificates, CommandOrigin
from support.stack import Stack, service

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEADLINE_S = 2
REFUSED = "towonel_edge_connections_refused_total"
UNRECOGNIZED_NAME = bytes([21, 3, 3, 0, 2, 2, 112])
DECODE_ERROR = bytes([21, 3, 3, 0, 2, 2, 50])


@pytest.fixture(scope="module")
def edge_environ() -> dict[str, str]:
    """The edge gives up on a handshake after two seconds."""
    return {"TOWONEL_EDGE_HANDSHAKE_TIMEOUT_SECS": str(DEADLINE_S)}


@pytest_asyncio.fixture(loop_scope="module")
async def attacked(processes: Stack, origin: CommandOrigin, hostname: str) -> Stack:
    """A stack with a service, and an edge that others use meanwhile."""
    await processes.start_agent(await processes.invite(hostname), service(hostname, origin.port))
    return processes


@dataclass(frozen=True)
class Attack:
    sent: bytes
    answer: bytes
    code: str


NAME = "app.example.eu"
HELLO = client_hello(NAME)
ATTACKS = {
    "16 KiB of junk": Attack(b"\x17" * 16_384, b"", "not_tls"),
    "HTTP": Attack(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"", "not_tls"),
    "a record of length 0": Attack(bytes([22, 3, 1, 0, 0]), DECODE_ERROR, "bad_hello"),
    "a hello without a name": Attack(client_hello("192.0.2.1"), UNRECOGNIZED_NAME, "no_sni"),
    "a name without a route": Attack(
        client_hello("nobody.example.eu"), UNRECOGNIZED_NAME, "no_route"
    ),
    "a hello that never ends": Attack(
        bytes([22, 3, 1, 0x40, 0, 1, 0, 0x7F, 0xFF]) + bytes(16_384),
        DECODE_ERROR,
        "hello_too_large",
    ),
}


def oversized_name() -> bytes:
    """A real hello whose name is replaced by one of 300 bytes, lengths mended."""
    old, new = NAME.encode(), b"a" * 300
    extra = len(new) - len(old)
    at = HELLO.index(old)
    body = bytearray(HELLO[:at] + new + HELLO[at + len(old) :])
    # name, list and extension lengths; extensions, handshake (3 bytes) and record lengths
    for where, size in ((at - 2, 2), (at - 5, 2), (at - 7, 2), (6, 3), (3, 2)):
        grow(body, where, size, extra)
    cursor = 43 + 1 + body[43]
    cursor += 2 + int.from_bytes(body[cursor : cursor + 2])
    cursor += 1 + body[cursor]
    grow(body, cursor, 2, extra)
    return bytes(body)


def grow(body: bytearray, where: int, size: int, extra: int) -> None:
    value = int.from_bytes(body[where : where + size]) + extra
    body[where : where + size] = value.to_bytes(size)


ATTACKS["a name of 300 bytes"] = Attack(oversized_name(), UNRECOGNIZED_NAME, "bad_sni")


async def test_each_attack_gets_its_alert_and_is_counted_while_others_are_served(
    attacked: Stack, certificates: Certificates, hostname: str
) -> None:
    other = Client(attacked.edge_port, certificates.client(), hostname)
    for name, attack in ATTACKS.items():
        answer = await alert_of(attacked.edge_port, attack.sent)

        assert (name, answer) == (name, attack.answer)
        await attacked.edges[0].reaches(1, REFUSED, code=attack.code)
        assert await other.ask("name") == b"home\n"


async def test_a_hello_cut_anywhere_is_closed_at_the_deadline_or_at_its_end(
    attacked: Stack, certificates: Certificates, hostname: str
) -> None:
    other = Client(attacked.edge_port, certificates.client(), hostname)
    cuts = range(0, len(HELLO), 7)

    async with asyncio.timeout(DEADLINE_S + 10), asyncio.TaskGroup() as tasks:
        closed = [tasks.create_task(alert_of(attacked.edge_port, HELLO[:cut])) for cut in cuts]
        assert await other.ask("name") == b"home\n"

    assert len(closed) > 30
    assert all(len(task.result()) in {0, 7} for task in closed)
    await attacked.edges[0].reaches(len(closed), REFUSED, code="client_timeout")


async def test_one_byte_a_moment_ends_at_one_deadline_however_long_it_trickles(
    attacked: Stack, certificates: Certificates, hostname: str
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", attacked.edge_port)
    other = Client(attacked.edge_port, certificates.client(), hostname)
    sent = 0

    async with asyncio.timeout(DEADLINE_S + 8), asyncio.TaskGroup() as tasks:
        ending = tasks.create_task(wait_end(reader))
        while not ending.done():
            writer.write(HELLO[sent : sent + 1])
            sent += 1
            await asyncio.wait([ending], timeout=0.05)
        assert await other.ask("name") == b"home\n"

    assert 10 < sent < len(HELLO)
    writer.close()


async def wait_end(reader: asyncio.StreamReader) -> None:
    """Return when the edge has closed, in whichever way."""
    with contextlib.suppress(ConnectionError):
        await reader.read(-1)


async def test_a_client_that_leaves_before_its_hello_is_counted_and_forgotten(
    attacked: Stack,
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", attacked.edge_port)
    writer.write(HELLO[:40])
    writer.close()

    await attacked.edges[0].reaches(1, REFUSED, code="client_closed")
    assert await attacked.edges[0].metric("towonel_edge_active_connections") == 0
