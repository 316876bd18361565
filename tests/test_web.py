"""The pages over records whose answers were worked out by hand, asked as a browser asks, without one."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from rows import LEVELS, RECIPE, all_image_ids, failed, finish_all, jobs, predicted, record
from sqlalchemy import Engine, create_engine, event, make_url, text
from starlette.testclient import TestClient

from db import store
from db.errors import Away, WrongUse
from db.migrations import upgrade
from db.recipe import Recipe
from db.runs import RunInfo, find_run
from db.session import open_engine, reading, writing
from db.settings import Settings
from db.store import Entry
from report.data import to_json
from report.report import RATES, report
from web.app import make_app
from web.charts import BOTTOM, HEIGHT, TOP, rates_chart, risk_chart, series_of
from web.classes import class_table, in_order
from web.guard import COOKIE
from web.record import Record
from web.server import is_local, listen, serve

# True classes of seven images; None is not known. The last two have no prediction.
LABELS = [1, 1, 1, 2, None, 1, 1]
# What the views said, and what the vote made of it: at σ = 0, and at σ = 0.25.
CALM = [
    (1, 1, 1, 1),  # right
    (9, 1, 1, 1),  # right: saved
    (1, 8, 9, None),  # rejected: lost
    (2, 9, 9, 9),  # wrong: lost
    (5, 5, 5, 5),  # no label
]
NOISY = [(1, 1, 9, 1), (7, 8, 9, None), (7, 8, 9, None), (7, 7, 9, 7), (7, 8, 9, None)]
#: For what does not hang on the kind of database.
one_kind = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
HOSTILE = "<script>alert(1)</script>"


class Drawn:
    """Pictures that say what was asked for; of images called so, why there is none."""

    def thumbnail(self, run: RunInfo, entry: Entry, side: int = 192) -> bytes:
        if entry.path == "1.jpg":
            raise WrongUse("1.jpg: it is gone; put it back")
        if entry.path == "2.jpg":
            raise Away("the store of images does not answer")
        return f"{run.id} {entry.path} {side}".encode()

    def view(self, run: RunInfo, entry: Entry, sigma: float, view: str) -> bytes:
        return f"{run.id} {entry.path} {sigma} {view}".encode()


@pytest.fixture
def served(settings: Settings, engine: Engine) -> Iterator[TestClient]:
    """The pages of a record of each kind."""
    with client(settings) as asked:
        yield asked


@contextmanager
def client(settings: Settings, *, pictures: bool = True, **guard: Any) -> Iterator[TestClient]:
    found = Record(settings)
    app = make_app(found, Drawn if pictures else None, **guard)
    with TestClient(app, base_url="http://127.0.0.1:8765", follow_redirects=False) as asked:
        yield asked
    found.close()


@pytest.fixture
def local(tmp_path: object) -> Settings:
    """A record of one kind, for what does not hang on the kind."""
    settings = Settings(database_url=f"sqlite:///{tmp_path}/record.db")
    engine = open_engine(settings)
    upgrade(engine)
    engine.dispose()
    return settings


@pytest.fixture
def run_id(engine: Engine) -> str:
    return measured(engine)


def measured(engine: Engine, *, recipe: Recipe = RECIPE, name: str = "a run") -> str:
    run_id = record(engine, LABELS, job_size=7, recipe=recipe, name=name)
    claim = store.claim(engine, jobs(engine, run_id)[0].id, worker="w", lease=60)
    assert claim
    ids = [image_id for image_id, _ in store.load_work(engine, claim).images]
    rows = [
        predicted(ids[n], sigma, *views)
        for sigma, level in zip(LEVELS, (CALM, NOISY), strict=True)
        for n, views in enumerate(level)
    ]
    assert store.finish(engine, claim, rows, [failed(ids[5], "grayscale"), failed(ids[6], "truncated")])
    return run_id


def ids(engine: Engine) -> list[int]:
    with reading(engine) as session:
        return all_image_ids(session)


def get(asked: TestClient, address: str, status: int = 200) -> str:
    answer = asked.get(address)
    assert answer.status_code == status, answer.text
    assert "Traceback" not in answer.text
    return answer.text


def tiles(page: str) -> list[str]:
    """Paths of the images on a page of the gallery."""
    return [unescape(path) for path in re.findall(r'<span class="path">(.*?)</span>', page)]


def words(page: str) -> str:
    """A page as it is read."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


