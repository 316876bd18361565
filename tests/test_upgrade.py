"""Databases of earlier generations are brought over in place, and the code of each refuses the others'."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import call, smoothvote
from older import FORMER, copy_to_older, migrate_to_older, rows_of
from photos import RUN, record_photos
from rows import RECIPE, finish_all, jobs, record
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError

from db import store
from db.errors import Away, WrongUse
from db.message import QUEUE
from db.migrations import upgrade
from db.outage import passes
from db.runs import find_run
from db.session import connect, current_revision, open_engine, reading
from db.settings import Settings
from db.summaries import VERSION, summarise
from db.tables import REVISION, Summary
from producer.dataset import read_dataset
from producer.labels import Labels
from producer.submit import submit
from report.data import to_json
from report.report import report

OPEN = "e" * 64


def engine_over(url: str) -> Engine:
    return open_engine(Settings(database_url=url))


@pytest.fixture
def today(tmp_path: Path) -> Iterator[Engine]:
    """A database of this version: a real, complete run, and one of which a job is done and a job is leased."""
    engine = engine_over(f"sqlite:///{tmp_path / 'today.db'}")
    upgrade(engine)
    record_photos(engine)
    open_run = record(engine, [1, None, 2, 3, 4], job_size=3, name="open", fingerprint=OPEN)
    finish_all(engine, open_run, only=1)
    assert store.claim(engine, jobs(engine, open_run)[1].id, worker="host:1", lease=3600)
    yield engine
    engine.dispose()


@pytest.fixture(params=sorted(FORMER))
def revision(request: pytest.FixtureRequest) -> str:
    """The revision before the upgrade."""
    return str(request.param)


@pytest.fixture
def older(database_url: str, today: Engine, revision: str) -> Iterator[Engine]:
    """The same rows in a database of an earlier revision, with summaries that this version does not read."""
    engine = engine_over(database_url)
    migrate_to_older(engine, revision)
    copy_to_older(today, engine, revision)
    stale = [{"run": RUN, "level": level, "tally": json.dumps({"rival_majority": [1, 1]})} for level in (0.0, 0.125)]
    insert = f"INSERT INTO summaries (run_id, {FORMER[revision].get('level', 'level')}, version, tally)"
    with engine.begin() as connection:
        connection.execute(text(f"{insert} VALUES (:run, :level, 1, :tally)"), stale)
    engine.dispose()
    yield engine
    engine.dispose()


def test_every_row_is_as_before_under_the_new_names(older: Engine, revision: str) -> None:
    before = rows_of(older)
    upgrade(older)
    assert current_revision(older) == REVISION
    now_called = {former: name for name, former in FORMER[revision].items()}
    expected = {
        table: [{now_called.get(name, name): value for name, value in row.items()} for row in rows]
        for table, rows in before.items()
    }
    for run in expected["runs"]:
        run |= {"axis": run.get("axis"), "copies": 1, "priority": 0, "paused_at": None}
    for job in expected["jobs"]:
        job |= {"copies_first": 0, "copies_last": 0, "device": None, "engine": None, "seconds": None}
    expected |= {"counts": [], "workers": []}
    after = rows_of(older)
    assert {table: sorted(rows, key=repr) for table, rows in expected.items()} == after
    sizes = {"predictions": 86, "failures": 2, "runs": 2, "jobs": 3, "summaries": 2}
    assert {table: len(after[table]) for table in sizes} == sizes


def test_the_reports_are_those_of_a_database_of_this_version(older: Engine, today: Engine) -> None:
    upgrade(older)
    for name in (RUN, "open"):
        with reading(older) as session, reading(today) as other:
            found, expected = (to_json(report(one, find_run(one, name))) for one in (session, other))
        assert found == expected
        assert found["run"]["axis"]["symbol"] == "σ"
        assert [level["level"] for level in found["levels"]] == [level["sigma"] for level in found["levels"]]


def test_a_recipe_of_the_version_before_has_the_same_run_id(older: Engine) -> None:
    upgrade(older)
    with reading(older) as session:
        run = find_run(session, "open")
    assert run.id == run.recipe.run_id(OPEN)


def test_summaries_of_the_version_before_are_counted_again_and_replaced(older: Engine) -> None:
    upgrade(older)
    with reading(older) as session:
        run = find_run(session, RUN)
    summarise(older, run)
    with reading(older) as session:
        kept = session.execute(select(Summary.level, Summary.version)).all()
        assert sorted(kept) == [(level, VERSION) for level in run.recipe.levels]
        assert report(session, run) == report(session, run, stored=False)


def test_an_open_run_goes_on_after_the_upgrade(older: Engine) -> None:
    upgrade(older)
    with reading(older) as session:
        run = find_run(session, "open")
    assert store.claim(older, jobs(older, run.id)[1].id, worker="host:2", lease=60) is None  # its lease was kept
    store.expire(older, worker="host:1")
    finish_all(older, run.id)
    with reading(older) as session:
        assert report(session, run).complete


def test_views_that_people_built_on_ours_are_kept(older: Engine, revision: str) -> None:
    level = FORMER[revision].get("level", "level")
    with older.begin() as connection:
        connection.execute(text("CREATE VIEW of_mine AS SELECT path, outcome FROM outcomes"))
        connection.execute(text(f'CREATE VIEW "of mine, too" AS SELECT {level}, acc_maj FROM levels'))
    upgrade(older)
    with older.connect() as connection:
        assert len(connection.execute(text("SELECT path, outcome FROM of_mine")).all()) == 86
        named = text(f'SELECT min({level}) FROM "of mine, too"')
        if older.dialect.name == "postgresql" or level == "level":
            assert connection.execute(named).first() == (0.0,)
        else:
            with pytest.raises(DBAPIError, match="no such column: sigma"):
                connection.execute(named)


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(older: Engine, revision: str) -> None:
    with older.begin() as connection:
        connection.execute(text("ALTER TABLE runs ADD COLUMN copies INTEGER"))  # in the way of ours
    before = rows_of(older)
    with pytest.raises(DBAPIError, match="copies"):
        upgrade(older)
    assert rows_of(older) == before
    assert current_revision(older) == revision
    with older.connect() as connection:
        assert connection.execute(text("SELECT count(path) FROM outcomes")).scalar() == 86


# -- the code of one version and the database of the other -------------------------------------------------------


def test_this_code_refuses_a_database_of_a_version_before(older: Engine, database_url: str, revision: str) -> None:
    said = f"is at revision {revision}, but this code needs {REVISION}: run `smoothvote db upgrade`$"
    with pytest.raises(WrongUse, match=said):
        connect(Settings(database_url=database_url))


def test_the_commands_refuse_it_in_one_line_and_go_on_after_the_upgrade(
    older: Engine, database_url: str, revision: str, tmp_path: Path
) -> None:
    env = {"SMOOTHVOTE_DATABASE_URL": database_url}
    refused = smoothvote("report", "photos", cwd=tmp_path, env=env, code=2)
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.endswith("run `smoothvote db upgrade`\n")
    assert call("db", "upgrade", cwd=tmp_path, env=env).stderr.endswith(f": {revision} → {REVISION}\n")
    said = call("report", "photos", "--format", "json", cwd=tmp_path, env=env)
    assert json.loads(said.stdout)["run"]["id"] == RUN


def test_run_upgrades_its_own_database_and_resumes_the_run(tmp_path: Path, revision: str) -> None:
    """Its record says that all is done: `run` needs no worker to find that out."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (images / name).write_bytes(b"not read")
    home = Settings(home=tmp_path / ".smoothvote")
    home.home.mkdir()
    today, older = engine_over(f"sqlite:///{tmp_path / 'today.db'}"), open_engine(home)
    upgrade(today)
    run = submit(today, RECIPE, read_dataset(str(images), labels=Labels(RECIPE), settings=home)).run_id
    finish_all(today, run)
    migrate_to_older(older, revision)
    copy_to_older(today, older, revision)
    for engine in (today, older):
        engine.dispose()
    levels = ",".join(map(str, RECIPE.levels))
    done = smoothvote("run", images, "--model", RECIPE.model, "--levels", levels, "--format", "json", cwd=tmp_path)
    said = json.loads(done.stdout)
    assert (said["run"]["id"], said["complete"]) == (run, True)
    upgraded = connect(home)
    assert current_revision(upgraded) == REVISION
    upgraded.dispose()


