"""What of a screening maps nowhere yet, and the tenant's crosswalk."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

NAMED = "(string_to_array(current_setting('kinbridge.shelves', true), ' '))"


def _text(name: str) -> sa.Column[str]:
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.Column(name, text, nullable=False)


def upgrade() -> None:
    names = ("shelf", "source", "kind", "wanted", "question", "system", "code", "text")
    op.create_table(
        "worklist",
        *(_text(name) for name in names),
        sa.PrimaryKeyConstraint("shelf", "source", "wanted"),
    )
    op.create_index("worklist_by_wanted", "worklist", ["shelf", "wanted"])
    op.create_table(
        "crosswalk",
        *(_text(name) for name in ("shelf", "wanted", "target")),
        sa.PrimaryKeyConstraint("shelf", "wanted"),
    )
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in ("worklist", "crosswalk"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        seen = f"shelf || '' = ANY {NAMED}"
        op.execute(f"CREATE POLICY shelves ON {table} USING ({seen}) WITH CHECK ({seen})")
        op.execute(f"CREATE POLICY owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)")
