"""Views while a migration changes the tables below them."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

from db.views import VIEWS


@contextmanager
def without_views() -> Iterator[None]:
    """For SQLite, which changes no table while a view cannot be read: drops all views, and creates people's own again.

    Ours are created by env.py. A view that names a column which the body of the ``with`` renamed has to be changed by
    its author.
    """
    bind = op.get_bind()
    rows = bind.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'view'"))
    views = {row.name: row.sql for row in rows}
    quote = bind.dialect.identifier_preparer.quote_identifier
    for name in views:
        bind.exec_driver_sql(f"DROP VIEW {quote(name)}")
    yield
    for name in views.keys() - VIEWS.keys():
        bind.exec_driver_sql(views[name])
