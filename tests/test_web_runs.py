"""The list of runs, and a record that is empty, new or replaced."""

import re
import shutil
from pathlib import Path

from rows import failed, finish_all, jobs, record
from sqlalchemy import Engine, text
from starlette.testclient import TestClient
from website import client, get, ids, one_kind, words

from db import control, store
from db.migrations import upgrade
from db.session import open_engine, writing
from db.settings import Settings


@one_kind
def test_an_empty_record_says_how_to_begin(served: TestClient) -> None:
    assert "smoothvote run PHOTOS" in get(served, "/")
    assert served.get("/api/runs").json() == {"runs": [], "of": 0}
    assert "A comparison needs two runs; 0 are recorded" in words(get(served, "/compare"))


def test_pages_work_before_the_first_run_makes_the_embedded_database(tmp_path: object) -> None:
    settings = Settings(home=f"{tmp_path}/home")  # type: ignore[arg-type]
    with client(settings) as asked:
        assert "smoothvote run PHOTOS" in get(asked, "/")
        assert "no runs are recorded here" in get(asked, "/runs/latest", 404)
        settings.home.mkdir()
        engine = open_engine(settings)
        upgrade(engine)
        record(engine, [1])
        engine.dispose()
        assert "a run" in get(asked, "/")


def test_a_new_database_in_place_of_a_removed_one_is_read(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ".smoothvote")

    def begin(name: str) -> None:
        settings.home.mkdir()
        engine = open_engine(settings)
        upgrade(engine)
        record(engine, [1], name=name)
        engine.dispose()

    begin("the first")
    with client(settings) as asked:
        assert "the first" in asked.get("/").text
        shutil.rmtree(settings.home)
        assert "the first" not in asked.get("/").text
        begin("the second")
        said = asked.get("/").text
        assert "the second" in said
        assert "the first" not in said


def test_the_list_of_runs_shows_the_progress_of_each(engine: Engine, served: TestClient) -> None:
    half = record(engine, [1] * 8, job_size=4, name="half")
    claim = store.claim(engine, jobs(engine, half)[0].id, worker="w", lease=60)
    assert claim
    store.finish(engine, claim, [], [failed(image_id) for image_id in ids(engine)[:4]])
    page = get(served, "/")
    assert "half" in page
    assert '<progress max="8" value="4"' in page
    assert "4 of 8 open 4" in words(page)
    assert 'data-live="/api/runs?page=1"' in page
    with writing(engine) as session:
        control.cancel(session, half)
    assert "cancelled" in words(get(served, "/"))
    assert "data-live" not in get(served, "/")  # nothing more will come


def test_a_run_that_is_paused_or_urgent_says_so_until_it_is_complete(engine: Engine, served: TestClient) -> None:
    run_id = record(engine, [1] * 8)
    assert "priority" not in words(get(served, "/"))
    with writing(engine) as session:
        control.pause(session, run_id)
        control.prioritise(session, run_id, -5)
    for page in ("/", f"/runs/{run_id}"):
        assert "paused priority -5" in words(get(served, page))
    told = served.get(f"/api/runs/{run_id}/progress").json()
    assert (told["state"], told["paused"], told["priority"]) == ("paused", True, -5)
    with writing(engine) as session:
        control.resume(session, run_id)
    finish_all(engine, run_id)
    assert "priority" not in words(get(served, "/"))


def test_the_list_of_runs_has_pages_with_the_newest_first(engine: Engine, served: TestClient) -> None:
    with writing(engine) as session:
        for number in range(27):
            row = {"id": f"{number:016x}", "name": f"run {number}", "recipe": '{"model": "efficientnet_lite0"}'}
            session.execute(
                text("INSERT INTO datasets (id, name, root, fingerprint, size, found) VALUES (:n, 'd', 'r', :f, 1, 1)"),
                {"n": number + 1, "f": str(number)},
            )
            session.execute(
                text(
                    "INSERT INTO runs (id, dataset_id, name, recipe, submitted_at)"
                    f" VALUES (:id, {number + 1}, :name, :recipe, '2026-01-{number + 1:02d} 00:00:00.000000')"
                ),
                row,
            )
    first, second = get(served, "/"), get(served, "/?page=2")
    assert re.findall(r"run (\d+)</a>", first) == [str(number) for number in range(26, 1, -1)]
    assert re.findall(r"run (\d+)</a>", second) == ["1", "0"]
    assert "page 1 of 2" in first
    api = served.get("/api/runs?page=2").json()
    assert ([run["name"] for run in api["runs"]], api["of"]) == (["run 1", "run 0"], 27)
    assert "there is no page 3 of runs" in get(served, "/?page=3", 404)
