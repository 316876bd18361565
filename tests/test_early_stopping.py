"""Certificates that stop early: when an image is decided, by hand; what is left out; and that chance is not cheated."""

from collections.abc import Sequence

import numpy as np
import pytest
from certificates import N0, Labels, certified_run, certifying
from rows import claimed, image_ids, jobs
from scipy.stats import beta, binom, norm
from shares import shares_of
from sqlalchemy import Engine, select

from db import store
from db.copies import Part, looks
from db.errors import WrongUse
from db.found import Counted
from db.recipe import Recipe, Stopping
from db.runs import RunInfo, progress
from db.session import reading
from db.stopping import decided, decisions, stopped
from db.tables import Count, Image
from producer.submit import copies_of
from report.certified import read_certified
from report.stats import rate

N = 400
RADIUS, ALPHA = 0.125, 0.001


def stopping(**fields: object) -> Recipe:
    return certifying(**{"stop_radius": RADIUS, "stop_alpha": ALPHA, "stop_n": N} | fields)


def stops(engine: Engine, run: RunInfo) -> dict[int, int]:
    """At how many copies each image has stopped, by its position."""
    found = stopped(run.id, run.recipe).c
    with reading(engine) as session:
        rows = session.execute(select(Image.position, found.n).join(Image, Image.id == found.image_id))
        return {row.position: row.n for row in rows}


# -- looks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (50, (50,)),
        (100, (100,)),
        (250, (100, 200, 250)),
        (1000, (100, 200, 400, 800, 1000)),
        (8000, (100, 200, 400, 800, 2000, 4000, 8000)),
        (100_000, (100, 200, 400, 800, 2000, 4000, 8000, 16_000, 32_000, 64_000, 100_000)),
    ],
)
def test_looks_double_and_end_at_n(n: int, expected: tuple[int, ...]) -> None:
    assert looks(n) == expected


def test_no_job_has_copies_from_before_and_after_a_look() -> None:
    shares = shares_of(1, selection=10, first=0, last=1009, levels=1, job_size=None, looks=looks(1000))
    assert [share[2:] for share in shares] == [(0, 109), (110, 209), (210, 409), (410, 809), (810, 1009)]


# -- when an image is decided --------------------------------------------------------------------------------------


def test_decisions_that_can_be_worked_out_by_hand() -> None:
    # Two copies at α = 1/2: both with the label give the bound √½ = .707, one of them 1 - √½ = .293.
    assert decisions(0.5, 1.0, 0.5, 2) == {2: (2, 1)}  # Φ(.5) = .691
    assert decisions(0.6, 1.0, 0.5, 2) == {2: (3, 2)}  # Φ(.6) = .726: two copies never reach it


@pytest.mark.parametrize(("radius", "sigma", "alpha", "n"), [(0.25, 0.25, 0.001, 1000), (0.5, 0.5, 0.05, 250)])
def test_decisions_are_tails_of_the_binomial_distribution_at_a_share_of_alpha(
    radius: float, sigma: float, alpha: float, n: int
) -> None:
    threshold, share = norm.cdf(radius / sigma), alpha / len(looks(n))
    found = decisions(radius, sigma, alpha, n)
    assert tuple(found) == looks(n)
    for look, at in found.items():
        # Certified: at the radius's probability, so many hits are as improbable as that.
        assert binom.sf(at.certified_from - 1, look, threshold) <= share
        assert binom.sf(at.certified_from - 2, look, threshold) > share
        # Given up: so few hits are; or those that lack in the end are more than the copies that are still to come.
        improbable = int(binom.ppf(share, look, threshold)) - 1
        impossible = found[n].certified_from - 1 - (n - look)
        assert at.given_up_to == max(improbable, impossible) < at.certified_from
    assert found[n].given_up_to == found[n].certified_from - 1  # at n every image is decided


# -- which images stop ---------------------------------------------------------------------------------------------

#: Of every hundred copies that estimate, how many of each image have label 1. By the binomial tails at α/3, an image
#: with 100, 200 and 400 copies is certified at σ = .25 from 85, 161 and 308 hits on, and given up to 52, 114 and 307;
#: at σ = .5 it is certified from 77, 144 and 273 on, and given up to 42, 95 and 272.
HITS = [100, 45, 60, 80]


def by_hits(position: int, level: float, part: Part) -> Labels:
    """Label 1 selects, and has HITS of every hundred copies that estimate; label 2 has the others."""
    if part.first < N0:
        return {1: part.size}
    hits = HITS[position] * part.size // 100
    return {label: count for label, count in ((1, hits), (2, part.size - hits)) if count}


