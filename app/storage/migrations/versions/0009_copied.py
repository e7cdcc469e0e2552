"""
Which exchanges sent what, and who asked for a disclosure; docs/decisions/0047.

Some seconds for a hundred thousand referrals; what stands is read once, and nothing of it changes.
"""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

revision = "0009"
down_revision = "0008"

NAMED = "ANY (string_to_array(current_setting('kinbridge.shelves', true), ' '))"
SEEN = f"shelf || '' = {NAMED} OR '*' = {NAMED}"
OPEN = "'accepted', 'in-progress', 'on-hold', 'received', 'requested'"
STATUS = {
    "sqlite": "json_extract(CAST(task.body AS TEXT), '$.status')",
    "postgresql": "convert_from(task.body, 'UTF8')::json ->> 'status'",
}
EACH = {"sqlite": "json_each(exchange.copies)", "postgresql": "json_each(exchange.copies::json)"}


def upgrade() -> None:
    op.add_column("ledger", sa.Column("requester", TEXT, nullable=False, server_default=""))
    op.create_table(
        "copied",
        sa.Column("shelf", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("ended", sa.Integer, nullable=False),
        sa.Column("exchange", TEXT, nullable=False),
        sa.Column("due", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("shelf", "name", "ended", "exchange"),
    )
    op.create_index("copied_by_exchange", "copied", ["exchange"])
    op.create_index("copied_due", "copied", ["due"])
    dialect = op.get_bind().dialect.name
    for name, sent in {
        "sent.key": f"CROSS JOIN {EACH[dialect]} AS sent",
        "exchange.consent": "",  # which may have stayed behind, and can be withdrawn all the same
    }.items():
        op.execute(
            "INSERT INTO copied (shelf, name, ended, exchange, due)"  # noqa: S608 — our own names
            f" SELECT exchange.source, {name},"
            f" CASE WHEN task.method <> 'DELETE' AND {STATUS[dialect]} IN ({OPEN}) THEN 0 ELSE 1 END,"
            f" exchange.id, 0.0 FROM exchange {sent}"
            " LEFT JOIN resource AS task ON task.shelf = exchange.recipient AND task.type = 'Task'"
            " AND 'Task/' || task.id = exchange.recipient_task"
            f" WHERE exchange.copies <> '{{}}' AND {name} <> '' ON CONFLICT DO NOTHING"
        )
    if dialect != "postgresql":
        return
    op.execute("ALTER TABLE copied ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE copied FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY shelves ON copied USING ({SEEN}) WITH CHECK ({SEEN})")
    op.execute("CREATE POLICY owner ON copied TO CURRENT_USER USING (true) WITH CHECK (true)")
