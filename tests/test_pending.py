"""Reports, comparisons and exports of certificates agree on which images are pending, at any n."""

import json
from pathlib import Path

from certificates import N0, Labels, certified_run, certifying, do_jobs
from commands import call
from sqlalchemy import Engine

from db import submission
from db.copies import Part
from db.runs import RunInfo, find_run
from db.session import reading, writing
from report.certified import certified
from report.certified_comparison import compare_certified
from report.pending import pending

RECIPE = certifying(levels=(0.25,))


def sure(position: int, level: float, part: Part) -> Labels:
    return {1: part.size}


def grown(engine: Engine, run: RunInfo, n: int) -> RunInfo:
    """The run, with jobs for more copies."""
    with writing(engine) as session:
        submission.record_run(
            session, run_id=run.id, dataset_id=run.dataset_id, name=run.name, recipe=run.recipe, job_size=1, copies=N0 + n
        )  # fmt: skip
    return read(engine, run)


def read(engine: Engine, run: RunInfo) -> RunInfo:
    with reading(engine) as session:
        return find_run(session, run.id)


def complete(engine: Engine, run: RunInfo) -> RunInfo:
    """A run over the same images that has all of 300 copies."""
    recipe = certifying(levels=(0.25,), seed=1)
    return certified_run(engine, [1] * run.expected, sure, recipe=recipe, n=300, name="complete")


def at(engine: Engine, run: RunInfo, n: int) -> int:
    """How many images are pending at this n; the report and the comparison say the same."""
    beside = complete(engine, run)
    with reading(engine) as session:
        found = pending(session, run, n)
        assert certified(session, run, n=n).levels[0].pending == found
        assert compare_certified(session, run, beside, n=n).complete is (found == 0)
    return found


def test_no_image_is_pending_at_an_n_that_all_have_however_many_copies_are_to_come(engine: Engine) -> None:
    run = grown(engine, certified_run(engine, [1, 1, 1], sure, recipe=RECIPE), 300)
    assert [at(engine, run, n) for n in (100, 200, 300)] == [0, 3, 3]
    do_jobs(engine, run.id, sure, images=1)
    assert [at(engine, run, n) for n in (100, 200, 300)] == [0, 2, 2]


def test_an_image_that_failed_is_not_waited_for_although_it_has_jobs_left(engine: Engine) -> None:
    run = grown(engine, certified_run(engine, [1, 1], sure, recipe=RECIPE, broken={1: "truncated"}), 300)
    assert at(engine, run, 300) == 1
    do_jobs(engine, run.id, sure, images=1)
    assert at(engine, run, 300) == 0


def test_export_and_compare_end_as_report_does(engine: Engine, tmp_path: Path) -> None:
    run = grown(engine, certified_run(engine, [1, 1], sure, recipe=RECIPE), 300)
    env = {"SMOOTHVOTE_DATABASE_URL": engine.url.render_as_string(hide_password=False)}
    for words in (("report", run.id), ("export", run.id), ("compare", run.id, complete(engine, run).id)):
        call(*words, "--n", "100", cwd=tmp_path, env=env)
        call(*words, "--n", "200", cwd=tmp_path, env=env, code=3)
    rows = call("export", run.id, "--n", "100", "--format", "jsonl", cwd=tmp_path, env=env)
    assert [json.loads(row)["n"] for row in rows.stdout.splitlines()] == [100, 100]
    assert rows.stderr == ""
    assert "INCOMPLETE: 2 of 2 images are pending" in call("export", run.id, cwd=tmp_path, env=env, code=3).stderr
