"""Requests to renew or revoke certificates, until edges have been told."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "certificate_requests",
        sa.Column("edge_id", sa.LargeBinary, primary_key=True),
        sa.Column("hostname", sa.String, primary_key=True),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("requested_at_ms", sa.BigInteger, nullable=False, index=True),
    )