# -- what the pages show -----------------------------------------------------------------------------------------


@one_kind
def test_an_empty_record_says_how_to_begin(served: TestClient) -> None:
    assert "smoothvote run PHOTOS" in get(served, "/")
    assert served.get("/api/runs").json() == {"runs": [], "of": 0}
    assert "Two runs are needed, and 0 are recorded" in words(get(served, "/compare"))


def test_pages_may_be_open_before_the_first_run_makes_the_embedded_database(tmp_path: object) -> None:
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


def test_a_store_that_is_removed_is_gone_and_another_in_its_place_is_read(tmp_path: Path) -> None:
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


def test_runs_are_listed_with_how_far_each_has_come(engine: Engine, served: TestClient) -> None:
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
        store.cancel(session, half)
    assert "cancelled" in words(get(served, "/"))
    assert "data-live" not in get(served, "/")  # nothing more will come


def test_runs_are_paged_newest_first(engine: Engine, served: TestClient) -> None:
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
    assert "there is no page 3 of runs" in get(served, "/?page=3", 404)


def test_a_report_gives_each_rate_with_its_interval_and_denominator(run_id: str, served: TestClient) -> None:
    said = words(get(served, f"/runs/{run_id}"))
    assert "Acc NS 0.7500 0.301 – 0.954 · 3 of 4 0.2500 0.046 – 0.699 · 1 of 4" in said
    assert "Acc Maj 0.6667 0.208 – 0.939 · 2 of 3 0.5000 0.095 – 0.905 · 1 of 2" in said
    assert "Acc Maj overall 0.5000 0.150 – 0.850 · 2 of 4" in said
    assert "Reject 0.2000 0.036 – 0.624 · 1 of 5 0.6000 0.231 – 0.882 · 3 of 5" in said
    assert "saved 1 of 4 0 of 4" in said
    assert "lost 2 of 4 0 of 4" in said
    assert "expected 7 7 predicted 5 5 labelled 4 4 failed 1 1 skipped 1 1 pending 0 0" in said


def test_every_rate_opens_onto_as_many_images_as_it_counts(engine: Engine, run_id: str, served: TestClient) -> None:
    page = get(served, f"/runs/{run_id}")
    with reading(engine) as session:
        levels = report(session, find_run(session, run_id)).levels
    table = page[page.index('<table class="rates">') :]
    links = [unescape(link) for link in re.findall(r'<td>\s*<a href="(.*?)"', table[: table.index("</table>")])]
    counts = [level.rate(name).hits for name in RATES for level in levels]  # type: ignore[union-attr]
    counts += [level.saved for level in levels] + [level.lost for level in levels]
    assert len(links) == len(counts) == 24
    assert [len(tiles(get(served, link))) for link in links] == counts


def test_failures_open_by_code_and_by_outcome(run_id: str, served: TestClient) -> None:
    page = get(served, f"/runs/{run_id}")
    assert re.findall(r'href="(/runs/\w+/images\?code=\w+)">(\w+)</a></th><td class="number">(\d)', page) == [
        (f"/runs/{run_id}/images?code=grayscale", "grayscale", "1"),
        (f"/runs/{run_id}/images?code=truncated", "truncated", "1"),
    ]
    assert tiles(get(served, f"/runs/{run_id}/images?code=truncated")) == ["6.jpg"]
    assert "truncated: why" in words(get(served, f"/runs/{run_id}/images?outcome=failed"))
    assert tiles(get(served, f"/runs/{run_id}/images?outcome=skipped")) == ["5.jpg"]


