"""What a person gets for a wrong address, hostile text or an unreachable database."""

import re
from collections.abc import Callable
from html import unescape

from rows import LEVELS, RECIPE, jobs, predicted, record
from sqlalchemy import Engine, create_engine, make_url, text
from starlette.testclient import TestClient
from website import client, get, ids, one_kind

from db import store, submission
from db.found import Failed
from db.migrations import upgrade
from db.session import open_engine, writing
from db.settings import Settings
from db.store import Entry

HOSTILE = "<script>alert(1)</script>"


@one_kind
def test_text_from_outside_is_escaped(engine: Engine, served: TestClient) -> None:
    recipe = RECIPE.model_copy(update={"classes": (HOSTILE, '"><img src=x onerror=alert(1)>')})
    entries = [Entry(path=f"{HOSTILE}/{number}.jpg", label=0, bytes=1) for number in range(2)]
    with writing(engine) as session:
        dataset_id = submission.record_dataset(
            session, name=HOSTILE, root=HOSTILE, fingerprint="f", found=2, entries=entries
        )
        submission.record_run(session, run_id="a" * 16, dataset_id=dataset_id, name=HOSTILE, recipe=recipe, job_size=1)
        submission.record_run(session, run_id="b" * 16, dataset_id=dataset_id, name=HOSTILE, recipe=recipe, job_size=2)
    for job, image_id in zip(jobs(engine, "a" * 16), ids(engine), strict=True):
        claim = store.claim(engine, job.id, worker=HOSTILE, lease=60)
        assert claim
        if job.first == 0:
            store.finish(engine, claim, [predicted(image_id, level, 1, 1, 1, 1) for level in LEVELS], [])
        else:
            store.finish(engine, claim, [], [Failed(image_id=image_id, code="broken", message=HOSTILE)])
    claim = store.claim(engine, jobs(engine, "b" * 16)[0].id, worker=HOSTILE, lease=60)
    assert claim
    store.refuse(engine, claim, worker=HOSTILE, note=HOSTILE, after=60)
    run = "/runs/" + "a" * 16
    pages = [run, f"{run}/images", f"{run}/images?outcome=failed", f"{run}/images?class=0&voted=1", f"{run}/classes"]
    pages += [f"{run}/images/{image_id}" for image_id in ids(engine)] + ["/runs/" + "b" * 16, "/"]
    pages += ["/compare", f"/compare?a={'a' * 16}", f"/compare?a={'a' * 16}&b={'b' * 16}"]
    for address in pages:
        page = get(served, address)
        assert "&lt;script&gt;alert(1)" in page, address
        ours = re.findall(r'<script src="/static/page.js\?v=\w+">', page)
        assert re.findall(r"<script[^>]*>", page) == ours, address
        assert "<img src=x" not in page
        for tag in re.findall(r"<[a-z][^>]*>", page):
            assert not re.search(r"\s(on\w+|style)=", re.sub(r'"[^"]*"', '""', tag)), tag  # nothing inline
    for address in (
        f"/runs/{HOSTILE}",
        f"{run}/images?level={HOSTILE}",
        f"{run}/classes?sort={HOSTILE}",
        f"/{HOSTILE}",
    ):
        assert "<script>" not in served.get(address).text, address
    for address in ("/api/runs", f"/api{run}", f"/api{run}/progress", f"/api/runs/{HOSTILE}"):
        answer = served.get(address)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"


#: Address, status, and part of the line.
WRONG = [
    ("/runs/nothing", 404, "is no run's id or name"),
    ("/runs/{run}/images?level=0.3", 404, "has no level 0.3; it has 0, 0.25"),
    ("/runs/{run}/images?level=nan", 404, "has no level nan"),
    ("/runs/{run}/images?level=x", 422, "level: input should be a valid number"),
    ("/runs/{run}/images?outcome=good", 404, "outcome 'good' is unknown: it is one of right, wrong, rejected"),
    ("/runs/{run}/images?after=-1", 422, "after: input should be greater than or equal to 0"),
    ("/runs/{run}/images?class=99999999999999999999", 404, "class 99999999999999999999: no class of the model"),
    ("/runs/{run}/images?class=sunglasses", 404, "class sunglasses: 2 classes have this name; give an index: 836, 837"),
    ("/runs/{run}/images/x", 422, "image: input should be a valid integer"),
    ("/runs/{run}/images/9999999999999999999999", 422, "image: input should be less than"),
    ("/runs/{run}/images/999999", 404, "has no image 999999"),
    ("/runs/{run}/classes?sort=name", 404, "sort 'name' is unknown"),
    ("/runs/{run}/classes?page=9", 404, "there is no page 9 of classes: the last is 1"),
    ("/runs/a%00b", 422, "run: string should match pattern"),
    ("/compare?a=nothing&b={run}", 404, "is no run's id or name"),
    ("/compare?a_named=nothing", 404, "is no run's id or name"),
    ("/nowhere", 404, "there is no such page"),
    ("/api/runs/nothing", 404, "is no run's id or name"),
    ("/pictures/{run}/1/xs?level=0", 422, "view: input should be 'ns', 'ss' or 'ds'"),
    ("/static/..%2f..%2fapp.py", 404, "there is no such page"),
    ("/static/page.css", 404, "there is no such page"),
]


def test_an_error_is_one_line(judged: str, served: TestClient) -> None:
    for address, status, said in WRONG:
        answer = get(served, address.format(run=judged), status)
        line = re.search(r'<p class="said">(.*?)</p>', answer, re.S)
        told = unescape(line.group(1)) if line else answer
        assert said in told, address
        assert len(told.splitlines()) == 1


def test_an_unreachable_database_is_reported_until_it_is_back(new_postgres: Callable[[], str]) -> None:
    settings = Settings(database_url=new_postgres())
    engine = open_engine(settings)
    upgrade(engine)
    run_id = record(engine, [1])
    with client(settings) as asked:
        get(asked, f"/runs/{run_id}")
        name = make_url(settings.database).database
        admin = create_engine(make_url(settings.database).set(database="postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :n"), {"n": name}
            )
        for address in ("/", f"/runs/{run_id}", f"/api/runs/{run_id}", f"/pictures/{run_id}/1/thumbnail"):
            answer = get(asked, address, 503)
            # The first is told why its connection ended, if it was still open.
            assert "terminating connection" in answer or "not currently accepting connections" in answer
            assert "try again when it is back" in answer
        with admin.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
        assert "a run" in get(asked, f"/runs/{run_id}")
    admin.dispose()
    engine.dispose()
