"""Ranges of ports that one service has."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Apply the change."""
    op.add_column("routes", sa.Column("last_port", sa.Integer))