def test_the_gallery_filters_by_level_class_and_vote(run_id: str, served: TestClient) -> None:
    images = f"/runs/{run_id}/images"
    assert tiles(get(served, images)) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert tiles(get(served, f"{images}?level=0.25&outcome=rejected")) == ["1.jpg", "2.jpg", "4.jpg"]
    assert tiles(get(served, f"{images}?class=2")) == ["3.jpg"]
    assert tiles(get(served, f"{images}?class=Great+White+Shark")) == ["3.jpg"]
    assert 'value="great white shark"' in get(served, f"{images}?class=2")
    assert 'value="836"' in get(served, f"{images}?class=836")  # another class is called sunglasses as well
    assert tiles(get(served, f"{images}?class=2&voted=9")) == ["3.jpg"]
    assert tiles(get(served, f"{images}?class=2&voted=1")) == []
    assert tiles(get(served, f"{images}?outcome=unlabelled")) == ["4.jpg"]
    assert tiles(get(served, f"{images}?outcome=saved&level=0")) == ["1.jpg"]
    assert tiles(get(served, f"{images}?outcome=lost&level=0")) == ["2.jpg", "3.jpg"]
    assert tiles(get(served, f"{images}?outcome=split&level=0")) == ["1.jpg", "3.jpg"]
    assert tiles(get(served, f"{images}?outcome=&class=&level=")) == tiles(get(served, images))  # as a form sends it


@one_kind
def test_the_gallery_is_paged_without_gap_or_repetition(engine: Engine, served: TestClient) -> None:
    run_id = record(engine, [1] * 100, job_size=100)
    finish_all(engine, run_id)
    address, found = f"/runs/{run_id}/images?level=0.25&outcome=right", []
    sizes = []
    while address:
        page = get(served, address)
        found += tiles(page)
        sizes.append(len(tiles(page)))
        following = re.search(r'rel="next" href="(.*?)"', page)
        address = unescape(following.group(1)) if following else ""
    assert sizes == [48, 48, 4]
    assert found == [f"{number}.jpg" for number in range(100)]


def test_an_outcome_that_is_chosen_after_a_failures_code_is_what_is_shown(run_id: str, served: TestClient) -> None:
    both = served.get(f"/runs/{run_id}/images", params={"level": "0", "outcome": "unanimous", "code": "truncated"})
    alone = served.get(f"/runs/{run_id}/images", params={"level": "0", "outcome": "unanimous"})
    assert both.status_code == 200
    assert both.text == alone.text


def test_one_image_has_its_views_at_each_level(engine: Engine, run_id: str, served: TestClient) -> None:
    first, second, third, *_, sixth, _ = ids(engine)
    page = get(served, f"/runs/{run_id}/images/{second}")
    said = words(page)
    assert "1.jpg true class: goldfish (1) · image 2 of 7" in said
    assert "σ = 0 vote: goldfish ✓ right" in said
    assert "no smoothing (ns) ostrich ✗ wrong 0.500 smoothed once (ss) goldfish ✓ right 0.250" in said
    assert "σ = 0.25 vote: ⊘ rejected" in said
    assert f"/pictures/{run_id}/{second}/ds?level=0.25" in page
    assert re.findall(r'rel="(prev|next)" href="/runs/\w+/images/(\d+)"', page) == [
        ("prev", str(first)),
        ("next", str(third)),
    ]
    assert "No prediction: grayscale: why" in words(get(served, f"/runs/{run_id}/images/{sixth}"))


@one_kind
def test_an_image_that_no_worker_has_done_is_pending(engine: Engine, served: TestClient) -> None:
    run_id = record(engine, [1])
    assert "Pending: no worker" in words(get(served, f"/runs/{run_id}/images/{ids(engine)[0]}"))
    assert "No image is like that so far." in words(get(served, f"/runs/{run_id}/images"))
    assert "is predicted at this level yet" in words(get(served, f"/runs/{run_id}/classes"))


