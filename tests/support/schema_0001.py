"""Database as the first hub left it, with a row in each of its tables."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert

from towonel.hub.backup import copy
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.migrate import upgrade_to
from towonel.hub.store.db.offline import open_for_writing

TENANT, OTHER = b"t" * 32, b"o" * 32
INVITE: dict[str, Any] = {
    "invite_id": b"i" * 16,
    "name": "mine",
    "secret_hash": b"h" * 32,
    "expires_at_ms": None,
    "status": "pending",
    "tenant_id": TENANT,
    "tenant_public_key": b"k" * 1952,
    "created_at_ms": 1_700_000_000_000,
}
REVOKED = INVITE | {
    "invite_id": b"r" * 16,
    "status": "revoked",
    "tenant_id": OTHER,
    "expires_at_ms": 1,
}
ROUTE: dict[str, Any] = {
    "key": "https:app.example.eu",
    "kind": "https",
    "name": "app.example.eu",
    "port": None,
    "tenant_id": TENANT,
    "tls_mode": "passthrough",
    "revision": 3,
    "removed_at_ms": None,
}
FIRST: Mapping[str, list[dict[str, Any]]] = {
    "invites": [INVITE, REVOKED],
    "invite_hostnames": [
        {"invite_id": b"i" * 16, "pattern": pattern, "position": number, "active": True}
        for number, pattern in enumerate(("app.example.eu", "*.b.eu", "example.eu", "x.y.z.eu"))
    ]
    + [{"invite_id": b"r" * 16, "pattern": "app.example.eu", "position": 0, "active": False}],
    "edge_invites": [
        {
            "invite_id": b"e" * 16,
            "name": "edge",
            "secret_hash": b"h" * 32,
            "status": "pending",
            "edge_id": b"E" * 32,
            "created_at_ms": 1,
        }
    ],
    "edges": [
        {
            "edge_id": b"E" * 32,
            "addresses": '["192.0.2.1:443"]',
            "certificate_pem": "pem",
            "certificate_sha256": b"s" * 32,
            "version": "1",
            "last_seen_ms": 2**40,
        }
    ],
    "revision": [{"id": 1, "value": 5, "pruned": 1}],
    "services": [{"tenant_id": TENANT, "group": "default", "key": ROUTE["key"]}],
    "routes": [ROUTE, ROUTE | {"key": "tcp:2222", "kind": "tcp", "port": 2222, "removed_at_ms": 9}],
    "blocked_tenants": [{"tenant_id": OTHER, "revision": 5, "blocked_at_ms": 7}],
    "nonces": [{"domain": "d", "signer": b"E" * 32, "timestamp_ms": 8}],
}


def make_first(database: Database) -> None:
    """A database as the first hub left it."""
    with open_for_writing(database) as connection:
        upgrade_to(connection, "0001")
        for table in copy.reflect_tables(connection):
            connection.execute(table.delete())
            connection.execute(insert(table), FIRST[table.name])
