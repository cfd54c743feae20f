"""A hub on a database of its own, asked over ASGI by the real client."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from towonel.client.hub import HubClient
from towonel.client.models import DesiredState, EdgeRegisterIn, InviteIn, ServiceIn
from towonel.hub.api.application import create_app
from towonel.hub.api.state import Hub
from towonel.hub.feed import Bell
from towonel.hub.keys import HubKeys
from towonel.hub.store.migrate import upgrade
from towonel.hub.store.session import Store
from towonel.identity.certs import self_signed
from towonel.identity.keys import NodeKey, TenantKey
from towonel.wire.tokens import InviteToken

OPERATOR_KEY = "operator-key"


@dataclass
class Clock:
    now_ms: int = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class World:
    """A hub, and everybody who talks to it."""

    hub: Hub
    clock: Clock
    clients: list[HubClient] = field(default_factory=list)

    def client(self, key: str | None = OPERATOR_KEY) -> HubClient:
        transport = httpx.ASGITransport(create_app(self.hub), raise_app_exceptions=False)
        url = "http://127.0.0.1"
        client = HubClient(url, operator_key=key, transport=transport, now_ms=self.clock)
        self.clients.append(client)
        return client

    async def invite(self, *hostnames: str) -> InviteToken:
        created = await self.client().create_invite(InviteIn(hostnames=list(hostnames)))
        return InviteToken.decode(created.token)

    def raw(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(create_app(self.hub), raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://hub")


def new_key() -> NodeKey:
    return NodeKey.from_seed(secrets.token_bytes(32))


def tenant_of(token: InviteToken) -> TenantKey:
    return TenantKey.from_seed(token.seed)


def state(*hostnames: str, group: str = "default") -> DesiredState:
    services = [ServiceIn(kind="https", name=name) for name in hostnames]
    return DesiredState(group=group, services=services)


def registration(key: NodeKey) -> EdgeRegisterIn:
    pem = self_signed(key, datetime(2026, 1, 1, tzinfo=UTC))
    return EdgeRegisterIn(addresses=["127.0.0.1:443"], certificate_pem=pem, version="1")


@contextlib.asynccontextmanager
async def opened(path: Path, bell: Bell) -> AsyncGenerator[World]:
    await asyncio.to_thread(upgrade, f"sqlite:///{path}")
    keys = HubKeys(new_key(), OPERATOR_KEY.encode(), secrets.token_bytes(32))
    async with Store.open(f"sqlite+aiosqlite:///{path}", bell.ring) as store:
        clock = Clock()
        world = World(Hub(keys, store, bell, "https://hub.example.eu", now_ms=clock), clock)
        yield world
        for client in world.clients:
            await client.aclose()
