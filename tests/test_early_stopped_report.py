"""Reports of certificates that stop early: each image with its own number of copies, its bound at its share of α."""

import io
import json
from collections.abc import Mapping
from typing import Any

import pytest
from certificates import N0, Labels, certified_run, certifying
from rows import claimed, image_ids, jobs
from scipy.stats import beta, norm
from sqlalchemy import Engine

from db import store
from db.copies import Part, parts_of
from db.errors import WrongUse
from db.found import Counted
from db.runs import RunInfo, find_run
from db.session import reading
from report.certified import Certified, read_certified
from report.certified_comparison import compare_certified
from report.certified_images import certified_images
from report.certified_rows import certificate_pages
from report.counts import ends
from report.documents.certified import beside, document
from report.documents.certified_comparison import document as comparison_document
from report.documents.certified_images import document as images_document
from report.export import write_run
from report.exports import EXPORTS
from report.formats import as_text
from report.plots.certified import require_labels

N, RADIUS, ALPHA = 400, 0.125, 0.001
#: At 100, 200 and 400 copies.
LOOKS = 3
SIGMA = 0.5
RECIPE = certifying(levels=(SIGMA,), stop_radius=RADIUS, stop_alpha=ALPHA, stop_n=N)

#: Of each hundred copies that estimate, how many have the true label. tests/test_early_stopping.py has the thresholds
#: at which images stop: the first at 100 copies, certified; the second at 200, given up with 90 hits; the third at 400,
#: not certified; the fourth at 200, certified with 144 hits.
HITS = [100, 45, 55, 72]
STOPS = [100, 200, 400, 200]


def by_hits(position: int, level: float, part: Part) -> Labels:
    if part.first < N0:
        return {1: part.size}
    hits = HITS[position] * part.size // 100
    return {label: count for label, count in ((1, hits), (2, part.size - hits)) if count}


def example(engine: Engine, **options: Any) -> RunInfo:
    return certified_run(engine, [1] * len(HITS), by_hits, **{"recipe": RECIPE, "n": N} | options)


def rows(engine: Engine, run: RunInfo, **chosen: Any) -> list[Mapping[str, Any]]:
    with reading(engine) as session:
        pages = list(certificate_pages(session, run, **chosen))
    return [dict(zip(page, values, strict=True)) for page in pages for values in zip(*page.values(), strict=True)]


def radius(number: int, alpha: float) -> float:
    """The radius of an image, 0 if it abstains: Clopper & Pearson's bound at α/3 over the copies that it took."""
    n = STOPS[number]
    hits = HITS[number] * n // 100
    low = beta.ppf(alpha / LOOKS, hits, n - hits + 1) if hits else 0.0
    return SIGMA * norm.ppf(low) if low > 0.5 else 0.0


@pytest.mark.parametrize("alpha", [ALPHA, 0.01, 0.2])
def test_each_image_has_the_bound_of_its_own_copies_at_its_share_of_any_alpha(engine: Engine, alpha: float) -> None:
    run = example(engine)
    found = rows(engine, run, alpha=alpha)
    assert [row["n"] for row in found] == STOPS
    assert [row["hits"] for row in found] == [100, 90, 220, 144]
    straight = [radius(number, alpha) for number in range(4)]
    assert [row["radius"] or 0.0 for row in found] == pytest.approx(straight, rel=1e-12)
    report = read_certified(engine, run.id, alpha=alpha)
    (level,) = report.levels
    assert level.average_certified_radius
    assert level.average_certified_radius.value == pytest.approx(sum(straight) / 4)
    assert level.abstention_rate
    assert level.abstention_rate.hits == straight.count(0)


def test_certified_accuracy_is_also_reported_at_the_radius_at_which_images_stop(engine: Engine) -> None:
    found = told(engine)
    assert [at.radius for at in found.levels[0].certified_accuracy][:3] == [0, RADIUS, 0.25]
    at = found.levels[0].at(RADIUS)
    assert at
    assert (at.hits, at.of) == (2, 4)
    shown = document(found)
    assert "radius 0.125" in shown.summary.head
    assert ".125" in shown.details[0].head
    assert (shown.records[0]["certified_0.125_hits"], shown.records[0]["certified_0.125_of"]) == (2, 4)
    assert shown.verdict.startswith("With σ = 0.5, 0.500 of the labelled images are certified at radius 0.125: ")


def test_a_run_beside_one_that_stops_early_has_its_columns(engine: Engine) -> None:
    whole = certified_run(engine, [1] * 4, by_hits, recipe=certifying(levels=(SIGMA,)), n=N, name="whole")
    plain, stopping = beside([read_certified(engine, run.id) for run in (whole, example(engine))]).records
    assert list(plain) == list(stopping)
    assert (plain["certified_0.125"], stopping["certified_0.125"]) == (None, 0.5)


