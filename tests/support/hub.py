"""Test hub: a hub on a database of its own, called over ASGI by the real client."""

import asyncio
import contextlib
import copy
import secrets
import tempfile
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.datastructures import State
from starlette.middleware import Middleware
from support.openapi import app_with_routes
from support.openapi_guard import OpenApiGuard

from towonel.api.edges import EdgeRegisterIn
from towonel.api.invites import InviteIn
from towonel.api.services import DesiredState, ServiceIn
from towonel.client.hub import HubClient
from towonel.hub.api.http.middleware import RequestMiddleware
from towonel.hub.bounds import Bounds
from towonel.hub.context import Hub, Policy
from towonel.hub.core.rate_limits import Rate
from towonel.hub.key_files import HubKeys
from towonel.hub.live.audit_signal import AuditSignal
from towonel.hub.live.edge_reports import EdgeReports
from towonel.hub.live.rate_limits import Limiter, MemoryLimiter
from towonel.hub.live.route_cache import RouteCache
from towonel.hub.live.route_changes import (
    RouteChanges,
    make_route_changes,
    on_commit,
    redis_client,
)
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.migrate import upgrade
from towonel.hub.store.db.transactions import Store
from towonel.hub.timing import Timing
from towonel.identity.certs import create_certificate
from towonel.identity.keys import NodeKey, TenantKey
from towonel.wire.tokens import InviteToken

OPERATOR_KEY = "operator-key"
MAX_CONNECTIONS = 10  # to the database
UNLIMITED = dict.fromkeys(("per_address", "per_key", "reports"), Rate(1e6, 10**6))


@dataclass
class Clock:
    now_ms: int = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class TestHub:
    """A hub in this process, and the clients that talk to it."""

    __test__ = False  # its name begins as those of test classes do

    context: Hub
    clock: Clock
    clients: list[HubClient] = field(default_factory=list)

    @cached_property
    def app(self) -> FastAPI:
        """The API, with the routes that all hubs of this process share."""
        app = copy.copy(app_with_routes())
        app.state = State({"hub": self.context})
        app.user_middleware = [Middleware(RequestMiddleware, hub=self.context)]
        return app

    @cached_property
    def guarded_app(self) -> OpenApiGuard:
        """The same, in a guard that compares what it answers with its document."""
        return OpenApiGuard(self.app)

    def transport(self) -> httpx.ASGITransport:
        return httpx.ASGITransport(self.guarded_app, raise_app_exceptions=False)

    def client(
        self, key: str | None = OPERATOR_KEY, transport: httpx.AsyncBaseTransport | None = None
    ) -> HubClient:
        transport = transport or self.transport()
        url = "http://127.0.0.1"
        client = HubClient(url, operator_key=key, transport=transport, now_ms=self.clock)
        self.clients.append(client)
        return client

    async def invite(self, *hostnames: str) -> InviteToken:
        created = await self.client().invites.create(InviteIn(hostnames=list(hostnames)))
        return InviteToken.decode(created.token)

    def raw(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=self.transport(), base_url="http://hub")


def new_key() -> NodeKey:
    return NodeKey.from_seed(secrets.token_bytes(32))


def tenant_of(token: InviteToken) -> TenantKey:
    return TenantKey.from_seed(token.seed)


def state(*hostnames: str, group: str = "default") -> DesiredState:
    services = [ServiceIn(kind="https", name=name) for name in hostnames]
    return DesiredState(group=group, services=services)


def registration(key: NodeKey) -> EdgeRegisterIn:
    pem = create_certificate(key, datetime(2026, 1, 1, tzinfo=UTC))
    return EdgeRegisterIn(addresses=["127.0.0.1:443"], certificate_pem=pem, version="1")


@contextlib.asynccontextmanager
async def route_changes_over(redis_url: str) -> AsyncGenerator[RouteChanges]:
    """A watch on routes over a Redis."""
    async with redis_client(redis_url) as redis, make_route_changes(redis) as changes:
        yield changes


@contextlib.asynccontextmanager
async def running_hub(
    database: Database,
    changes: RouteChanges,
    limits: Limiter | None = None,
    timing: Timing | None = None,
    bounds: Bounds | None = None,
    **chosen: Any,
) -> AsyncGenerator[TestHub]:
    """A hub on a migrated database; `chosen` are fields of its policy."""
    keys = HubKeys(new_key(), OPERATOR_KEY.encode(), secrets.token_bytes(32))
    async with hub_with_keys(database, changes, keys, limits, timing, bounds, **chosen) as hub:
        yield hub


@contextlib.asynccontextmanager
async def hub_with_keys(
    database: Database,
    changes: RouteChanges,
    keys: HubKeys,
    limits: Limiter | None = None,
    timing: Timing | None = None,
    bounds: Bounds | None = None,
    **chosen: Any,
) -> AsyncGenerator[TestHub]:
    """The same with keys that are given: replicas share them."""
    audited, timing, clock = AuditSignal(), timing or Timing(), Clock()
    async with _store(database, changes, audited, timing, clock) as store:
        cache = RouteCache(store, changes)
        await cache.catch_up()
        changes.set_revision(cache.revision)
        limiter, policy = limits or MemoryLimiter(), Policy(**{**UNLIMITED, **chosen})
        parts = (keys, store, changes, audited, limiter, cache, EdgeReports(store))
        url = "https://hub.example.eu"
        hub = TestHub(Hub(*parts, url, policy, timing, bounds or Bounds()), clock)
        yield hub
        for client in hub.clients:
            await client.aclose()
        assert hub.guarded_app.surprises == set()


def _store(
    database: Database, changes: RouteChanges, audited: AuditSignal, timing: Timing, clock: Clock
) -> contextlib.AbstractAsyncContextManager[Store]:
    return Store.open(
        database,
        on_commit(changes, audited),
        lambda: changes.highest,
        now_ms=clock,
        max_connections=MAX_CONNECTIONS,
        max_idle=MAX_CONNECTIONS,
        begin_s=timing.database_begin_s,
        answer_s=timing.database_answer_s,
    )


async def migrated(path: Path) -> Database:
    """A database in a file, with the newest schema."""
    path.write_bytes(await asyncio.to_thread(_newest))
    return Database.in_file(path)


@cache
def _newest() -> bytes:
    """A file with the newest schema; making one takes longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hub.db"
        upgrade(Database.in_file(path))
        return path.read_bytes()
