"""The pages of certified runs: the report for any α and n, what they refuse, and two of them compared."""

import pytest
from certificates import DRAWN, N0, TRUE, by_hand, certified_run, certifying, example
from sqlalchemy import Engine
from starlette.testclient import TestClient
from website import get, one_kind, words

from db.copies import Part
from db.runs import find_run
from db.session import reading
from report.certified import certified
from report.certified_data import to_json

ADDRESSES = ("/runs/{run}/images", "/runs/{run}/classes", "/runs/{run}/images/1")


def test_the_page_says_what_is_certified_and_draws_it(engine: Engine, served: TestClient) -> None:
    run = example(engine)
    page = get(served, f"/runs/{run.id}")
    said = words(page)
    assert "What is certified?" in said
    assert "Each certificate is wrong with probability at most α = 0.001, over the draws of noise." in said
    # Of five labelled images the first and the fourth are right; only the first reaches radius 0.25, at both σ.
    assert "radius σ = 0.25 σ = 0.5 best σ 0 0.4000 0.118 – 0.769 · 2 of 5 0.4000" in said
    assert "0.25 0.2000 0.036 – 0.624 · 1 of 5" in said
    assert "8 expected = 6 predicted + 1 failed + 0 skipped + 1 pending; 5 labelled." in said
    assert "truncated 1" in said
    assert page.count('<g class="line s-sigma_') == 2
    assert f'data-live="/api/runs/{run.id}/progress"' in page
    assert "Images</a>" not in page[page.index('class="tabs"') : page.index('id="live"')]


@one_kind
def test_another_alpha_and_fewer_copies_answer_without_a_forward_pass(engine: Engine, served: TestClient) -> None:
    run = certified_run(engine, TRUE[:6], by_hand, n=200, recipe=certifying(levels=(0.5,)))
    page = get(served, f"/runs/{run.id}?alpha=0.05&n=100")
    assert "α = 0.05" in words(page)
    assert '<option value="100" selected>' in page
    with reading(engine) as session:
        expected = to_json(certified(session, find_run(session, run.id), alpha=0.05, n=100))
    answer = served.get(f"/api/runs/{run.id}?alpha=0.05&n=100").json()
    assert answer == expected
    assert answer["levels"][0]["largest_radius"] == pytest.approx(0.5 * 1.888, abs=0.001)  # Φ⁻¹(0.05^(1/100)) = 1.888


@one_kind
@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("n=50", "n 50: the copies of run"),
        ("n=5", "n 5: so few copies certify nothing"),
        ("alpha=2", "alpha 2: give a"),
    ],
)
def test_what_the_record_cannot_answer_is_one_line(engine: Engine, served: TestClient, query: str, why: str) -> None:
    run = example(engine)
    page = get(served, f"/runs/{run.id}?{query}", 400)
    assert why in words(page)
    # The form is still there, to correct what was typed.
    assert '<input name="alpha" value="0.001"' in page
    assert '<option value="100" selected>' in page
    assert why in served.get(f"/api/runs/{run.id}?{query}").json()["error"]


@one_kind
@pytest.mark.parametrize("address", ADDRESSES)
def test_pages_of_votes_refuse_a_certified_run(engine: Engine, served: TestClient, address: str) -> None:
    run = example(engine)
    said = words(get(served, address.format(run=run.id), 404))
    assert f"run {run.id} has certificates, and no votes of three views" in said


@one_kind
def test_two_certified_runs_are_compared_and_a_vote_is_not_offered(
    engine: Engine, served: TestClient, judged: str
) -> None:
    first = example(engine)
    sharper = certifying(seed=1)

    def surer(position: int, level: float, part: Part) -> dict[int, int]:
        return {1: part.size} if position < 5 else dict(DRAWN[5][0 if part.first < N0 else 1])

    second = certified_run(engine, TRUE, surer, broken={6: "truncated"}, pending=1, recipe=sharper, name="sharper")
    page = get(served, f"/compare?a={first.id}&b={second.id}")
    said = words(page)
    assert "So far, with images pending: this compares the second run with the first, image by image" in said
    # At radius 0: two of five against five of five.
    assert "0.4000 0.118 – 0.769 · 2 of 5 1.0000 0.566 – 1.000 · 5 of 5" in said
    assert page.count('<g class="line s-sigma_') == 4
    assert judged not in page
    refused = words(get(served, f"/compare?a={first.id}&b={judged}"))
    assert "compare votes with votes, and certificates with certificates" in refused


@one_kind
def test_the_list_of_runs_has_certified_ones_and_counts_their_copies(engine: Engine, served: TestClient) -> None:
    run = example(engine)
    assert "certificates" in words(get(served, "/"))
    shown = served.get("/api/runs").json()["runs"][0]
    # Of eight images seven are done, one of them a failure: 7 × 110 copies.
    assert (shown["id"], shown["copies"], shown["done_copies"], shown["done"]) == (run.id, 110, 770, 7)


@one_kind
def test_a_run_that_stops_early_is_compared_with_one_of_more_copies_at_its_own_n_and_alpha(
    engine: Engine, served: TestClient
) -> None:
    stops = {"levels": (0.5,), "stop_radius": 0.125, "stop_alpha": 0.01, "stop_n": 100}
    first = certified_run(engine, TRUE[:6], by_hand, recipe=certifying(**stops))
    second = certified_run(engine, TRUE[:6], by_hand, recipe=certifying(levels=(0.5,)), n=200, name="whole")
    said = words(get(served, f"/compare?a={first.id}&b={second.id}"))
    assert "Radii up to 0.125 are compared." in said
    assert "α = 0.01" in words(get(served, f"/runs/{first.id}"))


@one_kind
def test_the_page_of_a_run_that_stops_early_has_no_rates_while_images_are_pending(
    engine: Engine, served: TestClient
) -> None:
    stops = {"stop_radius": 0.125, "stop_alpha": 0.01, "stop_n": 100}
    page = get(served, f"/runs/{example(engine, recipe=certifying(**stops)).id}")
    assert "easiest to decide, so rates wait until all have stopped." in words(page)
    assert "0.4000" not in words(page)
    assert '<g class="line' not in page