def test_a_worker_of_revision_0002_can_neither_claim_nor_store(older: Engine) -> None:
    """It connected before the upgrade, so it does not see the new revision."""
    upgrade(older)
    before = rows_of(older)
    for statement in (
        "UPDATE jobs SET lease_until = NULL, attempts = attempts + 1, worker = 'old' WHERE done_at IS NULL",
        "UPDATE jobs SET done_at = CURRENT_TIMESTAMP, lease_until = NULL, note = NULL WHERE done_at IS NULL",
    ):
        with pytest.raises(DBAPIError, match="lease_until"), older.begin() as connection:
            connection.execute(text(statement))
    assert rows_of(older) == before


def test_a_dispatcher_of_the_version_before_can_split_no_job(older: Engine) -> None:
    """It knows nothing of copies, so the half that it adds would be one of a vote."""
    upgrade(older)
    split = text("INSERT INTO jobs (run_id, first, last, attempts) VALUES (:run, 4, 4, 0)")
    with pytest.raises(DBAPIError, match="copies_first"), older.begin() as connection:
        connection.execute(split, {"run": RUN})


def test_each_index_of_jobs_by_state_is_of_these_only_after_the_upgrade(older: Engine) -> None:
    upgrade(older)
    catalogue = {
        "sqlite": "SELECT name, sql FROM sqlite_master WHERE name LIKE 'jobs_%' AND type = 'index'",
        "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE indexname ~ '^jobs_(waiting|out|done|open)'",
    }
    with older.connect() as connection:
        found = {row[0]: row[1] for row in connection.execute(text(catalogue[older.dialect.name]))}
    assert set(found) == {"jobs_waiting", "jobs_out", "jobs_done"}
    assert all("WHERE" in sql for sql in found.values())


def test_a_worker_of_this_version_waits_once_the_database_is_a_generation_ahead(engine: Engine) -> None:
    run_id = record(engine, [0] * 4)
    job_id = jobs(engine, run_id)[0].id
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0300'"))
    said = f"is at revision 0300, newer than this code's {REVISION}: install the newer"
    with pytest.raises(Away, match=said) as raised:
        store.claim(engine, job_id, worker="w", lease=60)
    assert passes(raised.value)
    assert jobs(engine, run_id)[0].attempts == 0


def test_each_generation_has_a_queue_of_its_own() -> None:
    assert f"smoothvote.{REVISION[:2]}" == QUEUE
