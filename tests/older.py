"""Databases of earlier generations, as the versions of that time made them: 0002, and 0100 with levels for sigmas."""

import re

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

import db.migrations
from db.views import VIEWS

#: The last revision of each earlier generation, and what columns of this version were called then.
FORMER: dict[str, dict[str, str]] = {"0002": {"level": "sigma", "leased_until": "lease_until"}, "0100": {}}

#: The view `progress` of both, which counts images only.
PROGRESS = """
SELECT r.id AS run_id, r.name AS run_name, d.name AS dataset, d.size AS expected,
       coalesce(j.done, 0) AS done, d.size - coalesce(j.done, 0) AS pending,
       (SELECT count(*) FROM failures f WHERE f.run_id = r.id AND f.code NOT IN ('grayscale')) AS failed,
       (SELECT count(*) FROM failures f WHERE f.run_id = r.id AND f.code IN ('grayscale')) AS skipped,
       coalesce(j.jobs, 0) AS jobs, coalesce(j.jobs_done, 0) AS jobs_done,
       CASE WHEN coalesce(j.done, 0) = d.size THEN 1 ELSE 0 END AS complete,
       CASE WHEN r.cancelled_at IS NULL THEN 0 ELSE 1 END AS cancelled,
       r.submitted_at, j.last_done_at
FROM runs r JOIN datasets d ON d.id = r.dataset_id
LEFT JOIN (SELECT run_id, count(*) AS jobs, count(done_at) AS jobs_done, max(done_at) AS last_done_at,
                  sum(CASE WHEN done_at IS NOT NULL THEN last - first + 1 ELSE 0 END) AS done
           FROM jobs GROUP BY run_id) j ON j.run_id = r.id
"""


def migrate_to_older(engine: Engine, revision: str = "0002") -> None:
    """Brings an empty database to an earlier revision, views included."""
    scripts = ScriptDirectory(str(db.migrations.__path__[0]))
    with engine.begin() as connection:
        context = MigrationContext.configure(connection)
        with Operations.context(context):
            for step in reversed(list(scripts.iterate_revisions(revision, "base"))):
                step.module.upgrade()
        context.stamp(scripts, revision)
        for name, query in views_of(revision).items():
            connection.execute(text(f"CREATE VIEW {name} AS {query}"))


def views_of(revision: str) -> dict[str, str]:
    """The queries of the views of an earlier revision. All but one differ from this version's in a name only."""
    queries = {name: view.query for name, view in VIEWS.items() if name != "certificate_counts"}
    if "level" in FORMER[revision]:
        queries = {name: re.sub(r"\blevel\b", "sigma", query) for name, query in queries.items()}
    return queries | {"progress": PROGRESS}


def copy_to_older(source: Engine, target: Engine, revision: str = "0002") -> None:
    """Copies all rows but summaries from a database of this version into one of an earlier revision."""
    ours, theirs = sa.MetaData(), sa.MetaData()
    ours.reflect(source)
    theirs.reflect(target)
    former = FORMER[revision]
    with source.connect() as reader, target.begin() as writer:
        for table in theirs.sorted_tables:
            if table.name in ("alembic_version", "summaries"):
                continue
            named = [column.label(former.get(column.name, column.name)) for column in ours.tables[table.name].c]
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
