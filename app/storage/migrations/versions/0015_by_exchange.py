"""
What is part of a referral is found by an index, and so is who waits for something, and the pages of a
history in their order; decision 0096.

Some seconds for a million resources, in which nobody writes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

PART = sa.text("exchange <> ''")


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
