"""Large database: thousands of tenants, put there without their keys; and a log of SQL statements."""

import contextlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, event, insert, text

from towonel.hub.backup import copy
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.offline import open_for_writing

NOW_MS = 1_700_000_000_000


def _key(number: int) -> bytes:
    return number.to_bytes(32)


def _half(number: int) -> bytes:
    return number.to_bytes(16)


def _at(number: int) -> int:
    return NOW_MS - number * 1000


def _named(number: int) -> dict[str, Any]:
    key = _key(number)
    return {
        "tenant_id": key,
        "created_at_ms": _at(number),
        "name": f"n{number}.large.eu",
        "secret_hash": key,
        "version": 1,
    }


ROWS: Mapping[str, Callable[[int], dict[str, Any]]] = {
    "invites": lambda n: {
        **_named(n),
        "invite_id": _half(n),
        "status": "pending",
        "tenant_public_key": _key(n),
    },
    "invite_hostnames": lambda n: {
        "invite_id": _half(n),
        "pattern": f"n{n}.large.eu",
        "position": 0,
        "active": True,
        "parent": "*.large.eu",
    },
    "services": lambda n: {
        "tenant_id": _key(n),
        "group": "g",
        "key": f"https:n{n}.large.eu",
        "created_at_ms": _at(n),
    },
    "publications": lambda n: {
        "tenant_id": _key(n),
        "group": "g",
        "number": 1,
        "digest": _key(n),
        "services": 1,
    },
    "routes": lambda n: {
        "key": f"https:n{n}.large.eu",
        "kind": "https",
        "name": f"n{n}.large.eu",
        "port": None,
        "tenant_id": _key(n),
        "tls_mode": "passthrough",
        "revision": n,
        "removed_at_ms": NOW_MS if n % 20 == 0 else None,
    },
    "agents": lambda n: {
        "agent_id": _key(n),
        "tenant_id": _key(n),
        "group": "g",
        "first_seen_ms": _at(n),
        "last_seen_ms": _at(n),
        "published_digest": _key(n),
    },
    "nonces": lambda n: {"domain": "d", "signer": _key(n), "timestamp_ms": NOW_MS - n},
    "audit": lambda n: {
        "at_ms": NOW_MS - 10**7 + n,
        "actor": "operator",
        "action": "invite.created",
        "subject": f"invite:{n}",
        "tenant_id": _key(n),
        "request_id": "",
        "address": "",
    },
    "port_reservations": lambda n: {
        "reservation_id": _half(n),
        "protocol": "tcp",
        "first_port": 2000 + n,
        "last_port": 2000 + n,
        "tenant_id": _key(n),
        "created_at_ms": _at(n),
    },
    "api_keys": lambda n: {**_named(n), "key_id": _half(n), "role": "viewer"},
    "entries": lambda n: {
        "tenant_id": _key(n),
        "sequence": 1,
        "subject": "s",
        "payload": b"",
        "signature": b"",
    },
    "idempotent_answers": lambda n: {
        "answer_id": _key(n),
        "request_hash": _key(n),
        "sealed": _key(n),
        "created_at_ms": _at(n),
    },
    "revision_tags": lambda n: {"revision": n + 1, "tag": _key(n)[-8:]},
    "tenant_removals": lambda n: {"tenant_id": _key(n), "removed_at_ms": _at(n)},
}


def fill(database: Database, tenants: int) -> None:
    """Give each of so many tenants one row of everything, and let the planner know."""
    with open_for_writing(database) as connection:
        for table in copy.reflect_tables(connection):
            if table.name in ROWS:
                rows = [ROWS[table.name](number) for number in range(tenants)]
                connection.execute(insert(table), rows)
        connection.execute(text("UPDATE revision SET value = :value"), {"value": tenants})
        connection.execute(text("ANALYZE"))


@dataclass
class StatementLog:
    """The statements of an engine, each once, with the parameters it came with first; how many came."""

    statements: dict[str, Any] = field(default_factory=dict[str, Any])
    count: int = 0

    def __call__(
        self,
        _connection: Connection,
        _cursor: object,
        statement: str,
        parameters: object,
        _context: object,
        _many: object,
    ) -> None:
        self.count += 1
        self.statements.setdefault(statement, parameters)


@contextlib.contextmanager
def log_statements(engine: Engine) -> Generator[StatementLog]:
    """Log the statements that an engine is sent."""
    seen = StatementLog()
    event.listen(engine, "before_cursor_execute", seen)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", seen)
