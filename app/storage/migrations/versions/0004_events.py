"""Events each once, what holds for a referral, what is overdue, and what was expunged."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

revision = "0004"
down_revision = "0003"

NAMED = "ANY (string_to_array(current_setting('kinbridge.shelves', true), ' '))"
WORKER = f"'*' = {NAMED}"
SHELF = f"shelf || '' = {NAMED}"
SOURCE, RECIPIENT = f"source || '' = {NAMED}", f"recipient || '' = {NAMED}"


def upgrade() -> None:
    op.add_column("exchange", sa.Column("terms", TEXT, nullable=False, server_default="{}"))
    op.add_column("exchange", sa.Column("due", sa.Float, nullable=False, server_default="0"))
    op.create_index("exchange_due", "exchange", ["due"])
    op.create_table(
        "event",
        sa.Column("exchange", TEXT, nullable=False),
        sa.Column("shelf", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("event", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("standing", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("exchange", "key"),
    )
    op.create_table(
        "purge",
        sa.Column("shelf", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("exchange", TEXT, nullable=False),
        sa.Column("why", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("scrubbed", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("shelf", "type", "id"),
    )
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, (seen, written) in {
        "event": (SHELF, SHELF),
        "purge": (f"{SHELF} OR {WORKER}",) * 2,
    }.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY shelves ON {table} USING ({seen}) WITH CHECK ({written})")
        op.execute(f"CREATE POLICY owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)")
    op.execute(
        f"ALTER POLICY shelves ON exchange USING ({SOURCE} OR {RECIPIENT} OR {WORKER})"
        f" WITH CHECK ({SOURCE} AND {RECIPIENT} OR {WORKER})"
    )
