"""How an image's copies are cut into parts, and a certified run into jobs: worked out by hand."""

from itertools import pairwise
from typing import Any

import pytest
from shares import Share, shares_of

from db.copies import MOST, Part, count_jobs, parts_of


def sizes(selection: int, first: int, last: int) -> list[int]:
    return [part.size for part in parts_of(selection, first, last)]


# -- parts ---------------------------------------------------------------------------------------------------------


def test_a_thousand_copies_that_estimate_make_ten_parts_after_the_one_that_selects() -> None:
    parts = list(parts_of(100, 0, 1099))
    assert parts[:3] == [Part(0, 99), Part(100, 199), Part(200, 299)]
    assert sizes(100, 0, 1099) == [100] * 11


def test_a_part_ends_at_the_n_that_was_asked_for_and_the_next_one_goes_on_there() -> None:
    assert sizes(100, 0, 349) == [100, 100, 100, 50]  # n = 250
    assert sizes(100, 350, 1099) == [50, *[100] * 7]  # n = 1000 afterwards
    assert list(parts_of(100, 350, 1099))[:2] == [Part(350, 399), Part(400, 499)]


def test_parts_have_a_thousand_copies_beyond_a_thousand_that_estimate() -> None:
    assert sizes(7, 0, 7 + 3500 - 1) == [7, *[100] * 10, 1000, 1000, 500]
    assert sizes(7, 7 + 1500, 7 + 3000 - 1) == [500, 1000]


def test_many_copies_that_select_are_cut_at_thousands() -> None:
    assert list(parts_of(2500, 0, 2549)) == [Part(0, 999), Part(1000, 1999), Part(2000, 2499), Part(2500, 2549)]


@pytest.mark.parametrize(("selection", "first", "last"), [(1, 0, 5000), (100, 0, 0), (100, 55, 260), (1234, 900, 7777)])
def test_parts_cover_every_copy_once_and_never_mix_selection_and_estimation(
    selection: int, first: int, last: int
) -> None:
    parts = list(parts_of(selection, first, last))
    assert (parts[0].first, parts[-1].last) == (first, last)
    assert all(after.first == before.last + 1 for before, after in pairwise(parts))
    assert not any(part.first < selection <= part.last for part in parts)


def test_no_copies_make_no_parts() -> None:
    assert list(parts_of(100, 1100, 1099)) == []


# -- jobs ----------------------------------------------------------------------------------------------------------


def shares(images: int, last: int, *, first: int = 0, levels: int = 1, job_size: int | None = None) -> list[Share]:
    cut = shares_of(images, selection=100, first=first, last=last, levels=levels, job_size=job_size)
    return list(cut)


def test_a_job_of_few_copies_has_many_images() -> None:
    # 200 copies at one level are 200 views an image: five images make a thousand.
    assert shares(12, 199) == [Share(0, 4, 0, 199), Share(5, 9, 0, 199), Share(10, 11, 0, 199)]


def test_a_job_of_many_copies_has_one_image_and_whole_parts_of_its_copies() -> None:
    # At three levels three parts of 100 copies are 900 views, and four would be 1,200. Two parts are left: 600 views.
    assert shares(1, 1099, levels=3) == [
        Share(0, 0, 0, 299), Share(0, 0, 300, 599), Share(0, 0, 600, 899), Share(0, 0, 900, 1099)
    ]  # fmt: skip


def test_the_first_copies_of_all_images_come_before_the_later_ones_of_any() -> None:
    assert shares(2, 1099) == [
        Share(0, 0, 0, 999), Share(1, 1, 0, 999), Share(0, 1, 1000, 1099)
    ]  # fmt: skip


def test_a_part_is_never_cut_however_many_views_it_has() -> None:
    # Parts of 1,000 copies at three levels are 3,000 views.
    assert [share[2:] for share in shares(1, 100 + 3000 - 1, levels=3)][-2:] == [(1100, 2099), (2100, 3099)]


def test_the_images_of_a_job_can_be_chosen() -> None:
    assert shares(5, 199, job_size=2) == [Share(0, 1, 0, 199), Share(2, 3, 0, 199), Share(4, 4, 0, 199)]


def test_a_vote_is_one_copy_of_each_image() -> None:
    cut = shares_of(10, selection=1, first=0, last=0, levels=4, job_size=4)
    assert list(cut) == [Share(0, 3, 0, 0), Share(4, 7, 0, 0), Share(8, 9, 0, 0)]


@pytest.mark.parametrize("last", [99, 199, 1099, 100_099])
@pytest.mark.parametrize("levels", [1, 3, 2000])
def test_jobs_cover_every_copy_of_every_image_once(last: int, levels: int) -> None:
    found = shares(3, last, levels=levels)
    assert sum((share.last - share.first + 1) * (share.copies_last - share.copies_first + 1) for share in found) == (
        3 * (last + 1)
    )
    assert len({(share.first, share.copies_first) for share in found}) == len(found)


@pytest.mark.parametrize(
    ("n", "levels", "job_size", "looks"), [(50, 1, None, ()), (2500, 2, None, (100, 2500)), (300, 3, 4, ())]
)
def test_jobs_are_counted_without_being_made(n: int, levels: int, job_size: int | None, looks: tuple[int, ...]) -> None:
    how: dict[str, Any] = {"selection": 100, "levels": levels, "job_size": job_size, "looks": looks}
    assert count_jobs(7, copies=100 + n, **how) == len(list(shares_of(7, first=0, last=99 + n, **how)))


def test_the_jobs_of_the_most_copies_over_a_whole_dataset_are_counted_at_once() -> None:
    # 100 + 9 × 100 copies, 100 copies, then 9,999 parts of 1,000; each is a job for each of 50,000 images, but the
    # second, of 100 copies, has ten images.
    jobs = count_jobs(50_000, selection=100, copies=100 + MOST, levels=1, job_size=None)
    assert jobs == 50_000 + 5_000 + 9_999 * 50_000
