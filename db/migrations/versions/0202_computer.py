"""What computed the rows of a job: device and engine, so that `verify` can say whether they are the same elsewhere.

A step: code of revisions 0200 and 0201 goes on beside it, and leaves both NULL. No row is written anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0202"
down_revision = "0201"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("device", sa.String))
    op.add_column("jobs", sa.Column("engine", sa.String))
