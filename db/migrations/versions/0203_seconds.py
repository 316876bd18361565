"""How long jobs take: new runs get jobs of some seconds of work.

A step: code of revisions 0200 to 0202 goes on beside it, and leaves it NULL. No row is written anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0203"
down_revision = "0202"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("seconds", sa.Double))
