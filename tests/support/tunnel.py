"""Listener of an edge, and agents that dial it, on loopback."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import override

from towonel.identity.certs import certificate_sha256, create_certificate
from towonel.identity.grants import Grant, issue
from towonel.identity.keys import NodeKey
from towonel.tunnel.channel import Channel
from towonel.tunnel.core.bounds.handshake_places import DEFAULT_LIMITS, HandshakeLimits
from towonel.tunnel.core.bounds.receive_budget import ReceiveBudget
from towonel.tunnel.core.bounds.send_budget import SendBudget
from towonel.tunnel.core.handshake import AgentHandshake, EdgeIdentity
from towonel.tunnel.core.timing import DEFAULT_TIMING, Timing
from towonel.tunnel.dial import dial
from towonel.tunnel.link import Link
from towonel.tunnel.listener import Listener, listen
from towonel.tunnel.quic.connection import Connection
from towonel.tunnel.session import AdmissionPolicy, Session
from towonel.tunnel.stream_requests import Handle, StreamRequest
from towonel.tunnel.transport import Transport
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import AgentId, EdgeId, TenantId
from towonel.wire.names import Hostname, ServiceKey, ServiceKind
from towonel.wire.preamble import Preamble
from towonel.wire.proxy import Address
from towonel.wire.session.balance_hints import BalanceHints

SERVICE = ServiceKey(ServiceKind.HTTPS, "a.eu")
TENANT = TenantId(b"t" * 32)
PREAMBLE = Preamble(
    Address(ip_address("203.0.113.7"), 54321),
    Address(ip_address("192.0.2.1"), 443),
    SERVICE,
    Hostname("a.eu"),
)
HUB, EDGE = (NodeKey.from_seed(secrets.token_bytes(32)) for _ in range(2))
PEM = create_certificate(EDGE, datetime(2026, 1, 1, tzinfo=UTC))
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
class RecordingPolicy(AdmissionPolicy):
    """Policy that admits the hub's agents, and records its calls."""

    has_lanes: bool = False
    sessions: list[Session] = field(default_factory=list)
    ended_with: list[Code] = field(default_factory=list)
    refused_with: list[Code] = field(default_factory=list)
    served_before: list[frozenset[ServiceKey]] = field(default_factory=list)
    refuses: Code | None = None
    refuses_more: Code | None = None
    send_budget: SendBudget = field(default_factory=lambda: SendBudget(2**40))
    receive_budget: ReceiveBudget = field(default_factory=ReceiveBudget)

    @override
    def hub_ids(self) -> tuple[bytes, ...]:
        return (HUB.public,)

    @override
    def refuse(self, grant: Grant) -> Code | None:
        return self.refuses

    @override
    def refuse_more(
        self, grant: Grant, services: Collection[ServiceKey], *, is_replacement: bool = False
    ) -> Denied | None:
        return None if is_replacement or not self.refuses_more else Denied(self.refuses_more)

    @override
    def source_of(self, host: str) -> str:
        return host

    @override
    def budgets_of(self, tenant_id: TenantId) -> tuple[SendBudget, ReceiveBudget]:
        return self.send_budget, self.receive_budget

    @override
    def now_ms(self) -> int:
        return now_ms()

    @override
    def on_admitted(self, session: Session) -> None:
        self.sessions.append(session)

    @override
    def on_going_away(self, session: Session) -> None:
        pass

    @override
    def on_services_changed(
        self, session: Session, before: frozenset[ServiceKey], hints: BalanceHints
    ) -> None:
        self.served_before.append(before)

    @override
    def on_ended(self, session: Session, code: Code) -> None:
        self.sessions.remove(session)
        self.ended_with.append(code)

    @override
    def on_refused(self, code: Code, detail: str, peer: str) -> None:
        self.refused_with.append(code)


class ScriptedLink(Link):
    """Link that answers whatever comes with `script`, and with nothing else."""

    def __init__(self, script: Callable[[Connection], None] = lambda _: None) -> None:
        key = new_key()
        handshake = AgentHandshake(key, grant_of(key), [SERVICE], "test")
        super().__init__(IDENTITY, handshake, on_stream=lambda _: None)
        self._script = script

    @override
    def _make_channel(self, connection: Transport) -> Channel:
        self.channel = ScriptedChannel(connection, self._machine, self, opens=False)
        self.channel.script = self._script
        return self.channel


def quic_of(channel: Channel) -> Connection:
    """The QUIC connection of a channel."""
    assert isinstance(channel.connection, Connection)
    return channel.connection


class ScriptedChannel(Channel):
    script: Callable[[Connection], None]

    @override
    def on_stream_data(self, stream_id: int, data: bytes, *, is_end: bool) -> None:
        self.script(quic_of(self))


@dataclass
class ListeningEdge:
    """Edge on loopback; `link` dials it as an agent."""

    listener: Listener
    policy: RecordingPolicy
    timing: Timing = DEFAULT_TIMING

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.listener.port

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
            [self.address],
            edge=edge,
            key=agent,
            grant=grant or grant_of(agent),
            services=[SERVICE],
            handle=handle or echo,
            software="test",
            timing=self.timing,
        ) as link:
            yield link

    @contextlib.asynccontextmanager
    async def session(self, handle: Handle | None = None) -> AsyncGenerator[tuple[Session, Link]]:
        """Both ends of one session."""
        async with self.link(handle=handle) as link:
            yield self.policy.sessions[-1], link


@contextlib.asynccontextmanager
async def listening_edge(
    timing: Timing = DEFAULT_TIMING,
    limits: HandshakeLimits = DEFAULT_LIMITS,
    host: str = "127.0.0.1",
    certificate_pem: str = PEM,
    *,
    port: int = 0,
    has_lanes: bool = False,
) -> AsyncGenerator[ListeningEdge]:
    policy = RecordingPolicy(has_lanes=has_lanes)
    async with listen(
        host,
        port,
        key=EDGE,
        certificate_pem=certificate_pem,
        policy=policy,
        timing=timing,
        limits=limits,
    ) as listener:
        yield ListeningEdge(listener, policy, timing)


async def echo(request: StreamRequest) -> None:
    """An agent whose origin sends everything back."""
    pipe = await request.accept()
    while data := await pipe.read():
        await pipe.write(data)
    await pipe.write_eof()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)
