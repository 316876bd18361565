"""The SQL views, for people with psql, Grafana or Datasette. docs/reference/sql.md describes their columns.

SQLite and PostgreSQL read the same text, but for fields of JSON (see statements). What an outcome is comes from
db/outcome.py. A new column goes to the end of a view: PostgreSQL replaces a view in place, and keeps the views that
people built on it, only if all else stays.
"""

import re
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement
from sqlalchemy.orm import aliased

from db.outcome import Judged, without_prediction
from db.tables import SKIPPED, Failure, Image, Prediction


def _sql(expression: ColumnElement[Any]) -> str:
    """An expression as text that both databases read, a case on each line."""
    said = str(expression.compile(compile_kwargs={"literal_binds": True}))
    return said.replace(" WHEN ", "\n            WHEN ").replace(" ELSE ", "\n            ELSE ")


# The tables have the names p, i and f in the queries below.
_FAILURE = aliased(Failure, name="f")
_JUDGED = Judged(aliased(Prediction, name="p"), aliased(Image, name="i").label.expression)
_FAILED, _SKIPPED = _sql(_FAILURE.code.not_in(SKIPPED)), _sql(_FAILURE.code.in_(SKIPPED))


class View(NamedTuple):
    """A view: what one row of it is, in a line, and its query."""

    row: str
    query: str


