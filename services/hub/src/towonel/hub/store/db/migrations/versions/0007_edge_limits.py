"""Limits of tenants at edges, and the revision that changed them last."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_LIMITED = sa.text("limits_revision IS NOT NULL")


def upgrade() -> None:
    """Apply the change."""
    for name in ("max_connections", "max_connection_rate"):
        op.add_column("invites", sa.Column(name, sa.Integer))
    for name in ("max_bandwidth", "limits_revision"):
        op.add_column("invites", sa.Column(name, sa.BigInteger))
    op.create_index(
        "ix_invites_limited",
        "invites",
        ["limits_revision"],
        sqlite_where=_LIMITED,
        postgresql_where=_LIMITED,
    )