def test_classes_are_listed_worst_first_with_their_confusions(run_id: str, served: TestClient) -> None:
    page = get(served, f"/runs/{run_id}/classes?level=0")
    rows = re.findall(r'<th scope="row"><a href=.*?</tr>', page, re.S)
    assert [words(row) for row in rows] == [
        "great white shark 1 1.0000 0.207 – 1.000 · 1 of 1 0.0000 0.000 – 0.793 · 0 of 1"
        " 0.0000 0.000 – 0.793 · 0 of 1 0.0000 0.000 – 0.793 · 0 of 1",
        "goldfish 3 0.6667 0.208 – 0.939 · 2 of 3 1.0000 0.342 – 1.000 · 2 of 2"
        " 0.6667 0.208 – 0.939 · 2 of 3 0.3333 0.061 – 0.792 · 1 of 3",
    ]
    assert "great white shark ostrich 1" in words(page)
    link = re.search(r'href="([^"]*voted=9)"', page)
    assert link
    assert tiles(get(served, unescape(link.group(1)))) == ["3.jpg"]
    by_size = get(served, f"/runs/{run_id}/classes?level=0&sort=predicted&down=1")
    assert by_size.index("goldfish") < by_size.index("great white shark")


@one_kind
def test_equal_classes_are_sorted_the_larger_first(engine: Engine) -> None:
    run_id = record(engine, [3, 4, 4])
    finish_all(engine, run_id)  # class 1 for everything
    with reading(engine) as session:
        table = class_table(session, find_run(session, run_id), 0.0)
    assert [counts.label for counts in in_order(table.classes, "acc_maj", descending=False)] == [4, 3]
    assert table.confusions == [(4, 1, 2), (3, 1, 1)]


def test_two_runs_are_compared_image_by_image(engine: Engine, run_id: str, served: TestClient) -> None:
    other = record(engine, LABELS, job_size=7, recipe=RECIPE.model_copy(update={"seed": 1}), name="another")
    claim = store.claim(engine, jobs(engine, other)[0].id, worker="w", lease=60)
    assert claim
    images = [image_id for image_id, _ in store.load_work(engine, claim).images]
    rows = [predicted(images[n], 0.0, 1, 1, 1, 1) for n in range(5)]
    assert store.finish(engine, claim, rows, [failed(image_id) for image_id in images[5:]])
    said = words(get(served, f"/compare?a={run_id}&b={other}"))
    assert "Acc Maj overall 0.5000 0.150 – 0.850 · 2 of 4 0.7500 0.301 – 0.954 · 3 of 4 +0.2500" in said
    assert "seed 0 1" in said
    assert "A: vote at σ = 0: 0.500" in unescape(get(served, f"/compare?a={run_id}&b={other}"))


@one_kind
def test_runs_over_other_images_are_drawn_and_not_compared(engine: Engine, run_id: str, served: TestClient) -> None:
    other = record(engine, [1], fingerprint="e" * 64, name="another")
    finish_all(engine, other)
    said = words(get(served, f"/compare?a={run_id}&b={other}"))
    assert "are of different datasets" in said
    assert "Image by image" not in said
    assert "Accuracy against noise" in said


@one_kind
def test_unlabelled_images_have_rejects_and_no_accuracy(engine: Engine, served: TestClient) -> None:
    run_id = record(engine, [None] * 3)
    finish_all(engine, run_id)
    said = words(get(served, f"/runs/{run_id}"))
    assert "No image has a label" in said
    assert "Rejects against noise" in said
    assert "Accuracy against noise" not in said
    assert "saved" not in said


@one_kind
def test_a_run_that_has_not_begun_has_a_page(engine: Engine, served: TestClient) -> None:
    run_id = record(engine, [1] * 3)
    page = get(served, f"/runs/{run_id}")
    assert "Nothing is predicted yet." in page
    assert f'data-live="/api/runs/{run_id}/progress"' in page


