"""The first tables; app/storage/tables.py says what each is for."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "attempt",
        sa.Column("outbox", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("codes", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("outbox", "number"),
    )
    op.create_table(
        "client",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("shelf", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("created", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "exchange",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("source_task", sa.Text, nullable=False),
        sa.Column("source_request", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("recipient_task", sa.Text, nullable=False),
        sa.Column("consent", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("opened", sa.Text, nullable=False),
        sa.Column("copies", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "exchange_by_recipient", "exchange", ["recipient", "recipient_task"], unique=True
    )
    op.create_index("exchange_by_request", "exchange", ["source", "source_request"])
    op.create_index("exchange_by_source", "exchange", ["source", "source_task"], unique=True)
    op.create_table(
        "identifier",
        sa.Column("shelf", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("system", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("shelf", "type", "system", "value", "id"),
    )
    op.create_index("identifier_of", "identifier", ["shelf", "type", "id"])
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("exchange", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("recipient_name", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("basis", sa.Text, nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("disclosed", sa.Text, nullable=False),
    )
    op.create_index("ledger_of", "ledger", ["source", "subject", "at"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("shelf", sa.Text, nullable=False),
        sa.Column("order_key", sa.Text, nullable=False),
        sa.Column("versions", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("owed_at", sa.Float, nullable=False),
        sa.Column("due", sa.Float, nullable=False),
        sa.Column("leased_until", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
    )
    op.create_index("outbox_due", "outbox", ["state", "due"])
    op.create_index("outbox_order", "outbox", ["shelf", "order_key", "state", "id"])
    op.create_table(
        "receipt",
        sa.Column("shelf", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("shelf", "key"),
    )
    op.create_table(
        "resource",
        sa.Column("shelf", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("updated", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("exchange", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("shelf", "type", "id"),
    )
    op.create_index("resource_by_time", "resource", ["shelf", "updated"])
    op.create_table(
        "secret",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "version",
        sa.Column("shelf", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("updated", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("shelf", "type", "id", "version"),
    )
    op.create_index("version_by_time", "version", ["shelf", "updated"])
