"""Alembic's door: runs the migrations on the engine it is handed."""

from alembic import context
from sqlalchemy import text

from db.tables import Base
from db.views import statements

with context.config.attributes["engine"].begin() as connection:
    if connection.dialect.name == "postgresql":
        # Give up rather than hold up the workers behind a lock that does not come.
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
    # Batch: SQLite cannot alter a column in place.
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
        # They hold nothing of their own: whatever the migrations left, they are made as this code has them.
        for statement in statements(connection.dialect.name):
            connection.execute(text(statement))