@one_kind
def test_json_is_what_the_command_prints(engine: Engine, run_id: str, served: TestClient) -> None:
    with reading(engine) as session:
        expected = to_json(report(session, find_run(session, run_id)))
    found = served.get(f"/api/runs/{run_id}").json()
    assert found["levels"][0]["acc_maj_count"] == [2, 3]
    for level in expected["levels"]:
        level["risk_coverage"] = {
            name: [list(point) for point in curve] for name, curve in level["risk_coverage"].items()
        }
    assert found == expected
    state = served.get(f"/api/runs/{run_id}/progress").json()
    assert (state["state"], state["done"], state["expected"], state["failed"]) == ("complete", 7, 7, 1)


# -- where things lie --------------------------------------------------------------------------------------------


@one_kind
def test_charts_are_to_scale(engine: Engine, run_id: str) -> None:
    with reading(engine) as session:
        found = report(session, find_run(session, run_id))
    chart = rates_chart(
        "k", "t", series_of(found, ["acc_ns", "acc_maj"], lambda name: lambda level: name), y_title="accuracy"
    )
    calm, noisy = chart.lines[0].points
    full = HEIGHT - BOTTOM - TOP
    assert HEIGHT - BOTTOM - calm.y == pytest.approx(0.75 * full)
    assert HEIGHT - BOTTOM - noisy.y == pytest.approx(0.25 * full)
    assert calm.high < calm.y < calm.low  # y grows downwards
    assert HEIGHT - BOTTOM - calm.low == pytest.approx(0.3006 * full, rel=1e-3)
    assert calm.text == "Acc NS at σ = 0: 0.750, 95% interval 0.301 to 0.954, 3 of 4"
    # The two of one level stand beside one another.
    assert chart.lines[1].points[0].x > calm.x
    assert noisy.x > chart.lines[1].points[0].x


@one_kind
def test_the_votes_operating_points_lie_on_its_side_of_the_risk_curve(engine: Engine, run_id: str) -> None:
    with reading(engine) as session:
        level = report(session, find_run(session, run_id)).levels[0]
    chart = risk_chart(level, str)
    assert chart
    vote = next(line for line in chart.lines if line.key == "vote")
    assert [point.text.partition(",")[0] for point in vote.points] == ["3 of 3 agree", "2 of 3 agree", "always"]
    assert "coverage 0.750, risk 0.333" in vote.points[1].text
    assert "1 of 3" in vote.points[1].text


# -- what is asked once ------------------------------------------------------------------------------------------


def test_a_report_is_counted_once_for_each_state_of_its_run(local: Settings) -> None:
    engine = open_engine(local)
    run_id = record(engine, [1] * 8, job_size=4)
    found = Record(local)
    counted: list[str] = []
    event.listen(found.check(), "before_cursor_execute", lambda *args: counted.append(args[2]))
    with TestClient(make_app(found, None)) as asked:

        def countings() -> int:
            counted.clear()
            get(asked, f"/runs/{run_id}")
            return sum("predictions" in statement for statement in counted)

        assert countings() > 0
        assert countings() == 0
        claim = store.claim(engine, jobs(engine, run_id)[0].id, worker="w", lease=60)
        assert claim
        done = [predicted(image_id, 0.0, 1, 1, 1, 1) for image_id in ids(engine)[:4]]
        store.finish(engine, claim, done, [])
        assert countings() > 0
        assert "4 of 4" in words(get(asked, f"/runs/{run_id}"))
        with writing(engine) as session:
            session.execute(text("UPDATE runs SET name = 'renamed'"))
        assert countings() == 0
        assert asked.get(f"/api/runs/{run_id}").json()["run"]["name"] == "renamed"
    found.close()
    engine.dispose()


# -- pictures ----------------------------------------------------------------------------------------------------


@one_kind
def test_pictures_are_found_by_run_and_image(engine: Engine, run_id: str, served: TestClient) -> None:
    first = ids(engine)[0]
    thumbnail = served.get(f"/pictures/{run_id}/{first}/thumbnail")
    assert (thumbnail.headers["content-type"], thumbnail.text) == ("image/jpeg", f"{run_id} 0.jpg 192")
    view = served.get(f"/pictures/{run_id}/{first}/ss?level=0.25")
    assert (view.headers["content-type"], view.text) == ("image/png", f"{run_id} 0.jpg 0.25 ss")
    assert "max-age" in view.headers["cache-control"]


