"""Levels instead of sigmas, and what they measure: a run may perturb its images by something else than Gaussian noise.

The columns are renamed in place, which takes no longer for ten million rows than for ten. It begins a new generation:
a worker of the version before would write to columns that are not there any more, and refuses.
"""

import sqlalchemy as sa
from alembic import op

revision = "0100"
down_revision = "0002"

TABLES = ("predictions", "summaries")
VIEWS = ("outcomes", "levels", "agreement", "classes", "confusions")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # A view keeps the names that its columns had; renamed and not dropped, since people build views on it.
        there = sa.inspect(op.get_bind()).get_view_names()
        for view in (view for view in VIEWS if view in there):
            op.execute(f"ALTER VIEW {view} RENAME COLUMN sigma TO level")
    else:
        # SQLite rewrites views with the table, and stops at the first that it cannot read: they are made anew anyway.
        for view in (*reversed(VIEWS), "failures_by_code", "progress"):
            op.execute(f"DROP VIEW IF EXISTS {view}")
    for table in TABLES:
        # Not Alembic's alter_column: on SQLite it would copy the table.
        op.execute(f"ALTER TABLE {table} RENAME COLUMN sigma TO level")
    op.add_column("runs", sa.Column("axis", sa.JSON))
