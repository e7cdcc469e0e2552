"""
Names are kept by plain letters: the index of before is made anew.

No table changes. `kinbridge migrate` makes the index anew when it has come to its end, and no service
starts before; without this it would, and refuse every search.
"""

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """The index is no table of Alembic's."""
