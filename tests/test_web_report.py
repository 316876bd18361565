"""The page of a report: rates, failures, charts, JSON."""

import re
from html import unescape

import pytest
from rows import finish_all, jobs, predicted, record
from sqlalchemy import Engine, event, text
from starlette.testclient import TestClient
from website import get, ids, one_kind, tiles, words

from db import store
from db.axis import NOISE
from db.runs import find_run
from db.session import reading, writing
from db.settings import Settings
from report.data import to_json
from report.rates import RATES
from report.report import report
from web.app import make_app
from web.charts import BOTTOM, HEIGHT, TOP, _x_ticks, rates_chart, risk_chart, series_of
from web.record import Record


def test_a_report_shows_each_rate_with_its_interval_and_denominator(judged: str, served: TestClient) -> None:
    said = words(get(served, f"/runs/{judged}"))
    assert "Acc NS 0.7500 0.301 – 0.954 · 3 of 4 0.2500 0.046 – 0.699 · 1 of 4" in said
    assert (
        "Selective accuracy of the vote (Acc Maj) 0.6667 0.208 – 0.939 · 2 of 3 0.5000 0.095 – 0.905 · 1 of 2" in said
    )
    # All confidences are equal, so the first images count as the most confident: three of them, and two at 0.25.
    assert "Selective accuracy of confidence thresholding, same coverage 0.6667 0.208 – 0.939 · 2 of 3 0.5000" in said
    assert "Acc Maj overall, a reject counting as wrong 0.5000 0.150 – 0.850 · 2 of 4" in said
    assert "Reject rate 0.2000 0.036 – 0.624 · 1 of 5 0.6000 0.231 – 0.882 · 3 of 5" in said
    assert "saved 1 of 4 0 of 4" in said
    assert "lost 2 of 4 0 of 4" in said
    assert "expected 7 7 predicted 5 5 labelled 4 4 failed 1 1 skipped 1 1 pending 0 0" in said


def test_every_rate_opens_exactly_the_images_that_it_counts(engine: Engine, judged: str, served: TestClient) -> None:
    page = get(served, f"/runs/{judged}")
    with reading(engine) as session:
        levels = report(session, find_run(session, judged)).levels
    table = page[page.index('<table class="rates">') :]
    links = [unescape(link) for link in re.findall(r'<td>\s*<a href="(.*?)"', table[: table.index("</table>")])]
    counts = [level.rate(name).hits for name in RATES for level in levels]  # type: ignore[union-attr]
    counts += [level.saved for level in levels] + [level.lost for level in levels]
    assert len(links) == len(counts) == 24
    assert [len(tiles(get(served, link))) for link in links] == counts


@one_kind
def test_unlabelled_images_have_rejects_and_no_accuracy(engine: Engine, served: TestClient) -> None:
    run_id = record(engine, [None] * 3)
    finish_all(engine, run_id)
    said = words(get(served, f"/runs/{run_id}"))
    assert "No image has a label" in said
    assert "Rejects against noise level" in said
    assert "Accuracy against" not in said
    assert "saved" not in said


@one_kind
def test_a_run_without_predictions_has_a_page(engine: Engine, served: TestClient) -> None:
    run_id = record(engine, [1] * 3)
    page = get(served, f"/runs/{run_id}")
    assert "Nothing is predicted yet." in page
    assert f'data-live="/api/runs/{run_id}/progress"' in page


@one_kind
def test_the_json_of_a_report_is_what_the_command_prints(engine: Engine, judged: str, served: TestClient) -> None:
    with reading(engine) as session:
        expected = to_json(report(session, find_run(session, judged)))
    found = served.get(f"/api/runs/{judged}").json()
    assert found["levels"][0]["acc_maj_count"] == [2, 3]
    for level in expected["levels"]:
        level["risk_coverage"] = {
            name: [list(point) for point in curve] for name, curve in level["risk_coverage"].items()
        }
    assert found == expected
    state = served.get(f"/api/runs/{judged}/progress").json()
    assert (state["state"], state["done"], state["expected"], state["failed"]) == ("complete", 7, 7, 1)


@one_kind
def test_a_report_is_counted_once_for_each_state_of_its_run(settings: Settings, engine: Engine) -> None:
    run_id = record(engine, [1] * 8, job_size=4)
    found = Record(settings)
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


@one_kind
def test_charts_are_drawn_to_scale(engine: Engine, judged: str) -> None:
    with reading(engine) as session:
        found = report(session, find_run(session, judged))
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
    # Two series at one level stand side by side.
    assert chart.lines[1].points[0].x > calm.x
    assert noisy.x > chart.lines[1].points[0].x


@one_kind
def test_the_operating_points_of_the_vote_are_on_its_risk_curve(engine: Engine, judged: str) -> None:
    with reading(engine) as session:
        level = report(session, find_run(session, judged)).levels[0]
    chart = risk_chart(level, NOISE, str)
    assert chart
    vote = next(line for line in chart.lines if line.key == "vote")
    assert [point.text.partition(":")[0] for point in vote.points] == [
        "The vote, 3 of 3 agree",
        "The vote, 2 of 3 agree",
        "The vote, always",
    ]
    assert "coverage 0.750, risk 0.333" in vote.points[1].text
    assert "1 of 3" in vote.points[1].text
    assert chart.title == "σ = 0"
    assert [line.key for line in chart.lines] == ["thresholding", "vote"]


def test_the_text_of_a_tick_is_left_out_where_it_would_overlap() -> None:
    ticks = _x_ticks(lambda value: 640 * value, [0.1, 0.11, 0.2, 0.5], NOISE)
    assert ticks == [(64.0, "0.1"), (70.4, ""), (128.0, "0.2"), (320.0, "0.5")]
