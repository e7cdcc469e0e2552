"""
What was amended may be expunged later: the purge list has a row for each; docs/decisions/0081.

Done as soon as the list has been read once.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

KEY = ("shelf", "type", "id", "why")
TEXTS = ("shelf", "type", "id", "exchange", "why", "at")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("purge_pkey", "purge", type_="primary")
        op.create_primary_key("purge_pkey", "purge", list(KEY))
        return
    op.rename_table("purge", "purge_before")
    op.create_table(
        "purge",
        *(sa.Column(name, sa.Text, nullable=False) for name in TEXTS),
        sa.Column("scrubbed", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint(*KEY),
    )
    columns = ", ".join((*TEXTS, "scrubbed"))
    op.execute(f"INSERT INTO purge ({columns}) SELECT {columns} FROM purge_before")  # noqa: S608
    op.drop_table("purge_before")