def test_an_image_stops_at_the_first_look_at_which_it_is_decided_at_every_level(engine: Engine) -> None:
    run = certified_run(engine, [1] * len(HITS), by_hits, recipe=stopping(), n=N)
    # 100 hits certify at both levels. 45 are given up at σ = .25, and 90 of 200 at σ = .5. 60 of 100 are decided at the
    # end. 160 of 200 certify at σ = .5 but not at σ = .25; 320 of 400 do.
    assert stops(engine, run) == {0: 100, 1: 200, 2: 400, 3: 400}
    with reading(engine) as session:
        drawn = session.execute(select(Image.position, Count.n).join(Image, Image.id == Count.image_id)).all()
        assert progress(session, run).complete
    copies = {position: sum(n for at, n in drawn if at == position) for position in range(len(HITS))}
    assert copies == {0: 2 * 110, 1: 2 * 210, 2: 2 * 410, 3: 2 * 410}


def test_an_image_without_its_selection_copies_has_not_stopped(engine: Engine) -> None:
    run = certified_run(engine, [1], by_hits, recipe=stopping(), n=N, pending=1)
    store_copies(engine, run, 1, {1: 100}, parts=[N0])
    assert stops(engine, run) == {}


def test_of_labels_that_as_many_copies_select_the_smaller_one_decides(engine: Engine) -> None:
    def tied(position: int, level: float, part: Part) -> Labels:
        return {1: 5, 2: 5} if part.first < N0 else {1: 60 * part.size // 100, 2: 40 * part.size // 100}

    # 60 of 100 copies decide nothing; 40, those with label 2, would be given up at both levels.
    assert stops(engine, certified_run(engine, [1], tied, recipe=stopping(), n=N)) == {0: 400}


def store_copies(engine: Engine, run: RunInfo, number: int, labels: Labels, *, parts: Sequence[int]) -> None:
    """Does the job with this number of a run of one image, which has these labels in each part at both levels."""
    claim = claimed(engine, jobs(engine, run.id)[number].id)
    with reading(engine) as session:
        image = session.scalars(select(Image.id).where(Image.dataset_id == run.dataset_id)).one()
    rows = [
        Counted(image_id=image, level=level, part=part, label=label, n=n)
        for level in run.recipe.levels
        for part in parts
        for label, n in labels.items()
    ]
    assert store.finish(engine, claim, [], [], rows)


def test_copies_that_a_worker_drew_ahead_of_another_one_do_not_count(engine: Engine) -> None:
    # Jobs: n0 and the first 100 copies, the next 100, and the last 200.
    run = certified_run(engine, [1], by_hits, recipe=stopping(), n=N, pending=1)
    first, second, third = jobs(engine, run.id)
    assert [(job.copies_first, job.copies_last) for job in (first, second, third)] == [(0, 109), (110, 209), (210, 409)]
    store_copies(engine, run, 1, {2: 100}, parts=[N0 + 100])
    assert stops(engine, run) == {}
    # With the first job the image is certified at 100 copies; at 200 it would not be.
    store_first(engine, run, hits=100)
    assert stops(engine, run) == {0: 100}
    assert image_ids(engine, claimed(engine, third.id)) == []


def store_first(engine: Engine, run: RunInfo, *, hits: int) -> None:
    """Does the first job of a run of one image: label 1 selects, and so many of the next hundred copies have it."""
    claim = claimed(engine, jobs(engine, run.id)[0].id)
    (image,) = image_ids(engine, claim)
    drawn = [(0, 1, N0), (N0, 1, hits), (N0, 2, 100 - hits)]
    rows = [
        Counted(image_id=image, level=level, part=part, label=label, n=n)
        for level in run.recipe.levels
        for part, label, n in drawn
        if n
    ]
    assert store.finish(engine, claim, [], [], rows)


def test_copies_behind_a_gap_do_not_count(engine: Engine) -> None:
    run = certified_run(engine, [1], by_hits, recipe=stopping(), n=N, pending=1)
    # 70 of 100 copies decide nothing. With the next hundred behind the gap, 170 of 200 would certify at both levels.
    store_first(engine, run, hits=70)
    store_copies(engine, run, 2, {1: 100}, parts=[N0 + 200, N0 + 300])
    assert stops(engine, run) == {}
    store_copies(engine, run, 1, {1: 50, 2: 50}, parts=[N0 + 100])
    # 120 of 200 copies decide nothing; 320 of 400 certify at both.
    assert stops(engine, run) == {0: 400}


def test_a_job_of_later_copies_leaves_out_the_images_that_have_stopped(engine: Engine) -> None:
    recipe = stopping()
    run = certified_run(engine, [1, 1], by_hits, recipe=recipe, n=N, pending=2)
    for job in jobs(engine, run.id)[:2]:
        claim = claimed(engine, job.id)
        (image,) = image_ids(engine, claim)
        hits = 100 if job.first == 0 else 60
        rows = [
            Counted(image_id=image, level=level, part=part, label=label, n=n)
            for level in recipe.levels
            for part, label, n in ((0, 1, N0), (N0, 1, hits), (N0, 2, 100 - hits))
            if n
        ]
        assert store.finish(engine, claim, [], [], rows)
    later = jobs(engine, run.id)[2:4]
    assert [(job.first, job.copies_first) for job in later] == [(0, N0 + 100), (1, N0 + 100)]
    assert [len(image_ids(engine, claimed(engine, job.id))) for job in later] == [0, 1]


def test_an_image_that_is_decided_at_a_level_stays_so_whatever_later_copies_say(engine: Engine) -> None:
    """80 of 100 copies certify at σ = .5 and decide nothing at σ = .25. Of all 400, only 230 have the label."""
    hits = {N0: 80, N0 + 100: 50, N0 + 200: 50, N0 + 300: 50}

    def fewer_later(position: int, level: float, part: Part) -> Labels:
        return {1: N0} if part.first < N0 else {1: hits[part.first], 2: 100 - hits[part.first]}

    run = certified_run(engine, [1], fewer_later, recipe=stopping(), n=N)
    found = decided(run.id, run.recipe).c
    with reading(engine) as session:
        at = {row.level: row.n for row in session.execute(select(found.level, found.n))}
    # At 200 copies, 130 hits are undecided at σ = .25 (115 to 160); at 400, 230 are given up at both.
    assert at == {0.25: 400, 0.5: 100}
    assert stops(engine, run) == {0: 400}
    quarter, half = read_certified(engine, run.id).levels
    assert (quarter.abstention_rate, half.at(RADIUS)) == (rate(1, 1), rate(1, 1))
    # The bound of 80 of 100 at α/3.
    assert half.curve == [(pytest.approx(0.5 * norm.ppf(beta.ppf(ALPHA / 3, 80, 21))), 1.0)]


# -- the recipe ----------------------------------------------------------------------------------------------------


def test_radius_alpha_and_n_are_part_of_what_a_run_is(engine: Engine) -> None:
    plain = certifying()
    assert (plain.stopping, "stop_n" in plain.content()) == (None, False)
    assert stopping().stopping == Stopping(RADIUS, ALPHA, N)
    others = [stopping(), stopping(stop_radius=0.25), stopping(stop_alpha=0.01), stopping(stop_n=800), plain]
    assert len({recipe.run_id("f") for recipe in others}) == len(others)
    assert len({recipe.classifier_key() for recipe in others}) == 1


@pytest.mark.parametrize("fields", [{"stop_n": None}, {"stop_alpha": None}, {"stop_radius": None}, {"selection": None}])
def test_early_stopping_is_for_certificates_and_is_chosen_whole(fields: dict[str, object]) -> None:
    with pytest.raises(WrongUse, match="--stop-at-radius is for a certificate, and needs its radius, --alpha and --n"):
        stopping(**fields)


def test_an_n_that_the_looks_were_not_chosen_for_is_refused() -> None:
    assert copies_of(stopping(), N) == N0 + N
    with pytest.raises(WrongUse, match=r"^--n 800: the looks of this certificate.* were chosen for n = 400"):
        copies_of(stopping(), 800)


# -- chance --------------------------------------------------------------------------------------------------------


def wrongly_certified(share_of_alpha: int, *, images: int, alpha: float) -> int:
    """How many images get a radius that their true probability does not allow, at any look.

    Args:
        share_of_alpha: the bound at each look is at α divided by this.
        images: how many; each has a probability just below that of the radius.
        alpha: the probability with which a certificate may be wrong.
    """
    radius, sigma, n = 0.25, 0.5, 8000
    stages = looks(n)
    p = norm.cdf(radius / sigma) - 1e-6
    # decisions() divides by the number of looks.
    found = decisions(radius, sigma, alpha * len(stages) / share_of_alpha, n)
    draws = np.random.default_rng(8).random((images, n)) < p
    hits = {look: draws[:, :look].sum(axis=1) for look in stages}
    open_images, wrong = np.ones(images, dtype=bool), 0
    for look in stages:
        certified = open_images & (hits[look] >= found[look].certified_from)
        wrong += int(certified.sum())
        open_images &= ~certified & (hits[look] > found[look].given_up_to)
    return wrong


def test_looking_again_and_again_at_the_whole_alpha_certifies_too_many_and_at_its_share_not() -> None:
    """The reason for α/s: Clopper & Pearson's bound is for one n that is chosen beforehand."""
    images, alpha = 3000, 0.05
    peeked = rate(wrongly_certified(1, images=images, alpha=alpha), images, "clopper-pearson")
    shared = rate(wrongly_certified(len(looks(8000)), images=images, alpha=alpha), images, "clopper-pearson")
    assert peeked
    assert shared
    assert peeked.low > alpha
    assert shared.high <= alpha
