"""Differences of clocks between hub and agents, and the regions of edges."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Apply the change."""
    op.add_column("agents", sa.Column("clock_skew_ms", sa.BigInteger))
    op.add_column("edges", sa.Column("region", sa.String))
