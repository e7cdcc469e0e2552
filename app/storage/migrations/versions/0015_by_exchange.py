"""
What is part of a referral is found by an index, and so is who waits for something, and the pages of a
history in their order; decision 0096. The keys are PostgreSQL's youngest indexes again, as in 0007.

A minute or so for a million resources, in which nobody writes: 21 s for 300,000 with as many past versions,
on a busy machine, the index of `kinbridge migrate` included.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

PART = sa.text("exchange <> ''")
KEYS = {"resource": "shelf, type, id", "version": "shelf, type, id, version"}


def upgrade() -> None:
    op.create_index(
        "resource_by_exchange",
        "resource",
        ["shelf", "exchange"],
        sqlite_where=PART,
        postgresql_where=PART,
        if_not_exists=True,
    )
    for name, table, columns in (
        ("worklist_by_wanted", "worklist", ["shelf", "wanted", "source"]),
        ("resource_by_time", "resource", ["shelf", "updated", "type", "id"]),
        ("exchange_due", "exchange", ["due", "id"]),
        ("version_by_time", "version", ["shelf", "updated", "type", "id", "version"]),
    ):
        op.drop_index(name, table)
        op.create_index(name, table, columns)
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, key in KEYS.items():
        op.execute(f"CREATE UNIQUE INDEX {table}_key ON {table} ({key})")
        op.execute(
            f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey,"
            f" ADD CONSTRAINT {table}_pkey PRIMARY KEY USING INDEX {table}_key"
        )
