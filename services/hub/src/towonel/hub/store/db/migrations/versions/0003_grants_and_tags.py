"""The end of each agent's grant, whether the agent left, and a random tag for each revision."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
TAG_BYTES = 8


def upgrade() -> None:
    """Apply the change."""
    for name in ("grant_until_ms", "left_at_ms", "session_seen_ms"):
        op.add_column("agents", sa.Column(name, sa.BigInteger))
    tags = op.create_table(
        "revision_tags",
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("tag", sa.LargeBinary, nullable=False),
    )
    value = op.get_bind().scalar(sa.text("SELECT value FROM revision WHERE id = 1"))
    op.bulk_insert(tags, [{"revision": value, "tag": secrets.token_bytes(TAG_BYTES)}])
