"""Services of agents whose clients see another certificate than the origin's."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Apply the change."""
    op.add_column("agents", sa.Column("certificate_mismatches", sa.String))
