"""Until when a tenant is served, and when the hub ended that."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_SERVED = sa.text("status = 'pending' AND ended_at_ms IS NULL")


def upgrade() -> None:
    """Apply the change."""
    for name in ("serves_until_ms", "ended_at_ms"):
        op.add_column("invites", sa.Column(name, sa.BigInteger))
    op.create_index(
        "ix_invites_ending",
        "invites",
        ["serves_until_ms"],
        sqlite_where=_SERVED,
        postgresql_where=_SERVED,
    )
