"""
When something came to each shelf last; docs/decisions/0080.

One look in an index for each shelf.
"""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

revision = "0012"
down_revision = "0011"

NAMED = "ANY (string_to_array(current_setting('kinbridge.shelves', true), ' '))"
SEEN = f"shelf || '' = {NAMED}"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STANDS = sa.table("resource", sa.column("shelf"), sa.column("updated"))


def upgrade() -> None:
    clock = op.create_table(
        "clock",
        sa.Column("shelf", TEXT, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("shelf"),
    )
    last = sa.select(STANDS.c.shelf, sa.func.max(STANDS.c.updated)).group_by(STANDS.c.shelf)
    rows = [
        {"shelf": shelf, "last": (datetime.fromisoformat(at) - EPOCH) // timedelta(milliseconds=1)}
        for shelf, at in op.get_bind().execute(last)
    ]
    if rows:
        op.bulk_insert(clock, rows)
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("ALTER TABLE clock ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE clock FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY shelves ON clock USING ({SEEN}) WITH CHECK ({SEEN})")
    op.execute("CREATE POLICY owner ON clock TO CURRENT_USER USING (true) WITH CHECK (true)")
