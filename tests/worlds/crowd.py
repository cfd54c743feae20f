"""A database with thousands of tenants, put there without their keys, and statements as they are carried out."""

import contextlib
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, event, insert, text

from towonel.hub.store import copying
from towonel.hub.store.connections import writing
from towonel.hub.store.database import Database

NOW_MS = 1_700_000_000_000


def fill(database: Database, tenants: int) -> None:
    """Give each of so many tenants one row of everything, and let the planner know."""
    with writing(database) as connection:
        for table in copying.tables(connection):
            rows = [row for number in range(tenants) for row in _rows(table.name, number)]
            if rows:
                connection.execute(insert(table), rows)
        connection.execute(text("UPDATE revision SET value = :value"), {"value": tenants})
        connection.execute(text("ANALYZE"))


def _rows(table: str, number: int) -> list[dict[str, Any]]:
    key, half = number.to_bytes(32), number.to_bytes(16)
    at, name = NOW_MS - number * 1000, f"n{number}.crowd.eu"
    shared = {"tenant_id": key, "created_at_ms": at, "name": name, "secret_hash": key}
    rows: dict[str, dict[str, Any]] = {
        "invites": shared
        | {"invite_id": half, "status": "pending", "tenant_public_key": key, "version": 1},
        "invite_hostnames": {
            "invite_id": half,
            "pattern": name,
            "position": 0,
            "active": True,
            "parent": "*.crowd.eu",
        },
        "services": {"tenant_id": key, "group": "g", "key": f"https:{name}", "created_at_ms": at},
        "routes": {
            "key": f"https:{name}",
            "kind": "https",
            "name": name,
            "port": None,
            "tenant_id": key,
            "tls_mode": "passthrough",
            "revision": number,
            "removed_at_ms": NOW_MS if number % 20 == 0 else None,
        },
        "agents": {
            "agent_id": key,
            "tenant_id": key,
            "group": "g",
            "first_seen_ms": at,
            "last_seen_ms": at,
        },
        "nonces": {"domain": "d", "signer": key, "timestamp_ms": NOW_MS - number},
        "audit": {
            "at_ms": NOW_MS - 10**7 + number,
            "actor": "operator",
            "action": "invite.created",
            "subject": f"invite:{number}",
            "tenant_id": key,
            "request_id": "",
            "address": "",
        },
        "port_reservations": {
            "reservation_id": half,
            "protocol": "tcp",
            "first_port": 2000 + number,
            "last_port": 2000 + number,
            "tenant_id": key,
            "created_at_ms": at,
        },
        "api_keys": shared | {"key_id": half, "role": "viewer", "version": 1},
        "entries": {
            "tenant_id": key,
            "sequence": 1,
            "subject": "s",
            "payload": b"",
            "signature": b"",
        },
        "idempotent_answers": {
            "answer_id": key,
            "request_hash": key,
            "sealed": key,
            "created_at_ms": at,
        },
        "tenant_removals": {"tenant_id": key, "removed_at_ms": at},
    }
    return [rows[table]] if table in rows else []


@dataclass
class Seen:
    """The statements of an engine, each once, with the parameters it came with first."""

    statements: dict[str, Any] = field(default_factory=dict[str, Any])

    def __call__(
        self,
        _connection: Connection,
        _cursor: object,
        statement: str,
        parameters: object,
        _context: object,
        _many: object,
    ) -> None:
        self.statements.setdefault(statement, parameters)


@contextlib.contextmanager
def watching(engine: Engine) -> Generator[Seen]:
    """See what an engine is asked."""
    seen = Seen()
    event.listen(engine, "before_cursor_execute", seen)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", seen)
