"""Levels instead of sigmas, and a run's axis: a run may perturb its images by something other than Gaussian noise.

This begins a new generation, because code of the version before writes to columns that this renames. Such code, when it
connects, refuses the database. A worker that is at work during the upgrade does not connect again: it fails at its next
claim, because the column that every claim writes has a new name. Otherwise its failures would count as attempts, and
end with good images marked as `worker_failed`.

Columns are renamed in place: ten million rows take no longer than ten. Rows keep their meaning, and so do recipes and
run ids; summaries are counted again at the next report, because their version (db/summaries.py) has changed.
"""

import sqlalchemy as sa
from alembic import op

from db.migrations.views import without_views

revision = "0100"
down_revision = "0002"

RENAMED = (
    ("predictions", "sigma", "level"),
    ("summaries", "sigma", "level"),
    ("jobs", "lease_until", "leased_until"),
)
#: The views of revision 0002 that have a column `sigma`.
VIEWS = ("outcomes", "levels", "agreement", "classes", "confusions")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        rename_columns_of_views()
        rename_columns()
    else:
        with without_views():
            rename_columns()
    op.add_column("runs", sa.Column("axis", sa.JSON))


def rename_columns() -> None:
    for table, old, new in RENAMED:
        # Not Alembic's alter_column, which copies the whole table on SQLite.
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")


def rename_columns_of_views() -> None:
    """PostgreSQL keeps a view's column names when a table's change. Views that people built on ours keep theirs."""
    inspector = sa.inspect(op.get_bind())
    for view in set(VIEWS) & set(inspector.get_view_names()):
        if "sigma" in {column["name"] for column in inspector.get_columns(view)}:
            op.execute(f"ALTER VIEW {view} RENAME COLUMN sigma TO level")
