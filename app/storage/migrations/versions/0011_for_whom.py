"""
The Tasks for one patient are few, so what leads to them has no time; docs/decisions/0040.

Some six seconds for a million Tasks on SQLite; nobody searches meanwhile.
"""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    mark = "E'\\x1f'" if op.get_bind().dialect.name == "postgresql" else "char(31)"
    few = (
        f"updated <> '' AND qualifier = 'Patient' AND term LIKE 'Task.for~r' || {mark} || '%'"
        " AND term NOT LIKE '%/%' AND term NOT LIKE 'Task.for~r%:%'"
    )
    op.execute(
        "INSERT INTO posting (shelf, term, updated, id, qualifier)"  # noqa: S608 — our own names
        f" SELECT DISTINCT shelf, term, '', id, qualifier FROM posting WHERE {few}"
        " ON CONFLICT DO NOTHING"
    )
    op.execute(f"DELETE FROM posting WHERE {few}")  # noqa: S608 — as above
