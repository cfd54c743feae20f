"""Example hub: it has what its document's examples name, and is served from a thread."""

import contextlib
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from itertools import count
from typing import Any

from anyio.from_thread import start_blocking_portal
from sqlalchemy import create_engine
from sqlmodel import SQLModel
from support.hub import OPERATOR_KEY, TestHub, hub_with_keys
from support.reported_certificates import certificate, report_of

from towonel.api.agents import BootstrapIn
from towonel.api.edges import EdgeRegisterIn
from towonel.api.services import DesiredState
from towonel.hub.api.openapi.examples import EXAMPLES
from towonel.hub.key_files import HubKeys
from towonel.hub.live.rate_limits import MemoryLimiter
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store import api_keys, edge_invites, invites
from towonel.hub.store.db.database import Database
from towonel.hub.store.tables import EdgeInviteRow, InviteRow, KeyRow, ReservationRow
from towonel.identity.keys import NodeKey, TenantKey, hash_invite_secret
from towonel.runtime.web import serve_app
from towonel.wire import base64url
from towonel.wire.names import Hostname
from towonel.wire.tokens import InviteToken

SEED = b"*" * 32
HOUR_MS = 3_600_000
PROOF = BootstrapIn.model_validate(EXAMPLES["BootstrapIn"])
INVITE_ID, SECRET = (base64url.decode(text) for text in (PROOF.invite_id, PROOF.invite_secret))
KEY_ID = base64url.decode("Yx1sT0mQ8aU")
TENANT, NODE = TenantKey.from_seed(SEED), NodeKey.from_seed(SEED)
HUB = HubKeys(NodeKey.from_seed(bytes(32)), OPERATOR_KEY.encode(), bytes(32))
NAMES = [Hostname("app.example.eu"), Hostname("*.home.example.eu")]


@dataclass(frozen=True)
class Served:
    """A hub on loopback, and what is in it."""

    url: str
    hub: TestHub


@contextlib.contextmanager
def served(database: Database) -> Generator[Served]:
    """The hub in a loop of its own, so that a test may wait without one."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(_served(database)) as hub,
    ):
        yield hub


def dump(database: Database) -> dict[str, list[str]]:
    """Every row of every table, as text and in order."""
    engine = create_engine(database.blocking_url)
    try:
        with engine.connect() as connection:
            return {
                table.name: sorted(map(str, connection.execute(table.select())))
                for table in SQLModel.metadata.sorted_tables
            }
    finally:
        engine.dispose()


@contextlib.asynccontextmanager
async def _served(database: Database) -> AsyncGenerator[Served]:
    limits = MemoryLimiter(count(0, HOUR_MS).__next__)  # nobody comes too often
    async with hub_with_keys(database, RouteChanges(), HUB, limits) as hub:
        await _fill(hub)
        hub.context.stop()  # no long poll waits, and every stream ends
        async with serve_app(hub.app, "127.0.0.1", 0, drain_s=1) as port:
            yield Served(f"http://127.0.0.1:{port}", hub)


async def _fill(hub: TestHub) -> None:
    now_ms, secret_hash = hub.clock(), hash_invite_secret(HUB.invite_hash, SECRET)
    shared: dict[str, Any] = {"name": "known", "secret_hash": secret_hash, "created_at_ms": now_ms}
    invite = InviteRow(
        invite_id=INVITE_ID, tenant_id=TENANT.tenant_id, tenant_public_key=TENANT.public, **shared
    )
    async with hub.context.store.write() as change:
        await invites.add_invite(change, invite, NAMES)
        change.session.add(_reservation(now_ms))
        await api_keys.add(change, KeyRow(key_id=KEY_ID, role="viewer", **shared))
        await edge_invites.add(
            change, EdgeInviteRow(invite_id=INVITE_ID, edge_id=NODE.public, **shared)
        )
    client = hub.client()
    token = InviteToken(hub.context.url, INVITE_ID, SECRET, SEED)
    await client.bootstrap(token, NODE, "default")
    await client.apply_desired_state(TENANT, DesiredState.model_validate(EXAMPLES["DesiredState"]))
    await client.register_edge(NODE, EdgeRegisterIn.model_validate(EXAMPLES["EdgeRegisterIn"]))
    await client.report_edge(NODE, report_of(certificate("app.example.eu", now_ms)))


def _reservation(now_ms: int) -> ReservationRow:
    return ReservationRow(
        reservation_id=INVITE_ID,
        protocol="tcp",
        first_port=2222,
        last_port=2300,
        tenant_id=TENANT.tenant_id,
        created_at_ms=now_ms,
    )
