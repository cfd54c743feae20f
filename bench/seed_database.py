"""Filler of a hub's database as it is after years: thousands of tenants, some services each."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import shake_128
from typing import Any

from sqlalchemy import text
from sqlmodel import SQLModel

from towonel.hub.backup import copy
from towonel.hub.backup.copy import Content
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.migrate import newest_revision
from towonel.hub.store.db.offline import open_for_writing
from towonel.hub.store.tables import (
    AgentRow,
    AuditRow,
    EdgeInviteRow,
    EdgeRow,
    InviteHostnameRow,
    InviteRow,
    KeyRow,
    ReservationRow,
    RevisionRow,
    RouteRow,
    ServiceRow,
)
from towonel.identity.keys import NodeKey, TenantKey

START_MS = 1_700_000_000_000
FIRST_PORT = 10_000
PORTS = ("tcp", "udp")  # each tenant has one service of each, and https for the rest
EDGES = 100
WRITERS = 8  # tenants whose keys are real, since the benchmark publishes for them


@dataclass(frozen=True)
class Size:
    """How much there is: every tenant has the same number of services, two of them with ports."""

    tenants: int
    services: int

    @property
    def each(self) -> int:
        return self.services // self.tenants


@cache
def tenant(number: int) -> TenantKey:
    return TenantKey.from_seed(number.to_bytes(32))


@cache
def edge(number: int) -> NodeKey:
    return NodeKey.from_seed((1 << 200 | number).to_bytes(32))


def tenant_id(number: int) -> bytes:
    return tenant(number).tenant_id if number < WRITERS else _random(number, 32)


def _random(number: int, size: int) -> bytes:
    """What no database can compress: as keys, and what is made from them, are."""
    return shake_128(number.to_bytes(8)).digest(size)


def fill(database: Database, size: Size) -> None:
    """Fill a new database, as the hub itself would have."""
    tables = SQLModel.metadata.tables
    columns = {name: table.columns.keys() for name, table in tables.items()}
    made: dict[str, Iterator[SQLModel]] = {
        "revision": iter([RevisionRow(id=1, value=size.tenants * size.each)]),
        "invites": _invites(size),
        "invite_hostnames": _hostnames(size),
        "edge_invites": _edge_invites(),
        "edges": _edges(),
        "services": _services(size),
        "routes": _routes(size),
        "agents": _agents(size),
        "port_reservations": _reservations(size),
        "api_keys": _keys(),
        "audit": _audit(size),
    }

    def rows(name: str) -> Iterator[list[Any]]:
        for row in made.get(name, iter(())):
            yield [getattr(row, column) for column in columns[name]]

    copy.fill(database, Content(newest_revision(), columns, rows))
    if not database.is_sqlite:
        with open_for_writing(database) as connection:  # as Postgres does by itself within a minute
            connection.execute(text("ANALYZE"))


def routes_of(size: Size, number: int) -> Iterator[dict[str, Any]]:
    """What a tenant publishes: `key`, `kind`, `name` and `port` of each."""
    for at in range(size.each - len(PORTS)):
        name = f"s{at}.t{number}.example.eu"
        yield {"key": f"https:{name}", "kind": "https", "name": name, "port": None}
    for kind in PORTS[: size.each]:
        port = FIRST_PORT + number
        yield {"key": f"{kind}:{port}", "kind": kind, "name": f"game{number}", "port": port}


def _invites(size: Size) -> Iterator[InviteRow]:
    for number in range(size.tenants):
        yield InviteRow(
            invite_id=number.to_bytes(16),
            name=f"tenant {number}",
            secret_hash=bytes(32),
            tenant_id=tenant_id(number),
            tenant_public_key=tenant(number).public if number < WRITERS else _random(number, 1952),
            created_at_ms=START_MS + number,
        )


def _hostnames(size: Size) -> Iterator[InviteHostnameRow]:
    for number in range(size.tenants):
        pattern = f"*.t{number}.example.eu"
        yield InviteHostnameRow(invite_id=number.to_bytes(16), pattern=pattern, position=0)


def _edge_invites() -> Iterator[EdgeInviteRow]:
    for number in range(EDGES):
        yield EdgeInviteRow(
            invite_id=number.to_bytes(16),
            name=f"edge {number}",
            secret_hash=bytes(32),
            edge_id=edge(number).public,
            created_at_ms=START_MS + number,
        )


def _edges() -> Iterator[EdgeRow]:
    for number in range(EDGES):
        yield EdgeRow(
            edge_id=edge(number).public,
            addresses='["192.0.2.1:443"]',
            certificate_pem="",
            certificate_sha256=bytes(32),
            version="1",
            last_seen_ms=START_MS,
        )


def _services(size: Size) -> Iterator[ServiceRow]:
    for number in range(size.tenants):
        for route in routes_of(size, number):
            yield ServiceRow(tenant_id=tenant_id(number), group="default", key=route["key"])


def _routes(size: Size) -> Iterator[RouteRow]:
    revision = 0
    for number in range(size.tenants):
        for route in routes_of(size, number):
            revision += 1
            yield RouteRow(
                **route, tenant_id=tenant_id(number), tls_mode="passthrough", revision=revision
            )


def _agents(size: Size) -> Iterator[AgentRow]:
    for number in range(size.tenants):
        yield AgentRow(
            agent_id=number.to_bytes(32),
            tenant_id=tenant_id(number),
            group="default",
            first_seen_ms=START_MS + number,
            last_seen_ms=1 << 45,
        )


def _reservations(size: Size) -> Iterator[ReservationRow]:
    for number in range(0, size.tenants, 10):
        port = FIRST_PORT + number
        yield ReservationRow(
            reservation_id=number.to_bytes(16),
            protocol="tcp",
            first_port=port,
            last_port=port,
            tenant_id=tenant_id(number),
            created_at_ms=START_MS,
        )


def _keys() -> Iterator[KeyRow]:
    for number in range(1_000):
        yield KeyRow(
            key_id=number.to_bytes(8),
            name=f"key {number}",
            role="viewer",
            secret_hash=bytes(32),
            created_at_ms=START_MS + number,
        )


def _audit(size: Size) -> Iterator[AuditRow]:
    for number in range(size.services):
        yield AuditRow(
            id=number + 1,
            at_ms=(1 << 45) + number,  # so new that nothing forgets it
            actor="operator",
            action="invite.updated",
            subject=f"invite:{number}",
            tenant_id=tenant_id(number % size.tenants),
            request_id="bench",
            address="192.0.2.1",
        )