#: By name; a view that reads another one comes after it.
VIEWS = {
    "outcomes": View(
        "an image at a level: the label of each view, the vote and its outcome",
        f"""
SELECT p.run_id, r.name AS run_name, p.level, i.path, i.label,
       p.label_ns, p.confidence_ns, p.label_ss, p.confidence_ss, p.label_ds, p.confidence_ds, p.label_maj,
       {_sql(_JUDGED.outcome)} AS outcome,
       {_sql(_JUDGED.change("saved"))} AS saved,
       {_sql(_JUDGED.change("lost"))} AS lost,
       {_sql(_JUDGED.votes)} AS votes,
       p.image_id, i.position
FROM predictions p JOIN runs r ON r.id = p.run_id JOIN images i ON i.id = p.image_id
""",
    ),
    "levels": View(
        "a level of a run: the report's counts and rates, once it has a prediction",
        f"""
SELECT run_id, run_name, level, count(*) AS predicted, count(label) AS labelled,
       avg(CASE WHEN label IS NOT NULL THEN CASE WHEN label_ns = label THEN 1.0 ELSE 0.0 END END) AS acc_ns,
       avg(CASE WHEN label IS NOT NULL THEN CASE WHEN label_ss = label THEN 1.0 ELSE 0.0 END END) AS acc_ss,
       avg(CASE WHEN label IS NOT NULL THEN CASE WHEN label_ds = label THEN 1.0 ELSE 0.0 END END) AS acc_ds,
       avg(CASE outcome WHEN 'right' THEN 1.0 WHEN 'wrong' THEN 0.0 END) AS acc_maj,
       avg(CASE WHEN label IS NOT NULL THEN CASE outcome WHEN 'right' THEN 1.0 ELSE 0.0 END END) AS acc_maj_overall,
       avg(CASE outcome WHEN 'rejected' THEN 1.0 ELSE 0.0 END) AS reject_rate,
       avg(CASE outcome WHEN 'rejected' THEN 0.0 ELSE 1.0 END) AS coverage,
       avg(CASE votes WHEN 3 THEN 1.0 ELSE 0.0 END) AS unanimous_rate,
       avg(CASE WHEN label_ss = label_ns THEN 1.0 ELSE 0.0 END) AS agree_ss,
       avg(CASE WHEN label_ds = label_ns THEN 1.0 ELSE 0.0 END) AS agree_ds,
       sum(saved) AS saved, sum(lost) AS lost,
       (SELECT d.size FROM runs r JOIN datasets d ON d.id = r.dataset_id WHERE r.id = o.run_id) AS expected,
       (SELECT count(*) FROM failures f WHERE f.run_id = o.run_id AND {_FAILED}) AS failed,
       (SELECT count(*) FROM failures f WHERE f.run_id = o.run_id AND {_SKIPPED}) AS skipped,
       (SELECT d.size FROM runs r JOIN datasets d ON d.id = r.dataset_id WHERE r.id = o.run_id)
           - (SELECT count(*) FROM failures f WHERE f.run_id = o.run_id) - count(*) AS pending
FROM outcomes o GROUP BY run_id, run_name, level
""",
    ),
    "agreement": View(
        "a number of views that agree, at a level of a run: how many images, and how many of them are right",
        """
SELECT run_id, run_name, level, votes, count(*) AS images, count(label) AS labelled,
       sum(CASE WHEN label_ns = label THEN 1 ELSE 0 END) AS right_ns,
       sum(CASE WHEN label_maj = label THEN 1 ELSE 0 END) AS right_maj,
       avg(confidence_ns) AS mean_confidence_ns
FROM outcomes GROUP BY run_id, run_name, level, votes
""",
    ),
    "classes": View(
        "a true class at a level of a run: how many images, and the rates over them",
        """
SELECT run_id, run_name, level, label, count(*) AS images,
       avg(CASE WHEN label_ns = label THEN 1.0 ELSE 0.0 END) AS acc_ns,
       avg(CASE outcome WHEN 'right' THEN 1.0 WHEN 'wrong' THEN 0.0 END) AS acc_maj,
       avg(CASE outcome WHEN 'right' THEN 1.0 ELSE 0.0 END) AS acc_maj_overall,
       avg(CASE outcome WHEN 'rejected' THEN 1.0 ELSE 0.0 END) AS reject_rate,
       sum(saved) AS saved, sum(lost) AS lost
FROM outcomes WHERE label IS NOT NULL GROUP BY run_id, run_name, level, label
""",
    ),
    "confusions": View(
        "a true class and the wrong one that the vote accepted, at a level of a run: how many images",
        """
SELECT run_id, run_name, level, label, label_maj, count(*) AS images
FROM outcomes WHERE outcome = 'wrong' GROUP BY run_id, run_name, level, label, label_maj
""",
    ),
    "failures_by_code": View(
        "a code of failures in a run: how many images, and the message of one of them",
        f"""
SELECT f.run_id, r.name AS run_name, {_sql(without_prediction(_FAILURE.code))} AS outcome,
       f.code, count(*) AS images, min(f.message) AS message
FROM failures f JOIN runs r ON r.id = f.run_id GROUP BY f.run_id, r.name, f.code
""",
    ),
    "progress": View(
        "a run: its progress",
        f"""
SELECT r.id AS run_id, r.name AS run_name, d.name AS dataset, d.size AS expected,
       coalesce(j.copies, 0) / r.copies AS done, d.size - coalesce(j.copies, 0) / r.copies AS pending,
       (SELECT count(*) FROM failures f WHERE f.run_id = r.id AND {_FAILED}) AS failed,
       (SELECT count(*) FROM failures f WHERE f.run_id = r.id AND {_SKIPPED}) AS skipped,
       coalesce(j.jobs, 0) AS jobs, coalesce(j.jobs_done, 0) AS jobs_done,
       CASE WHEN coalesce(j.copies, 0) / r.copies = d.size THEN 1 ELSE 0 END AS complete,
       CASE WHEN r.cancelled_at IS NULL THEN 0 ELSE 1 END AS cancelled,
       r.submitted_at, j.last_done_at,
       r.copies, CAST(r.recipe ->> 'selection' AS INTEGER) AS selection,
       coalesce(r.recipe ->> 'perturbation', 'gaussian') AS perturbation,
       coalesce(r.recipe ->> 'smoother', 'gaussian') AS smoother,
       r.priority, CASE WHEN r.paused_at IS NULL THEN 0 ELSE 1 END AS paused
FROM runs r JOIN datasets d ON d.id = r.dataset_id
LEFT JOIN (SELECT run_id, count(*) AS jobs, count(done_at) AS jobs_done, max(done_at) AS last_done_at,
                  sum(CASE WHEN done_at IS NOT NULL
                      THEN (last - first + 1) * (copies_last - copies_first + 1) ELSE 0 END) AS copies
           FROM jobs GROUP BY run_id) j ON j.run_id = r.id
""",
    ),
    "certificate_counts": View(
        "a label that copies of an image got, at a level of a certified run: how many copies",
        """
SELECT c.run_id, r.name AS run_name, c.level, i.path, i.label, c.label AS counted_label,
       sum(CASE WHEN c.part < CAST(r.recipe ->> 'selection' AS INTEGER) THEN c.n ELSE 0 END) AS n_selection,
       sum(CASE WHEN c.part < CAST(r.recipe ->> 'selection' AS INTEGER) THEN 0 ELSE c.n END) AS n_estimation,
       c.image_id, i.position
FROM counts c JOIN runs r ON r.id = c.run_id JOIN images i ON i.id = c.image_id
WHERE NOT EXISTS (SELECT 1 FROM failures f WHERE f.run_id = c.run_id AND f.image_id = c.image_id)
GROUP BY c.run_id, r.name, c.level, i.path, i.label, c.label, c.image_id, i.position
""",
    ),
}


def statements(dialect: str) -> list[str]:
    """The statements that create all views, or replace older ones, on `sqlite` or `postgresql`."""
    if dialect == "postgresql":
        return [f"CREATE OR REPLACE VIEW {name} AS {view.query}" for name, view in VIEWS.items()]
    dropped = [f"DROP VIEW IF EXISTS {name}" for name in reversed(VIEWS)]
    return dropped + [f"CREATE VIEW {name} AS {_for_sqlite(view.query)}" for name, view in VIEWS.items()]


def _for_sqlite(query: str) -> str:
    """A query with json_extract: SQLite has ->> only since 3.38, and Python uses the SQLite of the machine."""
    return re.sub(r"([\w.]+) ->> '(\w+)'", r"json_extract(\1, '$.\2')", query)
