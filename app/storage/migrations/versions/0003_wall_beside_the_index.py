"""
The second wall, beside the index: a policy is a filter and never chooses how rows are found.

With a bare column in the policy PostgreSQL took it for the best condition there is, and read a
whole shelf by time to find one resource. Every new policy compares column || '' for that reason.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

NAMED = "ANY (string_to_array(current_setting('kinbridge.shelves', true), ' '))"
WORKER = f"'*' = {NAMED}"
SHELF = f"shelf || '' = {NAMED}"
SOURCE, RECIPIENT = f"source || '' = {NAMED}", f"recipient || '' = {NAMED}"
POLICIES = {
    "resource": (SHELF, SHELF),
    "version": (SHELF, SHELF),
    "identifier": (SHELF, SHELF),
    "receipt": (SHELF, SHELF),
    "exchange": (f"{SOURCE} OR {RECIPIENT}", f"{SOURCE} AND {RECIPIENT}"),
    "ledger": (SOURCE, SOURCE),
    "outbox": (f"{SHELF} OR {WORKER}",) * 2,
}


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, (seen, written) in POLICIES.items():
        op.execute(f"ALTER POLICY shelves ON {table} USING ({seen}) WITH CHECK ({written})")
