"""Priority and pause of runs, what each worker does, and indexes that find the next jobs of each run.

A step: code of revision 0200 goes on beside it. No row is written anew. The three indexes are built from `jobs`, which
has one row per job; on PostgreSQL workers wait meanwhile, about a second for each million jobs.

On PostgreSQL the foreign keys from predictions, counts and failures to images go. No index leads with `image_id`, so
deleting an image would read all predictions of all runs; and each row that is stored would look its image up. Workers
take the ids of images from the record itself, and the foreign keys to `runs` stay. SQLite cannot drop a foreign key
without writing the table anew: it keeps them.
"""

import sqlalchemy as sa
from alembic import op

from db.tables import Utc, now

revision = "0201"
down_revision = "0200"

#: Which jobs each index holds.
JOBS = {
    "jobs_waiting": (["run_id", "id"], "done_at IS NULL AND sent_at IS NULL AND leased_until IS NULL"),
    "jobs_out": (["run_id"], "done_at IS NULL AND (sent_at IS NOT NULL OR leased_until IS NOT NULL)"),
    "jobs_done": (["run_id", "done_at"], "done_at IS NOT NULL"),
}


def upgrade() -> None:
    op.add_column("runs", sa.Column("priority", sa.Integer, nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("paused_at", Utc))
    create_workers()
    for name, (columns, where) in JOBS.items():
        op.create_index(name, "jobs", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    # Each open job is in one of the first two.
    op.drop_index("jobs_open", "jobs")
    if op.get_bind().dialect.name == "postgresql":
        for table in ("predictions", "counts", "failures"):
            op.drop_constraint(f"{table}_image_id_fkey", table, type_="foreignkey")


def create_workers() -> None:
    op.create_table(
        "workers",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("device", sa.String, nullable=False),
        sa.Column("engine", sa.String),
        sa.Column("model", sa.String),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("started_at", Utc, nullable=False, server_default=now()),
        sa.Column("seen_at", Utc, nullable=False, server_default=now()),
        sa.Column("images", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("busy", sa.Double, nullable=False, server_default="0"),
        sa.Column("memory", sa.BigInteger),
        sa.Column("stage", sa.String),
    )
