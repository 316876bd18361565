"""Summaries: the stored counts of complete runs, so that a report over millions of predictions reads a few rows."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "summaries",
        sa.Column("run_id", sa.String, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("sigma", sa.Double, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("tally", sa.JSON, nullable=False),
    )
