"""The system of record: entries, agents, reports, ports, API keys, audit and kept answers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Apply the change."""
    _invites()
    _routes()
    _tenants()
    _ports_and_keys()
    _records()
    op.create_index("ix_nonces_timestamp_ms", "nonces", ["timestamp_ms"])


def _bytes(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=nullable)


def _big(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _invites() -> None:
    op.drop_index("ix_invites_created_at_ms", "invites")
    op.create_index("ix_invites_newest", "invites", ["created_at_ms", "invite_id"])
    op.add_column("invites", sa.Column("version", sa.Integer, nullable=False, server_default="1"))
    op.add_column("invites", _big("suspended_at_ms", nullable=True))
    op.add_column("invites", _big("last_sequence", nullable=True))
    for quota in ("services", "agents", "ports", "hostnames"):
        op.add_column("invites", sa.Column(f"max_{quota}", sa.Integer))
    op.drop_index("ux_invite_hostnames_active", "invite_hostnames")
    op.create_index(
        "ux_invite_hostnames_active",
        "invite_hostnames",
        ["pattern"],
        unique=True,
        sqlite_where=sa.text("active = 1"),  # as queries say it: SQLite compares the words
        postgresql_where=sa.text("active"),
    )
    op.add_column("invite_hostnames", sa.Column("parent", sa.String))
    op.create_index("ix_invite_hostnames_parent", "invite_hostnames", ["parent"])
    op.create_index("ix_invite_hostnames_pattern", "invite_hostnames", ["pattern"])
    hostnames = sa.table(
        "invite_hostnames", sa.column("pattern", sa.String), sa.column("parent", sa.String)
    )
    connection = op.get_bind()
    patterns = connection.scalars(sa.select(hostnames.c.pattern).distinct()).all()
    for pattern in patterns:
        above = pattern.partition(".")[2]
        if not pattern.startswith("*.") and "." in above:
            connection.execute(
                sa.update(hostnames)
                .where(hostnames.c.pattern == pattern)
                .values(parent=f"*.{above}")
            )


def _routes() -> None:
    op.add_column(
        "services", sa.Column("created_at_ms", sa.BigInteger, nullable=False, server_default="0")
    )
    op.create_index("ix_services_key", "services", ["key", "tenant_id", "group"])
    op.create_index(
        "ix_routes_removed",
        "routes",
        ["removed_at_ms"],
        sqlite_where=sa.text("removed_at_ms IS NOT NULL"),
        postgresql_where=sa.text("removed_at_ms IS NOT NULL"),
    )
    op.create_index(
        "ix_routes_port",
        "routes",
        ["kind", "port"],
        sqlite_where=sa.text("port IS NOT NULL"),
        postgresql_where=sa.text("port IS NOT NULL"),
    )
    op.add_column(
        "blocked_tenants",
        sa.Column("lifted", sa.Boolean, nullable=False, server_default=sa.false()),
    )


def _tenants() -> None:
    op.create_table(
        "tenant_removals",
        sa.Column("tenant_id", sa.LargeBinary, primary_key=True),
        _big("removed_at_ms"),
    )
    op.create_table(
        "entries",
        sa.Column("tenant_id", sa.LargeBinary, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("subject", sa.String, nullable=False),
        _bytes("payload"),
        _bytes("signature"),
        sa.Index("ix_entries_subject", "tenant_id", "subject"),
    )
    op.create_table(
        "agents",
        sa.Column("agent_id", sa.LargeBinary, primary_key=True),
        _bytes("tenant_id"),
        sa.Column("group", sa.String, nullable=False),
        _big("first_seen_ms"),
        _big("last_seen_ms"),
        _big("revoked_at_ms", nullable=True),
        sa.Index("ix_agents_newest", "first_seen_ms", "agent_id"),
        sa.Index("ix_agents_of_tenant", "tenant_id", "last_seen_ms"),
        sa.Index("ix_agents_seen", "last_seen_ms"),
    )
    op.create_table(
        "edge_reports",
        sa.Column("edge_id", sa.LargeBinary, primary_key=True),
        sa.Column("reported_at_ms", sa.BigInteger, nullable=False, index=True),
        _bytes("body"),
    )


def _ports_and_keys() -> None:
    op.create_table(
        "port_reservations",
        sa.Column("reservation_id", sa.LargeBinary, primary_key=True),
        sa.Column("protocol", sa.String, nullable=False),
        sa.Column("first_port", sa.Integer, nullable=False),
        sa.Column("last_port", sa.Integer, nullable=False),
        sa.Column("tenant_id", sa.LargeBinary, nullable=False, index=True),
        _big("created_at_ms"),
        sa.Index("ix_port_reservations_ports", "protocol", "first_port", "reservation_id"),
    )
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.LargeBinary, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        _bytes("tenant_id", nullable=True),
        _bytes("secret_hash"),
        _bytes("old_secret_hash", nullable=True),
        _big("old_until_ms", nullable=True),
        _big("created_at_ms"),
        _big("rotated_at_ms", nullable=True),
        _big("expires_at_ms", nullable=True),
        _big("revoked_at_ms", nullable=True),
        _big("last_used_ms", nullable=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Index("ix_api_keys_newest", "created_at_ms", "key_id"),
    )


def _records() -> None:
    op.create_table(
        "audit",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        _big("at_ms"),
        *(
            sa.Column(name, sa.String, nullable=False)
            for name in ("actor", "action", "subject", "request_id", "address")
        ),
        _bytes("tenant_id", nullable=True),
        sa.Column("before", sa.String),
        sa.Column("after", sa.String),
        sa.Index("ix_audit_at", "at_ms"),
        sa.Index("ix_audit_tenant", "tenant_id", "id"),
        sa.Index("ix_audit_actor", "actor", "id"),
        sa.Index("ix_audit_action", "action", "id"),
        sa.Index("ix_audit_subject", "subject", "id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "idempotent_answers",
        sa.Column("answer_id", sa.LargeBinary, primary_key=True),
        _bytes("request_hash"),
        _bytes("sealed"),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False, index=True),
    )
