"""The page that compares two runs, and the runs that it offers."""

import re
from html import unescape

from rows import RECIPE, failed, finish_all, jobs, predicted, record
from sqlalchemy import Engine, text
from starlette.testclient import TestClient
from website import LABELS, get, measured, one_kind, words

from db import store
from db.axis import Axis
from db.recipe import Recipe
from db.runs import find_run
from db.session import reading, writing
from report.comparison import compare


def other(**fields: object) -> Recipe:
    """The recipe of the run that is compared, changed."""
    return RECIPE.model_copy(update=fields)


def offered(page: str, side: str) -> list[str]:
    """Ids of the runs in the list of a side, in order."""
    found = re.search(rf'<select name="{side}">(.*?)</select>', page, re.S)
    return re.findall(r'<option value="(\w+)"', found[1]) if found else []


def test_two_runs_are_compared_image_by_image(engine: Engine, judged: str, served: TestClient) -> None:
    another = record(engine, LABELS, job_size=7, recipe=other(seed=1), name="another")
    claim = store.claim(engine, jobs(engine, another)[0].id, worker="w", lease=60)
    assert claim
    images = [image_id for image_id, _ in claim.images]
    rows = [predicted(images[n], 0.0, 1, 1, 1, 1) for n in range(5)]
    assert store.finish(engine, claim, rows, [failed(image_id) for image_id in images[5:]])
    page = get(served, f"/compare?a={judged}&b={another}")
    assert "Acc Maj overall 0.5000 0.150 – 0.850 · 2 of 4 0.7500 0.301 – 0.954 · 3 of 4 +0.2500" in words(page)
    assert "seed 0 1" in words(page)
    assert "A: vote at σ = 0: 0.500" in unescape(page)


@one_kind
def test_the_verdict_stands_before_charts_tables_and_the_choice_of_runs(
    engine: Engine, judged: str, served: TestClient
) -> None:
    another = measured(engine, recipe=other(seed=1))
    page = get(served, f"/compare?a={judged}&b={another}")
    marks = ('class="verdict"', "<svg", "<table", "<form")
    assert [page.index(mark) for mark in marks] == sorted(page.index(mark) for mark in marks)


@one_kind
def test_runs_over_other_images_are_drawn_and_not_compared(engine: Engine, judged: str, served: TestClient) -> None:
    another = record(engine, [1], fingerprint="e" * 64, name="another")
    finish_all(engine, another)
    said = words(get(served, f"/compare?a={judged}&b={another}"))
    assert "are of different datasets" in said
    assert "Image by image" not in said
    assert "Accuracy against noise level, a reject counting as wrong" in said


@one_kind
def test_runs_with_different_axes_are_not_drawn_on_one_axis(engine: Engine, judged: str, served: TestClient) -> None:
    foggy = measured(engine, recipe=other(perturbation="fog"), axis=Axis("severity", "severity"), name="foggy")
    page = get(served, f"/compare?a={judged}&b={foggy}")
    assert (
        f"the levels of runs {judged} and {foggy} have no common axis: noise level σ (standard deviation of pixels in "
        "[0, 1]), and severity; compare runs with the same --perturbation" in words(page)
    )
    assert '<figure class="chart">' not in page
    assert "Image by image" not in page


def test_run_a_is_chosen_first_and_then_run_b_among_the_comparable(
    engine: Engine, judged: str, served: TestClient
) -> None:
    reseeded = measured(engine, recipe=other(seed=1))
    shares_one_level = measured(engine, recipe=other(levels=(0.25, 0.5)))
    other_levels = measured(engine, recipe=other(levels=(0.1, 0.2)))
    other_classes = measured(engine, recipe=other(classes=("cat", "dog")))
    other_axis = measured(engine, recipe=other(perturbation="fog"), axis=Axis("severity", "severity"))
    other_images = measured(engine, fingerprint="e" * 64)
    newest_first = [other_images, other_axis, other_classes, other_levels, shares_one_level, reseeded, judged]
    with writing(engine) as session:  # all are submitted within a moment
        for minute, run_id in enumerate(reversed(newest_first)):
            moment = f"2026-01-01 00:{minute:02d}:00.000000"
            session.execute(text("UPDATE runs SET submitted_at = :m WHERE id = :id"), {"m": moment, "id": run_id})

    page = get(served, "/compare")
    assert offered(page, "a") == newest_first
    assert 'name="b' not in page
    page = get(served, f"/compare?a={judged}")
    assert 'name="a" value="' + judged in page
    assert offered(page, "b") == [shares_one_level, reseeded]
    assert offered(get(served, f"/compare?b={judged}"), "b") == [shares_one_level, reseeded]
    assert offered(get(served, f"/compare?a={judged}&b={reseeded}"), "b") == [shares_one_level, reseeded]
    # What is not offered can still be named, and the page says why it is not comparable.
    page = get(served, f"/compare?a={judged}&b={other_levels}")
    assert "share no level: 0, 0.25 and 0.1, 0.2" in words(page)
    assert offered(page, "b") == [other_levels, shares_one_level, reseeded]
    assert "None of the newest 200 runs over the images of run A" in words(get(served, f"/compare?a={other_images}"))
    with reading(engine) as session:
        for run_id in (shares_one_level, reseeded):  # compare() refuses none that is offered
            compare(session, find_run(session, judged), find_run(session, run_id))


@one_kind
def test_a_run_can_be_chosen_by_name_or_the_beginning_of_its_id(
    engine: Engine, judged: str, served: TestClient
) -> None:
    named = measured(engine, recipe=other(seed=1), name="with another seed")

    def leads_to(**query: str) -> str:
        answer = served.get("/compare", params=query)
        assert answer.status_code == 303
        return answer.headers["location"]

    assert leads_to(a="", a_named=judged[:6]) == f"/compare?a={judged}"
    assert leads_to(a=judged, b="", b_named="with another seed") == f"/compare?a={judged}&b={named}"
    assert leads_to(a=judged, b=judged, b_named="latest").startswith(f"/compare?a={judged}&b=")


@one_kind
def test_the_lists_hold_the_newest_200_of_many_runs(engine: Engine, judged: str, served: TestClient) -> None:
    with writing(engine) as session:
        copies = [
            {"id": f"{number:016x}", "name": f"run {number}", "moment": f"2050-01-01 00:00:00.{number:06d}"}
            for number in range(250)
        ]
        session.execute(
            text(
                "INSERT INTO runs (id, dataset_id, name, recipe, submitted_at)"
                " SELECT :id, dataset_id, :name, recipe, :moment FROM runs WHERE name = 'a run'"
            ),
            copies,
        )
    newest = [f"{number:016x}" for number in range(249, 49, -1)]
    assert offered(get(served, "/compare"), "a") == newest
    assert offered(get(served, f"/compare?a={judged}"), "b") == newest
    answer = served.get("/compare", params={"a": judged, "b_named": "run 0"})
    assert answer.headers["location"] == f"/compare?a={judged}&b={0:016x}"