@one_kind
def test_a_picture_that_cannot_be_made_says_why_in_its_place(engine: Engine, run_id: str, served: TestClient) -> None:
    _, second, third, *_ = ids(engine)
    gone = served.get(f"/pictures/{run_id}/{second}/thumbnail")
    assert (gone.status_code, gone.text) == (404, "1.jpg: it is gone; put it back")
    assert gone.headers["content-type"].startswith("text/plain")
    away = served.get(f"/pictures/{run_id}/{third}/thumbnail")
    assert (away.status_code, away.text) == (503, "the store of images does not answer")


@one_kind
def test_an_image_of_another_dataset_is_no_image_of_the_run(engine: Engine, run_id: str, served: TestClient) -> None:
    record(engine, [1], fingerprint="e" * 64)
    with writing(engine) as session:
        strange = session.execute(text("SELECT max(id) FROM images")).scalar_one()
    assert f"has no image {strange}" in get(served, f"/pictures/{run_id}/{strange}/thumbnail", 404)
    assert f"has no image {strange}" in get(served, f"/runs/{run_id}/images/{strange}", 404)


def test_without_torch_all_is_shown_but_pictures(local: Settings) -> None:
    engine = open_engine(local)
    run_id = measured(engine)
    with client(local, pictures=False) as asked:
        for address in (f"/runs/{run_id}/images", f"/runs/{run_id}/images/{ids(engine)[0]}"):
            page = get(asked, address)
            assert "pip install &#39;smoothvote[worker]&#39;" in page
            assert "<img" not in page
            assert "goldfish" in page
        assert "need torch" in get(asked, f"/pictures/{run_id}/1/thumbnail", 404)
    engine.dispose()


# -- what comes from outside -------------------------------------------------------------------------------------


def test_whatever_came_from_outside_is_text(local: Settings) -> None:
    engine = open_engine(local)
    recipe = RECIPE.model_copy(update={"classes": (HOSTILE, '"><img src=x onerror=alert(1)>')})
    entries = [Entry(path=f"{HOSTILE}/{number}.jpg", label=0, bytes=1) for number in range(2)]
    with writing(engine) as session:
        dataset_id = store.record_dataset(
            session, name=HOSTILE, root=HOSTILE, fingerprint="f", found=2, entries=entries
        )
        store.record_run(session, run_id="a" * 16, dataset_id=dataset_id, name=HOSTILE, recipe=recipe, job_size=1)
        store.record_run(session, run_id="b" * 16, dataset_id=dataset_id, name=HOSTILE, recipe=recipe, job_size=2)
    for job, image_id in zip(jobs(engine, "a" * 16), ids(engine), strict=True):
        claim = store.claim(engine, job.id, worker=HOSTILE, lease=60)
        assert claim
        if job.first == 0:
            store.finish(engine, claim, [predicted(image_id, sigma, 1, 1, 1, 1) for sigma in LEVELS], [])
        else:
            store.finish(engine, claim, [], [store.Failed(image_id=image_id, code="broken", message=HOSTILE)])
    claim = store.claim(engine, jobs(engine, "b" * 16)[0].id, worker=HOSTILE, lease=60)
    assert claim
    store.refuse(engine, claim, worker=HOSTILE, note=HOSTILE, after=60)
    run = "/runs/" + "a" * 16
    pages = [run, f"{run}/images", f"{run}/images?outcome=failed", f"{run}/images?class=0&voted=1", f"{run}/classes"]
    pages += [f"{run}/images/{image_id}" for image_id in ids(engine)] + ["/runs/" + "b" * 16, "/"]
    pages += [f"/compare?a={'a' * 16}&b={'b' * 16}"]
    with client(local) as asked:
        for address in pages:
            page = get(asked, address)
            assert "&lt;script&gt;alert(1)" in page, address
            assert re.findall(r"<script[^>]*>", page) == re.findall(r'<script src="/static/page.js\?v=\w+">', page), (
                address
            )
            assert "<img src=x" not in page
            for tag in re.findall(r"<[a-z][^>]*>", page):
                assert not re.search(r"\s(on\w+|style)=", re.sub(r'"[^"]*"', '""', tag)), tag  # none runs inline
        for address in (
            f"/runs/{HOSTILE}",
            f"{run}/images?level={HOSTILE}",
            f"{run}/classes?sort={HOSTILE}",
            f"/{HOSTILE}",
        ):
            page = asked.get(address).text
            assert "<script>" not in page, address
        for address in ("/api/runs", f"/api{run}", f"/api{run}/progress", f"/api/runs/{HOSTILE}"):
            answer = asked.get(address)
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["x-content-type-options"] == "nosniff"
    engine.dispose()