def test_the_largest_radius_is_that_of_all_copies_at_the_share_of_alpha(engine: Engine) -> None:
    (level,) = read_certified(engine, example(engine).id).levels
    assert level.largest_radius == pytest.approx(SIGMA * norm.ppf((ALPHA / LOOKS) ** (1 / N)))


def test_predict_is_tested_at_its_share_of_alpha(engine: Engine) -> None:
    # 220 of 400 copies: the two-sided test of a fair coin has p = .051, below .1 but not below .1/3. 90 of 200: .18.
    assert [row["predict_label"] for row in rows(engine, example(engine), alpha=0.1)] == [1, None, None, 1]


def told(engine: Engine) -> Certified:
    return read_certified(engine, example(engine).id)


def test_it_says_how_many_copies_an_image_took_and_what_was_saved(engine: Engine) -> None:
    found = told(engine)
    shown = document(found)
    assert found.complete
    assert shown.data["stopping"] == {
        "radius": RADIUS, "alpha": ALPHA, "n": N, "looks": [100, 200, 400], "mean_copies": 225, "saved": 1 - 225 / 400
    }  # fmt: skip
    json.dumps(shown.data)
    assert (
        "An image needed 225 of 400 copies on average, 44% fewer, because it stops once it is known whether it is certified "
        "at radius 0.125. Each bound is at α/3, for the looks at which an image may stop. An image's radius may exceed "
        "0.125; with all copies it would usually be larger."
    ) in shown.verdict
    assert "certified with n0 = 10, n = 400, α = 0.001, stopping at radius 0.125, on" in shown.headline[0]


def test_a_run_that_does_not_stop_early_says_nothing_of_it(engine: Engine) -> None:
    run = certified_run(engine, [1], lambda *_: {1: 10}, recipe=certifying(), n=10)
    shown = document(read_certified(engine, run.id))
    assert shown.data["stopping"] is None
    assert "on average" not in shown.verdict


def test_an_image_that_has_not_stopped_is_pending(engine: Engine) -> None:
    run = example(engine, pending=len(HITS))
    assert read_certified(engine, run.id).levels[0].pending == 4
    for job in jobs(engine, run.id)[:4]:  # copies 0 to 109 of each image
        do(engine, run, job.id)
    found = read_certified(engine, run.id)
    assert (found.levels[0].predicted, found.levels[0].pending, found.complete) == (1, 3, False)


def test_rates_wait_until_all_images_have_stopped(engine: Engine) -> None:
    """The first to stop are the easiest: of these four images, one that is certified, so that the rate would be 1."""
    run = example(engine, pending=len(HITS))
    for job in jobs(engine, run.id)[:4]:
        do(engine, run, job.id)
    found = read_certified(engine, run.id)
    (level,) = found.levels
    assert (level.predicted, level.labelled, level.curve, level.radius_quantiles) == (1, 1, [], [])
    assert level.abstention_rate is level.acc_predict is level.average_certified_radius is None
    shown = document(found)
    (data,) = shown.data["levels"]
    assert (data["abstention_rate"], data["certified_accuracy"], shown.data["envelope"]) == (None, [], [])
    assert (shown.data["stopping"]["mean_copies"], shown.data["stopping"]["saved"]) == (None, None)
    assert "easiest to decide, so rates wait until all have stopped." in shown.verdict
    assert "fewer" not in shown.verdict
    for form in ("table", "csv", "markdown", "latex", "json"):
        assert "1.000" not in as_text(shown, form, detail=True)
    for row in shown.records:
        assert row["certified_0"] is row["radius_q50"] is None
    with pytest.raises(WrongUse, match="stops early and has images pending"):
        require_labels(found)
    whole = certified_run(engine, [1] * 4, by_hits, recipe=certifying(levels=(SIGMA,)), n=N, name="whole")
    with reading(engine) as session:
        compared = compare_certified(session, run, whole)
    assert not compared.complete
    assert compared.levels[0].radii == []
    assert compared.levels[0].abstains is compared.levels[0].averages is None
    assert "easiest to decide" in comparison_document(compared).verdict


def do(engine: Engine, run: RunInfo, job_id: int) -> None:
    """Does one job of a run whose jobs have one image each."""
    claim = claimed(engine, job_id)
    rows = [
        Counted(image_id=image, level=SIGMA, part=part.first, label=label, n=n)
        for image in image_ids(engine, claim)
        for part in parts_of(N0, *claim.copies)
        for label, n in by_hits(claim.first, SIGMA, part).items()
    ]
    assert store.finish(engine, claim, [], [], rows)


def test_the_report_is_the_same_in_whatever_order_the_jobs_are_done(engine: Engine) -> None:
    before = example(engine)
    after = example(engine, pending=len(HITS), fingerprint="d" * 64)
    for job in reversed(jobs(engine, after.id)):  # so no image is known to have stopped before all its copies are drawn
        do(engine, after, job.id)
    one, two = (document(read_certified(engine, run.id)).data for run in (before, after))
    assert one["levels"] == two["levels"]
    assert one["stopping"] == two["stopping"]
    assert rows(engine, before) == rows(engine, after)


