"""Databases of revision 0002, the last one with sigmas instead of levels, as the version before made them."""

import re

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

import db.migrations
from db.views import VIEWS

OLDER = "0002"
#: What columns of this version were called.
FORMER = {"level": "sigma", "leased_until": "lease_until"}


def migrate_to_older(engine: Engine) -> None:
    """Brings an empty database to revision 0002, views included."""
    scripts = ScriptDirectory(str(db.migrations.__path__[0]))
    with engine.begin() as connection:
        context = MigrationContext.configure(connection)
        with Operations.context(context):
            for step in reversed(list(scripts.iterate_revisions(OLDER, "base"))):
                step.module.upgrade()
        context.stamp(scripts, OLDER)
        for name, view in VIEWS.items():
            # The views of both versions differ in this name only.
            query = re.sub(r"\blevel\b", "sigma", view.query)
            connection.execute(text(f"CREATE VIEW {name} AS {query}"))


def copy_to_older(source: Engine, target: Engine) -> None:
    """Copies all rows but summaries from a database of this version into one of revision 0002."""
    ours, theirs = sa.MetaData(), sa.MetaData()
    ours.reflect(source)
    theirs.reflect(target)
    with source.connect() as reader, target.begin() as writer:
        for table in theirs.sorted_tables:
            if table.name in ("alembic_version", "summaries"):
                continue
            named = [column.label(FORMER.get(column.name, column.name)) for column in ours.tables[table.name].c]
            rows = reader.execute(sa.select(*(column for column in named if column.name in table.c))).mappings()
            if found := [dict(row) for row in rows]:
                writer.execute(table.insert(), found)


def rows_of(engine: Engine) -> dict[str, list[dict[str, object]]]:
    """Every row of every table, in the order of their text."""
    tables = sa.MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        return {
            name: sorted((dict(row) for row in connection.execute(sa.select(table)).mappings()), key=repr)
            for name, table in tables.tables.items()
            if name != "alembic_version"
        }
