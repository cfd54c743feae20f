"""First tables: invites, edges, services, routes and what a feed of routes needs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Apply the change."""
    _invites()
    _edges()
    _routes()
    op.create_table(
        "nonces",
        sa.Column("domain", sa.String, primary_key=True),
        sa.Column("signer", sa.LargeBinary, primary_key=True),
        sa.Column("timestamp_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    )


def _invites() -> None:
    op.create_table(
        "invites",
        sa.Column("invite_id", sa.LargeBinary, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("tenant_id", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("tenant_public_key", sa.LargeBinary, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False, index=True),
    )
    op.create_table(
        "invite_hostnames",
        sa.Column(
            "invite_id",
            sa.LargeBinary,
            sa.ForeignKey("invites.invite_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("pattern", sa.String, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
    )
    op.create_index(
        "ux_invite_hostnames_active",
        "invite_hostnames",
        ["pattern"],
        unique=True,
        sqlite_where=sa.text("active"),
        postgresql_where=sa.text("active"),
    )


def _edges() -> None:
    op.create_table(
        "edge_invites",
        sa.Column("invite_id", sa.LargeBinary, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("edge_id", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False, index=True),
    )
    op.create_table(
        "edges",
        sa.Column("edge_id", sa.LargeBinary, primary_key=True),
        sa.Column("addresses", sa.String, nullable=False),
        sa.Column("certificate_pem", sa.String, nullable=False),
        sa.Column("certificate_sha256", sa.LargeBinary, nullable=False),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger, nullable=False),
    )


def _routes() -> None:
    revision_table = op.create_table(
        "revision",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.Column("pruned", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(revision_table, [{"id": 1, "value": 0, "pruned": 0}])
    op.create_table(
        "services",
        sa.Column("tenant_id", sa.LargeBinary, primary_key=True),
        sa.Column("group", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
    )
    op.create_table(
        "routes",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("port", sa.Integer),
        sa.Column("tenant_id", sa.LargeBinary, nullable=False, index=True),
        sa.Column("tls_mode", sa.String, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False, index=True),
        sa.Column("removed_at_ms", sa.BigInteger),
    )
    op.create_table(
        "blocked_tenants",
        sa.Column("tenant_id", sa.LargeBinary, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False, index=True),
        sa.Column("blocked_at_ms", sa.BigInteger, nullable=False),
    )
