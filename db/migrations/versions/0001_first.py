"""Datasets, images, runs, jobs, predictions and failures."""

import sqlalchemy as sa
from alembic import op

from db.tables import Id, Utc, now

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_datasets_and_images()
    create_runs_and_jobs()
    create_predictions_and_failures()


def create_datasets_and_images() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", Id, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("root", sa.String, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False, unique=True),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("found", sa.Integer, nullable=False),
        sa.Column("created_at", Utc, nullable=False, server_default=now()),
    )
    op.create_table(
        "images",
        sa.Column("id", Id, primary_key=True),
        sa.Column("dataset_id", Id, sa.ForeignKey("datasets.id", ondelete="CASCADE"), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("label", sa.Integer),
        sa.Column("bytes", sa.BigInteger),
        sa.UniqueConstraint("dataset_id", "position"),
    )


def create_runs_and_jobs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("dataset_id", Id, sa.ForeignKey("datasets.id"), nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("recipe", sa.JSON, nullable=False),
        sa.Column("weights_sha256", sa.String),
        sa.Column("preprocessing", sa.JSON),
        sa.Column("created_at", Utc, nullable=False, server_default=now()),
        sa.Column("submitted_at", Utc, nullable=False, server_default=now()),
        sa.Column("cancelled_at", Utc),
    )
    op.create_table(
        "jobs",
        sa.Column("id", Id, primary_key=True),
        sa.Column("run_id", sa.String, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("first", sa.Integer, nullable=False),
        sa.Column("last", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("sent_at", Utc),
        sa.Column("lease_until", Utc),
        sa.Column("worker", sa.String),
        sa.Column("refused_by", sa.String),
        sa.Column("note", sa.String),
        sa.Column("done_at", Utc),
        sa.UniqueConstraint("run_id", "first"),
    )
    still_open = sa.text("done_at IS NULL")
    op.create_index("jobs_open", "jobs", ["id"], sqlite_where=still_open, postgresql_where=still_open)


def create_predictions_and_failures() -> None:
    op.create_table(
        "predictions",
        sa.Column("run_id", sa.String, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("image_id", Id, sa.ForeignKey("images.id"), primary_key=True),
        sa.Column("sigma", sa.Double, primary_key=True),
        sa.Column("label_ns", sa.Integer, nullable=False),
        sa.Column("confidence_ns", sa.Double, nullable=False),
        sa.Column("label_ss", sa.Integer, nullable=False),
        sa.Column("confidence_ss", sa.Double, nullable=False),
        sa.Column("label_ds", sa.Integer, nullable=False),
        sa.Column("confidence_ds", sa.Double, nullable=False),
        sa.Column("label_maj", sa.Integer),
    )
    op.create_table(
        "failures",
        sa.Column("run_id", sa.String, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("image_id", Id, sa.ForeignKey("images.id"), primary_key=True),
        sa.Column("code", sa.String, nullable=False),
        sa.Column("message", sa.String, nullable=False),
    )
