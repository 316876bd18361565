"""Alembic's entry point: runs the migrations, and creates the views, in one transaction on the engine it is given."""

from alembic import context
from sqlalchemy import text

from db.tables import Base
from db.views import statements

with context.config.attributes["engine"].begin() as connection:
    if connection.dialect.name == "postgresql":
        # A waiting ALTER TABLE makes all workers wait behind it: better to give up.
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
    # Batch mode, because SQLite cannot change most things of a column in place.
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
        # Views hold no data, so they are created as this code defines them, whatever the migrations left.
        for statement in statements(connection.dialect.name):
            connection.execute(text(statement))
