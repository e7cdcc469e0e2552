"""
What leads to few resources has no time; docs/decisions/0040.

Some seconds for a million rows; nobody searches meanwhile.
"""

from alembic import op

revision = "0008"
down_revision = "0007"

SAID_ONCE = (
    "'CommunicationRequest','Communication','Condition','Consent','DiagnosticReport',"
    "'DocumentReference','Goal','Observation','Procedure','QuestionnaireResponse',"
    "'ServiceRequest','Task'"
)


def upgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    mark, find = ("E'\\x1f'", "strpos") if postgresql else ("char(31)", "instr")
    name = f"substr(term, 1, {find}(term, {mark}) - 1)"
    value = f"substr(term, {find}(term, {mark}) + 1)"
    few = (
        f"({name} LIKE '%~s%' OR {name} LIKE '%~u%'"
        f" OR ({name} LIKE '%~t%' AND {name} NOT LIKE '%.status~t%')"
        f" OR ({name} LIKE '%~r' AND qualifier IN ({SAID_ONCE})"
        f" AND {find}({value}, '/') = 0 AND {find}({value}, ':') = 0))"
    )
    op.execute(
        "INSERT INTO posting (shelf, term, updated, id, qualifier)"  # noqa: S608 — our own names
        f" SELECT DISTINCT shelf, term, '', id, qualifier FROM posting WHERE updated <> '' AND {few}"
        " ON CONFLICT DO NOTHING"
    )
    op.execute(f"DELETE FROM posting WHERE updated <> '' AND {few}")  # noqa: S608 — as above
