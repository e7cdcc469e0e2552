"""
The index of searches in place of the identifiers' table; docs/decisions/0010.

It is empty: `kinbridge migrate` goes on to fill it from what stands.
"""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SHELF = "shelf || '' = ANY (string_to_array(current_setting('kinbridge.shelves', true), ' '))"

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.drop_table("identifier")
    op.create_table(
        "posting",
        sa.Column("shelf", TEXT, nullable=False),
        sa.Column("term", TEXT, nullable=False),
        sa.Column("updated", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("qualifier", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("shelf", "term", "updated", "id", "qualifier"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "indexed",
        sa.Column("package", TEXT, nullable=False),
        sa.Column("rule", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("package"),
    )
    facts = sa.Column("facts", TEXT, nullable=False, server_default="")
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:
        op.add_column("resource", facts)
    else:
        with op.batch_alter_table("resource", recreate="always") as resource:
            resource.add_column(facts, insert_before="body")  # a look at the facts reads no body
    op.create_index("resource_by_type", "resource", ["shelf", "type", "updated", "id"])
    if postgresql:
        op.execute("ALTER TABLE posting ENABLE ROW LEVEL SECURITY")
        op.execute("ALTER TABLE posting FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY shelves ON posting USING ({SHELF}) WITH CHECK ({SHELF})")
        op.execute("CREATE POLICY owner ON posting TO CURRENT_USER USING (true) WITH CHECK (true)")