def test_another_n_is_refused(engine: Engine) -> None:
    run = example(engine)
    assert read_certified(engine, run.id, n=N).n == N
    for n in (100, 800):
        with pytest.raises(WrongUse, match=rf"--n {n}: the images of run {run.id} stop early, .* leave out --n$"):
            read_certified(engine, run.id, n=n)
    with reading(engine) as session:
        assert ends(session, run) == [N]


def test_a_run_that_stops_early_is_compared_image_by_image_with_one_that_does_not(engine: Engine) -> None:
    run = example(engine)
    whole = certified_run(engine, [1] * 4, by_hits, recipe=certifying(levels=(SIGMA,)), n=N, name="whole")
    with reading(engine) as session:
        found = compare_certified(session, find_run(session, run.id), find_run(session, whole.id))
    (level,) = found.levels
    assert (level.both, found.complete) == (4, True)
    assert level.averages
    assert level.averages.first.value == pytest.approx(sum(radius(number, ALPHA) for number in range(4)) / 4)
    # The other run has all 400 copies of each image, and the whole α: its bounds are higher.
    full = [SIGMA * norm.ppf(beta.ppf(ALPHA, hits * 4, N - hits * 4 + 1)) for hits in (100, 72)]
    assert level.averages.second.value == pytest.approx(sum(full) / 4)
    # .72 of 400 is a bound of .64, a radius of .18: at .125 both certify two images, and no larger radius is tested.
    assert [at.radius for at in level.radii] == [0, RADIUS]
    assert (level.radii[1].compared.first.hits, level.radii[1].compared.second.hits) == (2, 2)
    assert "Radii up to 0.125 are compared. A run that stops early" in comparison_document(found).verdict
    assert ("stop_radius", RADIUS, None) in [tuple(difference) for difference in found.differences]


def test_a_comparison_keeps_the_n_of_a_run_that_stops_early(engine: Engine) -> None:
    """The other run has more copies, and either all of them or the n that is asked for."""
    run = example(engine)
    whole = certified_run(engine, [1] * 4, by_hits, recipe=certifying(levels=(SIGMA,)), n=2 * N, name="whole")
    with reading(engine) as session:
        all_copies = compare_certified(session, run, whole)
        some = compare_certified(session, whole, run, n=300)
    assert (all_copies.first_n, all_copies.second_n, all_copies.n, all_copies.complete) == (N, 2 * N, None, True)
    assert (some.first_n, some.second_n, some.complete) == (300, N, True)
    shown = comparison_document(all_copies)
    assert shown.headline[-1] == "first at n = 400, second at n = 800, α = 0.001"
    assert (shown.data["n"], shown.data["first_n"], shown.data["second_n"]) == (None, N, 2 * N)


def test_two_runs_that_stop_early_keep_their_own_n(engine: Engine) -> None:
    short = example(engine, recipe=certifying(levels=(SIGMA,), stop_radius=RADIUS, stop_alpha=ALPHA, stop_n=200), n=200)
    with reading(engine) as session:
        found = compare_certified(session, example(engine), short)
    assert (found.first_n, found.second_n) == (N, 200)


# -- whose α ---------------------------------------------------------------------------------------------------------


def test_the_usual_alpha_is_that_for_which_images_stop(engine: Engine) -> None:
    run = example(engine, recipe=certifying(levels=(SIGMA,), stop_radius=RADIUS, stop_alpha=0.01, stop_n=N))
    found = read_certified(engine, run.id)
    assert found.alpha == 0.01
    assert "--alpha" not in document(found).steps[0].command
    assert "stopped for" not in document(found).verdict
    assert rows(engine, run) == rows(engine, run, alpha=0.01) != rows(engine, run, alpha=ALPHA)
    written, chosen = io.BytesIO(), io.BytesIO()
    whole = certified_run(engine, [1] * 4, by_hits, recipe=certifying(levels=(SIGMA,)), n=N, name="whole")
    with reading(engine) as session:
        write_run(session, run, "rows", EXPORTS["csv"], written)
        write_run(session, run, "rows", EXPORTS["csv"], chosen, alpha=0.01)
        assert compare_certified(session, run, whole).alpha == 0.01
    assert written.getvalue() == chosen.getvalue()


def test_a_list_of_images_says_at_which_alpha_their_bounds_are(engine: Engine) -> None:
    run = example(engine)
    with reading(engine) as session:
        listed = images_document(certified_images(session, run), run.axis, {})
    assert listed.summary.legend.endswith("Where images stop early, it is at α divided by the number of looks.")


def test_a_report_at_another_alpha_says_for_which_one_images_stopped(engine: Engine) -> None:
    shown = document(read_certified(engine, example(engine).id, alpha=0.01))
    assert "Images stopped for α = 0.001." in shown.verdict
    assert shown.steps[0].command.endswith("--alpha 0.01 --detail")
