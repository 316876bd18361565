"""The page of workers, asked without a browser."""

from pathlib import Path

from at_work import at_work, heartbeat
from sqlalchemy import Engine
from starlette.testclient import TestClient
from website import client, get, words

from db.settings import Settings
from db.workers import beat


def test_the_page_shows_workers_runs_and_failures(engine: Engine, served: TestClient) -> None:
    run_id = at_work(engine)
    page = get(served, "/workers")
    said = words(page)
    assert "0.1 images/s over the last minute · jobs: 1 claimed, 2 queued, 4 due" in said
    assert "box:1 cuda:0, eager float16, timm/x working a run job 3 0.1 95% 6 –" in said
    assert "box:2 cpu gone – 0.0 – 0 – 5 min ago" in said
    assert f"a run {run_id} 0.1 1 2 4 0" in said
    assert "truncated 3" in said
    assert f'<a href="/runs/{run_id}">' in page
    assert 'data-live="/api/workers"' in page


def test_the_page_as_json_is_what_top_prints(engine: Engine, served: TestClient) -> None:
    at_work(engine)
    found = served.get("/api/workers").json()
    assert [(worker["name"], worker["state"]) for worker in found["workers"]] == [
        ("box:1", "working"),
        ("box:2", "gone"),
    ]
    assert found["queue"]["queued"] == 2


def test_without_workers_the_page_says_how_to_start_one(engine: Engine, served: TestClient) -> None:
    assert "No worker has been here in the last day" in get(served, "/workers")


def test_before_the_first_run_there_is_nothing_to_show(tmp_path: Path) -> None:
    with client(Settings(home=tmp_path / "home")) as asked:
        assert "No run is recorded yet, and no worker" in get(asked, "/workers")
        assert asked.get("/api/workers").json() == {"workers": [], "runs": []}


def test_a_name_from_outside_is_escaped(engine: Engine, served: TestClient) -> None:
    beat(engine, heartbeat("<b>box\x1b[31m"))
    page = get(served, "/workers")
    assert "&lt;b&gt;box" in page
    assert "\x1b" not in page
