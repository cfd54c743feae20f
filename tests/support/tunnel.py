"""Tunnel of the tests: an edge's listener and agents that dial it, on loopback."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import override

from towonel.identity.certs import certificate_sha256, self_signed
from towonel.identity.grants import Grant, issue
from towonel.identity.keys import NodeKey
from towonel.tunnel.handshake import EdgeIdentity
from towonel.tunnel.link import Handle, Incoming, Link, dial
from towonel.tunnel.listener import AdmissionPolicy, Listener, listen
from towonel.tunnel.session import Session
from towonel.wire.errors import Code
from towonel.wire.ids import AgentId, EdgeId, TenantId
from towonel.wire.names import Hostname, ServiceKey, ServiceKind
from towonel.wire.preamble import Preamble
from towonel.wire.proxy import Address

SERVICE = ServiceKey(ServiceKind.HTTPS, "a.eu")
TENANT = TenantId(b"t" * 32)
PREAMBLE = Preamble(
    Address(ip_address("203.0.113.7"), 54321),
    Address(ip_address("192.0.2.1"), 443),
    SERVICE,
    Hostname("a.eu"),
)
HUB, EDGE = (NodeKey.from_seed(secrets.token_bytes(32)) for _ in range(2))
PEM = self_signed(EDGE, datetime(2026, 1, 1, tzinfo=UTC))
IDENTITY = EdgeIdentity(EdgeId(EDGE.public), PEM, certificate_sha256(PEM))


def new_key() -> NodeKey:
    return NodeKey.from_seed(secrets.token_bytes(32))


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def grant_of(
    agent: NodeKey, *, hub: NodeKey = HUB, tenant: TenantId = TENANT, lives_ms: int = 3_600_000
) -> bytes:
    now = now_ms()
    return issue(hub, Grant(AgentId(agent.public), tenant, "g", now - 1000, now + lives_ms))


@dataclass
class Watch(AdmissionPolicy):
    """A gate that lets the hub's agents in, and remembers what it was told."""

    sessions: list[Session] = field(default_factory=list)
    ended_with: list[Code] = field(default_factory=list)
    refused_with: list[Code] = field(default_factory=list)
    refuses: Code | None = None

    @override
    def hub_ids(self) -> tuple[bytes, ...]:
        return (HUB.public,)

    @override
    def refusal(self, grant: Grant) -> Code | None:
        return self.refuses

    @override
    def now_ms(self) -> int:
        return now_ms()

    @override
    def admitted(self, session: Session) -> None:
        self.sessions.append(session)

    @override
    def ended(self, session: Session, code: Code) -> None:
        self.sessions.remove(session)
        self.ended_with.append(code)

    @override
    def refused(self, code: Code, detail: str, peer: str) -> None:
        self.refused_with.append(code)


@dataclass
class World:
    """One edge; `link` dials it as an agent."""

    listener: Listener
    gate: Watch

    @contextlib.asynccontextmanager
    async def link(
        self,
        agent: NodeKey | None = None,
        handle: Handle | None = None,
        grant: bytes | None = None,
        edge: EdgeIdentity = IDENTITY,
    ) -> AsyncGenerator[Link]:
        agent = agent or new_key()
        async with dial(
            ("127.0.0.1", self.listener.port),
            edge=edge,
            key=agent,
            grant=grant or grant_of(agent),
            services=[SERVICE],
            handle=handle or echo,
            software="test",
        ) as link:
            yield link

    @contextlib.asynccontextmanager
    async def session(self, handle: Handle | None = None) -> AsyncGenerator[tuple[Session, Link]]:
        """The edge's view and the agent's of one connection."""
        async with self.link(handle=handle) as link:
            yield self.gate.sessions[-1], link


@contextlib.asynccontextmanager
async def hub() -> AsyncGenerator[World]:
    gate = Watch()
    async with listen("127.0.0.1", 0, key=EDGE, certificate_pem=PEM, policy=gate) as listener:
        yield World(listener, gate)


async def echo(incoming: Incoming) -> None:
    """An agent whose origin sends everything back."""
    pipe = await incoming.accept()
    while data := await pipe.read():
        await pipe.write(data)
    await pipe.write_eof()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)
