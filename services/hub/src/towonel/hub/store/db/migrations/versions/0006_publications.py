"""Publications of groups, and the digest of what each agent serves."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "publications",
        sa.Column("tenant_id", sa.LargeBinary, primary_key=True),
        sa.Column("group", sa.String, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("services", sa.Integer, nullable=False),
        sa.Column("agent_id", sa.LargeBinary),
    )
    op.add_column("agents", sa.Column("published_digest", sa.LargeBinary))
