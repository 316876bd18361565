"""The SQL views: what people with psql, Grafana or Datasette look at. docs/reference/sql.md has their columns.

They are written so that SQLite and PostgreSQL read them alike. A new column goes to a view's end: PostgreSQL replaces a
view in place, and those that people built on it, only so.
"""

from typing import NamedTuple


class View(NamedTuple):
    """A view: what a row of it is, in one line, and its query."""

    row: str
    query: str


#: By name, each after those it is made of.
VIEWS = {
    "outcomes": View(
        "an image at a level: what each view said, the vote, and what became of it",
        """
SELECT p.run_id, r.name AS run_name, p.level, i.path, i.label,
       p.label_ns, p.confidence_ns, p.label_ss, p.confidence_ss, p.label_ds, p.confidence_ds, p.label_maj,
       CASE WHEN p.label_maj IS NULL THEN 'rejected'
            WHEN i.label IS NULL THEN 'unlabelled'
            WHEN p.label_maj = i.label THEN 'right'
            ELSE 'wrong' END AS outcome,
       CASE WHEN i.label IS NOT NULL THEN
            CASE WHEN p.label_ns <> i.label AND p.label_maj = i.label THEN 1 ELSE 0 END END AS saved,
       CASE WHEN i.label IS NOT NULL THEN
            CASE WHEN p.label_ns = i.label AND (p.label_maj IS NULL OR p.label_maj <> i.label) THEN 1 ELSE 0 END
            END AS lost,
       CASE WHEN p.label_ns = p.label_ss AND p.label_ns = p.label_ds THEN 3
            WHEN p.label_maj IS NOT NULL THEN 2
            ELSE 1 END AS votes,
       p.image_id, i.position
FROM predictions p JOIN runs r ON r.id = p.run_id JOIN images i ON i.id = p.image_id
""",
    ),
    "levels": View(
        "a level of a run: the report's counts and rates, once it has a prediction",
        """
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
       (SELECT count(*) FROM failures f WHERE f.run_id = o.run_id AND f.code <> 'grayscale') AS failed,
       (SELECT count(*) FROM failures f WHERE f.run_id = o.run_id AND f.code = 'grayscale') AS skipped,
       (SELECT d.size FROM runs r JOIN datasets d ON d.id = r.dataset_id WHERE r.id = o.run_id)
           - (SELECT count(*) FROM failures f WHERE f.run_id = o.run_id) - count(*) AS pending
FROM outcomes o GROUP BY run_id, run_name, level
""",
    ),
    "agreement": View(
        "a level of a run, and how many views agree: how many images, and how many of them are right",
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
        "a reason why images of a run have no prediction: how many, and what was said of one of them",
        """
SELECT f.run_id, r.name AS run_name, CASE f.code WHEN 'grayscale' THEN 'skipped' ELSE 'failed' END AS outcome,
       f.code, count(*) AS images, min(f.message) AS message
FROM failures f JOIN runs r ON r.id = f.run_id GROUP BY f.run_id, r.name, f.code
""",
    ),
    "progress": View(
        "a run: how far it has come",
        """
SELECT r.id AS run_id, r.name AS run_name, d.name AS dataset, d.size AS expected,
       coalesce(j.done, 0) AS done, d.size - coalesce(j.done, 0) AS pending,
       (SELECT count(*) FROM failures f WHERE f.run_id = r.id AND f.code <> 'grayscale') AS failed,
       (SELECT count(*) FROM failures f WHERE f.run_id = r.id AND f.code = 'grayscale') AS skipped,
       coalesce(j.jobs, 0) AS jobs, coalesce(j.jobs_done, 0) AS jobs_done,
       CASE WHEN coalesce(j.done, 0) = d.size THEN 1 ELSE 0 END AS complete,
       CASE WHEN r.cancelled_at IS NULL THEN 0 ELSE 1 END AS cancelled,
       r.submitted_at, j.last_done_at
FROM runs r JOIN datasets d ON d.id = r.dataset_id
LEFT JOIN (SELECT run_id, count(*) AS jobs, count(done_at) AS jobs_done, max(done_at) AS last_done_at,
                  sum(CASE WHEN done_at IS NOT NULL THEN last - first + 1 ELSE 0 END) AS done
           FROM jobs GROUP BY run_id) j ON j.run_id = r.id
""",
    ),
}


def statements(dialect: str) -> list[str]:
    """What makes all views, or brings those of an older migration up to date, on `sqlite` or `postgresql`."""
    if dialect == "postgresql":
        return [f"CREATE OR REPLACE VIEW {name} AS {view.query}" for name, view in VIEWS.items()]
    dropped = [f"DROP VIEW IF EXISTS {name}" for name in reversed(VIEWS)]
    return dropped + [f"CREATE VIEW {name} AS {view.query}" for name, view in VIEWS.items()]
