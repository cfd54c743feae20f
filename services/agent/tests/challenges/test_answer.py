"""Challenges: an origin is asked for a token by the agent, and for nothing else."""

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator

import pytest
from support.tunnel import PREAMBLE, SERVICE, listening_edge

from towonel.agent.core.services import Origin, ProxyProtocol, Service, tabulate_origins
from towonel.agent.metrics import Metrics
from towonel.agent.origin_dialer import OriginDialer
from towonel.agent.origins import Origins
from towonel.runtime.dns.resolver import Resolver
from towonel.tunnel.session import Session
from towonel.wire.errors import Code, TowonelError
from towonel.wire.names import Hostname
from towonel.wire.policy.challenge import MAX_ANSWER_BYTES

ANSWER = b"HTTP/1.1 200 OK\r\n\r\ntoken.thumbprint"


class FakeOrigin:
    """Server of plain HTTP, which notes what it is sent."""

    def __init__(self, answer: bytes = ANSWER) -> None:
        self.requests: list[bytes] = []
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._answer)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def session_with(origin: FakeOrigin) -> AsyncIterator[Session]:
    """An edge's session with an agent whose origin answers plain HTTP, and nothing where clients go."""
    async with await asyncio.start_server(origin.serve, "127.0.0.1", 0) as server:
        http = "127.0.0.1", server.sockets[0].getsockname()[1]
        service = Service(SERVICE, Origin("127.0.0.1", 1, ProxyProtocol.V2, http=http))
        dialer = OriginDialer(Resolver(), 5.0)
        table = tabulate_origins([service])
        origins = Origins(table, dialer, Metrics(), max_streams=9)
        async with (
            listening_edge() as edge,
            edge.session(origins.handle) as (session, _),
            asyncio.timeout(20),
        ):
            yield session


async def ask(session: Session, first: bytes = b"") -> bytes:
    name = Hostname(SERVICE.name)
    asked = copy.replace(PREAMBLE, service=SERVICE, authority=name, challenge="a-B_9")
    pipe = await session.open(asked, first)
    answer = b""
    while more := await pipe.read():
        answer += more
    return answer


async def test_the_origin_gets_the_agents_own_request_whatever_an_edge_sends() -> None:
    origin = FakeOrigin()
    async with session_with(origin) as session:
        answers = [await ask(session), await ask(session, b"GET /admin HTTP/1.1\r\n\r\n")]

    assert answers == [ANSWER, ANSWER]
    first, second = origin.requests
    assert first == second
    assert first.startswith(b"GET /.well-known/acme-challenge/a-B_9 HTTP/1.1\r\n")
    assert f"\r\nHost: {SERVICE.name}\r\n".encode() in first


async def test_an_answer_that_is_too_long_is_none() -> None:
    async with session_with(FakeOrigin(ANSWER + bytes(MAX_ANSWER_BYTES))) as session:
        with pytest.raises(TowonelError) as caught:
            await ask(session)

    assert caught.value.code is Code.ORIGIN_RESET
