"""The first tables; app/storage/tables.py says what each is for."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "attempt",
        sa.Column("outbox", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("codes", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("outbox", "number"),
    )
    op.create_table(
        "client",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("shelf", TEXT, nullable=False),
        sa.Column("scopes", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("created", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "exchange",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("source_task", TEXT, nullable=False),
        sa.Column("source_request", TEXT, nullable=False),
        sa.Column("recipient", TEXT, nullable=False),
        sa.Column("recipient_task", TEXT, nullable=False),
        sa.Column("consent", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("opened", TEXT, nullable=False),
        sa.Column("copies", TEXT, nullable=False),
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
        sa.Column("shelf", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("system", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("shelf", "type", "system", "value", "id"),
    )
    op.create_index("identifier_of", "identifier", ["shelf", "type", "id"])
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("exchange", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("recipient", TEXT, nullable=False),
        sa.Column("recipient_name", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("purpose", TEXT, nullable=False),
        sa.Column("rule", TEXT, nullable=False),
        sa.Column("basis", TEXT, nullable=False),
        sa.Column("caller", TEXT, nullable=False),
        sa.Column("disclosed", TEXT, nullable=False),
    )
    op.create_index("ledger_of", "ledger", ["source", "subject", "at"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("shelf", TEXT, nullable=False),
        sa.Column("order_key", TEXT, nullable=False),
        sa.Column("versions", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("owed_at", sa.Float, nullable=False),
        sa.Column("due", sa.Float, nullable=False),
        sa.Column("leased_until", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
    )
    op.create_index("outbox_due", "outbox", ["state", "due"])
    op.create_index("outbox_order", "outbox", ["shelf", "order_key", "state", "id"])
    op.create_table(
        "receipt",
        sa.Column("shelf", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("result", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("shelf", "key"),
    )
    op.create_table(
        "resource",
        sa.Column("shelf", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("updated", TEXT, nullable=False),
        sa.Column("method", TEXT, nullable=False),
        sa.Column("exchange", TEXT, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("shelf", "type", "id"),
    )
    op.create_index("resource_by_time", "resource", ["shelf", "updated"])
    op.create_table(
        "secret",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "version",
        sa.Column("shelf", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("updated", TEXT, nullable=False),
        sa.Column("method", TEXT, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("shelf", "type", "id", "version"),
    )
    op.create_index("version_by_time", "version", ["shelf", "updated"])