#: Address, status, and what is said.
WRONG = [
    ("/runs/nothing", 404, "is no run's id or name"),
    ("/runs/{run}/images?level=0.3", 404, "has no level 0.3; it has 0, 0.25"),
    ("/runs/{run}/images?level=nan", 404, "has no level nan"),
    ("/runs/{run}/images?level=x", 422, "level: input should be a valid number"),
    ("/runs/{run}/images?outcome=good", 404, "outcome 'good' is unknown: it is one of right, wrong, rejected"),
    ("/runs/{run}/images?after=-1", 422, "after: input should be greater than or equal to 0"),
    ("/runs/{run}/images?class=99999999999999999999", 404, "class 99999999999999999999: no class of the model"),
    ("/runs/{run}/images?class=sunglasses", 404, "class sunglasses: 2 classes are called so; give an index: 836, 837"),
    ("/runs/{run}/images/x", 422, "image: input should be a valid integer"),
    ("/runs/{run}/images/9999999999999999999999", 422, "image: input should be less than"),
    ("/runs/{run}/images/999999", 404, "has no image 999999"),
    ("/runs/{run}/classes?sort=name", 404, "sort 'name' is unknown"),
    ("/runs/{run}/classes?page=9", 404, "there is no page 9 of classes: the last is 1"),
    ("/runs/a%00b", 422, "run: string should match pattern"),
    ("/compare?a=nothing&b={run}", 404, "is no run's id or name"),
    ("/nowhere", 404, "there is no such page"),
    ("/api/runs/nothing", 404, "is no run's id or name"),
    ("/pictures/{run}/1/xs?level=0", 422, "view: input should be 'ns', 'ss' or 'ds'"),
    ("/static/..%2f..%2fapp.py", 404, "there is no such page"),
    ("/static/page.css", 404, "there is no such page"),
]


def test_what_is_not_there_is_one_line(run_id: str, served: TestClient) -> None:
    for address, status, said in WRONG:
        answer = get(served, address.format(run=run_id), status)
        line = re.search(r'<p class="said">(.*?)</p>', answer, re.S)
        told = unescape(line.group(1)) if line else answer
        assert said in told, address
        assert len(told.splitlines()) == 1


def test_a_database_that_goes_away_is_said_and_comes_back(new_postgres: Callable[[], str]) -> None:
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
            assert "not currently accepting connections" in answer
            assert "try again when it is back" in answer
        with admin.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
        assert "a run" in get(asked, f"/runs/{run_id}")
    admin.dispose()
    engine.dispose()


# -- who may ask, and how ----------------------------------------------------------------------------------------


def test_nothing_can_be_written(local: Settings) -> None:
    with client(local) as asked:
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            answer = asked.request(method, "/")
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
        head = asked.head("/")
        assert (head.status_code, head.content) == (200, b"")


