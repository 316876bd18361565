"""Certificates: a run may count the labels of many noisy copies of each image; a job is a span of copies, too.

This begins a new generation, because code of the version before would take such a job for one of votes. That code
refuses the database when it connects, and its workers wait from their next claim on. A dispatcher that was not stopped
fails when it splits a job: `jobs` has no default for the copies.

The rows of `runs` and `predictions` stay where they are. Only `jobs` is written anew, on SQLite, which cannot change a
unique constraint in place; it has one row per 64 images.
"""

import sqlalchemy as sa
from alembic import op

from db.migrations.views import without_views
from db.tables import Id, Utc

revision = "0200"
down_revision = "0100"

#: Columns of `jobs` at revision 0100.
COLUMNS = "id, run_id, first, last, attempts, sent_at, leased_until, worker, refused_by, note, done_at"


def upgrade() -> None:
    create_counts()
    if op.get_bind().dialect.name == "postgresql":
        change_jobs()
    else:
        # SQLite renames no table while a view names one that is gone.
        with without_views():
            rebuild_jobs()
    op.add_column("runs", sa.Column("copies", sa.Integer, nullable=False, server_default="1"))


def create_counts() -> None:
    op.create_table(
        "counts",
        sa.Column("run_id", sa.String, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("image_id", Id, sa.ForeignKey("images.id"), primary_key=True),
        sa.Column("level", sa.Double, primary_key=True),
        sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("label", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("n", sa.Integer, nullable=False),
    )


def change_jobs() -> None:
    """On PostgreSQL: adds the columns to existing rows, then drops the default that did so."""
    for name in ("copies_first", "copies_last"):
        op.add_column("jobs", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
        op.alter_column("jobs", name, server_default=None)
    op.drop_constraint("jobs_run_id_first_key", "jobs", type_="unique")
    op.create_unique_constraint(None, "jobs", ["run_id", "first", "copies_first"])


def rebuild_jobs() -> None:
    """On SQLite: copies all jobs into a table with the new columns, which takes the place of the old one."""
    op.create_table(
        "jobs_0200",
        sa.Column("id", Id, primary_key=True),
        sa.Column("run_id", sa.String, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("first", sa.Integer, nullable=False),
        sa.Column("last", sa.Integer, nullable=False),
        sa.Column("copies_first", sa.Integer, nullable=False),
        sa.Column("copies_last", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("sent_at", Utc),
        sa.Column("leased_until", Utc),
        sa.Column("worker", sa.String),
        sa.Column("refused_by", sa.String),
        sa.Column("note", sa.String),
        sa.Column("done_at", Utc),
        sa.UniqueConstraint("run_id", "first", "copies_first"),
    )
    op.execute(f"INSERT INTO jobs_0200 ({COLUMNS}, copies_first, copies_last) SELECT {COLUMNS}, 0, 0 FROM jobs")
    op.drop_table("jobs")
    op.rename_table("jobs_0200", "jobs")
    op.create_index("jobs_open", "jobs", ["id"], sqlite_where=sa.text("done_at IS NULL"))
