"""
The second wall, on PostgreSQL: a transaction sees the shelves that it names, and no other row.

The owner's role, which migrates and backs up, sees all; the service's role owns nothing.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

NAMED = "(string_to_array(current_setting('kinbridge.shelves', true), ' '))"
WORKER = f"'*' = ANY {NAMED}"  # sees what is owed to all, and resources of none
POLICIES = {
    "resource": (f"shelf = ANY {NAMED}",) * 2,
    "version": (f"shelf = ANY {NAMED}",) * 2,
    "identifier": (f"shelf = ANY {NAMED}",) * 2,
    "receipt": (f"shelf = ANY {NAMED}",) * 2,
    "exchange": (
        f"source = ANY {NAMED} OR recipient = ANY {NAMED}",
        f"source = ANY {NAMED} AND recipient = ANY {NAMED}",
    ),
    "ledger": (f"source = ANY {NAMED}",) * 2,
    "outbox": (f"shelf = ANY {NAMED} OR {WORKER}",) * 2,
    "attempt": (WORKER,) * 2,
}


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, (seen, written) in POLICIES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY shelves ON {table} USING ({seen}) WITH CHECK ({written})")
        op.execute(f"CREATE POLICY owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)")
