"""Clients that sign what they say, and what they have said; app/storage/tables.py."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("client", sa.Column("keys", TEXT, nullable=False, server_default=""))
    op.create_table(
        "assertion",
        sa.Column("client", TEXT, nullable=False),
        sa.Column("said", TEXT, nullable=False),
        sa.Column("until", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("client", "said"),
    )
    op.create_index("assertion_until", "assertion", ["until"])