def test_browsers_are_told_to_fetch_nothing_from_elsewhere(local: Settings) -> None:
    with client(local) as asked:
        for address in ("/", "/nowhere", "/api/runs", "/static/page.js"):
            headers = asked.get(address).headers
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; ")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
        assert asked.get("/").headers["cache-control"] == "private, no-store"


def test_a_name_that_is_not_this_servers_is_refused(local: Settings) -> None:
    with client(local, hosts=frozenset({"localhost", "127.0.0.1", "[::1]"})) as asked:
        for host in ("127.0.0.1:8765", "localhost", "LOCALHOST:1", "[::1]:8765"):
            assert asked.get("/", headers={"host": host}).status_code == 200, host
        for host in (
            "evil.example",
            "evil.example:8765",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "",
            "::1",
        ):
            answer = asked.get("/", headers={"host": host})
            assert (answer.status_code, "not known by that name" in answer.text) == (421, True), host


def test_with_a_token_nothing_is_shown_without_it(local: Settings) -> None:
    with client(local, token="grüße; 7") as asked:
        for address in ("/", "/api/runs", "/static/page.js", "/pictures/a/1/thumbnail", "/?token=wrong", "/?token="):
            answer = asked.get(address)
            assert answer.status_code == 401, address
            assert "a token is needed" in answer.text
        assert asked.get("/", headers={"cookie": f"{COOKIE}=wrong"}).status_code == 401
        assert asked.get("/", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert asked.get("/", headers={"authorization": "Basic wrong"}).status_code == 401


def test_a_token_is_given_once_and_kept_in_a_cookie_that_does_not_hold_it(local: Settings) -> None:
    with client(local, token="let me in") as asked:
        answer = asked.get("/compare?a=1&token=let+me+in&b=")
        assert (answer.status_code, answer.headers["location"]) == (303, "/compare?a=1&b=")
        cookie = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=lax"} <= set(cookie.split("; "))
        assert "let me in" not in cookie
        assert asked.get("/").status_code == 200  # the client kept the cookie
        asked.cookies.clear()
        assert asked.get("/").status_code == 401
        assert asked.get("/", headers={"authorization": "bearer let me in"}).status_code == 200
        away = asked.get("http://127.0.0.1:8765//evil.example/?token=let+me+in")
        assert away.headers["location"] == "/evil.example/"
        asked.cookies.clear()
        odd = asked.get("/runs/a%3Fb%25d?token=let+me+in")
        assert odd.headers["location"] == "/runs/a%3Fb%25d", "no letter of a name is lost"


def test_strangers_are_not_let_in_without_a_token() -> None:
    for host in ("0.0.0.0", "::"):
        with pytest.raises(WrongUse, match="could read the record: export SMOOTHVOTE_TOKEN=… first"):
            listen(host, 0, None)
    for host, token in (("127.0.0.1", None), ("localhost", None), ("0.0.0.0", "a token")):
        listen(host, 0, token).close()
    assert [is_local(address) for address in ("127.0.0.1", "127.8.9.10", "::1")] == [True] * 3
    assert [is_local(address) for address in ("0.0.0.0", "10.0.0.1", "::", "fe80::1%eth0")] == [False] * 4


def test_a_port_that_is_taken_and_a_host_that_is_not_there_are_one_line(local: Settings) -> None:
    with listen("127.0.0.1", 0, None) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(WrongUse, match=f"--port {port}: it is taken at 127.0.0.1; choose another"):
            serve(local, None, host="127.0.0.1", port=port, token=None)
    with pytest.raises(WrongUse, match=r"--host a\.\.b: no such address"):
        listen("a..b", 0, None)
    with pytest.raises(WrongUse, match=r"--host 192\.0\.2\.1 --port 0: "):
        listen("192.0.2.1", 0, "a token")


def test_a_record_that_cannot_be_used_is_said_before_the_server_begins() -> None:
    for token in (None, "", "a token"):
        with pytest.raises(WrongUse, match="cannot reach the database"):
            serve(Settings(database_url="postgresql://127.0.0.1:1/x"), None, host="127.0.0.1", port=0, token=token)
