"""`certify` for a run that was recorded with more copies: it answers at once, goes on and says so, or refuses."""

import json
from pathlib import Path

import pytest
from certificates import Labels, do_jobs
from commands import call, servers
from rows import jobs
from sqlalchemy import Engine
from test_certify import one_kind, photos

from db.copies import Part
from db.runs import find_run
from db.session import reading

__all__ = ["photos"]  # a fixture


def sure(position: int, level: float, part: Part) -> Labels:
    return {0: part.size}


@one_kind
def test_a_smaller_n_is_answered_at_once_or_worked_on_with_a_word_or_refused(
    engine: Engine, tmp_path: Path, photos: Path, redis_url: str
) -> None:
    env = servers(engine, redis_url)

    def certify(*flags: str, code: int = 0) -> tuple[str, str]:
        words = ("certify", photos, "--model", "efficientnet_lite0", "--format", "json", *flags)
        done = call(*words, cwd=tmp_path, env=env, code=code)
        return done.stdout, done.stderr

    run_id = certify("--submit", "--n", "100")[0].strip()
    do_jobs(engine, run_id, sure)
    certify("--submit", "--n", "300")
    before = jobs(engine, run_id)

    # Neither starts a worker: the copies up to 300 are still to be drawn.
    found, said = certify("--n", "100")
    report = json.loads(found)
    assert (report["run"]["id"], report["n"], report["complete"], said) == (run_id, 100, True, "")
    found, said = certify("--submit", "--n", "100")
    assert found.strip() == run_id
    assert said == f"run {run_id} has every answer at n = 100: smoothvote report {run_id} --n 100\n"

    found, said = certify("--submit", "--n", "200")
    assert found.strip() == run_id
    assert f"run {run_id} has n = 300, which is worked on; meanwhile: smoothvote report {run_id} --n 200\n" in said

    for flags in (("--n", "150"), ("--submit", "--n", "150")):
        with pytest.raises(AssertionError, match=r"--n 150: the copies of run .* give 100 or 200"):
            certify(*flags)
    assert [job.id for job in jobs(engine, run_id)] == [job.id for job in before]
    with reading(engine) as session:
        assert find_run(session, run_id).copies == 400


@one_kind
def test_a_run_that_is_new_or_gets_more_copies_is_submitted_without_a_word(
    engine: Engine, tmp_path: Path, photos: Path, redis_url: str
) -> None:
    env = servers(engine, redis_url)
    for n in ("150", "100000", "100000"):
        done = call("certify", photos, "--model", "efficientnet_lite0", "--submit", "--n", n, cwd=tmp_path, env=env)
        assert "jobs sent; follow it with" in done.stderr
        assert "worked on" not in done.stderr
